//! Files that other projects ship, read and compared with what an independent reader said of them
//! (`README.md` beside them). Skipped, loudly, where the files are absent.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use voxflow_contract::TriMesh;
use voxflow_formats::{
    DecodedMesh, FormatError, MeshFormat, Sidecar, SidecarScope, binvox, decode_mesh,
    decode_mesh_with, gather_sidecars, merge_corners, picture,
};

#[expect(clippy::disallowed_methods, reason = "a test is told where its files are")]
fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("VOXFLOW_REALDATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/realdata"),
        PathBuf::from,
    );
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("\n*** SKIPPED: no real files at {} (set VOXFLOW_REALDATA) ***\n", folder.display());
    None
}

fn bytes(folder: &Path, name: &str) -> Vec<u8> {
    std::fs::read(folder.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn decode(folder: &Path, name: &str) -> Result<DecodedMesh, FormatError> {
    let extension = Path::new(name).extension().and_then(|e| e.to_str()).expect("an extension");
    let format = MeshFormat::from_extension(extension).expect("a mesh format");
    let mut decoded = decode_mesh(format, &bytes(folder, name))?;
    if format.repeats_corners() {
        decoded.mesh = merge_corners(&decoded.mesh);
    }
    Ok(decoded)
}

/// What a file should hold.
struct Expected {
    name: &'static str,
    /// Vertices as stored; for STL after merging bit-identical corners.
    vertices: usize,
    triangles: usize,
    /// After merging equal vertices.
    watertight: Option<bool>,
    volume: Option<f64>,
    area: Option<f64>,
    extents: Option<[f64; 3]>,
    /// Fragments, each of which must be in one of the quirks; as many as there are quirks.
    quirks: &'static [&'static str],
}

fn file(name: &'static str, vertices: usize, triangles: usize) -> Expected {
    Expected {
        name,
        vertices,
        triangles,
        watertight: None,
        volume: None,
        area: None,
        extents: None,
        quirks: &[],
    }
}

impl Expected {
    fn closed(mut self, closed: bool) -> Self {
        self.watertight = Some(closed);
        self
    }

    fn measures(mut self, volume: f64, area: f64, extents: [f64; 3]) -> Self {
        self.volume = Some(volume);
        self.area = Some(area);
        self.extents = Some(extents);
        self
    }

    fn quirks(mut self, quirks: &'static [&'static str]) -> Self {
        self.quirks = quirks;
        self
    }
}

