//! What a kernel sees of a grid as it moves over it, without a matrix of all that it sees.
//!
//! A grid is stored with zeros around it and, where a kernel moves by more than one cell, with the
//! cells of each remainder apart. What one tap of the kernel sees along a row of outputs is then one
//! run of numbers, wherever the row and whatever the stride.

use rayon::prelude::*;

/// Sizes of a convolution; one over pictures has depth 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Geometry {
    pub(crate) batch: usize,
    /// Channels and edges of what the kernel moves over.
    pub(crate) inputs: usize,
    pub(crate) input: [usize; 3],
    /// Channels and edges of what it gives.
    pub(crate) outputs: usize,
    pub(crate) output: [usize; 3],
    pub(crate) kernel: [usize; 3],
    pub(crate) stride: [usize; 3],
    pub(crate) padding: [usize; 3],
}

impl Geometry {
    /// Numbers in one channel of the input.
    pub(crate) fn input_len(&self) -> usize {
        self.input.iter().product()
    }

    /// Numbers in one channel of the output.
    pub(crate) fn output_len(&self) -> usize {
        self.output.iter().product()
    }

    /// Weights from one channel to another.
    pub(crate) fn taps(&self) -> usize {
        self.kernel.iter().product()
    }

    /// Where in a channel of the input a tap sees the first cell that is there, of a row of outputs,
    /// and how many outputs see none before it.
    pub(crate) fn place(&self, row: [usize; 2], tap: usize) -> Option<(usize, usize)> {
        let tap = unravel(tap, self.kernel);
        let cell = |axis: usize, at: usize| {
            let cell = (at * self.stride[axis] + tap[axis]).checked_sub(self.padding[axis])?;
            (cell < self.input[axis]).then_some(cell)
        };
        let skipped = self.padding[2].saturating_sub(tap[2]).div_ceil(self.stride[2]);
        if skipped >= self.output[2] {
            return None;
        }
        let place = [cell(0, row[0])?, cell(1, row[1])?, cell(2, skipped)?];
        Some((ravel(place, self.input), skipped))
    }
}

/// A padded grid of all samples and channels.
pub(crate) struct Grid {
    pub(crate) numbers: Vec<f32>,
    /// Numbers in a channel, and in a sample.
    pub(crate) channel: usize,
    pub(crate) sample: usize,
}

/// A row of results: where the first of what it sees lies in a channel, and where the first result
/// goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub(crate) from: usize,
    pub(crate) to: usize,
}

/// How a kernel moves over a [`Grid`].
pub(crate) struct Walk {
    /// For each tap, what it sees later than the row's `from`.
    pub(crate) taps: Vec<usize>,
    pub(crate) rows: Vec<Row>,
    pub(crate) row_len: usize,
    /// From one result of a row to the next.
    pub(crate) step: usize,
}

impl Grid {
    /// The input of a convolution, and how its kernel moves over it.
    pub(crate) fn of_input(numbers: &[f32], sizes: &Geometry) -> (Self, Walk) {
        let Geometry { input, output, kernel, stride, padding, .. } = *sizes;
        let edges: [usize; 3] =
            std::array::from_fn(|axis| output[axis] + (kernel[axis] - 1) / stride[axis]);
        let volume = edges.iter().product::<usize>();
        let channel = volume * stride.iter().product::<usize>();
        let mut grid = vec![0.0; sizes.batch * sizes.inputs * channel];
        let fill = |(to, from): (&mut [f32], &[f32])| {
            for (phase, to) in to.chunks_exact_mut(volume).enumerate() {
                spread_out(from, input, to, edges, stride, unravel(phase, stride), padding);
            }
        };
        let pairs = grid.par_chunks_exact_mut(channel);
        pairs.zip(numbers.par_chunks_exact(sizes.input_len())).for_each(fill);

        let tap = |tap: usize| {
            let at = unravel(tap, kernel);
            let phase: [usize; 3] = std::array::from_fn(|axis| at[axis] % stride[axis]);
            let cell: [usize; 3] = std::array::from_fn(|axis| at[axis] / stride[axis]);
            ravel(phase, stride) * volume + ravel(cell, edges)
        };
        let row = |row: usize| {
            let [depth, height] = [row / output[1], row % output[1]];
            Row { from: ravel([depth, height, 0], edges), to: row * output[2] }
        };
        let walk = Walk {
            taps: (0..sizes.taps()).map(tap).collect(),
            rows: (0..output[0] * output[1]).map(row).collect(),
            row_len: output[2],
            step: 1,
        };
        (Self { numbers: grid, channel, sample: sizes.inputs * channel }, walk)
    }

