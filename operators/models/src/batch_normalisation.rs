//! Normalisation by the statistics of a batch, with the activation after it, as one operation.
//!
//! On the CPU it reads and writes every number once where burn's composition does so a dozen times
//! ([`crate::cpu::batch_norm`]); elsewhere it is burn's kernels one after the other.

use burn::backend::autodiff::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{
    AutodiffBackend, Backend, Cube, Dispatch, Flex, TensorMetadata, backend_extension,
    get_or_init_device_settings,
};
use burn::tensor::Tensor;

use crate::cpu::batch_norm::{self as cpu, Rule};
use crate::flex;

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
        forwards::<Self>(input, gamma, beta, rule)
    }
}

impl NormalisationGradients for Cube {
    fn normalise_batch_back(
        passed: Passed<FloatTensor<Self>>,
        gradient: FloatTensor<Self>,
    ) -> [FloatTensor<Self>; 3] {
        backwards::<Self>(passed, gradient)
    }
}

/// By burn's kernels.
fn forwards<B: Backend>(
    input: FloatTensor<B>,
    gamma: FloatTensor<B>,
    beta: FloatTensor<B>,
    rule: Rule,
) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
    let found = B::batch_norm_train(input, gamma, beta, rule.epsilon);
    let output = match rule.slope {
        0.0 => B::relu(found.output),
        1.0 => found.output,
        slope => B::leaky_relu(found.output, slope.into()),
    };
    (output, found.mean, found.variance)
}

/// By burn's kernels.
fn backwards<B: Backend>(
    passed: Passed<FloatTensor<B>>,
    gradient: FloatTensor<B>,
) -> [FloatTensor<B>; 3] {
    let Passed { input, gamma, beta, mean, variance, rule } = passed;
    let normalised = || {
        let (mean, variance) = (mean.clone(), variance.clone());
        B::batch_norm(input.clone(), gamma.clone(), beta, mean, variance, rule.epsilon)
    };
    let gradient = match rule.slope {
        0.0 => B::relu_backward(normalised(), gradient),
        1.0 => gradient,
        slope => {
            let kind = get_or_init_device_settings::<B>(&gradient.device()).bool_dtype;
            let is_below = B::float_lower_equal_elem(normalised(), 0.0.into(), kind);
            let weaker = B::float_mul_scalar(gradient.clone(), slope.into());
            B::float_mask_where(gradient, is_below, weaker)
        }
    };
    let found = B::batch_norm_train_backward(input, gamma, mean, variance, rule.epsilon, gradient);
    [found.x_grad, found.gamma_grad, found.beta_grad]
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

    fn wave(sizes: &[usize], shift: f32) -> FloatTensor<Flex> {
        let wave = |i| (i as f32 * 0.77 + shift).sin() + shift;
        flex::tensor((0..sizes.iter().product()).map(wave).collect(), sizes.to_vec())
    }

    #[test]
    fn one_pass_gives_what_burns_kernels_give_forwards_and_backwards() {
        for sizes in [vec![2, 3], vec![3, 2, 5, 7], vec![2, 5, 4, 4, 9], vec![1, 1, 1, 33]] {
            for slope in [0.0, 0.2, 1.0] {
                let rule = Rule { epsilon: 1e-5, slope };
                let of_channels = |shift| wave(&sizes[1..2], shift);
                let (input, gradient) = (wave(&sizes, 0.3), wave(&sizes, 1.9));
                let affine = || (of_channels(1.2), of_channels(-0.1));
                let (gamma, beta) = affine();
                let ours = Flex::normalise_batch(input.clone(), gamma, beta, rule);
                let (gamma, beta) = affine();
                let burns = forwards::<Flex>(input.clone(), gamma.clone(), beta.clone(), rule);
                let (mean, variance) = (burns.1.clone(), burns.2.clone());
                let passed = Passed { input, gamma, beta, mean, variance, rule };
                let back = Flex::normalise_batch_back(passed.clone(), gradient.clone());
                let burns_back = backwards::<Flex>(passed, gradient);
                let pairs = [(ours.0, burns.0), (ours.1, burns.1), (ours.2, burns.2)];
                for (ours, burns) in pairs.into_iter().chain(back.into_iter().zip(burns_back)) {
                    assert_eq!(ours.shape(), burns.shape());
                    let [ours, burns] = [ours, burns].map(flex::into_numbers);
                    let largest = burns.iter().fold(1.0_f32, |most, x| most.max(x.abs()));
                    for (a, b) in ours.iter().zip(&burns) {
                        assert!((a - b).abs() < 1e-5 * largest, "{sizes:?} {slope}: {a} {b}");
                    }
                }
            }
        }
    }
}
