//! Lens: where points of the mesh land on the fixed-point grid of a picture's samples.

use voxflow_contract::{Camera, Intrinsics, Object, Transform};
use wide::{f32x4, i32x4};

use crate::kernels::pack::Bounds;
use crate::kernels::raster::{Area, STEPS, cell};

/// How points become pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Projection {
    /// A pinhole: x / z and y / z, times the focal length.
    #[default]
    Perspective,
    /// Parallel rays along z: the focal lengths are pixels per unit of the mesh.
    Orthographic,
}

/// How far from the picture's corner a point may land, in steps, before its triangle is clipped:
/// edge functions of nearer points fit their whole numbers.
pub(crate) const GUARD: i32 = 1 << 27;

/// A projection of samples, in single precision: what is rounded to the grid afterwards is coarser.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lens {
    /// Rows u, v and z of the matrix; the focal lengths, in steps, are in u and v.
    pub(crate) rows: [[f32; 4]; 3],
    /// Principal point in steps.
    pub(crate) center: [f32; 2],
    pub(crate) near: f32,
    pub(crate) projection: Projection,
    /// Samples along x and y.
    pub(crate) size: [u32; 2],
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
    /// Its nearness.
    pub(crate) nearness: f32,
}

/// A point that is about to land: `x` and `y` are not rounded to whole steps yet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Landing {
    pub(crate) x: f32,
    pub(crate) y: f32,
    pub(crate) z: f32,
    pub(crate) nearness: f32,
}

