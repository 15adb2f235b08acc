//! Batch normalisation and the activation after it, in one pass over the numbers, and the way back.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::widest::run_widest;

/// What is done to every channel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rule {
    /// Added to a variance.
    pub(crate) epsilon: f64,
    /// What numbers below 0 are multiplied with after normalisation: 0 for ReLU, 1 for nothing.
    pub(crate) slope: f64,
}

/// What normalisation gives: its results, and mean and biased variance of each channel.
pub(crate) struct Normalised {
    pub(crate) output: Vec<f32>,
    pub(crate) mean: Vec<f32>,
    pub(crate) variance: Vec<f32>,
}

/// Normalises `[batch, channels, len]` numbers by channel, scales and moves them, and activates them.
pub(crate) fn normalise(
    input: &[f32],
    [scale, offset]: [&[f32]; 2],
    len: usize,
    rule: Rule,
) -> Normalised {
    let channels = scale.len();
    let mut output = vec![0.0; input.len()];
    let rows = by_channel(&mut output, channels, len);
    let found: Vec<[f32; 2]> = rows
        .into_par_iter()
        .enumerate()
        .map(|(channel, to)| {
            let from = rows_of(input, channel, channels, len);
            let affine = [scale[channel], offset[channel]];
            run_widest(Forward { from, to, affine, rule })
        })
        .collect();
    let [mean, variance] = [0, 1].map(|i| found.iter().map(|found| found[i]).collect());
    Normalised { output, mean, variance }
}

/// Gradients of a [`normalise`]: of its input, its scales and its offsets.
pub(crate) fn normalise_back(
    [input, gradient]: [&[f32]; 2],
    [scale, offset, mean, variance]: [&[f32]; 4],
    len: usize,
    rule: Rule,
) -> [Vec<f32>; 3] {
    let channels = scale.len();
    let mut of_input = vec![0.0; input.len()];
    let rows = by_channel(&mut of_input, channels, len);
    let found: Vec<[f32; 2]> = rows
        .into_par_iter()
        .enumerate()
        .map(|(channel, to)| {
            let from = rows_of(input, channel, channels, len);
            let gradient = rows_of(gradient, channel, channels, len);
            let affine = [scale[channel], offset[channel]];
            let statistics = [mean[channel], variance[channel]];
            run_widest(Back { from, gradient, to, affine, statistics, rule })
        })
        .collect();
    let [of_scale, of_offset] = [0, 1].map(|i| found.iter().map(|found| found[i]).collect());
    [of_input, of_scale, of_offset]
}

/// Sums of `[batch, channels, len]` numbers by channel.
pub(crate) fn channel_sums(numbers: &[f32], channels: usize, len: usize) -> Vec<f32> {
    (0..channels)
        .into_par_iter()
        .map(|channel| {
            let from = rows_of(numbers, channel, channels, len);
            run_widest(Sum { from })
        })
        .collect()
}

/// The rows of each channel, one of every sample.
fn by_channel(numbers: &mut [f32], channels: usize, len: usize) -> Vec<Vec<&mut [f32]>> {
    let mut rows: Vec<Vec<&mut [f32]>> = (0..channels).map(|_| Vec::new()).collect();
    for (i, row) in numbers.chunks_exact_mut(len.max(1)).enumerate() {
        rows[i % channels].push(row);
    }
    rows
}

fn rows_of(numbers: &[f32], channel: usize, channels: usize, len: usize) -> Vec<&[f32]> {
    numbers.chunks_exact(len.max(1)).skip(channel).step_by(channels).collect()
}

struct Sum<'a> {
    from: Vec<&'a [f32]>,
}

impl WithSimd for Sum<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f32 {
        self.from.iter().map(|row| f64::from(sum(simd, row))).sum::<f64>() as f32
    }
}

struct Forward<'a> {
    from: Vec<&'a [f32]>,
    to: Vec<&'a mut [f32]>,
    affine: [f32; 2],
    rule: Rule,
}

