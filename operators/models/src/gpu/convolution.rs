//! Convolutions on a GPU: what each output sees is gathered into a column, and the columns are
//! multiplied by the weights.
//!
//! | operation | columns | product | then |
//! |---|---|---|---|
//! | convolution | gathered from the input | weights times columns | offsets are added |
//! | its gradient of the input, and the transposed convolution | – | weights, turned, times outputs | what columns tell of each input is added up |
//! | gradient of the weights | gathered from the input | outputs times columns, turned | – |
//!
//! burn's own kernels for these shapes are plain loops unless each process first tries all of its variants,
//! for minutes (measured on an H100; see `BENCHMARKS.md`), and choose anew each time. Here nothing is tried:
//! a run starts at once, and one that is repeated does the same sums in the same order.

use burn::backend::ops::FloatTensorOps;
use burn_cubecl::CubeBackend;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;

use super::product::product;
use super::tensors::{MOST_CUBES, UNITS, empty, reshaped};
use crate::cpu::window::Geometry;

/// Most bytes of columns at a time: the most that a small device binds, and about what a large one caches.
/// Tests have batches of several parts, too.
const COLUMN_BYTES: usize = if cfg!(test) { 1 << 16 } else { 128 << 20 };
/// Gradients of more weights than this keep a GPU busy by themselves; of fewer, samples do too.
const MANY_WEIGHTS: usize = 1 << 19;
/// Outputs of a sample from which it pays to multiply each sample by itself.
const MANY_OUTPUTS: usize = 256;

/// What a kernel is compiled for: all sizes but those of the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Window {
    input: [usize; 3],
    output: [usize; 3],
    kernel: [usize; 3],
    stride: [usize; 3],
    padding: [usize; 3],
}

impl Window {
    fn of(sizes: &Geometry) -> Self {
        let Geometry { input, output, kernel, stride, padding, .. } = *sizes;
        Self { input, output, kernel, stride, padding }
    }

    /// Sees one cell of `len`, and all of them one after the other.
    fn single(len: usize) -> Self {
        let line = [1, 1, len];
        Self { input: line, output: line, kernel: [1; 3], stride: [1; 3], padding: [0; 3] }
    }

    fn taps(&self) -> usize {
        self.kernel.iter().product()
    }

    fn outputs(&self) -> usize {
        self.output.iter().product()
    }

    fn inputs(&self) -> usize {
        self.input.iter().product()
    }

    /// Most taps along an axis that see one input.
    fn steps(&self, axis: usize) -> usize {
        self.kernel[axis].div_ceil(self.stride[axis])
    }
}

/// Some samples of a batch.
#[derive(Clone, Copy)]
struct Samples {
    first: usize,
    count: usize,
}

/// Parts of the batch whose columns fit the memory set aside for them.
fn parts(sizes: &Geometry) -> impl Iterator<Item = Samples> + use<> {
    let window = Window::of(sizes);
    let bytes = size_of::<f32>() * sizes.inputs * window.taps() * window.outputs();
    let (batch, most) = (sizes.batch, (COLUMN_BYTES / bytes.max(1)).max(1));
    (0..batch).step_by(most).map(move |first| Samples { first, count: most.min(batch - first) })
}

/// # Shapes
/// - input: `[batch, inputs, depth, height, width]`, weight: `[outputs, inputs, ..]`, bias: `[outputs]`
/// - result: of `shape`, which is `[batch, outputs, ..]`
pub(crate) fn convolve(
    [input, weight, bias]: [CubeTensor; 3],
    sizes: &Geometry,
    shape: Vec<usize>,
) -> CubeTensor {
    let [input, weight, bias] = [input, weight, bias].map(into_contiguous);
    let window = Window::of(sizes);
    let single = Window::single(window.outputs());
    let weight = matrix(weight, sizes.outputs);
    let result = empty(&input, shape);
    for samples in parts(sizes) {
        let columns = gather(&input, sizes.inputs, samples, window, false);
        let outputs = product(weight.clone(), columns);
        spread(outputs, &bias, &result, samples, single);
    }
    result
}

/// The other way: what a convolution's gradient of its input is, too.
///
/// # Shapes
/// - output: `[batch, outputs, ..]`, weight: `[outputs, inputs, ..]`, bias: `[inputs]`
/// - result: of `shape`, which is `[batch, inputs, ..]`
pub(crate) fn convolve_back(
    [output, weight, bias]: [CubeTensor; 3],
    sizes: &Geometry,
    shape: Vec<usize>,
) -> CubeTensor {
    let [output, weight, bias] = [output, weight, bias].map(into_contiguous);
    let window = Window::of(sizes);
    let single = Window::single(window.outputs());
    let weight = turned(matrix(weight, sizes.outputs));
    let result = empty(&output, shape);
    for samples in parts(sizes) {
        let rows = gather(&output, sizes.outputs, samples, single, false);
        let columns = product(weight.clone(), rows);
        spread(columns, &bias, &result, samples, window);
    }
    result
}

