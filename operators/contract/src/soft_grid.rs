//! `SoftGrid`: a cubic grid of occupancies between empty and full, that knows where it lies.

/// A cubic grid of `resolution`^3 numbers, 0 for empty and 1 for full.
///
/// Cell (x, y, z) is number `(x * resolution + y) * resolution + z`; its box lies as that of a cell
/// of a [`crate::VoxelGrid`].
#[derive(Debug, Clone, PartialEq)]
pub struct SoftGrid {
    /// Cells along each axis.
    pub resolution: usize,
    /// Minimum corner of the grid in the mesh's frame.
    pub translation: [f64; 3],
    /// Edge lengths of the whole grid in the mesh's frame.
    pub scale: [f64; 3],
    values: Vec<f32>,
}

impl SoftGrid {
    /// A grid of these values; `None` when their number is not right for the resolution.
    pub fn new(
        resolution: usize,
        translation: [f64; 3],
        scale: [f64; 3],
        values: Vec<f32>,
    ) -> Option<Self> {
        let cells = resolution.checked_mul(resolution)?.checked_mul(resolution)?;
        (values.len() == cells).then_some(Self { resolution, translation, scale, values })
    }

    /// The value of a cell.
    pub fn get(&self, x: usize, y: usize, z: usize) -> f32 {
        self.values[(x * self.resolution + y) * self.resolution + z]
    }

    /// All values, x slowest, z fastest.
    pub fn values(&self) -> &[f32] {
        &self.values
    }
}
