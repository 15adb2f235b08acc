//! `downsample`: blocks of cells into one cell, full or by their share.

use voxflow_contract::{Fault, SoftGrid, VoxelGrid};

use crate::kernels::columns::Columns;
use crate::kernels::unpack::unpack;

/// A grid of `factor` times fewer cells on each axis: a cell is occupied when one of its `factor`^3
/// cells is (max pooling). Frame and fill stay.
///
/// Cost: a few operations on each word of 64 cells.
///
/// # Errors
/// `factor` when it is 0 or does not divide the resolution; `resolution`, `voxels`: not a grid.
///
/// # Examples
/// ```
/// use voxflow_contract::{Fill, VoxelGrid};
/// use voxflow_geometry::downsample;
///
/// let mut grid = VoxelGrid::empty(4, [0.0; 3], [1.0; 3], Fill::Surface);
/// grid.set(3, 0, 1);
/// let small = downsample(&grid, 2).unwrap();
/// assert!(small.get(1, 0, 0));
/// assert_eq!((small.resolution, small.occupied()), (2, 1));
/// ```
pub fn downsample(grid: &VoxelGrid, factor: usize) -> Result<VoxelGrid, Fault> {
    let columns = unpack(grid)?;
    let out = resolution_of(&columns, factor)?;
    let mut pooled = Columns::empty(out);
    let mut any = vec![0; columns.words];
    for block in 0..out * out {
        any.fill(0);
        for column in block_columns(&columns, block, factor) {
            any.iter_mut().zip(column).for_each(|(any, bits)| *any |= bits);
        }
        let target = &mut pooled.bits[block * pooled.words..][..pooled.words];
        pool_along_z(&mut any, target, factor, out);
        let last = pooled.valid_bits(pooled.words - 1);
        pooled.bits[(block + 1) * pooled.words - 1] &= last;
    }
    Ok(pooled.pack(grid.translation, grid.scale, grid.fill))
}

/// A grid of `factor` times fewer cells on each axis: the value of a cell is the share of its
/// `factor`^3 cells that are occupied (mean pooling).
///
/// Cost: a few operations on each word of 64 cells where `factor` is a power of two up to 32, and on
/// each run of `factor` cells where it is not.
///
/// # Errors
/// `factor` when it is 0 or does not divide the resolution; `resolution`, `voxels`: not a grid.
///
/// # Examples
/// ```
/// use voxflow_contract::{Fill, VoxelGrid};
/// use voxflow_geometry::downsample_mean;
///
/// let mut grid = VoxelGrid::empty(4, [0.0; 3], [1.0; 3], Fill::Surface);
/// grid.set(3, 0, 1);
/// assert_eq!(downsample_mean(&grid, 2).unwrap().get(1, 0, 0), 0.125);
/// ```
pub fn downsample_mean(grid: &VoxelGrid, factor: usize) -> Result<SoftGrid, Fault> {
    let columns = unpack(grid)?;
    let out = resolution_of(&columns, factor)?;
    let share = 1.0 / (factor * factor * factor) as f64;
    let mut values = Vec::with_capacity(out * out * out);
    let mut counts = vec![0u32; out];
    for block in 0..out * out {
        counts.fill(0);
        if factor.is_power_of_two() && (2..=32).contains(&factor) {
            count_lanes(&columns, block, factor, &mut counts);
        } else {
            for column in block_columns(&columns, block, factor) {
                let add =
                    |(z, count): (usize, &mut u32)| *count += ones(column, z * factor, factor);
                counts.iter_mut().enumerate().for_each(add);
            }
        }
        values.extend(counts.iter().map(|count| (f64::from(*count) * share) as f32));
    }
    SoftGrid::new(out, grid.translation, grid.scale, values)
        .ok_or_else(|| Fault::new("resolution", "the values are not those of the grid"))
}

fn resolution_of(columns: &Columns, factor: usize) -> Result<usize, Fault> {
    let d = columns.resolution;
    if factor == 0 || !d.is_multiple_of(factor) {
        let message = format!("blocks of {factor} cells do not fill a grid of {d}");
        return Err(Fault::new("factor", message));
    }
    Ok(d / factor)
}

/// The columns that become one.
fn block_columns(columns: &Columns, block: usize, factor: usize) -> impl Iterator<Item = &[u64]> {
    let (d, words) = (columns.resolution, columns.words);
    let (x, y) = (block / (d / factor) * factor, block % (d / factor) * factor);
    (0..factor * factor).map(move |i| {
        let column = (x + i / factor) * d + y + i % factor;
        &columns.bits[column * words..][..words]
    })
}

