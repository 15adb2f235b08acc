//! `simplify`: a mesh of fewer triangles in the same place.

use meshopt::{SimplifyOptions, VertexDataAdapter, typed_to_bytes};
use voxflow_contract::{Bounds, Fault, TriMesh};

use crate::kernels::check::check_triangles;
use crate::kernels::weld::{Welded, weld};

/// A mesh of fewer triangles.
#[derive(Debug, Clone, PartialEq)]
pub struct Simplified {
    /// The mesh; its vertices are some of those it was made of.
    pub mesh: TriMesh,
    /// How far the surface has moved, by the quadrics, as a share of the longest side of the box.
    pub error: f64,
}

/// Collapses edges, the cheapest first, until no more than `triangles` are left or the next collapse
/// would move the surface by more than `max_error`, a share of the longest side of the box.
///
/// Vertices at one place become one before (to a 2^-30th of the longest side), so soups simplify too;
/// triangles with a corner twice go. Vertices only go, none is moved. Topology stays: a closed mesh
/// stays closed and keeps its pieces and handles, borders stay borders, so that more triangles than
/// asked for may be left. A mesh that has no more than `triangles` comes back as it is, but welded.
///
/// Quadric error metrics (Garland and Heckbert 1997) as meshoptimizer has them. Cost: about half
/// a microsecond a triangle.
///
/// # Errors
/// `invalid_mesh`, `no_triangles`; `max_error` when it is negative or not a number; `degenerate` when
/// all triangles have a corner twice or nothing is left.
///
/// # Examples
/// ```
/// use voxflow_contract::TriMesh;
/// use voxflow_geometry::simplify;
///
/// // A flat square of eight triangles about its middle.
/// let vertices = [(0, 0), (1, 0), (2, 0), (2, 1), (2, 2), (1, 2), (0, 2), (0, 1), (1, 1)];
/// let vertices = vertices.map(|(x, y)| [x as f32, y as f32, 0.0]).to_vec();
/// let triangles = (0..8).map(|i| [i, (i + 1) % 8, 8]).collect();
/// let square = simplify(&TriMesh { vertices, triangles }, 2, 0.01).unwrap();
/// assert_eq!((square.mesh.triangles.len(), square.mesh.vertices.len()), (2, 4));
/// ```
pub fn simplify(mesh: &TriMesh, triangles: usize, max_error: f64) -> Result<Simplified, Fault> {
    check_triangles(mesh)?;
    if !(max_error >= 0.0 && max_error.is_finite()) {
        return Err(Fault::new("max_error", format!("an error of {max_error} cannot be kept")));
    }
    let Some(bounds) = mesh.bounds().filter(|bounds| bounds.longest() > 0.0) else {
        return Err(Fault::new("degenerate", "all triangles are one point"));
    };
    let welded = weld(mesh, &bounds);
    let vertices = positions(mesh, &welded);
    let is_proper = |t: &&[u32; 3]| t[0] != t[1] && t[1] != t[2] && t[2] != t[0];
    let proper: Vec<[u32; 3]> = welded.triangles.iter().filter(is_proper).copied().collect();
    let (kept, error) = collapse(&unit(&vertices, &bounds), &proper, triangles, max_error)?;
    if kept.is_empty() {
        return Err(Fault::new("degenerate", "no triangle is left"));
    }
    Ok(Simplified { mesh: compact(&vertices, &kept), error })
}

/// The position of each place: that of the first vertex there.
fn positions(mesh: &TriMesh, welded: &Welded) -> Vec<[f32; 3]> {
    let mut positions = vec![None; welded.places];
    for (corners, places) in mesh.triangles.iter().zip(&welded.triangles) {
        for (vertex, place) in corners.iter().zip(places) {
            positions[*place as usize].get_or_insert(mesh.vertices[*vertex as usize]);
        }
    }
    positions.into_iter().flatten().collect()
}

/// Positions in a box of longest side 1: whatever the mesh's size, f32 can hold their quadrics.
fn unit(vertices: &[[f32; 3]], bounds: &Bounds) -> Vec<[f32; 3]> {
    let longest = bounds.longest();
    let place = |vertex: &[f32; 3]| {
        [0, 1, 2].map(|axis| ((f64::from(vertex[axis]) - bounds.min[axis]) / longest) as f32)
    };
    vertices.iter().map(place).collect()
}

fn collapse(
    vertices: &[[f32; 3]],
    triangles: &[[u32; 3]],
    target: usize,
    max_error: f64,
) -> Result<(Vec<[u32; 3]>, f64), Fault> {
    if triangles.len() <= target {
        return Ok((triangles.to_vec(), 0.0));
    }
    let adapter = VertexDataAdapter::new(typed_to_bytes(vertices), size_of::<[f32; 3]>(), 0)
        .map_err(|error| Fault::new("simplify", error.to_string()))?;
    let mut error = 0.0;
    let indices = meshopt::simplify(
        triangles.as_flattened(),
        &adapter,
        target * 3,
        max_error as f32,
        SimplifyOptions::None,
        Some(&mut error),
    );
    Ok((indices.as_chunks().0.to_vec(), f64::from(error)))
}