/// The table of the README. `mushroom.off` is stored inside out, which the README's volume does not
/// show. Its counts for `rabbit.obj`, `chair_model.obj` and `fuze.ply` have
/// vertices split at texture seams; these are the vertices the files store.
#[expect(clippy::approx_constant, reason = "a rabbit may be 3.14 long")]
fn meshes() -> Vec<Expected> {
    const CUBE: [f64; 3] = [3.266, 3.266, 2.3094];
    const FUZE: [f64; 3] = [0.0726, 0.0735, 0.2151];
    let closed = |name, vertices, triangles| file(name, vertices, triangles).closed(true);
    let open = |name, vertices, triangles| file(name, vertices, triangles).closed(false);
    vec![
        open("mesh-binvox-pair/chair_model.obj", 3186, 12756).measures(
            0.0,
            1.30321,
            [0.531, 0.6638, 0.5267],
        ),
        open("modelnet/chair_modelnet.off", 2382, 2234).measures(
            373.048,
            1385.35,
            [20.399, 23.2805, 36.7228],
        ),
        closed("obj/fandisk.obj", 2877, 5750).measures(0.679353, 6.2977, [1.6908, 0.8641, 1.5565]),
        closed("obj/fuze.obj", 502, 1000).measures(0.000606689, 0.0447223, FUZE),
        closed("obj/rabbit.obj", 644, 1252).measures(6.64851, 32.9655, [2.0026, 4.4136, 3.14]),
        closed("off/ballA.off", 1900, 3796).measures(1401.11, 605.909, [13.8274, 13.8425, 13.8543]),
        closed("off/br2.off", 20, 36).measures(8.0, 24.0, [2.0; 3]),
        closed("off/comments.off", 8, 12).measures(12.3168, 32.0, CUBE),
        closed("off/cube.off", 8, 12).measures(12.3168, 32.0, CUBE),
        closed("off/mctri.off", 405, 810).measures(140.0, 388.0, [12.0, 11.0, 4.0]),
        closed("off/mushroom.off", 226, 448).measures(-0.368847, 3.99779, [1.3062, 0.9301, 1.4372]),
        closed("off/socket.off", 836, 1696).measures(2.32021e6, 190886.0, [200.0, 200.0, 150.0]),
        open("off/tref.off", 1280, 640).measures(140.342, 326.228, [11.4424, 11.645, 4.2969]),
        closed("off/whitespace.off", 8, 12)
            .measures(12.3168, 32.0, CUBE)
            .quirks(&["counts glued to the OFF keyword"]),
        open("ply/bunny.ply", 8171, 16301).measures(
            0.000757039,
            0.056556,
            [0.1555, 0.1533, 0.1206],
        ),
        closed("ply/fuze.ply", 502, 1000).measures(0.000606689, 0.0447223, FUZE),
        open("ply/plane.ply", 4, 2).measures(0.0, 4.0, [2.0, 2.0, 0.0]),
        file("ply/points_ascii.ply", 5, 0),
        file("ply/points_bin.ply", 5, 0),
        file("ply/points_ascii_with_lists.ply", 5, 0),
        closed("ply/tet.ply", 4, 4).measures(1.33333, 8.94427, [2.0; 3]),
        closed("stl/featuretype.STL", 2010, 3476).measures(11.6277, 53.8274, [5.0, 2.5, 1.375]),
        closed("stl/multibody.stl", 20, 32).measures(0.0140405, 0.367239, [0.636, 1.0884, 0.3399]),
        Expected {
            volume: None,
            ..open("stl/soup.stl", 300, 100).measures(0.0, 14.5789, [0.9974, 0.9965, 0.9929])
        },
        closed("stl/unit_cube.STL", 8, 12).measures(1.0, 6.0, [1.0; 3]),
        closed("stl/unit_sphere.STL", 642, 1280).measures(4.15274, 12.5065, [2.0; 3]),
        Expected { volume: Some(1.0), ..closed("broken/nancolor.obj", 8, 12) }
            .quirks(&["vertex colour that is no number taken as white"]),
        Expected { volume: Some(8.0), ..closed("broken/negative_indices.obj", 8, 12) },
        file("broken/notenoughindices.obj", 3, 1)
            .quirks(&["face of fewer than three corners skipped (line 9)"]),
        file("broken/polygonfaces.obj", 5, 3),
        file("broken/points_emptyascii.ply", 12, 0).quirks(&["data after the last element"]),
        file("broken/points_emptyface.ply", 1024, 0),
    ]
}

/// The same mesh with vertices made one that are equal to 1e-8, as the independent reader did:
/// `featuretype.STL` is closed only then.
fn merged(mesh: &TriMesh) -> TriMesh {
    let (mut numbers, mut vertices) = (HashMap::new(), Vec::new());
    let mut number = |vertex: u32| {
        let position = mesh.vertices[vertex as usize];
        *numbers.entry(position.map(|x| (f64::from(x) * 1e8).round() as i64)).or_insert_with(|| {
            vertices.push(position);
            vertices.len() as u32 - 1
        })
    };
    let triangles = mesh.triangles.iter().map(|triangle| triangle.map(&mut number)).collect();
    TriMesh { vertices, triangles }
}

/// Whether each edge belongs to two triangles, in whichever direction: `multibody.stl` is closed so,
/// though its triangles are not all wound the same way.
fn is_watertight(mesh: &TriMesh) -> bool {
    let mut edges: HashMap<(u32, u32), u32> = HashMap::new();
    for [a, b, c] in merged(mesh).triangles {
        for (from, to) in [(a, b), (b, c), (c, a)] {
            *edges.entry((from.min(to), from.max(to))).or_default() += 1;
        }
    }
    edges.values().all(|count| *count == 2)
}

