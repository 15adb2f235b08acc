//! Codecs: bytes to values and back, without paths and without a clock.

pub mod arrow_stream;
mod axis_order;
pub mod binvox;
mod bit_slab;
pub mod co3d;
mod colors;
pub mod depth;
mod error;
mod fan;
pub mod glb;
mod inflate;
pub mod jgz;
pub mod mat;
mod mesh_format;
mod mtl;
mod normals;
pub mod npy;
pub mod npz;
mod numbers;
mod obj;
mod obj_look;
mod off;
mod off_binary;
pub mod parquet;
pub mod picture;
mod ply;
mod ply_header;
mod ply_pictures;
mod ply_rows;
mod ply_write;
mod quick_lines;
mod quirks;
mod scan;
mod sidecars;
pub mod split_list;
mod stl;
pub mod views;
mod weld;
mod write_text;

pub use error::FormatError;
pub use mesh_format::{
    DecodedMesh, MeshFormat, decode_mesh, decode_mesh_with, encode_mesh, encode_mesh_with,
};
pub use sidecars::{Sidecar, SidecarScope, gather_sidecars, sidecar_names, texture_names};
pub use weld::merge_corners;
