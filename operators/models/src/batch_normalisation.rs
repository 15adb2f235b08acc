//! Normalisation by the statistics of a batch, with the activation after it, as one operation.
//!
//! It reads and writes every number once or twice where burn's composition does so a dozen times
//! ([`crate::cpu::batch_norm`], [`crate::gpu::batch_norm`]).

use burn::backend::autodiff::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{
    AutodiffBackend, Backend, Cube, Dispatch, Flex, TensorMetadata, backend_extension,
};
use burn::tensor::Tensor;

use crate::cpu::batch_norm::{self as cpu, Rule};
use crate::flex;
use crate::gpu::batch_norm as gpu;

/// `input` normalised by channel, scaled by `gamma`, moved by `beta` and activated; then mean and
/// biased variance of each channel, through which no gradient flows.
///
/// # Shapes
/// - input, first result: `[batch, channels, ...]`
/// - gamma, beta, other results: `[channels]`
pub(crate) fn normalise_batch<const D: usize>(
    input: Tensor<D>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    rule: Rule,
) -> (Tensor<D>, Tensor<1>, Tensor<1>) {
    let (input, gamma, beta) = (input.into_dispatch(), gamma.into_dispatch(), beta.into_dispatch());
    let (output, mean, variance) =
        <Dispatch as NormalisationOps>::normalise_batch(input, gamma, beta, rule);
    let [mean, variance] = [mean, variance].map(Tensor::from_dispatch);
    (Tensor::from_dispatch(output), mean, variance)
}