/// Ors each `factor` bits of `column` into one bit of `target`; `column` is used up.
fn pool_along_z(column: &mut [u64], target: &mut [u64], factor: usize, out: usize) {
    if !factor.is_power_of_two() {
        target.fill(0);
        for z in (0..out).filter(|z| ones(column, z * factor, factor) > 0) {
            target[z / 64] |= 1 << (z % 64);
        }
        return;
    }
    let mut len = column.len();
    for _ in 0..factor.trailing_zeros() {
        let half = |bits: u64| even_bits(bits | bits >> 1);
        for word in 0..len.div_ceil(2) {
            let high = if 2 * word + 1 < len { half(column[2 * word + 1]) } else { 0 };
            column[word] = half(column[2 * word]) | high << 32;
        }
        len = len.div_ceil(2);
    }
    target.copy_from_slice(&column[..target.len()]);
}

/// The bits of even number, moved together.
fn even_bits(bits: u64) -> u64 {
    let mut bits = bits & lanes(1);
    for width in [1, 2, 4, 8, 16] {
        bits = (bits | bits >> width) & lanes(2 * width);
    }
    bits
}

/// `width` ones, `width` zeros, `width` ones, ...
fn lanes(width: u32) -> u64 {
    u64::MAX / ((1 << width) + 1)
}

/// Adds up the ones of each `factor` bits of a block's columns, all lanes of a word at once: sums of
/// `factor`^3 fit lanes of twice `factor` bits for 2, 4, 8, 16 and 32.
fn count_lanes(columns: &Columns, block: usize, factor: usize, counts: &mut [u32]) {
    let width = factor as u32;
    let mask = lanes(width);
    for word in 0..columns.words {
        let (mut even, mut odd) = (0, 0);
        for column in block_columns(columns, block, factor) {
            let mut sums = column[word];
            let mut lane = 1;
            while lane < width {
                sums = (sums & lanes(lane)) + (sums >> lane & lanes(lane));
                lane *= 2;
            }
            even += sums & mask;
            odd += sums >> width & mask;
        }
        let lane_mask = u64::MAX >> (64 - 2 * width);
        let first = word * 64 / factor;
        for (z, count) in counts.iter_mut().enumerate().skip(first).take(64 / factor) {
            let lane = z - first;
            let sums = if lane.is_multiple_of(2) { even } else { odd };
            *count = (sums >> (lane / 2 * 2 * factor) & lane_mask) as u32;
        }
    }
}

/// The number of ones among `len` bits from bit `first` on.
fn ones(words: &[u64], first: usize, len: usize) -> u32 {
    let last = first + len - 1;
    (first / 64..=last / 64)
        .map(|word| {
            let low = first.saturating_sub(word * 64);
            let high = (last - word * 64).min(63);
            (words[word] & u64::MAX >> (63 - high) & u64::MAX << low).count_ones()
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn random_grids_are_pooled_as_cell_by_cell() {
        for (resolution, factor) in [
            (1, 1),
            (4, 4),
            (6, 2),
            (12, 3),
            (16, 2),
            (40, 8),
            (64, 16),
            (64, 32),
            (65, 5),
            (70, 35),
            (96, 2),
            (128, 4),
            (128, 64),
        ] {
            let grid = testing::random_grid(resolution, 0.7 / (factor as f64).powi(3), 23);
            let dense = testing::random_grid(resolution, 1.0 - 0.1 / factor as f64, 24);
            for grid in [grid, dense] {
                let out = resolution / factor;
                let mut counts = vec![0u32; out.pow(3)];
                for [x, y, z] in testing::cells(resolution) {
                    let [x_out, y_out, z_out] = [x, y, z].map(|i| i / factor);
                    counts[(x_out * out + y_out) * out + z_out] += u32::from(grid.get(x, y, z));
                }
                let full = factor.pow(3) as f64;
                let shares: Vec<f32> =
                    counts.iter().map(|count| (f64::from(*count) / full) as f32).collect();
                let soft = downsample_mean(&grid, factor).expect("a grid");
                let error = |(a, b): (&f32, &f32)| (a - b).abs();
                let worst = soft.values().iter().zip(&shares).map(error).fold(0.0, f32::max);
                assert!(worst < 1e-7, "{resolution} {factor}");
                let small = downsample(&grid, factor).expect("a grid");
                let wrong = (0..out.pow(3)).find(|i| small.get_index(*i) != (counts[*i] > 0));
                assert_eq!(wrong, None, "{resolution} {factor}");
                assert_eq!((small.scale, small.fill), (grid.scale, grid.fill));
            }
        }
    }

    #[test]
    fn blocks_must_fill_the_grid() {
        let grid = testing::random_grid(6, 0.5, 1);
        for factor in [0, 4, 12] {
            assert_eq!(downsample(&grid, factor).expect_err("no").code, "factor");
            assert_eq!(downsample_mean(&grid, factor).expect_err("no").code, "factor");
        }
    }
}
