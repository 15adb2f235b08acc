//! `voxflow inspect`: what is in a file, with a small picture where there is something to see.

mod array;
mod checkpoint;
mod facts;
mod grid;
mod jgz;
mod mat;
mod mesh;
mod npz;
mod picture;
mod table;

use std::path::Path;

use voxflow_formats::MeshFormat;

use crate::cli::{Format, InspectArgs};
use crate::error::Error;
use crate::terminal;
use facts::Facts;

/// Prints what is in a file or checkpoint folder.
///
/// # Errors
/// When it is of no known sort, or not what its name says.
pub fn inspect(args: &InspectArgs) -> Result<(), Error> {
    let facts = look(args)?;
    match args.format {
        Format::Json => terminal::print_json(&facts.to_json(&args.file)),
        Format::Text => terminal::print(&facts.to_text(&args.file, !args.no_picture)),
    }
}

fn look(args: &InspectArgs) -> Result<Facts, Error> {
    let path = args.file.as_path();
    if path.is_dir() {
        return checkpoint::folder(path);
    }
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    match extension.as_str() {
        "binvox" => grid::binvox(path),
        "jgz" => jgz::jgz(path),
        "mat" => mat::mat(path),
        "npy" => array::npy(path),
        "npz" => npz::npz(path),
        "png" | "jpg" | "jpeg" => picture::picture(path),
        "parquet" => table::parquet(path, args.rows),
        "safetensors" => checkpoint::safetensors(path),
        other => match MeshFormat::from_extension(other) {
            Some(format) => mesh::mesh(path, format),
            None => Err(unknown(path, other)),
        },
    }
}

fn unknown(path: &Path, extension: &str) -> Error {
    if !path.exists() {
        return Error::input("read", path, "there is no such file");
    }
    let meshes: Vec<_> = MeshFormat::ALL.iter().map(|format| format.extension()).collect();
    let message = format!("unknown extension `{extension}`: {}", path.display());
    let known =
        "binvox, jgz, mat, npy, npz, png, jpg, parquet, safetensors, or a checkpoint folder";
    Error::argument("FILE", message, format!("known: {}, {known}", meshes.join(", ")))
}
