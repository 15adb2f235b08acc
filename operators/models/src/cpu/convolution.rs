//! Convolution, its transpose and the gradient of its weights on the CPU, as products of matrices
//! whose columns are gathered as they are needed.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::widest::run_widest;

use super::product::{DOT_LEFT, DOT_RIGHT, Panels, ROWS, add_dots};
use super::window::{Geometry, Grid, Row, Rows, Walk};

/// Channels so few that they would leave a panel of rows mostly empty.
const FEW_CHANNELS: usize = 2;

/// Columns of the left matrix that are multiplied at a time: what they meet fits the first cache.
const DEPTH: usize = 256;

/// Results of a product at a time, at most about this many.
const COLUMNS: usize = 288;

/// Numbers of a long row in dot products, at most about this many.
const LONG_ROW: usize = 768;

/// Rows of taps whose dot products are made at a time.
const TAP_ROWS: usize = 96;

/// Lanes that every row of dot products is filled up to.
const LANES: usize = 16;

/// The convolution of `input` with `weights` and an offset for each channel.
///
/// # Shapes
/// - input: `[batch, inputs, ..input]`
/// - weights: `[outputs, inputs, ..kernel]`
/// - result: `[batch, outputs, ..output]`
pub(crate) fn convolve(input: &[f32], weights: &[f32], bias: &[f32], sizes: &Geometry) -> Vec<f32> {
    let (grid, walk) = Grid::of_input(input, sizes);
    let depth = sizes.inputs * sizes.taps();
    let pack = |rows: std::ops::Range<usize>| {
        Panels::pack(rows.len(), depth, |row, column| weights[(rows.start + row) * depth + column])
    };
    product(&grid, &[&walk], sizes.batch, [sizes.outputs, sizes.output_len()], bias, &[&pack])
}

/// The transpose of the convolution: from what it gives to what it is of. Also the gradient of its
/// input.
///
/// # Shapes
/// - output: `[batch, outputs, ..output]`
/// - weights: `[outputs, inputs, ..kernel]`
/// - bias: `[inputs]`
/// - result: `[batch, inputs, ..input]`
pub(crate) fn convolve_back(
    output: &[f32],
    weights: &[f32],
    bias: &[f32],
    sizes: &Geometry,
) -> Vec<f32> {
    if sizes.inputs <= FEW_CHANNELS {
        return scatter_back(output, weights, bias, sizes);
    }
    let (grid, courses) = Grid::of_output(output, sizes);
    let (inputs, all) = (sizes.inputs, sizes.taps());
    let packs: Vec<_> = courses
        .iter()
        .map(|course| {
            move |rows: std::ops::Range<usize>| {
                let reach = course.taps.len();
                Panels::pack(rows.len(), sizes.outputs * reach, |row, column| {
                    let (output, tap) = (column / reach, course.taps[column % reach]);
                    weights[(output * inputs + rows.start + row) * all + tap]
                })
            }
        })
        .collect();
    let packs: Vec<&Pack<'_>> = packs.iter().map(|pack| pack as &Pack<'_>).collect();
    let walks: Vec<&Walk> = courses.iter().map(|course| &course.walk).collect();
    product(&grid, &walks, sizes.batch, [inputs, sizes.input_len()], bias, &packs)
}

/// Packs some rows of the left matrix.
type Pack<'a> = dyn Fn(std::ops::Range<usize>) -> Panels + Sync + 'a;

