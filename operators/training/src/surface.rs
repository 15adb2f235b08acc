//! Distances between the surfaces of two grids, and the squared error of occupancies.

/// How far two surfaces are apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Apart {
    /// Mean distance of a cell of one surface to the nearest one of the other, in both directions,
    /// summed, not squared, in edges of the grid; none when one of the grids is empty.
    pub(crate) chamfer: Option<f64>,
    /// Harmonic mean of the shares of either surface's cells that are within one cell of the other's
    /// surface; 1 when both grids are empty, 0 when one is.
    pub(crate) f_score: f64,
}

/// Compares the surfaces of bit-packed grids of edge `n`: the centres of occupied cells one of whose
/// six neighbours is empty or outside.
pub(crate) fn apart(a: &[u8], b: &[u8], n: usize) -> Apart {
    let surfaces = [a, b].map(|bits| surface(bits, n));
    match surfaces.each_ref().map(|cells| cells.is_empty()) {
        [true, true] => return Apart { chamfer: None, f_score: 1.0 },
        [false, false] => {}
        _ => return Apart { chamfer: None, f_score: 0.0 },
    }
    let [to_a, to_b] = surfaces.each_ref().map(|cells| squared_distances(cells, n));
    let direction = |cells: &[usize], squared: &[f64]| {
        let (mut sum, mut near) = (0.0, 0);
        for &cell in cells {
            sum += squared[cell].sqrt();
            near += usize::from(squared[cell] <= 1.0);
        }
        (sum / cells.len() as f64, near as f64 / cells.len() as f64)
    };
    let (from_a, precision) = direction(&surfaces[0], &to_b);
    let (from_b, recall) = direction(&surfaces[1], &to_a);
    let f_score = 2.0 * precision * recall / (precision + recall).max(f64::MIN_POSITIVE);
    Apart { chamfer: Some((from_a + from_b) / n as f64), f_score }
}

/// Squared error of occupancies, summed over the cells of a grid.
pub(crate) fn squared_error(occupancies: &[f32], truth: &[f32]) -> f64 {
    occupancies.iter().zip(truth).map(|(&p, &t)| f64::from(p - t).powi(2)).sum()
}

fn surface(bits: &[u8], n: usize) -> Vec<usize> {
    let is_occupied = |x: usize, y: usize, z: usize| {
        let cell = (x * n + y) * n + z;
        bits[cell / 8] >> (cell % 8) & 1 == 1
    };
    let mut cells = Vec::new();
    for x in 0..n {
        for y in 0..n {
            for z in 0..n {
                let is_inner = |v: usize| v > 0 && v + 1 < n;
                let is_buried = || {
                    is_inner(x)
                        && is_inner(y)
                        && is_inner(z)
                        && is_occupied(x - 1, y, z)
                        && is_occupied(x + 1, y, z)
                        && is_occupied(x, y - 1, z)
                        && is_occupied(x, y + 1, z)
                        && is_occupied(x, y, z - 1)
                        && is_occupied(x, y, z + 1)
                };
                if is_occupied(x, y, z) && !is_buried() {
                    cells.push((x * n + y) * n + z);
                }
            }
        }
    }
    cells
}

/// Squared distance of every cell to the nearest of `cells`, in cells: exact, one axis after the other
/// (Felzenszwalb and Huttenlocher 2012).
fn squared_distances(cells: &[usize], n: usize) -> Vec<f64> {
    let mut squared = vec![f64::INFINITY; n * n * n];
    cells.iter().for_each(|&cell| squared[cell] = 0.0);
    let mut line = vec![0.0; n];
    for stride in [1, n, n * n] {
        for start in (0..n * n * n).filter(|cell| cell / stride % n == 0) {
            (0..n).for_each(|i| line[i] = squared[start + i * stride]);
            let lowered = lower_envelope(&line);
            (0..n).for_each(|i| squared[start + i * stride] = lowered[i]);
        }
    }
    squared
}

/// Least of `line[q] + (p - q)^2` over all q, for every p.
fn lower_envelope(line: &[f64]) -> Vec<f64> {
    let parabolas: Vec<usize> = (0..line.len()).filter(|&q| line[q].is_finite()).collect();
    let Some((&first, rest)) = parabolas.split_first() else { return line.to_vec() };
    // Parabolas that are lowest somewhere, each with where it begins to be.
    let mut lowest = vec![(first, f64::NEG_INFINITY)];
    for &q in rest {
        let height = |q: usize| line[q] + (q * q) as f64;
        let meets = |v: usize| (height(q) - height(v)) / (2.0 * (q - v) as f64);
        while lowest.last().is_some_and(|&(v, begin)| meets(v) <= begin) {
            lowest.pop();
        }
        let begin = lowest.last().map_or(f64::NEG_INFINITY, |&(v, _)| meets(v));
        lowest.push((q, begin));
    }
    let mut at = 0;
    (0..line.len())
        .map(|p| {
            while lowest.get(at + 1).is_some_and(|&(_, begin)| begin < p as f64) {
                at += 1;
            }
            let q = lowest[at].0;
            line[q] + (p.abs_diff(q) as f64).powi(2)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imagined::noise;
    use voxflow_contract::Random;

    fn plain(a: &[u8], b: &[u8], n: usize) -> (f64, f64) {
        let place = |cell: usize| [cell / (n * n), cell / n % n, cell % n];
        let one_way = |from: &[usize], to: &[usize]| {
            let nearest = |&cell: &usize| {
                let squares = |&other: &usize| -> f64 {
                    let (p, q) = (place(cell), place(other));
                    (0..3).map(|i| (p[i].abs_diff(q[i]) as f64).powi(2)).sum()
                };
                to.iter().map(squares).fold(f64::INFINITY, f64::min).sqrt()
            };
            let all: Vec<f64> = from.iter().map(nearest).collect();
            let near = all.iter().filter(|&&d| d <= 1.0).count() as f64;
            (all.iter().sum::<f64>() / all.len() as f64, near / all.len() as f64)
        };
        let (a, b) = (surface(a, n), surface(b, n));
        let ((there, precision), (back, recall)) = (one_way(&a, &b), one_way(&b, &a));
        let f_score = match precision + recall {
            0.0 => 0.0,
            sum => 2.0 * precision * recall / sum,
        };
        ((there + back) / n as f64, f_score)
    }

    #[test]
    fn distances_are_those_of_all_pairs() {
        let mut random = Random::new(3, &["surfaces"]);
        for share in [0.004, 0.05, 0.6] {
            let grids = noise(2, 16 * 16 * 16, share, &mut random);
            let found = apart(&grids[0], &grids[1], 16);
            let (chamfer, f_score) = plain(&grids[0], &grids[1], 16);
            assert!((found.chamfer.expect("cells") - chamfer).abs() < 1e-9);
            assert!((found.f_score - f_score).abs() < 1e-9);
        }
    }

    #[test]
    fn a_grid_is_at_no_distance_of_itself_and_an_empty_one_at_none() {
        let grid = vec![0b0001_1000; 8];
        assert_eq!(apart(&grid, &grid, 4), Apart { chamfer: Some(0.0), f_score: 1.0 });
        let empty = vec![0; 8];
        assert_eq!(apart(&grid, &empty, 4), Apart { chamfer: None, f_score: 0.0 });
        assert_eq!(apart(&empty, &empty, 4), Apart { chamfer: None, f_score: 1.0 });
    }

    #[test]
    fn only_the_skin_is_a_surface() {
        assert_eq!(surface(&[255; 8], 4).len(), 64 - 8);
        assert_eq!(squared_error(&[0.5, 1.0], &[1.0, 1.0]), 0.25);
    }
}
