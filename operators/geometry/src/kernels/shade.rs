//! Shade: how bright a surface looks, and which grey that is.

use std::sync::OnceLock;

use voxflow_contract::{Camera, Object, Transform, TriMesh};

/// Direction to the light in the camera frame (x right, y down, z forward), length 1: a headlight
/// above the camera's left shoulder, so that two faces seen at one angle differ.
const TO_LIGHT: [f64; 3] =
    [-0.287_455_546_823_613_6, -0.492_780_937_411_909_1, -0.821_301_562_353_181_9];
/// Share of white that a face turned from the light shows, linear.
const AMBIENT: f64 = 0.12;
/// What a face turned to the light shows more, linear.
const DIFFUSE: f64 = 0.7;

/// Direction to the light in the frame of the object that the camera sees.
pub(crate) fn light_in_object(camera: &Transform<Camera, Object>) -> [f64; 3] {
    let m = &camera.matrix;
    [0, 1, 2].map(|j| (0..3).map(|i| m[i][j] * TO_LIGHT[i]).sum())
}

/// Linear brightness, 0 to 1, of a surface whose normal is `normal`, already turned to the camera;
/// its length does not matter. Lambert's law and an ambient part.
#[inline(always)]
pub(crate) fn brightness(normal: [f64; 3], to_light: [f64; 3]) -> f32 {
    let cosine = dot(normal, to_light) / dot(normal, normal).sqrt();
    // A surface without a normal (NaN) shows the ambient part: `max` drops the NaN.
    (AMBIENT + DIFFUSE * cosine.max(0.0)) as f32
}

/// Grey value of a linear brightness, by the sRGB curve (IEC 61966-2-1), exact to half a step.
#[inline]
pub(crate) fn srgb(linear: f32) -> u8 {
    const STEPS: f32 = 4095.0;
    static TABLE: OnceLock<Vec<u8>> = OnceLock::new();
    let table =
        TABLE.get_or_init(|| (0..=4095).map(|i| srgb_curve(f64::from(i) / 4095.0)).collect());
    // A NaN is clamped to nothing, which the cast makes 0.
    table[(linear.clamp(0.0, 1.0) * STEPS + 0.5) as usize]
}

/// Linear brightness of an sRGB value.
pub(crate) fn linear(encoded: u8) -> f32 {
    static TABLE: OnceLock<Vec<f32>> = OnceLock::new();
    let curve = |i: u8| match f64::from(i) / 255.0 {
        low if low <= 0.040_45 => low / 12.92,
        high => ((high + 0.055) / 1.055).powf(2.4),
    };
    TABLE.get_or_init(|| (0..=255).map(|i| curve(i) as f32).collect())[usize::from(encoded)]
}

fn srgb_curve(linear: f64) -> u8 {
    let encoded =
        if linear <= 0.003_130_8 { 12.92 * linear } else { 1.055 * linear.powf(1.0 / 2.4) - 0.055 };
    (encoded * 255.0).round() as u8
}

/// For each vertex the sum of its triangles' normals, weighted by their areas; zero for a vertex
/// without triangles. Not normalised.
pub(crate) fn vertex_normals(mesh: &TriMesh) -> Vec<[f32; 3]> {
    let mut normals = vec![[0.0; 3]; mesh.vertices.len()];
    for (index, triangle) in mesh.triangles.iter().enumerate() {
        let corners = mesh.corners(index).map(|corner| corner.map(f64::from));
        let normal = face_normal(corners).map(|x| x as f32);
        for vertex in triangle {
            let sum: &mut [f32; 3] = &mut normals[*vertex as usize];
            (0..3).for_each(|axis| sum[axis] += normal[axis]);
        }
    }
    normals
}

/// The normal of a triangle, towards where its corners run counter-clockwise; twice its area long.
#[inline(always)]
pub(crate) fn face_normal([a, b, c]: [[f64; 3]; 3]) -> [f64; 3] {
    cross(minus(b, a), minus(c, a))
}

#[inline(always)]
pub(crate) fn wider([x, y, z]: [f32; 3]) -> [f64; 3] {
    [f64::from(x), f64::from(y), f64::from(z)]
}

#[inline(always)]
pub(crate) fn minus(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

#[inline(always)]
pub(crate) fn cross(u: [f64; 3], v: [f64; 3]) -> [f64; 3] {
    [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]]
}

#[inline(always)]
pub(crate) fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greys_follow_the_srgb_curve() {
        assert_eq!([0.0, 1.0, 0.5, 0.2140411, f32::NAN].map(srgb), [0, 255, 188, 127, 0]);
        assert!((0..=255).all(|value| srgb(linear(value)) == value));
    }

    #[test]
    fn the_light_is_a_direction_and_every_normal_has_a_brightness() {
        assert!((dot(TO_LIGHT, TO_LIGHT) - 1.0).abs() < 1e-12);
        assert!((brightness(TO_LIGHT, TO_LIGHT) - 0.82).abs() < 1e-6);
        assert!((brightness([0.0; 3], TO_LIGHT) - 0.12).abs() < 1e-6);
        assert!(brightness([0.0, 0.0, -1.0], TO_LIGHT) > 0.6);
    }
}