/// # Shapes
/// - input: `[batch, inputs, ..]`, gradient: `[batch, outputs, ..]`
/// - result: of `shape`, which is `[outputs, inputs, ..]`
pub(crate) fn weight_gradient(
    [input, gradient]: [CubeTensor; 2],
    sizes: &Geometry,
    shape: Vec<usize>,
) -> CubeTensor {
    let [input, gradient] = [input, gradient].map(into_contiguous);
    let window = Window::of(sizes);
    let single = Window::single(window.outputs());
    let row = sizes.inputs * window.taps();
    let by_sample = sizes.outputs * row <= MANY_WEIGHTS && window.outputs() >= MANY_OUTPUTS;
    let of_part = |samples: Samples| {
        let [columns, rows] = [(&input, sizes.inputs, window), (&gradient, sizes.outputs, single)]
            .map(|(of, channels, window)| gather(of, channels, samples, window, by_sample));
        let products = product(rows, turned(columns));
        if !by_sample {
            return products;
        }
        reshaped(CubeBackend::float_sum_dim(products, 0), vec![sizes.outputs, row])
    };
    let sum = parts(sizes).map(of_part).reduce(CubeBackend::float_add);
    reshaped(sum.expect("a batch holds samples"), shape)
}

/// # Shapes
/// - gradient: `[batch, channels, ..]`, result: `[channels]`
pub(crate) fn channel_sums(gradient: CubeTensor) -> CubeTensor {
    let [batch, channels] = [gradient.meta.shape()[0], gradient.meta.shape()[1]];
    let cells = gradient.meta.num_elements() / (batch * channels);
    let sums = CubeBackend::float_sum_dim(reshaped(gradient, vec![batch, channels, cells]), 2);
    reshaped(CubeBackend::float_sum_dim(sums, 0), vec![channels])
}

/// Weights as a matrix of this many rows.
fn matrix(weight: CubeTensor, rows: usize) -> CubeTensor {
    let columns = weight.meta.num_elements() / rows;
    reshaped(weight, vec![rows, columns])
}

/// Matrices, rows for columns.
fn turned(matrices: CubeTensor) -> CubeTensor {
    let rank = matrices.meta.num_dims();
    CubeBackend::float_swap_dims(matrices, rank - 2, rank - 1)
}

/// What each output of these samples sees, `[channels * taps, samples * outputs]`, or
/// `[samples, channels * taps, outputs]`.
fn gather(
    input: &CubeTensor,
    channels: usize,
    samples: Samples,
    window: Window,
    by_sample: bool,
) -> CubeTensor {
    let (rows, count) = (channels * window.taps(), samples.count * window.outputs());
    let columns = empty(
        input,
        match by_sample {
            true => vec![samples.count, rows, window.outputs()],
            false => vec![rows, count],
        },
    );
    let (cubes, cube) = grid(rows, count);
    // SAFETY: every unit that is not past a row's end writes the one number that is its own, and
    // reads a number of a sample and channel that `input` has.
    #[expect(unsafe_code, reason = "the kernel itself looks where the numbers end")]
    unsafe {
        gather_kernel::launch_unchecked(
            &input.client,
            cubes,
            cube,
            input.clone().into_buffer_arg(),
            columns.clone().into_buffer_arg(),
            channels,
            samples.first,
            count,
            window,
            by_sample,
        );
    }
    columns
}

/// Adds up what columns, `[channels * taps, samples * outputs]`, tell of each input, and an offset for
/// each channel, and puts it where `result` has these samples.
fn spread(
    columns: CubeTensor,
    offsets: &CubeTensor,
    result: &CubeTensor,
    samples: Samples,
    window: Window,
) {
    let channels = offsets.meta.num_elements();
    let rows = channels * samples.count;
    let (cubes, cube) = grid(rows, window.inputs());
    // SAFETY: every unit that is not past a row's end writes the one number that is its own, and
    // reads columns of that sample's outputs alone.
    #[expect(unsafe_code, reason = "the kernel itself looks where the numbers end")]
    unsafe {
        spread_kernel::launch_unchecked(
            &result.client,
            cubes,
            cube,
            columns.into_buffer_arg(),
            offsets.clone().into_buffer_arg(),
            result.clone().into_buffer_arg(),
            samples.first,
            samples.count,
            channels,
            window,
        );
    }
}

/// Units for `count` numbers in each of `rows`.
fn grid(rows: usize, count: usize) -> (CubeCount, CubeDim) {
    let (rows, across) = (rows as u32, count.div_ceil(UNITS as usize) as u32);
    let down = rows.clamp(1, MOST_CUBES);
    (CubeCount::Static(across, down, rows.div_ceil(down)), CubeDim::new_1d(UNITS))
}

