//! Surface: the cells a triangle touches, by the exact separating-axis test of box and triangle.

use crate::kernels::columns::Columns;

/// Occupies every cell that the triangle touches.
///
/// `corners` are in cells: cell (x, y, z) is the closed box from (x, y, z) to (x + 1, y + 1, z + 1),
/// grown by `margin` on all sides. Touching counts. What lies outside the grid is ignored.
///
/// The test is the separating-axis theorem with its 13 axes (Akenine-Möller, "Fast 3D triangle-box
/// overlap testing", 2001), in f64 and without tolerance. Along a column each axis leaves an interval
/// of cells, so a column costs the same whatever its length.
pub(crate) fn mark_triangle(columns: &mut Columns, corners: &[[f64; 3]; 3], margin: f64) {
    let resolution = columns.resolution as i64;
    let touched = [0, 1, 2].map(|axis| Range::of(corners.map(|corner| corner[axis]), margin));
    let [xs, ys, zs] = touched.map(|range| range.clamped(resolution));
    if xs.is_empty() || ys.is_empty() || zs.is_empty() {
        return;
    }
    // A triangle within one cell on two axes touches every cell of its range on the third.
    let is_plain = touched.iter().filter(|range| range.first == range.last).count() >= 2;
    let separation = (!is_plain).then(|| Separation::new(corners, margin));
    for x in xs.first..=xs.last {
        for y in ys.first..=ys.last {
            let span = match &separation {
                Some(separation) => separation.span(x, y, zs),
                None => zs,
            };
            if !span.is_empty() {
                columns.set_span(x as usize, y as usize, span.first as usize, span.last as usize);
            }
        }
    }
}

/// Cells `first ..= last` along one axis.
#[derive(Debug, Clone, Copy)]
struct Range {
    first: i64,
    last: i64,
}

impl Range {
    /// The closed, grown cells that meet the interval of `values`.
    fn of(values: [f64; 3], margin: f64) -> Self {
        let low = values[0].min(values[1]).min(values[2]);
        let high = values[0].max(values[1]).max(values[2]);
        Self { first: (low - 1.0 - margin).ceil() as i64, last: (high + margin).floor() as i64 }
    }

    fn clamped(self, resolution: i64) -> Self {
        Self { first: self.first.max(0), last: self.last.min(resolution - 1) }
    }

    fn is_empty(self) -> bool {
        self.first > self.last
    }
}

/// A direction on which box and triangle may be apart: they are not where
/// `low <= axis . cell <= high` for the cell's whole numbers.
#[derive(Debug, Clone, Copy)]
struct Slab {
    /// The third component is not negative.
    axis: [f64; 3],
    low: f64,
    high: f64,
}

impl Slab {
    fn new(axis: [f64; 3], corners: &[[f64; 3]; 3], margin: f64) -> Self {
        let axis = if axis[2] < 0.0 { axis.map(|a| -a) } else { axis };
        let [p, q, r] = corners.map(|c| axis[0] * c[0] + axis[1] * c[1] + axis[2] * c[2]);
        let center = 0.5 * (axis[0] + axis[1] + axis[2]);
        let reach = (0.5 + margin) * (axis[0].abs() + axis[1].abs() + axis[2].abs());
        Self { axis, low: p.min(q).min(r) - center - reach, high: p.max(q).max(r) - center + reach }
    }

    /// The part of `range` that the slab leaves of the column whose cell 0 projects to `base`.
    ///
    /// `base + axis * z` rounds monotonically in z, so walking on from a guess ends at the same cells
    /// as testing each one.
    fn clip(&self, base: f64, range: Range) -> Range {
        let step = self.axis[2];
        let at = |z: i64| base + step * z as f64;
        if step == 0.0 {
            let is_apart = base < self.low || base > self.high;
            return if is_apart { Range { first: 1, last: 0 } } else { range };
        }
        let Range { mut first, mut last } = range;
        if last - first > 4 {
            let guess = |bound: f64| ((bound - base) / step).clamp(-1.0, last as f64 + 1.0);
            let (low, high) = (guess(self.low).floor() as i64, guess(self.high).ceil() as i64);
            first = low.clamp(first, last);
            last = high.clamp(first, last);
            while first > range.first && at(first - 1) >= self.low {
                first -= 1;
            }
            while last < range.last && at(last + 1) <= self.high {
                last += 1;
            }
        }
        while first <= last && at(first) < self.low {
            first += 1;
        }
        while first <= last && at(last) > self.high {
            last -= 1;
        }
        Range { first, last }
    }
}

/// The ten axes that are not those of the box: the normal and the edges' products with x, y, z.
struct Separation {
    /// Without a z component: one test a column.
    upright: [Slab; 3],
    /// The others: one interval a column.
    tilted: [Slab; 7],
}

impl Separation {
    fn new(corners: &[[f64; 3]; 3], margin: f64) -> Self {
        let [a, b, c] = *corners;
        let edges = [difference(b, a), difference(c, b), difference(a, c)];
        let slab = |axis| Slab::new(axis, corners, margin);
        let [e, f, g] = edges;
        Self {
            upright: edges.map(|e| slab([e[1], -e[0], 0.0])),
            tilted: [
                slab(cross(e, f)),
                slab([0.0, e[2], -e[1]]),
                slab([0.0, f[2], -f[1]]),
                slab([0.0, g[2], -g[1]]),
                slab([-e[2], 0.0, e[0]]),
                slab([-f[2], 0.0, f[0]]),
                slab([-g[2], 0.0, g[0]]),
            ],
        }
    }

    /// The cells of column (x, y) in `range` that the triangle touches; always one interval.
    fn span(&self, x: i64, y: i64, range: Range) -> Range {
        let (x, y) = (x as f64, y as f64);
        let base = |slab: &Slab| slab.axis[0] * x + slab.axis[1] * y;
        let mut range = range;
        for slab in self.upright.iter().chain(&self.tilted) {
            range = slab.clip(base(slab), range);
            if range.is_empty() {
                break;
            }
        }
        range
    }
}

fn difference(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
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

    fn check(resolution: usize, triangles: &[[[f64; 3]; 3]], margin: f64) {
        let (mut fast, mut slow) = (Columns::empty(resolution), Columns::empty(resolution));
        for corners in triangles {
            mark_triangle(&mut fast, corners, margin);
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
        mark_triangle(&mut columns, &corners, 0.0);
        let grid = columns.pack([0.0; 3], [1.0; 3], Fill::Surface);
        assert!(grid.get(2, 2, 2) && grid.get(2, 2, 3) && !grid.get(2, 2, 4));
        assert!(grid.get(0, 0, 2), "a corner touches it");
    }
}
