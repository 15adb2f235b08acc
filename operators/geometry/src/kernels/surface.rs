//! Surface: the cells a triangle touches, by the exact separating-axis test of box and triangle.

use voxflow_contract::TriMesh;

use crate::kernels::cell_range::{CellRange, greater, lesser};
use crate::kernels::columns::Columns;
use crate::kernels::corner_block::{BLOCK, CornerBlock};
use crate::kernels::fit::Frame;
use crate::kernels::separation::{cross, difference, mark_separated};
use crate::kernels::simd::{Kernel, run_widest};

/// Every cell that a triangle of the mesh touches, cells grown by `margin` on all sides.
pub(crate) fn mark_surface(
    mesh: &TriMesh,
    resolution: usize,
    frame: &Frame,
    margin: f64,
) -> Columns {
    run_widest(MarkSurface { mesh, resolution, frame, margin })
}

struct MarkSurface<'a> {
    mesh: &'a TriMesh,
    resolution: usize,
    frame: &'a Frame,
    margin: f64,
}

impl Kernel for MarkSurface<'_> {
    type Output = Columns;

    #[inline(always)]
    fn run(self) -> Columns {
        let mut columns = Columns::empty(self.resolution);
        let mut marker = Marker::new(self.resolution, self.margin);
        let mut block = CornerBlock::new();
        let mut ranges = RangeBlock::new();
        for triangles in self.mesh.triangles.chunks(BLOCK) {
            block.gather(self.mesh, triangles, self.frame);
            ranges.find(&block, self.margin);
            for triangle in 0..triangles.len() {
                let corners = [block.of(triangle, 0), block.of(triangle, 1), block.of(triangle, 2)];
                marker.mark(&mut columns, &corners, ranges.of(triangle));
            }
        }
        columns
    }
}

/// The cells that the bounding boxes of a block of triangles touch.
struct RangeBlock {
    /// For each axis.
    first: [[f64; BLOCK]; 3],
    last: [[f64; BLOCK]; 3],
}

impl RangeBlock {
    fn new() -> Self {
        Self { first: [[0.0; BLOCK]; 3], last: [[0.0; BLOCK]; 3] }
    }

    #[inline(always)]
    fn find(&mut self, block: &CornerBlock, margin: f64) {
        for axis in 0..3 {
            let [a, b, c] = block.along(axis);
            let (first, last) = (&mut self.first[axis], &mut self.last[axis]);
            for i in 0..BLOCK {
                let range = CellRange::of([a[i], b[i], c[i]], margin);
                (first[i], last[i]) = (range.first, range.last);
            }
        }
    }

    #[inline(always)]
    fn of(&self, triangle: usize) -> [CellRange; 3] {
        let along = |axis: usize| CellRange {
            first: self.first[axis][triangle],
            last: self.last[axis][triangle],
        };
        [along(0), along(1), along(2)]
    }
}

/// Marks triangles, one after the other, and keeps its working memory between them.
///
/// Corners are in cells: cell (x, y, z) is the closed box from (x, y, z) to (x + 1, y + 1, z + 1),
/// grown by `margin` on all sides. Touching counts. What lies outside the grid is ignored.
///
/// The test is the separating-axis theorem with its 13 axes (Akenine-Möller, "Fast 3D triangle-box
/// overlap testing", 2001), in f64 and without tolerance, but it is not asked cell by cell. The three
/// axes of the box are the range of cells of the triangle's bounding box. Each product of an edge
/// with an axis of the box is blind to that axis, so it is an edge of one of three projections
/// (Schwarz and Seidel, "Fast parallel surface and solid voxelization on GPUs", 2010), and leaves an
/// interval of y for each x, of z for each x, or of z for each y. Only the triangle's normal needs x
/// and y; so a column costs one plane and the meeting of three intervals, whatever its length.
struct Marker {
    resolution: f64,
    margin: f64,
    /// For each x the y that the edges leave in the projection along z.
    y_of_x: Intervals,
    /// For each x the z that the edges leave in the projection along y.
    z_of_x: Intervals,
    /// For each y the z that the edges leave in the projection along x.
    z_of_y: Intervals,
}

impl Marker {
    fn new(resolution: usize, margin: f64) -> Self {
        let intervals = || Intervals { first: vec![0.0; resolution], last: vec![0.0; resolution] };
        Self {
            resolution: resolution as f64,
            margin,
            y_of_x: intervals(),
            z_of_x: intervals(),
            z_of_y: intervals(),
        }
    }

