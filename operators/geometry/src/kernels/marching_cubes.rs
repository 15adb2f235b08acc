//! `marching_cubes`: the surface of a grid, as a closed mesh.

use voxflow_contract::{Fault, SoftGrid, TriMesh, VoxelGrid};

use crate::kernels::columns::Columns;
use crate::kernels::cube_cases::{CASES, EDGES};
use crate::kernels::unpack::{padded, unpack};

/// Most vertices of a surface; a grid that has more is noise.
const MAX_VERTICES: usize = 1 << 26;

/// How near a vertex may come to a cell's centre, as a share of the way to the next centre: surfaces
/// through a centre itself would have several vertices there, and triangles without area.
const NEAREST: f64 = 1e-3;

/// The surface between occupied and empty cells, half-way between their centres, in the mesh's frame.
///
/// Watertight, each vertex once, triangles counter-clockwise seen from outside, every edge with two
/// triangles and every vertex with one fan of them. Beyond the border all is empty, so the surface is
/// closed there, on the border itself. Cells that touch along an edge only are
/// apart (see `cube_cases.rs`).
///
/// Marching cubes (Lorensen and Cline 1987) with cases made by one rule for each face (Nielson and
/// Hamann 1991 describe what goes wrong without one). Cost: a few operations on words of 64 cells,
/// and some 50 ns for each cell of the surface; the memory is that of the mesh and twice the grid's.
///
/// # Errors
/// `resolution`, `voxels`: not a grid; `frame` when it lies nowhere; `empty` without an occupied
/// cell; `too_large` past 2^26 vertices.
///
/// # Examples
/// ```
/// use voxflow_contract::{Fill, VoxelGrid};
/// use voxflow_geometry::{marching_cubes, mesh_stats};
///
/// let mut grid = VoxelGrid::empty(1, [0.0; 3], [2.0; 3], Fill::Unknown);
/// grid.set(0, 0, 0);
/// let octahedron = marching_cubes(&grid).unwrap();
/// assert_eq!((octahedron.vertices.len(), octahedron.triangles.len()), (6, 8));
/// assert_eq!(mesh_stats(&octahedron).unwrap().volume, 4.0 / 3.0);
/// ```
pub fn marching_cubes(grid: &VoxelGrid) -> Result<TriMesh, Fault> {
    let frame = Frame::new(grid.translation, grid.scale, grid.resolution)?;
    let inside = padded(&unpack(grid)?, 1);
    march(&inside, &frame, |_, _| 0.5)
}

/// The surface where a soft occupancy is `iso`, in the mesh's frame: as [`marching_cubes`], with
/// vertices where the straight line between two values meets `iso`, no nearer to a centre than a
/// thousandth of the way. A value of `iso` is inside; beyond the border all is 0.
///
/// # Errors
/// As [`marching_cubes`]; `iso` when it is not above 0 and finite; `occupancy` for values that are
/// not finite.
///
/// # Examples
/// ```
/// use voxflow_contract::SoftGrid;
/// use voxflow_geometry::marching_cubes_soft;
///
/// let grid = SoftGrid::new(1, [0.0; 3], [1.0; 3], vec![1.0]).unwrap();
/// let octahedron = marching_cubes_soft(&grid, 0.25).unwrap();
/// assert_eq!(octahedron.bounds().unwrap().max, [1.25; 3]);
/// ```
pub fn marching_cubes_soft(grid: &SoftGrid, iso: f32) -> Result<TriMesh, Fault> {
    if !(iso > 0.0 && iso.is_finite()) {
        return Err(Fault::new("iso", format!("iso is {iso}, not above 0 and finite")));
    }
    let frame = Frame::new(grid.translation, grid.scale, grid.resolution)?;
    if let Some(cell) = grid.values().iter().position(|value| !value.is_finite()) {
        return Err(Fault::new("occupancy", format!("the value of cell {cell} is not finite")));
    }
    let d = grid.resolution;
    let value = |sample: [usize; 3]| {
        let is_in = sample.iter().all(|i| (1..=d).contains(i));
        let [x, y, z] = sample.map(|i| i.wrapping_sub(1));
        if is_in { f64::from(grid.get(x, y, z)) } else { 0.0 }
    };
    march(&thresholded(grid, iso), &frame, |sample, axis| {
        let mut next = sample;
        next[axis] += 1;
        let (from, to) = (value(sample), value(next));
        ((f64::from(iso) - from) / (to - from)).clamp(NEAREST, 1.0 - NEAREST)
    })
}