    /// The output of a convolution, to go back from, with the walks of [`Course`]s over it.
    pub(crate) fn of_output(numbers: &[f32], sizes: &Geometry) -> (Self, Vec<Course>) {
        let Geometry { input, output, kernel, stride, padding, .. } = *sizes;
        let margin: [usize; 3] =
            std::array::from_fn(|axis| kernel[axis].div_ceil(stride[axis]).max(1) - 1);
        // Cells that an input sees end here, though the output may end before.
        let end: [usize; 3] = std::array::from_fn(|axis| {
            output[axis].max((input[axis] - 1 + padding[axis]) / stride[axis] + 1)
        });
        let edges: [usize; 3] = std::array::from_fn(|axis| margin[axis] + end[axis]);
        let channel = edges.iter().product::<usize>();
        let mut grid = vec![0.0; sizes.batch * sizes.outputs * channel];
        let pairs = grid.par_chunks_exact_mut(channel);
        pairs.zip(numbers.par_chunks_exact(sizes.output_len())).for_each(|(to, from)| {
            spread_out(from, output, to, edges, [1; 3], [0; 3], margin);
        });
        let courses = (0..stride.iter().product())
            .filter_map(|phase| Course::new(sizes, unravel(phase, stride), margin, edges))
            .collect();
        (Self { numbers: grid, channel, sample: sizes.outputs * channel }, courses)
    }
}

/// The inputs of one remainder by the stride, and the taps that reach them.
pub(crate) struct Course {
    pub(crate) walk: Walk,
    /// Numbers of the taps within the whole kernel.
    pub(crate) taps: Vec<usize>,
}

impl Course {
    /// `None` where no input has this remainder.
    fn new(
        sizes: &Geometry,
        phase: [usize; 3],
        margin: [usize; 3],
        edges: [usize; 3],
    ) -> Option<Self> {
        let Geometry { input, kernel, stride, padding, .. } = *sizes;
        // Input i = stride * q + phase - padding, for q in first..end.
        let first: [usize; 3] = std::array::from_fn(|axis| {
            padding[axis].saturating_sub(phase[axis]).div_ceil(stride[axis])
        });
        let end: [usize; 3] = std::array::from_fn(|axis| {
            let last = input[axis] - 1 + padding[axis];
            last.checked_sub(phase[axis]).map_or(0, |last| last / stride[axis] + 1)
        });
        let counts: [usize; 3] = std::array::from_fn(|axis| end[axis].saturating_sub(first[axis]));
        if counts.contains(&0) {
            return None;
        }
        let reach: [usize; 3] = std::array::from_fn(|axis| {
            kernel[axis].saturating_sub(phase[axis]).div_ceil(stride[axis])
        });
        let (mut taps, mut offsets) = (Vec::new(), Vec::new());
        for index in 0..reach.iter().product() {
            let u = unravel(index, reach);
            taps.push(ravel(
                std::array::from_fn(|axis| phase[axis] + stride[axis] * u[axis]),
                kernel,
            ));
            offsets.push(ravel(std::array::from_fn(|axis| margin[axis] - u[axis]), edges));
        }
        let cell = |axis: usize, q: usize| stride[axis] * q + phase[axis] - padding[axis];
        let row = |row: usize| {
            let q = [first[0] + row / counts[1], first[1] + row % counts[1], first[2]];
            let to = ravel([cell(0, q[0]), cell(1, q[1]), cell(2, q[2])], input);
            Row { from: ravel(q, edges), to }
        };
        let rows = (0..counts[0] * counts[1]).map(row).collect();
        Some(Self { walk: Walk { taps: offsets, rows, row_len: counts[2], step: stride[2] }, taps })
    }
}