/// The product of packed weights with what each walk sees, written where the walk says.
fn product(
    grid: &Grid,
    walks: &[&Walk],
    batch: usize,
    [channels, channel]: [usize; 2],
    bias: &[f32],
    packs: &[&Pack<'_>],
) -> Vec<f32> {
    let group = group(batch, walks);
    let blocks = blocks(channels, batch.div_ceil(group), group);
    let in_block = channels / blocks;
    let panels: Vec<Vec<Panels>> = (0..blocks)
        .into_par_iter()
        .map(|block| {
            let rows = block * in_block..(block + 1) * in_block;
            packs.par_iter().map(|pack| pack(rows.clone())).collect()
        })
        .collect();
    let mut result = vec![0.0; batch * channels * channel];
    let parts = result.par_chunks_mut(group * in_block * channel).enumerate();
    parts.for_each_init(Scratch::default, |scratch, (part, to)| {
        let (first, block) = (part / blocks * group, part % blocks);
        let samples = first..(first + group).min(batch);
        let bias = &bias[block * in_block..(block + 1) * in_block];
        for (walk, panels) in walks.iter().zip(&panels[block]) {
            for rows in Rows::portions(grid.sample, walk, samples.clone(), COLUMNS) {
                let portion =
                    Portion { grid, walk, panels, rows: &rows, bias, channel, scratch, to };
                run_widest(portion);
            }
        }
    });
    result
}

/// Samples whose results are made together: several where each has few.
fn group(batch: usize, walks: &[&Walk]) -> usize {
    let columns = walks.iter().map(|walk| walk.rows.len() * walk.row_len).max().unwrap_or(1);
    let wanted = (4 * COLUMNS).div_ceil(columns.max(1));
    wanted.min(batch.div_ceil(rayon::current_num_threads())).max(1)
}

/// Blocks that channels are cut into where there are fewer groups of samples than threads.
fn blocks(channels: usize, groups: usize, group: usize) -> usize {
    let wanted = if group == 1 { rayon::current_num_threads().div_ceil(groups.max(1)) } else { 1 };
    (wanted..=channels).find(|blocks| channels.is_multiple_of(*blocks)).unwrap_or(1)
}

/// Memory that is used again and again.
#[derive(Default)]
struct Scratch {
    tile: Vec<f32>,
    right: Vec<f32>,
    line: Vec<f32>,
}

/// Some results of all channels of a block.
struct Portion<'a> {
    grid: &'a Grid,
    walk: &'a Walk,
    panels: &'a Panels,
    rows: &'a Rows,
    bias: &'a [f32],
    channel: usize,
    scratch: &'a mut Scratch,
    to: &'a mut [f32],
}

impl WithSimd for Portion<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { grid, walk, panels, rows, bias, channel, scratch, to } = self;
        let width = 2 * S::F32_LANES;
        start_tile(&mut scratch.tile, bias, rows.len().div_ceil(width), width);
        let source = Source { numbers: &grid.numbers, channel: grid.channel, taps: &walk.taps };
        add_product(simd, source, panels, rows, scratch);
        let Scratch { tile, line, .. } = scratch;
        write_tile(tile, line, width, rows, walk.step, [bias.len(), channel], to);
    }
}

/// Where the columns of a product are gathered from.
#[derive(Clone, Copy)]
struct Source<'a> {
    numbers: &'a [f32],
    /// Numbers in a channel.
    channel: usize,
    taps: &'a [usize],
}

/// Adds the product of `panels` and what the taps see along `rows` to the tile.
#[inline(always)]
fn add_product<S: Simd>(
    simd: S,
    source: Source<'_>,
    panels: &Panels,
    rows: &Rows,
    scratch: &mut Scratch,
) {
    let width = 2 * S::F32_LANES;
    let columns = rows.len().div_ceil(width);
    let Scratch { tile, right, line } = scratch;
    line.clear();
    line.resize(columns * width, 0.0);
    let reach = source.taps.len();
    for first in (0..panels.depth()).step_by(DEPTH) {
        let depth = DEPTH.min(panels.depth() - first);
        right.resize(depth * columns * width, 0.0);
        for k in 0..depth {
            let (channel, tap) = ((first + k) / reach, (first + k) % reach);
            rows.gather(source.numbers, channel * source.channel + source.taps[tap], line);
            let panels = right.chunks_exact_mut(depth * width);
            for (to, from) in panels.zip(line.chunks_exact(width)) {
                to[k * width..(k + 1) * width].copy_from_slice(from);
            }
        }
        panels.multiply(simd, first, depth, right, tile);
    }
}

/// Row `row` of a tile, in one piece.
#[inline(always)]
fn read_row(tile: &[f32], row: usize, width: usize, line: &mut [f32]) {
    let of_panel = line.len() * ROWS;
    let panel = &tile[row / ROWS * of_panel..][..of_panel];
    let row = row % ROWS * width;
    for (to, from) in line.chunks_exact_mut(width).zip(panel.chunks_exact(ROWS * width)) {
        to.copy_from_slice(&from[row..row + width]);
    }
}

/// [`convolve_back`] for few inputs: what every tap gives is made at once, and added where it belongs.
fn scatter_back(output: &[f32], weights: &[f32], bias: &[f32], sizes: &Geometry) -> Vec<f32> {
    let gives = sizes.inputs * sizes.taps();
    let panels = Panels::pack(gives, sizes.outputs, |row, column| weights[column * gives + row]);
    let [depth, height, row_len] = sizes.output;
    let rows = (0..depth * height).map(|row| Row { from: row * row_len, to: row }).collect();
    let walk = Walk { taps: vec![0], rows, row_len, step: 1 };
    let portions = Rows::portions(0, &walk, 0..1, COLUMNS);
    let mut result = vec![0.0; sizes.batch * sizes.inputs * sizes.input_len()];
    result
        .par_chunks_mut(sizes.inputs * sizes.input_len())
        .zip(output.par_chunks(sizes.outputs * sizes.output_len()))
        .for_each_init(Scratch::default, |scratch, (to, from)| {
            for (to, offset) in to.chunks_exact_mut(sizes.input_len()).zip(bias) {
                to.fill(*offset);
            }
            for rows in &portions {
                run_widest(Scattered { sizes, panels: &panels, rows, from, scratch, to });
            }
        });
    result
}

