//! Products of matrices, in plain single precision, the same sums whatever the device.
//!
//! A cube makes a tile of the product. It keeps a few columns of the left and rows of the right matrix where
//! all of its units read them, and each unit the sums of its 8 by 8 (or 4 by 8) numbers in registers. Where
//! there are fewer tiles than keep a device busy, several cubes make parts of one tile's sums, which are added
//! up afterwards.

use burn::backend::ops::FloatTensorOps;
use burn_cubecl::CubeBackend;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::tensor::CubeTensor;

use super::tensors::{empty, reshaped};

/// Units along a side of a cube.
const SIDE: usize = 16;
/// Products of a sum that are made between two waits.
const DEPTH: usize = 16;
/// Cubes that a large device works on at once.
const CUBES: usize = 256;
/// Products of a sum from which a part is worth a cube, and most parts of a sum where rows of tiles are many.
const PART: usize = 256;
const MOST_PARTS: usize = 8;
/// Numbers between two lines of a tile in shared memory: what units read together lies in different banks, and
/// four numbers can be read at once.
const GAP: usize = 4;

/// What the kernel is compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Tile {
    left: Side,
    right: Side,
}

/// Lines of one matrix in a tile: rows of the left, columns of the right one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Side {
    /// Lines in which a unit has sums.
    own: usize,
    /// Whether numbers of a line lie side by side in memory, and not those of one depth.
    along: bool,
}

impl Side {
    fn lines(&self) -> usize {
        SIDE * self.own
    }

    /// Numbers from one depth to the next in shared memory.
    fn pitch(&self) -> usize {
        self.lines() + GAP
    }
}

/// `[.., m, k]` times `[.., k, n]`, each with two dimensions, or both with three, of which the first are as long.
///
/// Matrices that are turned need not be copied.
pub(crate) fn product(left: CubeTensor, right: CubeTensor) -> CubeTensor {
    let rank = left.meta.num_dims();
    let shape = |of: &CubeTensor| of.meta.shape()[rank - 2..].to_vec();
    let ([m, k], n) = ([shape(&left)[0], shape(&left)[1]], shape(&right)[1]);
    let batch = if rank == 3 { left.meta.shape()[0] } else { 1 };
    let strides = |of: &CubeTensor| {
        let strides = of.meta.strides();
        [if rank == 3 { strides[0] } else { 0 }, strides[rank - 2], strides[rank - 1]]
    };
    let (of_left, of_right) = (strides(&left), strides(&right));
    let tile = Tile {
        left: Side { own: if m <= 64 { 4 } else { 8 }, along: of_left[2] == 1 },
        right: Side { own: 8, along: of_right[2] != 1 },
    };
    let (across, down) = (n.div_ceil(tile.right.lines()), m.div_ceil(tile.left.lines()));
    let parts = parts(across * down * batch, k);
    let part = k.div_ceil(parts).next_multiple_of(DEPTH);
    let result = empty(&left, vec![batch, parts, m, n]);
    // SAFETY: units read only what lies within `m`, `n` and `k`, which are the tensors' own sizes, and write
    // only numbers of the result that are their own.
    #[expect(unsafe_code, reason = "the kernel itself looks where the numbers end")]
    unsafe {
        product_kernel::launch_unchecked(
            &left.client.clone(),
            CubeCount::Static(across as u32, down as u32, (batch * parts) as u32),
            CubeDim::new_1d((SIDE * SIDE) as u32),
            left.into_buffer_arg(),
            right.into_buffer_arg(),
            result.clone().into_buffer_arg(),
            m,
            n,
            k,
            part,
            parts,
            of_left[0],
            of_left[1],
            of_left[2],
            of_right[0],
            of_right[1],
            of_right[2],
            tile,
        );
    }
    let sum = if parts == 1 { result } else { CubeBackend::float_sum_dim(result, 1) };
    reshaped(sum, if rank == 3 { vec![batch, m, n] } else { vec![m, n] })
}

/// Parts of a sum of `k` products with which the last cubes do not wait long for each other.
fn parts(tiles: usize, k: usize) -> usize {
    let few = (CUBES / tiles).max(MOST_PARTS).min(k / PART).max(1);
    // Rounds of cubes, each as long as a part, and for each part the sums that are added up afterwards.
    let cost = |parts: usize| {
        let rounds = (tiles * parts).div_ceil(CUBES) as f64 / parts as f64;
        rounds * k as f64 + 16.0 * (tiles * (parts - 1)) as f64 / CUBES as f64
    };
    (1..=few).min_by(|a, b| cost(*a).total_cmp(&cost(*b))).unwrap_or(1)
}

