//! Flood: what the empty cells at the border cannot reach is inside.

use std::collections::VecDeque;

use crate::kernels::columns::Columns;

/// The cells of `walls` and all that they enclose: every cell that no path from the border of the
/// grid through empty cells, face to face, reaches.
///
/// Works on any soup of triangles; a hole wider than a cell lets the flood in. Whole columns are
/// flooded at once, so the cost is a few operations on words for each column and each time the flood
/// reaches it anew.
pub(crate) fn fill_enclosed(walls: &Columns) -> Columns {
    let mut flood = Flood::begin(walls);
    while let Some(column) = flood.queue.pop_front() {
        flood.queued[column] = false;
        flood.spread_along(column);
        flood.spread_across(column);
    }
    flood.dry()
}

struct Flood<'a> {
    walls: &'a Columns,
    reached: Vec<u64>,
    queue: VecDeque<usize>,
    queued: Vec<bool>,
}

impl<'a> Flood<'a> {
    /// Water in every empty cell of the border.
    fn begin(walls: &'a Columns) -> Self {
        let (d, words) = (walls.resolution, walls.words);
        let mut reached = vec![0; walls.bits.len()];
        for column in 0..d * d {
            let (x, y) = (column / d, column % d);
            let is_side = x == 0 || y == 0 || x == d - 1 || y == d - 1;
            for word in 0..words {
                let ends =
                    u64::from(word == 0) | if word == words - 1 { 1 << ((d - 1) % 64) } else { 0 };
                let border = if is_side { walls.valid_bits(word) } else { ends };
                reached[column * words + word] = border & !walls.bits[column * words + word];
            }
        }
        Self { walls, reached, queue: (0..d * d).collect(), queued: vec![true; d * d] }
    }

    /// Up and down the column.
    fn spread_along(&mut self, column: usize) {
        let words = self.walls.words;
        let start = column * words;
        let mut carry = 0;
        for word in 0..words {
            let open = self.open(start, word);
            let filled = flood_up(self.reached[start + word] | (carry & open), open);
            self.reached[start + word] = filled;
            carry = filled >> 63;
        }
        carry = 0;
        for word in (0..words).rev() {
            let open = self.open(start, word).reverse_bits();
            let seeds = self.reached[start + word].reverse_bits() | (carry & open);
            let filled = flood_up(seeds, open);
            self.reached[start + word] = filled.reverse_bits();
            carry = filled >> 63;
        }
    }

    /// To the four columns beside it.
    fn spread_across(&mut self, column: usize) {
        let d = self.walls.resolution;
        let (x, y) = (column / d, column % d);
        let beside = [
            (x > 0).then(|| column - d),
            (x + 1 < d).then(|| column + d),
            (y > 0).then(|| column - 1),
            (y + 1 < d).then(|| column + 1),
        ];
        for neighbour in beside.into_iter().flatten() {
            if self.pour(column, neighbour) && !self.queued[neighbour] {
                self.queued[neighbour] = true;
                self.queue.push_back(neighbour);
            }
        }
    }

    /// Pours one column into another; says whether the other got anything new.
    fn pour(&mut self, from: usize, to: usize) -> bool {
        let words = self.walls.words;
        let mut is_new = false;
        for word in 0..words {
            let wet = self.reached[from * words + word];
            let fresh = wet & self.open(to * words, word) & !self.reached[to * words + word];
            self.reached[to * words + word] |= fresh;
            is_new |= fresh != 0;
        }
        is_new
    }

    fn open(&self, start: usize, word: usize) -> u64 {
        !self.walls.bits[start + word] & self.walls.valid_bits(word)
    }

    /// All that stayed dry.
    fn dry(self) -> Columns {
        let words = self.walls.words;
        let valid = |i: usize| self.walls.valid_bits(i % words);
        let bits = self.reached.iter().enumerate().map(|(i, wet)| !wet & valid(i)).collect();
        Columns { resolution: self.walls.resolution, words, bits }
    }
}

/// Lets `seeds`, a part of `open`, rise through the runs of ones of `open` towards the most
/// significant bit: the carry of an addition runs along each run.
fn flood_up(seeds: u64, open: u64) -> u64 {
    ((open.wrapping_add(seeds) ^ open) & open) | seeds
}

#[cfg(test)]
mod tests {
    use super::*;
    use voxflow_contract::Random;

    /// Cell by cell, with a stack.
    fn plain_fill(walls: &Columns) -> Vec<bool> {
        let d = walls.resolution as i64;
        let index = |c: [i64; 3]| ((c[0] * d + c[1]) * d + c[2]) as usize;
        let is_wall = |c: [i64; 3]| {
            let column = (c[0] * d + c[1]) as usize * walls.words;
            walls.bits[column + c[2] as usize / 64] >> (c[2] % 64) & 1 == 1
        };
        let mut dry = vec![true; (d * d * d) as usize];
        let all = (0..d).flat_map(|x| (0..d).flat_map(move |y| (0..d).map(move |z| [x, y, z])));
        let mut stack: Vec<_> =
            all.filter(|c| c.iter().any(|i| *i == 0 || *i == d - 1) && !is_wall(*c)).collect();
        while let Some(cell) = stack.pop() {
            if !std::mem::replace(&mut dry[index(cell)], false) {
                continue;
            }
            for (axis, step) in [(0, 1), (0, -1), (1, 1), (1, -1), (2, 1), (2, -1)] {
                let mut next = cell;
                next[axis] += step;
                if (0..d).contains(&next[axis]) && !is_wall(next) && dry[index(next)] {
                    stack.push(next);
                }
            }
        }
        dry
    }

    #[test]
    fn the_flood_reaches_what_a_plain_flood_reaches() {
        for (resolution, density) in [(1, 0.5), (2, 0.5), (7, 0.3), (20, 0.55), (66, 0.66)] {
            let mut random = Random::new(4, &["flood", &resolution.to_string()]);
            let mut walls = Columns::empty(resolution);
            for cell in 0..resolution.pow(3) {
                let (column, z) = (cell / resolution, cell % resolution);
                if random.chance(density) {
                    walls.set_span(column / resolution, column % resolution, z, z);
                }
            }
            let filled = fill_enclosed(&walls);
            let grid = filled.pack([0.0; 3], [1.0; 3], voxflow_contract::Fill::Unknown);
            let expected = plain_fill(&walls);
            assert!((0..expected.len()).all(|i| grid.get_index(i) == expected[i]), "{resolution}");
        }
    }

    #[test]
    fn runs_are_filled_upwards_from_every_seed() {
        assert_eq!(flood_up(0b0101_0000, 0b0111_0110), 0b0111_0000);
        assert_eq!(flood_up(1, u64::MAX), u64::MAX);
        assert_eq!(flood_up(0, u64::MAX), 0);
    }
}
