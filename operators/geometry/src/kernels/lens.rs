//! Lens: where points of the mesh land on the fixed-point grid of a picture's samples.

use voxflow_contract::{Camera, Intrinsics, Object, Transform};

use crate::kernels::raster::{HALF, SHIFT, STEPS};

/// How points become pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Projection {
    /// A pinhole: x / z and y / z, times the focal length.
    #[default]
    Perspective,
    /// Parallel rays along z: the focal lengths are pixels per unit of the mesh.
    Orthographic,
}

/// Views whose points are projected together, one in each lane of a SIMD register.
pub(crate) const LANES: usize = 4;
/// How far from the picture's corner a point may land, in steps, before its triangle is clipped:
/// edge functions of nearer points fit their whole numbers.
pub(crate) const GUARD: i32 = 1 << 25;
/// In both halves of the cell of a point before the near plane; no cell has it.
const BEFORE_NEAR: u32 = 0x8000_8000;

type Lanes = [f32; LANES];

/// A projection of samples, in single precision: what is rounded to the grid afterwards is coarser.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lens {
    /// Rows u, v and z of the matrix; the focal lengths, in steps, are in u and v.
    rows: [[f32; 4]; 3],
    /// Principal point in steps.
    center: [f32; 2],
    pub(crate) near: f32,
    pub(crate) projection: Projection,
    /// Samples along x and y.
    size: [u32; 2],
}

/// A point on the grid.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Landed {
    /// In steps from the left.
    pub(crate) x: i32,
    /// In steps from the top.
    pub(crate) y: i32,
    /// Depth.
    pub(crate) z: f32,
}

impl Lens {
    /// `side` samples along each side of a pixel.
    pub(crate) fn new(
        camera: &Transform<Camera, Object>,
        intrinsics: &Intrinsics,
        projection: Projection,
        near: f64,
        side: u32,
    ) -> Self {
        let steps = f64::from(side) * f64::from(STEPS);
        let row = |i: usize, factor: f64| camera.matrix[i].map(|cell| (cell * factor) as f32);
        Self {
            rows: [
                row(0, intrinsics.focal_x_px * steps),
                row(1, intrinsics.focal_y_px * steps),
                row(2, 1.0),
            ],
            center: [intrinsics.center_x_px, intrinsics.center_y_px].map(|c| (c * steps) as f32),
            near: near as f32,
            projection,
            size: [intrinsics.width_px * side, intrinsics.height_px * side],
        }
    }

    /// Where the three corners of a triangle land.
    pub(crate) fn land(&self, corners: [[f32; 3]; 3]) -> [Landed; 3] {
        let rows = self.rows.map(|row| row.map(|cell| [cell; LANES]));
        let points = [0, 1, 2]
            .map(|axis| [corners[0][axis], corners[1][axis], corners[2][axis], corners[0][axis]]);
        let center = self.center.map(|c| [c; LANES]);
        let (x, y, z) = match self.projection {
            Projection::Perspective => land::<false>(&rows, &points, &center),
            Projection::Orthographic => land::<true>(&rows, &points, &center),
        };
        [0, 1, 2].map(|i| Landed { x: x[i], y: y[i], z: z[i] })
    }

    /// Whether a triangle with this corner needs no clipping for its sake.
    pub(crate) fn is_in_reach(&self, point: &Landed) -> bool {
        point.z >= self.near && point.x.abs() < GUARD && point.y.abs() < GUARD
    }
}

/// Lenses of up to [`LANES`] views.
pub(crate) struct LensLanes {
    rows: [[Lanes; 4]; 3],
    center: [Lanes; 2],
    near: Lanes,
    size: [[i32; LANES]; 2],
    projection: Projection,
}

impl LensLanes {
    /// All of one projection; missing ones repeat the last.
    ///
    /// # Panics
    /// When there are none.
    pub(crate) fn new(lenses: &[Lens]) -> Self {
        let lane = |i: usize| &lenses[i.min(lenses.len() - 1)];
        let lanes = |get: &dyn Fn(&Lens) -> f32| std::array::from_fn(|i| get(lane(i)));
        let row = |i: usize| std::array::from_fn(|j| lanes(&|lens: &Lens| lens.rows[i][j]));
        Self {
            rows: [row(0), row(1), row(2)],
            center: [0, 1].map(|i| lanes(&|lens: &Lens| lens.center[i])),
            near: lanes(&|lens: &Lens| lens.near),
            size: [0, 1].map(|i| std::array::from_fn(|l| lane(l).size[i] as i32)),
            projection: lenses[0].projection,
        }
    }

    /// The cells of all points, replacing what `cells` holds.
    pub(crate) fn cells(&self, points: &[[f32; 3]], cells: &mut Vec<[u32; LANES]>) {
        cells.clear();
        match self.projection {
            Projection::Perspective => {
                cells.extend(points.iter().map(|point| self.cell::<false>(*point)));
            }
            Projection::Orthographic => {
                cells.extend(points.iter().map(|point| self.cell::<true>(*point)));
            }
        }
    }

    /// For each view the column (low half) and row (high half) of the first sample whose centre does
    /// not lie before the point, clamped to the picture.
    fn cell<const ORTHOGRAPHIC: bool>(&self, point: [f32; 3]) -> [u32; LANES] {
        let points = point.map(|x| [x; LANES]);
        let (x, y, z) = land::<ORTHOGRAPHIC>(&self.rows, &points, &self.center);
        std::array::from_fn(|i| {
            let column = ((x[i] + HALF - 1) >> SHIFT).clamp(0, self.size[0][i]) as u32;
            let row = ((y[i] + HALF - 1) >> SHIFT).clamp(0, self.size[1][i]) as u32;
            if z[i] >= self.near[i] { row << 16 | column } else { BEFORE_NEAR }
        })
    }
}

/// Whether a triangle with these cells may cover the centre of a sample: not when all corners are
/// in one column or in one row of cells.
pub(crate) fn may_cover(a: u32, b: u32, c: u32) -> bool {
    let differs = (a ^ b) | (a ^ c);
    (differs & 0xffff != 0) & (differs >> 16 != 0)
}

/// The one place where points are projected: whoever asks gets the same steps of the grid.
#[inline(always)]
fn land<const ORTHOGRAPHIC: bool>(
    rows: &[[Lanes; 4]; 3],
    points: &[Lanes; 3],
    center: &[Lanes; 2],
) -> ([i32; LANES], [i32; LANES], Lanes) {
    let product = |row: &[Lanes; 4]| -> Lanes {
        std::array::from_fn(|i| {
            row[0][i] * points[0][i] + row[1][i] * points[1][i] + row[2][i] * points[2][i] + row[3][i]
        })
    };
    let (u, v, z) = (product(&rows[0]), product(&rows[1]), product(&rows[2]));
    let inverse: Lanes =
        std::array::from_fn(|i| if ORTHOGRAPHIC { 1.0 } else { 1.0 / z[i] });
    let fixed = |numbers: Lanes, center: &Lanes| -> [i32; LANES] {
        std::array::from_fn(|i| {
            let value = numbers[i] * inverse[i] + center[i] + 0.5;
            // Written so that a NaN is clamped too.
            let value = if value > -(GUARD as f32) { value } else { -(GUARD as f32) };
            let value = if value < GUARD as f32 { value } else { GUARD as f32 };
            value as i32
        })
    };
    (fixed(u, &center[0]), fixed(v, &center[1]), z)
}
