//! `render`: a mesh as a camera sees it, in software.

use schemars::JsonSchema;
use serde::Deserialize;
use voxflow_contract::{Camera, Intrinsics, Object, Transform, TriMesh};

use crate::kernels::clip::{ClipCorner, GUARD_PX, clip};
use crate::kernels::raster::{Projected, Raster, Sample};
use crate::kernels::shade::{brightness, dot, face_normal, srgb, vertex_normals};

/// How brightness goes over a triangle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Shading {
    /// One brightness a triangle, from its own normal. Right for any soup.
    #[default]
    Flat,
    /// From normals that are averaged over the triangles of each vertex and interpolated. Needs
    /// vertices that triangles share, and one orientation.
    Smooth,
}

/// How to render.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RenderOptions {
    /// How brightness goes over a triangle.
    pub shading: Shading,
    /// Samples along each side of a pixel; 1 is no antialiasing.
    pub antialias: u32,
    /// Depth of the near plane, above 0, in units of the mesh: what is nearer is cut off.
    pub near: f64,
}

/// A rendered picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Rendering {
    /// Width.
    pub width_px: u32,
    /// Height.
    pub height_px: u32,
    /// Four bytes a pixel, row by row from the top: grey as sRGB three times, and straight alpha, the
    /// share of the pixel's samples that the mesh covers. Alpha is above 0 where there is any.
    pub rgba: Vec<u8>,
    /// Depth of each pixel along the camera's z axis, in units of the mesh, of its nearest sample;
    /// 0 where there is nothing.
    pub depth: Vec<f32>,
}

/// Renders a mesh: perspective, z-buffer, Lambert shading under a light that moves with the camera.
///
/// `camera` must be rigid. Triangles are seen from both sides; brightness is averaged in linear light
/// and encoded as sRGB. Pixel (0, 0) covers the square from (0, 0) to (1, 1): a point that projects to
/// (3.7, 1.2) lies in pixel (3, 1). Corners are rounded to 1/256 of a sample.
///
/// Cost: a few operations a vertex and a triangle, a few more a sample covered; 8 bytes a sample. The
/// caller keeps width, height and antialias in bounds.
///
/// # Panics
/// When a triangle names a vertex that does not exist, as indexing would.
///
/// # Examples
/// ```
/// use voxflow_contract::{Intrinsics, TriMesh};
/// use voxflow_geometry::{RenderOptions, Shading, camera_from_object, render};
///
/// let vertices = vec![[-1.0, -1.0, 0.0], [1.0, -1.0, 0.0], [1.0, 1.0, 0.0]];
/// let mesh = TriMesh { vertices, triangles: vec![[0, 1, 2]] };
/// let intrinsics = Intrinsics::from_fov_y_deg(90.0, 2, 2);
/// let options = RenderOptions { shading: Shading::Flat, antialias: 1, near: 0.1 };
/// let picture = render(&mesh, &camera_from_object(0.0, 0.0, 1.0), &intrinsics, &options);
/// assert_eq!(picture.depth, [0.0, 1.0, 1.0, 1.0]);
/// ```
pub fn render(
    mesh: &TriMesh,
    camera: &Transform<Camera, Object>,
    intrinsics: &Intrinsics,
    options: &RenderOptions,
) -> Rendering {
    let view = View::new(mesh, camera, intrinsics, options);
    let side = options.antialias.max(1) as usize;
    let (width, height) = (intrinsics.width_px as usize, intrinsics.height_px as usize);
    let mut raster = Raster::empty(width * side, height * side);
    for triangle in &mesh.triangles {
        view.draw(&mut raster, triangle.map(|vertex| vertex as usize));
    }
    resolve(&raster, intrinsics, side)
}

/// The mesh in the camera frame and in the picture.
struct View<'a> {
    intrinsics: &'a Intrinsics,
    /// Samples along a side of a pixel.
    side: f64,
    near: f64,
    positions: Vec<[f64; 3]>,
    /// Normals of the vertices, for smooth shading.
    normals: Option<Vec<[f64; 3]>>,
    /// `None` where a triangle at this vertex must be clipped.
    projected: Vec<Option<Projected>>,
}