#[cube(launch_unchecked)]
fn product_kernel(
    left: &[f32],
    right: &[f32],
    result: &mut [f32],
    m: usize,
    n: usize,
    k: usize,
    part: usize,
    parts: usize,
    left_batch: usize,
    left_row: usize,
    left_column: usize,
    right_batch: usize,
    right_row: usize,
    right_column: usize,
    #[comptime] tile: Tile,
) {
    let (of_left, of_right) = (comptime![tile.left], comptime![tile.right]);
    let mut lefts = Shared::new_aligned_slice(comptime![DEPTH * tile.left.pitch()], 16usize);
    let mut rights = Shared::new_aligned_slice(comptime![DEPTH * tile.right.pitch()], 16usize);
    let unit = UNIT_POS_X as usize;
    let slice = CUBE_POS_Z as usize;
    let begin = slice % parts * part;
    let end = min(begin + part, k);
    let rows = Lines {
        first: CUBE_POS_Y as usize * comptime![tile.left.lines()],
        end: m,
        start: slice / parts * left_batch,
        step: left_row,
        down: left_column,
    };
    let columns = Lines {
        first: CUBE_POS_X as usize * comptime![tile.right.lines()],
        end: n,
        start: slice / parts * right_batch,
        step: right_column,
        down: right_row,
    };
    let mut sums = Array::<f32>::new(comptime![tile.left.own * tile.right.own]);
    #[unroll]
    for i in 0..comptime![tile.left.own * tile.right.own] {
        sums[i] = 0.0f32;
    }
    let mut next_left = Array::<f32>::new(comptime![tile.left.own]);
    let mut next_right = Array::<f32>::new(comptime![tile.right.own]);
    fetch(left, &mut next_left, &rows, begin, end, of_left);
    fetch(right, &mut next_right, &columns, begin, end, of_right);
    let mut at = begin;
    while at < end {
        put(&mut lefts, &next_left, of_left);
        put(&mut rights, &next_right, of_right);
        sync_cube();
        // What comes next is on its way from memory while the sums of what is here are made.
        at += comptime![DEPTH];
        fetch(left, &mut next_left, &rows, at, end, of_left);
        fetch(right, &mut next_right, &columns, at, end, of_right);
        add_products(&mut sums, &lefts, &rights, tile);
        sync_cube();
    }
    #[unroll]
    for i in 0..comptime![tile.left.own] {
        let row = rows.first + unit / comptime![SIDE] * comptime![tile.left.own] + i;
        #[unroll]
        for j in 0..comptime![tile.right.own] {
            let column = columns.first + own_column(unit % comptime![SIDE], j);
            if row < m && column < n {
                result[(slice * m + row) * n + column] = sums[comptime![i * tile.right.own + j]];
            }
        }
    }
}

/// Lines of a matrix that a cube works on.
#[derive(CubeType)]
struct Lines {
    /// The tile's first, and the end of all.
    first: usize,
    end: usize,
    /// Where the first of all begins.
    start: usize,
    /// From one to the next, and from one number to the next.
    step: usize,
    down: usize,
}

/// Fetches a unit's share of a matrix's lines from depth `at` on, zeros where there are none.
#[cube]
fn fetch(
    matrix: &[f32],
    numbers: &mut Array<f32>,
    lines: &Lines,
    at: usize,
    end: usize,
    #[comptime] side: Side,
) {
    #[unroll]
    for i in 0..comptime![side.own] {
        let (line, depth) = share(i, side);
        let mut number = 0.0f32;
        if lines.first + line < lines.end && at + depth < end {
            number =
                matrix[lines.start + (lines.first + line) * lines.step + (at + depth) * lines.down];
        }
        numbers[i] = number;
    }
}

/// Puts what a unit has fetched where all of its cube read it.
#[cube]
fn put(shared: &mut [f32], numbers: &Array<f32>, #[comptime] side: Side) {
    #[unroll]
    for i in 0..comptime![side.own] {
        let (line, depth) = share(i, side);
        shared[depth * comptime![side.pitch()] + line] = numbers[i];
    }
}

