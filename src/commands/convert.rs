//! `voxflow convert`: mesh to grid, and between formats of meshes and of grids.

use std::path::Path;

use voxflow_contract::{Fill, SolidRule, VoxelGrid};
use voxflow_formats::npz::NpzFile;
use voxflow_formats::{
    DecodedMesh, MeshFormat, Sidecar, SidecarScope, binvox, decode_mesh_with, encode_mesh_with,
    gather_sidecars, mat, merge_corners, npy,
};
use voxflow_geometry::{Fit, voxelize_mesh};

use crate::cli::{ConvertArgs, FillChoice, FitChoice, RuleChoice};
use crate::error::Error;
use crate::{output_file, terminal};

/// Converts a file; the extensions say from what to what.
///
/// # Errors
/// When the formats are unknown or cannot be converted, the input is bad, or the disk fails.
pub fn convert(args: &ConvertArgs) -> Result<(), Error> {
    let (from, to) = (Form::of("IN", &args.input)?, Form::of("OUT", &args.output)?);
    let (bytes, done) = match (from, to) {
        (_, Form::Mat | Form::Npz) => {
            let hint = "grids become binvox or npy; meshes become any of the formats";
            return Err(Error::argument("OUT", "mat and npz files are only read", hint));
        }
        (Form::Mesh(_), Form::Mesh(format)) => {
            let DecodedMesh { mesh, appearance, .. } = read_mesh(&args.input)?;
            let (vertices, triangles) = (mesh.vertices.len(), mesh.triangles.len());
            let done = format!("{vertices} vertices, {triangles} triangles");
            (encode_mesh_with(format, &mesh, &appearance), done)
        }
        (Form::Mesh(_), grid_form) => encode_grid(args, grid_form, &voxelize(args)?)?,
        (_, Form::Mesh(_)) => {
            let hint = "grids become binvox or npy; meshes become any of the formats";
            return Err(Error::argument("OUT", "a grid cannot be turned into a mesh", hint));
        }
        (_, grid_form) => encode_grid(args, grid_form, &read_grid(&args.input)?)?,
    };
    output_file::write(&args.output, &bytes)?;
    terminal::print(&format!("{}: {done}\n", args.output.display()))
}

/// What a file holds, by its extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Mesh(MeshFormat),
    Binvox,
    Mat,
    Npy,
    Npz,
}

impl Form {
    fn of(argument: &str, path: &Path) -> Result<Self, Error> {
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        match extension.as_str() {
            "binvox" => Ok(Self::Binvox),
            "mat" => Ok(Self::Mat),
            "npy" => Ok(Self::Npy),
            "npz" => Ok(Self::Npz),
            other => MeshFormat::from_extension(other).map(Self::Mesh).ok_or_else(|| {
                let message = format!("unknown extension `{other}`: {}", path.display());
                let mut known: Vec<_> = MeshFormat::ALL.iter().map(|f| f.extension()).collect();
                known.extend(["binvox", "mat", "npy", "npz"]);
                Error::argument(argument, message, format!("known: {}", known.join(", ")))
            }),
        }
    }
}

/// Reads a mesh of any format, with the libraries and textures that it names and that are there.
///
/// # Errors
/// When the extension is none of a mesh, the file cannot be read, or is not of its format.
pub fn read_mesh(path: &Path) -> Result<DecodedMesh, Error> {
    let Form::Mesh(format) = Form::of("IN", path)? else {
        return Err(Error::argument("IN", format!("this is no mesh: {}", path.display()), ""));
    };
    decode_mesh_file(path, format, &read(path)?)
}

/// The mesh that a file holds, with the libraries and textures that lie where it says.
///
/// # Errors
/// When the bytes are not of the format.
pub fn decode_mesh_file(
    path: &Path,
    format: MeshFormat,
    bytes: &[u8],
) -> Result<DecodedMesh, Error> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let found = gather_sidecars(format, bytes, SidecarScope::All, &mut |name| {
        let path = folder.join(name);
        path.is_file().then(|| std::fs::read(&path).ok()).flatten()
    });
    let sidecars: Vec<_> = found.iter().map(|(name, bytes)| Sidecar { name, bytes }).collect();
    let decoded = decode_mesh_with(format, bytes, &sidecars);
    let mut decoded = decoded.map_err(|e| Error::input("decode", path, e))?;
    if format.repeats_corners() {
        decoded.mesh = merge_corners(&decoded.mesh);
    }
    Ok(decoded)
}

/// Reads a file whole.
///
/// # Errors
/// When it cannot be read.
pub fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|e| Error::input("read", path, e))
}

fn read_grid(path: &Path) -> Result<VoxelGrid, Error> {
    let bytes = read(path)?;
    let grid = match Form::of("IN", path)? {
        Form::Npy => npy::decode(&bytes).and_then(|array| array.to_grid(OCCUPIED_FROM)),
        Form::Npz => NpzFile::open(&bytes).and_then(|file| file.only_grid(OCCUPIED_FROM)),
        Form::Mat => mat::only_grid(&bytes, OCCUPIED_FROM),
        Form::Binvox | Form::Mesh(_) => binvox::decode(&bytes),
    };
    grid.map_err(|e| Error::input("decode", path, e))
}

/// Least value of an occupied cell, where cells are numbers.
const OCCUPIED_FROM: f64 = 0.5;

fn voxelize(args: &ConvertArgs) -> Result<VoxelGrid, Error> {
    let decoded = read_mesh(&args.input)?;
    if args.rule.is_some() && args.fill != FillChoice::Solid {
        let hint = "add --fill solid, or leave --rule out";
        return Err(Error::argument("--rule", "says what is inside of a solid", hint));
    }
    let rule = match args.rule.unwrap_or_default() {
        RuleChoice::OutsideFlood => SolidRule::OutsideFlood,
        RuleChoice::Parity => SolidRule::Parity,
        RuleChoice::Winding => SolidRule::Winding,
        RuleChoice::Carve => SolidRule::Carve,
    };
    let fill = match args.fill {
        FillChoice::Surface => Fill::Surface,
        FillChoice::SurfaceThin => Fill::SurfaceThin,
        FillChoice::Solid => Fill::Solid(rule),
        FillChoice::Points => Fill::Points,
    };
    let fit = match args.fit {
        FitChoice::Binvox => Fit::Binvox,
        FitChoice::Centered => Fit::Centered,
        FitChoice::UnitCube => Fit::UnitCube,
        FitChoice::Padded => Fit::Padded(args.padding),
    };
    voxelize_mesh(&decoded.mesh, args.resolution as usize, fill, fit)
        .map_err(|fault| Error::input("voxelize", &args.input, fault.message))
}

fn encode_grid(
    args: &ConvertArgs,
    form: Form,
    grid: &VoxelGrid,
) -> Result<(Vec<u8>, String), Error> {
    let bytes = match form {
        Form::Npy => npy::encode(&npy::from_grid(grid)),
        _ => binvox::encode(grid).map_err(|e| Error::input("convert", &args.input, e))?,
    };
    let (n, occupied) = (grid.resolution, terminal::thousands(grid.occupied() as u64));
    Ok((bytes, format!("{n}^3 cells, {occupied} occupied")))
}
