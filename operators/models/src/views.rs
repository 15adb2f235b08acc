//! Several views of each object in one batch: how many each has, and how their codes become one.

use std::ops::Range;

use burn::config::Config;
use burn::tensor::{Device, Int, Tensor, TensorData};

/// How the codes of an object's views become one code.
#[derive(Config, Debug, Copy, PartialEq, Eq)]
pub enum CombineViews {
    /// Their mean.
    Mean,
    /// The largest of each number.
    Max,
}

/// What the encoder's normalisation sees at once in training.
#[derive(Config, Debug, Copy, PartialEq, Eq)]
pub enum ViewStatistics {
    /// All views of all objects, as one batch.
    Joint,
    /// The first views of all objects, then their second ones, and so on, as public code does: as many
    /// passes as views, each with statistics of its own, each moving the running ones.
    PerView,
}

/// Samples without a view, or no samples at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoViews {
    /// The first sample that has none; none when there are no samples.
    pub sample: Option<usize>,
}

impl std::fmt::Display for NoViews {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.sample {
            Some(sample) => write!(f, "sample {sample} has no view"),
            None => write!(f, "there are no samples"),
        }
    }
}

impl std::error::Error for NoViews {}

/// How many views each sample of a batch has. Views lie in one axis, those of the first sample
/// first; nothing is padded, so that no made-up picture enters the statistics of a normalisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Views {
    counts: Vec<usize>,
}

impl Views {
    /// Samples with `counts` views.
    ///
    /// # Errors
    /// When there are no samples, or one has no view.
    pub fn new(counts: Vec<usize>) -> Result<Self, NoViews> {
        match counts.iter().position(|&count| count == 0) {
            Some(sample) => Err(NoViews { sample: Some(sample) }),
            None if counts.is_empty() => Err(NoViews { sample: None }),
            None => Ok(Self { counts }),
        }
    }

    /// `samples` samples with `views` views each.
    ///
    /// # Errors
    /// When one of the two is 0.
    pub fn even(samples: usize, views: usize) -> Result<Self, NoViews> {
        Self::new(vec![views; samples])
    }

    /// Number of samples.
    pub fn samples(&self) -> usize {
        self.counts.len()
    }

    /// Number of views of all samples.
    pub fn total(&self) -> usize {
        self.counts.iter().sum()
    }

    /// The views of some samples, and which rows of all views those are.
    ///
    /// # Panics
    /// When `samples` is empty or runs over the last one.
    pub fn part(&self, samples: Range<usize>) -> (Self, Range<usize>) {
        let rows_before = |sample: usize| self.counts[..sample].iter().sum();
        let rows = rows_before(samples.start)..rows_before(samples.end);
        let counts = self.counts[samples].to_vec();
        assert!(!counts.is_empty(), "a part has samples");
        (Self { counts }, rows)
    }

    /// The codes of views as one code for each sample.
    ///
    /// # Shapes
    /// - codes: `[total, z_size]`
    /// - result: `[samples, z_size]`
    pub fn combine(&self, how: CombineViews, codes: Tensor<2>) -> Tensor<2> {
        match how {
            CombineViews::Mean => self.means(codes),
            CombineViews::Max => self.largest(&codes),
        }
    }

    /// Mean over samples of the mean over a sample's views.
    ///
    /// # Shapes
    /// - values: `[total]`
    /// - result: `[1]`
    pub fn average(&self, values: Tensor<1>) -> Tensor<1> {
        self.means(values.unsqueeze_dim::<2>(1)).mean()
    }

    fn means(&self, codes: Tensor<2>) -> Tensor<2> {
        let (samples, total) = (self.samples(), self.total());
        let mut shares = vec![0.0_f32; samples * total];
        let mut first = 0;
        for (sample, &count) in self.counts.iter().enumerate() {
            let row = sample * total + first;
            shares[row..row + count].fill(1.0 / count as f32);
            first += count;
        }
        let shares = TensorData::new(shares, [samples, total]);
        Tensor::<2>::from_data(shares, &codes.device()).matmul(codes)
    }

    /// A sample with fewer views than another has its last one again, which changes no maximum.
    fn largest(&self, codes: &Tensor<2>) -> Tensor<2> {
        let [_, z_size] = codes.dims();
        let most = self.counts.iter().copied().max().unwrap_or(1);
        let mut rows = Vec::new();
        let mut first = 0;
        for &count in &self.counts {
            rows.extend((0..most).map(|view| first + view.min(count - 1)));
            first += count;
        }
        let picked = codes.clone().select(0, indices(&rows, &codes.device()));
        let picked = picked.reshape([self.samples(), most, z_size]);
        picked.max_dim(1).squeeze_dim::<2>(1)
    }