/// What some outputs of a sample add to its inputs.
struct Scattered<'a> {
    sizes: &'a Geometry,
    panels: &'a Panels,
    rows: &'a Rows,
    from: &'a [f32],
    scratch: &'a mut Scratch,
    to: &'a mut [f32],
}

impl WithSimd for Scattered<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { sizes, panels, rows, from, scratch, to } = self;
        let width = 2 * S::F32_LANES;
        let gives = sizes.inputs * sizes.taps();
        let columns = rows.len().div_ceil(width);
        scratch.tile.clear();
        scratch.tile.resize(gives.next_multiple_of(ROWS) * columns * width, 0.0);
        let source = Source { numbers: from, channel: sizes.output_len(), taps: &[0] };
        add_product(simd, source, panels, rows, scratch);
        let Scratch { tile, line, .. } = scratch;
        for give in 0..gives {
            read_row(tile, give, width, line);
            let (input, tap) = (give / sizes.taps(), give % sizes.taps());
            let to = &mut to[input * sizes.input_len()..][..sizes.input_len()];
            for ((_, row), from) in rows.places.iter().zip(line.chunks_exact(rows.row_len)) {
                let at = [row / sizes.output[1], row % sizes.output[1]];
                if let Some((place, skipped)) = sizes.place(at, tap) {
                    let end = to.len().min((place / sizes.input[2] + 1) * sizes.input[2]);
                    let to = to[place..end].iter_mut().step_by(sizes.stride[2]);
                    to.zip(&from[skipped..]).for_each(|(to, from)| *to += from);
                }
            }
        }
    }
}

/// Begins every row of a tile with the offset of its channel.
#[inline(always)]
fn start_tile(tile: &mut Vec<f32>, bias: &[f32], columns: usize, width: usize) {
    tile.clear();
    for panel in bias.chunks(ROWS) {
        for _ in 0..columns {
            for row in 0..ROWS {
                let offset = panel.get(row).copied().unwrap_or(0.0);
                tile.extend(std::iter::repeat_n(offset, width));
            }
        }
    }
}

/// Writes the rows of a tile where they belong.
#[inline(always)]
fn write_tile(
    tile: &[f32],
    line: &mut [f32],
    width: usize,
    rows: &Rows,
    step: usize,
    [channels, channel_len]: [usize; 2],
    to: &mut [f32],
) {
    for channel in 0..channels {
        read_row(tile, channel, width, line);
        for ((sample, place), from) in rows.places.iter().zip(line.chunks_exact(rows.row_len)) {
            let to = &mut to[(sample * channels + channel) * channel_len + place..];
            if step == 1 {
                to[..rows.row_len].copy_from_slice(from);
            } else {
                to.iter_mut().step_by(step).zip(from).for_each(|(to, from)| *to = *from);
            }
        }
    }
}

/// The gradient of a convolution's weights: what its input and the gradient of its output say.
///
/// # Shapes
/// - input: `[batch, inputs, ..input]`
/// - gradient: `[batch, outputs, ..output]`
/// - result: `[outputs, inputs, ..kernel]`
pub(crate) fn weight_gradient(input: &[f32], gradient: &[f32], sizes: &Geometry) -> Vec<f32> {
    let (grid, walk) = Grid::of_input(input, sizes);
    let portions = Rows::portions(grid.sample, &walk, 0..sizes.batch, LONG_ROW);
    let outputs = sizes.outputs.next_multiple_of(DOT_LEFT);
    let left: Vec<Vec<f32>> = portions
        .par_iter()
        .map(|rows| {
            let len = rows.len().next_multiple_of(LANES);
            let mut left = vec![0.0; outputs * len];
            for (channel, to) in left.chunks_exact_mut(len).take(sizes.outputs).enumerate() {
                let places = rows.places.iter().zip(to.chunks_exact_mut(rows.row_len));
                for ((sample, place), to) in places {
                    let from = (sample * sizes.outputs + channel) * sizes.output_len() + place;
                    to.copy_from_slice(&gradient[from..from + rows.row_len]);
                }
            }
            left
        })
        .collect();
    let depth = sizes.inputs * sizes.taps();
    let parts = depth.div_ceil(TAP_ROWS).max(rayon::current_num_threads()).min(depth.div_ceil(12));
    let part = |part: usize| {
        let taps = depth * part / parts..depth * (part + 1) / parts;
        let dots = Dots { grid: &grid, walk: &walk, portions: &portions, left: &left, taps };
        run_widest(dots)
    };
    let found: Vec<Vec<f32>> = (0..parts).into_par_iter().map(part).collect();
    let mut result = Vec::with_capacity(sizes.outputs * depth);
    for output in 0..sizes.outputs {
        for (part, found) in found.iter().enumerate() {
            let taps = depth * (part + 1) / parts - depth * part / parts;
            result.extend_from_slice(&found[output * taps..(output + 1) * taps]);
        }
    }
    result
}