/// What is known of everything in a box before it is looked at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Outlook {
    /// Nothing in the box is nearer.
    pub(crate) high: f32,
    /// Nothing in the box covers a sample outside.
    pub(crate) area: Area,
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
        let center = [intrinsics.center_x_px, intrinsics.center_y_px];
        Self {
            rows: [
                row(0, intrinsics.focal_x_px * steps),
                row(1, intrinsics.focal_y_px * steps),
                row(2, 1.0),
            ],
            center: center.map(|c| (c * steps) as f32),
            near: near as f32,
            projection,
            size: [intrinsics.width_px * side, intrinsics.height_px * side],
        }
    }

    /// Where a point lands.
    #[cfg(test)]
    pub(crate) fn land(&self, point: [f32; 3]) -> Landed {
        let landing = match self.projection {
            Projection::Perspective => self.approach::<false>(point),
            Projection::Orthographic => self.approach::<true>(point),
        };
        let [x, y, ..] = steps([landing.x, landing.y, 0.0, 0.0]);
        Landed { x, y, z: landing.z, nearness: landing.nearness }
    }

    /// The one place where points are projected: whoever asks gets the same numbers. `ORTHOGRAPHIC`
    /// says again what `projection` does. [`steps`] makes steps of the grid of `x` and `y`.
    #[inline(always)]
    pub(crate) fn approach<const ORTHOGRAPHIC: bool>(&self, point: [f32; 3]) -> Landing {
        let [u, v, z] = self.seen_from_camera(point);
        let inverse = if ORTHOGRAPHIC { 1.0 } else { 1.0 / z };
        let nearness = if ORTHOGRAPHIC { -z } else { inverse };
        let [x, y] = [within(u * inverse, self.center[0]), within(v * inverse, self.center[1])];
        Landing { x, y, z, nearness }
    }

    #[inline(always)]
    fn seen_from_camera(&self, [x, y, z]: [f32; 3]) -> [f32; 3] {
        let product = |row: &[f32; 4]| row[0] * x + row[1] * y + row[2] * z + row[3];
        [product(&self.rows[0]), product(&self.rows[1]), product(&self.rows[2])]
    }

    /// The nearness of a depth: see [`crate::kernels::rays::Nearness`].
    pub(crate) fn nearness(&self, z: f32) -> f32 {
        match self.projection {
            Projection::Perspective => 1.0 / z,
            Projection::Orthographic => -z,
        }
    }

    /// Whether a triangle with this corner needs no clipping for its sake.
    pub(crate) fn is_in_reach(&self, point: &Landed) -> bool {
        point.z >= self.near && point.x.abs() < GUARD && point.y.abs() < GUARD
    }

    /// What is known of everything in a box, or of anything at all if there is none.
    pub(crate) fn outlook(&self, bounds: Option<&Bounds>) -> Outlook {
        let [width, height] = self.size.map(|size| size as usize);
        let whole = Area { left: 0, right: width, top: 0, bottom: height };
        let unknown = Outlook { high: f32::INFINITY, area: whole };
        bounds.and_then(|bounds| self.outlook_on(bounds)).unwrap_or(unknown)
    }

    /// Nothing if the box reaches before the near plane, or too far out.
    fn outlook_on(&self, bounds: &Bounds) -> Option<Outlook> {
        match self.projection {
            Projection::Perspective => self.outlook_by::<false>(bounds),
            Projection::Orthographic => self.outlook_by::<true>(bounds),
        }
    }

    #[inline(always)]
    fn outlook_by<const ORTHOGRAPHIC: bool>(&self, bounds: &Bounds) -> Option<Outlook> {
        let sides = [&bounds.low, &bounds.high];
        let corner = |i: usize| [0, 1, 2].map(|axis| sides[i >> axis & 1][axis]);
        let (mut low, mut high) = ([f32::INFINITY; 3], [f32::NEG_INFINITY; 3]);
        let mut nearest = f32::NEG_INFINITY;
        for i in 0..8 {
            let Landing { x, y, z, nearness } = self.approach::<ORTHOGRAPHIC>(corner(i));
            for (axis, value) in [x, y, z].into_iter().enumerate() {
                low[axis] = low[axis].min(value);
                high[axis] = high[axis].max(value);
            }
            nearest = nearest.max(nearness);
        }
        let guard = GUARD as f32;
        let is_near = low[0].min(low[1]) > -guard && high[0].max(high[1]) < guard;
        if !is_near || low[2] < self.near {
            return None;
        }
        let slack = self.slack(sides, low[2])?;
        let cells = |axis: usize| {
            let size = self.size[axis] as i32;
            let [first, last, ..] = steps([low[axis], high[axis], 0.0, 0.0]);
            [cell(first - slack, size) as usize, cell(last + slack, size) as usize]
        };
        let ([left, right], [top, bottom]) = (cells(0), cells(1));
        // Rounding keeps order, so no point of the box is nearer than the nearest of its corners.
        Some(Outlook { high: nearest, area: Area { left, right, top, bottom } })
    }

    /// Steps by which rounding may let a point of a box land outside of where the box does, of which
    /// `nearest` is the least depth.
    fn slack(&self, [low, high]: [&[f32; 3]; 2], nearest: f32) -> Option<i32> {
        let size = |row: &[f32; 4]| {
            let along = |axis: usize| row[axis].abs() * low[axis].abs().max(high[axis].abs());
            along(0) + along(1) + along(2) + row[3].abs()
        };
        let [u, v, z] = [size(&self.rows[0]), size(&self.rows[1]), size(&self.rows[2])];
        let divisor = if self.projection == Projection::Perspective { nearest } else { 1.0 };
        // Some ten roundings, each by half of what the last of 24 bits is worth.
        let steps = (u.max(v) + GUARD as f32 * z) / divisor * f32::EPSILON * 8.0;
        (steps < GUARD as f32 / 2.0).then(|| steps as i32 + 2)
    }
}

/// Half a step past the place, so that cutting off its fraction rounds it where it is above 0; within
/// the guard, also if it is no number.
#[inline(always)]
fn within(value: f32, center: f32) -> f32 {
    let value = value + center + 0.5;
    let guard = GUARD as f32;
    let value = if value > -guard { value } else { -guard };
    if value < guard { value } else { guard }
}

/// Whole steps, without the check for what is no number that `as` makes.
#[inline(always)]
pub(crate) fn steps(values: [f32; 4]) -> [i32; 4] {
    let steps: i32x4 = f32x4::new(values).fast_trunc_int();
    steps.to_array()
}
