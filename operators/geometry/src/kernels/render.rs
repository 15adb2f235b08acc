//! `render`: a mesh as a camera sees it, in software.

use schemars::JsonSchema;
use serde::Deserialize;
use voxflow_contract::{Camera, Intrinsics, Object, Transform, TriMesh};

use crate::kernels::background::Background;
use crate::kernels::lens::Projection;
use crate::kernels::noise::Noise;
use crate::kernels::paint::Paint;
use crate::kernels::renderer::{Renderer, Scene, Shot};

/// How brightness goes over a triangle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Shading {
    /// One brightness a triangle, from its own normal. Right for any soup.
    #[default]
    Flat,
    /// From interpolated normals: those that came with the mesh, or else averages over the triangles
    /// of each vertex. Averages need vertices that triangles share, and one orientation.
    Smooth,
}

/// Which sides of a triangle are seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Faces {
    /// Both. Right for any soup.
    #[default]
    Both,
    /// Only the side from which its corners run counter-clockwise.
    Cull,
}

/// Where the colours of the surface come from.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Colors {
    /// All is white.
    #[default]
    White,
    /// Colours of vertices, materials and textures, multiplied; white where there are none.
    Material,
    /// Random colours in the space of the mesh.
    Noise(Noise),
}

/// Which pictures to make. What is left out costs nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outputs {
    /// Red, green, blue and alpha.
    pub color: bool,
    /// How much of each pixel is covered.
    pub coverage: bool,
    /// Depth.
    pub depth: bool,
    /// Normals.
    pub normals: bool,
}

impl Default for Outputs {
    fn default() -> Self {
        Self { color: true, coverage: true, depth: true, normals: false }
    }
}

/// How to render.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RenderOptions {
    /// How points become pixels.
    pub projection: Projection,
    /// How brightness goes over a triangle.
    pub shading: Shading,
    /// Which sides of a triangle are seen.
    pub faces: Faces,
    /// Where the colours of the surface come from.
    pub colors: Colors,
    /// What is seen where the mesh is not.
    pub background: Background,
    /// Samples along each side of a pixel; 1 is no antialiasing.
    pub antialias: u32,
    /// Depth of the near plane, above 0, in units of the mesh: what is nearer is cut off.
    pub near: f64,
    /// Which pictures to make.
    pub outputs: Outputs,
}

impl Default for RenderOptions {
    /// One sample a pixel, a near plane at 0.01, and the default of everything else.
    fn default() -> Self {
        Self {
            projection: Projection::default(),
            shading: Shading::default(),
            faces: Faces::default(),
            colors: Colors::default(),
            background: Background::default(),
            antialias: 1,
            near: 0.01,
            outputs: Outputs::default(),
        }
    }
}

/// A rendered picture; the lists that were not asked for are empty.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rendering {
    /// Width.
    pub width_px: u32,
    /// Height.
    pub height_px: u32,
    /// Four bytes a pixel, row by row from the top: sRGB and straight alpha, which is `coverage` before
    /// a transparent background and 255 before any other.
    pub rgba: Vec<u8>,
    /// Share of each pixel's samples that the mesh covers, in 255ths; above 0 where there is any.
    pub coverage: Vec<u8>,
    /// Depth of each pixel along the camera's z axis, in units of the mesh, of its nearest sample;
    /// 0 where there is nothing.
    pub depth: Vec<f32>,
    /// Unit normal of each pixel in the camera frame (x right, y down, z forward), turned to the camera,
    /// the average of its samples; zero where there is nothing.
    pub normals: Vec<[f32; 3]>,
}

/// Renders a mesh: z-buffer, Lambert shading under a light that moves with the camera.
///
/// `camera` must be rigid. Brightness is averaged in linear light and encoded as sRGB. Pixel (0, 0)
/// covers the square from (0, 0) to (1, 1): a point that projects to (3.7, 1.2) lies in pixel (3, 1). A
/// sample is covered when the ray through its centre meets the triangle, whose corners are rounded to
/// 1/16384 of a sample; depths are those of the triangle's exact plane, not past its corners'. Where two
/// triangles are equally near, the one with the smaller number is seen. In an orthographic view the focal lengths are pixels
/// per unit of the mesh. Colours of `paint` are used if `options` say so, its normals for smooth shading.
///
/// Cost: a few nanoseconds a triangle, some thirty one that holds the centre of a sample and is not known
/// to be hidden, one or two a sample covered; 8 bytes a sample. [`Renderer`] keeps its memory and makes several
/// views of a mesh faster. The caller keeps width, height and antialias such that no side has more than
/// 4096 samples.
///
/// # Panics
/// When a triangle names a vertex that does not exist, as indexing would, or a side has more than
/// 4096 samples.
///
/// # Examples
/// ```
/// use voxflow_contract::{Intrinsics, TriMesh};
/// use voxflow_geometry::{RenderOptions, camera_from_object, render};
///
/// let vertices = vec![[-1.0, -1.0, 0.0], [1.0, -1.0, 0.0], [1.0, 1.0, 0.0]];
/// let mesh = TriMesh { vertices, triangles: vec![[0, 1, 2]] };
/// let intrinsics = Intrinsics::from_fov_y_deg(90.0, 2, 2);
/// let camera = camera_from_object(0.0, 0.0, 1.0);
/// let picture = render(&mesh, None, &camera, &intrinsics, &RenderOptions::default());
/// assert_eq!(picture.depth, [0.0, 1.0, 1.0, 1.0]);
/// ```
pub fn render(
    mesh: &TriMesh,
    paint: Option<&Paint<'_>>,
    camera: &Transform<Camera, Object>,
    intrinsics: &Intrinsics,
    options: &RenderOptions,
) -> Rendering {
    let shot = Shot {
        camera_from_object: *camera,
        intrinsics: *intrinsics,
        background: options.background,
    };
    let mut rendering = Rendering::default();
    Renderer::default().render(&Scene { mesh, paint }, &[shot], options, |_, picture| {
        rendering = std::mem::take(picture);
    });
    rendering
}

