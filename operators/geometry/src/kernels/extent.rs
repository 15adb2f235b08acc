//! Extent: the bounds of a mesh, fast.

use voxflow_contract::{Bounds, TriMesh};

use crate::kernels::simd::{Kernel, run_widest};

/// As [`TriMesh::bounds`], for a valid mesh: the box of all vertices that a triangle uses, or of all
/// vertices of a point cloud.
pub(crate) fn extent(mesh: &TriMesh) -> Option<Bounds> {
    run_widest(Extent(mesh))
}

/// The box of all vertices, used or not.
pub(crate) fn vertex_extent(mesh: &TriMesh) -> Option<Bounds> {
    run_widest(VertexExtent(mesh))
}

struct Extent<'a>(&'a TriMesh);

impl Kernel for Extent<'_> {
    type Output = Option<Bounds>;

    #[inline(always)]
    fn run(self) -> Option<Bounds> {
        let TriMesh { vertices, triangles } = self.0;
        if triangles.is_empty() {
            return VertexExtent(self.0).run();
        }
        let mut corners = Corners::NONE;
        for [a, b, c] in triangles {
            let (a, b, c) = (vertices[*a as usize], vertices[*b as usize], vertices[*c as usize]);
            for axis in 0..3 {
                let low = lesser32(lesser32(a[axis], b[axis]), c[axis]);
                let high = greater32(greater32(a[axis], b[axis]), c[axis]);
                corners.min[axis] = lesser32(corners.min[axis], low);
                corners.max[axis] = greater32(corners.max[axis], high);
            }
        }
        corners.bounds()
    }
}

struct VertexExtent<'a>(&'a TriMesh);

impl Kernel for VertexExtent<'_> {
    type Output = Option<Bounds>;

    #[inline(always)]
    fn run(self) -> Option<Bounds> {
        // Eight vertices side by side, so that no minimum waits for the one before.
        let (groups, rest) = self.0.vertices.as_chunks::<8>();
        let (mut low, mut high) = ([[f32::INFINITY; 3]; 8], [[f32::NEG_INFINITY; 3]; 8]);
        for group in groups {
            for i in 0..8 {
                for axis in 0..3 {
                    low[i][axis] = lesser32(low[i][axis], group[i][axis]);
                    high[i][axis] = greater32(high[i][axis], group[i][axis]);
                }
            }
        }
        let mut corners = Corners::NONE;
        for axis in 0..3 {
            for vertex in low.iter().chain(rest) {
                corners.min[axis] = lesser32(corners.min[axis], vertex[axis]);
            }
            for vertex in high.iter().chain(rest) {
                corners.max[axis] = greater32(corners.max[axis], vertex[axis]);
            }
        }
        corners.bounds()
    }
}

/// Bounds in the numbers of the mesh.
struct Corners {
    min: [f32; 3],
    max: [f32; 3],
}

impl Corners {
    const NONE: Self = Self { min: [f32::INFINITY; 3], max: [f32::NEG_INFINITY; 3] };

    fn bounds(&self) -> Option<Bounds> {
        let is_any = self.min[0] <= self.max[0];
        is_any.then(|| Bounds { min: self.min.map(f64::from), max: self.max.map(f64::from) })
    }
}

/// The smaller of two numbers that are not NaN.
#[inline(always)]
fn lesser32(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

/// The larger of two numbers that are not NaN.
#[inline(always)]
fn greater32(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn check(mesh: &TriMesh) {
        assert_eq!(extent(mesh), mesh.bounds());
        let cloud = TriMesh { vertices: mesh.vertices.clone(), triangles: Vec::new() };
        assert_eq!(vertex_extent(mesh), cloud.bounds());
        assert_eq!(extent(&cloud), cloud.bounds());
    }

    #[test]
    fn bounds_are_those_of_the_mesh() {
        check(&testing::ball(0.4, 3));
        check(&testing::cuboid([-3.0, 1.0, 2.0], [0.0, 2.0, 9.0]));
        check(&TriMesh::default());
        let mut stray = testing::cuboid([0.0; 3], [1.0; 3]);
        stray.vertices.extend([[9.0; 3], [-9.0; 3], [3.0; 3]]);
        check(&stray);
    }
}
