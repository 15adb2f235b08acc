//! Crossings: where the lines through the centres of cells pierce the triangles of a mesh.

use voxflow_contract::TriMesh;

use crate::kernels::cell_range::{greater, lesser};
use crate::kernels::corner_block::{BLOCK, CornerBlock};
use crate::kernels::fit::Frame;

/// The axes of a set of lines: lines run along `along`, and are numbered by `row` and `place`, the
/// cells on the two other axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lines {
    pub(crate) row: usize,
    pub(crate) place: usize,
    pub(crate) along: usize,
}

impl Lines {
    /// Lines along x, y and z.
    pub(crate) const ALL: [Self; 3] = [
        Self { row: 1, place: 2, along: 0 },
        Self { row: 0, place: 2, along: 1 },
        Self { row: 0, place: 1, along: 2 },
    ];

    /// The cell that is `at` along the line (row, place), as (x, y, z).
    #[inline(always)]
    pub(crate) fn cell(self, row: usize, place: usize, at: usize) -> [usize; 3] {
        match self.along {
            0 => [at, row, place],
            1 => [row, at, place],
            _ => [row, place, at],
        }
    }
}

/// What is told of every crossing.
pub(crate) trait Take {
    /// The line (row, place) pierces a triangle at coordinate `at`, in cells; `#[inline(always)]`.
    fn take(&mut self, row: usize, place: usize, at: f64);
}

/// Finds every crossing of the lines through centres of cells with triangles.
///
/// Whether a line meets a triangle is decided in the projection along the lines, and so that lines
/// through a shared edge or corner are counted once: a triangle holds the centres `(row, place)` with
/// `low <= row < high` over its corners, and `from <= place < to` over the two edges that cross that
/// row. The place at which an edge crosses a row is computed from the edge alone, from its end with
/// the lower row to the other, so the triangles on its two sides get the same number, whatever was
/// rounded: along a row, each place at which one ends is one at which another begins. So a line meets
/// a closed mesh an even number of times, always. This is the half-open rule of polygon filling
/// (top-left rule), and what a shift of the centres by an infinitely small step towards larger
/// coordinates would give.
///
/// `at` is interpolated between corners twice, so it never leaves the triangle's box; its error is a
/// few roundings of the box's size.
#[inline(always)]
pub(crate) fn find_crossings(
    mesh: &TriMesh,
    frame: &Frame,
    resolution: usize,
    lines: Lines,
    taker: &mut impl Take,
) {
    let mut block = CornerBlock::new();
    let mut box_of = [[0.0; BLOCK]; 4];
    for triangles in mesh.triangles.chunks(BLOCK) {
        block.gather(mesh, triangles, frame);
        let [row_first, row_end, place_first, place_end] = &mut box_of;
        find_centres(block.along(lines.row), resolution, row_first, row_end);
        find_centres(block.along(lines.place), resolution, place_first, place_end);
        for i in 0..triangles.len() {
            if row_first[i] < row_end[i] && place_first[i] < place_end[i] {
                let (u, v) = (block.of(i, lines.row), block.of(i, lines.place));
                let rows = row_first[i] as i32 as usize..row_end[i] as i32 as usize;
                scan([u, v, block.of(i, lines.along)], rows, resolution, taker);
            }
        }
    }
}

/// The centres, by number of cell, that the half-open intervals of the triangles hold: `first .. end`.
#[inline(always)]
fn find_centres(
    [a, b, c]: &[[f64; BLOCK]; 3],
    resolution: usize,
    first: &mut [f64; BLOCK],
    end: &mut [f64; BLOCK],
) {
    for i in 0..BLOCK {
        let low = lesser(lesser(a[i], b[i]), c[i]);
        let high = greater(greater(a[i], b[i]), c[i]);
        first[i] = greater(first_centre(low), 0.0);
        end[i] = lesser(first_centre(high), resolution as f64);
    }
}

/// The first cell whose centre is not below `x`.
#[inline(always)]
pub(crate) fn first_centre(x: f64) -> f64 {
    (x - 0.5).ceil()
}

/// A corner as row, place and coordinate along the line.
type Corner = [f64; 3];

/// Goes through the rows of one triangle.
#[inline(always)]
fn scan(
    [u, v, t]: [[f64; 3]; 3],
    rows: std::ops::Range<usize>,
    resolution: usize,
    taker: &mut impl Take,
) {
    let [low, middle, high] = sorted([[u[0], v[0], t[0]], [u[1], v[1], t[1]], [u[2], v[2], t[2]]]);
    let long = Edge::new(low, high);
    let (lower, upper) = (Edge::new(low, middle), Edge::new(middle, high));
    for row in rows {
        let centre = row as f64 + 0.5;
        let (from, to) =
            (long.at(centre), if centre < middle[0] { lower.at(centre) } else { upper.at(centre) });
        let (from, to) = if to[0] < from[0] { (to, from) } else { (from, to) };
        let first = greater(first_centre(from[0]), 0.0);
        let end = lesser(first_centre(to[0]), resolution as f64);
        if first >= end {
            continue;
        }
        let slope = (to[1] - from[1]) / (to[0] - from[0]);
        let (low, high) = (lesser(from[1], to[1]), greater(from[1], to[1]));
        for place in first as i32 as usize..end as i32 as usize {
            let at = from[1] + (place as f64 + 0.5 - from[0]) * slope;
            taker.take(row, place, lesser(greater(at, low), high));
        }
    }
}

/// Corners by row, the lowest first.
#[inline(always)]
fn sorted([mut a, mut b, mut c]: [Corner; 3]) -> [Corner; 3] {
    if b[0] < a[0] {
        (a, b) = (b, a);
    }
    if c[0] < b[0] {
        (b, c) = (c, b);
    }
    if b[0] < a[0] {
        (a, b) = (b, a);
    }
    [a, b, c]
}

/// An edge as place and coordinate along the line for each row.
struct Edge {
    from: Corner,
    to: Corner,
    per_row: [f64; 2],
}

impl Edge {
    /// From a corner to one that is not on a lower row. An edge within one row is asked for no row.
    #[inline(always)]
    fn new(from: Corner, to: Corner) -> Self {
        let rows = to[0] - from[0];
        Self { from, to, per_row: [(to[1] - from[1]) / rows, (to[2] - from[2]) / rows] }
    }

    /// Place and coordinate along the line, within those of the two ends.
    #[inline(always)]
    fn at(&self, row: f64) -> [f64; 2] {
        let step = row - self.from[0];
        [self.along(1, step), self.along(2, step)]
    }

    #[inline(always)]
    fn along(&self, axis: usize, step: f64) -> f64 {
        let (from, to) = (self.from[axis], self.to[axis]);
        let at = from + step * self.per_row[axis - 1];
        lesser(greater(at, lesser(from, to)), greater(from, to))
    }
}