    /// Rows of first views, of second ones, and so on.
    fn by_place(&self) -> Vec<Vec<usize>> {
        let most = self.counts.iter().copied().max().unwrap_or(0);
        let mut places = vec![Vec::new(); most];
        let mut first = 0;
        for &count in &self.counts {
            (0..count).for_each(|view| places[view].push(first + view));
            first += count;
        }
        places
    }

    /// What `encode` makes of views, of all at once or place by place; `inputs` are given to it with
    /// the rows that are meant, all of them when there are none.
    pub(crate) fn encode(
        &self,
        statistics: ViewStatistics,
        device: &Device,
        encode: impl Fn(Option<Tensor<1, Int>>) -> (Tensor<2>, Tensor<2>),
    ) -> (Tensor<2>, Tensor<2>) {
        if statistics == ViewStatistics::Joint {
            return encode(None);
        }
        let places = self.by_place();
        let (means, log_variances): (Vec<_>, Vec<_>) =
            places.iter().map(|rows| encode(Some(indices(rows, device)))).unzip();
        let mut places: Vec<_> = places.concat().into_iter().enumerate().collect();
        places.sort_by_key(|(_, row)| *row);
        let back: Vec<_> = places.into_iter().map(|(place, _)| place).collect();
        let in_order = |parts| Tensor::cat(parts, 0).select(0, indices(&back, device));
        (in_order(means), in_order(log_variances))
    }
}

fn indices(rows: &[usize], device: &Device) -> Tensor<1, Int> {
    let rows: Vec<i32> = rows.iter().map(|&row| row as i32).collect();
    let count = rows.len();
    Tensor::from_data(TensorData::new(rows, [count]), device)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().try_into_vec::<f32>().expect("floats")
    }

    #[test]
    fn codes_of_one_sample_become_one() {
        let views = Views::new(vec![1, 3]).expect("views");
        assert_eq!((views.samples(), views.total()), (2, 4));
        let codes = [[1.0, 2.0], [3.0, 0.0], [0.0, -3.0], [0.0, 0.0]];
        let codes = Tensor::<2>::from_floats(codes, &Device::flex());
        let combined = |how| numbers(views.combine(how, codes.clone()));
        assert_eq!(combined(CombineViews::Mean), [1.0, 2.0, 1.0, -1.0]);
        assert_eq!(combined(CombineViews::Max), [1.0, 2.0, 3.0, 0.0]);
        let values = Tensor::<1>::from_floats([5.0, 1.0, 2.0, 3.0], &Device::flex());
        assert_eq!(numbers(views.average(values)), [3.5]);
    }

    #[test]
    fn a_part_of_the_samples_has_its_rows() {
        let views = Views::new(vec![1, 3, 2]).expect("views");
        let part = |samples| {
            let (part, rows) = views.part(samples);
            (part.samples(), part.total(), rows)
        };
        assert_eq!(part(0..1), (1, 1, 0..1));
        assert_eq!(part(1..3), (2, 5, 1..6));
        assert_eq!(part(0..3), (3, 6, 0..6));
    }

    #[test]
    fn a_view_that_is_not_the_largest_gets_no_gradient() {
        let views = Views::new(vec![2, 1]).expect("views");
        let device = Device::flex().autodiff();
        let codes = Tensor::<2>::from_floats([[1.0], [2.0], [3.0]], &device).require_grad();
        let sum = views.combine(CombineViews::Max, codes.clone()).sum();
        assert_eq!(numbers(codes.grad(&sum.backward()).expect("a gradient")), [0.0, 1.0, 1.0]);
    }

    #[test]
    fn views_come_back_in_their_order() {
        let views = Views::new(vec![2, 3, 1]).expect("views");
        assert_eq!(views.by_place(), [vec![0, 2, 5], vec![1, 3], vec![4]]);
        let device = Device::flex();
        let rows = Tensor::<2>::from_floats([[0.0], [1.0], [2.0], [3.0], [4.0], [5.0]], &device);
        let encode = |places: Option<Tensor<1, Int>>| {
            let picked = places.map_or(rows.clone(), |places| rows.clone().select(0, places));
            (picked.clone(), picked * 2.0)
        };
        for statistics in [ViewStatistics::Joint, ViewStatistics::PerView] {
            let (first, second) = views.encode(statistics, &device, encode);
            assert_eq!(numbers(first), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
            assert_eq!(numbers(second), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        }
    }

    #[test]
    fn samples_without_views_are_refused() {
        let error = Views::new(vec![2, 0]).expect_err("no view");
        assert_eq!(error.to_string(), "sample 1 has no view");
        assert_eq!(Views::even(0, 3).expect_err("no sample").to_string(), "there are no samples");
    }
}