    /// Marks the triangle whose corners have these coordinates along x, y and z, and whose bounding
    /// box touches these cells.
    #[inline(always)]
    fn mark(&mut self, columns: &mut Columns, along: &[[f64; 3]; 3], [x, y, z]: [CellRange; 3]) {
        let xs = x.clamped(self.resolution);
        let ys = y.clamped(self.resolution);
        let zs = z.clamped(self.resolution);
        if xs.is_empty() || ys.is_empty() || zs.is_empty() {
            return;
        }
        let is_single = [x.is_single(), y.is_single(), z.is_single()];
        match is_single {
            // Within one cell on two axes, a triangle touches every cell of its range on the third.
            [true, true, _] => {
                let (x, y) = (xs.cells().start, ys.cells().start);
                columns.set_span(x, y, zs.cells().start, zs.cells().end - 1);
            }
            [true, false, true] => {
                for y in ys.cells() {
                    columns.set(xs.cells().start, y, zs.cells().start);
                }
            }
            [false, true, true] => {
                for x in xs.cells() {
                    columns.set(x, ys.cells().start, zs.cells().start);
                }
            }
            // Of many triangles in few cells, most have nothing to add.
            _ if columns.holds(xs.cells(), &ys.cells(), &zs.cells()) => {}
            _ => self.mark_block(columns, along, [xs, ys, zs], is_single),
        }
    }

    /// Marks a triangle that reaches over several cells on two axes or three.
    #[inline(always)]
    fn mark_block(
        &mut self,
        columns: &mut Columns,
        along: &[[f64; 3]; 3],
        ranges: [CellRange; 3],
        is_single: [bool; 3],
    ) {
        let [xs, ys, zs] = ranges;
        let [x_single, y_single, z_single] = is_single;
        // Within one cell on an axis, only the projection along that axis can keep box and triangle
        // apart.
        let (margin, rounding) = (self.margin, Rounding::of(along, self.resolution));
        let [x, y, z] = along;
        let outline = Outline { margin, rounding };
        let is_sure = self.y_of_x.fill(xs, ys, !(x_single || y_single), outline, x, y)
            & self.z_of_x.fill(xs, zs, !(x_single || z_single), outline, x, z)
            & self.z_of_y.fill(ys, zs, !(y_single || z_single), outline, y, z);
        let is_flat = x_single || y_single || z_single;
        let plane = if is_flat { Cut::Idle } else { Cut::new(&corners(along), margin, rounding) };
        match plane {
            Cut::Idle if is_sure => self.mark_columns(columns, ranges, |_, _, span| span),
            Cut::Plane(plane) if is_sure => {
                self.mark_columns(columns, ranges, |x, y, span| plane.clip(x, y, span));
            }
            _ => mark_separated(columns, &corners(along), self.margin, ranges),
        }
    }

    /// Marks in each column what the three projections and `clip` leave.
    #[inline(always)]
    fn mark_columns(
        &self,
        columns: &mut Columns,
        [xs, _, _]: [CellRange; 3],
        clip: impl Fn(f64, f64, CellRange) -> CellRange,
    ) {
        for x in xs.cells() {
            let (ys, zs) = (self.y_of_x.at(x), self.z_of_x.at(x));
            for y in ys.cells() {
                let span = zs.and(self.z_of_y.at(y));
                if span.is_empty() {
                    continue;
                }
                let span = clip(x as f64, y as f64, span);
                if !span.is_empty() {
                    let cells = span.cells();
                    columns.set_span(x, y, cells.start, cells.end - 1);
                }
            }
        }
    }
}

/// The corners of a triangle from their coordinates along each axis, or the other way round.
#[inline(always)]
fn corners([x, y, z]: &[[f64; 3]; 3]) -> [[f64; 3]; 3] {
    [[x[0], y[0], z[0]], [x[1], y[1], z[1]], [x[2], y[2], z[2]]]
}

/// How far a coordinate that was found by a division may be off, for a slope of 0.
#[derive(Debug, Clone, Copy)]
struct Rounding(f64);

impl Rounding {
    /// Some dozen roundings of numbers that are no larger than the corners, or than the grid; a
    /// rounding is 2^-53 of its number.
    #[inline(always)]
    fn of(along: &[[f64; 3]; 3], resolution: f64) -> Self {
        let mut largest = resolution;
        for coordinates in along {
            for x in coordinates {
                largest = greater(largest, x.abs());
            }
        }
        Self(largest * 2f64.powi(-47))
    }

