//! `normalize_mesh`: a mesh of any size, place and up axis into the object frame.

use schemars::JsonSchema;
use serde::Deserialize;
use voxflow_contract::{Bounds, Fault, Object, SourceFrame, Transform, TriMesh};

use crate::kernels::check::check_mesh;

/// What a normalised mesh fits into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Normalize {
    /// Longest side of the bounding box 1, its middle at the origin: the mesh lies in the cube from
    /// -0.5 to 0.5, the default frame of `voxelize` and `render_views`.
    #[default]
    UnitCube,
    /// Middle of the bounding box at the origin, the farthest vertex at distance 1: the mesh lies in
    /// the ball of radius 1 and may reach out of the unit cube.
    UnitSphere,
}

/// Which axis of the source points up; +Y does afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Up {
    /// +Y is up already: ShapeNet.
    #[default]
    Y,
    /// +Z is up: ModelNet, CAD. Turned by -90 degrees about X: +Z becomes +Y, +Y becomes -Z.
    Z,
}

impl Up {
    /// The rotation that brings up to +Y.
    fn rotation(self) -> [[f64; 3]; 3] {
        match self {
            Self::Y => [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
            Self::Z => [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]],
        }
    }

    /// A direction of the source in the object frame.
    pub fn turn(self, direction: [f32; 3]) -> [f32; 3] {
        let [x, y, z] = direction;
        match self {
            Self::Y => [x, y, z],
            Self::Z => [x, z, -y],
        }
    }
}

/// The mesh in the object frame, and the transform that took it there: one rotation, one scale for
/// all axes, one translation. The bounding box is that of the vertices in use.
///
/// # Errors
/// `invalid_mesh`; `degenerate` when there are no vertices or all are one point.
///
/// # Examples
/// ```
/// use voxflow_contract::TriMesh;
/// use voxflow_geometry::{Normalize, Up, normalize_mesh};
///
/// let vertices = vec![[10.0, 0.0, 0.0], [14.0, 2.0, 0.0], [10.0, 0.0, 1.0]];
/// let mesh = TriMesh { vertices, triangles: vec![[0, 1, 2]] };
/// let (mesh, object_from_source) = normalize_mesh(&mesh, Normalize::UnitCube, Up::Y).unwrap();
/// assert_eq!(mesh.vertices[1], [0.5, 0.25, -0.125]);
/// assert_eq!(object_from_source.apply([12.0, 1.0, 0.5]), [0.0; 3]);
/// ```
pub fn normalize_mesh(
    mesh: &TriMesh,
    fit: Normalize,
    up: Up,
) -> Result<(TriMesh, Transform<Object, SourceFrame>), Fault> {
    check_mesh(mesh)?;
    let bounds = mesh.bounds().ok_or_else(|| Fault::new("degenerate", "there are no vertices"))?;
    let center = bounds.center();
    let size = match fit {
        Normalize::UnitCube => bounds.longest(),
        Normalize::UnitSphere => farthest(mesh, &bounds),
    };
    if size <= 0.0 {
        return Err(Fault::new("degenerate", format!("all vertices in use are at {center:?}")));
    }
    let linear = up.rotation().map(|row| row.map(|cell| cell / size));
    let offset = linear.map(|row| -(row[0] * center[0] + row[1] * center[1] + row[2] * center[2]));
    let object_from_source = Transform::from_parts(linear, offset);
    // Subtracting first keeps the digits of a small mesh far from the origin.
    let place = |vertex: &[f32; 3]| {
        let p = [0, 1, 2].map(|axis| f64::from(vertex[axis]) - center[axis]);
        linear.map(|row| (row[0] * p[0] + row[1] * p[1] + row[2] * p[2]) as f32)
    };
    let vertices = mesh.vertices.iter().map(place).collect();
    Ok((TriMesh { vertices, triangles: mesh.triangles.clone() }, object_from_source))
}

/// Distance of the farthest vertex in use from the middle of the box.
fn farthest(mesh: &TriMesh, bounds: &Bounds) -> f64 {
    let center = bounds.center();
    let distance = |vertex: &[f32; 3]| {
        let square = |axis: usize| (f64::from(vertex[axis]) - center[axis]).powi(2);
        (square(0) + square(1) + square(2)).sqrt()
    };
    if mesh.triangles.is_empty() {
        return mesh.vertices.iter().map(distance).fold(0.0, f64::max);
    }
    let used = mesh.triangles.iter().flatten();
    used.map(|vertex| distance(&mesh.vertices[*vertex as usize])).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn a_box_fits_the_cube_keeps_its_aspect_and_stays_put_the_second_time() {
        let mesh = testing::cuboid([100.0, 7.0, -3.0], [104.0, 9.0, -2.0]);
        let (once, _) = normalize_mesh(&mesh, Normalize::UnitCube, Up::Y).expect("a box");
        let bounds = once.bounds().expect("a box");
        assert_eq!((bounds.min, bounds.max), ([-0.5, -0.25, -0.125], [0.5, 0.25, 0.125]));
        let (twice, transform) = normalize_mesh(&once, Normalize::UnitCube, Up::Y).expect("a box");
        assert_eq!(once, twice);
        assert_eq!(transform.apply([1.0, 2.0, 3.0]), [1.0, 2.0, 3.0]);
    }

    #[test]
    fn z_up_is_turned_to_y_up_without_mirroring() {
        let mesh = testing::cuboid([0.0, 0.0, 0.0], [1.0, 2.0, 4.0]);
        let (turned, transform) = normalize_mesh(&mesh, Normalize::UnitCube, Up::Z).expect("a box");
        assert_eq!(turned.bounds().expect("a box").max, [0.125, 0.5, 0.25]);
        for (before, after) in mesh.vertices.iter().zip(&turned.vertices) {
            assert_eq!(transform.apply(before.map(f64::from)), after.map(f64::from));
        }
        let m = transform.matrix;
        assert_eq!(m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1]), 1.0 / 64.0);
    }

    #[test]
    fn the_farthest_vertex_lies_on_the_unit_sphere() {
        let mut mesh = testing::cuboid([5.0; 3], [7.0; 3]);
        mesh.vertices.push([900.0; 3]);
        let (mesh, _) = normalize_mesh(&mesh, Normalize::UnitSphere, Up::Y).expect("a cube");
        let length = mesh.vertices[0].iter().map(|x| x * x).sum::<f32>().sqrt();
        assert!((length - 1.0).abs() < 1e-6);
    }

    #[test]
    fn what_has_no_size_is_refused_and_any_size_is_not() {
        let code = |vertices: Vec<[f32; 3]>| {
            let mesh = TriMesh { vertices, triangles: vec![] };
            normalize_mesh(&mesh, Normalize::UnitCube, Up::Y).err().map(|fault| fault.code)
        };
        assert_eq!(code(vec![]), Some("degenerate"));
        assert_eq!(code(vec![[3.0; 3], [3.0; 3]]), Some("degenerate"));
        assert_eq!(code(vec![[f32::INFINITY; 3]]), Some("invalid_mesh"));
        assert_eq!(code(vec![[f32::MAX; 3], [-f32::MAX; 3]]), None);
        assert_eq!(code(vec![[0.0; 3], [f32::from_bits(1); 3]]), None);
    }
}
