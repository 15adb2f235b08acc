//! Morphology: grids grown and shrunk by their neighbours, 64 cells at once.

use schemars::JsonSchema;
use serde::Deserialize;
use voxflow_contract::{Fault, VoxelGrid};

use crate::kernels::columns::Columns;
use crate::kernels::unpack::{cropped, padded, unpack};

/// Which cells are beside each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Neighbours {
    /// The 6 cells that share a face.
    #[default]
    Faces,
    /// The 26 cells that share a corner at least.
    Corners,
}

/// The grid with every cell that has an occupied neighbour, `rounds` times. Beyond the border of the
/// grid all is empty, and what would grow past it is cut off.
///
/// Cost: a few operations on words of 64 cells each round; two grids of memory.
///
/// # Errors
/// `resolution`, `voxels`: not a grid.
///
/// # Examples
/// ```
/// use voxflow_contract::{Fill, VoxelGrid};
/// use voxflow_geometry::{Neighbours, dilate};
///
/// let mut grid = VoxelGrid::empty(5, [0.0; 3], [1.0; 3], Fill::Points);
/// grid.set(2, 2, 2);
/// assert_eq!(dilate(&grid, 1, Neighbours::Faces).unwrap().occupied(), 7);
/// assert_eq!(dilate(&grid, 1, Neighbours::Corners).unwrap().occupied(), 27);
/// ```
pub fn dilate(grid: &VoxelGrid, rounds: usize, neighbours: Neighbours) -> Result<VoxelGrid, Fault> {
    let columns = grow(unpack(grid)?, rounds, neighbours);
    Ok(columns.pack(grid.translation, grid.scale, grid.fill))
}

/// The grid without every cell that has an empty neighbour, `rounds` times. Beyond the border of the
/// grid all is empty, so that cells at the border go in the first round.
///
/// Cost and errors are those of [`dilate`].
///
/// # Errors
/// `resolution`, `voxels`: not a grid.
///
/// # Examples
/// ```
/// use voxflow_contract::{Fill, VoxelGrid};
/// use voxflow_geometry::{Neighbours, erode};
///
/// let full = VoxelGrid::from_bits(4, [0.0; 3], [1.0; 3], Fill::Unknown, vec![255; 8]).unwrap();
/// assert_eq!(erode(&full, 1, Neighbours::Faces).unwrap().occupied(), 8);
/// ```
pub fn erode(grid: &VoxelGrid, rounds: usize, neighbours: Neighbours) -> Result<VoxelGrid, Fault> {
    let columns = shrink(unpack(grid)?, rounds, neighbours);
    Ok(columns.pack(grid.translation, grid.scale, grid.fill))
}

/// The grid grown and shrunk again, with room around it: gaps between walls of up to
/// twice `rounds` cells close, and what is occupied stays so, at the border too.
///
/// Cost: that of as many rounds of [`dilate`] and [`erode`] on a grid wider by `rounds` on each side.
///
/// # Errors
/// `resolution`, `voxels`: not a grid; `rounds` past the resolution.
///
/// # Examples
/// ```
/// use voxflow_contract::{Fill, VoxelGrid};
/// use voxflow_geometry::{Neighbours, close};
///
/// let mut grid = VoxelGrid::empty(5, [0.0; 3], [1.0; 3], Fill::Points);
/// [0, 2].iter().for_each(|z| grid.set(0, 0, *z));
/// let closed = close(&grid, 1, Neighbours::Corners).unwrap();
/// assert!(closed.get(0, 0, 1));
/// assert_eq!(closed.occupied(), 3);
/// ```
pub fn close(grid: &VoxelGrid, rounds: usize, neighbours: Neighbours) -> Result<VoxelGrid, Fault> {
    let columns = unpack(grid)?;
    if rounds > columns.resolution {
        let message = format!("{rounds} rounds in a grid of {} cells", columns.resolution);
        return Err(Fault::new("rounds", message));
    }
    let closed = close_columns(&columns, rounds, neighbours);
    Ok(closed.pack(grid.translation, grid.scale, grid.fill))
}

/// As [`close`]; any number of rounds.
pub(crate) fn close_columns(columns: &Columns, rounds: usize, neighbours: Neighbours) -> Columns {
    let grown = grow(padded(columns, rounds), rounds, neighbours);
    cropped(&shrink(grown, rounds, neighbours), rounds)
}

fn grow(columns: Columns, rounds: usize, neighbours: Neighbours) -> Columns {
    // More rounds than cells change nothing.
    let rounds = rounds.min(3 * columns.resolution);
    (0..rounds).fold(columns, |columns, _| round(columns, neighbours, |a, b| a | b))
}

fn shrink(columns: Columns, rounds: usize, neighbours: Neighbours) -> Columns {
    let rounds = rounds.min(3 * columns.resolution);
    (0..rounds).fold(columns, |columns, _| round(columns, neighbours, |a, b| a & b))
}