impl<'a> View<'a> {
    fn new(
        mesh: &TriMesh,
        camera: &Transform<Camera, Object>,
        intrinsics: &'a Intrinsics,
        options: &RenderOptions,
    ) -> Self {
        let positions: Vec<_> =
            mesh.vertices.iter().map(|v| camera.apply(v.map(f64::from))).collect();
        let rotate = |normal: [f64; 3]| {
            let m = &camera.matrix;
            [0, 1, 2].map(|i| m[i][0] * normal[0] + m[i][1] * normal[1] + m[i][2] * normal[2])
        };
        let normals = (options.shading == Shading::Smooth)
            .then(|| vertex_normals(mesh).into_iter().map(rotate).collect());
        let side = f64::from(options.antialias.max(1));
        let mut view =
            Self { intrinsics, side, near: options.near, positions, normals, projected: vec![] };
        view.projected = view.positions.iter().map(|position| view.project(*position)).collect();
        view
    }

    /// Where a point lands; `None` before the near plane or out of the guard band.
    fn project(&self, position: [f64; 3]) -> Option<Projected> {
        let [x, y] = self.intrinsics.project(position)?;
        let is_near_enough = x.abs() <= GUARD_PX && y.abs() <= GUARD_PX;
        (position[2] >= self.near && is_near_enough)
            .then(|| Projected::new(x * self.side, y * self.side, position[2]))
    }

    fn draw(&self, raster: &mut Raster, triangle: [usize; 3]) {
        let positions = triangle.map(|vertex| self.positions[vertex]);
        let mut face = face_normal(positions);
        let sign = if dot(face, positions[0]) > 0.0 { -1.0 } else { 1.0 };
        face = face.map(|x| sign * x);
        let normals = match &self.normals {
            Some(normals) => triangle.map(|vertex| normals[vertex].map(|x| sign * x)),
            None => [face; 3],
        };
        match triangle.map(|vertex| self.projected[vertex]) {
            [Some(a), Some(b), Some(c)] => self.shade(raster, [a, b, c], face, normals),
            _ => self.draw_clipped(raster, positions, face, normals),
        }
    }

    fn draw_clipped(
        &self,
        raster: &mut Raster,
        positions: [[f64; 3]; 3],
        face: [f64; 3],
        normals: [[f64; 3]; 3],
    ) {
        let corner = |i: usize| ClipCorner { position: positions[i], normal: normals[i] };
        let polygon = clip([corner(0), corner(1), corner(2)], self.intrinsics, self.near);
        let project = |corner: &ClipCorner| {
            let [x, y] = self.intrinsics.project(corner.position)?;
            Some(Projected::new(x * self.side, y * self.side, corner.position[2]))
        };
        for i in 2..polygon.len() {
            let fan = [&polygon[0], &polygon[i - 1], &polygon[i]];
            if let [Some(a), Some(b), Some(c)] = fan.map(project) {
                self.shade(raster, [a, b, c], face, fan.map(|corner| corner.normal));
            }
        }
    }

    fn shade(
        &self,
        raster: &mut Raster,
        corners: [Projected; 3],
        face: [f64; 3],
        normals: [[f64; 3]; 3],
    ) {
        if self.normals.is_none() {
            let flat = brightness(face);
            return raster.draw(corners, |_| flat);
        }
        raster.draw(corners, |weights| {
            let normal = [0, 1, 2].map(|axis| {
                weights[0] * normals[0][axis]
                    + weights[1] * normals[1][axis]
                    + weights[2] * normals[2][axis]
            });
            brightness(if normal == [0.0; 3] { face } else { normal })
        });
    }
}

/// Averages the samples of each pixel.
fn resolve(raster: &Raster, intrinsics: &Intrinsics, side: usize) -> Rendering {
    let (width_px, height_px) = (intrinsics.width_px, intrinsics.height_px);
    let (width, height) = (width_px as usize, height_px as usize);
    let mut rgba = Vec::with_capacity(width * height * 4);
    let mut depth = Vec::with_capacity(width * height);
    for y in 0..height {
        for x in 0..width {
            let rows = (0..side).map(|row| (y * side + row) * width * side + x * side);
            let (pixel, nearest) =
                resolve_pixel(rows.map(|at| &raster.samples[at..at + side]), side);
            rgba.extend_from_slice(&pixel);
            depth.push(if nearest > 0.0 { 1.0 / nearest } else { 0.0 });
        }
    }
    Rendering { width_px, height_px, rgba, depth }
}

