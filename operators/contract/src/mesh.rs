//! `TriMesh`: an indexed triangle mesh, or a point cloud when it has no triangles; `Appearance`:
//! what it looks like.

use crate::values::Image;

/// An indexed triangle mesh; without triangles, a point cloud.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TriMesh {
    /// Positions, x y z, in whatever frame the holder states.
    pub vertices: Vec<[f32; 3]>,
    /// Vertex numbers of each triangle, counter-clockwise seen from outside.
    pub triangles: Vec<[u32; 3]>,
}

/// How a mesh looks. Every part may be missing, which is an empty list.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Appearance {
    /// Colour of each vertex: sRGB and straight alpha.
    pub vertex_colors: Vec<[u8; 4]>,
    /// Unit normal of each vertex, in the mesh's frame.
    pub vertex_normals: Vec<[f32; 3]>,
    /// Texture coordinates u, v of the corners of each triangle; v = 0 is the bottom of the picture.
    pub corner_uvs: Vec<[[f32; 2]; 3]>,
    /// Number of the material of each triangle, or [`Material::NONE`].
    pub triangle_materials: Vec<u32>,
    /// The materials.
    pub materials: Vec<Material>,
    /// The pictures of the materials, PNG or JPEG.
    pub textures: Vec<Image>,
}

impl Appearance {
    /// Whether nothing is known of the look.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether every list is empty or as long as `mesh` needs, and every number names something.
    pub fn fits(&self, mesh: &TriMesh) -> bool {
        let is_len = |len: usize, needed: usize| len == 0 || len == needed;
        let names =
            |number: u32, count: usize| number == Material::NONE || (number as usize) < count;
        is_len(self.vertex_colors.len(), mesh.vertices.len())
            && is_len(self.vertex_normals.len(), mesh.vertices.len())
            && is_len(self.corner_uvs.len(), mesh.triangles.len())
            && is_len(self.triangle_materials.len(), mesh.triangles.len())
            && self.triangle_materials.iter().all(|n| names(*n, self.materials.len()))
            && self
                .materials
                .iter()
                .filter_map(|m| m.texture)
                .all(|n| names(n, self.textures.len()))
    }
}

/// What a triangle is painted with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Material {
    /// Diffuse colour: sRGB and straight alpha. A texture is multiplied by it.
    pub color: [u8; 4],
    /// Number of its picture among the textures.
    pub texture: Option<u32>,
}

impl Material {
    /// The number of no material, and of no texture, in tables.
    pub const NONE: u32 = u32::MAX;
}

/// An axis-aligned box.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// Smallest coordinate on each axis.
    pub min: [f64; 3],
    /// Largest coordinate on each axis.
    pub max: [f64; 3],
}

impl Bounds {
    /// Length on each axis.
    pub fn extents(&self) -> [f64; 3] {
        [0, 1, 2].map(|i| self.max[i] - self.min[i])
    }

    /// Length of the longest side.
    pub fn longest(&self) -> f64 {
        self.extents().into_iter().fold(0.0, f64::max)
    }

    /// The middle.
    pub fn center(&self) -> [f64; 3] {
        [0, 1, 2].map(|i| 0.5 * (self.min[i] + self.max[i]))
    }
}

impl TriMesh {
    /// The three corners of triangle `index`.
    ///
    /// # Panics
    /// When the triangle or one of its vertices does not exist, as indexing would.
    pub fn corners(&self, index: usize) -> [[f32; 3]; 3] {
        self.triangles[index].map(|vertex| self.vertices[vertex as usize])
    }

    /// The box of all vertices that a triangle uses, or of all vertices of a point cloud; `None`
    /// when there is none.
    pub fn bounds(&self) -> Option<Bounds> {
        let mut bounds = Bounds { min: [f64::INFINITY; 3], max: [f64::NEG_INFINITY; 3] };
        let mut take = |vertex: &[f32; 3]| {
            for axis in 0..3 {
                bounds.min[axis] = bounds.min[axis].min(f64::from(vertex[axis]));
                bounds.max[axis] = bounds.max[axis].max(f64::from(vertex[axis]));
            }
        };
        if self.triangles.is_empty() {
            self.vertices.iter().for_each(&mut take);
        } else {
            self.triangles.iter().flatten().for_each(|v| take(&self.vertices[*v as usize]));
        }
        (bounds.min[0] <= bounds.max[0]).then_some(bounds)
    }

    /// Whether every triangle names vertices that exist and every vertex is finite.
    pub fn is_valid(&self) -> bool {
        let count = self.vertices.len() as u64;
        self.triangles.iter().flatten().all(|v| u64::from(*v) < count)
            && self.vertices.iter().flatten().all(|x| x.is_finite())
    }
}
