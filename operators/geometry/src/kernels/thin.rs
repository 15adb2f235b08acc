//! Thin: a surface through which no path from face to face gets, and hardly a cell more.

use voxflow_contract::TriMesh;

use crate::kernels::columns::Columns;
use crate::kernels::crossing::{Lines, Take, find_crossings};
use crate::kernels::fit::Frame;
use crate::kernels::simd::{Kernel, run_widest};

/// The 6-separating surface: the cells of which a triangle cuts the cross of three segments that join
/// the middles of opposite faces.
///
/// Laine, "A topological approach to voxelization", 2013: a path from face to face runs from centre
/// to centre, along halves of such crosses, so it cannot pass the surface without meeting one that is
/// cut. For an infinite plane it is the test of Huang and others, "An accurate method for voxelizing
/// polygon meshes", 1998: the distance of the centre is at most half the largest component of the
/// normal. Ties: segments hold their lower end and not the upper, but for the last cell of the grid,
/// which holds both; whether a segment passes inside a triangle is decided as in [`find_crossings`].
pub(crate) fn mark_thin(mesh: &TriMesh, resolution: usize, frame: &Frame) -> Columns {
    run_widest(MarkThin { mesh, resolution, frame })
}

struct MarkThin<'a> {
    mesh: &'a TriMesh,
    resolution: usize,
    frame: &'a Frame,
}

impl Kernel for MarkThin<'_> {
    type Output = Columns;

    #[inline(always)]
    fn run(self) -> Columns {
        let mut cut = Cut {
            columns: Columns::empty(self.resolution),
            lines: Lines::ALL[0],
            cells: self.resolution as f64,
        };
        for lines in Lines::ALL {
            cut.lines = lines;
            find_crossings(self.mesh, self.frame, self.resolution, lines, &mut cut);
        }
        cut.columns
    }
}

/// Marks the cell in which a line crosses a triangle.
struct Cut {
    columns: Columns,
    lines: Lines,
    cells: f64,
}

impl Take for Cut {
    #[inline(always)]
    fn take(&mut self, row: usize, place: usize, at: f64) {
        if let Some(cell) = cell_of(at, self.cells) {
            let [x, y, z] = self.lines.cell(row, place, cell);
            self.columns.set(x, y, z);
        }
    }
}

/// The cell of a coordinate: cells hold their lower end, and the last one both.
#[inline(always)]
fn cell_of(at: f64, cells: f64) -> Option<usize> {
    let is_in = at >= 0.0 && at <= cells;
    is_in.then_some(if at < cells { at as i32 as usize } else { cells as i32 as usize - 1 })
}

/// The cells that hold a vertex of the mesh; a vertex between cells is in the one with the larger
/// numbers, but for the last of the grid.
pub(crate) fn mark_points(mesh: &TriMesh, resolution: usize, frame: &Frame) -> Columns {
    let mut columns = Columns::empty(resolution);
    for vertex in &mesh.vertices {
        let [x, y, z] = frame.in_cells(vertex).map(|at| cell_of(at, resolution as f64));
        if let (Some(x), Some(y), Some(z)) = (x, y, z) {
            columns.set(x, y, z);
        }
    }
    columns
}
