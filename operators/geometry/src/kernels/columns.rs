//! `Columns`: occupancy as one string of bits for each column of cells along z.

use std::ops::Range;

use voxflow_contract::{Fill, VoxelGrid};

/// A cubic occupancy grid whose columns along z begin at a word each, so that 64 cells are worked
/// on at once.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Columns {
    /// Cells along each axis.
    pub(crate) resolution: usize,
    /// Words of a column.
    pub(crate) words: usize,
    /// Column (x, y) is the `words` words from `(x * resolution + y) * words`; cell z is bit z of
    /// it, least significant first. Bits past the last cell are zero.
    pub(crate) bits: Vec<u64>,
}

impl Columns {
    /// A grid without an occupied cell.
    pub(crate) fn empty(resolution: usize) -> Self {
        let words = resolution.div_ceil(64);
        Self { resolution, words, bits: vec![0; resolution * resolution * words] }
    }

    /// The first word of column (x, y).
    #[inline(always)]
    pub(crate) fn start(&self, x: usize, y: usize) -> usize {
        (x * self.resolution + y) * self.words
    }

    /// Occupies a cell.
    #[inline(always)]
    pub(crate) fn set(&mut self, x: usize, y: usize, z: usize) {
        let word = self.start(x, y) + z / 64;
        self.bits[word] |= 1 << (z % 64);
    }

    /// Turns a cell over.
    #[inline(always)]
    pub(crate) fn flip(&mut self, x: usize, y: usize, z: usize) {
        let word = self.start(x, y) + z / 64;
        self.bits[word] ^= 1 << (z % 64);
    }

    /// Occupies cells `first ..= last` of column (x, y).
    #[inline(always)]
    pub(crate) fn set_span(&mut self, x: usize, y: usize, first: usize, last: usize) {
        let start = self.start(x, y);
        let (low, high) = (first / 64, last / 64);
        let (head, tail) = (u64::MAX << (first % 64), u64::MAX >> (63 - last % 64));
        if low == high {
            self.bits[start + low] |= head & tail;
            return;
        }
        self.bits[start + low] |= head;
        self.bits[start + low + 1..start + high].fill(u64::MAX);
        self.bits[start + high] |= tail;
    }

    /// Whether all cells of a box are occupied already, as far as a look at one word a column can say.
    #[inline(always)]
    pub(crate) fn holds(&self, xs: Range<usize>, ys: &Range<usize>, zs: &Range<usize>) -> bool {
        let (low, last) = (zs.start / 64, zs.end - 1);
        if last / 64 != low {
            return false;
        }
        let wanted = (u64::MAX << (zs.start % 64)) & (u64::MAX >> (63 - last % 64));
        xs.into_iter().all(|x| {
            let start = self.start(x, ys.start) + low;
            let columns = self.bits[start..].iter().step_by(self.words).take(ys.len());
            columns.fold(wanted, |held, word| held & word) == wanted
        })
    }

    /// The cells that exist among those of word number `word` of a column.
    pub(crate) fn valid_bits(&self, word: usize) -> u64 {
        match self.resolution - word * 64 {
            cells @ 0..64 => (1 << cells) - 1,
            _ => u64::MAX,
        }
    }

    /// Adds the cells of another grid of the same resolution.
    pub(crate) fn unite(&mut self, other: &Self) {
        self.bits.iter_mut().zip(&other.bits).for_each(|(to, from)| *to |= from);
    }

    /// The grid, packed, at its place.
    pub(crate) fn pack(&self, translation: [f64; 3], scale: [f64; 3], fill: Fill) -> VoxelGrid {
        let mut grid = VoxelGrid::empty(self.resolution, translation, scale, fill);
        match self.resolution {
            d if d.is_multiple_of(64) => {
                let bytes = grid.bits_mut().as_chunks_mut::<8>().0;
                bytes.iter_mut().zip(&self.bits).for_each(|(to, word)| *to = word.to_le_bytes());
            }
            32 => {
                let bytes = grid.bits_mut().as_chunks_mut::<4>().0;
                let words = bytes.iter_mut().zip(&self.bits);
                words.for_each(|(to, word)| *to = (*word as u32).to_le_bytes());
            }
            d => self.pack_shifted(grid.bits_mut(), d),
        }
        grid
    }

    /// Columns of `d` bits one after the other, wherever in a byte they begin.
    fn pack_shifted(&self, bytes: &mut [u8], d: usize) {
        let (mut pending, mut held, mut at) = (0u128, 0, 0);
        let mut put = |value: u128, count: usize, is_last: bool| {
            pending |= value << held;
            held += count;
            while held >= 8 || (is_last && held > 0) {
                bytes[at] = pending as u8;
                (pending, held, at) = (pending >> 8, held.saturating_sub(8), at + 1);
            }
        };
        for column in self.bits.chunks_exact(self.words) {
            for (number, word) in column.iter().enumerate() {
                put(u128::from(*word), (d - number * 64).min(64), false);
            }
        }
        put(0, 0, true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_is_held_when_each_of_its_cells_is() {
        for resolution in [5, 64, 140] {
            let mut columns = Columns::empty(resolution);
            let last = resolution - 1;
            (2..4).for_each(|x| (1..4).for_each(|y| columns.set_span(x, y, last - 2, last)));
            let holds = |x, y, z| columns.holds(x, &y, &z);
            assert!(holds(2..4, 1..4, last - 2..last + 1) && holds(3..4, 2..3, last..last + 1));
            assert!(!holds(1..4, 1..4, last..last + 1) && !holds(2..4, 0..2, last..last + 1));
            assert!(!holds(2..4, 1..4, last - 3..last));
        }
    }

    #[test]
    fn spans_land_where_they_should_at_any_resolution() {
        for resolution in [1, 5, 8, 32, 63, 64, 65, 130, 192, 200] {
            let (first, last) = (resolution / 3, resolution - 1 - resolution / 5);
            let mut columns = Columns::empty(resolution);
            columns.set_span(resolution / 2, 0, first, last);
            if resolution > 1 {
                columns.set(resolution - 1, resolution - 1, resolution - 1);
                columns.set(resolution - 1, resolution - 1, 0);
                columns.flip(resolution - 1, resolution - 1, 0);
            }
            let grid = columns.pack([0.0; 3], [1.0; 3], Fill::Surface);
            let is_in = |x, y, z| {
                (x, y) == (resolution / 2, 0) && (first..=last).contains(&z)
                    || resolution > 1
                        && (x, y, z) == (resolution - 1, resolution - 1, resolution - 1)
            };
            for cell in 0..resolution.pow(3).min(3_000_000) {
                let (xy, z) = (cell / resolution, cell % resolution);
                let expected = is_in(xy / resolution, xy % resolution, z);
                assert_eq!(grid.get_index(cell), expected, "{resolution}: {cell}");
            }
            assert_eq!(grid.occupied(), last + 1 - first + usize::from(resolution > 1));
        }
    }
}
