//! Benches of the kernels on shapes made here: `cargo bench -p voxflow-geometry --bench kernels [NAME]`.
//!
//! They show whether a change made a kernel faster or slower. How the kernels stand beside other
//! programs is measured by `benches/peers/` at the repository's root, on files.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use voxflow_contract::{Fill, Intrinsics, Random, SolidRule, TriMesh};
use voxflow_formats::{MeshFormat, decode_mesh, encode_mesh};
use voxflow_geometry::{
    Background, Fit, RenderOptions, Renderer, Scene, Shot, camera_from_object, fitting_distance,
    voxelize_mesh,
};

fn main() {
    let mut criterion = Criterion::default().sample_size(10).configure_from_args();
    voxelize(&mut criterion, "voxelize_surface", Fill::Surface);
    voxelize(&mut criterion, "voxelize_solid", Fill::Solid(SolidRule::Parity));
    render_views(&mut criterion);
    decode(&mut criterion);
    criterion.final_summary();
}

fn voxelize(criterion: &mut Criterion, name: &str, fill: Fill) {
    let mut group = criterion.benchmark_group(name);
    for (shape, mesh) in shapes() {
        group.throughput(Throughput::Elements(mesh.triangles.len() as u64));
        for resolution in [32, 128, 256] {
            let id = BenchmarkId::new(&shape, resolution);
            group.bench_with_input(id, &mesh, |bencher, mesh| {
                bencher.iter(|| voxelize_mesh(black_box(mesh), resolution, fill, Fit::UnitCube));
            });
        }
    }
}

/// Twelve views of 224 pixels.
fn render_views(criterion: &mut Criterion) {
    let intrinsics = Intrinsics::from_fov_y_deg(40.0, 224, 224);
    let distance = fitting_distance(0.5 * 3f64.sqrt(), 40.0);
    let options = RenderOptions::default();
    let shots: Vec<Shot> = (0..12)
        .map(|view| Shot {
            camera_from_object: camera_from_object(30.0 * f64::from(view), 30.0, distance),
            intrinsics,
            background: Background::default(),
        })
        .collect();
    let mut renderer = Renderer::default();
    let mut group = criterion.benchmark_group("render_12_views_224_px");
    for (shape, mesh) in shapes() {
        group.throughput(Throughput::Elements(12));
        group.bench_with_input(BenchmarkId::from_parameter(&shape), &mesh, |bencher, mesh| {
            let scene = Scene { mesh, paint: None };
            bencher.iter(|| {
                renderer.render(black_box(&scene), &shots, &options, |_, picture| {
                    black_box(picture);
                });
            });
        });
    }
}

fn decode(criterion: &mut Criterion) {
    let mesh = torus(224);
    let mut group = criterion.benchmark_group("decode");
    for format in MeshFormat::ALL {
        let bytes = encode_mesh(*format, &mesh);
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_with_input(format.extension(), &bytes, |bencher, bytes| {
            bencher.iter(|| decode_mesh(*format, black_box(bytes)));
        });
    }
}

fn shapes() -> Vec<(String, TriMesh)> {
    let tori = [22, 100, 387].map(torus).map(|mesh| ("torus", mesh));
    let soups = [1_000, 20_000].map(soup).map(|mesh| ("soup", mesh));
    let name = |(shape, mesh): (&str, TriMesh)| (format!("{shape}_{}", mesh.triangles.len()), mesh);
    tori.into_iter().chain(soups).map(name).collect()
}

/// A watertight torus of `2 * rings^2` triangles in the unit cube.
fn torus(rings: u32) -> TriMesh {
    let angle = |i: u32| std::f32::consts::TAU * i as f32 / rings as f32;
    let point = |(u, v): (f32, f32)| {
        let ring = 0.35 + 0.14 * v.cos();
        [ring * u.cos(), 0.14 * v.sin(), ring * u.sin()]
    };
    let pairs = || (0..rings).flat_map(|i| (0..rings).map(move |j| (i, j)));
    let at = |i: u32, j: u32| i % rings * rings + j % rings;
    let quad = |(i, j)| {
        let [a, b, c, d] = [at(i, j), at(i, j + 1), at(i + 1, j + 1), at(i + 1, j)];
        [[a, b, c], [a, c, d]]
    };
    TriMesh {
        vertices: pairs().map(|(i, j)| point((angle(i), angle(j)))).collect(),
        triangles: pairs().flat_map(quad).collect(),
    }
}

/// Loose triangles of all sizes in the unit cube.
fn soup(count: u32) -> TriMesh {
    let mut random = Random::new(0, &["soup"]);
    let mut corner = |middle: [f64; 3], reach: f64| {
        middle.map(|x| (x + reach * random.range(-1.0, 1.0)).clamp(-0.5, 0.5) as f32)
    };
    let mut vertices = Vec::new();
    for i in 0..count {
        let middle = corner([0.0; 3], 0.5).map(f64::from);
        let reach = if i % 50 == 0 { 0.2 } else { 0.02 };
        vertices.extend((0..3).map(|_| corner(middle, reach)));
    }
    let triangles = (0..count).map(|i| [3 * i, 3 * i + 1, 3 * i + 2]).collect();
    TriMesh { vertices, triangles }
}