impl WithSimd for Forward<'_> {
    type Output = [f32; 2];

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> [f32; 2] {
        let Self { from, to, affine: [scale, offset], rule } = self;
        let count = from.iter().map(|row| row.len()).sum::<usize>().max(1) as f64;
        let total: f64 = from.iter().map(|row| f64::from(sum(simd, row))).sum();
        let mean = total / count;
        let squares = from.iter().map(|row| f64::from(sum_of_squares(simd, row, mean as f32)));
        let variance = squares.sum::<f64>() / count;
        let scale = f64::from(scale) / (variance + rule.epsilon).sqrt();
        let line = Line { scale: scale as f32, offset: (f64::from(offset) - mean * scale) as f32 };
        for (from, to) in from.iter().zip(to) {
            line.activate(simd, from, to, rule.slope as f32);
        }
        [mean as f32, variance as f32]
    }
}

struct Back<'a> {
    from: Vec<&'a [f32]>,
    gradient: Vec<&'a [f32]>,
    to: Vec<&'a mut [f32]>,
    affine: [f32; 2],
    statistics: [f32; 2],
    rule: Rule,
}

impl WithSimd for Back<'_> {
    type Output = [f32; 2];

    /// With `g` the gradient behind the activation and `n` numbers `x` a channel, that of `x` is
    /// `scale / deviation * (g - sum(g) / n - (x - mean) / variance * sum(g (x - mean)) / n)`.
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> [f32; 2] {
        let Self { from, gradient, to, affine, statistics, rule } = self;
        let [[scale, offset], [mean, variance]] =
            [affine, statistics].map(|pair| pair.map(f64::from));
        let count = from.iter().map(|row| row.len()).sum::<usize>().max(1) as f64;
        let precision = 1.0 / (variance + rule.epsilon);
        let steep = scale * precision.sqrt();
        let line = Line { scale: steep as f32, offset: (offset - mean * steep) as f32 };
        let slope = rule.slope as f32;
        let (mut plain, mut weighted) = (0.0, 0.0);
        for (from, gradient) in from.iter().zip(&gradient) {
            let [a, b] = line.sums(simd, from, gradient, mean as f32, slope);
            plain += f64::from(a);
            weighted += f64::from(b);
        }
        let of_number = -steep * precision * weighted / count;
        let rest = -steep * plain / count - of_number * mean;
        let factors = [steep as f32, of_number as f32, rest as f32];
        for ((from, gradient), to) in from.iter().zip(&gradient).zip(to) {
            line.gradient(simd, from, gradient, to, factors, slope);
        }
        [(weighted * precision.sqrt()) as f32, plain as f32]
    }
}

/// What becomes of a number before it is activated.
#[derive(Clone, Copy)]
struct Line {
    scale: f32,
    offset: f32,
}

impl Line {
    #[inline(always)]
    fn activate<S: Simd>(self, simd: S, from: &[f32], to: &mut [f32], slope: f32) {
        let [scale, offset, slopes, zero] =
            [self.scale, self.offset, slope, 0.0].map(|x| simd.splat_f32s(x));
        let ((from, from_tail), (to, to_tail)) = (S::as_simd_f32s(from), S::as_mut_simd_f32s(to));
        for (to, x) in to.iter_mut().zip(from) {
            let y = simd.mul_add_e_f32s(*x, scale, offset);
            let is_above = simd.greater_than_f32s(y, zero);
            *to = simd.select_f32s(is_above, y, simd.mul_f32s(y, slopes));
        }
        for (to, x) in to_tail.iter_mut().zip(from_tail) {
            let y = x * self.scale + self.offset;
            *to = if y > 0.0 { y } else { y * slope };
        }
    }

