//! Meshes and files that several tests of this crate look at.

use std::path::{Path, PathBuf};

use voxflow_contract::{
    Appearance, Batch, ContentHash, Fill, Random, SourceFrame, Transform, TriMesh, Values,
    VoxelGrid, appearance_values, mesh_values, tables, voxels_values,
};

/// A watertight box of twelve triangles, counter-clockwise seen from outside.
pub(crate) fn cuboid(min: [f32; 3], max: [f32; 3]) -> TriMesh {
    let vertices = (0..8u8)
        .map(|i| [0, 1, 2].map(|axis| if i >> axis & 1 == 1 { max[axis] } else { min[axis] }))
        .collect();
    let quads =
        [[0, 4, 6, 2], [1, 3, 7, 5], [0, 1, 5, 4], [2, 6, 7, 3], [0, 2, 3, 1], [4, 5, 7, 6]];
    let triangles = quads.iter().flat_map(|q| [[q[0], q[1], q[2]], [q[0], q[2], q[3]]]).collect();
    TriMesh { vertices, triangles }
}

/// A watertight ball: an octahedron, each triangle cut in four `rounds` times.
pub(crate) fn ball(radius: f32, rounds: usize) -> TriMesh {
    let axis = |i: usize, sign: f32| std::array::from_fn(|j| if i == j { sign } else { 0.0 });
    let mut vertices: Vec<[f32; 3]> =
        (0..6).map(|i| axis(i / 2, if i % 2 == 0 { 1.0 } else { -1.0 })).collect();
    let mut triangles: Vec<[u32; 3]> = vec![
        [0, 2, 4],
        [2, 1, 4],
        [1, 3, 4],
        [3, 0, 4],
        [2, 0, 5],
        [1, 2, 5],
        [3, 1, 5],
        [0, 3, 5],
    ];
    let mut middles = std::collections::BTreeMap::new();
    for _ in 0..rounds {
        let mut middle = |a: u32, b: u32| {
            *middles.entry((a.min(b), a.max(b))).or_insert_with(|| {
                let (a, b) = (vertices[a as usize], vertices[b as usize]);
                let sum = [a[0] + b[0], a[1] + b[1], a[2] + b[2]];
                let length = sum.iter().map(|x| x * x).sum::<f32>().sqrt();
                vertices.push(sum.map(|x| x / length));
                vertices.len() as u32 - 1
            })
        };
        triangles = triangles
            .iter()
            .flat_map(|&[a, b, c]| {
                let (ab, bc, ca) = (middle(a, b), middle(b, c), middle(c, a));
                [[a, ab, ca], [ab, b, bc], [ca, bc, c], [ab, bc, ca]]
            })
            .collect();
    }
    vertices.iter_mut().flatten().for_each(|x| *x *= radius);
    TriMesh { vertices, triangles }
}

/// A watertight torus about the y axis: `steps` times `steps` quads.
pub(crate) fn torus(ring_radius: f32, tube_radius: f32, steps: u32) -> TriMesh {
    let angle = |i: u32| i as f32 / steps as f32 * std::f32::consts::TAU;
    let vertex = |i: u32, j: u32| {
        let (around, along) = (angle(i).sin_cos(), angle(j).sin_cos());
        let radius = ring_radius + tube_radius * along.1;
        [radius * around.1, tube_radius * along.0, radius * around.0]
    };
    let all = || (0..steps).flat_map(|i| (0..steps).map(move |j| (i, j)));
    let number = |i: u32, j: u32| i % steps * steps + j % steps;
    let triangles = all().flat_map(|(i, j)| {
        let (a, b) = (number(i, j), number(i, j + 1));
        let (c, d) = (number(i + 1, j + 1), number(i + 1, j));
        [[a, b, c], [a, c, d]]
    });
    TriMesh { vertices: all().map(|(i, j)| vertex(i, j)).collect(), triangles: triangles.collect() }
}

/// All cells of a grid, in the order of their numbers.
pub(crate) fn cells(resolution: usize) -> impl Iterator<Item = [usize; 3]> {
    let d = resolution;
    (0..d * d * d).map(move |cell| [cell / d / d, cell / d % d, cell % d])
}

/// A grid of cells that are each occupied with probability `density`.
pub(crate) fn random_grid(resolution: usize, density: f64, seed: u64) -> VoxelGrid {
    let mut random = Random::new(seed, &["grid", &resolution.to_string()]);
    let mut grid = VoxelGrid::empty(resolution, [-0.5, 0.0, 2.0], [1.0, 1.5, 2.0], Fill::Surface);
    for cell in 0..resolution.pow(3) {
        if random.chance(density) {
            grid.set_index(cell);
        }
    }
    grid
}

/// A folder of the real files, or `None`, said aloud, where they are not there.
#[expect(clippy::disallowed_methods, reason = "a test may be told where real files lie")]
pub(crate) fn realdata(folder: &str) -> Option<PathBuf> {
    let root = std::env::var_os("VOXFLOW_REALDATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/realdata"),
        PathBuf::from,
    );
    let path = root.join(folder);
    if !path.is_dir() {
        eprintln!("SKIPPED: no real files at {}; set VOXFLOW_REALDATA", path.display());
        return None;
    }
    Some(path)
}

/// Key columns of `rows` samples: `sample_0`, `sample_1`, ...
pub(crate) fn keys(rows: usize) -> Vec<Values> {
    let content = |row: usize| *ContentHash::of(&row.to_le_bytes()).as_bytes();
    vec![
        Values::utf8((0..rows).map(|row| format!("sample_{row}"))),
        Values::utf8((0..rows).map(|_| "thing")),
        Values::fixed_binary(ContentHash::LEN, (0..rows).map(content)),
    ]
}

/// A batch of table `mesh`, in the frame of the source.
pub(crate) fn mesh_batch(meshes: &[TriMesh]) -> Batch {
    let identity = Transform::<SourceFrame, SourceFrame>::from_scale_translation(1.0, [0.0; 3]);
    let mut values = keys(meshes.len());
    values.extend(mesh_values(meshes));
    values.push(Values::tensors(&[4, 4], meshes.iter().map(|_| identity.to_array())));
    values.push(Values::utf8(meshes.iter().map(|_| "")));
    values.extend(appearance_values(&vec![Appearance::default(); meshes.len()]));
    Batch::new(tables::mesh(), values).expect("a batch of meshes")
}

/// A batch of table `voxels` of grids of one resolution.
pub(crate) fn voxels_batch(grids: &[VoxelGrid]) -> Batch {
    let resolution = grids[0].resolution;
    let mut values = keys(grids.len());
    values.extend(voxels_values(resolution, grids));
    Batch::new(tables::voxels(resolution), values).expect("a batch of grids")
}