/// The cells of at least `iso`, with an empty cell more on every side.
fn thresholded(grid: &SoftGrid, iso: f32) -> Columns {
    let d = grid.resolution;
    let mut inside = Columns::empty(d + 2);
    for (column, values) in grid.values().chunks_exact(d).enumerate() {
        let (x, y) = (column / d + 1, column % d + 1);
        let words = &mut inside.bits[(x * (d + 2) + y) * inside.words..];
        for (z, value) in values.iter().enumerate() {
            words[(z + 1) / 64] |= u64::from(*value >= iso) << ((z + 1) % 64);
        }
    }
    inside
}

/// Where samples lie: sample 1 is the centre of the first cell.
struct Frame {
    translation: [f64; 3],
    cell: [f64; 3],
}

impl Frame {
    fn new(translation: [f64; 3], scale: [f64; 3], resolution: usize) -> Result<Self, Fault> {
        if !(1..=VoxelGrid::MAX_RESOLUTION).contains(&resolution) {
            let most = VoxelGrid::MAX_RESOLUTION;
            let message = format!("resolution {resolution} is not from 1 to {most}");
            return Err(Fault::new("resolution", message));
        }
        let is_place = (0..3).all(|axis| {
            let end = (translation[axis] + scale[axis]) as f32;
            (translation[axis] as f32).is_finite() && end.is_finite() && scale[axis] > 0.0
        });
        if !is_place {
            let message = format!("the grid lies at {translation:?} with edges {scale:?}");
            return Err(Fault::new("frame", message));
        }
        Ok(Self { translation, cell: scale.map(|edge| edge / resolution as f64) })
    }

    fn place(&self, sample: [f64; 3]) -> [f32; 3] {
        [0, 1, 2]
            .map(|axis| (self.translation[axis] + (sample[axis] - 0.5) * self.cell[axis]) as f32)
    }
}

/// Walks over the slices of `inside`, whose outermost samples are empty. `share` says for a sample
/// and an axis how far the surface is on the way to the next sample along it.
fn march(
    inside: &Columns,
    frame: &Frame,
    share: impl Fn([usize; 3], usize) -> f64,
) -> Result<TriMesh, Fault> {
    if inside.bits.iter().all(|word| *word == 0) {
        return Err(Fault::new("empty", "no cell is occupied: there is no surface"));
    }
    let side = inside.resolution;
    let plane = || vec![0; side * side];
    let mut march = March {
        inside,
        frame,
        share,
        mesh: TriMesh::default(),
        numbers: [[plane(), plane()], [plane(), plane()], [plane(), plane()]],
    };
    for x in 0..side {
        march.cross_slice(x);
        if x > 0 {
            march.cross_between(x - 1);
            march.join_cells(x - 1);
        }
        if march.mesh.vertices.len() > MAX_VERTICES {
            let message =
                format!("the surface has more than {MAX_VERTICES} vertices: this is noise");
            return Err(Fault::new("too_large", message));
        }
    }
    Ok(march.mesh)
}

struct March<'a, F> {
    inside: &'a Columns,
    frame: &'a Frame,
    share: F,
    mesh: TriMesh,
    /// Vertices on the edges along x, y and z that begin in an even and in an odd slice; only what is
    /// crossed is written, and only that is read.
    numbers: [[Vec<u32>; 2]; 3],
}