    /// For a line or plane whose other coefficients sum up to `others` and whose own is `own`; `None`
    /// where that is so much that a cell may be missed.
    #[inline(always)]
    fn at_slope(self, others: f64, own: f64) -> Option<f64> {
        let error = self.0 * (1.0 + others / own);
        (error < 0.25).then_some(error)
    }
}

/// What an edge leaves of a row of cells: those where `low <= base + step * cell <= high`.
#[derive(Debug, Clone, Copy)]
struct Band {
    /// Positive.
    step: f64,
    inverse: f64,
    low: f64,
    high: f64,
    error: f64,
}

impl Band {
    /// The part of `range` that is left.
    ///
    /// Dividing gives the first cell but for its rounding error, so the cell that may be wrong is
    /// asked once more by the test itself, and the result is that of asking every cell.
    #[inline(always)]
    fn clip(&self, base: f64, range: CellRange) -> CellRange {
        let first = ((self.low - base) * self.inverse - self.error).ceil();
        let first = lesser(greater(first, range.first), range.last + 1.0);
        let is_short = base + self.step * first < self.low;
        let last = ((self.high - base) * self.inverse + self.error).floor();
        let last = greater(lesser(last, range.last), range.first - 1.0);
        let is_long = base + self.step * last > self.high;
        CellRange {
            first: if is_short { first + 1.0 } else { first },
            last: if is_long { last - 1.0 } else { last },
        }
    }
}

/// How the edges of a projection are made to bands.
#[derive(Debug, Clone, Copy)]
struct Outline {
    margin: f64,
    rounding: Rounding,
}

/// What an edge says in a projection with coordinates u and w.
enum Edge {
    /// A component along u, and a band along w.
    Slope(f64, Band),
    /// Nothing that the bounding box does not: all of it has one u.
    Upright,
    /// Not known, for rounding.
    Unsure,
}

impl Outline {
    /// The edge between corners `from` and `to` of a triangle whose corners have these coordinates.
    #[inline(always)]
    fn edge(self, us: &[f64; 3], ws: &[f64; 3], from: usize, to: usize) -> Edge {
        let (du, dw) = (us[to] - us[from], ws[to] - ws[from]);
        let (slope, step) = if du > 0.0 { (-dw, du) } else { (dw, -du) };
        if step == 0.0 {
            return Edge::Upright;
        }
        let Some(error) = self.rounding.at_slope(slope.abs(), step) else { return Edge::Unsure };
        let p = slope * us[0] + step * ws[0];
        let q = slope * us[1] + step * ws[1];
        let r = slope * us[2] + step * ws[2];
        let center = 0.5 * (slope + step);
        let reach = (0.5 + self.margin) * (slope.abs() + step);
        let low = lesser(lesser(p, q), r) - center - reach;
        let high = greater(greater(p, q), r) - center + reach;
        Edge::Slope(slope, Band { step, inverse: 1.0 / step, low, high, error })
    }
}

/// An interval of cells for each cell of another axis.
struct Intervals {
    first: Vec<f64>,
    last: Vec<f64>,
}

impl Intervals {
    #[inline(always)]
    fn at(&self, cell: usize) -> CellRange {
        CellRange { first: self.first[cell], last: self.last[cell] }
    }

    /// The cells in `w_range` that a triangle's outline leaves for each of `u_range`, or all of them
    /// where the outline is not needed. Says whether that is sure.
    #[inline(always)]
    fn fill(
        &mut self,
        u_range: CellRange,
        w_range: CellRange,
        is_needed: bool,
        outline: Outline,
        us: &[f64; 3],
        ws: &[f64; 3],
    ) -> bool {
        let cells = u_range.cells();
        let first = &mut self.first[cells.clone()];
        let last = &mut self.last[cells];
        for (first, last) in first.iter_mut().zip(last.iter_mut()) {
            (*first, *last) = (w_range.first, w_range.last);
        }
        if !is_needed {
            return true;
        }
        for (from, to) in [(0, 1), (1, 2), (2, 0)] {
            match outline.edge(us, ws, from, to) {
                Edge::Upright => {}
                Edge::Unsure => return false,
                Edge::Slope(slope, band) => {
                    let mut u = u_range.first;
                    for (first, last) in first.iter_mut().zip(last.iter_mut()) {
                        let left = band.clip(slope * u, w_range);
                        *first = greater(*first, left.first);
                        *last = lesser(*last, left.last);
                        u += 1.0;
                    }
                }
            }
        }
        true
    }
}

