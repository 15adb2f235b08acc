//! Separation: one triangle against whole columns of cells, by all axes of the theorem at once.
//!
//! The plain version of what `surface` does projection by projection: it needs no bound on rounding,
//! so it decides the few triangles for which that has none.

use crate::kernels::cell_range::CellRange;
use crate::kernels::columns::Columns;

/// Occupies every cell in the ranges that the triangle touches; see `surface`.
#[cold]
#[inline(never)]
pub(crate) fn mark_separated(
    columns: &mut Columns,
    corners: &[[f64; 3]; 3],
    margin: f64,
    [xs, ys, zs]: [CellRange; 3],
) {
    let separation = Separation::new(corners, margin);
    for x in xs.cells() {
        for y in ys.cells() {
            let span = separation.span(x as f64, y as f64, zs);
            if !span.is_empty() {
                columns.set_span(x, y, span.first as usize, span.last as usize);
            }
        }
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
    fn clip(&self, base: f64, range: CellRange) -> CellRange {
        let step = self.axis[2];
        let at = |z: f64| base + step * z;
        if step == 0.0 {
            let is_apart = base < self.low || base > self.high;
            return if is_apart { CellRange::EMPTY } else { range };
        }
        let CellRange { mut first, mut last } = range;
        let guess = |bound: f64| ((bound - base) / step).clamp(range.first, range.last);
        (first, last) = (guess(self.low).floor().max(first), guess(self.high).ceil().min(last));
        while first > range.first && at(first - 1.0) >= self.low {
            first -= 1.0;
        }
        while last < range.last && at(last + 1.0) <= self.high {
            last += 1.0;
        }
        while first <= last && at(first) < self.low {
            first += 1.0;
        }
        while first <= last && at(last) > self.high {
            last -= 1.0;
        }
        CellRange { first, last }
    }
}

/// The ten axes that are not those of the box: the normal and the edges' products with x, y, z.
struct Separation([Slab; 10]);

impl Separation {
    fn new(corners: &[[f64; 3]; 3], margin: f64) -> Self {
        let [a, b, c] = *corners;
        let edges = [difference(b, a), difference(c, b), difference(a, c)];
        let slab = |axis| Slab::new(axis, corners, margin);
        let [e, f, g] = edges;
        let along_z = |e: [f64; 3]| slab([e[1], -e[0], 0.0]);
        let along_y = |e: [f64; 3]| slab([-e[2], 0.0, e[0]]);
        let along_x = |e: [f64; 3]| slab([0.0, e[2], -e[1]]);
        Self([
            along_z(e),
            along_z(f),
            along_z(g),
            slab(cross(e, f)),
            along_x(e),
            along_x(f),
            along_x(g),
            along_y(e),
            along_y(f),
            along_y(g),
        ])
    }

    /// The cells of column (x, y) in `range` that the triangle touches; always one interval.
    fn span(&self, x: f64, y: f64, range: CellRange) -> CellRange {
        let mut range = range;
        for slab in &self.0 {
            range = slab.clip(slab.axis[0] * x + slab.axis[1] * y, range);
            if range.is_empty() {
                break;
            }
        }
        range
    }
}

/// `a - b`.
#[inline(always)]
pub(crate) fn difference(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

/// The vector product.
#[inline(always)]
pub(crate) fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}
