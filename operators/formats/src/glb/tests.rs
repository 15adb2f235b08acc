//! glTF documents by hand: what they say, and what they lie about.

use serde_json::{Value, json};
use voxflow_contract::{Material, TriMesh};

use super::*;

fn no_files<'a>(_: &str) -> Option<&'a [u8]> {
    None
}

/// A GLB of a document and a binary chunk.
fn glb(document: &Value, binary: &[u8]) -> Vec<u8> {
    let mut text = document.to_string().into_bytes();
    text.resize(text.len().next_multiple_of(4), b' ');
    let mut binary = binary.to_vec();
    binary.resize(binary.len().next_multiple_of(4), 0);
    let word = |len: usize| (len as u32).to_le_bytes();
    let len = 12 + 8 + text.len() + 8 + binary.len();
    let (text_len, binary_len) = (word(text.len()), word(binary.len()));
    let head = [b"glTF".as_slice(), &word(2), &word(len), &text_len, b"JSON"].concat();
    [head, text, binary_len.to_vec(), b"BIN\0".to_vec(), binary].concat()
}

fn floats(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

/// A unit square of two triangles: 4 positions (48 bytes), then 6 indices of a byte.
fn square() -> (Value, Vec<u8>) {
    let positions = floats(&[0., 0., 0., 1., 0., 0., 1., 1., 0., 0., 1., 0.]);
    let document = json!({
        "asset": { "version": "2.0" },
        "scenes": [{ "nodes": [0] }],
        "nodes": [{ "mesh": 0 }],
        "meshes": [{ "primitives": [{ "attributes": { "POSITION": 0 }, "indices": 1 }] }],
        "accessors": [
            { "bufferView": 0, "componentType": 5126, "type": "VEC3", "count": 4 },
            { "bufferView": 1, "componentType": 5121, "type": "SCALAR", "count": 6 },
        ],
        "bufferViews": [
            { "buffer": 0, "byteLength": 48 },
            { "buffer": 0, "byteOffset": 48, "byteLength": 6 },
        ],
        "buffers": [{ "byteLength": 56 }],
    });
    (document, [positions, vec![0, 1, 2, 0, 2, 3, 0, 0]].concat())
}

/// The square with something else in its document.
fn changed(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let (mut document, binary) = square();
    change(&mut document);
    glb(&document, &binary)
}

fn read(bytes: &[u8]) -> DecodedMesh {
    let decoded = decode(bytes, &no_files).expect("a file that is right");
    assert!(decoded.mesh.is_valid() && decoded.appearance.fits(&decoded.mesh));
    decoded
}

/// `expected` is the error's `code: message`.
fn check(bytes: &[u8], expected: &str) {
    let found = match decode(bytes, &no_files) {
        Ok(decoded) => format!("{:?}", decoded.mesh),
        Err(e) => format!("{}: {}", e.code, e.message),
    };
    assert_eq!(found, expected);
}

#[test]
fn a_square() {
    let (document, binary) = square();
    let decoded = read(&glb(&document, &binary));
    assert_eq!(decoded.mesh.triangles, [[0, 1, 2], [0, 2, 3]]);
    assert_eq!(decoded.mesh.vertices[2], [1.0, 1.0, 0.0]);
    assert!(decoded.appearance.is_empty() && decoded.quirks.is_empty());
}

#[test]
fn what_is_written_is_read() {
    let mesh = TriMesh {
        vertices: vec![[0.1, -2.5e-20, 3.0], [1e30, 0.0, 0.0], [0.0, 1.0, -0.0]],
        triangles: vec![[0, 1, 2], [2, 1, 0]],
    };
    let points = TriMesh { triangles: Vec::new(), ..mesh.clone() };
    for mesh in [mesh, points] {
        for bytes in [encode_glb(&mesh), encode_gltf(&mesh)] {
            let decoded = read(&bytes);
            assert_eq!(decoded.mesh, mesh);
            assert!(decoded.appearance.is_empty() && decoded.quirks.is_empty());
        }
    }
    check(&encode_glb(&TriMesh::default()), "empty: the scene holds no vertices");
}

#[test]
fn nodes_place_meshes() {
    // A quarter turn about z, then twice as large, below a parent that moves and mirrors.
    let half = std::f32::consts::FRAC_1_SQRT_2;
    let bytes = changed(|document| {
        document["nodes"] = json!([
            { "mesh": 0, "rotation": [0, 0, half, half], "scale": [2, 2, 2] },
            { "children": [0], "translation": [10, 0, 0], "scale": [-1, 1, 1] },
        ]);
        document["scenes"] = json!([{ "nodes": [1] }]);
    });
    let mesh = read(&bytes).mesh;
    let near = |found: [f32; 3], expected: [f32; 3]| {
        assert!((0..3).all(|i| (found[i] - expected[i]).abs() < 1e-5), "{found:?} {expected:?}");
    };
    near(mesh.vertices[0], [10.0, 0.0, 0.0]);
    near(mesh.vertices[1], [10.0, 2.0, 0.0]);
    near(mesh.vertices[3], [12.0, 0.0, 0.0]);
    assert_eq!(mesh.triangles[0], [0, 2, 1], "a mirror turns triangles round");
}

#[test]
fn a_matrix_is_column_by_column() {
    let bytes = changed(|document| {
        document["nodes"][0]["matrix"] = json!([1, 0, 0, 0, 0, 0, 1, 0, 0, -1, 0, 0, 5, 6, 7, 1]);
    });
    assert_eq!(read(&bytes).mesh.vertices[3], [5.0, 6.0, 8.0]);
}

#[test]
fn one_mesh_at_several_nodes() {
    let bytes = changed(|document| {
        document["nodes"] = json!([{ "mesh": 0 }, { "mesh": 0, "translation": [0, 0, 1] }]);
        document["scenes"] = json!([]);
    });
    let mesh = read(&bytes).mesh;
    assert_eq!((mesh.vertices.len(), mesh.triangles.len()), (8, 4));
    assert_eq!((mesh.triangles[2], mesh.vertices[4]), ([4, 5, 6], [0.0, 0.0, 1.0]));
}

#[test]
fn strips_and_fans() {
    let with_mode = |mode: u8| {
        read(&changed(|document| {
            document["meshes"][0]["primitives"][0] =
                json!({ "attributes": { "POSITION": 0 }, "mode": mode });
        }))
    };
    assert_eq!(with_mode(5).mesh.triangles, [[0, 1, 2], [1, 3, 2]]);
    assert_eq!(with_mode(6).mesh.triangles, [[1, 2, 0], [2, 3, 0]]);
    assert_eq!(with_mode(4).mesh.triangles, [[0, 1, 2]]);
    assert!(with_mode(0).mesh.triangles.is_empty());
    let lines = changed(|document| document["meshes"][0]["primitives"][0]["mode"] = json!(1));
    check(&lines, "empty: the scene holds no vertices");
}

#[test]
fn the_look() {
    let positions = floats(&[0., 0., 0., 1., 0., 0., 0., 1., 0.]);
    let normals = floats(&[0., 0., 2.].repeat(3));
    let uvs = floats(&[0.0, 0.0, 1.0, 0.0, 0.0, 0.25]);
    let colors = [255_u8, 0, 0, 128].repeat(3);
    let picture = crate::picture::encode_png(&crate::picture::Picture {
        width: 1,
        height: 1,
        channels: 1,
        data: vec![7],
    });
    let picture = picture.expect("a picture");
    let binary = [positions, normals, uvs, colors, picture.clone()].concat();
    let view =
        |start: usize, len: usize| json!({ "buffer": 0, "byteOffset": start, "byteLength": len });
    let document = json!({
        "asset": { "version": "2.0" },
        "nodes": [{ "mesh": 0, "scale": [1, 1, 4] }],
        "meshes": [{ "primitives": [{
            "attributes": { "POSITION": 0, "NORMAL": 1, "TEXCOORD_1": 2, "COLOR_0": 3 },
            "material": 0,
        }] }],
        "materials": [{ "pbrMetallicRoughness": {
            "baseColorFactor": [1, 0.5, 0, 1],
            "baseColorTexture": { "index": 0, "texCoord": 1, "extensions": {
                "KHR_texture_transform": { "offset": [0.5, 0], "scale": [2, 1] } } },
        } }],
        "textures": [{ "source": 0 }],
        "images": [{ "bufferView": 4, "mimeType": "image/png" }],
        "extensionsRequired": ["KHR_texture_transform"],
        "accessors": [
            { "bufferView": 0, "componentType": 5126, "type": "VEC3", "count": 3 },
            { "bufferView": 1, "componentType": 5126, "type": "VEC3", "count": 3 },
            { "bufferView": 2, "componentType": 5126, "type": "VEC2", "count": 3 },
            { "bufferView": 3, "componentType": 5121, "type": "VEC4", "count": 3, "normalized": true },
        ],
        "bufferViews": [
            view(0, 36), view(36, 36), view(72, 24), view(96, 12), view(108, picture.len()),
        ],
        "buffers": [{ "byteLength": binary.len() }],
    });
    let look = read(&glb(&document, &binary)).appearance;
    assert_eq!(look.vertex_normals, [[0.0, 0.0, 1.0]; 3]);
    assert_eq!(look.vertex_colors, [[255, 0, 0, 128]; 3]);
    assert_eq!(look.corner_uvs, [[[0.5, 1.0], [2.5, 1.0], [0.5, 0.75]]]);
    assert_eq!(look.triangle_materials, [0]);
    // Half of the light is 188 of 255 in sRGB.
    assert_eq!(look.materials, [Material { color: [255, 188, 0, 255], texture: Some(0) }]);
    assert_eq!(look.textures[0].bytes, picture);
}

#[test]
fn sparse_values_and_small_numbers() {
    let bytes = changed(|document| {
        document["extensionsRequired"] = json!(["KHR_mesh_quantization"]);
        document["accessors"][0] = json!({
            "componentType": 5121, "type": "VEC3", "count": 4,
            "sparse": {
                "count": 2,
                "indices": { "bufferView": 1, "byteOffset": 1, "componentType": 5121 },
                "values": { "bufferView": 1, "byteOffset": 0 },
            },
        });
    });
    let vertices = read(&bytes).mesh.vertices;
    assert_eq!(vertices, [[0.0; 3], [0.0, 1.0, 2.0], [0.0, 2.0, 3.0], [0.0; 3]]);
}

#[test]
fn files_beside() {
    let (mut document, binary) = square();
    document["buffers"][0]["uri"] = json!("a%20b.bin");
    document["images"] = json!([{ "uri": "c.png" }, { "uri": "data:image/png;base64,AA==" }]);
    let text = document.to_string();
    assert_eq!(sidecar_names(text.as_bytes(), SidecarScope::All), ["a b.bin", "c.png"]);
    assert_eq!(sidecar_names(text.as_bytes(), SidecarScope::Geometry), ["a b.bin"]);
    let find = |name: &str| (name == "a b.bin").then_some(binary.as_slice());
    let decoded = decode(text.as_bytes(), &find).expect("all files are there");
    assert_eq!(decoded.mesh.vertices.len(), 4);
    check(text.as_bytes(), "missing_file: the file needs `a b.bin`, which was not given");
}

#[test]
fn refusals() {
    check(b"", "empty: the file holds no bytes");
    check(b"glTF\x01\0\0\0", "unsupported: GLB version 1 is not supported, 2 is");
    check(b"glTF\x02\0\0\0", "truncated: the file ends inside its header");
    check(b"{}", "bad_json: the document: missing field `asset` at line 1 column 2");
    check(
        br#"{"asset":{"version":"1.0"}}"#,
        "unsupported: glTF version 1.0 is not supported, 2.0 is",
    );
    let (document, binary) = square();
    let whole = glb(&document, &binary);
    for len in [13, 30, whole.len() - 1] {
        assert_eq!(decode(&whole[..len], &no_files).expect_err("cut off").code, "truncated");
    }
    check(
        &changed(|document| {
            document["extensionsRequired"] = json!(["KHR_draco_mesh_compression"]);
        }),
        "unsupported: the file requires the extension `KHR_draco_mesh_compression`, which is not \
         supported: write the file again without Draco compression",
    );
}

#[test]
fn lies_are_refused() {
    let accessor = |number: usize, field: &'static str, value: Value| {
        changed(move |document| document["accessors"][number][field] = value)
    };
    check(
        &accessor(0, "count", json!(5)),
        "bad_accessor: accessor 0: 5 elements of 12 bytes from byte 0 do not fit in 48 bytes",
    );
    check(
        &accessor(0, "byteOffset", json!(u64::MAX)),
        "bad_accessor: accessor 0: 4 elements of 12 bytes from byte 18446744073709551615 do not \
         fit in 48 bytes",
    );
    check(
        &accessor(0, "count", json!(u64::MAX)),
        "too_large: accessor 0: the scene has more than 4 elements for each byte of input",
    );
    check(
        &accessor(0, "bufferView", json!(9)),
        "bad_index: buffer view 9 is named, the file has 2",
    );
    check(
        &accessor(1, "type", json!("VEC3")),
        "bad_accessor: accessor 1: vertex numbers must be unsigned whole numbers, one an element",
    );
    check(
        &accessor(0, "type", json!("MAT4")),
        "bad_accessor: accessor 0: its type is neither scalar nor vector",
    );
    check(
        &accessor(1, "componentType", json!(5120)),
        "bad_accessor: accessor 1: vertex numbers must be unsigned whole numbers, one an element",
    );
    check(
        &changed(|document| document["bufferViews"][0]["byteLength"] = json!(57)),
        "bad_accessor: buffer view 0 is 57 bytes from byte 0 of a buffer of 56",
    );
    check(
        &changed(|document| document["bufferViews"][0]["byteStride"] = json!(4)),
        "bad_accessor: accessor 0: elements of 12 bytes lie 4 apart",
    );
    check(
        &changed(|document| document["accessors"][0]["count"] = json!(2)),
        "bad_index: mesh 0 names vertex 2, its primitive has 2",
    );
    check(
        &changed(|document| document["nodes"][0]["children"] = json!([0])),
        "bad_index: node 0 has two parents or is below itself",
    );
    check(
        &changed(|document| document["nodes"][0]["mesh"] = json!(3)),
        "bad_index: mesh 3 is named, the file has 1",
    );
    check(
        &changed(|document| {
            document["nodes"][0] =
                json!({ "mesh": 0, "scale": [3e38, 1, 1], "translation": [3e38, 0, 0] });
        }),
        "not_finite: mesh 0 has a vertex that is not finite",
    );
}
