//! Normalisation of a batch with the activation after it: each number is read twice on the way there, and
//! twice on the way back.
//!
//! Sums of a channel are taken in parts, one a cube, which one unit adds up in their order. Squares are of the
//! distance to the channel's first number, so that a channel far from zero keeps its variance.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;

use super::tensors::{UNITS, empty, unit, units};
use crate::cpu::batch_norm::Rule;

/// Cubes that keep a large device busy.
const CUBES: usize = 1024;
/// Numbers from which a part is worth a cube.
const PART: usize = 16 * UNITS as usize;

/// How the numbers of a batch lie.
#[derive(Clone, Copy)]
struct Layout {
    batch: usize,
    channels: usize,
    /// Numbers of one channel in one sample.
    len: usize,
}

impl Layout {
    fn of(input: &CubeTensor) -> Self {
        let [batch, channels] = [input.meta.shape()[0], input.meta.shape()[1]];
        Self { batch, channels, len: input.meta.num_elements() / (batch * channels) }
    }

    /// Parts of a channel.
    fn parts(&self) -> usize {
        let most = (self.batch * self.len).div_ceil(PART);
        CUBES.div_ceil(self.channels).min(most).max(1)
    }

    fn numbers(&self) -> usize {
        self.batch * self.channels * self.len
    }
}

/// Output, mean and biased variance.
///
/// # Shapes
/// - input, output: `[batch, channels, ..]`
/// - gamma, beta, mean, variance: `[channels]`
pub(crate) fn normalise(
    [input, gamma, beta]: [CubeTensor; 3],
    rule: Rule,
) -> (CubeTensor, CubeTensor, CubeTensor) {
    let [input, gamma, beta] = [input, gamma, beta].map(into_contiguous);
    let (layout, client) = (Layout::of(&input), input.client.clone());
    let Layout { batch, channels, len } = layout;
    let parts = layout.parts();
    let sums = empty(&input, vec![2, channels, parts]);
    let [mean, variance] = [0; 2].map(|_| empty(&input, vec![channels]));
    let output = empty(&input, input.meta.shape().to_vec());
    let (by_channel, cube) = units(channels);
    let (by_number, _) = units(layout.numbers());
    let arg = |tensor: &CubeTensor| tensor.clone().into_buffer_arg();
    // SAFETY: units past the end do nothing, and all others read and write at places that `layout` has.
    #[expect(unsafe_code, reason = "the kernels themselves look where the numbers end")]
    unsafe {
        sum_kernel::launch_unchecked(
            &client,
            CubeCount::Static(parts as u32, channels as u32, 1),
            cube,
            arg(&input),
            arg(&sums),
            batch,
            len,
        );
        moments_kernel::launch_unchecked(
            &client,
            by_channel,
            cube,
            arg(&input),
            arg(&sums),
            arg(&mean),
            arg(&variance),
            channels,
            parts,
            len,
            (batch * len) as f32,
        );
        normalise_kernel::launch_unchecked(
            &client,
            by_number,
            cube,
            arg(&input),
            arg(&gamma),
            arg(&beta),
            arg(&mean),
            arg(&variance),
            arg(&output),
            channels,
            len,
            layout.numbers(),
            rule.epsilon as f32,
            rule.slope as f32,
        );
    }
    (output, mean, variance)
}

