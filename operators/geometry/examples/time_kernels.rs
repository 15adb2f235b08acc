//! Times the kernels on a mesh file, and writes one picture of it: `time_kernels MESH [PICTURE.png]`.

use std::time::Instant;

use voxflow_contract::{Fill, Intrinsics, SolidRule};
use voxflow_formats::picture::{Picture, encode_png};
use voxflow_formats::{MeshFormat, decode_mesh};
use voxflow_geometry::{
    Fit, Normalize, RenderOptions, Shading, Up, camera_from_object, normalize_mesh, render,
    voxelize_mesh,
};

fn main() -> Result<(), String> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: time_kernels MESH [PICTURE.png]")?;
    let extension = path.rsplit('.').next().unwrap_or_default();
    let format = MeshFormat::from_extension(extension).ok_or("not a mesh format")?;
    let bytes = std::fs::read(&path).map_err(|error| error.to_string())?;
    let mesh = decode_mesh(format, &bytes).map_err(|error| error.to_string())?.mesh;
    let up = if extension.eq_ignore_ascii_case("off") { Up::Z } else { Up::Y };
    let (mesh, _) =
        normalize_mesh(&mesh, Normalize::UnitCube, up).map_err(|fault| fault.message)?;
    println!("{path}: {} triangles", mesh.triangles.len());
    for resolution in [32, 64, 128, 256] {
        for fill in [Fill::Surface, Fill::Solid(SolidRule::OutsideFlood)] {
            let name = format!("voxelize {resolution} {}", fill.name());
            time(&name, || drop(voxelize_mesh(&mesh, resolution, fill, Fit::UnitCube)));
        }
    }
    for (size, shading) in [(64, Shading::Flat), (128, Shading::Flat), (128, Shading::Smooth)] {
        let options = RenderOptions { shading, antialias: 2, near: 0.02 };
        let intrinsics = Intrinsics::from_fov_y_deg(40.0, size, size);
        let camera = camera_from_object(30.0, 30.0, 2.53);
        let shoot = || render(&mesh, &camera, &intrinsics, &options);
        time(&format!("render {size} px {shading:?}"), || drop(shoot()));
        let picture = shoot();
        let picture = Picture { width: size, height: size, channels: 4, data: picture.rgba };
        time(&format!("PNG {size} px"), || drop(encode_png(&picture)));
    }
    match arguments.next() {
        Some(target) => write_picture(&mesh, &target),
        None => Ok(()),
    }
}

/// Prints the mean time of `work`, over as many calls as fit half a second.
fn time(name: &str, work: impl Fn()) {
    let (start, mut calls) = (Instant::now(), 0);
    while calls == 0 || start.elapsed().as_secs_f64() < 0.5 {
        work();
        calls += 1;
    }
    println!("{name:>24}: {:8.0} us", start.elapsed().as_secs_f64() * 1e6 / f64::from(calls));
}

fn write_picture(mesh: &voxflow_contract::TriMesh, path: &str) -> Result<(), String> {
    let options = RenderOptions { shading: Shading::Flat, antialias: 4, near: 0.02 };
    let intrinsics = Intrinsics::from_fov_y_deg(40.0, 512, 512);
    let picture = render(mesh, &camera_from_object(30.0, 30.0, 2.53), &intrinsics, &options);
    let picture = Picture { width: 512, height: 512, channels: 4, data: picture.rgba };
    let png = encode_png(&picture).map_err(|error| error.to_string())?;
    std::fs::write(path, png).map_err(|error| error.to_string())
}
