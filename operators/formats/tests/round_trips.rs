//! Every codec reads what it writes, and no bytes make a reader panic.

use proptest::collection::vec;
use proptest::prelude::*;
use voxflow_contract::{Appearance, Fill, Material, TriMesh, VoxelGrid};
use voxflow_formats::npy::{self, NpyArray, NpyData};
use voxflow_formats::picture::{self, Picture};
use voxflow_formats::{
    MeshFormat, Sidecar, SidecarScope, binvox, decode_mesh, decode_mesh_with, encode_mesh,
    encode_mesh_with, merge_corners, sidecar_names, texture_names,
};

fn coordinate() -> impl Strategy<Value = f32> {
    prop_oneof![
        any::<f32>().prop_filter("finite", |x| x.is_finite()),
        (-8_i8..8).prop_map(|x| f32::from(x) / 4.0),
    ]
}

fn mesh() -> impl Strategy<Value = TriMesh> {
    vec([coordinate(), coordinate(), coordinate()], 1..40).prop_flat_map(|vertices| {
        let corner = 0..vertices.len() as u32;
        vec([corner.clone(), corner.clone(), corner], 0..60)
            .prop_map(move |triangles| TriMesh { vertices: vertices.clone(), triangles })
    })
}

fn unit() -> impl Strategy<Value = [f32; 3]> {
    (0_usize..3, any::<bool>()).prop_map(|(axis, is_negative)| {
        let mut normal = [0.0; 3];
        normal[axis] = if is_negative { -1.0 } else { 1.0 };
        normal
    })
}

/// A mesh with a look, of which any part may be missing: materials each once and in order of use, all
/// triangles having one.
fn mesh_with_look() -> impl Strategy<Value = (TriMesh, Appearance)> {
    (mesh(), any::<[bool; 4]>()).prop_flat_map(|(mesh, has)| {
        let len = |has: bool, len: usize| if has { len } else { 0 };
        let (vertices, triangles) = (mesh.vertices.len(), mesh.triangles.len());
        let corner = || [-4.0..4.0_f32, -4.0..4.0_f32];
        let look = (
            vec(any::<[u8; 4]>(), len(has[0], vertices)),
            vec(unit(), len(has[1], vertices)),
            vec([corner(), corner(), corner()], len(has[2], triangles)),
            vec(any::<u8>().prop_map(|red| [red, 7, 255, 255]), len(has[3], triangles)),
        );
        look.prop_map(move |(vertex_colors, vertex_normals, corner_uvs, colors)| {
            let mut look =
                Appearance { vertex_colors, vertex_normals, corner_uvs, ..Default::default() };
            for color in colors {
                let place = look.materials.iter().position(|material| material.color == color);
                look.triangle_materials.push(place.unwrap_or(look.materials.len()) as u32);
                if place.is_none() {
                    look.materials.push(Material { color, texture: None });
                }
            }
            (mesh.clone(), look)
        })
    })
}

fn grid() -> impl Strategy<Value = VoxelGrid> {
    let place = || -1e6..1e6_f64;
    (1_usize..9, [place(), place(), place()], 1e-6..1e6_f64, vec(any::<u16>(), 0..200)).prop_map(
        |(resolution, translation, scale, cells)| {
            let mut grid = VoxelGrid::empty(resolution, translation, [scale; 3], Fill::Unknown);
            let count = resolution.pow(3);
            cells.iter().for_each(|cell| grid.set_index(usize::from(*cell) % count));
            grid
        },
    )
}

fn array() -> impl Strategy<Value = NpyArray> {
    let data = prop_oneof![
        vec(any::<bool>(), 0..50).prop_map(NpyData::Bool),
        vec(any::<i8>(), 0..50).prop_map(NpyData::I8),
        vec(any::<i16>(), 0..50).prop_map(NpyData::I16),
        vec(any::<i32>(), 0..50).prop_map(NpyData::I32),
        vec(any::<i64>(), 0..50).prop_map(NpyData::I64),
        vec(any::<u64>(), 0..50).prop_map(NpyData::U64),
        vec(any::<u8>(), 0..50).prop_map(NpyData::U8),
        vec(any::<u16>(), 0..50).prop_map(NpyData::U16),
        vec(any::<u32>(), 0..50).prop_map(NpyData::U32),
        vec(any::<f32>().prop_map(|x| if x.is_nan() { 0.0 } else { x }), 0..50)
            .prop_map(NpyData::F32),
        vec(any::<f64>().prop_map(|x| if x.is_nan() { 0.0 } else { x }), 0..50)
            .prop_map(NpyData::F64),
    ];
    (data, 0_usize..4).prop_map(|(data, ones)| {
        let shape = [vec![1; ones], vec![data.len()]].concat();
        NpyArray { shape, data }
    })
}

