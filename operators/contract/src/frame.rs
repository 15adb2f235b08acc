//! Coordinate frames as types, and the transforms between them.
//!
//! A transform is named `a_from_b` and takes points of frame `b` to frame `a`, so that names chain:
//! `camera_from_object * object_from_source`.

use std::marker::PhantomData;
use std::ops::Mul;

/// Frame of the file a mesh was read from: its own units, axes and origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source;

/// Frame of the normalised object, right-handed, +Y up. Cameras look at its origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Object;

/// Frame of a pinhole camera in the OpenCV convention: x right, y down, z forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Camera;

/// An affine transform that takes points of frame `From` to frame `To`; the last row is 0 0 0 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Transform<To, From> {
    /// Row-major 4x4 matrix, for column vectors.
    pub matrix: [[f64; 4]; 4],
    frames: PhantomData<(To, From)>,
}

impl<To, From> Transform<To, From> {
    /// The transform of a row-major matrix.
    pub fn from_matrix(matrix: [[f64; 4]; 4]) -> Self {
        Self { matrix, frames: PhantomData }
    }

    /// The transform of a row-major 3x3 matrix and a translation.
    pub fn from_parts(linear: [[f64; 3]; 3], translation: [f64; 3]) -> Self {
        let row = |i: usize| [linear[i][0], linear[i][1], linear[i][2], translation[i]];
        Self::from_matrix([row(0), row(1), row(2), [0.0, 0.0, 0.0, 1.0]])
    }

    /// The transform `p -> scale * p + translation`.
    pub fn from_scale_translation(scale: f64, translation: [f64; 3]) -> Self {
        let linear = [[scale, 0.0, 0.0], [0.0, scale, 0.0], [0.0, 0.0, scale]];
        Self::from_parts(linear, translation)
    }

    /// Where a point lands.
    pub fn apply(&self, point: [f64; 3]) -> [f64; 3] {
        let m = &self.matrix;
        [0, 1, 2].map(|i| m[i][0] * point[0] + m[i][1] * point[1] + m[i][2] * point[2] + m[i][3])
    }

    /// The translation column.
    pub fn translation(&self) -> [f64; 3] {
        [0, 1, 2].map(|i| self.matrix[i][3])
    }

    /// The 16 numbers, row by row.
    pub fn to_array(&self) -> [f64; 16] {
        std::array::from_fn(|i| self.matrix[i / 4][i % 4])
    }
}

impl<A, B, C> Mul<Transform<B, C>> for Transform<A, B> {
    type Output = Transform<A, C>;

    fn mul(self, other: Transform<B, C>) -> Transform<A, C> {
        let cell =
            |i: usize, j: usize| (0..4).map(|k| self.matrix[i][k] * other.matrix[k][j]).sum();
        Transform::from_matrix(std::array::from_fn(|i| std::array::from_fn(|j| cell(i, j))))
    }
}

/// A pinhole camera's inner numbers, in pixels. Pixel (0, 0) covers the square from (0, 0) to (1, 1).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Intrinsics {
    /// Focal length along x.
    pub focal_x_px: f64,
    /// Focal length along y.
    pub focal_y_px: f64,
    /// Principal point, x.
    pub center_x_px: f64,
    /// Principal point, y.
    pub center_y_px: f64,
    /// Width of the image.
    pub width_px: u32,
    /// Height of the image.
    pub height_px: u32,
}

impl Intrinsics {
    /// Square pixels, the principal point in the middle, and the given full vertical angle of view.
    pub fn from_fov_y_deg(fov_y_deg: f64, width_px: u32, height_px: u32) -> Self {
        let focal = f64::from(height_px) / 2.0 / (fov_y_deg.to_radians() / 2.0).tan();
        Self {
            focal_x_px: focal,
            focal_y_px: focal,
            center_x_px: f64::from(width_px) / 2.0,
            center_y_px: f64::from(height_px) / 2.0,
            width_px,
            height_px,
        }
    }

    /// Pixel coordinates of a point in the camera frame; `None` at or behind the camera plane.
    pub fn project(&self, point_in_camera: [f64; 3]) -> Option<[f64; 2]> {
        let [x, y, z] = point_in_camera;
        (z > 0.0).then(|| {
            [self.focal_x_px * x / z + self.center_x_px, self.focal_y_px * y / z + self.center_y_px]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transforms_chain_by_frame() {
        let object_from_source =
            Transform::<Object, Source>::from_scale_translation(2.0, [1.0, 0.0, 0.0]);
        let camera_from_object =
            Transform::<Camera, Object>::from_scale_translation(1.0, [0.0, 0.0, 3.0]);
        let camera_from_source = camera_from_object * object_from_source;
        assert_eq!(camera_from_source.apply([1.0, 1.0, 1.0]), [3.0, 2.0, 5.0]);
    }

    #[test]
    fn the_middle_of_the_view_is_the_middle_of_the_image() {
        let intrinsics = Intrinsics::from_fov_y_deg(90.0, 64, 32);
        assert_eq!(intrinsics.project([0.0, 0.0, 2.0]), Some([32.0, 16.0]));
        let corner = intrinsics.project([0.0, 2.0, 2.0]).expect("in front of the camera");
        assert!((corner[1] - 32.0).abs() < 1e-9);
        assert_eq!(intrinsics.project([0.0, 0.0, -1.0]), None);
    }
}
