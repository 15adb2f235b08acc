//! Meshes as glTF: one node, one primitive.

use base64::Engine;
use serde_json::{Value, json};
use voxflow_contract::TriMesh;

/// Writes a mesh as GLB: the document, then positions and vertex numbers as little-endian binary.
pub(crate) fn encode_glb(mesh: &TriMesh) -> Vec<u8> {
    let binary = binary(mesh);
    let mut text = document(mesh, &json!({ "byteLength": binary.len() })).to_string().into_bytes();
    text.resize(text.len().next_multiple_of(4), b' ');
    let has_binary = !binary.is_empty();
    let len = 12 + 8 + text.len() + if has_binary { 8 + binary.len() } else { 0 };
    let mut bytes = Vec::with_capacity(len);
    bytes.extend_from_slice(super::MAGIC);
    bytes.extend_from_slice(&2_u32.to_le_bytes());
    bytes.extend_from_slice(&word(len));
    bytes.extend_from_slice(&word(text.len()));
    bytes.extend_from_slice(b"JSON");
    bytes.append(&mut text);
    if has_binary {
        bytes.extend_from_slice(&word(binary.len()));
        bytes.extend_from_slice(b"BIN\0");
        bytes.extend_from_slice(&binary);
    }
    bytes
}

/// Writes a mesh as glTF: one JSON document with the binary in it as base64.
pub(crate) fn encode_gltf(mesh: &TriMesh) -> Vec<u8> {
    let binary = binary(mesh);
    let text = base64::engine::general_purpose::STANDARD.encode(&binary);
    let uri = format!("data:application/octet-stream;base64,{text}");
    document(mesh, &json!({ "byteLength": binary.len(), "uri": uri })).to_string().into_bytes()
}

/// A length as the container says it. A file of more than 4 GiB says less than it holds: GLB has no
/// larger number, and readers refuse such a file as cut off.
fn word(len: usize) -> [u8; 4] {
    u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes()
}

fn binary(mesh: &TriMesh) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(12 * (mesh.vertices.len() + mesh.triangles.len()));
    bytes.extend(mesh.vertices.iter().flatten().flat_map(|number| number.to_le_bytes()));
    bytes.extend(mesh.triangles.iter().flatten().flat_map(|number| number.to_le_bytes()));
    bytes
}

fn document(mesh: &TriMesh, buffer: &Value) -> Value {
    let (vertices, triangles) = (mesh.vertices.len(), mesh.triangles.len());
    let asset = json!({ "version": "2.0", "generator": "voxflow" });
    if vertices == 0 {
        // Nothing may be empty in a document but what is left out.
        return json!({ "asset": asset });
    }
    let bound = |pick: fn(f32, f32) -> f32| {
        let mut bound = mesh.vertices[0];
        for vertex in &mesh.vertices {
            bound = [0, 1, 2].map(|axis| pick(bound[axis], vertex[axis]));
        }
        bound
    };
    let mut views = vec![json!({ "buffer": 0, "byteLength": 12 * vertices, "target": 34_962 })];
    let mut accessors = vec![json!({
        "bufferView": 0, "componentType": 5126, "type": "VEC3", "count": vertices,
        "min": bound(f32::min), "max": bound(f32::max),
    })];
    let mut primitive = json!({ "attributes": { "POSITION": 0 }, "mode": 0 });
    if triangles > 0 {
        views.push(json!({
            "buffer": 0, "byteOffset": 12 * vertices, "byteLength": 12 * triangles,
            "target": 34_963,
        }));
        accessors.push(json!({
            "bufferView": 1, "componentType": 5125, "type": "SCALAR", "count": 3 * triangles,
        }));
        primitive = json!({ "attributes": { "POSITION": 0 }, "indices": 1, "mode": 4 });
    }
    json!({
        "asset": asset, "scene": 0, "scenes": [{ "nodes": [0] }], "nodes": [{ "mesh": 0 }],
        "meshes": [{ "primitives": [primitive] }],
        "accessors": accessors, "bufferViews": views, "buffers": [buffer],
    })
}
