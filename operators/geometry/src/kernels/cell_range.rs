//! `CellRange`: cells that follow each other along one axis.

/// Cells `first ..= last`, as whole numbers in f64: they are compared with coordinates far more often
/// than they number bits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct CellRange {
    pub(crate) first: f64,
    pub(crate) last: f64,
}

impl CellRange {
    /// No cell.
    pub(crate) const EMPTY: Self = Self { first: 1.0, last: 0.0 };

    /// The closed cells, grown by `margin`, that meet the interval of `values`.
    #[inline(always)]
    pub(crate) fn of(values: [f64; 3], margin: f64) -> Self {
        let low = lesser(lesser(values[0], values[1]), values[2]);
        let high = greater(greater(values[0], values[1]), values[2]);
        Self { first: (low - 1.0 - margin).ceil(), last: (high + margin).floor() }
    }

    /// Those in a grid of `resolution` cells.
    #[inline(always)]
    pub(crate) fn clamped(self, resolution: f64) -> Self {
        Self { first: greater(self.first, 0.0), last: lesser(self.last, resolution - 1.0) }
    }

    #[inline(always)]
    pub(crate) fn is_empty(self) -> bool {
        self.first > self.last
    }

    /// The cells of both.
    #[inline(always)]
    pub(crate) fn and(self, other: Self) -> Self {
        Self { first: greater(self.first, other.first), last: lesser(self.last, other.last) }
    }

    /// Whether it is one cell.
    #[inline(always)]
    pub(crate) fn is_single(self) -> bool {
        self.first == self.last
    }

    /// The numbers of the cells, of a range within a grid.
    #[inline(always)]
    pub(crate) fn cells(self) -> std::ops::Range<usize> {
        let (first, last) = (self.first as i32, self.last as i32);
        first as usize..(last + 1).max(first) as usize
    }
}

/// The smaller of two numbers that are not NaN: one instruction, where `f64::min` takes four.
#[inline(always)]
pub(crate) fn lesser(a: f64, b: f64) -> f64 {
    if a < b { a } else { b }
}

/// The larger of two numbers that are not NaN.
#[inline(always)]
pub(crate) fn greater(a: f64, b: f64) -> f64 {
    if a > b { a } else { b }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(low: f64, high: f64, margin: f64, expected: std::ops::Range<usize>) {
        let range = CellRange::of([high, low, 0.5 * (low + high)], margin).clamped(8.0);
        let cells = if range.is_empty() { 0..0 } else { range.cells() };
        assert_eq!(cells, expected, "{low} {high} {margin}");
    }

    #[test]
    fn closed_cells_meet_what_touches_them() {
        check(2.5, 2.75, 0.0, 2..3);
        check(2.0, 2.75, 0.0, 1..3);
        check(2.5, 3.0, 0.0, 2..4);
        check(2.02, 2.98, 0.01, 2..3);
        check(2.005, 2.995, 0.01, 1..4);
        check(-3.0, 20.0, 0.0, 0..8);
        check(8.0, 8.0, 0.0, 7..8);
        check(8.5, 9.0, 0.0, 0..0);
        assert!(CellRange { first: 0.0, last: -7.0 }.cells().is_empty());
    }
}
