//! How well grids that a network imagines cover true ones: coverage and minimum matching distance
//! (Achlioptas et al. 2018) over intersection over union.

use voxflow_contract::Random;

use crate::metrics::iou_of_bits;

/// Grids that stand for a distribution, bit-packed.
pub(crate) type Grids = Vec<Vec<u8>>;

/// How a set of grids stands to true ones.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Match {
    /// Share of true grids that are the nearest one of some grid of the set.
    pub(crate) coverage: f64,
    /// Mean over true grids of 1 less the intersection over union with the nearest grid of the set.
    pub(crate) mmd: f64,
}

/// Compares `set` with true grids; none where one of them is empty. Takes time by their product.
pub(crate) fn compare(set: &[Vec<u8>], truth: &[Vec<u8>]) -> Option<Match> {
    if set.is_empty() || truth.is_empty() {
        return None;
    }
    let mut is_nearest = vec![false; truth.len()];
    let mut best = vec![0.0_f64; truth.len()];
    for grid in set {
        let (mut nearest, mut nearest_iou) = (0, -1.0);
        for (i, true_grid) in truth.iter().enumerate() {
            let iou = iou_of_bits(grid, true_grid).value;
            best[i] = best[i].max(iou);
            if iou > nearest_iou {
                (nearest, nearest_iou) = (i, iou);
            }
        }
        is_nearest[nearest] = true;
    }
    let count = truth.len() as f64;
    Some(Match {
        coverage: is_nearest.iter().filter(|&&is| is).count() as f64 / count,
        mmd: 1.0 - best.iter().sum::<f64>() / count,
    })
}

/// Occupancies at a threshold, one bit a cell.
pub(crate) fn pack(occupancies: &[f32], threshold: f64) -> Vec<u8> {
    let byte = |cells: &[f32]| {
        let occupied = |p: f32| u8::from(f64::from(p) >= threshold);
        cells.iter().enumerate().fold(0, |bits, (i, &p)| bits | occupied(p) << i)
    };
    occupancies.chunks(8).map(byte).collect()
}

/// So many grids of `cells` independent cells, each occupied by chance `share`.
pub(crate) fn noise(count: usize, cells: usize, share: f64, random: &mut Random) -> Grids {
    let mut grid = || {
        let numbers: Vec<f32> = (0..cells).map(|_| random.unit() as f32).collect();
        pack(&numbers, 1.0 - share)
    };
    (0..count).map(|_| grid()).collect()
}

/// Share of cells that are occupied, over all grids.
pub(crate) fn occupied_share(grids: &[Vec<u8>]) -> f64 {
    let ones: u64 = grids.iter().flatten().map(|byte| u64::from(byte.count_ones())).sum();
    let cells: usize = grids.iter().map(|grid| grid.len() * 8).sum();
    ones as f64 / cells.max(1) as f64
}

/// Connected pieces of a grid of edge `n`, cells that share a face: how many, and the share of
/// occupied cells in the largest. An empty grid has none, and a share of 0.
pub(crate) fn pieces(bits: &[u8], n: usize) -> (usize, f64) {
    let is_occupied = |cell: usize| bits[cell / 8] >> (cell % 8) & 1 == 1;
    let mut is_seen = vec![false; n * n * n];
    let (mut count, mut largest, mut total) = (0, 0, 0);
    let mut stack = Vec::new();
    for start in 0..n * n * n {
        if is_seen[start] || !is_occupied(start) {
            continue;
        }
        let mut size = 0;
        is_seen[start] = true;
        stack.push(start);
        while let Some(cell) = stack.pop() {
            size += 1;
            let place = [cell / (n * n), cell / n % n, cell % n];
            for (axis, stride) in [n * n, n, 1].into_iter().enumerate() {
                let below = (place[axis] > 0).then(|| cell - stride);
                let above = (place[axis] + 1 < n).then(|| cell + stride);
                for next in below.into_iter().chain(above) {
                    if !is_seen[next] && is_occupied(next) {
                        is_seen[next] = true;
                        stack.push(next);
                    }
                }
            }
        }
        count += 1;
        total += size;
        largest = largest.max(size);
    }
    (count, f64::from(largest) / f64::from(total.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_grids_cover_each_other() {
        let truth: Grids = vec![vec![0b0011], vec![0b1100]];
        assert_eq!(compare(&truth, &truth), Some(Match { coverage: 1.0, mmd: 0.0 }));
        let one = vec![vec![0b0011], vec![0b0001]];
        assert_eq!(compare(&one, &truth), Some(Match { coverage: 0.5, mmd: 0.5 }));
        assert_eq!(compare(&[], &truth), None);
    }

    #[test]
    fn noise_has_the_share_it_is_given() {
        let mut random = Random::new(1, &["noise"]);
        let share = occupied_share(&noise(20, 4096, 0.2, &mut random));
        assert!((share - 0.2).abs() < 0.01, "{share}");
    }

    #[test]
    fn pieces_meet_at_faces() {
        let mut bits = vec![0_u8; 8];
        let mut set = |x: usize, y: usize, z: usize| {
            let cell = x * 16 + y * 4 + z;
            bits[cell / 8] |= 1 << (cell % 8);
        };
        set(0, 0, 0);
        set(0, 0, 1);
        set(1, 0, 1);
        // Only an edge is shared with the rest.
        set(2, 1, 1);
        assert_eq!(pieces(&bits, 4), (2, 0.75));
        assert_eq!(pieces(&[0; 8], 4), (0, 0.0));
    }
}
