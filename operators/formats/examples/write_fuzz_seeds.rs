//! Writes the seeds of the fuzz targets:
//! `cargo run --release -p voxflow-formats --example write_fuzz_seeds`.
//!
//! Small files of every sort, made by the writers of the product or by hand, always the same bytes.

use std::io::Write;
use std::path::Path;

use voxflow_contract::{Fill, TriMesh, VoxelGrid};
use voxflow_formats::npy::{NpyArray, NpyData};
use voxflow_formats::npz::Compression;
use voxflow_formats::picture::Picture;
use voxflow_formats::{MeshFormat, binvox, encode_mesh, npy, npz, picture};

fn main() -> std::io::Result<()> {
    meshes()?;
    grids()?;
    arrays()?;
    records()?;
    pictures()?;
    soups()
}

fn write(target: &str, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(target);
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join(name), bytes)
}

fn tetrahedron() -> TriMesh {
    TriMesh {
        vertices: vec![[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.25]],
        triangles: vec![[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]],
    }
}

fn meshes() -> std::io::Result<()> {
    let points = TriMesh { triangles: Vec::new(), ..tetrahedron() };
    for format in MeshFormat::ALL {
        let target = if *format == MeshFormat::Gltf { "glb" } else { format.extension() };
        let name = |stem: &str| format!("{stem}.{}", format.extension());
        write(target, &name("tetrahedron"), &encode_mesh(*format, &tetrahedron()))?;
        if *format != MeshFormat::Stl {
            write(target, &name("points"), &encode_mesh(*format, &points))?;
        }
    }
    write(
        "off",
        "colored.off",
        b"COFF4 2 0 # glued\n0 0 0 255 0 0 255\n1 0 0 .5 1 0 1\n1 1 0 1 2 3 4\n0 1 0 9 9 9 9\n\
          4 0 1 2 3 255 0 0\n3 0 1 2\n",
    )?;
    write(
        "obj",
        "textured.obj",
        b"mtllib a.mtl\no x\nv 0 0 0\nv 1 0 0 1 0 0\nv 1 1 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvn 0 0 1\n\
          usemtl red\nf 1/1/1 2/2/1 \\\n 3/1/1 4/2/1\nf -1 -2 -3\nf 1//1 2//1 3//1\nl 1 2\n",
    )?;
    write(
        "ply",
        "lists.ply",
        b"ply\nformat ascii 1.0\ncomment TextureFile a.png\nelement vertex 3\nproperty float x\n\
          property float y\nproperty float z\nproperty uchar red\nelement face 1\nproperty list \
          uchar int vertex_indices\nproperty list uchar float texcoord\nend_header\n0 0 0 9\n\
          1 0 0 9\n0 1 0 9\n3 0 1 2 6 0 0 1 0 0 1\n",
    )?;
    let mut big =
        b"ply\nformat binary_big_endian 1.0\nelement vertex 3\nproperty double x\nproperty \
                    short y\nproperty uchar z\nelement face 1\nproperty list uchar ushort \
                    vertex_index\nend_header\n"
            .to_vec();
    for i in 0..3_u8 {
        big.extend(f64::from(i).to_be_bytes());
        big.extend([0, i, i * i]);
    }
    big.extend([3, 0, 0, 0, 1, 0, 2]);
    write("ply", "big_endian.ply", &big)?;
    write(
        "stl",
        "ascii.stl",
        b"solid a\nfacet normal 0 0 1\n outer loop\n  vertex 0 0 0\n  vertex 1 0 0\n  vertex 0 1 0\n \
          endloop\nendfacet\nendsolid a\n",
    )?;
    write("glb", "node.gltf", GLTF.as_bytes())
}

