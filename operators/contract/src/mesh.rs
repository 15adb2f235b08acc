//! `TriMesh`: an indexed triangle mesh, or a point cloud when it has no triangles.

/// An indexed triangle mesh; without triangles, a point cloud.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TriMesh {
    /// Positions, x y z, in whatever frame the holder states.
    pub vertices: Vec<[f32; 3]>,
    /// Vertex numbers of each triangle, counter-clockwise seen from outside.
    pub triangles: Vec<[u32; 3]>,
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
