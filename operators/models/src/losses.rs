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
}

impl ReconstructionLoss {
    /// The loss of `logits` against occupancies `target` in [0, 1].
    ///
    /// # Shapes
    /// - logits, target: `[batch, cells, cells, cells]`
    /// - result: `[1]`
    pub fn forward(self, logits: Tensor<4>, target: &Tensor<4>) -> Tensor<1> {
        let [batch, ..] = logits.dims();
        let squared = |logits| (sigmoid(logits) - target.clone()).square();
        match self {
            Self::Sse => squared(logits).sum() / batch as f64,
            Self::Mse => squared(logits).mean(),
            Self::Bce => binary_cross_entropy(logits, target.clone()),
        }
    }
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
    let pull = (target.neg() + 1.0) * logits.clone();
    (pull - log_sigmoid(logits)).mean()
}

/// Kullback-Leibler divergence of N(mean, exp(log_variance)) from N(0, 1), summed over the code,
/// averaged over the batch (Kingma and Welling 2014, appendix B).
///
/// # Shapes
/// - mean, log_variance: `[batch, z_size]`
/// - result: `[1]`
pub fn kl_divergence(mean: Tensor<2>, log_variance: Tensor<2>) -> Tensor<1> {
    let [batch, _] = mean.dims();
    let terms = log_variance.clone() + 1.0 - mean.square() - log_variance.exp();
    terms.sum() * (-0.5 / batch as f64)
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
}
