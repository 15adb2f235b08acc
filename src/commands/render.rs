//! `voxflow render`: views of a mesh as PNG files, and their cameras as JSON.

use std::path::Path;

use serde_json::{Value, json};
use voxflow_contract::{Intrinsics, TriMesh};
use voxflow_formats::picture::{Picture, encode_png};
use voxflow_geometry::{
    Normalize, RenderOptions, Rig, RigView, Shading, Up, fitting_distance, normalize_mesh,
    rig_views,
};

use crate::cli::{RenderArgs, RigChoice, ShadingChoice, UpChoice};
use crate::commands::convert::read_mesh;
use crate::error::Error;
use crate::{output_file, terminal};

/// Full vertical angle of view; this and the next are what `render_views` takes if not told otherwise.
const FOV_Y_DEG: f64 = 40.0;
/// Half the diagonal of the unit cube, which holds the mesh: it is in view from everywhere.
const RADIUS: f64 = 0.866_025_403_784_438_6;
/// Samples along each side of a pixel.
const ANTIALIAS: u32 = 2;
/// Depth of the near plane; the mesh begins far behind it.
const NEAR: f64 = 0.01;
/// Elevations of the random rig.
const ELEVATION_DEG: [f64; 2] = [0.0, 60.0];

/// Renders a mesh from all cameras of a rig.
///
/// # Errors
/// When the mesh cannot be read or has no surface, or the disk fails.
pub fn render(args: &RenderArgs) -> Result<(), Error> {
    let decoded = read_mesh(&args.mesh)?;
    let up = match args.up {
        UpChoice::Y => Up::Y,
        UpChoice::Z => Up::Z,
    };
    let normalized = normalize_mesh(&decoded.mesh, Normalize::UnitCube, up);
    let (mesh, object_from_source) =
        normalized.map_err(|fault| Error::input("render", &args.mesh, fault.message))?;
    if mesh.triangles.is_empty() {
        return Err(Error::input("render", &args.mesh, "it has points but no triangles"));
    }
    let views = views(args);
    let intrinsics = Intrinsics::from_fov_y_deg(FOV_Y_DEG, args.size, args.size);
    let mut cameras = Vec::new();
    for (number, view) in views.iter().enumerate() {
        let name = format!("{number:03}.png");
        write_view(args, &mesh, view, &intrinsics, &args.out.join(&name))?;
        cameras.push(camera(&name, view, &intrinsics));
    }
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

fn views(args: &RenderArgs) -> Vec<RigView> {
    let rig = match args.rig {
        RigChoice::Mvcnn12 => Rig::Mvcnn12,
        RigChoice::Random => Rig::Random { views: args.views, elevation_deg: ELEVATION_DEG },
    };
    let sample = args.mesh.file_stem().unwrap_or_default().to_string_lossy();
    rig_views(&rig, fitting_distance(RADIUS, FOV_Y_DEG), args.seed, &sample)
}

fn write_view(
    args: &RenderArgs,
    mesh: &TriMesh,
    view: &RigView,
    intrinsics: &Intrinsics,
    path: &Path,
) -> Result<(), Error> {
    let shading = match args.shading {
        ShadingChoice::Flat => Shading::Flat,
        ShadingChoice::Smooth => Shading::Smooth,
    };
    let options = RenderOptions { shading, antialias: ANTIALIAS, near: NEAR };
    let rendering =
        voxflow_geometry::render(mesh, &view.camera_from_object(), intrinsics, &options);
    let (width, height) = (rendering.width_px, rendering.height_px);
    let picture = Picture { width, height, channels: 4, data: rendering.rgba };
    let bytes = encode_png(&picture).map_err(|e| Error::input("encode", path, e))?;
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
        "distance": view.distance,
    })
}
