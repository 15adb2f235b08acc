//! `Fit`: where a grid lies about a mesh; `Frame`: the grid's place, and points in its cells.

use voxflow_contract::{Bounds, Fault};

use crate::kernels::cell_range::{greater, lesser};

/// How much the program binvox grows a cell on each side before it asks whether a triangle touches
/// it, as a share of the cell's edge.
///
/// Measured, since binvox is closed: of the 1,932 cells of the pair `mesh-binvox-pair` (32^3, made by
/// the real program) plain closed cells give 1,902, all of them right; the 30 that lack need a cell
/// that is larger by up to 0.009767 on each side, and the nearest cell that binvox left empty needs
/// 0.010070. Every margin between the two gives the file bit for bit; 0.01 is the round number there.
/// Solid filling is not what made the file: it adds 25 cells that the file leaves empty.
pub const BINVOX_CELL_MARGIN: f64 = 0.01;

/// How far a mesh may reach out of the unit cube, in its edges: rounding of a normalised mesh to f32.
const OUTSIDE_TOLERANCE: f64 = 1e-6;

/// Where the grid lies about the mesh.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub enum Fit {
    /// As `binvox -e`: minimum corner at the mesh's, edge its longest side, and cells 2 % larger than
    /// their grid ([`BINVOX_CELL_MARGIN`]) when they are tested.
    Binvox,
    /// A cube of the mesh's longest side about the middle of its bounding box.
    Centered,
    /// The cube from -0.5 to 0.5 on each axis, as `normalize` leaves a mesh; all samples in one frame.
    #[default]
    UnitCube,
    /// As `Centered`, and wider on each side by this share of the longest side.
    Padded(f64),
    /// Each axis fitted for itself: from `m` to `M`, the mesh's ends moved out by this share of its
    /// extent there (the CO3D brief has 0.05), and cell
    /// `floor((p - m) / (M - m) * (resolution - 1))` for a coordinate `p`. Cells are as wide as
    /// that makes them, so the last one begins where the mesh's box, moved out, ends. Shapes are
    /// stretched; `scale` of the grid says by how much.
    PerAxis(f64),
    /// A box with these corners. What lies outside of it is cut off.
    Box {
        /// Smallest coordinate on each axis.
        min: [f64; 3],
        /// Largest coordinate on each axis.
        max: [f64; 3],
    },
}

impl Fit {
    /// How much a cell grows on each side before it is tested, as a share of its edge.
    pub fn cell_margin(self) -> f64 {
        if self == Self::Binvox { BINVOX_CELL_MARGIN } else { 0.0 }
    }

    /// Whether the grid lies where the mesh lies, and not at a place of its own.
    pub(crate) fn follows_mesh(self) -> bool {
        !matches!(self, Self::UnitCube | Self::Box { .. })
    }

    /// Refuses numbers that make no grid.
    ///
    /// # Errors
    /// `fit`: a padding that is negative or not finite, a box without volume.
    pub fn check(self) -> Result<(), Fault> {
        match self {
            Self::Padded(share) | Self::PerAxis(share) if !(0.0..=1e6).contains(&share) => {
                Err(Fault::new("fit", format!("padding {share} is not from 0 to 1e6")))
            }
            Self::Box { min, max } => {
                let is_side = |axis: usize| {
                    let length = max[axis] - min[axis];
                    length.is_finite() && length > 0.0
                };
                if [0, 1, 2].into_iter().all(is_side) {
                    return Ok(());
                }
                Err(Fault::new("fit", format!("the box from {min:?} to {max:?} has no volume")))
            }
            _ => Ok(()),
        }
    }

    /// The grid's place for a mesh with these bounds.
    pub(crate) fn frame(self, bounds: &Bounds, resolution: usize) -> Result<Frame, Fault> {
        self.check()?;
        let longest = bounds.longest();
        let cube = |min, edge| Ok(Frame::new(min, [edge; 3], resolution, true));
        match self {
            Self::Binvox | Self::Centered | Self::Padded(_) if longest <= 0.0 => {
                Err(Fault::new("degenerate", "all points of the mesh are one point"))
            }
            Self::Binvox => cube(bounds.min, longest),
            Self::Centered => cube(bounds.center().map(|c| c - 0.5 * longest), longest),
            Self::Padded(share) => {
                let edge = longest * (1.0 + 2.0 * share);
                cube(bounds.center().map(|c| c - 0.5 * edge), edge)
            }
            Self::UnitCube => check_inside(bounds).and_then(|()| cube([-0.5; 3], 1.0)),
            Self::PerAxis(share) => per_axis(bounds, share, resolution),
            Self::Box { min, max } => {
                let scale = [0, 1, 2].map(|axis| max[axis] - min[axis]);
                Ok(Frame::new(min, scale, resolution, false))
            }
        }
    }
}

fn per_axis(bounds: &Bounds, share: f64, resolution: usize) -> Result<Frame, Fault> {
    let extents = bounds.extents();
    if let Some(axis) = extents.iter().position(|extent| *extent <= 0.0) {
        let message =
            format!("the mesh is flat along {}; it cannot be stretched", b"xyz"[axis] as char);
        return Err(Fault::new("degenerate", message));
    }
    let steps = (resolution.max(2) - 1) as f64;
    let min = [0, 1, 2].map(|axis| bounds.min[axis] - share * extents[axis]);
    let width = |axis: usize| bounds.max[axis] + share * extents[axis] - min[axis];
    let scale = [0, 1, 2].map(|axis| width(axis) * resolution as f64 / steps);
    Ok(Frame::new(min, scale, resolution, true))
}