/// The mesh without vertices that no triangle uses; the others in the order of their use.
fn compact(vertices: &[[f32; 3]], triangles: &[[u32; 3]]) -> TriMesh {
    let mut numbers = vec![u32::MAX; vertices.len()];
    let mut mesh = TriMesh::default();
    for triangle in triangles {
        mesh.triangles.push(triangle.map(|vertex| {
            let number = &mut numbers[vertex as usize];
            if *number == u32::MAX {
                *number = mesh.vertices.len() as u32;
                mesh.vertices.push(vertices[vertex as usize]);
            }
            *number
        }));
    }
    mesh
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::mesh_stats::mesh_stats;
    use crate::testing;

    #[test]
    fn closed_meshes_keep_their_handles_and_nearly_their_volume() {
        for (mesh, genus) in [(testing::ball(1.0, 5), 0), (testing::torus(1.0, 0.4, 90), 1)] {
            let before = mesh_stats(&mesh).expect("a mesh");
            let simple = simplify(&mesh, 1000, 0.1).expect("a mesh");
            let after = mesh_stats(&simple.mesh).expect("a mesh");
            assert!(after.is_watertight && after.triangles <= 1000, "{after:?}");
            assert_eq!(after.genus, Some(genus));
            assert!((after.volume / before.volume - 1.0).abs() < 0.02, "{after:?}");
            assert!(simple.error > 0.0 && simple.error < 0.02, "{}", simple.error);
            assert!(simple.mesh.vertices.iter().all(|vertex| mesh.vertices.contains(vertex)));
        }
    }

    #[test]
    fn a_soup_is_welded_and_the_error_is_kept() {
        let ball = testing::ball(1.0, 4);
        let soup = TriMesh {
            vertices: ball.triangles.iter().flatten().map(|v| ball.vertices[*v as usize]).collect(),
            triangles: (0..ball.triangles.len() as u32)
                .map(|t| [0, 1, 2].map(|i| 3 * t + i))
                .collect(),
        };
        let (of_soup, of_ball) = (simplify(&soup, 300, 1.0), simplify(&ball, 300, 1.0));
        assert_eq!(of_soup, of_ball);
        assert!(of_soup.expect("a mesh").mesh.triangles.len() <= 300);
        let exact = simplify(&soup, 4, 1e-4).expect("a mesh");
        assert!(exact.mesh.triangles.len() > 300 && exact.error <= 1e-4);
        let whole = simplify(&soup, soup.triangles.len(), 1.0).expect("a mesh");
        assert_eq!((whole.mesh.triangles.len(), whole.mesh.vertices.len()), (2048, 1026));
    }

    #[test]
    fn any_size_goes_and_odd_meshes_are_refused() {
        for radius in [1e-38, 1.0, 1e38] {
            let simple = simplify(&testing::ball(radius, 3), 100, 1.0).expect("a mesh");
            assert!(mesh_stats(&simple.mesh).expect("a mesh").is_watertight, "{radius}");
        }
        let code =
            |mesh: &TriMesh, max_error| simplify(mesh, 1, max_error).err().map(|fault| fault.code);
        assert_eq!(code(&testing::ball(1.0, 1), f64::NAN), Some("max_error"));
        assert_eq!(code(&TriMesh::default(), 1.0), Some("no_triangles"));
        let point = TriMesh { vertices: vec![[1.0; 3]; 3], triangles: vec![[0, 1, 2]; 4] };
        assert_eq!(code(&point, 1.0), Some("degenerate"));
        let lines = TriMesh { vertices: vec![[0.0; 3], [1.0; 3]], triangles: vec![[0, 1, 0]; 4] };
        assert_eq!(code(&lines, 1.0), Some("degenerate"));
    }

    #[test]
    fn random_soups_give_valid_meshes() {
        for round in 0..60 {
            let mut random = voxflow_contract::Random::new(round, &["simplify"]);
            let places = 3 + random.below(30) as usize;
            let mut coordinate = || random.below(4) as f32;
            let vertices: Vec<[f32; 3]> =
                (0..places).map(|_| [0; 3].map(|_: i32| coordinate())).collect();
            let triangles: Vec<[u32; 3]> = (0..random.below(200))
                .map(|_| [0; 3].map(|_: u32| random.below(places as u64) as u32))
                .collect();
            if let Ok(simple) = simplify(&TriMesh { vertices, triangles }, 10, 1.0) {
                assert!(simple.mesh.is_valid());
            }
        }
    }
}