/// Colour and largest inverse depth of a pixel.
fn resolve_pixel<'a>(rows: impl Iterator<Item = &'a [Sample]>, side: usize) -> ([u8; 4], f32) {
    let (mut covered, mut light, mut nearest) = (0u32, 0.0f32, 0.0f32);
    for sample in rows.flatten().filter(|sample| sample.inverse_depth > 0.0) {
        covered += 1;
        light += sample.brightness;
        nearest = nearest.max(sample.inverse_depth);
    }
    if covered == 0 {
        return ([0; 4], 0.0);
    }
    let all = (side * side) as u32;
    let alpha = ((255 * covered + all / 2) / all).max(1) as u8;
    let grey = srgb(light / covered as f32);
    ([grey, grey, grey, alpha], nearest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{camera_from_object, fitting_distance};
    use crate::testing;

    const PLAIN: RenderOptions = RenderOptions { shading: Shading::Flat, antialias: 1, near: 0.01 };

    fn covered(picture: &Rendering) -> usize {
        picture.rgba.as_chunks::<4>().0.iter().filter(|pixel| pixel[3] > 0).count()
    }

    #[test]
    fn the_silhouette_of_a_cube_has_the_area_of_its_nearest_face() {
        let cube = testing::cuboid([-0.5; 3], [0.5; 3]);
        let intrinsics = Intrinsics::from_fov_y_deg(40.0, 200, 200);
        let picture = render(&cube, &camera_from_object(0.0, 0.0, 2.5), &intrinsics, &PLAIN);
        let side = intrinsics.focal_x_px / 2.0;
        let area = covered(&picture) as f64;
        assert!((area - side * side).abs() < 4.0 * side, "{area} {}", side * side);
        // From a corner, far away: the regular hexagon of area sqrt(3) for a cube of edge 1.
        let elevation = f64::atan(0.5f64.sqrt()).to_degrees();
        let camera = camera_from_object(45.0, elevation, 1000.0);
        let far = Intrinsics::from_fov_y_deg(0.12, 200, 200);
        let area = covered(&render(&cube, &camera, &far, &PLAIN)) as f64;
        let exact = 3f64.sqrt() * (far.focal_x_px / 1000.0).powi(2);
        assert!((area / exact - 1.0).abs() < 0.01, "{area} {exact}");
    }

    #[test]
    fn points_land_on_the_pixels_that_the_pose_says() {
        let intrinsics = Intrinsics::from_fov_y_deg(40.0, 160, 120);
        for (azimuth, elevation) in [(0.0, 0.0), (35.0, 30.0), (200.0, -20.0), (90.0, 89.0)] {
            let camera = camera_from_object(azimuth, elevation, 2.6);
            for point in [[0.4f32, 0.3, 0.2], [-0.4, -0.3, 0.45], [0.0, 0.45, -0.4]] {
                let small = 0.012;
                let speck = testing::cuboid(point.map(|x| x - small), point.map(|x| x + small));
                let picture = render(&speck, &camera, &intrinsics, &PLAIN);
                let in_camera = camera.apply(point.map(f64::from));
                let [x, y] = intrinsics.project(in_camera).expect("before the camera");
                let at = y as usize * 160 + x as usize;
                assert!((f64::from(picture.depth[at]) - in_camera[2]).abs() < 0.03);
                assert!(picture.rgba[at * 4 + 3] > 0);
                assert!(covered(&picture) < 40, "a speck stays a speck");
            }
        }
    }

    #[test]
    fn a_plane_has_the_depth_it_stands_at_and_nearness_hides() {
        let far = testing::cuboid([-0.5, -0.5, -0.25], [0.5, 0.5, -0.25]);
        let near = testing::cuboid([-0.2, -0.2, 0.25], [0.2, 0.2, 0.25]);
        let offset = far.vertices.len() as u32;
        let mut both = far;
        both.vertices.extend(near.vertices);
        both.triangles.extend(near.triangles.iter().map(|t| t.map(|v| v + offset)));
        let intrinsics = Intrinsics::from_fov_y_deg(40.0, 64, 64);
        let picture = render(&both, &camera_from_object(0.0, 0.0, 2.0), &intrinsics, &PLAIN);
        assert!((picture.depth[32 * 64 + 32] - 1.75).abs() < 1e-6);
        assert!((picture.depth[32 * 64 + 14] - 2.25).abs() < 1e-6);
        assert_eq!(picture.depth[0], 0.0);
    }

    #[test]
    fn a_watertight_mesh_shows_no_holes() {
        let ball = testing::ball(0.5, 4);
        let intrinsics = Intrinsics::from_fov_y_deg(25.0, 150, 150);
        for azimuth in [0.0, 45.0, 123.0] {
            let camera = camera_from_object(azimuth, 20.0, 2.5);
            let picture = render(&ball, &camera, &intrinsics, &PLAIN);
            for row in picture.depth.chunks(150) {
                let inside: Vec<_> = (0..150).filter(|x| row[*x] > 0.0).collect();
                if let (Some(first), Some(last)) = (inside.first(), inside.last()) {
                    assert_eq!(inside.len(), last - first + 1);
                }
            }
            // Nothing of the far side shines through.
            assert!(picture.depth.iter().all(|depth| *depth < 2.5));
        }
    }

    #[test]
    fn the_fitting_distance_fits_a_ball_exactly() {
        let distance = fitting_distance(0.5, 40.0);
        let intrinsics = Intrinsics::from_fov_y_deg(40.0, 100, 100);
        let camera = camera_from_object(10.0, 10.0, distance);
        let picture = render(&testing::ball(0.5, 5), &camera, &intrinsics, &PLAIN);
        let column = |x: usize| (0..100).any(|y| picture.depth[y * 100 + x] > 0.0);
        assert!(column(0) && column(99), "it reaches the border");
        let disc = std::f64::consts::FRAC_PI_4 * 10_000.0;
        assert!((covered(&picture) as f64 / disc - 1.0).abs() < 0.01);
    }

    #[test]
    fn pictures_repeat_and_antialiasing_gives_soft_edges() {
        let ball = testing::ball(0.5, 3);
        let intrinsics = Intrinsics::from_fov_y_deg(40.0, 64, 64);
        let camera = camera_from_object(30.0, 30.0, 2.5);
        for shading in [Shading::Flat, Shading::Smooth] {
            let options = RenderOptions { shading, antialias: 2, near: 0.01 };
            let picture = render(&ball, &camera, &intrinsics, &options);
            assert_eq!(picture, render(&ball, &camera, &intrinsics, &options));
            let alphas: std::collections::BTreeSet<_> =
                picture.rgba.as_chunks::<4>().0.iter().map(|pixel| pixel[3]).collect();
            assert_eq!(Vec::from_iter(alphas), [0, 64, 128, 191, 255]);
            let agree = |(pixel, depth): (&[u8; 4], &f32)| (pixel[3] > 0) == (*depth > 0.0);
            assert!(picture.rgba.as_chunks::<4>().0.iter().zip(&picture.depth).all(agree));
        }
    }

    #[test]
    fn light_comes_from_above_left_and_both_sides_are_seen() {
        let mut ball = testing::ball(0.5, 3);
        let intrinsics = Intrinsics::from_fov_y_deg(40.0, 64, 64);
        let camera = camera_from_object(0.0, 0.0, 2.5);
        let picture = render(&ball, &camera, &intrinsics, &PLAIN);
        let grey = |x: usize, y: usize| picture.rgba[(y * 64 + x) * 4];
        assert!(grey(32, 20) > grey(32, 44) && grey(20, 32) > grey(44, 32));
        ball.triangles.iter_mut().for_each(|triangle| triangle.swap(0, 1));
        assert_eq!(picture, render(&ball, &camera, &intrinsics, &PLAIN));
    }

    #[test]
    fn a_camera_inside_sees_a_closed_room_and_odd_numbers_do_no_harm() {
        let room = testing::cuboid([-1.0; 3], [1.0; 3]);
        let intrinsics = Intrinsics::from_fov_y_deg(90.0, 33, 33);
        let picture = render(&room, &camera_from_object(20.0, 10.0, 0.3), &intrinsics, &PLAIN);
        assert_eq!(covered(&picture), 33 * 33);
        for size in [f32::NAN, f32::INFINITY, f32::MAX, 1e-30] {
            let odd = testing::cuboid([-size; 3], [size; 3]);
            for shading in [Shading::Flat, Shading::Smooth] {
                let options = RenderOptions { shading, ..PLAIN };
                render(&odd, &camera_from_object(20.0, 10.0, 0.3), &intrinsics, &options);
            }
        }
    }
}
