//! Mesh formats by name, and one door to read and write them all.

use voxflow_contract::{Appearance, TriMesh};

use crate::error::FormatError;
use crate::sidecars::{Sidecar, SidecarIndex};

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

    /// Whether a file repeats a corner in each triangle, so that what is read is a soup until
    /// [`crate::merge_corners`] merges it.
    pub fn repeats_corners(self) -> bool {
        self == Self::Stl
    }

    /// The format of a file extension, in upper or lower case.
    pub fn from_extension(extension: &str) -> Option<Self> {
        let extension = extension.to_ascii_lowercase();
        Self::ALL.iter().copied().find(|format| format.extension() == extension)
    }
}

/// Reads a mesh by itself: files that it names are not missed.
///
/// # Errors
/// When the bytes hold no vertices or do not follow the format beyond repair.
pub fn decode_mesh(format: MeshFormat, bytes: &[u8]) -> Result<DecodedMesh, FormatError> {
    decode(format, bytes, None)
}

/// Reads a mesh with the files that it names, as [`crate::gather_sidecars`] finds them. One that is
/// named and not among them becomes a quirk, as does a texture that is neither PNG nor JPEG.
///
/// # Errors
/// As [`decode_mesh`]: nothing about a sidecar is an error.
pub fn decode_mesh_with<'a>(
    format: MeshFormat,
    bytes: &'a [u8],
    sidecars: &[Sidecar<'a>],
) -> Result<DecodedMesh, FormatError> {
    decode(format, bytes, Some(sidecars))
}

fn decode<'a>(
    format: MeshFormat,
    bytes: &'a [u8],
    sidecars: Option<&[Sidecar<'a>]>,
) -> Result<DecodedMesh, FormatError> {
    match format {
        MeshFormat::Glb | MeshFormat::Gltf => {
            let find = |name: &str| Some(SidecarIndex::of(sidecars?).find(name)?.bytes);
            crate::glb::decode(bytes, &find)
        }
        MeshFormat::Obj => crate::obj::decode(bytes, sidecars),
        MeshFormat::Off => crate::off::decode(bytes),
        MeshFormat::Ply => crate::ply::decode(bytes, sidecars),
        MeshFormat::Stl => crate::stl::decode(bytes),
    }
}

/// Writes a bare mesh: text for OBJ, OFF and glTF, little-endian binary for GLB, PLY and STL.
pub fn encode_mesh(format: MeshFormat, mesh: &TriMesh) -> Vec<u8> {
    encode_mesh_with(format, mesh, &Appearance::default())
}

/// Writes a mesh and as much of how it looks as the format has room for in one file: OBJ and PLY
/// colours, normals and texture coordinates, OFF colours and normals, PLY and OFF the colours of
/// materials as those of faces, STL, GLB and glTF nothing.
///
/// # Panics
/// When `look` does not fit the mesh (see [`Appearance::fits`]), as indexing would.
pub fn encode_mesh_with(format: MeshFormat, mesh: &TriMesh, look: &Appearance) -> Vec<u8> {
    match format {
        MeshFormat::Glb => crate::glb::encode_glb(mesh),
        MeshFormat::Gltf => crate::glb::encode_gltf(mesh),
        MeshFormat::Obj => crate::write_text::encode_obj(mesh, look),
        MeshFormat::Off => crate::write_text::encode_off(mesh, look),
        MeshFormat::Ply => crate::ply_write::encode(mesh, look),
        MeshFormat::Stl => crate::stl::encode(mesh),
    }
}