/// Copies one channel to one of the given phase: cell `q` of it is cell `stride * q + phase - padding`
/// of the channel, or 0 where there is none.
fn spread_out(
    from: &[f32],
    from_edges: [usize; 3],
    to: &mut [f32],
    to_edges: [usize; 3],
    stride: [usize; 3],
    phase: [usize; 3],
    padding: [usize; 3],
) {
    let cell = |axis: usize, q: usize| {
        (stride[axis] * q + phase[axis])
            .checked_sub(padding[axis])
            .filter(|&i| i < from_edges[axis])
    };
    let row_len = to_edges[2];
    let first = padding[2].saturating_sub(phase[2]).div_ceil(stride[2]).min(row_len);
    let start = (stride[2] * first + phase[2]).saturating_sub(padding[2]);
    for (row, to) in to.chunks_exact_mut(row_len).enumerate() {
        let (depth, height) = (row / to_edges[1], row % to_edges[1]);
        let (Some(depth), Some(height)) = (cell(0, depth), cell(1, height)) else { continue };
        let from = &from[(depth * from_edges[1] + height) * from_edges[2]..][..from_edges[2]];
        let from = from.get(start..).unwrap_or(&[]);
        if stride[2] == 1 {
            let count = from.len().min(row_len - first);
            to[first..first + count].copy_from_slice(&from[..count]);
        } else {
            for (to, from) in to[first..].iter_mut().zip(from.iter().step_by(stride[2])) {
                *to = *from;
            }
        }
    }
}

fn ravel(at: [usize; 3], edges: [usize; 3]) -> usize {
    (at[0] * edges[1] + at[1]) * edges[2] + at[2]
}

fn unravel(index: usize, edges: [usize; 3]) -> [usize; 3] {
    [index / (edges[1] * edges[2]), index / edges[2] % edges[1], index % edges[2]]
}

/// Some rows of results, of one sample or several.
pub(crate) struct Rows {
    /// Where what they see begins, in the grid of all samples.
    pub(crate) starts: Vec<usize>,
    /// Sample, from the first of those asked for, and place in a channel of each.
    pub(crate) places: Vec<(usize, usize)>,
    pub(crate) row_len: usize,
}

impl Rows {
    /// All rows of `samples`, of `sample_len` numbers each, in even portions of about `columns`
    /// results.
    pub(crate) fn portions(
        sample_len: usize,
        walk: &Walk,
        samples: std::ops::Range<usize>,
        columns: usize,
    ) -> Vec<Self> {
        let total = samples.len() * walk.rows.len();
        let most = (columns / walk.row_len).max(1);
        let portions = total.div_ceil(most).max(1);
        let portion = |i: usize| {
            let rows = total * i / portions..total * (i + 1) / portions;
            let place = |row: usize| (row / walk.rows.len(), walk.rows[row % walk.rows.len()]);
            let places = rows.clone().map(place);
            Self {
                starts: places
                    .clone()
                    .map(|(sample, row)| (samples.start + sample) * sample_len + row.from)
                    .collect(),
                places: places.map(|(sample, row)| (sample, row.to)).collect(),
                row_len: walk.row_len,
            }
        };
        (0..portions).map(portion).collect()
    }

    /// Results in these rows.
    pub(crate) fn len(&self) -> usize {
        self.starts.len() * self.row_len
    }

    /// What a tap sees along these rows; `offset` is the tap's, and its channel's.
    ///
    /// Rows as long as layers have them are copied without a call.
    #[inline(always)]
    pub(crate) fn gather(&self, numbers: &[f32], offset: usize, line: &mut [f32]) {
        let numbers = &numbers[offset..];
        match self.row_len {
            2 => self.gather_rows::<2>(numbers, line),
            4 => self.gather_rows::<4>(numbers, line),
            7 => self.gather_rows::<7>(numbers, line),
            8 => self.gather_rows::<8>(numbers, line),
            14 => self.gather_rows::<14>(numbers, line),
            16 => self.gather_rows::<16>(numbers, line),
            28 => self.gather_rows::<28>(numbers, line),
            len => {
                for (start, to) in self.starts.iter().zip(line.chunks_exact_mut(len)) {
                    to.copy_from_slice(&numbers[*start..start + len]);
                }
            }
        }
    }

    #[inline(always)]
    fn gather_rows<const LEN: usize>(&self, numbers: &[f32], line: &mut [f32]) {
        for (start, to) in self.starts.iter().zip(line.as_chunks_mut::<LEN>().0) {
            if let Some(from) = numbers[*start..].first_chunk::<LEN>() {
                *to = *from;
            }
        }
    }
}
