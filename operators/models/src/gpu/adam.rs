//! One step of Adam over a parameter's numbers, in one pass.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;

use super::tensors::{empty, unit, units};
use crate::cpu::adam::Factors;

/// Weights and moments after a step; all tensors are flat and of one length.
pub(crate) fn step(
    [weights, gradient, first, second]: [CubeTensor; 4],
    factors: Factors,
) -> [CubeTensor; 3] {
    let inputs = [weights, gradient, first, second].map(into_contiguous);
    let count = inputs[0].meta.num_elements();
    let outputs = [0; 3].map(|_| empty(&inputs[0], vec![count]));
    let client = inputs[0].client.clone();
    let (cubes, cube) = units(count);
    let [weights, gradient, first, second] = inputs.map(CubeTensor::into_buffer_arg);
    let [moved, new_first, new_second] = outputs.clone().map(CubeTensor::into_buffer_arg);
    let Factors { betas, rate, share, epsilon } = factors;
    // SAFETY: every unit that is not past the end reads and writes the numbers at its own place.
    #[expect(unsafe_code, reason = "the kernel itself looks where the numbers end")]
    unsafe {
        step_kernel::launch_unchecked(
            &client,
            cubes,
            cube,
            weights,
            gradient,
            first,
            second,
            moved,
            new_first,
            new_second,
            count,
            betas[0] as f32,
            betas[1] as f32,
            (1.0 - betas[0]) as f32,
            (1.0 - betas[1]) as f32,
            rate as f32,
            share as f32,
            epsilon as f32,
        );
    }
    outputs
}

#[cube(launch_unchecked)]
fn step_kernel(
    weights: &[f32],
    gradient: &[f32],
    first: &[f32],
    second: &[f32],
    moved: &mut [f32],
    new_first: &mut [f32],
    new_second: &mut [f32],
    count: usize,
    kept_1: f32,
    kept_2: f32,
    new_1: f32,
    new_2: f32,
    rate: f32,
    share: f32,
    epsilon: f32,
) {
    let at = unit();
    if at >= count {
        terminate!();
    }
    let slope = gradient[at];
    let first = first[at] * kept_1 + slope * new_1;
    let second = second[at] * kept_2 + slope * slope * new_2;
    moved[at] = weights[at] - rate * (first / ((second / share).sqrt() + epsilon));
    new_first[at] = first;
    new_second[at] = second;
}