/// A strip below a turned node, quantised, sparse, coloured.
const GLTF: &str = r#"{"asset":{"version":"2.0"},"extensionsRequired":["KHR_mesh_quantization"],
"scene":0,"scenes":[{"nodes":[1]}],"nodes":[{"mesh":0,"matrix":[1,0,0,0,0,0,1,0,0,-1,0,0,5,6,7,1]},
{"children":[0],"rotation":[0,0,0.7071,0.7071],"scale":[1,2,-1],"translation":[1,2,3]}],
"meshes":[{"primitives":[{"attributes":{"POSITION":0,"COLOR_0":1,"TEXCOORD_0":1},"indices":2,"mode":5,
"material":0}]}],"materials":[{"pbrMetallicRoughness":{"baseColorFactor":[1,0,0,1]}}],
"accessors":[{"bufferView":0,"componentType":5121,"type":"VEC3","count":4,"sparse":{"count":1,
"indices":{"bufferView":0,"componentType":5121},"values":{"bufferView":0,"byteOffset":3}}},
{"bufferView":0,"componentType":5121,"type":"VEC3","count":4,"normalized":true},
{"bufferView":0,"byteOffset":12,"componentType":5121,"type":"SCALAR","count":4}],
"bufferViews":[{"buffer":0,"byteLength":16}],
"buffers":[{"byteLength":16,"uri":"data:;base64,AAAAAQAAAAEAAQEAAAECAw=="}]}"#;

fn grids() -> std::io::Result<()> {
    let mut grid = VoxelGrid::empty(5, [1.0, 2.0, 3.0], [2.5; 3], Fill::Unknown);
    (0..125).step_by(3).for_each(|cell| grid.set_index(cell));
    write("binvox", "stripes.binvox", &binvox::encode(&grid).expect("one scale"))?;
    write(
        "binvox",
        "flat.binvox",
        b"#binvox 1\n# odd order\nscale 2\ndim 2 1 3\ntranslate 0 0 1\ndata\n\x00\x05\x01\x01",
    )
}

fn arrays() -> std::io::Result<()> {
    let whole = NpyArray { shape: vec![2, 3], data: NpyData::I16(vec![1, -2, 3, -4, 5, -6]) };
    let cube = NpyArray { shape: vec![1, 2, 2, 2], data: NpyData::Bool(vec![true; 8]) };
    write("npy", "whole.npy", &npy::encode(&whole))?;
    write("npy", "cube.npy", &npy::encode(&cube))?;
    let dict = "{'descr': '>f2', 'fortran_order': True, 'shape': (2, 2), }";
    let mut fortran = b"\x93NUMPY\x01\x00".to_vec();
    fortran.extend((dict.len() as u16).to_le_bytes());
    fortran.extend(dict.as_bytes());
    fortran.extend([60, 0, 61, 0, 62, 0, 124, 0]);
    write("npy", "fortran.npy", &fortran)?;
    for (name, how) in [("stored.npz", Compression::Store), ("deflated.npz", Compression::Deflate)]
    {
        let file = npz::encode(&[("a", &whole), ("b/c", &cube)], how).expect("two names");
        write("npz", name, &file)?;
    }
    let word = |number: u32| number.to_le_bytes();
    let element = |kind: u32, bytes: &[u8]| {
        let mut all = [&word(kind)[..], &word(bytes.len() as u32), bytes].concat();
        all.resize(all.len().next_multiple_of(8), 0);
        all
    };
    let array = |class: u32, dims: [u32; 2], name: &str, rest: &[u8]| {
        let flags = element(6, &[word(class), word(0)].concat());
        let dims = element(5, &dims.map(word).concat());
        element(14, &[flags, dims, element(1, name.as_bytes()), rest.to_vec()].concat())
    };
    let numbers = array(6, [2, 2], "K", &element(2, &[1, 2, 3, 4]));
    let text = array(4, [1, 3], "", &element(16, b"car"));
    let fields = [element(5, &word(2)), element(1, b"a\0b\0")].concat();
    let nested = [fields, text.clone(), array(1, [1, 2], "", &[text, element(14, b"")].concat())];
    let record = array(2, [1, 1], "record", &nested.concat());
    let header = [&b"MATLAB 5.0 MAT-file"[..], &[b' '; 105], b"\x00\x01IM"].concat();
    write("mat", "plain.mat", &[&header[..], &numbers, &record].concat())?;
    let packed = zlib(&record);
    let packed = [&word(15)[..], &word(packed.len() as u32), &packed].concat();
    write("mat", "compressed.mat", &[header, packed].concat())
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).expect("memory takes all");
    encoder.finish().expect("memory takes all")
}

