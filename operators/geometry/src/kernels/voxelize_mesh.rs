//! `voxelize_mesh`: a triangle mesh into an occupancy grid.

use voxflow_contract::{Fault, Fill, SolidRule, TriMesh, VoxelGrid};

use crate::kernels::check::check_triangles;
use crate::kernels::extent::{extent, vertex_extent};
use crate::kernels::fit::{Fit, Frame};
use crate::kernels::flood::fill_enclosed;
use crate::kernels::surface::mark_surface;

/// The solid fill.
const SOLID: Fill = Fill::Solid(SolidRule::OutsideFlood);

/// Largest resolution: 2^30 cells, 128 MiB packed.
pub const MAX_RESOLUTION: usize = VoxelGrid::MAX_RESOLUTION;

/// The cells of a grid that a mesh touches or encloses.
///
/// Surface: every cell that a triangle touches; cells are closed boxes, the test is exact in f64
/// (separating axes), so touching without crossing counts. Solid: the surface and everything that a
/// flood from the border through empty cells, face to face, does not reach; this works on soups of
/// triangles with any orientation, but a hole wider than a cell drains the inside.
///
/// Cost: some 20 operations a triangle and 60 a column of cells it touches; the flood a few words a
/// column. No memory beyond three packed grids and the vertices.
///
/// # Errors
/// `invalid_mesh`, `no_triangles`; `degenerate` when the mesh is a point and the fit follows its size;
/// `outside` when it reaches out of the unit cube; `resolution` past [`MAX_RESOLUTION`]; `fill` for
/// [`Fill::Unknown`].
///
/// # Examples
/// ```
/// use voxflow_contract::{Fill, TriMesh};
/// use voxflow_geometry::{Fit, voxelize_mesh};
///
/// let vertices = vec![[-0.5, -0.5, 0.1], [0.5, -0.5, 0.1], [-0.5, 0.5, 0.1]];
/// let mesh = TriMesh { vertices, triangles: vec![[0, 1, 2]] };
/// let grid = voxelize_mesh(&mesh, 4, Fill::Surface, Fit::UnitCube).unwrap();
/// assert_eq!(grid.occupied(), 13);
/// assert!(grid.get(0, 0, 2) && !grid.get(3, 3, 2));
/// ```
pub fn voxelize_mesh(
    mesh: &TriMesh,
    resolution: usize,
    fill: Fill,
    fit: Fit,
) -> Result<VoxelGrid, Fault> {
    check_request(resolution, fill)?;
    check_triangles(mesh)?;
    let frame = frame_of(mesh, resolution, fit)?;
    let surface = mark_surface(mesh, resolution, &frame, fit.cell_margin());
    let columns = if fill == SOLID { fill_enclosed(&surface) } else { surface };
    Ok(columns.pack(frame.translation, frame.scale, fill))
}

fn frame_of(mesh: &TriMesh, resolution: usize, fit: Fit) -> Result<Frame, Fault> {
    // A fixed grid needs no bounds, only that the mesh lies within; so where all vertices do, those
    // that triangles use need not be picked out.
    if !fit.follows_mesh() && let Some(bounds) = vertex_extent(mesh) {
        let frame = fit.frame(&bounds, resolution);
        if frame.is_ok() {
            return frame;
        }
    }
    let bounds = extent(mesh).ok_or_else(|| Fault::new("no_points", "the mesh is empty"))?;
    fit.frame(&bounds, resolution)
}