/// What the plane of a triangle says of columns along z.
enum Cut {
    /// An interval of each.
    Plane(Plane),
    /// Nothing that the projection along z does not: the plane holds the direction z.
    Idle,
    /// Not known, for rounding.
    Unsure,
}

impl Cut {
    #[inline(always)]
    fn new(corners: &[[f64; 3]; 3], margin: f64, rounding: Rounding) -> Self {
        let [a, b, c] = *corners;
        let [x, y, z] = cross(difference(b, a), difference(c, b));
        let [x, y, step] = if z < 0.0 { [-x, -y, -z] } else { [x, y, z] };
        if step == 0.0 {
            return Self::Idle;
        }
        let Some(error) = rounding.at_slope(x.abs() + y.abs(), step) else { return Self::Unsure };
        let p = x * a[0] + y * a[1] + step * a[2];
        let q = x * b[0] + y * b[1] + step * b[2];
        let r = x * c[0] + y * c[1] + step * c[2];
        let center = 0.5 * (x + y + step);
        let reach = (0.5 + margin) * (x.abs() + y.abs() + step);
        let low = lesser(lesser(p, q), r) - center - reach;
        let high = greater(greater(p, q), r) - center + reach;
        Self::Plane(Plane { x, y, band: Band { step, inverse: 1.0 / step, low, high, error } })
    }
}

/// The plane of a triangle, as what it leaves of a column along z.
struct Plane {
    x: f64,
    y: f64,
    band: Band,
}