/// Combines every cell with its neighbours.
fn round(from: Columns, neighbours: Neighbours, combine: impl Fn(u64, u64) -> u64) -> Columns {
    let (d, words) = (from.resolution, from.words);
    let mut to = from.clone();
    combine_along_z(&from, &mut to, &combine);
    match neighbours {
        Neighbours::Faces => {
            combine_beside(&from.bits, &mut to.bits, d * words, words, &combine);
            combine_beside(&from.bits, &mut to.bits, d * d * words, d * words, &combine);
        }
        Neighbours::Corners => {
            let mut from = from;
            from.bits.copy_from_slice(&to.bits);
            combine_beside(&from.bits, &mut to.bits, d * words, words, &combine);
            from.bits.copy_from_slice(&to.bits);
            combine_beside(&from.bits, &mut to.bits, d * d * words, d * words, &combine);
        }
    }
    to
}

fn combine_along_z(from: &Columns, to: &mut Columns, combine: &impl Fn(u64, u64) -> u64) {
    let words = from.words;
    let last = from.valid_bits(words - 1);
    for (from, to) in from.bits.chunks_exact(words).zip(to.bits.chunks_exact_mut(words)) {
        for word in 0..words {
            let below = if word > 0 { from[word - 1] >> 63 } else { 0 };
            let above = if word + 1 < words { from[word + 1] << 63 } else { 0 };
            let bits = combine(to[word], from[word] << 1 | below);
            to[word] = combine(bits, from[word] >> 1 | above);
        }
        to[words - 1] &= last;
    }
}

/// Combines each word of `to` with the words of `from` that are `stride` before and after it in its
/// block of `block` words; with nothing where the block ends.
fn combine_beside(
    from: &[u64],
    to: &mut [u64],
    block: usize,
    stride: usize,
    combine: &impl Fn(u64, u64) -> u64,
) {
    let rest = block - stride;
    for (from, to) in from.chunks_exact(block).zip(to.chunks_exact_mut(block)) {
        to[..stride].iter_mut().for_each(|to| *to = combine(*to, 0));
        to[stride..].iter_mut().zip(&from[..rest]).for_each(|(to, from)| *to = combine(*to, *from));
        to[..rest].iter_mut().zip(&from[stride..]).for_each(|(to, from)| *to = combine(*to, *from));
        to[rest..].iter_mut().for_each(|to| *to = combine(*to, 0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    /// Cell by cell: whether any, or all, of the cell and its neighbours are occupied.
    fn plain(grid: &VoxelGrid, neighbours: Neighbours, is_growing: bool) -> VoxelGrid {
        let d = grid.resolution as i64;
        let mut result = VoxelGrid::empty(grid.resolution, grid.translation, grid.scale, grid.fill);
        let get = |c: [i64; 3]| {
            c.iter().all(|i| (0..d).contains(i))
                && grid.get(c[0] as usize, c[1] as usize, c[2] as usize)
        };
        for cell in testing::cells(grid.resolution) {
            let mut around = testing::cells(3).filter_map(|step| {
                let step = step.map(|i| i as i64 - 1);
                let far = step.iter().map(|i| i.abs()).sum::<i64>();
                let is_beside = neighbours == Neighbours::Corners || far <= 1;
                is_beside.then(|| [0, 1, 2].map(|axis| cell[axis] as i64 + step[axis]))
            });
            if if is_growing { around.any(get) } else { around.all(get) } {
                result.set(cell[0], cell[1], cell[2]);
            }
        }
        result
    }

    #[test]
    fn random_grids_grow_and_shrink_as_cell_by_cell() {
        for resolution in [1, 2, 9, 16, 33, 64, 66] {
            for neighbours in [Neighbours::Faces, Neighbours::Corners] {
                let sparse = testing::random_grid(resolution, 0.02, 5);
                let expected = plain(&plain(&sparse, neighbours, true), neighbours, true);
                assert_eq!(dilate(&sparse, 2, neighbours), Ok(expected), "{resolution}");
                let dense = testing::random_grid(resolution, 0.98, 6);
                let expected = plain(&plain(&dense, neighbours, false), neighbours, false);
                assert_eq!(erode(&dense, 2, neighbours), Ok(expected), "{resolution}");
            }
        }
    }

    #[test]
    fn closing_keeps_what_is_there_and_closes_gaps_even_at_the_border() {
        for neighbours in [Neighbours::Faces, Neighbours::Corners] {
            let grid = testing::random_grid(20, 0.05, 8);
            let closed = close(&grid, 2, neighbours).expect("a grid");
            assert!(closed.bits().iter().zip(grid.bits()).all(|(a, b)| a & b == *b));
            assert_eq!(close(&closed, 2, neighbours).as_ref(), Ok(&closed), "once is enough");
        }
        let mut walls = VoxelGrid::empty(9, [0.0; 3], [1.0; 3], voxflow_contract::Fill::Unknown);
        for [x, y, z] in testing::cells(9).filter(|cell| [3, 5].contains(&cell[2])) {
            walls.set(x, y, z);
        }
        let closed = close(&walls, 1, Neighbours::Corners).expect("a grid");
        assert_eq!(closed.occupied(), 3 * 81);
        assert_eq!(close(&walls, 10, Neighbours::Faces).expect_err("too many").code, "rounds");
    }

    #[test]
    fn many_rounds_end() {
        let mut grid = testing::random_grid(12, 0.0, 1);
        grid.set(0, 0, 0);
        assert_eq!(dilate(&grid, usize::MAX, Neighbours::Faces).expect("a grid").occupied(), 1728);
        assert_eq!(erode(&grid, usize::MAX, Neighbours::Faces).expect("a grid").occupied(), 0);
    }
}
