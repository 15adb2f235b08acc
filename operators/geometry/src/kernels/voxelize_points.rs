//! `voxelize_points`: a cloud of points into an occupancy grid.

use voxflow_contract::{Bounds, Fault, Fill, SolidRule, TriMesh, VoxelGrid};

use crate::kernels::check::check_mesh;
use crate::kernels::columns::Columns;
use crate::kernels::fit::{Fit, Frame};
use crate::kernels::flood::fill_enclosed;
use crate::kernels::morphology::{Neighbours, close_columns};
use crate::kernels::nearest::mean_neighbour_distances;

/// What [`voxelize_points`] does beyond marking cells.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PointOptions {
    /// Which points to leave out, before the grid is fitted.
    pub outliers: Option<OutlierCut>,
    /// Points that a cell must hold to be occupied.
    pub min_points: u32,
    /// Rounds of closing over all 26 neighbours: gaps of up to twice as many cells close.
    pub close_rounds: usize,
    /// Whether to fill what the cells enclose.
    pub is_solid: bool,
}

impl Default for PointOptions {
    /// Every cell that holds a point, and nothing else.
    fn default() -> Self {
        Self { outliers: None, min_points: 1, close_rounds: 0, is_solid: false }
    }
}

/// Statistical outlier removal (Rusu et al., "Towards 3D point cloud based object maps for household
/// environments", 2008; PCL and Open3D have it): the mean distance of a point to its nearest
/// `neighbours` may exceed the mean of all points by at most `deviations` standard deviations.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OutlierCut {
    /// Neighbours that are looked at.
    pub neighbours: usize,
    /// Standard deviations (of a sample: over n - 1).
    pub deviations: f64,
}

/// The points that are no outliers, in order.
///
/// Fewer than three points are kept as they are. Cost: some microseconds a point for 20 neighbours.
///
/// # Errors
/// `invalid_mesh` for points that are not finite; `outliers` for no neighbours, or deviations that
/// are negative or not finite.
///
/// # Examples
/// ```
/// use voxflow_geometry::{OutlierCut, without_outliers};
///
/// let mut points: Vec<[f32; 3]> = (0..20).map(|i| [i as f32, 0.0, 0.0]).collect();
/// points.push([500.0, 0.0, 0.0]);
/// let kept = without_outliers(&points, OutlierCut { neighbours: 2, deviations: 2.0 }).unwrap();
/// assert_eq!(kept.len(), 20);
/// ```
pub fn without_outliers(points: &[[f32; 3]], cut: OutlierCut) -> Result<Vec<[f32; 3]>, Fault> {
    let OutlierCut { neighbours, deviations } = cut;
    if neighbours == 0 || !(deviations >= 0.0 && deviations.is_finite()) {
        let message = format!("a cut at {deviations} deviations over {neighbours} neighbours");
        return Err(Fault::new("outliers", message));
    }
    check_mesh(&TriMesh { vertices: points.to_vec(), triangles: vec![] })?;
    if points.len() < 3 {
        return Ok(points.to_vec());
    }
    let distances = mean_neighbour_distances(points, neighbours);
    let count = distances.len() as f64;
    let mean = distances.iter().sum::<f64>() / count;
    let squares = distances.iter().map(|distance| (distance - mean).powi(2)).sum::<f64>();
    let limit = mean + deviations * (squares / (count - 1.0)).sqrt();
    let kept = points.iter().zip(&distances).filter(|(_, distance)| **distance <= limit);
    Ok(kept.map(|(point, _)| *point).collect())
}