impl<F: Fn([usize; 3], usize) -> f64> March<'_, F> {
    /// Vertices on the edges along y and z within slice `x`.
    fn cross_slice(&mut self, x: usize) {
        let words = self.inside.words;
        for y in 0..self.inside.resolution {
            for word in 0..words {
                let here = self.column(x, y)[word];
                let along_z = here ^ shifted(self.column(x, y), word);
                self.add_vertices(along_z, [x, y, word * 64], 2);
                if y + 1 < self.inside.resolution {
                    let along_y = here ^ self.column(x, y + 1)[word];
                    self.add_vertices(along_y, [x, y, word * 64], 1);
                }
            }
        }
    }

    /// Vertices on the edges along x from slice `x` to the next.
    fn cross_between(&mut self, x: usize) {
        for y in 0..self.inside.resolution {
            for word in 0..self.inside.words {
                let along_x = self.column(x, y)[word] ^ self.column(x + 1, y)[word];
                self.add_vertices(along_x, [x, y, word * 64], 0);
            }
        }
    }

    /// A vertex on the edge along `axis` from each sample whose bit is set; bit 0 is `first`.
    fn add_vertices(&mut self, crossed: u64, first: [usize; 3], axis: usize) {
        let mut rest = crossed;
        while rest != 0 {
            let [x, y, z] = first;
            let sample = [x, y, z + rest.trailing_zeros() as usize];
            let mut position = sample.map(|i| i as f64);
            position[axis] += (self.share)(sample, axis);
            let number = self.mesh.vertices.len() as u32;
            self.numbers[axis][x % 2][y * self.inside.resolution + sample[2]] = number;
            self.mesh.vertices.push(self.frame.place(position));
            rest &= rest - 1;
        }
    }

    /// Triangles of the cells between slice `x` and the next.
    fn join_cells(&mut self, x: usize) {
        for y in 0..self.inside.resolution - 1 {
            for word in 0..self.inside.words {
                // Corners in order of their numbers: x first, then y, then z.
                let near = [(x, y), (x + 1, y), (x, y + 1), (x + 1, y + 1)];
                let low = near.map(|(x, y)| self.column(x, y)[word]);
                let high = near.map(|(x, y)| shifted(self.column(x, y), word));
                let any = low.iter().chain(&high).fold(0, |any, bits| any | bits);
                let all = low.iter().chain(&high).fold(u64::MAX, |all, bits| all & bits);
                let mut rest = any & !all;
                while rest != 0 {
                    let bit = rest.trailing_zeros() as usize;
                    let corner = |bits: u64, number: usize| (bits >> bit & 1) << number;
                    let case =
                        (0..4).fold(0, |case, i| case | corner(low[i], i) | corner(high[i], i + 4));
                    self.add_triangles(case as usize, [x, y, word * 64 + bit]);
                    rest &= rest - 1;
                }
            }
        }
    }

    fn add_triangles(&mut self, case: usize, [x, y, z]: [usize; 3]) {
        let side = self.inside.resolution;
        let vertex = |edge: u8| {
            let (axis, corner) = EDGES[usize::from(edge)];
            let at = (y + (corner >> 1 & 1)) * side + z + (corner >> 2);
            self.numbers[axis][(x + (corner & 1)) % 2][at]
        };
        let triangles = CASES[case].triangles().iter().map(|triangle| triangle.map(vertex));
        self.mesh.triangles.extend(triangles);
    }

    fn column(&self, x: usize, y: usize) -> &[u64] {
        let inside = self.inside;
        &inside.bits[(x * inside.resolution + y) * inside.words..][..inside.words]
    }
}

