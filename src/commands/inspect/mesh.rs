//! What is in a mesh file: size, box, oddities, whether it is closed.

use std::collections::BTreeMap;
use std::path::Path;

use voxflow_contract::{Fill, TriMesh};
use voxflow_formats::MeshFormat;
use voxflow_geometry::{Fit, voxelize_mesh};

use super::facts::Facts;
use crate::commands::convert::{decode_mesh_file, read};
use crate::error::Error;
use crate::terminal_picture;

/// Cells along each axis of the grid that is drawn.
const PICTURE_RESOLUTION: usize = 24;

/// Looks at a mesh file.
pub(super) fn mesh(path: &Path, format: MeshFormat) -> Result<Facts, Error> {
    let bytes = read(path)?;
    let decoded = decode_mesh_file(path, format, &bytes)?;
    let mesh = &decoded.mesh;
    let mut facts = Facts::new(if mesh.triangles.is_empty() { "point cloud" } else { "mesh" });
    facts.add("format", format.extension());
    facts.add("bytes", bytes.len());
    facts.add("vertices", mesh.vertices.len());
    facts.add("triangles", mesh.triangles.len());
    if let Some(bounds) = mesh.bounds() {
        facts.add("min", bounds.min.to_vec());
        facts.add("max", bounds.max.to_vec());
        facts.add("extents", bounds.extents().to_vec());
    }
    if mesh.is_valid() && !mesh.triangles.is_empty() {
        let edges = Edges::of(mesh);
        facts.add("watertight", edges.open == 0 && edges.crowded == 0);
        facts.add("open_edges", edges.open);
        facts.add("edges_of_more_than_two_triangles", edges.crowded);
    }
    facts.add("quirks", decoded.quirks.clone());
    let grid = voxelize_mesh(mesh, PICTURE_RESOLUTION, Fill::Surface, Fit::Centered);
    facts.picture = grid.map(|grid| terminal_picture::grid_silhouettes(&grid)).unwrap_or_default();
    Ok(facts)
}

/// Edges by the number of triangles they have, vertices of equal position being one.
struct Edges {
    /// Edges of one triangle.
    open: usize,
    /// Edges of more than two.
    crowded: usize,
}

impl Edges {
    fn of(mesh: &TriMesh) -> Self {
        let mut numbers: BTreeMap<[u32; 3], u32> = BTreeMap::new();
        let mut number = |vertex: u32| {
            // Adding zero makes -0 and 0 one.
            let position = mesh.vertices[vertex as usize].map(|x| (x + 0.0).to_bits());
            let next = numbers.len() as u32;
            *numbers.entry(position).or_insert(next)
        };
        let mut counts: BTreeMap<[u32; 2], usize> = BTreeMap::new();
        for triangle in &mesh.triangles {
            let [a, b, c] = triangle.map(&mut number);
            for (from, to) in [(a, b), (b, c), (c, a)].into_iter().filter(|(from, to)| from != to) {
                *counts.entry([from.min(to), from.max(to)]).or_default() += 1;
            }
        }
        let open = counts.values().filter(|count| **count == 1).count();
        let crowded = counts.values().filter(|count| **count > 2).count();
        Self { open, crowded }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_edges_are_counted_over_equal_positions() {
        let corners = [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        let faces = [[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]];
        let soup: Vec<_> = faces.iter().flatten().map(|v: &usize| corners[*v]).collect();
        let triangles: Vec<[u32; 3]> = (0..4).map(|i| [3 * i, 3 * i + 1, 3 * i + 2]).collect();
        let closed = TriMesh { vertices: soup, triangles };
        let edges = Edges::of(&closed);
        assert_eq!((edges.open, edges.crowded), (0, 0));
        let open = TriMesh { triangles: closed.triangles[..3].to_vec(), ..closed };
        assert_eq!(Edges::of(&open).open, 3);
    }
}
