//! One step of Adam over a parameter's numbers, in one pass.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::widest::run_widest;

/// Numbers that one thread takes at a time.
const PORTION: usize = 1 << 16;

/// The numbers that a step of Adam multiplies with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Factors {
    /// What is kept of each moment.
    pub(crate) betas: [f64; 2],
    /// Learning rate by what the first moment lacks.
    pub(crate) rate: f64,
    /// What the second moment has, of what it should have.
    pub(crate) share: f64,
    pub(crate) epsilon: f64,
}

/// Weights after a step; the moments are moved in place.
pub(crate) fn step(
    weights: &[f32],
    gradient: &[f32],
    [first, second]: [&mut [f32]; 2],
    factors: Factors,
) -> Vec<f32> {
    let mut moved = vec![0.0; weights.len()];
    moved
        .par_chunks_mut(PORTION)
        .zip(weights.par_chunks(PORTION).zip(gradient.par_chunks(PORTION)))
        .zip(first.par_chunks_mut(PORTION).zip(second.par_chunks_mut(PORTION)))
        .for_each(|((moved, (weights, gradient)), (first, second))| {
            let portion = Portion { moved, weights, gradient, first, second, factors };
            run_widest(portion);
        });
    moved
}

struct Portion<'a> {
    moved: &'a mut [f32],
    weights: &'a [f32],
    gradient: &'a [f32],
    first: &'a mut [f32],
    second: &'a mut [f32],
    factors: Factors,
}

impl WithSimd for Portion<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let Factors { betas, rate, share, epsilon } = self.factors;
        let [[kept_1, kept_2], [new_1, new_2]] =
            [betas, betas.map(|beta| 1.0 - beta)].map(|pair| pair.map(|x| x as f32));
        let [rate, share, epsilon] = [rate, share, epsilon].map(|x| x as f32);
        let moments = self.first.iter_mut().zip(self.second);
        let numbers = self.weights.iter().zip(self.gradient).zip(self.moved);
        for (((weight, g), moved), (first, second)) in numbers.zip(moments) {
            *first = *first * kept_1 + g * new_1;
            *second = *second * kept_2 + g * g * new_2;
            *moved = weight - *first / ((*second / share).sqrt() + epsilon) * rate;
        }
    }
}
