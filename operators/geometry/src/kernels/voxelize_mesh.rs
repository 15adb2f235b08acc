//! `voxelize_mesh`: a triangle mesh into an occupancy grid.

use voxflow_contract::{Fault, Fill, SolidRule, TriMesh, VoxelGrid};

use crate::kernels::carve::fill_by_vote;
use crate::kernels::columns::Columns;
use crate::kernels::crossing::Lines;
use crate::kernels::extent::{extent, vertex_extent};
use crate::kernels::fit::{Fit, Frame};
use crate::kernels::flood::fill_enclosed;
use crate::kernels::parity::fill_by_parity;
use crate::kernels::surface::mark_surface;
use crate::kernels::thin::{mark_points, mark_thin};
use crate::kernels::winding::fill_by_winding;
use crate::kernels::{check_mesh, check_triangles};

/// Largest resolution: 2^30 cells, 128 MiB packed.
pub const MAX_RESOLUTION: usize = VoxelGrid::MAX_RESOLUTION;

/// The cells of a grid that a mesh touches or encloses.
///
/// | fill | cells |
/// |---|---|
/// | [`Fill::Surface`] | touched by a triangle; exact in f64 (separating axes) |
/// | [`Fill::SurfaceThin`] | of which a triangle cuts the cross that joins the middles of opposite faces: no path from face to face gets through |
/// | [`SolidRule::Parity`] | whose centre the line along z enters through an odd number of triangles; for closed meshes |
/// | [`SolidRule::Winding`] | around whose centre the mesh winds at least half a time; for soups that are seen counter-clockwise from outside |
/// | [`SolidRule::OutsideFlood`] | the surface, and what a flood from the border through empty cells, face to face, does not reach; for soups of any orientation, but a hole wider than a cell drains the inside |
/// | [`SolidRule::Carve`] | the surface, and what two of the parities along three axes call inside and a cell of the surface hides from all six sides; for meshes with gaps |
/// | [`Fill::Points`] | that hold a vertex, whether a triangle uses it or not |
///
/// **Ties.** For `Surface`, and so for the walls of `OutsideFlood` and `Carve`, a cell is a closed
/// box: one that is only touched counts, and a triangle between two layers marks both. For all others
/// a cell is half-open: a point, a crossing or a centre that lies on a border belongs to the side of
/// the larger coordinates; only the grid's own far sides are closed. A line through an edge or corner
/// that triangles share is counted as if it passed by at an infinitely small distance on that side.
///
/// The order of triangles, and of the corners of a triangle, changes no cell.
///
/// Vertices are computed in cells once, in f64, and a vertex that rounding put past the border of a
/// grid that holds the whole mesh is moved onto it.
///
/// `Winding` sums distant triangles up; near to one half its numbers are off by about 0.01.
///
/// Memory: the grid (128 MiB at 1024^3) twice, for `OutsideFlood` four times, for `Carve` six times;
/// `Winding` some 150 bytes a triangle besides.
///
/// # Errors
/// `invalid_mesh`; `no_triangles`, for `Points` `no_points`; `degenerate` when the fit follows the size
/// of a mesh that has none; `outside` when the mesh reaches out of the unit cube; `fit` for a padding
/// or box that is none; `resolution` past [`MAX_RESOLUTION`]; `fill` for [`Fill::Unknown`].
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
    if !(1..=MAX_RESOLUTION).contains(&resolution) {
        let message = format!("resolution {resolution} is not from 1 to {MAX_RESOLUTION}");
        return Err(Fault::new("resolution", message));
    }
    match fill {
        Fill::Points => check_mesh(mesh)?,
        _ => check_triangles(mesh)?,
    }
    let frame = frame_of(mesh, resolution, fill, fit)?;
    let surface = || mark_surface(mesh, resolution, &frame, fit.cell_margin());
    let columns = match fill {
        Fill::Surface => surface(),
        Fill::SurfaceThin => mark_thin(mesh, resolution, &frame),
        Fill::Points => mark_points(mesh, resolution, &frame),
        Fill::Solid(rule) => fill_solid(mesh, resolution, &frame, rule, surface)?,
        _ => return Err(unfillable(fill)),
    };
    Ok(columns.pack(frame.translation, frame.scale, fill))
}

