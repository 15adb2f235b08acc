//! `Timings`: how long batches of known sizes took, and the price that fits them.

use serde::{Deserialize, Serialize};

use super::size::{Features, NOMINAL, Size, dot};

/// Batches that one size-blind guess counts for: what the timings leave open, it decides.
const GUESS_BATCHES: f64 = 0.1;
/// Deviation of a batch from its price, as a share, of which one batch is believed beforehand.
const GUESS_DEVIATION: f64 = 0.3;

/// Sums over batches that were timed; all that a fit by least squares needs. Two can be added.
///
/// A batch weighs the less the larger it is, as 1 / [`Size::nominal`]: its variance grows with its size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Timings {
    batches: u64,
    /// Of all batches.
    size: Size,
    /// Of all batches.
    nanos: u64,
    /// Weighted products of the features of a batch: of each with itself and the later ones.
    products: [f64; 6],
    /// Weighted products of the features with the seconds.
    by_time: Features,
    /// Weighted squares of the seconds.
    time_squares: f64,
}

/// What rows cost: seconds for each feature, none negative, and how sure that is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Price {
    /// Seconds a row, a KiB, a thousand triangles.
    per: Features,
    /// What the fit has seen, as the matrix of its normal equations.
    seen: [Features; 3],
    /// Square seconds that a batch of nominal size 1 deviates by.
    noise: f64,
}

type Matrix = [Features; 3];

impl Timings {
    /// Adds a batch.
    pub(crate) fn add(&mut self, size: Size, nanos: u64) {
        let nominal = size.nominal();
        if nominal <= 0.0 {
            return;
        }
        let (x, seconds, weight) = (size.features(), nanos as f64 / 1e9, 1.0 / nominal);
        self.batches += 1;
        self.size += size;
        self.nanos += nanos;
        for (sum, (i, j)) in self.products.iter_mut().zip(PAIRS) {
            *sum += weight * x[i] * x[j];
        }
        for (sum, x) in self.by_time.iter_mut().zip(x) {
            *sum += weight * x * seconds;
        }
        self.time_squares += weight * seconds * seconds;
    }

    /// Adds what others timed.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.batches += other.batches;
        self.size += other.size;
        self.nanos += other.nanos;
        self.products.iter_mut().zip(other.products).for_each(|(sum, more)| *sum += more);
        self.by_time.iter_mut().zip(other.by_time).for_each(|(sum, more)| *sum += more);
        self.time_squares += other.time_squares;
    }

    /// The price that fits best: non-negative least squares. `None` where nothing was timed.
    ///
    /// All batches together cost by it what they took. Where they are all alike, nobody can say from
    /// them whether rows, bytes or triangles cost: then each has the share that [`NOMINAL`] gives it.
    pub(crate) fn fit(&self) -> Option<Price> {
        let (nominal, seconds) = (self.size.nominal(), self.nanos as f64 / 1e9);
        if self.batches == 0 || nominal <= 0.0 {
            return None;
        }
        let (batches, rate) = (self.batches as f64, seconds / nominal);
        let mut seen = self.matrix();
        let mut wanted = self.by_time;
        let guess = GUESS_BATCHES / batches;
        for i in 0..NOMINAL.len() {
            wanted[i] += guess * seen[i][i] * rate * NOMINAL[i];
            seen[i][i] *= 1.0 + guess;
        }
        let mut per = non_negative(&seen, &wanted);
        let fitted = dot(&per, &self.size.features());
        if fitted > 0.0 {
            per = per.map(|per| per * seconds / fitted);
        }
        let squares = self.squares_left(&per);
        let free = (batches - per.iter().filter(|per| **per > 0.0).count() as f64).max(0.0);
        let believed = (GUESS_DEVIATION * rate).powi(2) * nominal / batches;
        Some(Price { per, seen, noise: (squares + believed) / (free + 1.0) })
    }

    fn matrix(&self) -> Matrix {
        let mut matrix = Matrix::default();
        for (sum, (i, j)) in self.products.iter().zip(PAIRS) {
            (matrix[i][j], matrix[j][i]) = (*sum, *sum);
        }
        matrix
    }

    /// Weighted squares of what the price does not explain.
    fn squares_left(&self, per: &Features) -> f64 {
        let explained: f64 = self.matrix().iter().zip(per).map(|(row, p)| p * dot(row, per)).sum();
        (self.time_squares - 2.0 * dot(per, &self.by_time) + explained).max(0.0)
    }
}

