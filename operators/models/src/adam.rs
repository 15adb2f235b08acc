//! One step of Adam (Kingma and Ba 2015) for one parameter.
//!
//! On the CPU it is one pass over weights, gradient and moments; elsewhere it is composed of
//! operations that every backend has.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Cube, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;

use crate::cpu::adam::{self, Factors};
use crate::flex;

/// How Adam steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamRule {
    /// Learning rate.
    pub rate: f64,
    /// What is kept of the first and of the second moment, a step.
    pub betas: [f64; 2],
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Steps taken, with this one.
    pub steps: u64,
}

impl AdamRule {
    fn factors(self) -> Factors {
        let [first, second] = self.betas.map(|beta| 1.0 - beta.powf(self.steps as f64));
        let (betas, epsilon) = (self.betas, self.epsilon);
        Factors { betas, rate: self.rate / first, share: second, epsilon }
    }
}

/// Weights and their two moments after a step; `moments` are zeros before the first.
///
/// All tensors are flat, of one length and without autodiff.
pub fn adam_step(
    weights: Tensor<1>,
    gradient: Tensor<1>,
    moments: [Tensor<1>; 2],
    rule: AdamRule,
) -> (Tensor<1>, [Tensor<1>; 2]) {
    let [first, second] = moments.map(Tensor::into_dispatch);
    let (weights, gradient) = (weights.into_dispatch(), gradient.into_dispatch());
    let (weights, first, second) =
        <Dispatch as AdamOps>::adam_step(weights, gradient, first, second, rule.factors());
    (Tensor::from_dispatch(weights), [first, second].map(Tensor::from_dispatch))
}

/// A step of Adam as an operation of a backend.
#[backend_extension(Flex, Cube)]
pub(crate) trait AdamOps: Backend {
    fn adam_step(
        weights: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        factors: Factors,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

impl AdamOps for Flex {
    fn adam_step(
        weights: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        factors: Factors,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let [weights, gradient] = [weights, gradient].map(|tensor| tensor.to_contiguous());
        let [mut first, mut second] = [first, second].map(flex::into_numbers);
        let moved = adam::step(
            flex::numbers(&weights),
            flex::numbers(&gradient),
            [&mut first, &mut second],
            factors,
        );
        let count = moved.len();
        let tensor = |numbers| flex::tensor(numbers, vec![count]);
        (tensor(moved), tensor(first), tensor(second))
    }
}

impl AdamOps for Cube {
    fn adam_step(
        weights: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        factors: Factors,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        composed::<Self>([weights, gradient, first, second], factors)
    }
}

/// The same, of operations that every backend has.
fn composed<B: Backend>(
    [weights, gradient, first, second]: [FloatTensor<B>; 4],
    factors: Factors,
) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
    let Factors { betas, rate, share, epsilon } = factors;
    let times = |tensor, factor: f64| B::float_mul_scalar(tensor, factor.into());
    let blend = |old, new, beta: f64| B::float_add(times(old, beta), times(new, 1.0 - beta));
    let first = blend(first, gradient.clone(), betas[0]);
    let second = blend(second, B::float_mul(gradient.clone(), gradient), betas[1]);
    let scale = B::float_sqrt(B::float_div_scalar(second.clone(), share.into()));
    let scale = B::float_add_scalar(scale, epsilon.into());
    let change = times(B::float_div(first.clone(), scale), rate);
    (B::float_sub(weights, change), first, second)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn one_pass_gives_what_single_operations_give() {
        let rule = AdamRule { rate: 0.1, betas: [0.5, 0.9], epsilon: 1e-8, steps: 3 };
        let wave = |shift: f32| (0..99_999).map(move |i| (i as f32 * 0.37 + shift).sin());
        let tensor = |numbers: Vec<f32>| flex::tensor(numbers, vec![99_999]);
        let second = tensor(wave(3.0).map(f32::abs).collect());
        let [weights, gradient, first] = [0.0, 1.0, 2.0].map(|i| tensor(wave(i).collect()));
        let inputs = [weights, gradient, first, second];
        let [weights, gradient, first, second] = inputs.clone();
        let ours = Flex::adam_step(weights, gradient, first, second, rule.factors());
        let expected = composed::<Flex>(inputs, rule.factors());
        let pairs = [(ours.0, expected.0), (ours.1, expected.1), (ours.2, expected.2)];
        for (ours, expected) in pairs.map(|(a, b)| (flex::into_numbers(a), flex::into_numbers(b))) {
            for (a, b) in ours.iter().zip(&expected) {
                assert!((a - b).abs() < 1e-6, "{a} {b}");
            }
        }
    }

    #[test]
    fn the_first_step_is_as_long_as_the_learning_rate() {
        let of = |number: f32| Tensor::<1>::from_floats([number], &Device::flex());
        let rule = AdamRule { rate: 0.1, betas: [0.9, 0.999], epsilon: 1e-8, steps: 1 };
        let (moved, _) = adam_step(of(1.0), of(-3.0), [of(0.0), of(0.0)], rule);
        assert!((moved.into_scalar::<f32>() - 1.1).abs() < 1e-6);
    }
}
