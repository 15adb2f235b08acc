//! Rays: the ray of each sample of a picture, in the frame of the mesh, and what it meets of a plane.

use voxflow_contract::{Camera, Intrinsics, Object, Transform};

use crate::kernels::lens::Projection;
use crate::kernels::shade::{cross, dot, minus};

/// A number that changes over the picture as `at[0] * u + at[1] * v + at[2]`, u and v in samples.
pub(crate) type Affine = [f64; 3];

/// The value of an affine number.
pub(crate) fn value_at(affine: Affine, u: f64, v: f64) -> f64 {
    affine[0] * u + affine[1] * v + affine[2]
}

/// The rays of a view.
///
/// Perspective: from `fixed`, the eye, along `moving`, whose depth is 1. Orthographic: from `moving`, a
/// point of depth 0, along `fixed`, whose depth is 1.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rays {
    projection: Projection,
    fixed: [f64; 3],
    /// What `moving` changes by for each u and v, and what it is at (0, 0).
    moving: [[f64; 3]; 3],
}

impl Rays {
    pub(crate) fn new(
        camera: &Transform<Camera, Object>,
        intrinsics: &Intrinsics,
        projection: Projection,
        side: u32,
    ) -> Self {
        let m = &camera.matrix;
        let side = f64::from(side);
        let (fx, fy) = (intrinsics.focal_x_px * side, intrinsics.focal_y_px * side);
        let (cx, cy) = (intrinsics.center_x_px * side, intrinsics.center_y_px * side);
        let row = |i: usize, factor: f64| [0, 1, 2].map(|j| m[i][j] * factor);
        let t = camera.translation();
        let eye = [0, 1, 2].map(|j| -(m[0][j] * t[0] + m[1][j] * t[1] + m[2][j] * t[2]));
        let forward = row(2, 1.0);
        let (u, v) = (row(0, 1.0 / fx), row(1, 1.0 / fy));
        let start = match projection {
            Projection::Perspective => forward,
            Projection::Orthographic => eye,
        };
        let origin = [0, 1, 2].map(|j| start[j] - cx * u[j] - cy * v[j]);
        let fixed = match projection {
            Projection::Perspective => eye,
            Projection::Orthographic => forward,
        };
        Self { projection, fixed, moving: [u, v, origin] }
    }

    /// The nearness of the plane of a triangle. Where the plane contains a ray, its numbers may be
    /// infinite or NaN.
    ///
    /// Nearness is what the z-buffer holds: one over the depth in a perspective view, minus the depth
    /// in an orthographic one. Both are affine over the picture, and larger is nearer.
    pub(crate) fn nearness(&self, corners: [[f64; 3]; 3]) -> Affine {
        match self.projection {
            Projection::Perspective => self.nearness_by::<false>(corners),
            Projection::Orthographic => self.nearness_by::<true>(corners),
        }
    }

    /// [`Self::nearness`]; `ORTHOGRAPHIC` says again what the projection is.
    #[inline(always)]
    pub(crate) fn nearness_by<const ORTHOGRAPHIC: bool>(&self, [a, b, c]: [[f64; 3]; 3]) -> Affine {
        let normal = cross(minus(b, a), minus(c, a));
        let [u, v, origin] = self.moving;
        let (scale, origin) = if ORTHOGRAPHIC {
            (1.0 / dot(normal, self.fixed), minus(origin, a))
        } else {
            (1.0 / dot(normal, minus(a, self.fixed)), origin)
        };
        [dot(normal, u) * scale, dot(normal, v) * scale, dot(normal, origin) * scale]
    }

    /// The depth of a nearness; finite, also of what is as far as numbers go.
    #[inline(always)]
    pub(crate) fn depth(&self, nearness: f32) -> f32 {
        let depth = match self.projection {
            Projection::Perspective => 1.0 / nearness,
            Projection::Orthographic => -nearness,
        };
        depth.min(f32::MAX)
    }

    /// Above 0 where a plane with this normal through `point` is seen from the side the normal is on.
    #[inline(always)]
    pub(crate) fn facing(&self, normal: [f64; 3], point: [f64; 3]) -> f64 {
        match self.projection {
            Projection::Perspective => dot(normal, minus(self.fixed, point)),
            Projection::Orthographic => -dot(normal, self.fixed),
        }
    }

    /// The three barycentric weights of where a ray meets a triangle's plane, times one number.
    pub(crate) fn weights(&self, corners: [[f64; 3]; 3]) -> [Affine; 3] {
        [(1, 2), (2, 0), (0, 1)].map(|(j, k)| {
            let (gradient, constant) = match self.projection {
                Projection::Perspective => {
                    let spokes = [j, k].map(|i: usize| minus(corners[i], self.fixed));
                    (cross(spokes[0], spokes[1]), 0.0)
                }
                Projection::Orthographic => {
                    let along = cross(minus(corners[k], corners[j]), self.fixed);
                    let constant = dot(self.fixed, cross(corners[j], corners[k]));
                    (along.map(|x| -x), constant)
                }
            };
            let [u, v, origin] = self.moving.map(|m| dot(gradient, m));
            [u, v, origin + constant]
        })
    }
}
