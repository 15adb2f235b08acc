//! Codecs: bytes to values and back, without paths and without a clock.

mod axis_order;
pub mod binvox;
mod bit_slab;
pub mod co3d;
pub mod depth;
mod error;
mod fan;
pub mod glb;
mod inflate;
pub mod jgz;
pub mod mat;
mod mesh_format;
pub mod npy;
pub mod npz;
mod obj;
mod off;
pub mod parquet;
pub mod picture;
mod ply;
mod quirks;
mod scan;
mod stl;
pub mod views;

pub use error::FormatError;
pub use mesh_format::{DecodedMesh, MeshFormat, decode_mesh, encode_mesh};
