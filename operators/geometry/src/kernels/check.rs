//! Checks that every kernel makes of the mesh it is given.

use voxflow_contract::{Fault, TriMesh};

/// Refuses a mesh that names vertices it does not have, or has vertices that are not finite.
///
/// # Errors
/// `invalid_mesh`.
pub(crate) fn check_mesh(mesh: &TriMesh) -> Result<(), Fault> {
    if mesh.is_valid() {
        return Ok(());
    }
    let message = match mesh.vertices.iter().position(|v| !v.iter().all(|x| x.is_finite())) {
        Some(vertex) => format!("vertex {vertex} is not finite: {:?}", mesh.vertices[vertex]),
        None => format!("a triangle names a vertex past the last of {}", mesh.vertices.len()),
    };
    Err(Fault::new("invalid_mesh", message))
}

/// As [`check_mesh`], and refuses a mesh without triangles.
///
/// # Errors
/// `invalid_mesh`, `no_triangles`.
pub(crate) fn check_triangles(mesh: &TriMesh) -> Result<(), Fault> {
    check_mesh(mesh)?;
    if mesh.triangles.is_empty() {
        let count = mesh.vertices.len();
        let message = format!("{count} points and no triangles; this needs a surface");
        return Err(Fault::new("no_triangles", message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(vertices: Vec<[f32; 3]>, triangles: Vec<[u32; 3]>) -> Option<&'static str> {
        check_triangles(&TriMesh { vertices, triangles }).err().map(|fault| fault.code)
    }

    #[test]
    fn unusable_meshes_are_refused() {
        assert_eq!(code(vec![[0.0; 3]], vec![[0, 0, 0]]), None);
        assert_eq!(code(vec![[0.0; 3]], vec![]), Some("no_triangles"));
        assert_eq!(code(vec![[0.0; 3]], vec![[0, 1, 0]]), Some("invalid_mesh"));
        assert_eq!(code(vec![[f32::NAN; 3]], vec![[0, 0, 0]]), Some("invalid_mesh"));
    }
}