impl Plane {
    #[inline(always)]
    fn clip(&self, x: f64, y: f64, range: CellRange) -> CellRange {
        self.band.clip(self.x * x + self.y * y, range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use voxflow_contract::{Fill, Random, VoxelGrid};

    /// The theorem as it stands in the paper: triangle moved to the box's centre, 13 axes, one cell.
    fn touches(cell: [usize; 3], corners: &[[f64; 3]; 3], margin: f64) -> bool {
        let half = 0.5 + margin;
        let center = cell.map(|i| i as f64 + 0.5);
        let v = corners.map(|corner| difference(corner, center));
        let edges = [difference(v[1], v[0]), difference(v[2], v[1]), difference(v[0], v[2])];
        let units = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        let products = edges.iter().flat_map(|e| units.map(|unit| cross(*e, unit)));
        let mut axes = units.into_iter().chain([cross(edges[0], edges[1])]).chain(products);
        axes.all(|axis| {
            let dots = v.map(|p| p[0] * axis[0] + p[1] * axis[1] + p[2] * axis[2]);
            let reach = half * axis.iter().map(|a: &f64| a.abs()).sum::<f64>();
            let (low, high) = (
                dots.into_iter().fold(f64::INFINITY, f64::min),
                dots.into_iter().fold(f64::NEG_INFINITY, f64::max),
            );
            low <= reach && high >= -reach
        })
    }

    fn ranges(corners: &[[f64; 3]; 3], margin: f64) -> [CellRange; 3] {
        [0, 1, 2].map(|axis| CellRange::of(corners.map(|c| c[axis]), margin))
    }

    fn mark(columns: &mut Columns, triangle: &[[f64; 3]; 3], margin: f64) {
        let mut marker = Marker::new(columns.resolution, margin);
        marker.mark(columns, &corners(triangle), ranges(triangle, margin));
    }

    fn check(resolution: usize, triangles: &[[[f64; 3]; 3]], margin: f64) {
        let [mut fast, mut plain, mut slow] = [0; 3].map(|_| Columns::empty(resolution));
        for corners in triangles {
            mark(&mut fast, corners, margin);
            let ranges = ranges(corners, margin).map(|range| range.clamped(resolution as f64));
            mark_separated(&mut plain, corners, margin, ranges);
            for cell in 0..resolution.pow(3) {
                let (x, y, z) = (
                    cell / resolution / resolution,
                    cell / resolution % resolution,
                    cell % resolution,
                );
                if touches([x, y, z], corners, margin) {
                    slow.set_span(x, y, z, z);
                }
            }
        }
        let pack =
            |columns: Columns| -> VoxelGrid { columns.pack([0.0; 3], [1.0; 3], Fill::Surface) };
        assert_eq!(fast, plain, "{resolution}^3, margin {margin}");
        let (fast, slow) = (pack(fast), pack(slow));
        let wrong: Vec<_> = (0..resolution.pow(3))
            .filter(|i| fast.get_index(*i) != slow.get_index(*i))
            .map(|i| (i, fast.get_index(i)))
            .collect();
        assert!(wrong.is_empty(), "{resolution}^3, margin {margin}: {wrong:?}\n{triangles:?}");
    }

    /// A soup of triangles of all sizes, reaching past the grid; on a lattice of eighths of a cell
    /// every number of the test is exact, and touching without crossing is common.
    fn soup(random: &mut Random, resolution: usize, is_lattice: bool) -> Vec<[[f64; 3]; 3]> {
        let size = resolution as f64;
        let mut coordinate = |middle: f64, reach: f64| {
            let value = middle + random.range(-reach, reach);
            if is_lattice { (value * 2.0).round() / 2.0 } else { value }
        };
        (0..3)
            .map(|i| {
                let reach = [0.8, 3.0, size][i];
                let middle = [0; 3].map(|_: i32| coordinate(size / 2.0, size / 2.0 + 1.0));
                [0; 3].map(|_: i32| middle.map(|m| coordinate(m, reach)))
            })
            .collect()
    }

    #[test]
    fn random_soups_mark_what_all_cells_times_all_triangles_mark() {
        for round in 0..300 {
            let mut random = Random::new(round, &["surface"]);
            let resolution = 1 + random.below(14) as usize;
            let is_lattice = round % 2 == 0;
            let margin = if is_lattice { 0.0 } else { [0.0, 0.01][round as usize / 2 % 2] };
            check(resolution, &soup(&mut random, resolution, is_lattice), margin);
        }
        for round in 0..6 {
            let mut random = Random::new(round, &["large"]);
            check(40, &soup(&mut random, 40, round % 2 == 0), 0.0);
        }
    }

    #[test]
    fn degenerate_triangles_mark_their_points_and_segments() {
        check(6, &[[[2.5, 2.5, 2.5]; 3]], 0.0);
        check(6, &[[[3.0, 3.0, 3.0]; 3]], 0.0);
        check(6, &[[[0.5, 1.0, 0.0], [5.5, 4.0, 6.0], [3.0, 2.5, 3.0]]], 0.0);
        check(6, &[[[0.0, 0.0, 0.0], [6.0, 6.0, 6.0], [0.0, 0.0, 0.0]]], 0.0);
    }

    #[test]
    fn a_face_between_two_layers_marks_both() {
        let corners = [[1.0, 1.0, 3.0], [4.0, 1.0, 3.0], [1.0, 4.0, 3.0]];
        let mut columns = Columns::empty(6);
        mark(&mut columns, &corners, 0.0);
        let grid = columns.pack([0.0; 3], [1.0; 3], Fill::Surface);
        assert!(grid.get(2, 2, 2) && grid.get(2, 2, 3) && !grid.get(2, 2, 4));
        assert!(grid.get(0, 0, 2), "a corner touches it");
    }

    #[test]
    fn both_copies_of_the_kernel_mark_the_same_cells() {
        let mut random = Random::new(5, &["copies"]);
        let vertices: Vec<[f32; 3]> =
            (0..600).map(|_| [0; 3].map(|_: i32| random.range(-0.6, 0.6) as f32)).collect();
        let triangles = (0..200).map(|i| [3 * i, 3 * i + 1, 3 * i + 2]).collect();
        let mesh = TriMesh { vertices, triangles };
        for (resolution, margin) in [(24, 0.0), (70, 0.01)] {
            let frame = Frame::new([-0.5; 3], [1.0; 3], resolution, false);
            let wide = mark_surface(&mesh, resolution, &frame, margin);
            let narrow = MarkSurface { mesh: &mesh, resolution, frame: &frame, margin }.run();
            assert_eq!(wide, narrow);
            let mut plain = Columns::empty(resolution);
            for triangle in &mesh.triangles {
                let corners = triangle.map(|n| frame.in_cells(&mesh.vertices[n as usize]));
                let ranges = ranges(&corners, margin).map(|range| range.clamped(resolution as f64));
                if ranges.iter().all(|range| !range.is_empty()) {
                    mark_separated(&mut plain, &corners, margin, ranges);
                }
            }
            assert_eq!(wide, plain);
        }
    }
}
