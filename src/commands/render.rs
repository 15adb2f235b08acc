//! `voxflow render`: views of a mesh as PNG files, and their cameras as JSON.

use std::path::Path;

use serde_json::{Value, json};
use voxflow_contract::{Intrinsics, Random};
use voxflow_formats::picture::{Picture, encode_png};
use voxflow_geometry::{
    Background, Colors, Noise, Normalize, Outputs, Paint, RenderOptions, Renderer, Rendering, Rig,
    RigView, Scene, Shading, Shot, Up, normalize_mesh, rig_views, unit_cube_distance,
};

use crate::cli::{BackgroundChoice, ColorsChoice, RenderArgs, RigChoice, ShadingChoice, UpChoice};
use crate::commands::convert::read_mesh;
use crate::error::Error;
use crate::{output_file, terminal};

/// Samples along each side of a pixel.
const ANTIALIAS: u32 = 2;
/// Depth of the near plane; the mesh begins far behind it.
const NEAR: f64 = 0.01;
/// Elevations of the random rig.
const ELEVATION_DEG: [f64; 2] = [0.0, 60.0];

/// Renders a mesh from all cameras of a rig.
///
/// # Errors
/// When the mesh or its textures cannot be read or it has no surface, or the disk fails.
pub fn render(args: &RenderArgs) -> Result<(), Error> {
    let mut decoded = read_mesh(&args.mesh)?;
    let up = match args.up {
        UpChoice::Y => Up::Y,
        UpChoice::Z => Up::Z,
    };
    let normalized = normalize_mesh(&decoded.mesh, Normalize::UnitCube, up);
    let unusable = |message: String| Error::input("render", &args.mesh, message);
    let (mesh, object_from_source) = normalized.map_err(|fault| unusable(fault.message))?;
    if mesh.triangles.is_empty() {
        return Err(unusable("it has points but no triangles".to_owned()));
    }
    let normals = &mut decoded.appearance.vertex_normals;
    normals.iter_mut().for_each(|normal| *normal = up.turn(*normal));
    let paint = Paint::new(&mesh, &decoded.appearance).map_err(|fault| unusable(fault.message))?;
    let (views, intrinsics) = cameras_of(args);
    write_views(args, &Scene { mesh: &mesh, paint: Some(&paint) }, &views, &intrinsics)?;
    let numbered = views.iter().enumerate();
    let cameras: Vec<Value> =
        numbered.map(|(number, view)| camera(&file_name(number), view, &intrinsics)).collect();
    let cameras = json!({
        "convention": "opencv: x right, y down, z forward; p_camera = R * p_object + t; pixel (0, 0) \
                       covers the square from (0, 0) to (1, 1)",
        "frame": "object: longest side 1, middle of the box at the origin, +y up",
        "mesh": args.mesh.display().to_string(),
        "object_from_source": object_from_source.matrix,
        "cameras": cameras,
    });
    output_file::write(&args.out.join("cameras.json"), format!("{cameras:#}\n").as_bytes())?;
    let (count, out) = (views.len(), args.out.display());
    terminal::print(&format!("{count} views and cameras.json in {out}\n"))
}

fn file_name(number: usize) -> String {
    format!("{number:03}.png")
}

/// What random numbers are drawn for.
fn sample_of(args: &RenderArgs) -> String {
    args.mesh.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn cameras_of(args: &RenderArgs) -> (Vec<RigView>, Intrinsics) {
    let views = |count: u32| args.views.unwrap_or(count);
    let rig = match args.rig {
        RigChoice::Mvcnn12 => Rig::Mvcnn12,
        RigChoice::R2n2 => Rig::R2n2 { views: views(24) },
        RigChoice::Kato24 => Rig::Kato24,
        RigChoice::Lsm20 => Rig::Lsm20 { views: views(20) },
        RigChoice::Dodecahedron20 => Rig::Dodecahedron20,
        RigChoice::Random => Rig::Random { views: views(12), elevation_deg: ELEVATION_DEG },
    };
    let defaults = rig.defaults();
    let distance = defaults.distance.unwrap_or_else(|| unit_cube_distance(defaults.fov_y_deg));
    let size = args.size.unwrap_or(defaults.size_px);
    let intrinsics = Intrinsics::from_fov_y_deg(defaults.fov_y_deg, size, size);
    (rig_views(&rig, distance, args.seed, &sample_of(args)), intrinsics)
}

fn write_views(
    args: &RenderArgs,
    scene: &Scene<'_>,
    views: &[RigView],
    intrinsics: &Intrinsics,
) -> Result<(), Error> {
    let shots: Vec<Shot> = views
        .iter()
        .enumerate()
        .map(|(number, view)| Shot {
            camera_from_object: view.camera_from_object(),
            intrinsics: *intrinsics,
            background: background(args, number),
        })
        .collect();
    let mut written = Ok(());
    Renderer::default().render(scene, &shots, &options(args), |number, rendering| {
        if written.is_ok() {
            written = write_view(rendering, &args.out.join(file_name(number)));
        }
    });
    written
}

fn options(args: &RenderArgs) -> RenderOptions {
    let shading = match args.shading {
        ShadingChoice::Flat => Shading::Flat,
        ShadingChoice::Smooth => Shading::Smooth,
    };
    let colors = match args.colors {
        ColorsChoice::White => Colors::White,
        ColorsChoice::Material => Colors::Material,
        ColorsChoice::Random => {
            let mut random = Random::new(args.seed, &["surface", &sample_of(args)]);
            Colors::Noise(Noise::new(&mut random))
        }
    };
    let outputs = Outputs { color: true, coverage: false, depth: false, normals: false };
    let antialias = ANTIALIAS;
    RenderOptions { shading, colors, outputs, antialias, near: NEAR, ..RenderOptions::default() }
}

fn background(args: &RenderArgs, number: usize) -> Background {
    let (sample, number) = (sample_of(args), number.to_string());
    let mut random = Random::new(args.seed, &["background", &sample, &number]);
    match args.background {
        BackgroundChoice::Transparent => Background::Transparent,
        BackgroundChoice::Color(color) => Background::Color(color),
        BackgroundChoice::RandomColor => {
            Background::Color(std::array::from_fn(|_| random.below(256) as u8))
        }
        BackgroundChoice::RandomTexture => Background::Noise(Noise::new(&mut random)),
    }
}

fn write_view(rendering: &mut Rendering, path: &Path) -> Result<(), Error> {
    let (width, height) = (rendering.width_px, rendering.height_px);
    let data = std::mem::take(&mut rendering.rgba);
    let bytes = encode_png(&Picture { width, height, channels: 4, data })
        .map_err(|e| Error::input("encode", path, e))?;
    output_file::write(path, &bytes)
}

fn camera(file: &str, view: &RigView, intrinsics: &Intrinsics) -> Value {
    let pose = view.camera_from_object();
    let m = pose.matrix;
    let i = intrinsics;
    json!({
        "file": file,
        "R": [[m[0][0], m[0][1], m[0][2]], [m[1][0], m[1][1], m[1][2]], [m[2][0], m[2][1], m[2][2]]],
        "t": pose.translation(),
        "K": [[i.focal_x_px, 0.0, i.center_x_px], [0.0, i.focal_y_px, i.center_y_px], [0.0, 0.0, 1.0]],
        "width_px": i.width_px,
        "height_px": i.height_px,
        "azimuth_deg": view.azimuth_deg,
        "elevation_deg": view.elevation_deg,
        "roll_deg": view.roll_deg,
        "distance": view.distance,
    })
}