    /// Sums of the gradients behind the activation, and of their products with `x - mean`.
    #[inline(always)]
    fn sums<S: Simd>(
        self,
        simd: S,
        from: &[f32],
        gradient: &[f32],
        mean: f32,
        slope: f32,
    ) -> [f32; 2] {
        let [scale, offset, slopes, zero, means] =
            [self.scale, self.offset, slope, 0.0, mean].map(|x| simd.splat_f32s(x));
        let ((from, from_tail), (gradient, tail)) =
            (S::as_simd_f32s(from), S::as_simd_f32s(gradient));
        let mut sums = [[zero; 4]; 2];
        for (from, gradient) in from.chunks(4).zip(gradient.chunks(4)) {
            for (i, (x, g)) in from.iter().zip(gradient).enumerate() {
                let y = simd.mul_add_e_f32s(*x, scale, offset);
                let is_above = simd.greater_than_f32s(y, zero);
                let g = simd.select_f32s(is_above, *g, simd.mul_f32s(*g, slopes));
                sums[0][i] = simd.add_f32s(sums[0][i], g);
                sums[1][i] = simd.mul_add_e_f32s(g, simd.sub_f32s(*x, means), sums[1][i]);
            }
        }
        let mut found = sums.map(|sums| total(simd, sums));
        for (x, g) in from_tail.iter().zip(tail) {
            let g = if x * self.scale + self.offset > 0.0 { *g } else { g * slope };
            found[0] += g;
            found[1] += g * (x - mean);
        }
        found
    }

    #[inline(always)]
    fn gradient<S: Simd>(
        self,
        simd: S,
        from: &[f32],
        gradient: &[f32],
        to: &mut [f32],
        factors: [f32; 3],
        slope: f32,
    ) {
        let [scale, offset, slopes, zero] =
            [self.scale, self.offset, slope, 0.0].map(|x| simd.splat_f32s(x));
        let [of_gradient, of_number, rest] = factors.map(|x| simd.splat_f32s(x));
        let ((from, from_tail), (gradient, tail)) =
            (S::as_simd_f32s(from), S::as_simd_f32s(gradient));
        let (to, to_tail) = S::as_mut_simd_f32s(to);
        for ((to, x), g) in to.iter_mut().zip(from).zip(gradient) {
            let y = simd.mul_add_e_f32s(*x, scale, offset);
            let is_above = simd.greater_than_f32s(y, zero);
            let g = simd.select_f32s(is_above, *g, simd.mul_f32s(*g, slopes));
            *to = simd.mul_add_e_f32s(g, of_gradient, simd.mul_add_e_f32s(*x, of_number, rest));
        }
        for ((to, x), g) in to_tail.iter_mut().zip(from_tail).zip(tail) {
            let g = if x * self.scale + self.offset > 0.0 { *g } else { g * slope };
            *to = g * factors[0] + (x * factors[1] + factors[2]);
        }
    }
}

#[inline(always)]
fn sum<S: Simd>(simd: S, row: &[f32]) -> f32 {
    let (row, tail) = S::as_simd_f32s(row);
    let mut sums = [simd.splat_f32s(0.0); 4];
    for numbers in row.chunks(4) {
        for (sum, x) in sums.iter_mut().zip(numbers) {
            *sum = simd.add_f32s(*sum, *x);
        }
    }
    total(simd, sums) + tail.iter().sum::<f32>()
}

#[inline(always)]
fn sum_of_squares<S: Simd>(simd: S, row: &[f32], mean: f32) -> f32 {
    let (row, tail) = S::as_simd_f32s(row);
    let means = simd.splat_f32s(mean);
    let mut sums = [simd.splat_f32s(0.0); 4];
    for numbers in row.chunks(4) {
        for (sum, x) in sums.iter_mut().zip(numbers) {
            let x = simd.sub_f32s(*x, means);
            *sum = simd.mul_add_e_f32s(x, x, *sum);
        }
    }
    total(simd, sums) + tail.iter().map(|x| (x - mean) * (x - mean)).sum::<f32>()
}

#[inline(always)]
fn total<S: Simd>(simd: S, [a, b, c, d]: [S::f32s; 4]) -> f32 {
    simd.reduce_sum_f32s(simd.add_f32s(simd.add_f32s(a, b), simd.add_f32s(c, d)))
}
