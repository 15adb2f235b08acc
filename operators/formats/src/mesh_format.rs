//! Mesh formats by name, and one door to read and write them all.

use voxflow_contract::{Appearance, TriMesh};

use crate::error::FormatError;

/// A mesh file format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum MeshFormat {
    /// glTF 2.0 in one binary file.
    Glb,
    /// glTF 2.0 as JSON.
    Gltf,
    /// Wavefront OBJ.
    Obj,
    /// Object File Format of Geomview.
    Off,
    /// Stanford polygon format.
    Ply,
    /// Stereolithography.
    Stl,
}

/// A mesh that was read, and what was odd about its file.
#[derive(Debug, Clone, PartialEq)]
pub struct DecodedMesh {
    /// The mesh; polygons were cut into triangle fans.
    pub mesh: TriMesh,
    /// How it looks, as far as the file says.
    pub appearance: Appearance,
    /// What the reader met that the format does not allow and got over; one fragment each.
    pub quirks: Vec<String>,
}

impl MeshFormat {
    /// All formats, sorted by extension.
    pub const ALL: &'static [Self] =
        &[Self::Glb, Self::Gltf, Self::Obj, Self::Off, Self::Ply, Self::Stl];

    /// File extension in lower case, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Glb => "glb",
            Self::Gltf => "gltf",
            Self::Obj => "obj",
            Self::Off => "off",
            Self::Ply => "ply",
            Self::Stl => "stl",
        }
    }

    /// The format of a file extension, in upper or lower case.
    pub fn from_extension(extension: &str) -> Option<Self> {
        let extension = extension.to_ascii_lowercase();
        Self::ALL.iter().copied().find(|format| format.extension() == extension)
    }
}

/// Reads a mesh.
///
/// # Errors
/// When the bytes hold no vertices or do not follow the format beyond repair.
pub fn decode_mesh(format: MeshFormat, bytes: &[u8]) -> Result<DecodedMesh, FormatError> {
    match format {
        MeshFormat::Glb | MeshFormat::Gltf => crate::glb::decode(bytes, &|_| None),
        MeshFormat::Obj => crate::obj::decode(bytes),
        MeshFormat::Off => crate::off::decode(bytes),
        MeshFormat::Ply => crate::ply::decode(bytes),
        MeshFormat::Stl => crate::stl::decode(bytes),
    }
}

/// Writes a mesh: text for OBJ, OFF and glTF, little-endian binary for GLB, PLY and STL.
pub fn encode_mesh(format: MeshFormat, mesh: &TriMesh) -> Vec<u8> {
    match format {
        MeshFormat::Glb => crate::glb::encode_glb(mesh),
        MeshFormat::Gltf => crate::glb::encode_gltf(mesh),
        MeshFormat::Obj => crate::obj::encode(mesh),
        MeshFormat::Off => crate::off::encode(mesh),
        MeshFormat::Ply => crate::ply::encode(mesh),
        MeshFormat::Stl => crate::stl::encode(mesh),
    }
}
