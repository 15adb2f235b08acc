//! Losses on logits: cross-entropy with soft targets, the divergence of a code, reconstruction.
//!
//! All of them are means over the batch, so that a weight means the same at every batch size. What
//! is summed and what is averaged inside one sample is stated at each.

use burn::config::Config;
use burn::tensor::Tensor;
use burn::tensor::activation::{log_sigmoid, sigmoid};

/// How far a reconstructed grid is from the true one.
#[derive(Config, Debug, Copy, PartialEq, Eq)]
pub enum ReconstructionLoss {
    /// Squared error of the probabilities, summed over the voxels of a sample, averaged over the
    /// batch. The unit of published 3D-VAE-GAN figures.
    Sse,
    /// Squared error of the probabilities, averaged over voxels and batch.
    Mse,
    /// Cross-entropy of the logits, averaged over voxels and batch.
    Bce,
    /// Cross-entropy weighed by how wrong a voxel is, `alpha (1 - p_t)^2` with alpha 0.25 for
    /// occupied and 0.75 for empty voxels, averaged over voxels and batch (Lin et al. 2017; soft
    /// targets as in torchvision).
    Focal,
    /// `1 - (2 sum pt + 1) / (sum p + sum t + 1)` of a sample, averaged over the batch (Dice).
    Dice,
    /// `1 - (sum pt + 1) / (sum p + sum t - sum pt + 1)` of a sample, averaged over the batch
    /// (Jaccard, of soft occupancies).
    Iou,
}

impl ReconstructionLoss {
    /// All of them, by the name they go under.
    pub const ALL: [(&str, Self); 6] = [
        ("sse", Self::Sse),
        ("mse", Self::Mse),
        ("bce", Self::Bce),
        ("focal", Self::Focal),
        ("dice", Self::Dice),
        ("iou", Self::Iou),
    ];

    /// The loss of `logits` against occupancies `target` in [0, 1].
    ///
    /// # Shapes
    /// - logits, target: `[batch, cells, cells, cells]`
    /// - result: `[1]`
    pub fn forward(self, logits: Tensor<4>, target: &Tensor<4>) -> Tensor<1> {
        match self {
            Self::Bce => binary_cross_entropy(logits, target.clone()),
            Self::Focal => {
                let entropy = entropy_of_logits(logits.clone(), target.clone());
                focal(entropy, sigmoid(logits), target)
            }
            Self::Sse | Self::Mse | Self::Dice | Self::Iou => {
                self.of_occupancies(sigmoid(logits), target)
            }
        }
    }

    /// The loss of `occupancies`, which may be 0 or 1 exactly, against `target`, both in [0, 1]: for
    /// networks that do not end in a sigmoid. Logarithms end at -100, as in PyTorch.
    ///
    /// # Shapes
    /// - occupancies, target: `[batch, cells, cells, cells]`
    /// - result: `[1]`
    pub fn of_occupancies(self, occupancies: Tensor<4>, target: &Tensor<4>) -> Tensor<1> {
        let [batch, ..] = occupancies.dims();
        let of_sample = |grids: Tensor<4>| grids.flatten::<2>(1, 3).sum_dim(1);
        let sums = |p: Tensor<4>| {
            let shared = of_sample(p.clone() * target.clone());
            (shared, of_sample(p) + of_sample(target.clone()))
        };
        match self {
            Self::Sse => (occupancies - target.clone()).square().sum() / batch as f64,
            Self::Mse => (occupancies - target.clone()).square().mean(),
            Self::Bce => entropy_of_occupancies(occupancies, target.clone()).mean(),
            Self::Focal => {
                let entropy = entropy_of_occupancies(occupancies.clone(), target.clone());
                focal(entropy, occupancies, target)
            }
            Self::Dice => {
                let (shared, both) = sums(occupancies);
                ((shared * 2.0 + 1.0) / (both + 1.0)).mean().neg() + 1.0
            }
            Self::Iou => {
                let (shared, both) = sums(occupancies);
                ((shared.clone() + 1.0) / (both - shared + 1.0)).mean().neg() + 1.0
            }
        }
    }
}

