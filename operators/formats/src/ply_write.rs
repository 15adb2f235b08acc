//! PLY written: little-endian binary.

use voxflow_contract::{Appearance, Material, TriMesh};

/// Writes a PLY file with colours and normals of vertices, texture coordinates of corners, and the
/// colours of materials as those of faces; a point cloud has no face element.
pub(crate) fn encode(mesh: &TriMesh, look: &Appearance) -> Vec<u8> {
    let has_colors = !look.vertex_colors.is_empty();
    let has_normals = !look.vertex_normals.is_empty();
    let has_uvs = !look.corner_uvs.is_empty();
    let has_materials = look.triangle_materials.iter().any(|number| *number != Material::NONE);
    let mut header = format!(
        "ply\nformat binary_little_endian 1.0\nelement vertex {}\n\
         property float x\nproperty float y\nproperty float z\n",
        mesh.vertices.len()
    );
    header += if has_normals { NORMAL } else { "" };
    header += if has_colors { COLOR } else { "" };
    if !mesh.triangles.is_empty() {
        let count = mesh.triangles.len();
        header += &format!("element face {count}\nproperty list uchar uint vertex_indices\n");
        header += if has_uvs { "property list uchar float texcoord\n" } else { "" };
        header += if has_materials { COLOR } else { "" };
    }
    header += "end_header\n";
    let mut bytes = header.into_bytes();
    bytes.reserve(28 * mesh.vertices.len() + 13 * mesh.triangles.len());
    for (i, vertex) in mesh.vertices.iter().enumerate() {
        push_floats(&mut bytes, vertex);
        look.vertex_normals.get(i).inspect(|normal| push_floats(&mut bytes, &normal[..]));
        bytes.extend(look.vertex_colors.get(i).into_iter().flatten());
    }
    for (i, triangle) in mesh.triangles.iter().enumerate() {
        bytes.push(3);
        triangle.iter().for_each(|vertex| bytes.extend_from_slice(&vertex.to_le_bytes()));
        if let Some(uvs) = look.corner_uvs.get(i) {
            bytes.push(6);
            push_floats(&mut bytes, uvs.as_flattened());
        }
        if has_materials {
            let material = look.materials.get(look.triangle_materials[i] as usize);
            bytes.extend(material.map_or([255; 4], |material| material.color));
        }
    }
    bytes
}

const NORMAL: &str = "property float nx\nproperty float ny\nproperty float nz\n";
const COLOR: &str =
    "property uchar red\nproperty uchar green\nproperty uchar blue\nproperty uchar alpha\n";

fn push_floats(bytes: &mut Vec<u8>, numbers: &[f32]) {
    numbers.iter().for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
}