/// Gradients of input, `gamma` and `beta`.
///
/// # Shapes
/// - input, gradient, first result: `[batch, channels, ..]`
/// - gamma, beta, mean, variance, other results: `[channels]`
pub(crate) fn normalise_back(
    [input, gradient]: [CubeTensor; 2],
    channelwise: [CubeTensor; 4],
    rule: Rule,
) -> [CubeTensor; 3] {
    let [input, gradient] = [input, gradient].map(into_contiguous);
    let channelwise = channelwise.map(into_contiguous);
    let [of_gamma, of_beta] = sums_back([&input, &gradient], &channelwise, rule);
    let layout = Layout::of(&input);
    let of_input = empty(&input, input.meta.shape().to_vec());
    let (cubes, cube) = units(layout.numbers());
    let [gamma, beta, mean, variance] = channelwise.map(CubeTensor::into_buffer_arg);
    // SAFETY: units past the end do nothing, and all others read and write at places that `layout` has.
    #[expect(unsafe_code, reason = "the kernel itself looks where the numbers end")]
    unsafe {
        normalise_back_kernel::launch_unchecked(
            &input.client.clone(),
            cubes,
            cube,
            input.into_buffer_arg(),
            gradient.into_buffer_arg(),
            gamma,
            beta,
            mean,
            variance,
            of_beta.clone().into_buffer_arg(),
            of_gamma.clone().into_buffer_arg(),
            of_input.clone().into_buffer_arg(),
            layout.channels,
            layout.len,
            layout.numbers(),
            (layout.batch * layout.len) as f32,
            rule.epsilon as f32,
            rule.slope as f32,
        );
    }
    [of_input, of_gamma, of_beta]
}

/// Gradients of `gamma` and `beta`.
fn sums_back(
    [input, gradient]: [&CubeTensor; 2],
    channelwise: &[CubeTensor; 4],
    rule: Rule,
) -> [CubeTensor; 2] {
    let layout = Layout::of(input);
    let (parts, channels) = (layout.parts(), layout.channels);
    let sums = empty(input, vec![2, channels, parts]);
    let [of_gamma, of_beta] = [0; 2].map(|_| empty(input, vec![channels]));
    let (by_channel, cube) = units(channels);
    let arg = |tensor: &CubeTensor| tensor.clone().into_buffer_arg();
    let [gamma, beta, mean, variance] = channelwise.each_ref().map(arg);
    // SAFETY: units past the end do nothing, and all others read and write at places that `layout` has.
    #[expect(unsafe_code, reason = "the kernels themselves look where the numbers end")]
    unsafe {
        sum_back_kernel::launch_unchecked(
            &input.client,
            CubeCount::Static(parts as u32, channels as u32, 1),
            cube,
            arg(input),
            arg(gradient),
            gamma,
            beta,
            mean,
            variance,
            arg(&sums),
            layout.batch,
            layout.len,
            rule.epsilon as f32,
            rule.slope as f32,
        );
        total_kernel::launch_unchecked(
            &input.client,
            by_channel,
            cube,
            arg(&sums),
            arg(&of_beta),
            arg(&of_gamma),
            channels,
            parts,
        );
    }
    [of_gamma, of_beta]
}

/// Puts the sums of two numbers of each unit of a cube where they belong: `sums` is `[2, channels, parts]`.
#[cube]
fn put_sums(sums: &mut [f32], first: f32, second: f32) {
    let units = comptime![UNITS as usize];
    let unit = UNIT_POS_X as usize;
    let mut shared = Shared::new_slice(comptime![2 * UNITS as usize]);
    shared[unit] = first;
    shared[units + unit] = second;
    sync_cube();
    let mut reach = comptime![UNITS as usize / 2].runtime();
    while reach > 0 {
        if unit < reach {
            shared[unit] += shared[unit + reach];
            shared[units + unit] += shared[units + unit + reach];
        }
        sync_cube();
        reach /= 2;
    }
    if unit == 0 {
        let at = (CUBE_POS_Y * CUBE_COUNT_X + CUBE_POS_X) as usize;
        sums[at] = shared[0];
        sums[(CUBE_COUNT_X * CUBE_COUNT_Y) as usize + at] = shared[units];
    }
}

/// Distances to a channel's first number, and their squares.
#[cube(launch_unchecked)]
fn sum_kernel(input: &[f32], sums: &mut [f32], batch: usize, len: usize) {
    let (channel, channels) = (CUBE_POS_Y as usize, CUBE_COUNT_Y as usize);
    let origin = input[channel * len];
    let mut sum = 0.0f32;
    let mut squares = 0.0f32;
    let mut at = (CUBE_POS_X * CUBE_DIM_X + UNIT_POS_X) as usize;
    while at < batch * len {
        let distance = input[(at / len * channels + channel) * len + at % len] - origin;
        sum += distance;
        squares += distance * distance;
        at += (CUBE_COUNT_X * CUBE_DIM_X) as usize;
    }
    put_sums(sums, sum, squares);
}