fn fill_solid(
    mesh: &TriMesh,
    resolution: usize,
    frame: &Frame,
    rule: SolidRule,
    surface: impl Fn() -> Columns,
) -> Result<Columns, Fault> {
    match rule {
        SolidRule::Parity => Ok(fill_by_parity(mesh, resolution, frame, Lines::ALL[2])),
        SolidRule::Winding => Ok(fill_by_winding(mesh, resolution, frame)),
        SolidRule::OutsideFlood => Ok(fill_enclosed(&surface())),
        SolidRule::Carve => Ok(fill_by_vote(mesh, resolution, frame, surface())),
        _ => Err(unfillable(Fill::Solid(rule))),
    }
}

fn unfillable(fill: Fill) -> Fault {
    Fault::new("fill", format!("cannot fill a grid as `{}`", fill.name()))
}

fn frame_of(mesh: &TriMesh, resolution: usize, fill: Fill, fit: Fit) -> Result<Frame, Fault> {
    let none = || Fault::new("no_points", "the mesh is empty");
    let all = vertex_extent(mesh).ok_or_else(none)?;
    if fill == Fill::Points {
        return fit.frame(&all, resolution);
    }
    // A fixed grid needs no bounds, only that the mesh lies within; so where all vertices do, those
    // that triangles use need not be picked out.
    if !fit.follows_mesh() {
        let frame = fit.frame(&all, resolution);
        if frame.is_ok() {
            return frame;
        }
    }
    fit.frame(&extent(mesh).ok_or_else(none)?, resolution)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use voxflow_contract::Random;
    use voxflow_formats::MeshFormat;

    const SOLID: Fill = Fill::Solid(SolidRule::OutsideFlood);
    const PARITY: Fill = Fill::Solid(SolidRule::Parity);
    const WINDING: Fill = Fill::Solid(SolidRule::Winding);
    const CARVE: Fill = Fill::Solid(SolidRule::Carve);

    /// A closed torus about the y axis.
    fn torus(ring: f32, tube: f32, steps: u32) -> TriMesh {
        let angle = |i: u32| (i as f32 / steps as f32) * std::f32::consts::TAU;
        let vertex = |n: u32| {
            let (u, v) = (angle(n / steps), angle(n % steps));
            let out = ring + tube * v.cos();
            [out * u.cos(), tube * v.sin(), out * u.sin()]
        };
        let number = |i: u32, j: u32| (i % steps) * steps + j % steps;
        let quad = |n: u32| {
            let (i, j) = (n / steps, n % steps);
            let [a, b, c, d] =
                [number(i, j), number(i, j + 1), number(i + 1, j + 1), number(i + 1, j)];
            [[a, b, c], [a, c, d]]
        };
        let triangles = (0..steps * steps).flat_map(quad).collect();
        TriMesh { vertices: (0..steps * steps).map(vertex).collect(), triangles }
    }

    /// The share of the unit cube that a solid fill occupies.
    fn volume(mesh: &TriMesh, resolution: usize, fill: Fill) -> f64 {
        let grid = voxelize_mesh(mesh, resolution, fill, Fit::UnitCube).expect("a grid");
        grid.occupied() as f64 / (resolution as f64).powi(3)
    }

    fn check_volume(mesh: &TriMesh, resolution: usize, fill: Fill, exact: f64, tolerance: f64) {
        let volume = volume(mesh, resolution, fill);
        assert!((volume / exact - 1.0).abs() < tolerance, "{fill:?}: {volume} {exact}");
    }

    #[test]
    fn volumes_are_those_of_the_formulas() {
        use std::f64::consts::PI;
        // Of 160 cells a side; another number is rounded to whole cells on each axis.
        let cube = testing::cuboid([-0.3; 3], [0.325; 3]);
        let ball = testing::ball(0.45, 6);
        let torus = torus(0.3, 0.15, 256);
        let shapes = [
            (&cube, 0.625f64.powi(3)),
            (&ball, 4.0 / 3.0 * PI * 0.45f64.powi(3)),
            (&torus, 2.0 * PI * PI * 0.3 * 0.15 * 0.15),
        ];
        for (mesh, exact) in shapes {
            check_volume(mesh, 256, PARITY, exact, 0.005);
            check_volume(mesh, 64, WINDING, exact, 0.015);
        }
    }

    /// The same mesh with triangles in another order, and other corners first.
    fn shuffled(mesh: &TriMesh, seed: u64) -> TriMesh {
        let mut random = Random::new(seed, &["shuffle"]);
        let mut triangles = mesh.triangles.clone();
        for i in 0..triangles.len() {
            triangles.swap(i, random.below((i + 1) as u64) as usize);
            triangles[i].rotate_left(random.below(3) as usize);
        }
        TriMesh { vertices: mesh.vertices.clone(), triangles }
    }

    fn soup(triangles: u32, seed: u64) -> TriMesh {
        let mut random = Random::new(seed, &["soup"]);
        let mut corner = |middle: [f64; 3]| middle.map(|m| (m + random.range(-0.1, 0.1)) as f32);
        let mut middles = Random::new(seed, &["middles"]);
        let vertices = (0..triangles)
            .flat_map(|_| {
                let middle = [0; 3].map(|_: i32| middles.range(-0.4, 0.4));
                [0; 3].map(|_: i32| corner(middle))
            })
            .collect();
        TriMesh {
            vertices,
            triangles: (0..triangles).map(|i| [3 * i, 3 * i + 1, 3 * i + 2]).collect(),
        }
    }

    #[test]
    fn no_order_of_triangles_or_corners_changes_a_cell() {
        let meshes =
            [soup(300, 1), torus(0.3, 0.15, 20), testing::cuboid([-0.25; 3], [0.25, 0.5, 0.3])];
        for mesh in &meshes {
            for fill in Fill::ALL.iter().filter(|fill| **fill != Fill::Unknown) {
                let grid =
                    |mesh: &TriMesh| voxelize_mesh(mesh, 24, *fill, Fit::UnitCube).expect("a grid");
                let expected = grid(mesh);
                for seed in 0..3 {
                    assert_eq!(grid(&shuffled(mesh, seed)), expected, "{fill:?}");
                }
            }
        }
    }

    #[test]
    fn closed_meshes_have_one_inside() {
        for mesh in [testing::ball(0.45, 3), torus(0.3, 0.15, 40)] {
            for resolution in [31, 32, 70] {
                let grid =
                    |fill| voxelize_mesh(&mesh, resolution, fill, Fit::UnitCube).expect("one");
                let (parity, surface) = (grid(PARITY), grid(Fill::Surface));
                assert_eq!(parity.bits(), grid(WINDING).bits());
                // Cells that are inside or touched: what a flood leaves dry, and what hides itself.
                let union: Vec<u8> =
                    parity.bits().iter().zip(surface.bits()).map(|(a, b)| a | b).collect();
                assert_eq!(union, grid(SOLID).bits());
                assert_eq!(union, grid(CARVE).bits());
            }
        }
    }

    #[test]
    fn a_thin_surface_is_within_the_thick_one_and_lets_no_flood_in() {
        for mesh in [testing::ball(0.43, 3), torus(0.3, 0.15, 30)] {
            let grid = |fill| voxelize_mesh(&mesh, 40, fill, Fit::UnitCube).expect("a grid");
            let (thin, thick, inside) =
                (grid(Fill::SurfaceThin), grid(Fill::Surface), grid(PARITY));
            let bytes = thin.bits().iter().zip(thick.bits());
            assert!(bytes.clone().all(|(thin, thick)| thin & !thick == 0));
            assert!(thin.occupied() * 3 < thick.occupied() * 2);
            let mut walls = Columns::empty(40);
            for cell in (0..40 * 40 * 40).filter(|cell| thin.get_index(*cell)) {
                walls.set(cell / 1600, cell / 40 % 40, cell % 40);
            }
            let dry = fill_enclosed(&walls).pack([0.0; 3], [1.0; 3], Fill::Unknown);
            let bytes = dry.bits().iter().zip(inside.bits());
            assert!(bytes.clone().all(|(dry, inside)| inside & !dry == 0), "the flood got in");
        }
    }

    #[test]
    fn ties_go_to_the_larger_coordinates_and_the_grid_is_closed() {
        // From one cell's centre to another's, and from border to border.
        let cube = testing::cuboid([-0.375; 3], [0.125; 3]);
        let grid = voxelize_mesh(&cube, 4, PARITY, Fit::UnitCube).expect("a grid");
        assert_eq!(grid.occupied(), 8);
        assert!(grid.get(0, 0, 0) && grid.get(1, 1, 1));
        let full = testing::cuboid([-0.5; 3], [0.5; 3]);
        let cells = |fill| voxelize_mesh(&full, 4, fill, Fit::UnitCube).expect("full").occupied();
        assert_eq!((cells(PARITY), cells(WINDING), cells(SOLID), cells(CARVE)), (64, 64, 64, 64));
        assert_eq!((cells(Fill::Surface), cells(Fill::SurfaceThin)), (56, 56));
        assert_eq!(cells(Fill::Points), 8);
    }

    #[test]
    fn a_gap_is_mended_by_carve_and_winding() {
        let mut ball = testing::ball(0.45, 4);
        let whole = volume(&ball, 32, CARVE);
        ball.triangles.drain(100..104);
        for (fill, least) in [(CARVE, 0.97), (WINDING, 0.85)] {
            let share = volume(&ball, 32, fill) / whole;
            assert!(share > least && share <= 1.0, "{fill:?}: {share}");
        }
    }

    #[test]
    fn points_fitted_axis_by_axis_are_those_of_the_brief() {
        let mut random = Random::new(3, &["cloud"]);
        let sides = [0.3, 5.0, 70.0];
        let vertices: Vec<[f32; 3]> =
            (0..500).map(|_| sides.map(|side| random.range(1.0, 1.0 + side) as f32)).collect();
        let cloud = TriMesh { vertices, triangles: Vec::new() };
        let grid = voxelize_mesh(&cloud, 32, Fill::Points, Fit::PerAxis(0.05)).expect("a cloud");
        let bounds = cloud.bounds().expect("points");
        let mut expected = VoxelGrid::empty(32, grid.translation, grid.scale, Fill::Points);
        for point in &cloud.vertices {
            let [x, y, z] = [0, 1, 2].map(|axis| {
                let margin = 0.05 * (bounds.max[axis] - bounds.min[axis]);
                let (low, high) = (bounds.min[axis] - margin, bounds.max[axis] + margin);
                ((f64::from(point[axis]) - low) / (high - low) * 31.0).floor() as usize
            });
            assert!([x, y, z].iter().all(|i| (1..=29).contains(i)));
            expected.set(x, y, z);
        }
        assert_eq!(grid, expected);
    }

    #[test]
    fn a_box_cuts_the_mesh_off() {
        let cube = testing::cuboid([-0.5; 3], [0.5; 3]);
        let fit = Fit::Box { min: [0.0, -1.0, -1.0], max: [4.0, 1.0, 1.0] };
        let grid = voxelize_mesh(&cube, 8, PARITY, fit).expect("a part");
        assert_eq!((grid.occupied(), grid.scale), (16, [4.0, 2.0, 2.0]));
        let away = Fit::Box { min: [10.0; 3], max: [11.0; 3] };
        for fill in Fill::ALL.iter().filter(|fill| **fill != Fill::Unknown) {
            let grid = voxelize_mesh(&cube, 8, *fill, away).expect("nothing");
            assert_eq!(grid.occupied(), 0, "{fill:?}");
        }
    }

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