/// The volume is the flux of `(x, 0, 0)`, as the independent reader took it: for open meshes other
/// fields give other numbers.
fn volume_and_area(mesh: &TriMesh) -> (f64, f64) {
    let (mut volume, mut area) = (0.0, 0.0);
    for i in 0..mesh.triangles.len() {
        let [a, b, c] = mesh.corners(i).map(|corner| corner.map(f64::from));
        let [u, v] = [b, c].map(|to| [0, 1, 2].map(|axis| to[axis] - a[axis]));
        let normal =
            [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
        volume += normal[0] * (a[0] + b[0] + c[0]) / 6.0;
        area += 0.5 * normal.iter().map(|x| x * x).sum::<f64>().sqrt();
    }
    (volume, area)
}

fn near(found: f64, expected: f64, name: &str, what: &str) {
    let allowed = 1e-4 * expected.abs().max(1e-3);
    assert!((found - expected).abs() <= allowed, "{name}: {what} is {found}, not {expected}");
}

fn check(folder: &Path, expected: &Expected) {
    let name = expected.name;
    let DecodedMesh { mesh, appearance, quirks } =
        decode(folder, name).unwrap_or_else(|e| panic!("{name}: {}: {e}", e.code));
    println!("{name}: {} {} {quirks:?}", mesh.vertices.len(), mesh.triangles.len());
    assert_eq!(
        (mesh.vertices.len(), mesh.triangles.len()),
        (expected.vertices, expected.triangles),
        "{name}"
    );
    assert!(mesh.is_valid(), "{name}");
    assert!(appearance.fits(&mesh), "{name}");
    assert_eq!(quirks.len(), expected.quirks.len(), "{name}: {quirks:?}");
    for fragment in expected.quirks {
        assert!(quirks.iter().any(|quirk| quirk.contains(fragment)), "{name}: {quirks:?}");
    }
    if let Some(watertight) = expected.watertight {
        assert_eq!(is_watertight(&mesh), watertight, "{name}");
    }
    let (volume, area) = volume_and_area(&mesh);
    expected.volume.inspect(|expected| near(volume, *expected, name, "volume"));
    expected.area.inspect(|expected| near(area, *expected, name, "area"));
    let extents = mesh.bounds().expect("vertices").extents();
    for (found, expected) in extents.iter().zip(expected.extents.iter().flatten()) {
        assert!((found - expected).abs() <= 6e-5, "{name}: extent is {found}, not {expected}");
    }
}

#[test]
fn meshes_are_what_the_readme_says() {
    let Some(folder) = folder() else { return };
    meshes().iter().for_each(|expected| check(&folder, expected));
}

/// What of its look a file says, in the order of `Appearance`, and how many of each.
fn look(decoded: &DecodedMesh) -> [usize; 6] {
    let look = &decoded.appearance;
    [
        look.vertex_colors.len(),
        look.vertex_normals.len(),
        look.corner_uvs.len(),
        look.triangle_materials.len(),
        look.materials.len(),
        look.textures.len(),
    ]
}

#[test]
fn looks_of_real_files() {
    let Some(folder) = folder() else { return };
    for (name, expected) in [
        ("obj/fuze.obj", [0, 502, 1000, 0, 0, 0]),
        ("obj/fandisk.obj", [0, 2877, 0, 0, 0, 0]),
        ("ply/fuze.ply", [502, 0, 1000, 1000, 1, 0]),
        ("off/comments.off", [0, 0, 0, 12, 6, 0]),
        ("off/cube.off", [0, 0, 0, 12, 6, 0]),
        ("broken/nancolor.obj", [8, 0, 0, 0, 0, 0]),
    ] {
        let decoded = decode(&folder, name).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(look(&decoded), expected, "{name}");
    }
}

#[test]
fn real_sidecars() {
    let Some(folder) = folder() else { return };
    for (name, format, expected, sidecars) in [
        (
            "fuze.obj",
            MeshFormat::Obj,
            [0, 502, 1000, 1000, 1, 1],
            &["fuze.obj.mtl", "fuze uv.jpg"][..],
        ),
        ("../ply/fuze.ply", MeshFormat::Ply, [502, 0, 1000, 1000, 1, 1], &["fuze uv.jpg"]),
    ] {
        let bytes = bytes(&folder.join("obj"), name);
        let found = gather_sidecars(format, &bytes, SidecarScope::All, &mut |name| {
            std::fs::read(folder.join("obj").join(name)).ok()
        });
        let names: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, sidecars, "{name}");
        let given: Vec<_> = found.iter().map(|(name, bytes)| Sidecar { name, bytes }).collect();
        let decoded = decode_mesh_with(format, &bytes, &given).expect("a mesh");
        assert_eq!(look(&decoded), expected, "{name}");
        let material = decoded.appearance.materials[0];
        assert_eq!((material.color, material.texture), ([255; 4], Some(0)), "{name}");
        let alone = decode_mesh_with(format, &bytes, &given[..given.len() - 1]).expect("a mesh");
        assert!(alone.quirks.contains(&"texture not found: fuze uv.jpg".to_owned()), "{name}");
    }
}