/// The cells of a grid that hold points.
///
/// In order: outliers go; the grid is fitted to the rest; cells with `min_points` are occupied; gaps
/// are closed; what is enclosed is filled. A cell is half-open: a point on a border belongs to the
/// cell of the larger coordinates, and only the far sides of the grid are closed. Points outside of a
/// box that is given are left out.
///
/// `Fit::PerAxis(0.05)` is the profile `reference` of the CO3D brief: at 32^3 the cloud reaches from
/// cell 1 to cell 29 on each axis, and its proportions are in `scale` only.
///
/// Cost: some nanoseconds a point, and those of the cut, closing and flood where asked for; the
/// memory is that of the grid and 4 bytes a point.
///
/// # Errors
/// `no_points`; `invalid_mesh` for points that are not finite; `degenerate` when the fit follows the
/// size of a cloud that has none; `outside` when a cloud reaches out of the unit cube; `fit`,
/// `outliers`, `resolution` for numbers that make no sense; `empty` when no cell is left.
///
/// # Examples
/// ```
/// use voxflow_geometry::{Fit as Fit, PointOptions, voxelize_points};
///
/// let points = [[-0.5, 0.0, 0.1], [0.5, 0.5, 0.5], [0.5, 0.5, 0.45]];
/// let grid = voxelize_points(&points, 4, Fit::UnitCube, &PointOptions::default()).unwrap();
/// assert!(grid.get(0, 2, 2) && grid.get(3, 3, 3));
/// assert_eq!(grid.occupied(), 2);
/// ```
pub fn voxelize_points(
    points: &[[f32; 3]],
    resolution: usize,
    fit: Fit,
    options: &PointOptions,
) -> Result<VoxelGrid, Fault> {
    if !(1..=VoxelGrid::MAX_RESOLUTION).contains(&resolution) {
        let message = format!("resolution {resolution} is not from 1 to 1024");
        return Err(Fault::new("resolution", message));
    }
    let cloud = TriMesh { vertices: points.to_vec(), triangles: vec![] };
    check_mesh(&cloud)?;
    let cloud = match options.outliers {
        Some(cut) => TriMesh { vertices: without_outliers(points, cut)?, triangles: vec![] },
        None => cloud,
    };
    let bounds: Bounds =
        cloud.bounds().ok_or_else(|| Fault::new("no_points", "there is no point"))?;
    let frame = fit.frame(&bounds, resolution)?;
    let marked = mark_points(&cloud.vertices, resolution, &frame, options.min_points);
    if marked.bits.iter().all(|word| *word == 0) {
        let message = format!(
            "of {} points, {} after the cut, no cell of the grid holds {}",
            points.len(),
            cloud.vertices.len(),
            options.min_points.max(1)
        );
        return Err(Fault::new("empty", message));
    }
    let rounds = options.close_rounds.min(resolution);
    let closed = match rounds {
        0 => marked,
        rounds => close_columns(&marked, rounds, Neighbours::Corners),
    };
    let (columns, fill) = match options.is_solid {
        true => (fill_enclosed(&closed), Fill::Solid(SolidRule::OutsideFlood)),
        false => (closed, Fill::Points),
    };
    Ok(columns.pack(frame.translation, frame.scale, fill))
}

fn mark_points(points: &[[f32; 3]], resolution: usize, frame: &Frame, min_points: u32) -> Columns {
    let d = resolution;
    let mut columns = Columns::empty(d);
    let mut mark = |cell: usize| columns.set_span(cell / d / d, cell / d % d, cell % d, cell % d);
    let cells = points.iter().filter_map(|point| cell_of(frame.in_cells(point), d));
    if min_points <= 1 {
        cells.for_each(&mut mark);
        return columns;
    }
    // Cells of 1024^3 fit 32 bits. Sorting them takes memory by points, counting would by cells.
    let mut cells: Vec<u32> = cells.map(|cell| cell as u32).collect();
    cells.sort_unstable();
    let full = cells.chunk_by(|a, b| a == b).filter(|points| points.len() >= min_points as usize);
    full.for_each(|points| mark(points[0] as usize));
    columns
}

/// The number of the cell that holds a point.
fn cell_of(point: [f64; 3], resolution: usize) -> Option<usize> {
    let size = resolution as f64;
    let is_in = point.iter().all(|x| (0.0..=size).contains(x));
    let [x, y, z] = point.map(|x| (x as usize).min(resolution - 1));
    is_in.then_some((x * resolution + y) * resolution + z)
}

#[cfg(test)]
mod tests {
    use super::*;
    use voxflow_contract::Random;

    fn cloud(count: usize, seed: u64) -> Vec<[f32; 3]> {
        let mut random = Random::new(seed, &["cloud"]);
        let mut coordinate = |reach: f64| random.range(-reach, reach) as f32;
        (0..count).map(|_| [coordinate(0.5), coordinate(0.4), coordinate(0.1)]).collect()
    }

    #[test]
    fn cells_hold_as_many_points_as_a_plain_count_finds() {
        let points = cloud(4000, 1);
        for (resolution, min_points) in [(1, 1), (8, 1), (8, 30), (20, 2), (70, 2)] {
            let mut counts = std::collections::BTreeMap::<[usize; 3], u32>::new();
            for point in &points {
                let cell =
                    point.map(|x| ((f64::from(x) + 0.5) * resolution as f64).floor() as usize);
                *counts.entry(cell).or_default() += 1;
            }
            counts.retain(|_, count| *count >= min_points);
            let options = PointOptions { min_points, ..PointOptions::default() };
            let grid =
                voxelize_points(&points, resolution, Fit::UnitCube, &options).expect("a grid");
            assert_eq!(grid.occupied(), counts.len(), "{resolution} {min_points}");
            assert!(counts.keys().all(|cell| grid.get(cell[0], cell[1], cell[2])));
            assert_eq!(grid.fill, Fill::Points);
        }
    }

