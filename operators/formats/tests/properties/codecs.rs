//! What must hold of every codec, whatever the bytes: no panic, and what was read is read again from
//! what is written of it.
//!
//! Used by the tests here, on damaged files, and by the fuzz targets, which count memory too.

use voxflow_contract::{PARTS, TriMesh};
use voxflow_formats::co3d::FrameAnnotation;
use voxflow_formats::npz::{self, Compression, NpzFile};
use voxflow_formats::{
    DecodedMesh, FormatError, MeshFormat, Sidecar, SidecarScope, binvox, decode_mesh,
    decode_mesh_with, depth, encode_mesh, jgz, mat, npy, picture, sidecar_names, split_list,
    texture_names, views,
};

/// A codec, and what must hold of it.
pub(crate) struct Codec {
    /// Name of its fuzz target and of the folder of its seeds.
    pub(crate) name: &'static str,
    /// Most bytes it may take for each byte of input, beside what every codec may.
    pub(crate) most_bytes_a_byte: usize,
    /// Says whether the bytes are a file of the format; panics where the property does not hold.
    pub(crate) check: fn(&[u8]) -> bool,
}

impl Codec {
    /// Most bytes it may take at any one time for so many bytes of input.
    ///
    /// A mebibyte is always allowed: for messages, tables of decoders, the smallest grids.
    pub(crate) fn most_bytes(&self, input_len: usize) -> usize {
        (1 << 20) + self.most_bytes_a_byte * input_len
    }
}

/// What one byte of deflate can stand for.
const INFLATED: usize = 1032;

/// All codecs, sorted by name.
pub(crate) const CODECS: &[Codec] = &[
    Codec { name: "binvox", most_bytes_a_byte: 1024, check: binvox },
    Codec { name: "glb", most_bytes_a_byte: 1024, check: glb },
    // The records are kept as trees of values, at worst of single digits, and read twice.
    Codec { name: "jgz", most_bytes_a_byte: 256 * INFLATED, check: jgz },
    Codec { name: "mat", most_bytes_a_byte: mat::MOST_BYTES_A_BYTE, check: mat },
    Codec { name: "mtl", most_bytes_a_byte: 256, check: mtl },
    Codec { name: "npy", most_bytes_a_byte: 32, check: npy },
    Codec { name: "npz", most_bytes_a_byte: 4 * npz::MOST_BYTES_A_BYTE, check: npz },
    Codec { name: "obj", most_bytes_a_byte: 256, check: obj },
    Codec { name: "off", most_bytes_a_byte: 256, check: off },
    // A bit of a palette becomes four bytes, in the decoder and again for the caller.
    Codec { name: "picture", most_bytes_a_byte: 128 * INFLATED, check: picture },
    Codec { name: "ply", most_bytes_a_byte: 256, check: ply },
    Codec { name: "r2n2", most_bytes_a_byte: 64, check: r2n2 },
    // An id of one byte takes its end, part and place beside it, and their room doubles as it grows.
    Codec { name: "split_list", most_bytes_a_byte: 256, check: split_list },
    Codec { name: "stl", most_bytes_a_byte: 256, check: stl },
];

fn read_mesh(format: MeshFormat, bytes: &[u8]) -> Result<DecodedMesh, FormatError> {
    decode_mesh(format, bytes)
}

fn write_mesh(format: MeshFormat, mesh: &TriMesh) -> Vec<u8> {
    encode_mesh(format, mesh)
}

/// A mesh that was read is valid, has vertices, and is read again.
fn mesh(format: MeshFormat, bytes: &[u8]) -> bool {
    let Ok(DecodedMesh { mesh, appearance, .. }) = read_mesh(format, bytes) else { return false };
    assert!(mesh.is_valid() && !mesh.vertices.is_empty() && appearance.fits(&mesh));
    let again = read_mesh(format, &write_mesh(format, &mesh)).expect("our own file");
    if format == MeshFormat::Stl {
        let corners = |mesh: &TriMesh| -> Vec<_> {
            (0..mesh.triangles.len()).map(|triangle| mesh.corners(triangle)).collect()
        };
        assert_eq!(corners(&again.mesh), corners(&mesh));
    } else {
        assert_eq!(again.mesh, mesh);
    }
    true
}

fn obj(bytes: &[u8]) -> bool {
    mesh(MeshFormat::Obj, bytes)
}

fn off(bytes: &[u8]) -> bool {
    mesh(MeshFormat::Off, bytes)
}

fn ply(bytes: &[u8]) -> bool {
    mesh(MeshFormat::Ply, bytes)
}

fn stl(bytes: &[u8]) -> bool {
    mesh(MeshFormat::Stl, bytes)
}

fn glb(bytes: &[u8]) -> bool {
    sidecar_names(MeshFormat::Glb, bytes, SidecarScope::All);
    // Either extension reads both forms; each is written as itself.
    mesh(MeshFormat::Glb, bytes) && mesh(MeshFormat::Gltf, bytes)
}