/// Word number `word` of a column whose cells are moved down by one.
fn shifted(column: &[u64], word: usize) -> u64 {
    column[word] >> 1 | column.get(word + 1).map_or(0, |next| next << 63)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::mesh_stats::mesh_stats;
    use crate::testing;
    use voxflow_contract::Fill;

    /// The cells of a cube from -1 to 1 whose centres `is_in` holds.
    fn grid_of(resolution: usize, is_in: impl Fn([f64; 3]) -> bool) -> VoxelGrid {
        let mut grid = VoxelGrid::empty(resolution, [-1.0; 3], [2.0; 3], Fill::Unknown);
        let centre = |i: usize| (i as f64 + 0.5) * 2.0 / resolution as f64 - 1.0;
        for [x, y, z] in testing::cells(resolution) {
            if is_in([centre(x), centre(y), centre(z)]) {
                grid.set(x, y, z);
            }
        }
        grid
    }

    /// Watertight and welded, checked by `mesh_stats`; gives the genus.
    fn check(mesh: &TriMesh) -> Option<usize> {
        let stats = mesh_stats(mesh).expect("a mesh");
        assert!(stats.is_watertight, "{stats:?}");
        assert_eq!((stats.duplicates, stats.degenerates), (0, 0));
        assert_eq!(stats.places, mesh.vertices.len(), "every vertex once");
        stats.genus
    }

    fn volume(mesh: &TriMesh) -> f64 {
        mesh_stats(mesh).expect("a mesh").volume
    }

    #[test]
    fn random_grids_have_closed_surfaces_about_their_cells() {
        for resolution in [1, 2, 3, 7, 16, 31, 62, 63, 64, 70] {
            for density in [0.02, 0.5, 0.9, 1.0] {
                let grid = testing::random_grid(resolution, density, 17);
                let Ok(mesh) = marching_cubes(&grid) else {
                    assert_eq!(grid.occupied(), 0);
                    continue;
                };
                let stats = mesh_stats(&mesh).expect("a mesh");
                assert!(stats.is_watertight && stats.volume > 0.0, "{resolution} {density}");
                assert_eq!((stats.places, stats.duplicates), (mesh.vertices.len(), 0));
                // Each vertex stands between an occupied cell and an empty one.
                let crossings: usize = testing::cells(resolution).map(|c| sides(&grid, c)).sum();
                assert_eq!(mesh.vertices.len(), crossings, "{resolution} {density}");
            }
        }
    }

    /// Sides of an occupied cell beyond which nothing is.
    fn sides(grid: &VoxelGrid, cell: [usize; 3]) -> usize {
        let get =
            |c: [usize; 3]| c.iter().all(|i| *i < grid.resolution) && grid.get(c[0], c[1], c[2]);
        let steps = (0..3).flat_map(|axis| [(axis, 1), (axis, usize::MAX)]);
        let beyond = steps.map(|(axis, step)| {
            let mut next = cell;
            next[axis] = next[axis].wrapping_add(step);
            next
        });
        if get(cell) { beyond.filter(|next| !get(*next)).count() } else { 0 }
    }

    #[test]
    fn balls_and_rings_have_their_handles_and_nearly_the_volume_of_their_cells() {
        let ball = grid_of(48, |p| p.iter().map(|x| x * x).sum::<f64>() < 0.64);
        let ring = grid_of(48, |p| (p[0].hypot(p[2]) - 0.6).hypot(p[1]) < 0.25);
        for (grid, genus) in [(ball, 0), (ring, 1)] {
            let mesh = marching_cubes(&grid).expect("a surface");
            assert_eq!(check(&mesh), Some(genus));
            let cells = grid.occupied() as f64 * (2.0f64 / 48.0).powi(3);
            assert!((volume(&mesh) / cells - 1.0).abs() < 0.01, "{} {cells}", volume(&mesh));
        }
    }

    #[test]
    fn a_soft_ball_is_as_round_as_its_values_say() {
        let d = 32;
        let centre = |i: usize| (i as f64 + 0.5) * 2.0 / d as f64 - 1.0;
        let values: Vec<f32> = testing::cells(d)
            .map(|cell| {
                let radius = cell.map(centre).iter().map(|x| x * x).sum::<f64>().sqrt();
                ((0.7 - radius) * 8.0 + 0.5).clamp(0.0, 1.0) as f32
            })
            .collect();
        let grid = SoftGrid::new(d, [-1.0; 3], [2.0; 3], values).expect("a grid");
        let mesh = marching_cubes_soft(&grid, 0.5).expect("a surface");
        assert_eq!(check(&mesh), Some(0));
        for vertex in &mesh.vertices {
            let radius = vertex.iter().map(|x| f64::from(x * x)).sum::<f64>().sqrt();
            assert!((radius - 0.7).abs() < 2e-3, "{radius}");
        }
        let exact = 4.0 / 3.0 * std::f64::consts::PI * 0.343;
        assert!((volume(&mesh) / exact - 1.0).abs() < 0.01);
    }

    #[test]
    fn values_of_just_iso_leave_no_vertex_twice() {
        let grid = testing::random_grid(12, 0.5, 2);
        let values =
            testing::cells(12).map(|[x, y, z]| f32::from(u8::from(grid.get(x, y, z))) * 0.5);
        let soft = SoftGrid::new(12, [0.0; 3], [1.0; 3], values.collect()).expect("a grid");
        let mesh = marching_cubes_soft(&soft, 0.5).expect("a surface");
        check(&mesh);
        assert_eq!(mesh.triangles, marching_cubes(&grid).expect("a surface").triangles);
    }

    #[test]
    fn odd_grids_are_refused() {
        let empty = VoxelGrid::empty(4, [0.0; 3], [1.0; 3], Fill::Unknown);
        assert_eq!(marching_cubes(&empty).expect_err("empty").code, "empty");
        let nowhere = VoxelGrid::empty(4, [f64::NAN; 3], [1.0; 3], Fill::Unknown);
        assert_eq!(marching_cubes(&nowhere).expect_err("nowhere").code, "frame");
        let soft = |value, iso| {
            let grid = SoftGrid::new(1, [0.0; 3], [1.0; 3], vec![value]).expect("a grid");
            marching_cubes_soft(&grid, iso).err().map(|fault| fault.code)
        };
        assert_eq!(soft(1.0, 0.5), None);
        assert_eq!(soft(1.0, 0.0), Some("iso"));
        assert_eq!(soft(1.0, f32::NAN), Some("iso"));
        assert_eq!(soft(f32::NAN, 0.5), Some("occupancy"));
        assert_eq!(soft(0.0, 0.5), Some("empty"));
    }
}