    #[test]
    fn the_reference_profile_fills_cells_1_to_29_of_32() {
        let points = cloud(3000, 2);
        let options = PointOptions::default();
        let grid = voxelize_points(&points, 32, Fit::PerAxis(0.05), &options).expect("a grid");
        // As in their code.
        let end = |axis: usize, pick: fn(f64, f64) -> f64| {
            points.iter().map(|p| f64::from(p[axis])).reduce(pick).expect("points")
        };
        let mut expected = VoxelGrid::empty(32, grid.translation, grid.scale, Fill::Points);
        for point in &points {
            let [x, y, z] = [0, 1, 2].map(|axis| {
                let (low, high) = (end(axis, f64::min), end(axis, f64::max));
                let (m, big_m) = (low - 0.05 * (high - low), high + 0.05 * (high - low));
                ((f64::from(point[axis]) - m) / (big_m - m) * 31.0).floor() as usize
            });
            assert!([x, y, z].iter().all(|i| (1..=29).contains(i)));
            expected.set(x, y, z);
        }
        assert_eq!(grid, expected);
    }

    #[test]
    fn what_lies_far_from_all_others_goes_before_the_grid_is_fitted() {
        let mut points = cloud(2000, 3);
        points.extend([[40.0, 0.0, 0.0], [0.0, -60.0, 0.0]]);
        let cut = OutlierCut { neighbours: 8, deviations: 3.0 };
        let options = PointOptions { outliers: Some(cut), ..PointOptions::default() };
        let grid = voxelize_points(&points, 32, Fit::Centered, &options).expect("a grid");
        assert!(grid.scale[0] < 1.01, "{:?}", grid.scale);
        assert!(grid.occupied() > 500);
        let all = voxelize_points(&points, 32, Fit::Centered, &PointOptions::default());
        assert!(all.expect("a grid").scale[0] > 59.0);
    }

    #[test]
    fn a_hull_with_gaps_is_closed_and_filled() {
        let mut random = Random::new(4, &["hull"]);
        let points: Vec<[f32; 3]> = (0..12_000)
            .map(|_| {
                let p = [0; 3].map(|_: i32| random.normal());
                let length = p.iter().map(|x| x * x).sum::<f64>().sqrt();
                p.map(|x| (x / length * 0.45) as f32)
            })
            .collect();
        let volume = |close_rounds, is_solid| {
            let options = PointOptions { close_rounds, is_solid, ..PointOptions::default() };
            let grid = voxelize_points(&points, 32, Fit::UnitCube, &options).expect("a grid");
            grid.occupied() as f64 / 32f64.powi(3)
        };
        let exact = 4.0 / 3.0 * std::f64::consts::PI * 0.45f64.powi(3);
        // A cell that holds a point counts whole: half a cell more all around, a tenth of the volume.
        let found = volume(1, true) / exact;
        assert!((1.0..1.16).contains(&found), "{found}");
        assert!(volume(0, true) < 0.5 * exact, "it leaks without closing");
        assert!(volume(1, false) < 0.6 * exact, "it is hollow without filling");
    }

    #[test]
    fn odd_clouds_are_refused() {
        let code = |points: &[[f32; 3]], fit, options: &PointOptions| {
            voxelize_points(points, 8, fit, options).err().map(|fault| fault.code)
        };
        let plain = PointOptions::default();
        assert_eq!(code(&[], Fit::UnitCube, &plain), Some("no_points"));
        assert_eq!(code(&[[f32::NAN; 3]], Fit::UnitCube, &plain), Some("invalid_mesh"));
        assert_eq!(code(&[[0.1; 3]], Fit::Centered, &plain), Some("degenerate"));
        assert_eq!(code(&[[0.1; 3]], Fit::UnitCube, &plain), None);
        assert_eq!(code(&[[9.1; 3]], Fit::UnitCube, &plain), Some("outside"));
        let elsewhere = Fit::Box { min: [0.0; 3], max: [1.0; 3] };
        assert_eq!(code(&[[9.1; 3]], elsewhere, &plain), Some("empty"));
        let many = PointOptions { min_points: 2, ..plain };
        assert_eq!(code(&[[0.1; 3]], Fit::UnitCube, &many), Some("empty"));
        let cut = OutlierCut { neighbours: 0, deviations: 1.0 };
        let cut = PointOptions { outliers: Some(cut), ..plain };
        assert_eq!(code(&[[0.1; 3]], Fit::UnitCube, &cut), Some("outliers"));
    }
}