fn picture() -> impl Strategy<Value = Picture> {
    (1_u32..20, 1_u32..20, prop_oneof![Just(1_u8), Just(3), Just(4)]).prop_flat_map(
        |(width, height, channels)| {
            let samples = (width * height) as usize * usize::from(channels);
            vec(any::<u8>(), samples).prop_map(move |data| Picture {
                width,
                height,
                channels,
                data,
            })
        },
    )
}

/// Reads bytes with every reader; what they say does not matter, that they say it does.
fn read_all(bytes: &[u8]) {
    for format in MeshFormat::ALL {
        if let Ok(decoded) = decode_mesh(*format, bytes) {
            assert!(decoded.mesh.is_valid(), "{format:?}");
            assert!(!decoded.mesh.vertices.is_empty(), "{format:?}");
            assert!(decoded.appearance.fits(&decoded.mesh), "{format:?}");
        }
        let mut names = sidecar_names(*format, bytes, SidecarScope::All);
        names.extend(texture_names(bytes));
        let sidecars: Vec<_> = names.iter().map(|name| Sidecar { name, bytes }).collect();
        if let Ok(decoded) = decode_mesh_with(*format, bytes, &sidecars) {
            assert!(decoded.appearance.fits(&decoded.mesh), "{format:?}");
        }
    }
    let _ = binvox::decode(bytes);
    let _ = npy::decode(bytes);
    let _ = picture::decode(bytes);
}

