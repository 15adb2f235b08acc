//! Products of matrices in registers: the two loops that a convolution spends its time in.
//!
//! [`Panels::multiply`] adds a product of packed rows and packed columns to a tile, [`add_dots`] adds
//! dot products of long rows. Both keep twelve vectors of sums in registers, and add up in an order
//! that depends on nothing but the sizes.

use pulp::Simd;

/// Rows of a panel.
pub(crate) const ROWS: usize = 6;

/// The left matrix, cut into panels of [`ROWS`] rows: a panel holds column after column.
pub(crate) struct Panels {
    depth: usize,
    numbers: Vec<f32>,
}

impl Panels {
    /// Packs `rows` rows of `depth` numbers, `at(row, column)` each; what lacks to a whole panel is 0.
    pub(crate) fn pack(rows: usize, depth: usize, at: impl Fn(usize, usize) -> f32) -> Self {
        let mut numbers = vec![0.0; rows.div_ceil(ROWS) * ROWS * depth];
        for (panel, to) in numbers.chunks_exact_mut((ROWS * depth).max(1)).enumerate() {
            let first = panel * ROWS;
            let count = ROWS.min(rows - first);
            for (column, to) in to.as_chunks_mut::<ROWS>().0.iter_mut().enumerate() {
                for (i, to) in to[..count].iter_mut().enumerate() {
                    *to = at(first + i, column);
                }
            }
        }
        Self { depth, numbers }
    }

    /// Columns of the left matrix.
    pub(crate) fn depth(&self) -> usize {
        self.depth
    }

    /// Adds to `tile` the product of columns `first..first + depth` and the matrix `right`.
    ///
    /// `right` has a panel of two vectors' width for each panel of the tile: `depth` rows each.
    /// `tile` has, for each panel of rows and then of columns, [`ROWS`] rows of two vectors.
    #[inline(always)]
    pub(crate) fn multiply<S: Simd>(
        &self,
        simd: S,
        first: usize,
        depth: usize,
        right: &[f32],
        tile: &mut [f32],
    ) {
        let width = 2 * S::F32_LANES;
        let columns = right.len() / (depth * width).max(1);
        let of_rows = self.numbers.chunks_exact((ROWS * self.depth).max(1));
        for (left, tile) in of_rows.zip(tile.chunks_exact_mut((columns * ROWS * width).max(1))) {
            let left = left[first * ROWS..(first + depth) * ROWS].as_chunks::<ROWS>().0;
            let tiles = tile.chunks_exact_mut(ROWS * width);
            for (right, tile) in right.chunks_exact(depth * width).zip(tiles) {
                let right = S::as_simd_f32s(right).0.as_chunks::<2>().0;
                let tile = S::as_mut_simd_f32s(tile).0.as_chunks_mut::<2>().0;
                if let Some(tile) = tile.first_chunk_mut::<ROWS>() {
                    add_product(simd, left, right, tile);
                }
            }
        }
    }
}

#[inline(always)]
fn add_product<S: Simd>(
    simd: S,
    left: &[[f32; ROWS]],
    right: &[[S::f32s; 2]],
    tile: &mut [[S::f32s; 2]; ROWS],
) {
    let mut sums = *tile;
    for (left, [low, high]) in left.iter().zip(right) {
        for i in 0..ROWS {
            let x = simd.splat_f32s(left[i]);
            sums[i][0] = simd.mul_add_e_f32s(x, *low, sums[i][0]);
            sums[i][1] = simd.mul_add_e_f32s(x, *high, sums[i][1]);
        }
    }
    *tile = sums;
}

/// Rows on the left of a block of dot products.
pub(crate) const DOT_LEFT: usize = 4;

/// Rows on the right of a block of dot products.
pub(crate) const DOT_RIGHT: usize = 3;

/// Adds, lane by lane, the products of each row of `left` with each row of `right`, all `len` long,
/// to `sums`: a vector for each pair, in blocks of [`DOT_LEFT`] and then [`DOT_RIGHT`] rows.
#[inline(always)]
pub(crate) fn add_dots<S: Simd>(
    simd: S,
    len: usize,
    left: &[f32],
    right: &[f32],
    sums: &mut [f32],
) {
    let mut blocks =
        S::as_mut_simd_f32s(sums).0.as_chunks_mut::<{ DOT_LEFT * DOT_RIGHT }>().0.iter_mut();
    for left in left.chunks_exact(DOT_LEFT * len) {
        let left: [&[S::f32s]; DOT_LEFT] =
            std::array::from_fn(|i| S::as_simd_f32s(&left[i * len..(i + 1) * len]).0);
        for right in right.chunks_exact(DOT_RIGHT * len) {
            let right: [&[S::f32s]; DOT_RIGHT] =
                std::array::from_fn(|i| S::as_simd_f32s(&right[i * len..(i + 1) * len]).0);
            let Some(block) = blocks.next() else { return };
            add_block(simd, left, right, block);
        }
    }
}

#[inline(always)]
fn add_block<S: Simd>(
    simd: S,
    left: [&[S::f32s]; DOT_LEFT],
    right: [&[S::f32s]; DOT_RIGHT],
    sums: &mut [S::f32s; DOT_LEFT * DOT_RIGHT],
) {
    let len = left[0].len();
    let left = left.map(|row| &row[..len]);
    let right = right.map(|row| &row[..len]);
    let mut found = *sums;
    for at in 0..len {
        let [a, b, c] = [right[0][at], right[1][at], right[2][at]];
        for i in 0..DOT_LEFT {
            let x = left[i][at];
            found[3 * i] = simd.mul_add_e_f32s(x, a, found[3 * i]);
            found[3 * i + 1] = simd.mul_add_e_f32s(x, b, found[3 * i + 1]);
            found[3 * i + 2] = simd.mul_add_e_f32s(x, c, found[3 * i + 2]);
        }
    }
    *sums = found;
}
