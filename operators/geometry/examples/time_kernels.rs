//! Times one kernel on mesh files, in CPU time of the process: the median of some repeats after one that warms up.
//!
//! `time_kernels --op OP [--resolution N] [--views 12] [--size 224] [--fill NAME] [--repeats R] [--json] [--dump DIR] [--most-mib M] FILES...`
//!
//! `OP` is `voxelize_surface`, `voxelize_solid`, `render` or `decode`. Files are read before the clock runs; for all but
//! `decode` they are decoded and normalised to the unit cube before it, too. `--json` prints one line a file: `file,
//! triangles, bytes, op, resolution, median_cpu_s, result`, where `result` is the number of occupied cells, of covered
//! pixels in all views, or of vertices. `--dump DIR` writes what was made as `.npy` files to `DIR/<file name>/`, for
//! another program to compare. `--most-mib M` says the peak memory of the process after each file, the file itself
//! and its mesh included, and fails where it is more. `benches/peers/` runs this beside other programs.

use std::hint::black_box;
use std::path::{Path, PathBuf};

use rustix::time::{ClockId, clock_gettime};
use serde_json::json;
use voxflow_contract::{Fill, Intrinsics, TriMesh, VoxelGrid};
use voxflow_formats::npy::{self, NpyArray, NpyData};
use voxflow_formats::{MeshFormat, binvox, decode_mesh};
use voxflow_geometry::{
    Background, Fit, Normalize, RenderOptions, Renderer, Rendering, Scene, Shot, Up,
    camera_from_object, fitting_distance, normalize_mesh, voxelize_mesh,
};

/// Full vertical angle of view of the cameras.
const FOV_Y_DEG: f64 = 40.0;
const ELEVATION_DEG: f64 = 30.0;
/// Radius of the ball around the unit cube, which just fits each view.
const UNIT_CUBE_RADIUS: f64 = 0.866_025_403_784_438_6;

fn main() -> Result<(), String> {
    let request = Request::parse(std::env::args().skip(1))?;
    for file in &request.files {
        let line =
            measure(&request, file).map_err(|error| format!("{}: {error}", file.display()))?;
        println!("{line}");
        if let Some(most_mib) = request.most_mib {
            check_peak(file, most_mib)?;
        }
    }
    Ok(())
}

/// Says the peak memory so far; fails where it is over `most_mib`.
fn check_peak(file: &Path, most_mib: u64) -> Result<(), String> {
    let status = std::fs::read_to_string("/proc/self/status")
        .map_err(|error| format!("the peak memory is not known: /proc/self/status: {error}"))?;
    let peak_kib = status
        .lines()
        .find_map(|line| {
            line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok()
        })
        .ok_or("the peak memory is not known: /proc/self/status has no VmHWM")?;
    let peak_mib = peak_kib.div_ceil(1024);
    println!("peak memory: {peak_mib} MiB of {most_mib} allowed");
    if peak_mib > most_mib {
        return Err(format!("{peak_mib} MiB are more than {most_mib}: {}", file.display()));
    }
    Ok(())
}

// The kernels' interface stands in these four functions only.

/// Any file to vertices and triangles.
fn decoded(format: MeshFormat, bytes: &[u8]) -> Result<TriMesh, String> {
    decode_mesh(format, bytes).map(|decoded| decoded.mesh).map_err(|error| error.to_string())
}

/// The mesh with its longest side 1 and its middle at the origin, not turned.
fn normalized(mesh: &TriMesh) -> Result<TriMesh, String> {
    let normalized = normalize_mesh(mesh, Normalize::UnitCube, Up::Y);
    normalized.map(|(mesh, _)| mesh).map_err(|fault| fault.message)
}

/// The grid over the unit cube.
fn voxelized(mesh: &TriMesh, resolution: usize, fill: Fill) -> Result<VoxelGrid, String> {
    voxelize_mesh(mesh, resolution, fill, Fit::UnitCube).map_err(|fault| fault.message)
}