/// A valid file of some format.
fn file() -> impl Strategy<Value = Vec<u8>> {
    let ascii_ply = "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\n\
                     property float z\nelement face 1\nproperty list uchar int vertex_indices\n\
                     end_header\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n";
    let ascii_stl = "solid a\nfacet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 1 0 0\n\
                     vertex 0 1 0\nendloop\nendfacet\nendsolid a\n";
    let format = prop::sample::select(MeshFormat::ALL);
    let obj = "mtllib a.mtl\nnewmtl b\nmap_Kd a.png\nv 0 0 0 1 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\n\
               vn 0 0 1\nusemtl b\nf 1/1/1 2/1/1 3/1/1\nf -1//-1 -2//-1 -3//-1\n";
    let binary_off = [
        &b"CNOFF BINARY\n\0\0\0\x01\0\0\0\x01\0\0\0\0"[..],
        &[0; 40],
        b"\0\0\0\x03\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
    ]
    .concat();
    prop_oneof![
        2 => (format.clone(), mesh_with_look())
            .prop_map(|(format, (mesh, look))| encode_mesh_with(format, &mesh, &look)),
        1 => Just(obj.as_bytes().to_vec()),
        1 => Just(binary_off),
        4 => (format, mesh()).prop_map(|(format, mesh)| encode_mesh(format, &mesh)),
        1 => Just(ascii_ply.as_bytes().to_vec()),
        1 => Just(ascii_ply.replace("ascii", "binary_big_endian").into_bytes()),
        1 => Just(ascii_stl.as_bytes().to_vec()),
        1 => grid().prop_map(|grid| binvox::encode(&grid).expect("one scale")),
        1 => array().prop_map(|array| npy::encode(&array)),
        1 => picture().prop_map(|picture| picture::encode_png(&picture).expect("a valid picture")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn meshes(mesh in mesh()) {
        for format in MeshFormat::ALL.iter().copied().filter(|it| *it != MeshFormat::Stl) {
            let decoded = decode_mesh(format, &encode_mesh(format, &mesh)).unwrap();
            prop_assert_eq!(&decoded.mesh, &mesh, "{:?}", format);
            prop_assert!(decoded.quirks.is_empty(), "{:?} {:?}", format, decoded.quirks);
        }
    }

    #[test]
    fn looks((mesh, look) in mesh_with_look()) {
        prop_assert!(look.fits(&mesh));
        let ply = decode_mesh(MeshFormat::Ply, &encode_mesh_with(MeshFormat::Ply, &mesh, &look));
        let ply = ply.unwrap();
        prop_assert_eq!((&ply.mesh, &ply.appearance), (&mesh, &look));
        let off = decode_mesh(MeshFormat::Off, &encode_mesh_with(MeshFormat::Off, &mesh, &look));
        let off = off.unwrap();
        let bare = Appearance { corner_uvs: vec![], ..look.clone() };
        prop_assert_eq!((&off.mesh, &off.appearance), (&mesh, &bare));
        let obj = decode_mesh(MeshFormat::Obj, &encode_mesh_with(MeshFormat::Obj, &mesh, &look));
        let obj = obj.unwrap();
        prop_assert_eq!(&obj.mesh, &mesh);
        prop_assert_eq!(&obj.appearance.vertex_colors, &look.vertex_colors);
        prop_assert_eq!(&obj.appearance.corner_uvs, &look.corner_uvs);
        let normals = &obj.appearance.vertex_normals;
        let all_are_used = mesh.triangles.is_empty()
            || (0..mesh.vertices.len() as u32).all(|v| mesh.triangles.as_flattened().contains(&v));
        let kept = if all_are_used { &look.vertex_normals[..] } else { &[] };
        prop_assert_eq!(&normals[..], kept);
    }

    #[test]
    fn stl_keeps_corners_and_equal_ones_can_be_merged(mesh in mesh()) {
        match decode_mesh(MeshFormat::Stl, &encode_mesh(MeshFormat::Stl, &mesh)) {
            Err(error) => {
                prop_assert_eq!(error.code, "empty");
                prop_assert!(mesh.triangles.is_empty());
            }
            Ok(decoded) => {
                let corners = |mesh: &TriMesh| -> Vec<_> {
                    (0..mesh.triangles.len()).map(|i| mesh.corners(i)).collect()
                };
                prop_assert_eq!(corners(&decoded.mesh), corners(&mesh));
                let merged = merge_corners(&decoded.mesh);
                prop_assert_eq!(corners(&merged), corners(&mesh));
                let mut distinct = merged.vertices.clone();
                distinct.sort_by(|a, b| a.partial_cmp(b).unwrap());
                distinct.dedup();
                prop_assert_eq!(distinct.len(), merged.vertices.len());
            }
        }
    }

    #[test]
    fn grids(grid in grid()) {
        prop_assert_eq!(binvox::decode(&binvox::encode(&grid).unwrap()).unwrap(), grid);
    }

    #[test]
    fn arrays(array in array()) {
        let bytes = npy::encode(&array);
        prop_assert!(bytes.len().saturating_sub(array.data.len() * 8) <= 128 + 64);
        prop_assert_eq!(npy::decode(&bytes).unwrap(), array);
    }

    #[test]
    fn pictures(picture in picture()) {
        prop_assert_eq!(picture::decode(&picture::encode_png(&picture).unwrap()).unwrap(), picture);
    }

    #[test]
    fn resized_pictures_stay_between_0_and_1(picture in picture(), size in 0_u32..30) {
        let numbers = picture::fit_rgb_f32(&picture, [size; 2], [255, 0, 77]);
        prop_assert_eq!(numbers.len(), 3 * (size * size) as usize);
        prop_assert!(numbers.iter().all(|x| (-1e-5..=1.0 + 1e-5).contains(x)));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..300)) {
        read_all(&bytes);
        for head in [
            &b"OFF\n"[..], b"solid ", b"\x93NUMPY\x01\x00", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff",
            b"#binvox 1\ndim 2 2 2\ndata\n", b"ply\nformat binary_little_endian 1.0\n",
            b"ply\nformat binary_little_endian 1.0\nelement vertex 3\nproperty uchar x\nproperty \
              uchar y\nproperty uchar z\nelement face 2\nproperty list uchar uchar vertex_index\n\
              end_header\n",
        ] {
            read_all(&[head, &bytes].concat());
        }
    }

    #[test]
    fn arbitrary_text_never_panics(
        words in vec(prop::sample::select(&[
            "OFF", "v", "f", "ply", "format", "ascii", "element", "vertex", "face", "property",
            "list", "uchar", "float", "x", "y", "z", "vertex_indices", "end_header", "solid",
            "facet", "endfacet", "vt", "vn", "mtllib", "usemtl", "newmtl", "Kd", "map_Kd", "-s",
            "COFF", "NOFF", "STOFF", "nOFF", "BINARY", "tristrips", "texcoord", "red", "comment",
            "TextureFile", "1/1/1", "1", "-1", "3", "1//2", "nan", "1e99", "99999999999999999999",
            "\n", "\r", "\\\n", "#", "dim", "data", "2",
        ][..]), 0..60),
    ) {
        read_all(words.join(" ").as_bytes());
    }

    #[test]
    fn damaged_files_never_panic(
        mut bytes in file(),
        hits in vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
    ) {
        for (place, value) in hits {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        if is_cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        read_all(&bytes);
    }
}
