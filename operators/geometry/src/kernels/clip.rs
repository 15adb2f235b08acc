//! Clip: the part of a triangle that a camera can project.

use voxflow_contract::Intrinsics;

use crate::kernels::shade::dot;

/// How far out of the picture a projected point may lie, in pixels, before its triangle is clipped:
/// past it the rasteriser's whole numbers would overflow.
pub(crate) const GUARD_PX: f64 = 1_048_576.0;

/// A corner on its way to the picture: where it is in the camera frame, and its normal there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ClipCorner {
    pub(crate) position: [f64; 3],
    pub(crate) normal: [f64; 3],
}

/// Cuts a triangle to what lies beyond the near plane and projects to within [`GUARD_PX`]: a convex
/// polygon of up to eight corners, or nothing (Sutherland and Hodgman 1974).
///
/// An edge is always cut from its inner to its outer end, so two triangles that share it get the same
/// new corner and no gap.
pub(crate) fn clip(
    triangle: [ClipCorner; 3],
    intrinsics: &Intrinsics,
    near: f64,
) -> Vec<ClipCorner> {
    let Intrinsics { focal_x_px, focal_y_px, center_x_px, center_y_px, .. } = *intrinsics;
    // Inside is where normal . position + offset is not negative.
    let planes = [
        ([0.0, 0.0, 1.0], -near),
        ([focal_x_px, 0.0, GUARD_PX + center_x_px], 0.0),
        ([-focal_x_px, 0.0, GUARD_PX - center_x_px], 0.0),
        ([0.0, focal_y_px, GUARD_PX + center_y_px], 0.0),
        ([0.0, -focal_y_px, GUARD_PX - center_y_px], 0.0),
    ];
    let mut polygon = triangle.to_vec();
    for (normal, offset) in planes {
        polygon = clip_plane(&polygon, |position| dot(normal, position) + offset);
    }
    polygon
}

fn clip_plane(polygon: &[ClipCorner], height: impl Fn([f64; 3]) -> f64) -> Vec<ClipCorner> {
    let mut kept = Vec::with_capacity(polygon.len() + 1);
    for (i, corner) in polygon.iter().enumerate() {
        let next = &polygon[(i + 1) % polygon.len()];
        let (here, there) = (height(corner.position), height(next.position));
        if here >= 0.0 {
            kept.push(*corner);
        }
        if here >= 0.0 && there < 0.0 {
            kept.push(between(corner, next, here / (here - there)));
        } else if here < 0.0 && there >= 0.0 {
            kept.push(between(next, corner, there / (there - here)));
        }
    }
    kept
}

fn between(from: &ClipCorner, to: &ClipCorner, share: f64) -> ClipCorner {
    let mix = |a: [f64; 3], b: [f64; 3]| [0, 1, 2].map(|i| a[i] + share * (b[i] - a[i]));
    ClipCorner { position: mix(from.position, to.position), normal: mix(from.normal, to.normal) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn depths(zs: [f64; 3]) -> Vec<f64> {
        let corner = |i: usize| ClipCorner { position: [i as f64, 0.0, zs[i]], normal: [0.0; 3] };
        let intrinsics = Intrinsics::from_fov_y_deg(40.0, 64, 64);
        let polygon = clip([corner(0), corner(1), corner(2)], &intrinsics, 1.0);
        polygon.iter().map(|corner| corner.position[2]).collect()
    }

    #[test]
    fn what_is_behind_the_near_plane_is_cut_off() {
        assert_eq!(depths([2.0, 3.0, 4.0]), [2.0, 3.0, 4.0]);
        assert_eq!(depths([2.0, 3.0, 0.0]), [2.0, 3.0, 1.0, 1.0]);
        assert_eq!(depths([2.0, 0.0, 0.0]), [2.0, 1.0, 1.0]);
        assert_eq!(depths([0.0, 0.0, 0.0]), [] as [f64; 0]);
        assert_eq!(depths([f64::NAN; 3]), [] as [f64; 0]);
    }
}