#[cfg(test)]
mod tests {
    use voxflow_contract::{Appearance, Image, Material};
    use voxflow_formats::picture::{Picture, encode_png};

    use super::*;
    use crate::kernels::shade::{linear, srgb};
    use crate::kernels::{camera_from_object, fitting_distance};
    use crate::testing;

    fn shoot(
        mesh: &TriMesh,
        camera: &Transform<Camera, Object>,
        intrinsics: &Intrinsics,
        options: &RenderOptions,
    ) -> Rendering {
        render(mesh, None, camera, intrinsics, options)
    }

    fn plain() -> RenderOptions {
        RenderOptions::default()
    }

    fn covered(picture: &Rendering) -> usize {
        picture.rgba.as_chunks::<4>().0.iter().filter(|pixel| pixel[3] > 0).count()
    }

    #[test]
    fn the_silhouette_of_a_cube_has_the_area_of_its_nearest_face() {
        let cube = testing::cuboid([-0.5; 3], [0.5; 3]);
        let intrinsics = Intrinsics::from_fov_y_deg(40.0, 200, 200);
        let picture = shoot(&cube, &camera_from_object(0.0, 0.0, 2.5), &intrinsics, &plain());
        let side = intrinsics.focal_x_px / 2.0;
        let area = covered(&picture) as f64;
        assert!((area - side * side).abs() < 4.0 * side, "{area} {}", side * side);
        // From a corner, far away: the regular hexagon of area sqrt(3) for a cube of edge 1.
        let elevation = f64::atan(0.5f64.sqrt()).to_degrees();
        let camera = camera_from_object(45.0, elevation, 1000.0);
        let far = Intrinsics::from_fov_y_deg(0.12, 200, 200);
        let area = covered(&shoot(&cube, &camera, &far, &plain())) as f64;
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
                let picture = shoot(&speck, &camera, &intrinsics, &plain());
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
        let picture = shoot(&both, &camera_from_object(0.0, 0.0, 2.0), &intrinsics, &plain());
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
            let picture = shoot(&ball, &camera, &intrinsics, &plain());
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
        let picture = shoot(&testing::ball(0.5, 5), &camera, &intrinsics, &plain());
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
            let options = RenderOptions { shading, antialias: 2, ..plain() };
            let picture = shoot(&ball, &camera, &intrinsics, &options);
            assert_eq!(picture, shoot(&ball, &camera, &intrinsics, &options));
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
        let picture = shoot(&ball, &camera, &intrinsics, &plain());
        let grey = |x: usize, y: usize| picture.rgba[(y * 64 + x) * 4];
        assert!(grey(32, 20) > grey(32, 44) && grey(20, 32) > grey(44, 32));
        ball.triangles.iter_mut().for_each(|triangle| triangle.swap(0, 1));
        assert_eq!(picture, shoot(&ball, &camera, &intrinsics, &plain()));
    }

    #[test]
    fn a_camera_inside_sees_a_closed_room_and_odd_numbers_do_no_harm() {
        let room = testing::cuboid([-1.0; 3], [1.0; 3]);
        let intrinsics = Intrinsics::from_fov_y_deg(90.0, 33, 33);
        let picture = shoot(&room, &camera_from_object(20.0, 10.0, 0.3), &intrinsics, &plain());
        assert_eq!(covered(&picture), 33 * 33);
        for size in [f32::NAN, f32::INFINITY, f32::MAX, 1e-30] {
            let odd = testing::cuboid([-size; 3], [size; 3]);
            for shading in [Shading::Flat, Shading::Smooth] {
                let options = RenderOptions { shading, ..plain() };
                let camera = camera_from_object(20.0, 10.0, 0.3);
                let picture = shoot(&odd, &camera, &intrinsics, &options);
                assert!(picture.depth.iter().all(|z| *z >= 0.0 && z.is_finite()), "{size}");
            }
        }
    }