/// Cross-entropies of voxels, weighed by how wrong each is, averaged.
fn focal(entropy: Tensor<4>, occupancies: Tensor<4>, target: &Tensor<4>) -> Tensor<1> {
    let empty = target.clone().neg() + 1.0;
    let right = occupancies.clone() * target.clone() + (occupancies.neg() + 1.0) * empty.clone();
    let weight = target.clone() * 0.25 + empty * 0.75;
    (entropy * weight * (right.neg() + 1.0).square()).mean()
}

/// Cross-entropy of each element; see [`binary_cross_entropy`].
fn entropy_of_logits<const D: usize>(logits: Tensor<D>, target: Tensor<D>) -> Tensor<D> {
    let pull = (target.neg() + 1.0) * logits.clone();
    pull - log_sigmoid(logits)
}

/// Cross-entropy of each occupancy, its logarithms no less than -100.
fn entropy_of_occupancies(occupancies: Tensor<4>, target: Tensor<4>) -> Tensor<4> {
    // Where the logarithm has no gradient a constant stands, so that none is infinite.
    let log = |p: Tensor<4>| {
        let is_nothing = p.clone().lower_elem(f32::MIN_POSITIVE);
        p.clamp_min(f32::MIN_POSITIVE).log().mask_fill(is_nothing, -100.0)
    };
    let empty = (target.clone().neg() + 1.0) * log(occupancies.clone().neg() + 1.0);
    (target * log(occupancies) + empty).neg()
}

/// Cross-entropy of logits against targets in [0, 1], averaged over all elements.
///
/// `-(t log s(x) + (1 - t) log s(-x))`, written as `(1 - t) x - log s(x)` with a stable log-sigmoid:
/// finite for every finite logit, and targets need not be 0 or 1. burn's own module takes whole
/// targets only.
///
/// # Shapes
/// - logits, target: any, equal
/// - result: `[1]`
pub fn binary_cross_entropy<const D: usize>(logits: Tensor<D>, target: Tensor<D>) -> Tensor<1> {
    entropy_of_logits(logits, target).mean()
}

/// Kullback-Leibler divergence of N(mean, exp(log_variance)) from N(0, 1), summed over the code,
/// averaged over the batch (Kingma and Welling 2014, appendix B).
///
/// # Shapes
/// - mean, log_variance: `[batch, z_size]`
/// - result: `[1]`
pub fn kl_divergence(mean: Tensor<2>, log_variance: Tensor<2>) -> Tensor<1> {
    kl_of_rows(mean, log_variance).mean()
}

/// The divergence of each code; see [`kl_divergence`].
///
/// # Shapes
/// - mean, log_variance: `[batch, z_size]`
/// - result: `[batch]`
pub fn kl_of_rows(mean: Tensor<2>, log_variance: Tensor<2>) -> Tensor<1> {
    let terms = log_variance.clone() + 1.0 - mean.square() - log_variance.exp();
    (terms.sum_dim(1) * -0.5).flatten::<1>(0, 1)
}