fn check_inside(bounds: &Bounds) -> Result<(), Fault> {
    let limit = 0.5 + OUTSIDE_TOLERANCE;
    if bounds.min.iter().all(|x| *x >= -limit) && bounds.max.iter().all(|x| *x <= limit) {
        return Ok(());
    }
    let Bounds { min, max } = bounds;
    let message = format!(
        "the mesh reaches from {min:?} to {max:?}, out of the unit cube; use `normalize` before, or \
         fit = \"centered\""
    );
    Err(Fault::new("outside", message))
}

/// The place of a grid, and how points of the mesh's frame get into its cells.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Frame {
    /// Minimum corner.
    pub(crate) translation: [f64; 3],
    /// Edges.
    pub(crate) scale: [f64; 3],
    cells_per_unit: [f64; 3],
    low: f64,
    high: f64,
}

impl Frame {
    /// `holds_all` says that the whole mesh lies in the grid, so that a coordinate past its border is
    /// a rounding error, to be moved back: else a flat side of the mesh that lies just on the border
    /// could be lost.
    pub(crate) fn new(
        translation: [f64; 3],
        scale: [f64; 3],
        resolution: usize,
        holds_all: bool,
    ) -> Self {
        let cells = resolution as f64;
        let (low, high) = if holds_all { (0.0, cells) } else { (f64::NEG_INFINITY, f64::INFINITY) };
        Self { translation, scale, cells_per_unit: scale.map(|edge| cells / edge), low, high }
    }

    /// A point of the mesh's frame in cells: cell (0, 0, 0) is from (0, 0, 0) to (1, 1, 1).
    #[inline(always)]
    pub(crate) fn in_cells(&self, point: &[f32; 3]) -> [f64; 3] {
        [0, 1, 2].map(|axis| self.in_cells_along(point[axis], axis))
    }

    /// One coordinate of a point.
    #[inline(always)]
    pub(crate) fn in_cells_along(&self, coordinate: f32, axis: usize) -> f64 {
        let distance = f64::from(coordinate) - self.translation[axis];
        lesser(greater(distance * self.cells_per_unit[axis], self.low), self.high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(fit: Fit, expected: Result<([f64; 3], [f64; 3]), &'static str>) {
        let bounds = Bounds { min: [1.0, 2.0, 3.0], max: [2.0, 6.0, 5.0] };
        let frame = fit.frame(&bounds, 9);
        let place = frame.map(|frame| (frame.translation, frame.scale)).map_err(|fault| fault.code);
        assert_eq!(place, expected, "{fit:?}");
    }

    #[test]
    fn frames_are_what_the_fits_promise() {
        check(Fit::Binvox, Ok(([1.0, 2.0, 3.0], [4.0; 3])));
        check(Fit::Centered, Ok(([-0.5, 2.0, 2.0], [4.0; 3])));
        check(Fit::Padded(0.25), Ok(([-1.5, 1.0, 1.0], [6.0; 3])));
        check(Fit::UnitCube, Err("outside"));
        check(Fit::PerAxis(0.5), Ok(([0.5, 0.0, 2.0], [2.25, 9.0, 4.5])));
        let (min, max) = ([0.0, 1.0, 2.0], [1.0, 3.0, 7.0]);
        check(Fit::Box { min, max }, Ok((min, [1.0, 2.0, 5.0])));
        for fit in [
            Fit::Box { min, max: [1.0, 1.0, 7.0] },
            Fit::Box { min: [f64::NAN; 3], max },
            Fit::Box { min: [-f64::MAX; 3], max: [f64::MAX; 3] },
            Fit::Padded(-0.1),
            Fit::PerAxis(f64::NAN),
        ] {
            check(fit, Err("fit"));
        }
    }

    #[test]
    fn flat_meshes_and_points_have_no_size_to_follow() {
        let flat = Bounds { min: [0.0; 3], max: [1.0, 0.0, 1.0] };
        let point = Bounds { min: [0.1; 3], max: [0.1; 3] };
        let code = |fit: Fit, bounds| fit.frame(bounds, 8).err().map(|fault| fault.code);
        assert_eq!(code(Fit::PerAxis(0.05), &flat), Some("degenerate"));
        assert_eq!(code(Fit::Centered, &flat), None);
        for fit in [Fit::Binvox, Fit::Centered, Fit::Padded(0.1)] {
            assert_eq!(code(fit, &point), Some("degenerate"));
        }
    }

    #[test]
    fn coordinates_past_the_border_by_rounding_are_moved_onto_it() {
        let frame = Frame::new([-0.5; 3], [1.0; 3], 32, true);
        let at = 0.500_000_06;
        assert_eq!(frame.in_cells(&[at, -at, 0.25]), [32.0, 0.0, 24.0]);
        let open = Frame::new([-0.5; 3], [1.0; 3], 32, false);
        assert!(open.in_cells(&[at, -at, 0.25])[0] > 32.0);
    }
}