/// Line and depth of a number that a unit fetches, side by side with its neighbours' in memory.
#[cube]
fn share(#[comptime] number: usize, #[comptime] side: Side) -> (usize, usize) {
    let place = UNIT_POS_X as usize + comptime![number * SIDE * SIDE];
    if comptime![side.along] {
        (place / comptime![DEPTH], place % comptime![DEPTH])
    } else {
        (place % comptime![side.lines()], place / comptime![side.lines()])
    }
}

/// Adds the products of what is in shared memory to a unit's sums.
#[cube]
fn add_products(sums: &mut Array<f32>, lefts: &[f32], rights: &[f32], #[comptime] tile: Tile) {
    let unit = UNIT_POS_X as usize;
    let (unit_row, unit_column) = (unit / comptime![SIDE], unit % comptime![SIDE]);
    #[unroll]
    for depth in 0..comptime![DEPTH] {
        let mut of_left = Array::<f32>::new(comptime![tile.left.own]);
        #[unroll]
        for i in 0..comptime![tile.left.own] {
            let line = depth * comptime![tile.left.pitch()];
            of_left[i] = lefts[line + unit_row * comptime![tile.left.own] + i];
        }
        #[unroll]
        for j in 0..comptime![tile.right.own] {
            let of_right =
                rights[depth * comptime![tile.right.pitch()] + own_column(unit_column, j)];
            #[unroll]
            for i in 0..comptime![tile.left.own] {
                sums[comptime![i * tile.right.own + j]] += of_left[i] * of_right;
            }
        }
    }
}

/// The columns of a tile that are a unit's own: twice four.
#[cube]
fn own_column(unit_column: usize, #[comptime] number: usize) -> usize {
    unit_column * 4 + comptime![number % 4 + number / 4 * 4 * SIDE]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::testing;
    use burn::tensor::TensorData;
    use burn_cubecl::CubeDevice;
    use burn_cubecl::cubecl::future::block_on;

    fn wave(sizes: &[usize], shift: f32) -> (Vec<f32>, CubeTensor) {
        let wave = |i| (i as f32 * 0.77 + shift).sin();
        let numbers: Vec<f32> = (0..sizes.iter().product()).map(wave).collect();
        let data = TensorData::new(numbers.clone(), sizes.to_vec());
        (numbers, CubeBackend::float_from_data(data, &CubeDevice::Wgpu(Default::default())))
    }

    #[test]
    fn it_is_what_sums_of_products_are() {
        if testing::device().is_none() {
            return;
        }
        // Tiles of both heights with and without rests, several parts of a sum, batches, no sum at all.
        let shapes = [
            [1, 3, 5, 2],
            [1, 64, 128, 16],
            [1, 65, 129, 33],
            [1, 20, 30, 3000],
            [3, 70, 17, 40],
            [2, 4, 200, 1],
        ];
        for [batch, m, n, k] in shapes {
            for (turn_left, turn_right) in
                [(false, false), (true, false), (false, true), (true, true)]
            {
                let matrices = |turn: bool, rows, columns, shift| {
                    let sizes = if turn { [batch, columns, rows] } else { [batch, rows, columns] };
                    let first = usize::from(batch == 1);
                    let (numbers, tensor) = wave(&sizes[first..], shift);
                    let rank = sizes.len() - first;
                    let tensor = match turn {
                        true => CubeBackend::float_swap_dims(tensor, rank - 2, rank - 1),
                        false => tensor,
                    };
                    let at = move |b: usize, row: usize, column: usize| {
                        let start = b * rows * columns;
                        let place = if turn { column * rows + row } else { row * columns + column };
                        f64::from(numbers[start + place])
                    };
                    (at, tensor)
                };
                let (left, of_left) = matrices(turn_left, m, k, 0.1);
                let (right, of_right) = matrices(turn_right, k, n, 0.2);
                let data = block_on(CubeBackend::float_into_data(product(of_left, of_right)));
                let found = data.expect("read").try_into_vec::<f32>().expect("floats");
                assert_eq!(found.len(), batch * m * n);
                for (place, number) in found.into_iter().enumerate() {
                    let (b, row, column) = (place / (m * n), place / n % m, place % n);
                    let sum: f64 = (0..k).map(|i| left(b, row, i) * right(b, i, column)).sum();
                    let most = 1e-6 * k.max(100) as f64;
                    assert!((f64::from(number) - sum).abs() < most, "{batch} {m} {n} {k}: {place}");
                }
            }
        }
    }
}
