//! `largest_component`: of the pieces of a grid only the largest.

use voxflow_contract::{Fault, VoxelGrid};

use crate::kernels::columns::Columns;
use crate::kernels::morphology::Neighbours;
use crate::kernels::unpack::unpack;

/// Most runs of occupied cells that are worked on: 1 GiB.
const MAX_RUNS: usize = 1 << 27;

/// The largest piece of a grid.
#[derive(Debug, Clone, PartialEq)]
pub struct LargestComponent {
    /// The grid with the cells of that piece only.
    pub grid: VoxelGrid,
    /// Cells of that piece.
    pub cells: usize,
    /// Pieces of the grid as it was.
    pub components: usize,
}

/// Keeps the piece with the most cells; of equal ones that which holds the first cell in the order of
/// cell numbers. A grid without an occupied cell has no piece and stays as it is.
///
/// Runs of cells along z are united where they touch (He, Chao and Suzuki, "A run-based
/// two-scan labeling algorithm", 2008; union-find by Tarjan). Cost: some 10 ns a run, 8 bytes a run.
///
/// # Errors
/// `resolution`, `voxels`: not a grid; `too_large` past 2^27 runs.
///
/// # Examples
/// ```
/// use voxflow_contract::{Fill, VoxelGrid};
/// use voxflow_geometry::{Neighbours, largest_component};
///
/// let mut grid = VoxelGrid::empty(4, [0.0; 3], [1.0; 3], Fill::Unknown);
/// [(0, 0, 0), (1, 1, 1), (3, 3, 2), (3, 3, 3), (3, 2, 3)].iter().for_each(|c| grid.set(c.0, c.1, c.2));
/// let largest = largest_component(&grid, Neighbours::Faces).unwrap();
/// assert_eq!((largest.components, largest.cells, largest.grid.occupied()), (3, 3, 3));
/// ```
pub fn largest_component(
    grid: &VoxelGrid,
    neighbours: Neighbours,
) -> Result<LargestComponent, Fault> {
    let columns = unpack(grid)?;
    let mut runs = Runs::of(&columns)?;
    runs.unite_all(neighbours);
    let (components, cells, root) = runs.largest();
    let kept = runs.only(root);
    let grid = kept.pack(grid.translation, grid.scale, grid.fill);
    Ok(LargestComponent { grid, cells, components })
}

/// In a root's entry: the rest is the number of its cells. In any other: the entry is another run of
/// its piece, of a lower number.
const ROOT: u32 = 1 << 31;

/// Runs of occupied cells, and the pieces they belong to.
struct Runs {
    resolution: usize,
    /// First run of each column, and the number of all.
    starts: Vec<u32>,
    /// First and last cell of each run.
    spans: Vec<[u16; 2]>,
    entries: Vec<u32>,
}

impl Runs {
    fn of(columns: &Columns) -> Result<Self, Fault> {
        let mut spans = Vec::new();
        let mut starts = Vec::with_capacity(columns.resolution.pow(2) + 1);
        for column in columns.bits.chunks_exact(columns.words) {
            starts.push(spans.len() as u32);
            push_runs(column, &mut spans);
            if spans.len() > MAX_RUNS {
                let message = format!("more than {MAX_RUNS} runs of cells: this is noise");
                return Err(Fault::new("too_large", message));
            }
        }
        starts.push(spans.len() as u32);
        let entries =
            spans.iter().map(|[first, last]| ROOT | u32::from(last - first + 1)).collect();
        Ok(Self { resolution: columns.resolution, starts, spans, entries })
    }

    fn unite_all(&mut self, neighbours: Neighbours) {
        let d = self.resolution;
        let reach = u16::from(neighbours == Neighbours::Corners);
        for column in 0..d * d {
            let (x, y) = (column / d, column % d);
            let beside = [
                (y > 0).then(|| column - 1),
                (x > 0).then(|| column.wrapping_sub(d)),
                (x > 0 && y > 0 && reach > 0).then(|| column.wrapping_sub(d + 1)),
                (x > 0 && y + 1 < d && reach > 0).then(|| column.wrapping_sub(d - 1)),
            ];
            beside.into_iter().flatten().for_each(|other| self.unite_columns(other, column, reach));
        }
    }

    /// Unites the runs of two columns that are no more than `reach` cells apart along z.
    fn unite_columns(&mut self, a: usize, b: usize, reach: u16) {
        let (mut i, end_i) = (self.starts[a], self.starts[a + 1]);
        let (mut j, end_j) = (self.starts[b], self.starts[b + 1]);
        while i < end_i && j < end_j {
            let ([first_i, last_i], [first_j, last_j]) =
                (self.spans[i as usize], self.spans[j as usize]);
            if first_i <= last_j + reach && first_j <= last_i + reach {
                self.unite(i, j);
            }
            // The one that ends first can meet nothing that comes later, but for the reach.
            if last_i < last_j { i += 1 } else { j += 1 }
        }
    }

