//! Clip: the part of a triangle that a camera can project.

use voxflow_contract::{Camera, Intrinsics, Object, Transform};

use crate::kernels::lens::{GUARD, Landed, Lens, Projection};
use crate::kernels::raster::STEPS;
use crate::kernels::shade::dot;

/// Most corners of a triangle that was cut by five planes.
pub(crate) const MAX_CORNERS: usize = 8;

/// What cuts the triangles of a view.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clipper {
    camera: Transform<Camera, Object>,
    /// Focal lengths and principal point, in steps.
    focal: [f64; 2],
    center: [f64; 2],
    projection: Projection,
    near: f64,
}

/// A corner on its way to the picture: where it is in the camera frame, and where it landed if the
/// lens could project it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Corner {
    position: [f64; 3],
    landed: Option<Landed>,
}

impl Clipper {
    /// `side` samples along each side of a pixel.
    pub(crate) fn new(
        camera: &Transform<Camera, Object>,
        intrinsics: &Intrinsics,
        projection: Projection,
        near: f64,
        side: u32,
    ) -> Self {
        let steps = f64::from(side) * f64::from(STEPS);
        Self {
            camera: *camera,
            focal: [intrinsics.focal_x_px * steps, intrinsics.focal_y_px * steps],
            center: [intrinsics.center_x_px * steps, intrinsics.center_y_px * steps],
            projection,
            near,
        }
    }

    /// Cuts a triangle to what lies beyond the near plane and lands in reach: a convex polygon of up
    /// to eight corners, or nothing (Sutherland and Hodgman 1974).
    ///
    /// A corner that the lens could project stays where it landed, and an edge is always cut from its
    /// inner to its outer end, so two triangles that share it get the same new corner and no gap.
    pub(crate) fn clip(
        &self,
        lens: &Lens,
        triangle: [[f64; 3]; 3],
        landed: [Landed; 3],
    ) -> ([Landed; MAX_CORNERS], usize) {
        let corner = |i: usize| Corner {
            position: self.camera.apply(triangle[i]),
            landed: lens.is_in_reach(&landed[i]).then_some(landed[i]),
        };
        let mut polygon = [Corner::default(); MAX_CORNERS + 1];
        polygon[..3].copy_from_slice(&[corner(0), corner(1), corner(2)]);
        let mut count = 3;
        for (normal, offset) in self.planes() {
            let height = |position: [f64; 3]| dot(normal, position) + offset;
            (polygon, count) = clip_plane(&polygon[..count], height);
        }
        (std::array::from_fn(|i| self.land(lens, &polygon[i])), count.min(MAX_CORNERS))
    }

    /// Inside is where normal . position + offset is not negative.
    fn planes(&self) -> [([f64; 3], f64); 5] {
        // A little within the guard, so that what is rounded stays in it.
        let reach = f64::from(GUARD) * 0.999;
        let side = |axis: usize, sign: f64| {
            let mut normal = [0.0; 3];
            normal[axis] = sign * self.focal[axis];
            let room = reach + sign * self.center[axis];
            match self.projection {
                Projection::Perspective => {
                    normal[2] = room;
                    (normal, 0.0)
                }
                Projection::Orthographic => (normal, room),
            }
        };
        [([0.0, 0.0, 1.0], -self.near), side(0, 1.0), side(0, -1.0), side(1, 1.0), side(1, -1.0)]
    }

    fn land(&self, lens: &Lens, corner: &Corner) -> Landed {
        corner.landed.unwrap_or_else(|| {
            let [x, y, z] = corner.position;
            // Between corners far out, rounding alone may bring one before the plane it was cut at.
            let z = z.max(self.near);
            let divisor = if self.projection == Projection::Perspective { z } else { 1.0 };
            let fixed = |axis: usize, value: f64| {
                let value = self.focal[axis] * value / divisor + self.center[axis];
                value.clamp(-f64::from(GUARD), f64::from(GUARD)).round() as i32
            };
            Landed {
                x: fixed(0, x),
                y: fixed(1, y),
                z: z as f32,
                nearness: lens.nearness(z as f32),
            }
        })
    }
}