/// Places of [`Timings::products`] in the matrix.
const PAIRS: [(usize, usize); 6] = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)];

impl Price {
    /// One price for every row, where no sizes were written down.
    pub(super) fn of_rows(rows: u64, nanos: u64) -> Option<Self> {
        let mut timings = Timings::default();
        timings.add(Size { rows, ..Size::default() }, nanos);
        timings.fit()
    }

    /// Seconds that rows of this size are likely to take on one core.
    pub(crate) fn seconds(&self, size: &Size) -> f64 {
        dot(&self.per, &size.features())
    }

    /// Square seconds by which that may be wrong: rows differ, and so does what they were fitted to.
    pub(crate) fn variance(&self, size: &Size) -> f64 {
        let x = size.features();
        let unsure = solve(self.seen, x, 0b111).map_or(0.0, |solved| dot(&solved, &x));
        self.noise * (size.nominal() + unsure.max(0.0))
    }
}

/// The least squares whose solution has nothing negative: of all choices of what is zero, the best.
fn non_negative(matrix: &Matrix, wanted: &Features) -> Features {
    let solutions = (1..8u8).filter_map(|chosen| solve(*matrix, *wanted, chosen));
    let feasible = solutions.filter(|solution| solution.iter().all(|value| *value >= 0.0));
    // At the least of a choice the squares are fewer by just this product.
    let best = feasible.max_by(|a, b| dot(a, wanted).total_cmp(&dot(b, wanted)));
    best.unwrap_or_default()
}

/// Solves for the chosen unknowns, one a bit, with the others zero; `None` when the equations do not
/// tell them apart. What was never seen is zero, too.
fn solve(mut matrix: Matrix, mut wanted: Features, chosen: u8) -> Option<Features> {
    let scale = [matrix[0][0], matrix[1][1], matrix[2][2]];
    let is_in = |i: usize| chosen & 1 << i != 0 && scale[i] > 0.0;
    for i in (0..3).filter(|&i| !is_in(i)) {
        for j in 0..3 {
            (matrix[i][j], matrix[j][i]) = (0.0, 0.0);
        }
        (matrix[i][i], wanted[i]) = (1.0, 0.0);
    }
    for i in 0..3 {
        if matrix[i][i] <= 1e-12 * scale[i] {
            return None;
        }
        for below in i + 1..3 {
            let times = matrix[below][i] / matrix[i][i];
            let row = matrix[i];
            matrix[below].iter_mut().zip(row).for_each(|(value, above)| *value -= times * above);
            wanted[below] -= times * wanted[i];
        }
    }
    let mut solution = Features::default();
    for i in (0..3).rev() {
        let known: f64 = (i + 1..3).map(|j| matrix[i][j] * solution[j]).sum();
        solution[i] = (wanted[i] - known) / matrix[i][i];
    }
    Some(solution)
}

#[cfg(test)]
mod tests {
    use super::*;
    use voxflow_contract::Random;

    fn size(rows: u64, kib: u64, triangles: u64) -> Size {
        Size { rows, bytes: kib << 10, triangles }
    }

    /// Batches of small meshes that differ a little, and giants.
    fn timings(seconds: impl Fn(&Size) -> f64, giants: u64) -> Timings {
        let mut random = Random::new(7, &["timings"]);
        let mut timings = Timings::default();
        let mut add = |size: Size| {
            let noise = 0.9 + 0.2 * random.unit();
            timings.add(size, (seconds(&size) * noise * 1e9) as u64);
        };
        for batch in 0..30 {
            add(size(30 + batch, 40 * (30 + batch) + batch * batch, 1000 * (30 + batch)));
        }
        (0..giants).for_each(|giant| add(size(1, 40_000 + giant * 10_000, 1_000_000)));
        timings
    }

