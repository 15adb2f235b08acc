//! `CornerBlock`: the corners of some triangles side by side, in cells.

use voxflow_contract::TriMesh;

use crate::kernels::fit::Frame;

/// Triangles of a block.
pub(crate) const BLOCK: usize = 64;

/// The corners of up to [`BLOCK`] triangles as structure of arrays.
///
/// Gathering them first, without a branch, lets the machine wait for many vertices at once instead of
/// for one after the other; and what follows is done for four triangles at a time.
pub(crate) struct CornerBlock {
    /// For each corner and axis the coordinates in the mesh's frame.
    raw: [[[f32; BLOCK]; 3]; 3],
    /// For each axis and corner the coordinates in cells.
    cells: [[[f64; BLOCK]; 3]; 3],
}

impl CornerBlock {
    /// A block of triangles that are nothing yet.
    pub(crate) fn new() -> Self {
        Self { raw: [[[0.0; BLOCK]; 3]; 3], cells: [[[0.0; BLOCK]; 3]; 3] }
    }

    /// Takes triangles of the mesh; no more than [`BLOCK`].
    #[inline(always)]
    pub(crate) fn gather(&mut self, mesh: &TriMesh, triangles: &[[u32; 3]], frame: &Frame) {
        for (i, triangle) in triangles.iter().enumerate().take(BLOCK) {
            for corner in 0..3 {
                let vertex = mesh.vertices[triangle[corner] as usize];
                for axis in 0..3 {
                    self.raw[corner][axis][i] = vertex[axis];
                }
            }
        }
        for axis in 0..3 {
            for corner in 0..3 {
                let (raw, cells) = (&self.raw[corner][axis], &mut self.cells[axis][corner]);
                for i in 0..BLOCK {
                    cells[i] = frame.in_cells_along(raw[i], axis);
                }
            }
        }
    }

    /// For each corner the coordinates along an axis.
    #[inline(always)]
    pub(crate) fn along(&self, axis: usize) -> &[[f64; BLOCK]; 3] {
        &self.cells[axis]
    }

    /// The coordinates of the corners of one triangle along an axis.
    #[inline(always)]
    pub(crate) fn of(&self, triangle: usize, axis: usize) -> [f64; 3] {
        let corners = &self.cells[axis];
        [corners[0][triangle], corners[1][triangle], corners[2][triangle]]
    }
}
