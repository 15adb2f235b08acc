//! One slab of a grid, cells of equal x, as binvox runs through it and as a grid keeps it.

use voxflow_contract::VoxelGrid;

/// The bits of one slab in the order of a binvox file: a row for each z, y along it, each row padded
/// to whole words.
///
/// A grid has rows for each y with z along them, so a slab is a bit matrix to be transposed, which
/// goes 64 rows and 64 columns at a time.
#[derive(Debug)]
pub(crate) struct BitSlab {
    rows: usize,
    columns: usize,
    words_a_row: usize,
    words: Vec<u64>,
}

/// Bits of a word, and rows of a block.
const SIDE: usize = u64::BITS as usize;

impl BitSlab {
    /// A slab of `rows` cells along z and `columns` along y, all empty.
    pub(crate) fn empty(rows: usize, columns: usize) -> Self {
        let words_a_row = columns.div_ceil(SIDE);
        Self { rows, columns, words_a_row, words: vec![0; rows * words_a_row] }
    }

    /// Number of cells.
    pub(crate) fn cells(&self) -> usize {
        self.rows * self.columns
    }

    /// Occupies cells `start..end`, counted as a binvox file does; they must lie in the slab.
    pub(crate) fn fill(&mut self, start: usize, end: usize) {
        let (mut row, mut column) = (start / self.columns, start % self.columns);
        let mut left = end - start;
        while left > 0 {
            let span = left.min(self.columns - column);
            set_span(&mut self.words[row * self.words_a_row..], column, column + span);
            (left, row, column) = (left - span, row + 1, 0);
        }
    }

    /// Empties all cells.
    pub(crate) fn clear(&mut self) {
        self.words.fill(0);
    }

    /// Writes the slab into a grid at `x`; the cells there must be empty.
    pub(crate) fn store(&self, grid: &mut VoxelGrid, x: usize) {
        let (d, mut block) = (grid.resolution, [0; SIDE]);
        for (first_row, word) in self.blocks() {
            let rows = SIDE.min(self.rows - first_row);
            for (i, row) in block.iter_mut().enumerate() {
                *row = if i < rows {
                    self.words[(first_row + i) * self.words_a_row + word]
                } else {
                    0
                };
            }
            if block.iter().all(|row| *row == 0) {
                continue;
            }
            transpose(&mut block);
            let first_column = word * SIDE;
            let columns = SIDE.min(self.columns - first_column);
            for (i, bits) in block.iter().enumerate().take(columns) {
                or_bits(grid.bits_mut(), (x * d + first_column + i) * d + first_row, *bits);
            }
        }
    }

    /// Reads the slab of a grid at `x`; the grid must be as large as the slab.
    pub(crate) fn load(&mut self, grid: &VoxelGrid, x: usize) {
        let (d, mut block) = (grid.resolution, [0; SIDE]);
        for (first_row, word) in self.blocks() {
            let rows = SIDE.min(self.rows - first_row);
            let first_column = word * SIDE;
            for (i, bits) in block.iter_mut().enumerate() {
                let column = first_column + i;
                *bits = if column < self.columns {
                    read_bits(grid.bits(), (x * d + column) * d + first_row, rows)
                } else {
                    0
                };
            }
            transpose(&mut block);
            for (i, bits) in block.iter().enumerate().take(rows) {
                self.words[(first_row + i) * self.words_a_row + word] = *bits;
            }
        }
    }

    /// Calls `take(occupied, length)` for spans of equal cells in the order of the file; neighbours
    /// may be equal too.
    pub(crate) fn spans(&self, mut take: impl FnMut(bool, usize)) {
        for row in self.words.chunks_exact(self.words_a_row.max(1)) {
            for (i, word) in row.iter().enumerate() {
                let (mut word, mut left) = (*word, SIDE.min(self.columns - i * SIDE));
                while left > 0 {
                    let occupied = word & 1 == 1;
                    let same = if occupied { word.trailing_ones() } else { word.trailing_zeros() };
                    let span = left.min(same as usize);
                    take(occupied, span);
                    word = word.checked_shr(span as u32).unwrap_or(0);
                    left -= span;
                }
            }
        }
    }

    /// First row and word of each block of 64 by 64 cells.
    fn blocks(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let words = self.words_a_row;
        (0..self.rows).step_by(SIDE).flat_map(move |row| (0..words).map(move |word| (row, word)))
    }
}

