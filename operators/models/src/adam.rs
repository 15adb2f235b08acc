//! One step of Adam (Kingma and Ba 2015) for one parameter.
//!
//! It is one pass over weights, gradient and moments, on the CPU and on GPUs.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Cube, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;

use crate::cpu::adam::{self, Factors};
use crate::flex;
use crate::gpu::adam as gpu;

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
        let [moved, first, second] = gpu::step([weights, gradient, first, second], factors);
        (moved, first, second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::testing;
    use burn::tensor::{Device, TensorData};

    fn is_its_definition(device: &Device) {
        const COUNT: usize = 99_999;
        let rule = AdamRule { rate: 0.1, betas: [0.5, 0.9], epsilon: 1e-8, steps: 3 };
        let wave = |shift: f32| {
            let numbers: Vec<f32> = (0..COUNT).map(|i| (i as f32 * 0.37 + shift).sin()).collect();
            Tensor::<1>::from_data(TensorData::new(numbers, [COUNT]), device)
        };
        let [weights, gradient, first, second] = [0.0, 1.0, 2.0, 3.0].map(wave);
        let second = second.abs();
        let ours =
            adam_step(weights.clone(), gradient.clone(), [first.clone(), second.clone()], rule);
        let first = first * 0.5 + gradient.clone() * 0.5;
        let second = second * 0.9 + gradient.square() * 0.1;
        // 1 - 0.5^3 and 1 - 0.9^3.
        let change = first.clone() / 0.875 / ((second.clone() / 0.271).sqrt() + 1e-8) * 0.1;
        let pairs = [(ours.0, weights - change), (ours.1[0].clone(), first)];
        for (ours, expected) in pairs.into_iter().chain([(ours.1[1].clone(), second)]) {
            let worst = (ours - expected).abs().max().into_scalar::<f32>();
            assert!(worst < 1e-6, "{worst}");
        }
    }

    #[test]
    fn one_pass_gives_what_the_definition_says() {
        is_its_definition(&Device::flex());
    }

    #[test]
    fn on_a_gpu_one_pass_gives_what_the_definition_says() {
        testing::device().iter().for_each(is_its_definition);
    }

    #[test]
    fn the_first_step_is_as_long_as_the_learning_rate() {
        let of = |number: f32| Tensor::<1>::from_floats([number], &Device::flex());
        let rule = AdamRule { rate: 0.1, betas: [0.9, 0.999], epsilon: 1e-8, steps: 1 };
        let (moved, _) = adam_step(of(1.0), of(-3.0), [of(0.0), of(0.0)], rule);
        assert!((moved.into_scalar::<f32>() - 1.1).abs() < 1e-6);
    }
}
