//! `voxelize_mesh`: a triangle mesh into an occupancy grid.

use schemars::JsonSchema;
use serde::Deserialize;
use voxflow_contract::{Bounds, Fault, Fill, SolidRule, TriMesh, VoxelGrid};

use crate::kernels::check::check_triangles;
use crate::kernels::columns::Columns;
use crate::kernels::flood::fill_enclosed;
use crate::kernels::surface::mark_triangle;

/// The solid fill.
const SOLID: Fill = Fill::Solid(SolidRule::OutsideFlood);

/// Largest resolution: 2^27 cells, 16 MiB packed.
pub const MAX_RESOLUTION: usize = 512;

/// How much the program binvox grows a cell on each side before it asks whether a triangle touches
/// it, as a share of the cell's edge.
///
/// Measured, since binvox is closed: of the 1,932 cells of the pair `mesh-binvox-pair` (32^3, made by
/// the real program) plain closed cells give 1,902, all of them right; the 30 that lack need a cell
/// that is larger by up to 0.009767 on each side, and the nearest cell that binvox left empty needs
/// 0.010070. Every margin between the two gives the file bit for bit; 0.01 is the round number there.
/// Solid filling is not what made the file: it adds 25 cells that the file leaves empty.
pub const BINVOX_CELL_MARGIN: f64 = 0.01;

/// How far a mesh may reach out of the unit cube, in its edges: rounding of a normalised mesh to f32.
const OUTSIDE_TOLERANCE: f64 = 1e-6;

/// Where the grid lies about the mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// As `binvox -e`: minimum corner at the mesh's, edge its longest side, and cells 2 % larger than
    /// their grid ([`BINVOX_CELL_MARGIN`]) when they are tested.
    Binvox,
    /// A cube of the mesh's longest side about the middle of its bounding box.
    Centered,
    /// The cube from -0.5 to 0.5 on each axis, as `normalize` leaves a mesh; all samples in one frame.
    #[default]
    UnitCube,
}

impl Fit {
    /// How much a cell grows on each side before it is tested, as a share of its edge.
    pub fn cell_margin(self) -> f64 {
        match self {
            Self::Binvox => BINVOX_CELL_MARGIN,
            Self::Centered | Self::UnitCube => 0.0,
        }
    }

    /// Minimum corner and edge of the grid, in the mesh's frame.
    fn frame(self, bounds: &Bounds) -> Result<([f64; 3], f64), Fault> {
        let longest = bounds.longest();
        match self {
            Self::Binvox | Self::Centered if longest <= 0.0 => {
                Err(Fault::new("degenerate", "all points of the mesh are one point"))
            }
            Self::Binvox => Ok((bounds.min, longest)),
            Self::Centered => Ok((bounds.center().map(|c| c - 0.5 * longest), longest)),
            Self::UnitCube => check_inside(bounds).map(|()| ([-0.5; 3], 1.0)),
        }
    }
}

fn check_inside(bounds: &Bounds) -> Result<(), Fault> {
    let limit = 0.5 + OUTSIDE_TOLERANCE;
    if bounds.min.iter().all(|x| *x >= -limit) && bounds.max.iter().all(|x| *x <= limit) {
        return Ok(());
    }
    let Bounds { min, max } = bounds;
    let message = format!(
        "the mesh reaches from {min:?} to {max:?}, out of the unit cube; use `normalize` before, or \
         fit = \"centered\""
    );
    Err(Fault::new("outside", message))
}

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
    let bounds = mesh.bounds().ok_or_else(|| Fault::new("no_triangles", "the mesh is empty"))?;
    let (translation, scale) = fit.frame(&bounds)?;
    let surface = mark_surface(mesh, resolution, translation, scale, fit.cell_margin());
    let columns = if fill == SOLID { fill_enclosed(&surface) } else { surface };
    Ok(columns.pack(translation, [scale; 3], fill))
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

fn mark_surface(
    mesh: &TriMesh,
    resolution: usize,
    translation: [f64; 3],
    scale: f64,
    margin: f64,
) -> Columns {
    let cells_per_unit = resolution as f64 / scale;
    let in_cells = |v: &[f32; 3]| {
        [0, 1, 2].map(|axis| (f64::from(v[axis]) - translation[axis]) * cells_per_unit)
    };
    let vertices: Vec<[f64; 3]> = mesh.vertices.iter().map(in_cells).collect();
    let mut columns = Columns::empty(resolution);
    for triangle in &mesh.triangles {
        let corners = triangle.map(|vertex| vertices[vertex as usize]);
        mark_triangle(&mut columns, &corners, margin);
    }
    columns
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
    fn frames_are_what_the_fits_promise() {
        let mesh = testing::cuboid([1.0, 2.0, 3.0], [2.0, 6.0, 5.0]);
        let frame = |fit| {
            let grid = voxelize_mesh(&mesh, 8, SOLID, fit).expect("a box");
            (grid.translation, grid.scale)
        };
        assert_eq!(frame(Fit::Binvox), ([1.0, 2.0, 3.0], [4.0; 3]));
        assert_eq!(frame(Fit::Centered), ([-0.5, 2.0, 2.0], [4.0; 3]));
        let fault = voxelize_mesh(&mesh, 8, SOLID, Fit::UnitCube).expect_err("outside");
        assert_eq!(fault.code, "outside");
    }

    #[test]
    fn odd_requests_and_meshes_are_refused() {
        let code = |mesh: &TriMesh, resolution, fill, fit| {
            voxelize_mesh(mesh, resolution, fill, fit).err().map(|fault| fault.code)
        };
        let cube = testing::cuboid([-0.5; 3], [0.5; 3]);
        assert_eq!(code(&cube, 0, SOLID, Fit::UnitCube), Some("resolution"));
        assert_eq!(code(&cube, 513, SOLID, Fit::UnitCube), Some("resolution"));
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
            let columns = mark_surface(&mesh, 32, bounds.min, bounds.longest(), margin);
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
