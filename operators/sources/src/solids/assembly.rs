//! `Assembly`: parts that overlap and together are one object.

use voxflow_contract::TriMesh;

use super::part::Part;

/// Parts that were put together. Their union is the object; +Y is up, +Z the front, in metres.
#[derive(Debug, Clone, Default)]
pub(crate) struct Assembly {
    parts: Vec<Part>,
}

impl Assembly {
    /// Adds a part.
    pub(crate) fn add(&mut self, part: Part) {
        self.parts.push(part);
    }

    /// Adds a part and its mirror image on the other side of the plane x = 0.
    pub(crate) fn add_pair(&mut self, part: Part) {
        self.parts.push(part.mirrored());
        self.parts.push(part);
    }

    /// The parts.
    pub(crate) fn into_parts(self) -> Vec<Part> {
        self.parts
    }

    /// All parts in one mesh; vertices are not shared between parts.
    pub(crate) fn into_mesh(self) -> TriMesh {
        let mut mesh = TriMesh::default();
        for part in self.parts {
            let first = mesh.vertices.len() as u32;
            mesh.vertices.extend(part.vertices.iter().map(|vertex| vertex.map(|x| x as f32)));
            mesh.triangles.extend(part.triangles.iter().map(|t| t.map(|vertex| first + vertex)));
        }
        mesh
    }
}
