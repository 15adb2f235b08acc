//! Carve: parities along three axes vote, and what can be seen from outside is carved away.

use voxflow_contract::TriMesh;

use crate::kernels::columns::Columns;
use crate::kernels::crossing::Lines;
use crate::kernels::fit::Frame;
use crate::kernels::parity::fill_by_parity;

/// `surface`, and every cell that is both
///
/// - inside by vote: at least two of the parities along x, y and z say so, and
/// - hidden: on its lines along x, y and z there is a cell of `surface` on both sides of it, so that
///   it is seen from none of six sides.
///
/// A gap in a mesh makes one parity wrong along the lines through it; the vote mends where the other
/// two are right, and what a wrong parity fills outside of the shape is seen from some side. Closed
/// holes inside stay empty, as parity has them. After Nooruddin and Turk, "Simplification and repair
/// of polygonal models using volumetric techniques", 2003, and the options of the program binvox.
pub(crate) fn fill_by_vote(
    mesh: &TriMesh,
    resolution: usize,
    frame: &Frame,
    surface: Columns,
) -> Columns {
    let mut inside = vote(mesh, resolution, frame);
    keep_hidden_along_z(&surface, &mut inside);
    let plane = resolution * surface.words;
    let planes = surface.bits.chunks_exact(plane).zip(inside.bits.chunks_exact_mut(plane));
    planes.for_each(|(walls, inside)| keep_hidden(walls, inside, resolution));
    keep_hidden(&surface.bits, &mut inside.bits, resolution);
    let mut filled = surface;
    filled.unite(&inside);
    filled
}

/// The cells for which two of three parities are odd.
fn vote(mesh: &TriMesh, resolution: usize, frame: &Frame) -> Columns {
    let [along_x, along_y, along_z] = Lines::ALL;
    let mut votes = fill_by_parity(mesh, resolution, frame, along_x);
    let mut both = votes.clone();
    let second = fill_by_parity(mesh, resolution, frame, along_y);
    both.bits.iter_mut().zip(&second.bits).for_each(|(both, bits)| *both &= bits);
    votes.unite(&second);
    drop(second);
    let third = fill_by_parity(mesh, resolution, frame, along_z);
    for ((votes, both), third) in votes.bits.iter_mut().zip(&both.bits).zip(&third.bits) {
        *votes = *both | (*votes & third);
    }
    votes
}

/// Keeps of `cells` those between two of `walls` in their column, or on one.
fn keep_hidden_along_z(walls: &Columns, cells: &mut Columns) {
    let words = walls.words;
    for (walls, cells) in walls.bits.chunks_exact(words).zip(cells.bits.chunks_exact_mut(words)) {
        let first = walls.iter().position(|word| *word != 0).unwrap_or(words);
        let last = walls.iter().rposition(|word| *word != 0).unwrap_or(0);
        for (number, cells) in cells.iter_mut().enumerate() {
            if number < first || number > last {
                *cells = 0;
            }
            if number == first {
                *cells &= u64::MAX << walls[number].trailing_zeros();
            }
            if number == last && walls[number] != 0 {
                *cells &= u64::MAX >> walls[number].leading_zeros();
            }
        }
    }
}

/// Of `count` layers that lie one after the other: keeps of `cells` those that have one of `walls` in
/// a layer before them, or on them, and in one behind.
fn keep_hidden(walls: &[u64], cells: &mut [u64], count: usize) {
    let layer = walls.len() / count;
    let carve = |seen: &mut [u64], n: usize, cells: &mut [u64]| {
        let range = n * layer..(n + 1) * layer;
        let layers = walls[range.clone()].iter().zip(&mut cells[range]);
        for (seen, (wall, cell)) in seen.iter_mut().zip(layers) {
            *seen |= wall;
            *cell &= *seen;
        }
    };
    let mut seen = vec![0; layer];
    (0..count).for_each(|n| carve(&mut seen, n, cells));
    seen.fill(0);
    (0..count).rev().for_each(|n| carve(&mut seen, n, cells));
}

#[cfg(test)]
mod tests {
    use super::*;
    use voxflow_contract::Random;

    /// Cell by cell, asking all six lines.
    fn check(resolution: usize, seed: u64) {
        let mut random = Random::new(seed, &["carve"]);
        let [mut walls, mut cells] = [0; 2].map(|_| Columns::empty(resolution));
        let number = |x, y, z| (x * resolution + y) * resolution + z;
        let mut is_wall = vec![false; resolution.pow(3)];
        let mut expected = is_wall.clone();
        for x in 0..resolution {
            for y in 0..resolution {
                for z in 0..resolution {
                    is_wall[number(x, y, z)] = random.chance(0.08);
                    expected[number(x, y, z)] = random.chance(0.7);
                    if is_wall[number(x, y, z)] {
                        walls.set(x, y, z);
                    }
                    if expected[number(x, y, z)] {
                        cells.set(x, y, z);
                    }
                }
            }
        }
        keep_hidden_along_z(&walls, &mut cells);
        let plane = resolution * walls.words;
        let planes = walls.bits.chunks_exact(plane).zip(cells.bits.chunks_exact_mut(plane));
        planes.for_each(|(walls, cells)| keep_hidden(walls, cells, resolution));
        keep_hidden(&walls.bits, &mut cells.bits, resolution);
        let grid = cells.pack([0.0; 3], [1.0; 3], voxflow_contract::Fill::Unknown);
        for cell in 0..resolution.pow(3) {
            let at =
                [cell / resolution / resolution, cell / resolution % resolution, cell % resolution];
            let is_hidden = (0..3).all(|axis| {
                let wall_at = |i: usize| {
                    let mut at = at;
                    at[axis] = i;
                    is_wall[number(at[0], at[1], at[2])]
                };
                (0..=at[axis]).any(wall_at) && (at[axis]..resolution).any(wall_at)
            });
            assert_eq!(grid.get_index(cell), expected[cell] && is_hidden, "{resolution}: {at:?}");
        }
    }

    #[test]
    fn only_hidden_cells_are_kept() {
        for (seed, resolution) in [1, 2, 7, 16, 65, 70].into_iter().enumerate() {
            check(resolution, seed as u64);
        }
    }
}