    fn root(&mut self, mut run: u32) -> u32 {
        loop {
            let above = self.entries[run as usize];
            if above & ROOT != 0 {
                return run;
            }
            let higher = self.entries[above as usize];
            if higher & ROOT != 0 {
                return above;
            }
            self.entries[run as usize] = higher;
            run = higher;
        }
    }

    fn unite(&mut self, a: u32, b: u32) {
        let (a, b) = (self.root(a), self.root(b));
        if a != b {
            let cells = self.entries[b.max(a) as usize] & !ROOT;
            self.entries[a.min(b) as usize] += cells;
            self.entries[a.max(b) as usize] = a.min(b);
        }
    }

    /// Number of pieces; cells and root of the largest.
    fn largest(&self) -> (usize, usize, u32) {
        let mut largest = (0, 0, 0);
        for (run, entry) in self.entries.iter().enumerate().filter(|(_, entry)| *entry & ROOT != 0)
        {
            let cells = (entry & !ROOT) as usize;
            largest.0 += 1;
            if cells > largest.1 {
                (largest.1, largest.2) = (cells, run as u32);
            }
        }
        largest
    }

    /// The cells of one piece.
    fn only(&mut self, root: u32) -> Columns {
        let d = self.resolution;
        let mut columns = Columns::empty(d);
        for column in 0..d * d {
            for run in self.starts[column]..self.starts[column + 1] {
                if self.root(run) == root {
                    let [first, last] = self.spans[run as usize].map(usize::from);
                    columns.set_span(column / d, column % d, first, last);
                }
            }
        }
        columns
    }
}

/// The runs of ones of a column.
fn push_runs(column: &[u64], spans: &mut Vec<[u16; 2]>) {
    let mut carry = 0;
    for (number, word) in column.iter().enumerate() {
        // A one where a run begins, and where the first zero after a run is.
        let mut changes = word ^ (word << 1 | carry);
        carry = word >> 63;
        while changes != 0 {
            let bit = changes.trailing_zeros() as usize;
            let cell = (number * 64 + bit) as u16;
            if word >> bit & 1 == 1 {
                spans.push([cell, u16::MAX]);
            } else if let Some(open) = spans.last_mut() {
                open[1] = cell - 1;
            }
            changes &= changes - 1;
        }
    }
    if let Some(open) = spans.last_mut().filter(|_| carry == 1) {
        open[1] = (column.len() * 64 - 1) as u16;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use voxflow_contract::Fill;

    /// Cell by cell, with a stack: number of pieces, and the first of the largest.
    fn plain(grid: &VoxelGrid, neighbours: Neighbours) -> LargestComponent {
        let d = grid.resolution as i64;
        let mut rest = grid.clone();
        let (mut largest, mut components) = (vec![], 0);
        for start in testing::cells(grid.resolution) {
            let (mut stack, mut piece) = (vec![start], vec![]);
            while let Some(cell) = stack.pop() {
                let index = rest.index(cell[0], cell[1], cell[2]);
                if !rest.get_index(index) {
                    continue;
                }
                rest.bits_mut()[index / 8] &= !(1 << (index % 8));
                piece.push(cell);
                stack.extend(testing::cells(3).filter_map(|step| {
                    let step = step.map(|i| i as i64 - 1);
                    let far = step.iter().map(|i| i.abs()).sum::<i64>();
                    let next = [0, 1, 2].map(|axis| cell[axis] as i64 + step[axis]);
                    let is_beside = neighbours == Neighbours::Corners || far <= 1;
                    let is_in = next.iter().all(|i| (0..d).contains(i));
                    (is_beside && is_in).then(|| next.map(|i| i as usize))
                }));
            }
            components += usize::from(!piece.is_empty());
            if piece.len() > largest.len() {
                largest = piece;
            }
        }
        let mut kept = VoxelGrid::empty(grid.resolution, grid.translation, grid.scale, grid.fill);
        largest.iter().for_each(|cell| kept.set(cell[0], cell[1], cell[2]));
        LargestComponent { grid: kept, cells: largest.len(), components }
    }

    #[test]
    fn random_grids_fall_into_the_pieces_that_a_plain_search_finds() {
        for (resolution, density) in
            [(1, 1.0), (2, 0.4), (6, 0.1), (9, 0.0), (16, 0.3), (33, 0.12), (40, 1.0), (66, 0.29)]
        {
            for neighbours in [Neighbours::Faces, Neighbours::Corners] {
                let grid = testing::random_grid(resolution, density, 11);
                let found = largest_component(&grid, neighbours).expect("a grid");
                assert_eq!(found, plain(&grid, neighbours), "{resolution} {density}");
            }
        }
    }

    #[test]
    fn of_equal_pieces_the_first_is_kept() {
        let mut grid = VoxelGrid::empty(70, [0.0; 3], [1.0; 3], Fill::Unknown);
        [(0, 1, 69), (0, 0, 64), (69, 69, 0)].iter().for_each(|c| grid.set(c.0, c.1, c.2));
        let found = largest_component(&grid, Neighbours::Faces).expect("a grid");
        assert!(found.grid.get(0, 0, 64));
        assert_eq!((found.cells, found.components), (1, 3));
    }
}