/// The gradients of some taps' weights, for all outputs.
struct Dots<'a> {
    grid: &'a Grid,
    walk: &'a Walk,
    portions: &'a [Rows],
    /// The gradient of each portion's outputs, a filled-up row each.
    left: &'a [Vec<f32>],
    /// Of all channels.
    taps: std::ops::Range<usize>,
}

impl WithSimd for Dots<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Vec<f32> {
        let Self { grid, walk, portions, left, taps } = self;
        let count = taps.len();
        let rows_right = count.next_multiple_of(DOT_RIGHT);
        let len_of = |rows: &Rows| rows.len().next_multiple_of(LANES);
        let rows_left = left.first().zip(portions.first());
        let rows_left = rows_left.map_or(0, |(left, rows)| left.len() / len_of(rows));
        let mut sums = vec![0.0; rows_left * rows_right * S::F32_LANES];
        let mut right = Vec::new();
        let reach = walk.taps.len();
        for (rows, left) in portions.iter().zip(left) {
            let len = len_of(rows);
            right.clear();
            right.resize(rows_right * len, 0.0);
            for (k, line) in taps.clone().zip(right.chunks_exact_mut(len)) {
                let offset = k / reach * grid.channel + walk.taps[k % reach];
                rows.gather(&grid.numbers, offset, line);
            }
            add_dots(simd, len, left, &right, &mut sums);
        }
        let mut result = vec![0.0; rows_left * count];
        let blocks = rows_right / DOT_RIGHT;
        let vectors = S::as_simd_f32s(&sums).0.chunks_exact(DOT_LEFT * DOT_RIGHT);
        for (block, vectors) in vectors.enumerate() {
            let (row, column) = (block / blocks * DOT_LEFT, block % blocks * DOT_RIGHT);
            for (i, vector) in vectors.iter().enumerate() {
                let (row, column) = (row + i / DOT_RIGHT, column + i % DOT_RIGHT);
                if column < count {
                    result[row * count + column] = simd.reduce_sum_f32s(*vector);
                }
            }
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes that differ in every way that the kernels tell apart.
    fn cases() -> Vec<Geometry> {
        let case = |[batch, inputs, outputs]: [usize; 3], input, kernel, stride, padding| {
            let output = std::array::from_fn(|axis: usize| {
                let (input, kernel): (&[usize; 3], &[usize; 3]) = (&input, &kernel);
                let (stride, padding): (&[usize; 3], &[usize; 3]) = (&stride, &padding);
                (input[axis] + 2 * padding[axis] - kernel[axis]) / stride[axis] + 1
            });
            Geometry { batch, inputs, input, outputs, output, kernel, stride, padding }
        };
        vec![
            case([2, 3, 4], [5, 6, 7], [3; 3], [1; 3], [1; 3]),
            case([3, 2, 7], [1, 17, 17], [1, 5, 5], [1, 2, 2], [0, 2, 2]),
            case([2, 5, 3], [4; 3], [4; 3], [2; 3], [1; 3]),
            case([3, 1, 13], [8; 3], [4; 3], [2; 3], [1; 3]),
            case([2, 2, 5], [6, 5, 4], [4, 3, 5], [2, 1, 3], [1, 0, 2]),
            case([2, 4, 1], [2; 3], [4; 3], [2; 3], [1; 3]),
            case([1, 3, 5], [1, 34, 34], [1, 11, 11], [1, 4, 4], [0, 5, 5]),
            case([1, 2, 3], [9, 7, 8], [2, 1, 3], [3, 2, 2], [1, 0, 1]),
            case([5, 20, 3], [4; 3], [4; 3], [1; 3], [0; 3]),
        ]
    }

    /// Numbers that are alike from run to run.
    fn numbers(count: usize, start: f64) -> Vec<f32> {
        let mut state = start;
        let next = |_| {
            state = (state + 0.618_033_988_75) % 1.0;
            (state - 0.5) as f32
        };
        (0..count).map(next).collect()
    }

    /// Calls `visit` with places in input, output and weights that belong together.
    fn walk(sizes: &Geometry, mut visit: impl FnMut(usize, usize, usize)) {
        let at = |index: usize, edges: [usize; 3]| {
            [index / (edges[1] * edges[2]), index / edges[2] % edges[1], index % edges[2]]
        };
        let channels = sizes.batch * sizes.outputs * sizes.inputs;
        for (index, place, tap) in (0..channels).flat_map(|index| {
            let places = 0..sizes.output_len();
            places.flat_map(move |place| (0..sizes.taps()).map(move |tap| (index, place, tap)))
        }) {
            let (input, output) = (index % sizes.inputs, index / sizes.inputs % sizes.outputs);
            let sample = index / (sizes.inputs * sizes.outputs);
            let (from, kernel) = (at(place, sizes.output), at(tap, sizes.kernel));
            let cell: [Option<usize>; 3] = std::array::from_fn(|axis| {
                let cell = from[axis] * sizes.stride[axis] + kernel[axis];
                cell.checked_sub(sizes.padding[axis]).filter(|&cell| cell < sizes.input[axis])
            });
            let [Some(depth), Some(height), Some(width)] = cell else { continue };
            let cell = (depth * sizes.input[1] + height) * sizes.input[2] + width;
            visit(
                (sample * sizes.inputs + input) * sizes.input_len() + cell,
                (sample * sizes.outputs + output) * sizes.output_len() + place,
                (output * sizes.inputs + input) * sizes.taps() + tap,
            );
        }
    }

    fn assert_close(ours: &[f32], plain: &[f32], what: &str) {
        assert_eq!(ours.len(), plain.len(), "{what}");
        for (a, b) in ours.iter().zip(plain) {
            assert!((a - b).abs() < 1e-4, "{what}: {a} {b}");
        }
    }

    #[test]
    fn products_give_what_plain_loops_give() {
        for sizes in cases() {
            let x = numbers(sizes.batch * sizes.inputs * sizes.input_len(), 0.1);
            let y = numbers(sizes.batch * sizes.outputs * sizes.output_len(), 0.3);
            let w = numbers(sizes.outputs * sizes.inputs * sizes.taps(), 0.7);
            let [b_out, b_in] = [sizes.outputs, sizes.inputs].map(|count| numbers(count, 0.2));
            let spread = |bias: &[f32], len: usize| -> Vec<f32> {
                let all = (0..sizes.batch).flat_map(|_| bias.iter());
                all.flat_map(|&offset| std::iter::repeat_n(offset, len)).collect()
            };
            let mut to = spread(&b_out, sizes.output_len());
            let mut back = spread(&b_in, sizes.input_len());
            let mut of_weights = vec![0.0; w.len()];
            walk(&sizes, |i, o, k| {
                to[o] += x[i] * w[k];
                back[i] += y[o] * w[k];
                of_weights[k] += x[i] * y[o];
            });
            let what = format!("{sizes:?}");
            assert_close(&convolve(&x, &w, &b_out, &sizes), &to, &what);
            assert_close(&convolve_back(&y, &w, &b_in, &sizes), &back, &what);
            assert_close(&weight_gradient(&x, &y, &sizes), &of_weights, &what);
        }
    }

    #[test]
    fn any_number_of_threads_gives_the_same_bits() {
        let with = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            pool.expect("threads").install(|| {
                let of = |sizes: Geometry| {
                    let x = numbers(sizes.batch * sizes.inputs * sizes.input_len(), 0.1);
                    let y = numbers(sizes.batch * sizes.outputs * sizes.output_len(), 0.3);
                    let w = numbers(sizes.outputs * sizes.inputs * sizes.taps(), 0.7);
                    let bias = numbers(sizes.outputs.max(sizes.inputs), 0.2);
                    let [b_out, b_in] = [&bias[..sizes.outputs], &bias[..sizes.inputs]];
                    let to = convolve(&x, &w, b_out, &sizes);
                    let back = convolve_back(&y, &w, b_in, &sizes);
                    [to, back, weight_gradient(&x, &y, &sizes)].concat()
                };
                cases().into_iter().map(of).collect::<Vec<_>>()
            })
        };
        let one = with(1);
        assert!(one == with(2) && one == with(5));
    }
}
