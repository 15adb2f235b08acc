//! Intersection over union of occupancy grids, per sample, per class and overall.

use std::collections::BTreeMap;

use voxflow_contract::{Batch, BatchError, Values, tables};

/// How well one grid was met at one threshold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Iou {
    /// Cells in both over cells in either; 1 when both grids are empty.
    pub value: f64,
    /// Whether both grids are empty, so that the 1 says little.
    pub both_empty: bool,
}

/// Intersection over union of a grid of probabilities and a bit-packed true grid.
///
/// A cell is occupied when its probability is at least `threshold`.
pub fn iou_at(probabilities: &[f32], truth: &[u8], threshold: f64) -> Iou {
    let (mut both, mut either) = (0_u64, 0_u64);
    for (cells, &bits) in probabilities.chunks(8).zip(truth) {
        let mut predicted = 0_u8;
        for (i, &p) in cells.iter().enumerate() {
            predicted |= u8::from(f64::from(p) >= threshold) << i;
        }
        both += u64::from((predicted & bits).count_ones());
        either += u64::from((predicted | bits).count_ones());
    }
    ratio(both, either)
}

/// Intersection over union of two bit-packed grids.
pub fn iou_of_bits(predicted: &[u8], truth: &[u8]) -> Iou {
    let count = |of: fn(u8, u8) -> u8| -> u64 {
        predicted.iter().zip(truth).map(|(&a, &b)| u64::from(of(a, b).count_ones())).sum()
    };
    ratio(count(|a, b| a & b), count(|a, b| a | b))
}

fn ratio(both: u64, either: u64) -> Iou {
    let both_empty = either == 0;
    Iou { value: if both_empty { 1.0 } else { both as f64 / either as f64 }, both_empty }
}

/// A bit-packed grid as numbers 0 and 1, `cells` of them.
pub fn unpack_bits(bits: &[u8], cells: usize) -> Vec<f32> {
    (0..cells).map(|i| f32::from(bits[i / 8] >> (i % 8) & 1)).collect()
}

/// Sums over the samples of one class.
#[derive(Debug, Clone, Default, PartialEq)]
struct ClassSums {
    samples: u64,
    sums: Vec<f64>,
    both_empty: Vec<u64>,
}

/// Collects the figures of one subject (the model, a baseline) over samples.
#[derive(Debug, Clone, PartialEq)]
pub struct IouTally {
    thresholds: Vec<f64>,
    classes: BTreeMap<String, ClassSums>,
}

impl IouTally {
    /// An empty tally.
    pub fn new(thresholds: &[f64]) -> Self {
        Self { thresholds: thresholds.to_vec(), classes: BTreeMap::new() }
    }

    /// Counts one sample; `iou` is asked for each threshold.
    pub fn add(&mut self, category: &str, iou: impl Fn(f64) -> Iou) {
        let count = self.thresholds.len();
        let class = self.classes.entry(category.to_owned()).or_default();
        class.samples += 1;
        class.sums.resize(count, 0.0);
        class.both_empty.resize(count, 0);
        for (i, &threshold) in self.thresholds.iter().enumerate() {
            let found = iou(threshold);
            class.sums[i] += found.value;
            class.both_empty[i] += u64::from(found.both_empty);
        }
    }

    /// The thresholds.
    pub fn thresholds(&self) -> &[f64] {
        &self.thresholds
    }

    /// Samples counted so far.
    pub fn samples(&self) -> u64 {
        self.classes.values().map(|class| class.samples).sum()
    }

    /// Names of the classes and their number of samples, sorted.
    pub fn classes(&self) -> impl Iterator<Item = (&str, u64)> {
        self.classes.iter().map(|(name, class)| (name.as_str(), class.samples))
    }

    /// Mean over the samples of a class at threshold number `index`.
    pub fn class_mean(&self, category: &str, index: usize) -> Option<f64> {
        let class = self.classes.get(category)?;
        Some(class.sums[index] / class.samples as f64)
    }

    /// Mean over all samples at threshold number `index`; `None` without samples.
    pub fn mean(&self, index: usize) -> Option<f64> {
        let sum: f64 = self.classes.values().map(|class| class.sums[index]).sum();
        (!self.classes.is_empty()).then(|| sum / self.samples() as f64)
    }

    /// Mean over the classes' means at threshold number `index`: every class counts alike.
    pub fn mean_of_classes(&self, index: usize) -> Option<f64> {
        let means = self.classes.values().map(|class| class.sums[index] / class.samples as f64);
        (!self.classes.is_empty()).then(|| means.sum::<f64>() / self.classes.len() as f64)
    }

    /// Samples where both grids were empty at threshold number `index`.
    pub fn both_empty(&self, index: usize) -> u64 {
        self.classes.values().map(|class| class.both_empty[index]).sum()
    }

    /// Number of the threshold with the highest mean over samples, the lowest of equals.
    pub fn best(&self) -> Option<usize> {
        let means: Option<Vec<f64>> = (0..self.thresholds.len()).map(|i| self.mean(i)).collect();
        let means = means?;
        (0..means.len()).reduce(|best, i| if means[i] > means[best] { i } else { best })
    }