fn records() -> std::io::Result<()> {
    let frame = r#"[{"sequence_name": "a", "frame_number": 1, "image": {"path": "i.jpg", "size":
        [4, 3]}, "depth": {"path": "d.png", "scale_adjustment": 0.5}, "mask": {"path": "m.png",
        "mass": NaN}, "viewpoint": {"R": [[1, 0, 0], [0, 1, 0], [0, 0, 1]], "T": [0, 0, 2],
        "focal_length": [1, 1], "principal_point": [0, 0]}}, [1, "x\"]", null]]"#;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(frame.as_bytes())?;
    write("jgz", "frames.jgz", &encoder.finish()?)?;
    // Uncompressed inside, so that a change of one byte reaches the JSON.
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    encoder.write_all(b"[{\"a\": [1, -2.5e3]}, \"b\", Infinity]")?;
    write("jgz", "stored.jgz", &encoder.finish()?)?;
    write("r2n2", "metadata.txt", b"247.4 29.8 0 0.8 25\n12 26 0 0.75 25 # last\n")?;
    write("r2n2", "view.txt", b"1 2 3 4\n")?;
    write("split_list", "quoted.csv", b"sample,split\na,train\n\"b, \"\"c\"\"\",test\n")?;
    write("split_list", "lines.jsonl", b"{\"sample\":\"a\",\"split\":\"val\"}\n")
}

fn pictures() -> std::io::Result<()> {
    for channels in [1, 3, 4] {
        let data = (0..20 * channels).collect();
        let it = Picture { width: 5, height: 4, channels, data };
        let png = picture::encode_png(&it).expect("as many samples as there should be");
        write("picture", &format!("{channels}.png"), &png)?;
    }
    let depth = picture::encode_png_u16(2, 2, &[0x3c00, 0x4200, 0x7c00, 0]).expect("four samples");
    write("picture", "depth.png", &depth)?;
    write("picture", "grey.jpg", JPEG)
}

/// A baseline JPEG of 8 by 8 grey pixels: one block whose only coefficient is its mean.
const JPEG: &[u8] = &[
    0xff, 0xd8, 0xff, 0xdb, 0, 67, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0xff, 0xc0, 0, 11, 8, 0, 8, 0, 8, 1, 1, 0x11, 0, 0xff,
    0xc4, 0, 20, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xc4, 0, 20, 0x10, 1,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0, 0x3f,
    0xff, 0xd9,
];

fn soups() -> std::io::Result<()> {
    // Choices, then four vertices of small numbers, then four triangles.
    let vertices = [0, 0, 0, 16, 0, 0, 0, 16, 0, 0, 0, 20];
    let triangles = [0, 2, 1, 0, 1, 3, 0, 3, 2, 1, 2, 3];
    for (target, choices) in [("voxelize", [15, 1, 0, 1]), ("render", [30, 20, 31, 1])] {
        write(target, "tetrahedron", &[&choices[..], &vertices, &triangles].concat())?;
        let exact: Vec<u8> =
            tetrahedron().vertices.iter().flatten().flat_map(|x| x.to_le_bytes()).collect();
        // 184 % 61 is 1, which is four vertices; the highest bit makes them floats.
        let any = [choices[0], choices[1], choices[2], 184];
        write(target, "floats", &[&any[..], &exact, &triangles].concat())?;
    }
    Ok(())
}
