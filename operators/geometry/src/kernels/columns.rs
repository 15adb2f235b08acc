//! `Columns`: occupancy as one string of bits for each column of cells along z.

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

    /// Occupies cells `first ..= last` of column (x, y).
    pub(crate) fn set_span(&mut self, x: usize, y: usize, first: usize, last: usize) {
        let start = (x * self.resolution + y) * self.words;
        for word in first / 64..=last / 64 {
            let low = first.saturating_sub(word * 64);
            let high = (last - word * 64).min(63);
            self.bits[start + word] |= (u64::MAX >> (63 - high)) & (u64::MAX << low);
        }
    }

    /// The cells that exist among those of word number `word` of a column.
    pub(crate) fn valid_bits(&self, word: usize) -> u64 {
        match self.resolution - word * 64 {
            cells @ 0..64 => (1 << cells) - 1,
            _ => u64::MAX,
        }
    }

    /// The grid, packed, at its place.
    pub(crate) fn pack(&self, translation: [f64; 3], scale: [f64; 3], fill: Fill) -> VoxelGrid {
        let mut grid = VoxelGrid::empty(self.resolution, translation, scale, fill);
        for (column, words) in self.bits.chunks_exact(self.words).enumerate() {
            let first_cell = column * self.resolution;
            if self.resolution.is_multiple_of(8) {
                let bytes = words.iter().flat_map(|word| word.to_le_bytes());
                let target = &mut grid.bits_mut()[first_cell / 8..][..self.resolution / 8];
                target.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
            } else {
                set_bits(words).for_each(|z| grid.set_index(first_cell + z));
            }
        }
        grid
    }
}

/// The numbers of the bits that are set.
fn set_bits(words: &[u64]) -> impl Iterator<Item = usize> {
    let bit = |word: u64, i: usize| word >> i & 1 == 1;
    words
        .iter()
        .enumerate()
        .flat_map(move |(n, word)| (0..64).filter(move |i| bit(*word, *i)).map(move |i| n * 64 + i))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_land_where_they_should_at_any_resolution() {
        for resolution in [1, 5, 8, 63, 64, 65, 130, 192] {
            let (first, last) = (resolution / 3, resolution - 1 - resolution / 5);
            let mut columns = Columns::empty(resolution);
            columns.set_span(resolution / 2, 0, first, last);
            let grid = columns.pack([0.0; 3], [1.0; 3], Fill::Surface);
            assert_eq!(grid.occupied(), last + 1 - first);
            assert!((first..=last).all(|z| grid.get(resolution / 2, 0, z)));
        }
    }
}