    /// All figures, as rows of the metric table: `iou` per class and over samples (class `*`),
    /// `iou_class_mean` over classes, `both_empty` as a share of samples.
    pub fn measurements(&self, subject: &str) -> Vec<Measurement> {
        let mut found = Vec::new();
        for (i, &threshold) in self.thresholds.iter().enumerate() {
            let mut push = |name: &str, category: &str, value: Option<f64>, samples| {
                found.extend(value.map(|value| Measurement {
                    threshold: Some(threshold),
                    samples,
                    ..Measurement::new(name, subject, category, value)
                }));
            };
            let all = self.samples();
            push("iou", "*", self.mean(i), all);
            push("iou_class_mean", "*", self.mean_of_classes(i), all);
            push("both_empty", "*", Some(self.both_empty(i) as f64 / all.max(1) as f64), all);
            for (class, samples) in self.classes() {
                push("iou", class, self.class_mean(class, i), samples);
            }
        }
        found
    }
}

/// One row of the metric table, without the stage.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurement {
    /// What was measured.
    pub name: String,
    /// What it was measured on.
    pub subject: String,
    /// Class, or `*` for all.
    pub category: String,
    /// Occupancy threshold, where one matters.
    pub threshold: Option<f64>,
    /// Epochs that had been trained.
    pub epoch: Option<u64>,
    /// Steps that had been trained.
    pub step: Option<u64>,
    /// The number.
    pub value: f64,
    /// Samples it was measured on.
    pub samples: u64,
}

impl Measurement {
    /// A number without threshold, epoch and step.
    pub fn new(name: &str, subject: &str, category: &str, value: f64) -> Self {
        Self {
            name: name.to_owned(),
            subject: subject.to_owned(),
            category: category.to_owned(),
            threshold: None,
            epoch: None,
            step: None,
            value,
            samples: 0,
        }
    }
}

/// Measurements as a batch of the metric table.
///
/// # Errors
/// Never for fewer than 2^31 bytes of text.
pub fn metric_batch(stage: &str, rows: &[Measurement]) -> Result<Batch, BatchError> {
    let text = |get: fn(&Measurement) -> &str| Values::utf8(rows.iter().map(get));
    Batch::new(
        tables::metric(),
        vec![
            Values::utf8(rows.iter().map(|_| stage)),
            text(|row| &row.name),
            text(|row| &row.subject),
            Values::optional_utf8(rows.iter().map(|row| Some(row.category.as_str()))),
            Values::optional_numbers(rows.iter().map(|row| row.threshold)),
            Values::optional_numbers(rows.iter().map(|row| row.epoch)),
            Values::optional_numbers(rows.iter().map(|row| row.step)),
            Values::numbers(rows.iter().map(|row| row.value).collect::<Vec<f64>>()),
            Values::numbers(rows.iter().map(|row| row.samples).collect::<Vec<u64>>()),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use voxflow_contract::{Fill, VoxelGrid};

    fn grid(cells: &[usize]) -> VoxelGrid {
        let mut grid = VoxelGrid::empty(2, [0.0; 3], [1.0; 3], Fill::Unknown);
        cells.iter().for_each(|&cell| grid.set_index(cell));
        grid
    }

    #[test]
    fn a_cell_at_the_threshold_is_occupied() {
        let probabilities = [0.5, 0.4999, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0];
        let truth = grid(&[0, 1]);
        let found = iou_at(&probabilities, truth.bits(), 0.5);
        assert_eq!(found, Iou { value: 1.0 / 3.0, both_empty: false });
    }

    #[test]
    fn figures_agree_with_those_of_the_grids() {
        let (a, b) = (grid(&[0, 3, 5]), grid(&[3, 5, 6, 7]));
        let unpacked = unpack_bits(a.bits(), 8);
        assert_eq!(iou_at(&unpacked, b.bits(), 0.5).value, a.iou(&b));
        assert_eq!(iou_of_bits(a.bits(), b.bits()).value, a.iou(&b));
    }

    #[test]
    fn two_empty_grids_agree_and_are_counted_apart() {
        let empty = grid(&[]);
        let found = iou_of_bits(empty.bits(), empty.bits());
        assert_eq!(found, Iou { value: 1.0, both_empty: true });
    }

    #[test]
    fn classes_weigh_alike_only_where_it_says_so() {
        let mut tally = IouTally::new(&[0.3, 0.5]);
        let iou = |value| move |t: f64| Iou { value: value * t, both_empty: false };
        tally.add("a", iou(1.0));
        tally.add("a", iou(1.0));
        tally.add("b", iou(0.4));
        assert_eq!(tally.mean(1), Some((0.5 + 0.5 + 0.2) / 3.0));
        assert_eq!(tally.mean_of_classes(1), Some(0.35));
        assert_eq!(tally.best(), Some(1));
        let rows = tally.measurements("model");
        assert_eq!(rows.len(), 2 * 5);
        let batch = metric_batch("evaluate", &rows).expect("a batch");
        assert_eq!(batch.rows(), 10);
        assert_eq!(IouTally::new(&[0.5]).best(), None);
    }
}