#[test]
fn files_without_vertices_are_refused() {
    let Some(folder) = folder() else { return };
    for name in ["broken/empty.obj", "broken/empty.ply", "broken/empty.stl"] {
        let error = decode(&folder, name).expect_err(name);
        println!("{name}: {}: {error}", error.code);
        assert_eq!(error.code, "empty", "{name}");
    }
}

#[test]
fn every_mesh_of_the_folder_is_in_the_table() {
    let Some(folder) = folder() else { return };
    let known = meshes();
    for room in ["broken", "mesh-binvox-pair", "modelnet", "obj", "off", "ply", "stl"] {
        for entry in std::fs::read_dir(folder.join(room)).expect("a folder") {
            let file = entry.expect("an entry").file_name().into_string().expect("UTF-8");
            let extension = file.rsplit('.').next().expect("an extension");
            let name = format!("{room}/{file}");
            let expected = MeshFormat::from_extension(extension).is_none()
                || file.starts_with("empty.")
                || known.iter().any(|expected| expected.name == name);
            assert!(expected, "{name} is not in the table");
        }
    }
}

#[test]
fn binvox_of_the_real_program() {
    let Some(folder) = folder() else { return };
    let file = bytes(&folder, "mesh-binvox-pair/chair_model.binvox");
    let grid = binvox::decode(&file).expect("a binvox file");
    assert_eq!((grid.resolution, grid.occupied()), (32, 1932));
    assert_eq!(grid.translation, [-0.265511, -0.331878, -0.263364]);
    assert_eq!(grid.scale, [0.663756; 3]);
    let again = binvox::encode(&grid).expect("one scale");
    assert_eq!(binvox::decode(&again).as_ref(), Ok(&grid));
    let runs = |file: &[u8]| {
        let data = file.windows(5).position(|window| window == b"data\n").expect("data");
        file[data + 5..].to_vec()
    };
    assert_eq!(runs(&again), runs(&file), "the real program's runs, byte for byte");
    assert_eq!(runs(&again).len() / 2, 1004);

    let mesh = decode(&folder, "mesh-binvox-pair/chair_model.obj").expect("a mesh").mesh;
    for vertex in mesh.triangles.iter().flatten().map(|vertex| mesh.vertices[*vertex as usize]) {
        let [x, y, z] = [0, 1, 2].map(|axis| {
            let cell = (f64::from(vertex[axis]) - grid.translation[axis]) / grid.scale[axis] * 32.0;
            (cell as usize).min(31)
        });
        assert!(grid.get(x, y, z), "vertex {vertex:?} falls in the empty cell {x} {y} {z}");
    }
}

#[test]
fn a_real_jpeg() {
    let Some(folder) = folder() else { return };
    let picture = picture::decode(&bytes(&folder, "obj/fuze uv.jpg")).expect("a JPEG");
    assert_eq!(picture.channels, 3);
    assert_eq!(picture.data.len(), (picture.width * picture.height * 3) as usize);
    let small = picture::fit_rgb_f32(&picture, [64, 64], [255; 3]);
    assert!(small.iter().all(|x| (0.0..=1.0001).contains(x)));
}

#[test]
fn damaged_real_files_never_panic() {
    let Some(folder) = folder() else { return };
    let mut seed = 0x9e37_79b9_u32;
    let mut next = |below: usize| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) as usize % below
    };
    for name in [
        "off/whitespace.off",
        "off/br2.off",
        "broken/negative_indices.obj",
        "ply/plane.ply",
        "ply/tet.ply",
        "ply/points_ascii_with_lists.ply",
        "stl/unit_cube.STL",
        "stl/multibody.stl",
    ] {
        let original = bytes(&folder, name);
        let extension = name.rsplit('.').next().expect("an extension");
        let format = MeshFormat::from_extension(extension).expect("a mesh format");
        for _ in 0..500 {
            let mut damaged = original.clone();
            for _ in 0..1 + next(4) {
                let place = next(damaged.len());
                damaged[place] = next(256) as u8;
            }
            if next(2) == 0 {
                damaged.truncate(next(damaged.len()));
            }
            if let Ok(decoded) = decode_mesh(format, &damaged) {
                assert!(decoded.mesh.is_valid(), "{name}");
            }
        }
    }
}
