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

/// The pose of a camera after it is turned about its axis by `roll_deg`, from x (right) towards y (down).
pub(crate) fn rolled(
    camera: &Transform<Camera, Object>,
    roll_deg: f64,
) -> Transform<Camera, Object> {
    if roll_deg == 0.0 {
        return *camera;
    }
    let (sin, cos) = roll_deg.to_radians().sin_cos();
    let turn = [[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]];
    Transform::<Camera, Camera>::from_parts(turn, [0.0; 3]) * *camera
}

/// Azimuth, elevation, roll and distance of a camera's eye, as [`camera_from_object`] takes them; whether
/// it looks at the origin is another matter. Straight above and below the azimuth is that of its right.
pub(crate) fn spherical(camera: &Transform<Camera, Object>) -> [f64; 4] {
    let m = &camera.matrix;
    let t = camera.translation();
    let eye = [0, 1, 2].map(|j| -(m[0][j] * t[0] + m[1][j] * t[1] + m[2][j] * t[2]));
    let distance = eye.iter().map(|x| x * x).sum::<f64>().sqrt();
    let flat = eye[0].hypot(eye[2]);
    let azimuth =
        if flat > 1e-9 * distance { eye[0].atan2(eye[2]) } else { (-m[0][2]).atan2(m[0][0]) };
    let (azimuth_deg, elevation_deg) = (azimuth.to_degrees(), eye[1].atan2(flat).to_degrees());
    let upright = camera_from_object(azimuth_deg, elevation_deg, distance).matrix;
    let along = |i: usize| (0..3).map(|j| m[0][j] * upright[i][j]).sum::<f64>();
    [azimuth_deg, elevation_deg, along(1).atan2(along(0)).to_degrees(), distance]
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
    fn the_numbers_of_a_camera_come_back() {
        for numbers in
            [[20.0, 30.0, 15.0, 2.0], [-120.0, -60.0, -90.0, 1.0], [40.0, 90.0, 5.0, 3.0]]
        {
            let [azimuth, elevation, roll, distance] = numbers;
            let camera = rolled(&camera_from_object(azimuth, elevation, distance), roll);
            let [a, e, r, d] = spherical(&camera);
            let again = rolled(&camera_from_object(a, e, d), r);
            for (row, expected) in again.matrix.iter().zip(camera.matrix) {
                assert!(row.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9), "{numbers:?}");
            }
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