    /// A square before the camera, its left half red and its right half a texture, lit from the front.
    fn painted() -> (TriMesh, Appearance) {
        let vertices = vec![
            [-0.5, -0.5, 0.0],
            [0.0, -0.5, 0.0],
            [0.5, -0.5, 0.0],
            [-0.5, 0.5, 0.0],
            [0.0, 0.5, 0.0],
            [0.5, 0.5, 0.0],
        ];
        let triangles = vec![[0, 1, 4], [0, 4, 3], [1, 2, 5], [1, 5, 4]];
        // Blue above, green below.
        let data = vec![0, 0, 255, 0, 255, 0];
        let texture = Picture { width: 1, height: 2, channels: 3, data };
        let bytes = encode_png(&texture).expect("a picture");
        let uv = |v: u32| [0.3, if v > 2 { 0.75 } else { 0.25 }];
        let look = Appearance {
            corner_uvs: triangles.iter().map(|t: &[u32; 3]| t.map(uv)).collect(),
            triangle_materials: vec![0, 0, 1, 1],
            materials: vec![
                Material { color: [255, 0, 0, 255], texture: None },
                Material { color: [255; 4], texture: Some(0) },
            ],
            textures: vec![Image { bytes, path: None }],
            ..Appearance::default()
        };
        (TriMesh { vertices, triangles }, look)
    }

    #[test]
    fn materials_and_textures_land_where_they_belong() {
        let (mesh, look) = painted();
        let paint = Paint::new(&mesh, &look).expect("a good look");
        let intrinsics = Intrinsics::from_fov_y_deg(90.0, 64, 64);
        let camera = camera_from_object(0.0, 0.0, 0.5);
        for (projection, antialias) in [
            (Projection::Perspective, 1),
            (Projection::Perspective, 4),
            (Projection::Orthographic, 2),
        ] {
            let flat = Intrinsics { focal_x_px: 64.0, focal_y_px: 64.0, ..intrinsics };
            let lens = if projection == Projection::Perspective { intrinsics } else { flat };
            let options =
                RenderOptions { projection, antialias, colors: Colors::Material, ..plain() };
            let picture = render(&mesh, Some(&paint), &camera, &lens, &options);
            let channels = |x: usize, y: usize| {
                let pixel = picture.rgba.as_chunks::<4>().0[y * 64 + x];
                [0, 1, 2].map(|c| pixel[c] > 100)
            };
            assert_eq!(channels(8, 8), [true, false, false]);
            assert_eq!(channels(8, 56), [true, false, false]);
            assert_eq!(channels(56, 4), [false, false, true]);
            assert_eq!(channels(56, 60), [false, true, false]);
            // Between the two, light is shared by the place in space.
            let green = |y: usize| picture.rgba[(y * 64 + 56) * 4 + 1];
            assert!((20..44).all(|y| green(y) <= green(y + 1)), "{projection:?}");
        }
    }

    #[test]
    fn normals_that_came_with_the_mesh_shade_it() {
        let (mesh, mut look) = painted();
        let camera = camera_from_object(0.0, 0.0, 0.5);
        let intrinsics = Intrinsics::from_fov_y_deg(90.0, 16, 16);
        let smooth = RenderOptions { shading: Shading::Smooth, ..plain() };
        let mut middle = |normal: [f32; 3]| {
            look.vertex_normals = vec![normal; 6];
            let paint = Paint::new(&mesh, &look).expect("a good look");
            render(&mesh, Some(&paint), &camera, &intrinsics, &smooth).rgba[(8 * 16 + 8) * 4]
        };
        // The light is above the camera's left shoulder.
        assert!(middle([-0.5, 0.5, 0.7]) > middle([0.0, 0.0, 1.0]));
        assert!(middle([0.0, 0.0, 1.0]) > middle([0.5, -0.5, 0.7]));
    }

    #[test]
    fn backgrounds_are_laid_under_soft_edges_in_linear_light() {
        let ball = testing::ball(0.5, 3);
        let intrinsics = Intrinsics::from_fov_y_deg(40.0, 64, 64);
        let camera = camera_from_object(30.0, 30.0, 2.5);
        let options = RenderOptions { antialias: 4, ..plain() };
        let clear = shoot(&ball, &camera, &intrinsics, &options);
        let background = Background::Color([255, 0, 10]);
        let laid = shoot(&ball, &camera, &intrinsics, &RenderOptions { background, ..options });
        assert_eq!((&clear.coverage, &clear.depth), (&laid.coverage, &laid.depth));
        let pixels = clear.rgba.as_chunks::<4>().0.iter().zip(laid.rgba.as_chunks::<4>().0);
        for (clear, laid) in pixels {
            let part = f32::from(clear[3]) / 255.0;
            let mixed = part * linear(clear[0]) + (1.0 - part) * linear(255);
            assert!(srgb(mixed).abs_diff(laid[0]) <= 1, "{clear:?} {laid:?}");
            assert_eq!(laid[3], 255);
        }
    }
}