/// As many views as wanted from 30 degrees above, even steps apart (12: the rig of MVCNN); one sample a pixel, flat
/// shading, colour and depth.
///
/// As a stage does, it keeps its memory from one mesh to the next: `pictures` are drawn over.
fn draw(
    renderer: &mut Renderer,
    pictures: &mut Vec<Rendering>,
    mesh: &TriMesh,
    views: u32,
    size: u32,
) {
    let intrinsics = Intrinsics::from_fov_y_deg(FOV_Y_DEG, size, size);
    let distance = fitting_distance(UNIT_CUBE_RADIUS, FOV_Y_DEG);
    let options = RenderOptions { antialias: 1, near: 0.01 * distance, ..RenderOptions::default() };
    let azimuth_deg = |view: u32| 360.0 / f64::from(views) * f64::from(view);
    let shot = |view| Shot {
        camera_from_object: camera_from_object(azimuth_deg(view), ELEVATION_DEG, distance),
        intrinsics,
        background: Background::default(),
    };
    let shots: Vec<Shot> = (0..views).map(shot).collect();
    pictures.resize_with(shots.len(), Rendering::default);
    let scene = Scene { mesh, paint: None };
    renderer.render(&scene, &shots, &options, |view, picture| {
        std::mem::swap(&mut pictures[view], picture);
    });
}

/// What to time.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Op {
    VoxelizeSurface,
    VoxelizeSolid,
    Render,
    Decode,
}

impl Op {
    const ALL: [Self; 4] = [Self::VoxelizeSurface, Self::VoxelizeSolid, Self::Render, Self::Decode];

    fn name(self) -> &'static str {
        match self {
            Self::VoxelizeSurface => "voxelize_surface",
            Self::VoxelizeSolid => "voxelize_solid",
            Self::Render => "render",
            Self::Decode => "decode",
        }
    }
}

/// The command line.
struct Request {
    op: Op,
    resolution: usize,
    views: u32,
    size: u32,
    /// How to fill a grid when it is not as the op's name says.
    fill: Option<Fill>,
    repeats: usize,
    is_json: bool,
    dump: Option<PathBuf>,
    /// Most MiB of memory that the process may take.
    most_mib: Option<u64>,
    files: Vec<PathBuf>,
}

impl Request {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut op = None;
        let mut request = Self {
            op: Op::Decode,
            resolution: 32,
            views: 12,
            size: 224,
            fill: None,
            repeats: 5,
            is_json: false,
            dump: None,
            most_mib: None,
            files: Vec::new(),
        };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--json" => request.is_json = true,
                "--op" => op = Some(op_of(&value()?)?),
                "--fill" => request.fill = Some(fill_of(&value()?)?),
                "--resolution" => request.resolution = number(&value()?)?,
                "--views" => request.views = number(&value()?)?,
                "--size" => request.size = number(&value()?)?,
                "--repeats" => request.repeats = number(&value()?)?,
                "--most-mib" => request.most_mib = Some(number(&value()?)?),
                "--dump" => request.dump = Some(value()?.into()),
                option if option.starts_with("--") => return Err(format!("no option {option}")),
                file => request.files.push(file.into()),
            }
        }
        request.op = op.ok_or("--op is needed")?;
        Ok(request)
    }

    fn fill(&self) -> Fill {
        let solid = Fill::from_name("solid_parity");
        self.fill.unwrap_or(if self.op == Op::VoxelizeSolid { solid } else { Fill::Surface })
    }
}

fn op_of(name: &str) -> Result<Op, String> {
    let names = Op::ALL.map(Op::name).join(", ");
    Op::ALL.into_iter().find(|op| op.name() == name).ok_or(format!("--op is one of {names}"))
}

fn fill_of(name: &str) -> Result<Fill, String> {
    match Fill::from_name(name) {
        Fill::Unknown => Err(format!("no fill is called {name}")),
        fill => Ok(fill),
    }
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text} is not a fitting number"))
}

/// The line of one file.
fn measure(request: &Request, file: &Path) -> Result<String, String> {
    let extension = file.extension().unwrap_or_default().to_string_lossy();
    let format = MeshFormat::from_extension(&extension).ok_or("not a mesh format")?;
    let bytes = std::fs::read(file).map_err(|error| error.to_string())?;
    let source = decoded(format, &bytes)?;
    let folder = request.dump.as_ref().map(|dump| dump.join(file.file_name().unwrap_or_default()));
    let folder = folder.as_deref();
    let repeats = request.repeats;
    let (seconds, result) = match request.op {
        Op::Decode => {
            let (seconds, mesh) = timed(repeats, || decoded(format, &bytes))?;
            (seconds, mesh.vertices.len())
        }
        Op::Render => {
            let (mesh, mut renderer) = (normalized(&source)?, Renderer::default());
            let mut views = Vec::new();
            let work = || {
                draw(&mut renderer, &mut views, &mesh, request.views, request.size);
                Ok(())
            };
            let (seconds, ()) = timed(repeats, work)?;
            folder.map_or(Ok(()), |folder| dump_views(folder, &mesh, &views))?;
            (seconds, views.iter().map(covered).sum())
        }
        Op::VoxelizeSurface | Op::VoxelizeSolid => {
            let mesh = normalized(&source)?;
            let work = || voxelized(&mesh, request.resolution, request.fill());
            let (seconds, grid) = timed(repeats, work)?;
            folder.map_or(Ok(()), |folder| dump_grid(folder, &mesh, &grid))?;
            (seconds, grid.occupied())
        }
    };
    Ok(line(request, file, [source.triangles.len(), bytes.len(), result], seconds))
}