fn check_request(resolution: usize, fill: Fill) -> Result<(), Fault> {
    if !(1..=MAX_RESOLUTION).contains(&resolution) {
        let message = format!("resolution {resolution} is not from 1 to {MAX_RESOLUTION}");
        return Err(Fault::new("resolution", message));
    }
    if !matches!(fill, Fill::Surface | SOLID) {
        return Err(Fault::new("fill", format!("cannot fill a grid as `{}`", fill.name())));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use voxflow_formats::MeshFormat;

    #[test]
    fn a_cube_of_half_the_grid_is_solid_inside_and_hollow_as_surface() {
        let cube = testing::cuboid([-0.26; 3], [0.26; 3]);
        let solid = voxelize_mesh(&cube, 32, SOLID, Fit::UnitCube).expect("a cube");
        assert_eq!(solid.occupied(), 18 * 18 * 18);
        let surface = voxelize_mesh(&cube, 32, Fill::Surface, Fit::UnitCube).expect("a cube");
        assert_eq!(surface.occupied(), 18 * 18 * 18 - 16 * 16 * 16);
    }

    #[test]
    fn the_volume_of_a_ball_is_bounded_by_its_cells() {
        let grid = voxelize_mesh(&testing::ball(0.5, 4), 64, SOLID, Fit::UnitCube);
        let volume = grid.expect("a ball").occupied() as f64 / 64f64.powi(3);
        let exact = std::f64::consts::PI / 6.0;
        assert!(volume > exact && volume < exact * 1.09, "{volume} {exact}");
    }

    #[test]
    fn odd_requests_and_meshes_are_refused() {
        let code = |mesh: &TriMesh, resolution, fill, fit| {
            voxelize_mesh(mesh, resolution, fill, fit).err().map(|fault| fault.code)
        };
        let cube = testing::cuboid([-0.5; 3], [0.5; 3]);
        assert_eq!(code(&cube, 0, SOLID, Fit::UnitCube), Some("resolution"));
        assert_eq!(code(&cube, 1025, SOLID, Fit::UnitCube), Some("resolution"));
        assert_eq!(code(&cube, 8, Fill::Unknown, Fit::UnitCube), Some("fill"));
        let point = TriMesh { vertices: vec![[0.0; 3]], triangles: vec![[0, 0, 0]] };
        assert_eq!(code(&point, 8, SOLID, Fit::Binvox), Some("degenerate"));
        assert_eq!(code(&point, 8, SOLID, Fit::UnitCube), None);
        let huge = testing::cuboid([-f32::MAX; 3], [f32::MAX; 3]);
        assert_eq!(code(&huge, 8, SOLID, Fit::UnitCube), Some("outside"));
        assert_eq!(code(&huge, 8, SOLID, Fit::Centered), None);
        let tiny = testing::cuboid([0.0; 3], [f32::from_bits(1); 3]);
        assert_eq!(code(&tiny, 8, SOLID, Fit::Binvox), None);
    }

    #[test]
    fn a_chair_becomes_what_the_real_binvox_made_of_it() {
        let Some(folder) = testing::realdata("mesh-binvox-pair") else { return };
        let obj = std::fs::read(folder.join("chair_model.obj")).expect("the mesh");
        let mesh = voxflow_formats::decode_mesh(MeshFormat::Obj, &obj).expect("an OBJ").mesh;
        let file = std::fs::read(folder.join("chair_model.binvox")).expect("the grid");
        let theirs = voxflow_formats::binvox::decode(&file).expect("a binvox");
        let surface = voxelize_mesh(&mesh, 32, Fill::Surface, Fit::Binvox).expect("a chair");
        for axis in 0..3 {
            assert!((surface.translation[axis] - theirs.translation[axis]).abs() < 1e-5);
        }
        assert!((surface.scale[0] - theirs.scale[0]).abs() < 1e-5);
        assert_eq!((theirs.occupied(), surface.bits()), (1932, theirs.bits()));
        // Cells occupied by us, and by both: as solid, and by plain closed cells.
        let both = |grid: &VoxelGrid| {
            let pairs = grid.bits().iter().zip(theirs.bits());
            let both: u32 = pairs.map(|(a, b)| (a & b).count_ones()).sum();
            (grid.occupied(), both)
        };
        let solid = voxelize_mesh(&mesh, 32, SOLID, Fit::Binvox).expect("a chair");
        assert_eq!(both(&solid), (1957, 1932));
        let bounds = mesh.bounds().expect("a chair");
        let marked = |margin| {
            let frame = Fit::Binvox.frame(&bounds, 32).expect("a frame");
            let columns = mark_surface(&mesh, 32, &frame, margin);
            columns.pack(bounds.min, [bounds.longest(); 3], Fill::Surface)
        };
        assert_eq!(both(&marked(0.0)), (1902, 1902));
        // Every margin from the one that the last of the 30 cells needs to the one that a 31st needs.
        assert_eq!(both(&marked(0.009_766)), (1931, 1931));
        assert_eq!(both(&marked(0.009_768)), (1932, 1932));
        assert_eq!(both(&marked(0.010_069)), (1932, 1932));
        assert_eq!(both(&marked(0.010_070)), (1933, 1932));
    }
}