/// Sets bits `start..end`, which is not empty, of a row of words.
fn set_span(words: &mut [u64], start: usize, end: usize) {
    let (first, last) = (start / SIDE, (end - 1) / SIDE);
    let (from, to) = (u64::MAX << (start % SIDE), u64::MAX >> (SIDE - 1 - (end - 1) % SIDE));
    if first == last {
        words[first] |= from & to;
        return;
    }
    words[first] |= from;
    words[first + 1..last].fill(u64::MAX);
    words[last] |= to;
}

/// Bit `j` of word `i` becomes bit `i` of word `j`: halves are swapped, then quarters, and so on
/// (Warren, Hacker's Delight, 7-3).
fn transpose(block: &mut [u64; SIDE]) {
    let (mut step, mut mask) = (SIDE / 2, u64::MAX >> (SIDE / 2));
    while step > 0 {
        let mut i = 0;
        while i < SIDE {
            let swapped = ((block[i] >> step) ^ block[i + step]) & mask;
            block[i] ^= swapped << step;
            block[i + step] ^= swapped;
            i = (i + step + 1) & !step;
        }
        step /= 2;
        mask ^= mask << step;
    }
}

/// Sets the bits of `word` from bit number `bit` on; those past the end of `bytes` must be zero.
fn or_bits(bytes: &mut [u8], bit: usize, word: u64) {
    let shifted = u128::from(word) << (bit % 8);
    for (i, byte) in shifted.to_le_bytes().iter().enumerate().take(9) {
        if *byte != 0 {
            bytes[bit / 8 + i] |= byte;
        }
    }
}

/// `count` bits, 64 at most, from bit number `bit` on; they must lie within `bytes`.
fn read_bits(bytes: &[u8], bit: usize, count: usize) -> u64 {
    let from = &bytes[bit / 8..];
    let mut window = [0; 16];
    let len = from.len().min(9);
    window[..len].copy_from_slice(&from[..len]);
    let bits = (u128::from_le_bytes(window) >> (bit % 8)) as u64;
    bits & (u64::MAX >> (SIDE - count))
}

#[cfg(test)]
mod tests {
    use voxflow_contract::Fill;

    use super::*;

    /// Cells with a fixed pattern, stored through a slab and one by one.
    fn check(resolution: usize, rows: usize, columns: usize) {
        let is_set = |cell: usize| cell.wrapping_mul(0x9e37_79b9) >> 7 & 3 == 1;
        let mut slab = BitSlab::empty(rows, columns);
        let mut plain = VoxelGrid::empty(resolution, [0.0; 3], [1.0; 3], Fill::Unknown);
        for cell in (0..rows * columns).filter(|cell| is_set(*cell)) {
            slab.fill(cell, cell + 1);
            plain.set(resolution - 1, cell % columns, cell / columns);
        }
        let mut grid = VoxelGrid::empty(resolution, [0.0; 3], [1.0; 3], Fill::Unknown);
        slab.store(&mut grid, resolution - 1);
        assert_eq!(grid, plain, "{resolution} {rows} {columns}");
        if (rows, columns) == (resolution, resolution) {
            let mut again = BitSlab::empty(rows, columns);
            again.load(&grid, resolution - 1);
            assert_eq!(again.words, slab.words, "{resolution}");
        }
        let mut cells = Vec::new();
        slab.spans(|occupied, length| cells.extend(std::iter::repeat_n(occupied, length)));
        assert_eq!(cells, (0..rows * columns).map(is_set).collect::<Vec<_>>());
    }

    #[test]
    fn slabs_are_what_cell_by_cell_says() {
        for resolution in [1, 2, 7, 8, 31, 63, 64, 65, 100, 128, 130] {
            check(resolution, resolution, resolution);
            check(resolution, 1, resolution);
            check(resolution, resolution, 1);
            check(resolution, resolution.div_ceil(2), resolution.div_ceil(3));
        }
    }

    #[test]
    fn spans_are_filled_across_rows() {
        let mut slab = BitSlab::empty(3, 70);
        slab.fill(60, 150);
        let mut cells = Vec::new();
        slab.spans(|occupied, length| cells.extend(std::iter::repeat_n(occupied, length)));
        assert_eq!(cells, (0..210).map(|cell| (60..150).contains(&cell)).collect::<Vec<_>>());
    }
}
