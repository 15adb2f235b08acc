//! Every codec reads what it writes, and no bytes make a reader panic.

use proptest::collection::vec;
use proptest::prelude::*;
use voxflow_contract::{Fill, TriMesh, VoxelGrid};
use voxflow_formats::npy::{self, NpyArray, NpyData};
use voxflow_formats::picture::{self, Picture};
use voxflow_formats::{MeshFormat, binvox, decode_mesh, encode_mesh};

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
    prop_oneof![
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
    fn stl_keeps_corners_and_merges_equal_ones(mesh in mesh()) {
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
                let mut distinct = decoded.mesh.vertices.clone();
                distinct.sort_by(|a, b| a.partial_cmp(b).unwrap());
                distinct.dedup();
                prop_assert_eq!(distinct.len(), decoded.mesh.vertices.len());
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
        let numbers = picture::resize_rgb_f32(&picture, size, [255, 0, 77]);
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
            "facet", "endfacet", "1", "-1", "3", "1//2", "nan", "1e99", "99999999999999999999",
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
