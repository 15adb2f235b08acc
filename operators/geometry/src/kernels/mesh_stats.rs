//! `mesh_stats`: what a mesh is like: closed or not, in how many pieces, how large.

use voxflow_contract::{Bounds, Fault, TriMesh};

use crate::kernels::check::check_mesh;
use crate::kernels::topology::{MAX_TRIANGLES, Topology};
use crate::kernels::weld::weld;

/// What [`mesh_stats`] finds.
///
/// Vertices at equal positions count as one wherever triangles meet; positions are compared after
/// rounding to a 2^-30th of the box's longest side. A triangle that has a corner twice then is flat, and belongs
/// to no edge, no component and not to the Euler characteristic.
#[derive(Debug, Clone, PartialEq)]
pub struct MeshStats {
    /// Vertices as stored.
    pub vertices: usize,
    /// Triangles as stored.
    pub triangles: usize,
    /// Different positions that triangles use.
    pub places: usize,
    /// Pieces: triangles hang together where they share an edge.
    pub components: usize,
    /// Triangles over the same three places as an earlier one, in whatever order.
    pub duplicates: usize,
    /// Triangles without area.
    pub degenerates: usize,
    /// Edges of one triangle only.
    pub boundary_edges: usize,
    /// Edges of more than two triangles.
    pub nonmanifold_edges: usize,
    /// Whether there are triangles and every edge belongs to just two, once in each direction.
    pub is_watertight: bool,
    /// Of the edges with two triangles, the share that runs once in each direction; 1 without such
    /// edges.
    pub oriented_share: f64,
    /// Places less edges plus triangles.
    pub euler_characteristic: i64,
    /// Handles, where the mesh is watertight and of one component.
    pub genus: Option<usize>,
    /// The flux of (x, 0, 0) out of the triangles, in cubic units of the frame: by the theorem of
    /// Gauss the volume inside when the mesh is watertight and its triangles look outwards. An open
    /// mesh gets the number that trimesh gives it, which depends on where the mesh lies.
    pub volume: f64,
    /// Sum of the triangles' areas, in square units of the frame.
    pub area: f64,
    /// The box of what triangles use, or of all points of a cloud.
    pub bounds: Bounds,
}

/// Counts and measures a mesh.
///
/// Cost: about 100 ns and 80 bytes a triangle. Sums are in f64, about the middle of the box, so that a
/// small mesh far from the origin keeps its digits.
///
/// # Errors
/// `invalid_mesh`; `no_vertices` when there is nothing to measure; `too_large` past 715 million
/// triangles.
///
/// # Examples
/// ```
/// use voxflow_contract::TriMesh;
/// use voxflow_geometry::mesh_stats;
///
/// let vertices = vec![[0.0; 3], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
/// let triangles = vec![[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]];
/// let stats = mesh_stats(&TriMesh { vertices, triangles }).unwrap();
/// assert!(stats.is_watertight);
/// assert_eq!(stats.genus, Some(0));
/// assert!((stats.volume - 1.0 / 6.0).abs() < 1e-15);
/// ```
pub fn mesh_stats(mesh: &TriMesh) -> Result<MeshStats, Fault> {
    check_mesh(mesh)?;
    let Some(bounds) = mesh.bounds() else {
        return Err(Fault::new("no_vertices", "there is no vertex to measure"));
    };
    if mesh.triangles.len() > MAX_TRIANGLES {
        let message = format!("{} triangles; at most {MAX_TRIANGLES}", mesh.triangles.len());
        return Err(Fault::new("too_large", message));
    }
    let measure = Measure::of(mesh, bounds.center());
    let welded = weld(mesh, &bounds);
    let topology = Topology::of(&welded);
    Ok(MeshStats {
        vertices: mesh.vertices.len(),
        triangles: mesh.triangles.len(),
        places: welded.places,
        components: topology.components,
        duplicates: topology.duplicates,
        degenerates: measure.flat,
        boundary_edges: topology.boundary_edges,
        nonmanifold_edges: topology.nonmanifold_edges,
        is_watertight: topology.is_watertight(),
        oriented_share: topology.oriented_share(),
        euler_characteristic: topology.euler_characteristic(),
        genus: topology.genus,
        volume: measure.volume(topology.is_watertight(), bounds.center()),
        area: measure.area,
        bounds,
    })
}

/// Sums over the triangles.
#[derive(Default)]
struct Measure {
    flat: usize,
    area: f64,
    /// Flux of (x - middle, 0, 0).
    flux: f64,
    /// Area as seen along x, with sign: zero for a closed mesh, but for rounding.
    area_x: f64,
}

impl Measure {
    fn of(mesh: &TriMesh, middle: [f64; 3]) -> Self {
        let mut sums = Self::default();
        let from_middle = |v: u32| {
            let position = mesh.vertices[v as usize];
            [0, 1, 2].map(|axis| f64::from(position[axis]) - middle[axis])
        };
        for triangle in &mesh.triangles {
            let [a, b, c] = triangle.map(from_middle);
            let normal = cross(difference(b, a), difference(c, a));
            sums.flat += usize::from(normal == [0.0; 3]);
            sums.area += 0.5 * dot(normal, normal).sqrt();
            sums.flux += normal[0] * (a[0] + b[0] + c[0]) / 6.0;
            sums.area_x += 0.5 * normal[0];
        }
        sums
    }

    /// Flux of (x, 0, 0). A closed mesh has the same volume wherever x is counted from.
    fn volume(&self, is_watertight: bool, middle: [f64; 3]) -> f64 {
        if is_watertight { self.flux } else { self.flux + middle[0] * self.area_x }
    }
}