    fn assert_near(found: f64, right: f64, share: f64) {
        assert!((found - right).abs() <= share * right, "{found} is not near {right}");
    }

    #[test]
    fn what_time_depends_on_is_found_and_the_past_costs_what_it_took() {
        let by_triangle = |size: &Size| 1e-4 * size.rows as f64 + 2e-6 * size.triangles as f64;
        let timed = timings(by_triangle, 2);
        let price = timed.fit().expect("timings");
        assert_near(price.seconds(&timed.size), timed.nanos as f64 / 1e9, 1e-9);
        for asked in [size(1000, 40_000, 1_000_000), size(1, 40_000, 1_000_000)] {
            assert_near(price.seconds(&asked), by_triangle(&asked), 0.15);
            let deviation = price.variance(&asked).sqrt();
            assert!(deviation < 0.2 * by_triangle(&asked), "{deviation}");
        }
        let by_row = |size: &Size| 3e-3 * size.rows as f64;
        let price = timings(by_row, 2).fit().expect("timings");
        assert_near(price.seconds(&size(100, 0, 0)), 0.3, 0.15);
        assert!(price.seconds(&size(1, 40_000, 1_000_000)) < 0.1, "a giant is one row");
    }

    #[test]
    fn few_timings_give_the_mean_and_say_how_unsure_they_are() {
        assert_eq!(Timings::default().fit(), None);
        let mut one = Timings::default();
        one.add(size(10, 400, 10_000), 2_000_000_000);
        let price = one.fit().expect("a timing");
        assert_near(price.seconds(&size(5, 200, 5_000)), 1.0, 1e-9);
        let sure =
            |price: &Price, asked: &Size| price.variance(asked).sqrt() / price.seconds(asked);
        assert!(sure(&price, &size(10, 400, 10_000)) > 0.2);
        let small = timings(|size| 1e-3 * size.rows as f64, 0).fit().expect("timings");
        let (like, giant) = (size(100, 4_000, 100_000), size(1, 40_000, 1_000_000));
        assert!(sure(&small, &giant) > 3.0 * sure(&small, &like), "no giant was ever seen");
        let mean = Price::of_rows(4, 8_000_000_000).expect("rows");
        assert_near(mean.seconds(&size(3, 1_000, 0)), 6.0, 1e-9);
    }

    #[test]
    fn sums_can_be_merged_and_survive_their_file() {
        let whole = timings(|size| 1e-3 * size.rows as f64, 1);
        let mut merged = whole;
        merged.merge(&whole);
        let (price, twice) = (whole.fit().expect("some"), merged.fit().expect("some"));
        let asked = size(100, 4_000, 100_000);
        assert_near(twice.seconds(&asked), price.seconds(&asked), 0.01);
        let text = serde_json::to_string(&whole).expect("JSON");
        let back: Timings = serde_json::from_str(&text).expect("JSON");
        let back = back.fit().expect("some");
        assert_near(back.seconds(&asked), price.seconds(&asked), 1e-9);
    }

    #[test]
    fn the_fit_is_that_of_a_search_over_a_grid() {
        let timed = timings(|size| 2e-3 * size.rows as f64 + 1e-5 * size.bytes as f64 / 1024.0, 3);
        let best = non_negative(&timed.matrix(), &timed.by_time);
        let least = timed.squares_left(&best);
        for mask in 0..64u32 {
            let step = |i: usize| f64::from(mask >> (2 * i) & 3) - 1.0;
            let other = [0, 1, 2].map(|i| (best[i] + 0.05 * step(i) * (best[i] + 1e-6)).max(0.0));
            assert!(timed.squares_left(&other) >= least * (1.0 - 1e-9), "{other:?} is better");
        }
    }
}