#[cube(launch_unchecked)]
fn gather_kernel(
    input: &[f32],
    columns: &mut [f32],
    channels: usize,
    first: usize,
    count: usize,
    #[comptime] window: Window,
    #[comptime] by_sample: bool,
) {
    let at = (CUBE_POS_X * CUBE_DIM_X + UNIT_POS_X) as usize;
    let row = (CUBE_POS_Y + CUBE_POS_Z * CUBE_COUNT_Y) as usize;
    let taps = comptime![window.taps()];
    if at >= count || row >= channels * taps {
        terminate!();
    }
    let (channel, tap) = (row / taps, row % taps);
    let tap_x = tap % comptime![window.kernel[2]];
    let tap_y = tap / comptime![window.kernel[2]] % comptime![window.kernel[1]];
    let tap_z = tap / comptime![window.kernel[2] * window.kernel[1]];
    let outputs = comptime![window.outputs()];
    let (sample, cell) = (first + at / outputs, at % outputs);
    let place = if comptime![by_sample] {
        ((at / outputs) * channels * taps + row) * outputs + cell
    } else {
        row * count + at
    };
    let cell_x = cell % comptime![window.output[2]];
    let cell_y = cell / comptime![window.output[2]] % comptime![window.output[1]];
    let cell_z = cell / comptime![window.output[2] * window.output[1]];
    // Counted with the padding before them.
    let x = cell_x * comptime![window.stride[2]] + tap_x;
    let y = cell_y * comptime![window.stride[1]] + tap_y;
    let z = cell_z * comptime![window.stride[0]] + tap_z;
    let (before_x, before_y, before_z) =
        (comptime![window.padding[2]], comptime![window.padding[1]], comptime![window.padding[0]]);
    let (width, height, depth) =
        (comptime![window.input[2]], comptime![window.input[1]], comptime![window.input[0]]);
    let is_in_x = x >= before_x && x < before_x + width;
    let is_in_y = y >= before_y && y < before_y + height;
    let is_in_z = z >= before_z && z < before_z + depth;
    let mut number = 0.0f32;
    if is_in_x && is_in_y && is_in_z {
        let line = ((sample * channels + channel) * depth + z - before_z) * height + y - before_y;
        number = input[line * width + x - before_x];
    }
    columns[place] = number;
}

#[cube(launch_unchecked)]
fn spread_kernel(
    columns: &[f32],
    offsets: &[f32],
    result: &mut [f32],
    first: usize,
    samples: usize,
    channels: usize,
    #[comptime] window: Window,
) {
    let at = (CUBE_POS_X * CUBE_DIM_X + UNIT_POS_X) as usize;
    let row = (CUBE_POS_Y + CUBE_POS_Z * CUBE_COUNT_Y) as usize;
    let inputs = comptime![window.inputs()];
    if at >= inputs || row >= channels * samples {
        terminate!();
    }
    let (sample, channel) = (row / channels, row % channels);
    let count = samples * comptime![window.outputs()];
    // Counted with the padding before them.
    let x = at % comptime![window.input[2]] + comptime![window.padding[2]];
    let y =
        at / comptime![window.input[2]] % comptime![window.input[1]] + comptime![window.padding[1]];
    let z = at / comptime![window.input[2] * window.input[1]] + comptime![window.padding[0]];
    let mut sum = offsets[channel];
    #[unroll]
    for step_z in 0..comptime![window.steps(0)] {
        let tap_z = z % comptime![window.stride[0]] + comptime![step_z * window.stride[0]];
        let cell_z = (z - tap_z) / comptime![window.stride[0]];
        let sees_z = tap_z < comptime![window.kernel[0]]
            && tap_z <= z
            && cell_z < comptime![window.output[0]];
        #[unroll]
        for step_y in 0..comptime![window.steps(1)] {
            let tap_y = y % comptime![window.stride[1]] + comptime![step_y * window.stride[1]];
            let cell_y = (y - tap_y) / comptime![window.stride[1]];
            let sees_y = tap_y < comptime![window.kernel[1]]
                && tap_y <= y
                && cell_y < comptime![window.output[1]];
            #[unroll]
            for step_x in 0..comptime![window.steps(2)] {
                let tap_x = x % comptime![window.stride[2]] + comptime![step_x * window.stride[2]];
                let cell_x = (x - tap_x) / comptime![window.stride[2]];
                let sees_x = tap_x < comptime![window.kernel[2]]
                    && tap_x <= x
                    && cell_x < comptime![window.output[2]];
                if sees_z && sees_y && sees_x {
                    let tap = (tap_z * comptime![window.kernel[1]] + tap_y)
                        * comptime![window.kernel[2]]
                        + tap_x;
                    let cell = (cell_z * comptime![window.output[1]] + cell_y)
                        * comptime![window.output[2]]
                        + cell_x;
                    let column = sample * comptime![window.outputs()] + cell;
                    sum += columns[(channel * comptime![window.taps()] + tap) * count + column];
                }
            }
        }
    }
    result[((first + sample) * channels + channel) * inputs + at] = sum;
}