/// The divergence as the public 3DAttnVAE-GAN has it: `sum(s^2 + m^2 - ln s - 1/2)` over the code,
/// averaged over the batch. Without the usual 1/2 before the squares its minimum is at a deviation
/// of 0.707 instead of 1, and means are pulled twice as hard.
///
/// # Shapes
/// - mean, log_variance: `[batch, z_size]`
/// - result: `[1]`
pub fn kl_without_halves(mean: Tensor<2>, log_variance: Tensor<2>) -> Tensor<1> {
    let terms = log_variance.clone().exp() + mean.square() - log_variance * 0.5 - 0.5;
    terms.sum_dim(1).mean()
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn value(tensor: Tensor<1>) -> f32 {
        tensor.into_scalar::<f32>()
    }

    #[test]
    fn cross_entropy_is_the_textbook_formula_where_that_is_finite() {
        let device = Device::flex();
        for (x, t) in [(0.0_f32, 0.7_f32), (2.0, 1.0), (-3.0, 0.3), (1.5, 0.0)] {
            let p = 1.0 / (1.0 + (-x).exp());
            let expected = -(t * p.ln() + (1.0 - t) * (1.0 - p).ln());
            let found = value(binary_cross_entropy(
                Tensor::<1>::from_floats([x], &device),
                Tensor::<1>::from_floats([t], &device),
            ));
            assert!((found - expected).abs() < 1e-5, "{x} {t}: {found} {expected}");
        }
    }

    #[test]
    fn cross_entropy_of_large_logits_is_finite_and_exact() {
        let device = Device::flex();
        let logits = Tensor::<1>::from_floats([200.0, -200.0], &device);
        let target = Tensor::<1>::from_floats([0.0, 0.0], &device);
        assert_eq!(value(binary_cross_entropy(logits, target)), 100.0);
    }

    #[test]
    fn the_divergence_of_a_standard_normal_code_is_zero() {
        let device = Device::flex();
        let zeros = Tensor::<2>::zeros([3, 5], &device);
        assert_eq!(value(kl_divergence(zeros.clone(), zeros.clone())), 0.0);
        // One unit of mean in each of 5 dimensions: 5 * 1/2.
        assert_eq!(value(kl_divergence(zeros.clone() + 1.0, zeros)), 2.5);
    }

    #[test]
    fn reconstruction_losses_differ_by_their_reduction() {
        let device = Device::flex();
        let logits = Tensor::<4>::zeros([2, 2, 2, 2], &device);
        let target = Tensor::<4>::ones([2, 2, 2, 2], &device);
        let loss = |kind: ReconstructionLoss| value(kind.forward(logits.clone(), &target));
        assert_eq!(loss(ReconstructionLoss::Mse), 0.25);
        assert_eq!(loss(ReconstructionLoss::Sse), 2.0);
        assert!((loss(ReconstructionLoss::Bce) - 2.0_f32.ln()).abs() < 1e-6);
    }

    #[test]
    fn every_loss_is_least_where_the_grid_is_right() {
        let device = Device::flex();
        let target = Tensor::<4>::from_floats([[[[0.0, 1.0], [1.0, 0.0]]]], &device);
        let right = (target.clone() - 0.5) * 40.0;
        for (name, loss) in ReconstructionLoss::ALL {
            let least = value(loss.forward(right.clone(), &target));
            let other = value(loss.forward(right.clone() * 0.01, &target));
            let worst = value(loss.forward(right.clone().neg(), &target));
            assert!((-1e-6..1e-5).contains(&least) && least < other && other < worst, "{name}");
        }
    }

    #[test]
    fn occupancies_and_their_logits_have_one_loss() {
        let device = Device::flex();
        let target = Tensor::<4>::from_floats([[[[0.0, 1.0], [0.25, 0.5]]]], &device);
        let logits = Tensor::<4>::from_floats([[[[0.3, -1.0], [2.0, -3.0]]]], &device);
        for (name, loss) in ReconstructionLoss::ALL {
            let of_logits = value(loss.forward(logits.clone(), &target));
            let of_grid = value(loss.of_occupancies(sigmoid(logits.clone()), &target));
            assert!((of_logits - of_grid).abs() < 1e-5, "{name}: {of_logits} {of_grid}");
        }
    }

    #[test]
    fn exact_occupancies_have_finite_losses_and_gradients() {
        let device = Device::flex().autodiff();
        let target = Tensor::<4>::from_floats([[[[1.0, 0.0]]]], &device);
        for (name, loss) in ReconstructionLoss::ALL {
            let grid = Tensor::<4>::from_floats([[[[0.0, 1.0]]]], &device).require_grad();
            let found = loss.of_occupancies(grid.clone(), &target);
            let gradient = grid.grad(&found.backward()).expect("a gradient");
            assert!(gradient.abs().max().into_scalar::<f32>().is_finite(), "{name}");
            if loss == ReconstructionLoss::Bce {
                assert_eq!(value(found), 100.0);
            }
        }
    }

    #[test]
    fn the_reference_divergence_is_least_at_another_deviation() {
        let device = Device::flex();
        let zeros = Tensor::<2>::zeros([1, 1], &device);
        let at = |deviation: f64| {
            value(kl_without_halves(zeros.clone(), zeros.clone() + 2.0 * deviation.ln()))
        };
        assert!((at(1.0) - 0.5).abs() < 1e-6);
        assert!(at(0.707) < at(0.72) && at(0.707) < at(0.69));
    }
}