/// Normalisation as an operation of a backend.
#[backend_extension(Flex, Cube, Autodiff)]
pub(crate) trait NormalisationOps: Backend {
    fn normalise_batch(
        input: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        rule: Rule,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

/// What the way back starts from.
#[derive(Debug, Clone)]
pub(crate) struct Passed<T> {
    input: T,
    gamma: T,
    beta: T,
    mean: T,
    variance: T,
    rule: Rule,
}

/// The way back.
pub(crate) trait NormalisationGradients: Backend {
    /// Gradients of input, `gamma` and `beta`.
    fn normalise_batch_back(
        passed: Passed<FloatTensor<Self>>,
        gradient: FloatTensor<Self>,
    ) -> [FloatTensor<Self>; 3];
}

impl NormalisationOps for Flex {
    fn normalise_batch(
        input: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        rule: Rule,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let sizes = input.shape().to_vec();
        let (channels, len) = (sizes[1], sizes[2..].iter().product());
        let [input, gamma, beta] = [input, gamma, beta].map(|tensor| tensor.to_contiguous());
        let affine = [&gamma, &beta].map(flex::numbers);
        let found = cpu::normalise(flex::numbers(&input), affine, len, rule);
        let [mean, variance] =
            [found.mean, found.variance].map(|numbers| flex::tensor(numbers, vec![channels]));
        (flex::tensor(found.output, sizes), mean, variance)
    }
}

impl NormalisationGradients for Flex {
    fn normalise_batch_back(
        passed: Passed<FloatTensor<Self>>,
        gradient: FloatTensor<Self>,
    ) -> [FloatTensor<Self>; 3] {
        let sizes = passed.input.shape().to_vec();
        let (channels, len) = (sizes[1], sizes[2..].iter().product());
        let Passed { input, gamma, beta, mean, variance, rule } = passed;
        let pair = [input, gradient].map(|tensor| tensor.to_contiguous());
        let channelwise = [gamma, beta, mean, variance].map(|tensor| tensor.to_contiguous());
        let [of_input, of_gamma, of_beta] = cpu::normalise_back(
            pair.each_ref().map(flex::numbers),
            channelwise.each_ref().map(flex::numbers),
            len,
            rule,
        );
        let [of_gamma, of_beta] =
            [of_gamma, of_beta].map(|numbers| flex::tensor(numbers, vec![channels]));
        [flex::tensor(of_input, sizes), of_gamma, of_beta]
    }
}

impl NormalisationOps for Cube {
    fn normalise_batch(
        input: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        rule: Rule,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        gpu::normalise([input, gamma, beta], rule)
    }
}

impl NormalisationGradients for Cube {
    fn normalise_batch_back(
        passed: Passed<FloatTensor<Self>>,
        gradient: FloatTensor<Self>,
    ) -> [FloatTensor<Self>; 3] {
        let Passed { input, gamma, beta, mean, variance, rule } = passed;
        gpu::normalise_back([input, gradient], [gamma, beta, mean, variance], rule)
    }
}

impl<B: NormalisationOps + NormalisationGradients, C: CheckpointStrategy> NormalisationOps
    for Autodiff<B, C>
{
    fn normalise_batch(
        input: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        rule: Rule,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let nodes = [input.node(), gamma.node(), beta.node()];
        let kind = WayBack.prepare::<C>(nodes).compute_bound().stateful();
        let [input, gamma, beta] = [input, gamma, beta].map(|tensor| tensor.into_primitive());
        let (output, mean, variance) =
            B::normalise_batch(input.clone(), gamma.clone(), beta.clone(), rule);
        let constant =
            |tensor: &FloatTensor<B>| <Self as AutodiffBackend>::from_inner(tensor.clone());
        let statistics = (constant(&mean), constant(&variance));
        let output = match kind {
            OpsKind::UnTracked(operation) => operation.finish(output),
            OpsKind::Tracked(operation) => {
                operation.finish(Passed { input, gamma, beta, mean, variance, rule }, output)
            }
        };
        (output, statistics.0, statistics.1)
    }
}

#[derive(Debug)]
struct WayBack;

impl<B: NormalisationGradients> Backward<B, 3> for WayBack {
    type State = Passed<FloatTensor<B>>;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = grads.consume::<B>(&ops.node);
        let found = B::normalise_batch_back(ops.state, gradient);
        for (node, gradient) in ops.parents.into_iter().zip(found) {
            if let Some(node) = node {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::testing;
    use burn::tensor::{Device, TensorData};

    fn wave<const D: usize>(sizes: [usize; D], shift: f32, device: &Device) -> Tensor<D> {
        let wave = |i| (i as f32 * 0.77 + shift).sin() + shift;
        let numbers: Vec<f32> = (0..sizes.iter().product()).map(wave).collect();
        Tensor::from_data(TensorData::new(numbers, sizes), device).require_grad()
    }

    /// The same by its definition: output, mean and variance.
    fn plain(
        input: Tensor<3>,
        gamma: Tensor<1>,
        beta: Tensor<1>,
        rule: Rule,
    ) -> (Tensor<3>, Tensor<1>, Tensor<1>) {
        let [batch, channels, len] = input.dims();
        let rows = input.swap_dims(0, 1).reshape([channels, batch * len]);
        let mean = rows.clone().mean_dim(1);
        let centred = rows - mean.clone();
        let variance = centred.clone().square().mean_dim(1);
        let deviation = (variance.clone() + rule.epsilon).sqrt();
        let [gamma, beta] = [gamma, beta].map(|of| of.reshape([channels, 1]));
        let number = centred / deviation * gamma + beta;
        let active = number.clone().clamp_min(0.0) + number.clamp_max(0.0) * rule.slope;
        let output = active.reshape([channels, batch, len]).swap_dims(0, 1);
        (output, mean.reshape([channels]), variance.reshape([channels]))
    }

    fn assert_close(ours: Tensor<1>, plain: Tensor<1>, tolerance: f32) {
        let [ours, plain] =
            [ours, plain].map(|of| of.into_data().try_into_vec::<f32>().expect("floats"));
        assert_eq!(ours.len(), plain.len());
        let largest = plain.iter().fold(1.0_f32, |most, x| most.max(x.abs()));
        for (a, b) in ours.iter().zip(&plain) {
            assert!((a - b).abs() < tolerance * largest, "{a} {b}");
        }
    }

    fn is_its_definition(device: &Device, tolerance: f32) {
        for slope in [0.0, 0.2, 1.0] {
            let rule = Rule { epsilon: 1e-5, slope };
            is_its_definition_for([2, 3], rule, device, tolerance);
            is_its_definition_for([9, 2, 1000], rule, device, tolerance);
            is_its_definition_for([3, 2, 5, 7], rule, device, tolerance);
            is_its_definition_for([1, 1, 1, 33], rule, device, tolerance);
            is_its_definition_for([2, 5, 4, 4, 9], rule, device, tolerance);
        }
    }

    fn is_its_definition_for<const D: usize>(
        sizes: [usize; D],
        rule: Rule,
        device: &Device,
        tolerance: f32,
    ) {
        let input = wave(sizes, 0.3, device);
        let [gamma, beta] = [1.2, -0.1].map(|shift| wave([sizes[1]], shift, device));
        let rows = [sizes[0], sizes[1], sizes[2..].iter().product()];
        let weights = wave(rows, 1.9, device).detach();
        let ours = normalise_batch(input.clone(), gamma.clone(), beta.clone(), rule);
        let ours = (ours.0.reshape(rows), ours.1, ours.2);
        let plain = plain(input.clone().reshape(rows), gamma.clone(), beta.clone(), rule);
        let back = |output: &Tensor<3>| (output.clone() * weights.clone()).sum().backward();
        let [ours_back, plain_back] = [back(&ours.0), back(&plain.0)];
        assert_close(ours.0.flatten(0, 2), plain.0.flatten(0, 2), tolerance);
        assert_close(ours.1, plain.1, tolerance);
        assert_close(ours.2, plain.2, tolerance);
        let of_input = |back| input.grad(back).expect("a gradient").flatten(0, D - 1);
        assert_close(of_input(&ours_back), of_input(&plain_back), tolerance);
        for of in [gamma, beta] {
            let [ours, plain] =
                [&ours_back, &plain_back].map(|back| of.grad(back).expect("a gradient"));
            assert_close(ours, plain, tolerance);
        }
    }

    fn keeps_the_variance_far_from_zero(device: &Device) {
        let near = wave([4, 2, 500], 0.0, device).detach();
        let ones = || Tensor::ones([2], device);
        let rule = Rule { epsilon: 1e-5, slope: 1.0 };
        let (_, mean, variance) = normalise_batch(near.clone() + 4096.0, ones(), ones(), rule);
        // Numbers there are a 2048th apart.
        let (_, near_mean, near_variance) = normalise_batch(near, ones(), ones(), rule);
        assert_close(mean - 4096.0, near_mean, 1e-3);
        assert_close(variance, near_variance, 1e-3);
    }

    #[test]
    fn it_is_what_its_definition_says_forwards_and_backwards() {
        is_its_definition(&Device::flex().autodiff(), 1e-5);
    }

    #[test]
    fn on_a_gpu_it_is_what_its_definition_says_forwards_and_backwards() {
        let Some(device) = testing::device() else { return };
        // Of two numbers a channel, gradients are small differences of large ones.
        is_its_definition(&device.autodiff(), 5e-5);
    }

    #[test]
    fn a_channel_far_from_zero_keeps_its_variance() {
        keeps_the_variance_far_from_zero(&Device::flex().autodiff());
        let Some(device) = testing::device() else { return };
        keeps_the_variance_far_from_zero(&device.autodiff());
    }
}