fn clip_plane(
    polygon: &[Corner],
    height: impl Fn([f64; 3]) -> f64,
) -> ([Corner; MAX_CORNERS + 1], usize) {
    let (mut kept, mut count) = ([Corner::default(); MAX_CORNERS + 1], 0);
    let mut keep = |corner: Corner| {
        // A convex polygon gains one corner a plane; one that is not finite might gain more.
        if count < MAX_CORNERS {
            kept[count] = corner;
            count += 1;
        }
    };
    for (i, corner) in polygon.iter().enumerate() {
        let next = &polygon[(i + 1) % polygon.len()];
        let (here, there) = (height(corner.position), height(next.position));
        if here >= 0.0 {
            keep(*corner);
        }
        if here >= 0.0 && there < 0.0 {
            keep(between(corner, next, here / (here - there)));
        } else if here < 0.0 && there >= 0.0 {
            keep(between(next, corner, there / (there - here)));
        }
    }
    (kept, count)
}

fn between(from: &Corner, to: &Corner, share: f64) -> Corner {
    let (a, b) = (from.position, to.position);
    Corner { position: [0, 1, 2].map(|i| a[i] + share * (b[i] - a[i])), landed: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn depths(zs: [f64; 3]) -> Vec<f32> {
        let camera = Transform::from_scale_translation(1.0, [0.0; 3]);
        let intrinsics = Intrinsics::from_fov_y_deg(40.0, 64, 64);
        let lens = Lens::new(&camera, &intrinsics, Projection::Perspective, 1.0, 1);
        let clipper = Clipper::new(&camera, &intrinsics, Projection::Perspective, 1.0, 1);
        let triangle = [0, 1, 2].map(|i| [i as f64, 0.0, zs[i]]);
        let landed = triangle.map(|corner| lens.land(corner.map(|x| x as f32)));
        let (polygon, count) = clipper.clip(&lens, triangle, landed);
        polygon[..count].iter().map(|corner| corner.z).collect()
    }

    #[test]
    fn what_is_behind_the_near_plane_is_cut_off() {
        assert_eq!(depths([2.0, 3.0, 4.0]), [2.0, 3.0, 4.0]);
        assert_eq!(depths([2.0, 3.0, 0.0]), [2.0, 3.0, 1.0, 1.0]);
        assert_eq!(depths([2.0, 0.0, 0.0]), [2.0, 1.0, 1.0]);
        assert_eq!(depths([0.0, 0.0, 0.0]), [] as [f32; 0]);
        assert_eq!(depths([f64::NAN; 3]), [] as [f32; 0]);
    }

    #[test]
    fn corners_so_far_out_that_rounding_moves_them_stay_beyond_the_near_plane() {
        for i in 0..200 {
            let far = |k: i32| f64::from((i * 37 + k * 101) % 211 - 105) * 1e31;
            let cut = depths([far(1), far(2), far(3)]);
            assert!(cut.iter().all(|z| *z >= 1.0), "{i}: {cut:?}");
        }
    }

    #[test]
    fn what_lands_far_outside_is_cut_to_what_fits() {
        let camera = Transform::from_scale_translation(1.0, [0.0; 3]);
        let intrinsics = Intrinsics::from_fov_y_deg(40.0, 64, 64);
        for projection in [Projection::Perspective, Projection::Orthographic] {
            let lens = Lens::new(&camera, &intrinsics, projection, 0.1, 1);
            let clipper = Clipper::new(&camera, &intrinsics, projection, 0.1, 1);
            let triangle = [[-1e9, 0.0, 1.0], [1e9, 1.0, 1.0], [0.0, 1e9, 1.0]];
            let landed = triangle.map(|corner| lens.land(corner.map(|x| x as f32)));
            assert!(landed.iter().all(|corner| !lens.is_in_reach(corner)));
            let (polygon, count) = clipper.clip(&lens, triangle, landed);
            assert!(count >= 4);
            assert!(polygon[..count].iter().all(|corner| lens.is_in_reach(corner)));
        }
    }
}