fn difference(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use voxflow_formats::{MeshFormat, decode_mesh};

    fn stats(mesh: &TriMesh) -> MeshStats {
        mesh_stats(mesh).expect("a mesh")
    }

    #[test]
    fn a_ball_and_a_torus_are_measured() {
        let ball = stats(&testing::ball(2.0, 5));
        assert!(ball.is_watertight);
        assert_eq!((ball.genus, ball.components, ball.euler_characteristic), (Some(0), 1, 2));
        let exact = 32.0 / 3.0 * std::f64::consts::PI;
        assert!((ball.volume / exact - 1.0).abs() < 2e-3, "{}", ball.volume);
        let torus = stats(&testing::torus(1.0, 0.25, 200));
        assert!(torus.is_watertight);
        assert_eq!((torus.genus, torus.euler_characteristic), (Some(1), 0));
        let exact = 2.0 * std::f64::consts::PI.powi(2) * 0.0625;
        assert!((torus.volume / exact - 1.0).abs() < 2e-3, "{}", torus.volume);
    }

    #[test]
    fn what_is_wrong_with_a_mesh_is_counted() {
        let mut mesh = testing::cuboid([0.0; 3], [1.0; 3]);
        let first = mesh.triangles[0];
        mesh.triangles.push([first[1], first[2], first[0]]);
        mesh.triangles.push([first[0], first[0], first[1]]);
        let twice = stats(&mesh);
        assert!(!twice.is_watertight);
        assert_eq!((twice.duplicates, twice.degenerates, twice.nonmanifold_edges), (1, 1, 3));
        let mut turned = testing::cuboid([0.0; 3], [1.0; 3]);
        turned.triangles[0].swap(0, 1);
        let turned = stats(&turned);
        assert!(!turned.is_watertight);
        assert_eq!((turned.boundary_edges, turned.oriented_share), (0, 15.0 / 18.0));
        let mut open = testing::cuboid([0.0; 3], [1.0; 3]);
        open.triangles.truncate(10);
        assert_eq!((stats(&open).boundary_edges, stats(&open).genus), (4, None));
    }

    #[test]
    fn a_small_mesh_far_away_keeps_its_volume() {
        let far = testing::cuboid([1e6; 3], [1e6 + 1.0; 3]);
        assert_eq!(stats(&far).volume, 1.0);
    }

    #[test]
    fn odd_meshes_are_refused() {
        let code = |mesh: &TriMesh| mesh_stats(mesh).err().map(|fault| fault.code);
        assert_eq!(code(&TriMesh::default()), Some("no_vertices"));
        let broken = TriMesh { vertices: vec![[0.0; 3]], triangles: vec![[0, 0, 1]] };
        assert_eq!(code(&broken), Some("invalid_mesh"));
    }

    /// A cell of the table is met when the number rounds to it in the cell's last digit.
    fn agrees(found: f64, cell: &str) -> bool {
        match cell.trim_start_matches('~').trim() {
            "-" => true,
            "0" if cell.starts_with('~') => found.abs() < 1e-4,
            cell => {
                let stated: f64 = cell.parse().expect("a number");
                let mantissa = cell.split('e').next().unwrap_or(cell);
                let decimals =
                    mantissa.split_once('.').map_or(0, |(_, digits)| digits.len()) as i32;
                let exponent =
                    cell.split_once('e').map_or(0, |(_, e)| e.parse().expect("an exponent"));
                (found - stated).abs() <= 0.51 * 10f64.powi(exponent - decimals)
            }
        }
    }

    #[test]
    fn real_files_are_as_an_independent_reader_found_them() {
        let Some(folder) = testing::realdata(".") else { return };
        let readme = std::fs::read_to_string(folder.join("README.md")).expect("the table");
        let mut seen = 0;
        for line in readme.lines().filter(|line| line.starts_with("| ") && line.contains('/')) {
            let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
            let file = cells[0].split_whitespace().next().expect("a file");
            if cells.len() != 7 || cells[2] == "0" {
                continue;
            }
            let format = file.rsplit('.').next().and_then(MeshFormat::from_extension);
            let bytes = std::fs::read(folder.join(file)).expect("the file");
            let mesh = decode_mesh(format.expect("a format"), &bytes).expect("a mesh").mesh;
            let found = stats(&mesh);
            assert_eq!(found.triangles.to_string(), cells[2], "{file}");
            // The other reader does not ask for directions, which differ within one of the bodies of
            // multibody.stl.
            let is_closed = found.boundary_edges + found.nonmanifold_edges == 0;
            assert_eq!(is_closed, cells[3] == "yes", "{file}: {found:?}");
            let is_mixed = found.oriented_share < 1.0;
            assert_eq!(is_mixed, file == "stl/multibody.stl", "{file}: {found:?}");
            assert_eq!(found.is_watertight, is_closed && !is_mixed, "{file}: {found:?}");
            // The other reader turns a mesh that looks inwards: mushroom.off does.
            let is_inside_out = found.is_watertight && found.volume < 0.0;
            assert_eq!(is_inside_out, file == "off/mushroom.off", "{file}: {found:?}");
            let volume = if is_inside_out { -found.volume } else { found.volume };
            assert!(agrees(volume, cells[4]), "{file}: {found:?}");
            assert!(agrees(found.area, cells[5]), "{file}: {found:?}");
            for (extent, cell) in found.bounds.extents().into_iter().zip(cells[6].split(',')) {
                assert!(agrees(extent, cell.trim()), "{file}: {found:?}");
            }
            seen += 1;
        }
        assert_eq!(seen, 23, "rows of the table");
    }
}
