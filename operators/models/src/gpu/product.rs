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

/// Units along a side of a cube, and numbers of a row that one of them makes.
const SIDE: usize = 16;
const ACROSS: usize = 8;
/// Columns of a tile.
const COLUMNS: usize = SIDE * ACROSS;
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
const RIGHT_LINE: usize = COLUMNS + GAP;

/// What the kernel is compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Tile {
    /// Numbers of a column that a unit makes.
    down: usize,
    /// Whether numbers of a row lie side by side in memory, and not those of a column.
    left_by_rows: bool,
    right_by_rows: bool,
}

impl Tile {
    fn rows(&self) -> usize {
        SIDE * self.down
    }

    /// Numbers from one column of the left matrix to the next in shared memory.
    fn left_line(&self) -> usize {
        self.rows() + GAP
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
        down: if m <= 64 { 4 } else { 8 },
        left_by_rows: of_left[2] == 1,
        right_by_rows: of_right[2] == 1,
    };
    let (across, down) = (n.div_ceil(COLUMNS), m.div_ceil(tile.rows()));
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
    let mut lefts = Shared::new_aligned_slice(comptime![DEPTH * tile.left_line()], 16usize);
    let mut rights = Shared::new_aligned_slice(comptime![DEPTH * RIGHT_LINE], 16usize);
    let unit = UNIT_POS_X as usize;
    let (unit_row, unit_column) = (unit / comptime![SIDE], unit % comptime![SIDE]);
    let first_row = CUBE_POS_Y as usize * comptime![tile.rows()];
    let first_column = CUBE_POS_X as usize * comptime![COLUMNS];
    let slice = CUBE_POS_Z as usize;
    let begin = slice % parts * part;
    let end = min(begin + part, k);
    let left_start = slice / parts * left_batch;
    let right_start = slice / parts * right_batch;

    let mut sums = Array::<f32>::new(comptime![tile.down * ACROSS]);
    #[unroll]
    for i in 0..comptime![tile.down * ACROSS] {
        sums[i] = 0.0f32;
    }
    let mut next_left = Array::<f32>::new(comptime![tile.down]);
    let mut next_right = Array::<f32>::new(comptime![ACROSS]);
    let rows =
        Lines { first: first_row, end: m, start: left_start, step: left_row, down: left_column };
    let columns = Lines {
        first: first_column,
        end: n,
        start: right_start,
        step: right_column,
        down: right_row,
    };
    fetch_left(left, &mut next_left, &rows, begin, end, tile);
    fetch_right(right, &mut next_right, &columns, begin, end, tile);
    let mut at = begin;
    while at < end {
        put(&mut lefts, &mut rights, &next_left, &next_right, tile);
        sync_cube();
        // What comes next is on its way from memory while the sums of what is here are made.
        at += comptime![DEPTH];
        fetch_left(left, &mut next_left, &rows, at, end, tile);
        fetch_right(right, &mut next_right, &columns, at, end, tile);
        add_products(&mut sums, &lefts, &rights, tile);
        sync_cube();
    }
    #[unroll]
    for i in 0..comptime![tile.down] {
        let row = first_row + unit_row * comptime![tile.down] + i;
        #[unroll]
        for j in 0..comptime![ACROSS] {
            let column = first_column + own_column(unit_column, j);
            if row < m && column < n {
                result[(slice * m + row) * n + column] = sums[comptime![i * ACROSS + j]];
            }
        }
    }
}

/// Puts what a unit has fetched where all of its cube read it.
#[cube]
fn put(
    lefts: &mut [f32],
    rights: &mut [f32],
    of_left: &Array<f32>,
    of_right: &Array<f32>,
    #[comptime] tile: Tile,
) {
    let unit = UNIT_POS_X as usize;
    #[unroll]
    for i in 0..comptime![tile.down] {
        let (row, depth) = left_place(unit + comptime![i * SIDE * SIDE], tile);
        lefts[depth * comptime![tile.left_line()] + row] = of_left[i];
    }
    #[unroll]
    for i in 0..comptime![ACROSS] {
        let (depth, column) = right_place(unit + comptime![i * SIDE * SIDE], tile);
        rights[depth * comptime![RIGHT_LINE] + column] = of_right[i];
    }
}

/// Adds the products of what is in shared memory to a unit's sums.
#[cube]
fn add_products(sums: &mut Array<f32>, lefts: &[f32], rights: &[f32], #[comptime] tile: Tile) {
    let unit = UNIT_POS_X as usize;
    let (unit_row, unit_column) = (unit / comptime![SIDE], unit % comptime![SIDE]);
    #[unroll]
    for depth in 0..comptime![DEPTH] {
        let mut of_left = Array::<f32>::new(comptime![tile.down]);
        #[unroll]
        for i in 0..comptime![tile.down] {
            let line = depth * comptime![tile.left_line()];
            of_left[i] = lefts[line + unit_row * comptime![tile.down] + i];
        }
        #[unroll]
        for j in 0..comptime![ACROSS] {
            let of_right = rights[depth * comptime![RIGHT_LINE] + own_column(unit_column, j)];
            #[unroll]
            for i in 0..comptime![tile.down] {
                sums[comptime![i * ACROSS + j]] += of_left[i] * of_right;
            }
        }
    }
}

/// Fetches a unit's share of the left matrix's columns from `at` on, zeros where there are none.
#[cube]
fn fetch_left(
    left: &[f32],
    numbers: &mut Array<f32>,
    lines: &Lines,
    at: usize,
    end: usize,
    #[comptime] tile: Tile,
) {
    #[unroll]
    for i in 0..comptime![tile.down] {
        let (row, depth) = left_place(UNIT_POS_X as usize + comptime![i * SIDE * SIDE], tile);
        let mut number = 0.0f32;
        if lines.first + row < lines.end && at + depth < end {
            number =
                left[lines.start + (lines.first + row) * lines.step + (at + depth) * lines.down];
        }
        numbers[i] = number;
    }
}

/// Fetches a unit's share of the right matrix's rows from `at` on, zeros where there are none.
#[cube]
fn fetch_right(
    right: &[f32],
    numbers: &mut Array<f32>,
    lines: &Lines,
    at: usize,
    end: usize,
    #[comptime] tile: Tile,
) {
    #[unroll]
    for i in 0..comptime![ACROSS] {
        let (depth, column) = right_place(UNIT_POS_X as usize + comptime![i * SIDE * SIDE], tile);
        let mut number = 0.0f32;
        if lines.first + column < lines.end && at + depth < end {
            number = right
                [lines.start + (lines.first + column) * lines.step + (at + depth) * lines.down];
        }
        numbers[i] = number;
    }
}

/// Rows of the left or columns of the right matrix.
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

/// Row and depth of the number of the left matrix that a unit fetches, side by side with its neighbours' in memory.
#[cube]
fn left_place(place: usize, #[comptime] tile: Tile) -> (usize, usize) {
    if comptime![tile.left_by_rows] {
        (place / comptime![DEPTH], place % comptime![DEPTH])
    } else {
        (place % comptime![tile.rows()], place / comptime![tile.rows()])
    }
}

/// Depth and column of the number of the right matrix that a unit fetches.
#[cube]
fn right_place(place: usize, #[comptime] tile: Tile) -> (usize, usize) {
    if comptime![tile.right_by_rows] {
        (place / comptime![COLUMNS], place % comptime![COLUMNS])
    } else {
        (place % comptime![DEPTH], place / comptime![DEPTH])
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