/// A library never keeps a mesh from being read, and names the same textures when their names, if
/// they are of letters and the like, are written again.
fn mtl(bytes: &[u8]) -> bool {
    let names = texture_names(bytes);
    let library = names.iter().map(|name| format!("newmtl {name}\nmap_Kd {name}\n"));
    let again = texture_names(library.collect::<String>().as_bytes());
    let is_plain = |name: &&String| {
        let is_usual = |b: u8| b.is_ascii_alphanumeric() || b"/._ ".contains(&b);
        name.trim() == name.as_str() && name.bytes().all(is_usual)
    };
    assert!(names.iter().filter(is_plain).all(|name| again.contains(name)), "{names:?} {again:?}");
    let mesh = b"mtllib a.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nusemtl m\nf 1 2 3\nusemtl n\nf 1 3 2\n";
    let sidecars = [Sidecar { name: "a.mtl", bytes }];
    let decoded = decode_mesh_with(MeshFormat::Obj, mesh, &sidecars).expect("a mesh");
    assert!(decoded.appearance.fits(&decoded.mesh));
    !decoded.appearance.materials.is_empty()
}

fn binvox(bytes: &[u8]) -> bool {
    let Ok(grid) = binvox::decode(bytes) else { return false };
    let written = binvox::encode(&grid).expect("one scale");
    assert_eq!(binvox::decode(&written).expect("our own file"), grid);
    true
}

/// Not-a-numbers are equal to nothing, so what is written is compared.
fn npy(bytes: &[u8]) -> bool {
    let Ok(array) = npy::decode(bytes) else { return false };
    let written = npy::encode(&array);
    assert_eq!(npy::encode(&npy::decode(&written).expect("our own file")), written);
    let _ = array.to_grid(0.5);
    true
}

fn npz(bytes: &[u8]) -> bool {
    let Ok(file) = NpzFile::open(bytes) else { return false };
    let Ok(arrays) = file.arrays() else { return false };
    let named: Vec<_> = arrays.iter().map(|(name, array)| (name.as_str(), array)).collect();
    // Names may be given twice or be empty in files of others.
    let Ok(written) = npz::encode(&named, Compression::Store) else { return true };
    let again = NpzFile::open(&written).and_then(|file| file.arrays()).expect("our own file");
    let named: Vec<_> = again.iter().map(|(name, array)| (name.as_str(), array)).collect();
    assert_eq!(npz::encode(&named, Compression::Store).expect("the same names"), written);
    true
}

fn mat(bytes: &[u8]) -> bool {
    let Ok(variables) = mat::decode(bytes) else { return false };
    for variable in &variables {
        let _ = mat::grid_from_mat(&variable.value, 0.5);
    }
    true
}

fn r2n2(bytes: &[u8]) -> bool {
    let is_lsm = views::decode_lsm(bytes).is_ok();
    let Ok(views) = views::decode_r2n2(bytes) else { return is_lsm };
    let line = |view: &views::R2n2View| {
        let numbers = [
            view.azimuth_deg,
            view.elevation_deg,
            view.in_plane_deg,
            view.distance_ratio,
            view.field_of_view_deg,
        ];
        numbers.map(|number| number.to_string()).join(" ")
    };
    let text = views.iter().map(line).collect::<Vec<_>>().join("\n");
    assert_eq!(views::decode_r2n2(text.as_bytes()).expect("our own lines"), views);
    true
}

fn jgz(bytes: &[u8]) -> bool {
    let _ = jgz::records::<FrameAnnotation, _>(bytes).count();
    let records: Result<Vec<serde_json::Value>, _> = jgz::records(bytes).collect();
    let Ok(records) = records else { return false };
    let text = serde_json::to_string(&records).expect("values are JSON");
    let packed = gzip(text.as_bytes());
    let again: Result<Vec<serde_json::Value>, _> = jgz::records(packed.as_slice()).collect();
    assert_eq!(again.expect("our own file"), records);
    true
}

fn split_list(bytes: &[u8]) -> bool {
    let lists = [split_list::decode_csv(bytes), split_list::decode_json_lines(bytes)];
    let read: Vec<_> = lists.into_iter().flatten().filter_map(|list| list.finish().ok()).collect();
    for list in &read {
        let mut text = "split,sample\n".to_owned();
        for position in 0..list.len() {
            let id = list.id(position);
            let part = PARTS[usize::from(list.part(id).expect("it is listed"))];
            text += &format!("{part},\"{}\"\n", id.replace('"', "\"\""));
        }
        let again = split_list::decode_csv(text.as_bytes()).expect("our own file");
        assert_eq!(&again.finish().expect("each id once"), list);
    }
    !read.is_empty()
}

fn gzip(text: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text).expect("memory takes all");
    encoder.finish().expect("memory takes all")
}

fn picture(bytes: &[u8]) -> bool {
    let _ = depth::decode_half(bytes, 1.0);
    let Ok(picture) = picture::decode(bytes) else { return false };
    let written = picture::encode_png(&picture).expect("a picture that was read");
    assert_eq!(picture::decode(&written).expect("our own file"), picture);
    true
}
