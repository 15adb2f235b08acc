//! Batch normalisation with PyTorch's arithmetic and the activation after it, and its statistics
//! measured anew.

use burn::nn::BatchNorm;
use burn::tensor::Tensor;
use burn::tensor::activation::{leaky_relu, relu};

use crate::batch_normalisation::normalise_batch;
use crate::cpu::batch_norm::Rule;

/// What `norm` and an activation make of `input`; what is below 0 after normalisation is multiplied
/// with `slope`: 0 for ReLU, 1 for no activation.
///
/// As burn's own forward pass, but for the running variance: PyTorch averages the unbiased variance
/// of each batch (`n / (n - 1)`), burn the biased one. That shows where a map is small and a batch
/// too. One value a channel, which PyTorch refuses, has variance 0.
///
/// # Shapes
/// - input, result: `[batch, channels, ...]`
pub(crate) fn normalise<const D: usize>(
    norm: &BatchNorm,
    input: Tensor<D>,
    slope: f64,
) -> Tensor<D> {
    let device = input.device();
    if !(device.is_autodiff() && norm.training.is_enabled()) {
        return activate(norm.forward(input), slope);
    }
    let sizes = input.dims();
    let count = sizes.iter().product::<usize>() / sizes[1].max(1);
    let unbiased = count as f64 / (count.max(2) - 1) as f64;
    let rule = Rule { epsilon: norm.epsilon, slope };
    let (output, mean, variance) = normalise_batch(input, norm.gamma.val(), norm.beta.val(), rule);
    let blend = |old: Tensor<1>, new: Tensor<1>| {
        let old = old.to_device(&device) * (1.0 - norm.momentum);
        (old + new.detach() * norm.momentum).detach()
    };
    let mean = blend(norm.running_mean.value_sync(), mean);
    let variance = blend(norm.running_var.value_sync(), variance * unbiased);
    norm.running_mean.update(mean);
    norm.running_var.update(variance);
    output
}

fn activate<const D: usize>(numbers: Tensor<D>, slope: f64) -> Tensor<D> {
    match slope {
        0.0 => relu(numbers),
        1.0 => numbers,
        _ => leaky_relu(numbers, slope),
    }
}

/// A network whose running statistics can be measured anew.
pub trait Normalised {
    /// The normalisations that the passes of [`Normalised::measure`] go through.
    fn normalisations(&mut self) -> Vec<&mut BatchNorm>;

    /// Measures running statistics anew: the mean of those of all `passes`, each given to `forward`,
    /// at the weights there are now ("precise" normalisation, Wu and Johnson 2021). Running averages
    /// lag behind the weights, by which a network that reconstructs well in training may fail
    /// afterwards. Without a pass nothing changes.
    ///
    /// The network must be on a training device, and each pass go once through each normalisation.
    fn measure<T>(
        &mut self,
        passes: impl IntoIterator<Item = T>,
        mut forward: impl FnMut(&Self, T),
    ) {
        let usual: Vec<f64> = self.normalisations().iter().map(|norm| norm.momentum).collect();
        for (i, pass) in passes.into_iter().enumerate() {
            let momentum = 1.0 / (i + 1) as f64;
            self.normalisations().into_iter().for_each(|norm| norm.momentum = momentum);
            forward(self, pass);
        }
        let norms = self.normalisations().into_iter().zip(usual);
        norms.for_each(|(norm, momentum)| norm.momentum = momentum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::nn::BatchNormConfig;
    use burn::tensor::Device;

    #[test]
    fn the_running_variance_is_unbiased() {
        let device = Device::flex().autodiff();
        let norm = BatchNormConfig::new(1).init(&device);
        let input = Tensor::<2>::from_floats([[1.0], [3.0]], &device);
        let ours = normalise(&norm, input.clone(), 1.0).into_data();
        // Variance of 1 and 3: 1 biased, 2 unbiased.
        let variance = norm.running_var.value_sync().into_scalar::<f32>();
        assert!((variance - (0.9 + 0.1 * 2.0)).abs() < 1e-6, "{variance}");
        assert_eq!(norm.running_mean.value_sync().into_scalar::<f32>(), 0.2);
        let theirs = BatchNormConfig::new(1).init(&device).forward(input).into_data();
        assert_eq!(ours, theirs);
    }
}
