//! Lens: where points of the mesh land on the fixed-point grid of a picture's samples.

use bytemuck::cast;
use voxflow_contract::{Camera, Intrinsics, Object, Transform};
use wide::{f32x4, i16x8, i32x4, i32x8};

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
pub(crate) const GUARD: i32 = 1 << 27;
/// Cells of one point in all views: the columns in the first four lanes, the rows in the others.
pub(crate) type Cells = i16x8;

/// Rows u, v and z of a matrix of four views, or of one view four times.
type Rows = [[f32x4; 4]; 3];

/// A projection of samples, in single precision: what is rounded to the grid afterwards is coarser.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lens {
    /// Rows u, v and z of the matrix, each number in all lanes; the focal lengths, in steps, are in u
    /// and v.
    rows: Rows,
    /// Principal point in steps.
    center: [f32x4; 2],
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

/// Four points on the grid.
pub(crate) struct LandedLanes {
    pub(crate) x: i32x4,
    pub(crate) y: i32x4,
    pub(crate) z: f32x4,
    pub(crate) nearness: f32x4,
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
        let row = |i: usize, factor: f64| {
            camera.matrix[i].map(|cell| f32x4::splat((cell * factor) as f32))
        };
        let center = [intrinsics.center_x_px, intrinsics.center_y_px];
        Self {
            rows: [
                row(0, intrinsics.focal_x_px * steps),
                row(1, intrinsics.focal_y_px * steps),
                row(2, 1.0),
            ],
            center: center.map(|c| f32x4::splat((c * steps) as f32)),
            near: near as f32,
            projection,
            size: [intrinsics.width_px * side, intrinsics.height_px * side],
        }
    }

    /// Where a point lands.
    pub(crate) fn land(&self, point: [f32; 3]) -> Landed {
        let landed = self.land_lanes(&point.map(f32x4::splat));
        Landed {
            x: landed.x.to_array()[0],
            y: landed.y.to_array()[0],
            nearness: landed.nearness.to_array()[0],
            z: landed.z.to_array()[0],
        }
    }

    /// Where four points land.
    #[inline(always)]
    pub(crate) fn land_lanes(&self, points: &[f32x4; 3]) -> LandedLanes {
        match self.projection {
            Projection::Perspective => land::<false>(&self.rows, points, &self.center),
            Projection::Orthographic => land::<true>(&self.rows, points, &self.center),
        }
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
}

/// Lenses of up to [`LANES`] views.
pub(crate) struct LensLanes {
    rows: Rows,
    center: [f32x4; 2],
    near: f32x4,
    /// One past the last column and row.
    end: Cells,
    projection: Projection,
}

impl LensLanes {
    /// All of one projection; missing ones repeat the last.
    ///
    /// # Panics
    /// When there are none.
    pub(crate) fn new(lenses: &[Lens]) -> Self {
        let lane = |i: usize| &lenses[i.min(lenses.len() - 1)];
        let lanes = |get: &dyn Fn(&Lens) -> f32| f32x4::new(std::array::from_fn(|i| get(lane(i))));
        let row =
            |i: usize| std::array::from_fn(|j| lanes(&|lens: &Lens| lens.rows[i][j].to_array()[0]));
        let center = |i: usize| lanes(&|lens: &Lens| lens.center[i].to_array()[0]);
        let end = std::array::from_fn(|i| lane(i % LANES).size[i / LANES] as i16);
        Self {
            rows: [row(0), row(1), row(2)],
            center: [center(0), center(1)],
            near: lanes(&|lens: &Lens| lens.near),
            end: i16x8::new(end),
            projection: lenses[0].projection,
        }
    }

    /// The cells of all points, replacing what `cells` holds.
    pub(crate) fn cells(&self, points: &[[f32; 3]], cells: &mut Vec<Cells>) {
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

    /// For each view the column and row of the first sample whose centre does not lie before the
    /// point, clamped to the picture; -1 for a point before the near plane.
    #[inline(always)]
    fn cell<const ORTHOGRAPHIC: bool>(&self, [x, y, z]: [f32; 3]) -> Cells {
        let points = [f32x4::splat(x), f32x4::splat(y), f32x4::splat(z)];
        let LandedLanes { x, y, z, .. } = land::<ORTHOGRAPHIC>(&self.rows, &points, &self.center);
        let first = i32x4::splat(HALF - 1);
        let (column, row): (i32x4, i32x4) = ((x + first) >> SHIFT, (y + first) >> SHIFT);
        let is_seen: i32x4 = cast(z.simd_ge(self.near));
        let cell = pack(column, row).max(i16x8::ZERO).min(self.end);
        cell | !pack(is_seen, is_seen)
    }
}

/// Lanes of which the numbers fit 16 bits.
#[inline(always)]
fn pack(low: i32x4, high: i32x4) -> i16x8 {
    i16x8::from_i32x8_saturate(cast::<[i32x4; 2], i32x8>([low, high]))
}

/// The views, one a bit, in which a triangle with these cells may cover the centre of a sample: not
/// where all corners are in one column or in one row of cells.
#[inline(always)]
pub(crate) fn may_cover(a: Cells, b: Cells, c: Cells) -> u32 {
    let differs = (a ^ b) | (a ^ c);
    let same = differs.simd_eq(i16x8::ZERO).to_bitmask();
    !(same | same >> LANES) & ((1 << LANES) - 1)
}

/// The one place where points are projected: whoever asks gets the same steps of the grid.
#[inline(always)]
fn land<const ORTHOGRAPHIC: bool>(
    rows: &Rows,
    points: &[f32x4; 3],
    center: &[f32x4; 2],
) -> LandedLanes {
    let u = row_product(&rows[0], points);
    let v = row_product(&rows[1], points);
    let z = row_product(&rows[2], points);
    let inverse = if ORTHOGRAPHIC { f32x4::ONE } else { f32x4::ONE / z };
    let nearness = if ORTHOGRAPHIC { -z } else { inverse };
    LandedLanes { x: fixed(u * inverse, center[0]), y: fixed(v * inverse, center[1]), z, nearness }
}

#[inline(always)]
fn row_product(row: &[f32x4; 4], points: &[f32x4; 3]) -> f32x4 {
    row[0] * points[0] + row[1] * points[1] + row[2] * points[2] + row[3]
}

/// Rounded to whole steps, half a step up where the number is above 0; a NaN becomes any number.
#[inline(always)]
fn fixed(value: f32x4, center: f32x4) -> i32x4 {
    let value = value + center + f32x4::HALF;
    let guard = f32x4::splat(GUARD as f32);
    value.fast_max(-guard).fast_min(guard).fast_trunc_int()
}
