//! `camera_from_object`: the pose of a camera that looks at the origin.

use voxflow_contract::{Camera, Object, Transform};

/// The pose of an OpenCV camera (x right, y down, z forward) that looks at the origin of the object's
/// frame, +Y up in the picture.
///
/// It stands at `distance` from the origin; azimuth 0 is on +Z, azimuth 90 on +X; elevation is the
/// angle above the XZ plane. Straight above and below, where up has no direction in the picture, it
/// is the limit of coming there along the azimuth.
///
/// # Examples
/// ```
/// let camera = voxflow_geometry::camera_from_object(0.0, 0.0, 2.0);
/// assert_eq!(camera.apply([0.25, 0.5, 1.0]), [0.25, -0.5, 1.0]);
/// ```
pub fn camera_from_object(
    azimuth_deg: f64,
    elevation_deg: f64,
    distance: f64,
) -> Transform<Camera, Object> {
    let (sin_azimuth, cos_azimuth) = azimuth_deg.to_radians().sin_cos();
    let (sin_elevation, cos_elevation) = elevation_deg.to_radians().sin_cos();
    let right = [cos_azimuth, 0.0, -sin_azimuth];
    let down = [sin_elevation * sin_azimuth, -cos_elevation, sin_elevation * cos_azimuth];
    let forward = [-cos_elevation * sin_azimuth, -sin_elevation, -cos_elevation * cos_azimuth];
    Transform::from_parts([right, down, forward], [0.0, 0.0, distance])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: [f64; 3], b: [f64; 3]) -> bool {
        a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12)
    }

    #[test]
    fn the_eye_is_at_the_camera_origin_and_the_object_origin_straight_ahead() {
        for (azimuth, elevation) in [(0.0, 0.0), (30.0, 30.0), (250.0, -60.0), (90.0, 90.0)] {
            let camera = camera_from_object(azimuth, elevation, 2.5);
            let (a, e) = (f64::to_radians(azimuth), f64::to_radians(elevation));
            let eye = [e.cos() * a.sin(), e.sin(), e.cos() * a.cos()].map(|x| 2.5 * x);
            assert!(near(camera.apply(eye), [0.0; 3]), "{azimuth} {elevation}");
            assert!(near(camera.apply([0.0; 3]), [0.0, 0.0, 2.5]));
        }
    }

    #[test]
    fn the_pose_is_a_rotation_and_up_stays_up() {
        let camera = camera_from_object(200.0, 40.0, 1.0);
        let row = |i: usize| [0, 1, 2].map(|j| camera.matrix[i][j]);
        let dot = |a: [f64; 3], b: [f64; 3]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let [r, d, f] = [row(0), row(1), row(2)];
        let cross =
            [r[1] * d[2] - r[2] * d[1], r[2] * d[0] - r[0] * d[2], r[0] * d[1] - r[1] * d[0]];
        assert!(near(cross, f));
        assert!((dot(r, r) - 1.0).abs() < 1e-12 && dot(r, d).abs() < 1e-12);
        assert!(camera.apply([0.0, 0.1, 0.0])[1] < 0.0);
    }
}