fn line(request: &Request, file: &Path, counts: [usize; 3], median_cpu_s: f64) -> String {
    let [triangles, bytes, result] = counts;
    let op = request.op.name();
    let resolution = match request.op {
        Op::Decode => 0,
        Op::Render => request.size as usize,
        Op::VoxelizeSurface | Op::VoxelizeSolid => request.resolution,
    };
    let file = file.display().to_string();
    if request.is_json {
        let line = json!({
            "file": file, "triangles": triangles, "bytes": bytes, "op": op,
            "resolution": resolution, "median_cpu_s": median_cpu_s, "result": result,
        });
        return line.to_string();
    }
    let milliseconds = median_cpu_s * 1e3;
    format!(
        "{op} {resolution}: {milliseconds:10.3} ms, result {result}, {triangles} triangles, {file}"
    )
}

/// Median CPU seconds of `work`, and what it last gave. Dropping a result is not timed.
fn timed<T>(
    repeats: usize,
    mut work: impl FnMut() -> Result<T, String>,
) -> Result<(f64, T), String> {
    let mut result = black_box(work()?);
    let mut seconds = Vec::with_capacity(repeats);
    for _ in 0..repeats.max(1) {
        drop(result);
        let start = cpu_s();
        result = black_box(work()?);
        seconds.push(cpu_s() - start);
    }
    seconds.sort_by(f64::total_cmp);
    Ok((seconds[seconds.len() / 2], result))
}

/// CPU seconds of all threads of this process.
fn cpu_s() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

fn covered(picture: &Rendering) -> usize {
    picture.rgba.as_chunks::<4>().0.iter().filter(|pixel| pixel[3] > 0).count()
}

fn dump_views(folder: &Path, mesh: &TriMesh, views: &[Rendering]) -> Result<(), String> {
    dump_mesh(folder, mesh)?;
    let side = |of: fn(&Rendering) -> u32| views.first().map_or(0, of) as usize;
    let [height, width] = [side(|view| view.height_px), side(|view| view.width_px)];
    let rgba = views.iter().flat_map(|view| view.rgba.iter().copied()).collect();
    let depth = views.iter().flat_map(|view| view.depth.iter().copied()).collect();
    write_array(folder, "rgba", vec![views.len(), height, width, 4], NpyData::U8(rgba))?;
    write_array(folder, "depth", vec![views.len(), height, width], NpyData::F32(depth))
}

fn dump_grid(folder: &Path, mesh: &TriMesh, grid: &VoxelGrid) -> Result<(), String> {
    dump_mesh(folder, mesh)?;
    write(&folder.join("grid.npy"), &npy::encode(&npy::from_grid(grid)))?;
    let binvox = binvox::encode(grid).map_err(|error| error.to_string())?;
    write(&folder.join("grid.binvox"), &binvox)
}

/// The normalised mesh, so that others work on the very same numbers.
fn dump_mesh(folder: &Path, mesh: &TriMesh) -> Result<(), String> {
    std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
    let vertices = NpyData::F32(mesh.vertices.iter().flatten().copied().collect());
    write_array(folder, "vertices", vec![mesh.vertices.len(), 3], vertices)?;
    let triangles = NpyData::U32(mesh.triangles.iter().flatten().copied().collect());
    write_array(folder, "triangles", vec![mesh.triangles.len(), 3], triangles)
}

fn write_array(folder: &Path, name: &str, shape: Vec<usize>, data: NpyData) -> Result<(), String> {
    write(&folder.join(format!("{name}.npy")), &npy::encode(&NpyArray { shape, data }))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    std::fs::write(path, bytes).map_err(|error| format!("{}: {error}", path.display()))
}