#[cube]
fn total(sums: &[f32], channel: usize, parts: usize) -> f32 {
    let mut total = 0.0f32;
    for part in 0..parts {
        total += sums[channel * parts + part];
    }
    total
}

#[cube(launch_unchecked)]
fn moments_kernel(
    input: &[f32],
    sums: &[f32],
    mean: &mut [f32],
    variance: &mut [f32],
    channels: usize,
    parts: usize,
    len: usize,
    count: f32,
) {
    let channel = unit();
    if channel >= channels {
        terminate!();
    }
    let distance = total(sums, channel, parts) / count;
    let square = total(sums, channels + channel, parts) / count;
    mean[channel] = input[channel * len] + distance;
    variance[channel] = max(square - distance * distance, 0.0f32);
}

#[cube(launch_unchecked)]
fn total_kernel(
    sums: &[f32],
    first: &mut [f32],
    second: &mut [f32],
    channels: usize,
    parts: usize,
) {
    let channel = unit();
    if channel >= channels {
        terminate!();
    }
    first[channel] = total(sums, channel, parts);
    second[channel] = total(sums, channels + channel, parts);
}

#[cube(launch_unchecked)]
fn normalise_kernel(
    input: &[f32],
    gamma: &[f32],
    beta: &[f32],
    mean: &[f32],
    variance: &[f32],
    output: &mut [f32],
    channels: usize,
    len: usize,
    count: usize,
    epsilon: f32,
    slope: f32,
) {
    let at = unit();
    if at >= count {
        terminate!();
    }
    let channel = at / len % channels;
    let distance = (input[at] - mean[channel]) / (variance[channel] + epsilon).sqrt();
    let number = distance * gamma[channel] + beta[channel];
    output[at] = number * factor(number, slope);
}

/// What the activation multiplies a number with, and on the way back its gradient.
#[cube]
fn factor(number: f32, slope: f32) -> f32 {
    select(number > 0.0f32, 1.0f32, slope)
}

/// Gradients before the activation, and these times the normalised numbers.
#[cube(launch_unchecked)]
fn sum_back_kernel(
    input: &[f32],
    gradient: &[f32],
    gamma: &[f32],
    beta: &[f32],
    mean: &[f32],
    variance: &[f32],
    sums: &mut [f32],
    batch: usize,
    len: usize,
    epsilon: f32,
    slope: f32,
) {
    let (channel, channels) = (CUBE_POS_Y as usize, CUBE_COUNT_Y as usize);
    let (gamma, beta, mean) = (gamma[channel], beta[channel], mean[channel]);
    let deviation = (variance[channel] + epsilon).sqrt();
    let mut sum = 0.0f32;
    let mut products = 0.0f32;
    let mut at = (CUBE_POS_X * CUBE_DIM_X + UNIT_POS_X) as usize;
    while at < batch * len {
        let place = (at / len * channels + channel) * len + at % len;
        let distance = (input[place] - mean) / deviation;
        let before = gradient[place] * factor(distance * gamma + beta, slope);
        sum += before;
        products += before * distance;
        at += (CUBE_COUNT_X * CUBE_DIM_X) as usize;
    }
    put_sums(sums, sum, products);
}

#[cube(launch_unchecked)]
fn normalise_back_kernel(
    input: &[f32],
    gradient: &[f32],
    gamma: &[f32],
    beta: &[f32],
    mean: &[f32],
    variance: &[f32],
    sum: &[f32],
    products: &[f32],
    of_input: &mut [f32],
    channels: usize,
    len: usize,
    count: usize,
    numbers: f32,
    epsilon: f32,
    slope: f32,
) {
    let at = unit();
    if at >= count {
        terminate!();
    }
    let channel = at / len % channels;
    let deviation = (variance[channel] + epsilon).sqrt();
    let distance = (input[at] - mean[channel]) / deviation;
    let before = gradient[at] * factor(distance * gamma[channel] + beta[channel], slope);
    let common = sum[channel] / numbers + distance * products[channel] / numbers;
    of_input[at] = gamma[channel] / deviation * (before - common);
}
