//! The generator of the network with pose: a code becomes an occupancy grid.

use burn::config::Config;
use burn::module::Module;
use burn::nn::conv::{ConvTranspose3d, ConvTranspose3dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
use burn::tensor::activation::sigmoid;
use burn::tensor::{Device, Tensor};

use crate::batch_norm::normalise;
use crate::convolution::transposed3d;
use crate::generator::CUBE_LENS;
use crate::layers::Trace;
use crate::linear::linear;

/// Edge of the grid that a linear layer makes of a code.
pub(crate) const STEM_EDGE: usize = 4;

/// How often [`STEM_EDGE`] doubles until it is `cube_len`.
pub(crate) fn doublings(cube_len: usize) -> usize {
    (cube_len / STEM_EDGE).max(1).ilog2() as usize
}

/// Configuration of a [`PoseGenerator`].
#[derive(Config, Debug)]
pub struct PoseGeneratorConfig {
    /// Edge of the grids, in voxels: 16, 32 or 64; public code makes 32 whatever is asked for.
    pub cube_len: usize,
    /// Numbers in a code; public code has 128.
    pub z_size: usize,
    /// Channels before the last layer; each layer before has twice those of the next. Public code has
    /// 64, so that the linear layer gives 512 channels for grids of 32.
    pub channels: usize,
    /// Quirk: occupancies are the sigmoid times 1.2, cut off at 1, which gives exact ones and no
    /// gradient above a sigmoid of 0.833.
    #[config(default = false)]
    pub stretched_occupancies: bool,
}

/// A linear layer to 4^3; then normalisation, ReLU and a transposed convolution of kernel 4 and
/// stride 2 until the edge is there; at last normalisation, ReLU and one of kernel 3 and stride 1.
/// All with bias.
#[derive(Module, Debug)]
pub struct PoseGenerator {
    /// `[z_size, channels * 4^3]`.
    pub stem: Linear,
    /// One before each convolution.
    pub normalisations: Vec<BatchNorm>,
    /// Weights `[channels_in, channels_out, kernel, kernel, kernel]`.
    pub convolutions: Vec<ConvTranspose3d>,
    /// Whether occupancies are stretched.
    #[module(skip)]
    pub stretched_occupancies: bool,
}

impl PoseGeneratorConfig {
    /// Makes the layers, with burn's own draw of weights.
    ///
    /// # Panics
    /// When the grid's edge is none of [`CUBE_LENS`].
    pub fn init(&self, device: &Device) -> PoseGenerator {
        assert!(CUBE_LENS.contains(&self.cube_len), "cube_len must be 16, 32 or 64");
        let layers = doublings(self.cube_len);
        let widths: Vec<_> = (0..=layers).rev().map(|power| self.channels << power).collect();
        let layer = |i: usize| {
            let (output, kernel) = match widths.get(i + 1) {
                Some(&next) => (next, 4),
                None => (1, 3),
            };
            ConvTranspose3dConfig::new([widths[i], output], [kernel; 3])
                .with_stride([if kernel == 4 { 2 } else { 1 }; 3])
                .with_padding([1; 3])
                .init(device)
        };
        PoseGenerator {
            stem: LinearConfig::new(self.z_size, widths[0] * STEM_EDGE.pow(3)).init(device),
            normalisations: widths
                .iter()
                .map(|&channels| BatchNormConfig::new(channels).init(device))
                .collect(),
            convolutions: (0..widths.len()).map(layer).collect(),
            stretched_occupancies: self.stretched_occupancies,
        }
    }
}

impl PoseGenerator {
    /// Logits of the grids of `codes`; [`PoseGenerator::occupancies`] makes occupancies of them.
    ///
    /// # Shapes
    /// - codes: `[batch, z_size]`
    /// - result: `[batch, cube_len, cube_len, cube_len]`
    pub fn forward(&self, codes: Tensor<2>) -> Tensor<4> {
        let [batch, _] = codes.dims();
        let stem = linear(&self.stem, codes);
        let channels = stem.dims()[1] / STEM_EDGE.pow(3);
        let grid = stem.reshape([batch, channels, STEM_EDGE, STEM_EDGE, STEM_EDGE]);
        let layers = self.normalisations.iter().zip(&self.convolutions);
        let grid = layers.fold(grid, |x, (norm, convolution)| {
            transposed3d(convolution, normalise(norm, x, 0.0))
        });
        grid.squeeze_dim::<4>(1)
    }

    /// Occupancies of logits: their sigmoid, stretched where public code's quirk is on.
    ///
    /// # Shapes
    /// - logits, result: `[batch, cube_len, cube_len, cube_len]`
    pub fn occupancies(&self, logits: Tensor<4>) -> Tensor<4> {
        let occupancies = sigmoid(logits);
        if self.stretched_occupancies { (occupancies * 1.2).clamp(0.0, 1.0) } else { occupancies }
    }

    pub(crate) fn trace(&self, trace: &mut Trace) {
        trace.linear("stem", &self.stem, "");
        let channels = trace.shape()[0] / STEM_EDGE.pow(3);
        trace.reshape(&[channels, STEM_EDGE, STEM_EDGE, STEM_EDGE]);
        for (i, (norm, layer)) in self.normalisations.iter().zip(&self.convolutions).enumerate() {
            trace.norm(&format!("normalisations.{i}"), norm, "relu");
            trace.transposed3d(&format!("convolutions.{i}"), layer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::trainable_parameters;

    #[test]
    fn the_reference_generator_has_the_golden_parameter_count() {
        let generator = PoseGeneratorConfig::new(32, 128, 64).init(&Device::flex());
        assert_eq!(trainable_parameters(&generator), 15_241_217);
    }

    #[test]
    fn stretched_occupancies_reach_one() {
        let config = PoseGeneratorConfig::new(16, 2, 1).with_stretched_occupancies(true);
        let generator = config.init(&Device::flex());
        let logits = Tensor::<4>::from_floats([[[[3.0, 0.0, -30.0]]]], &Device::flex());
        let found = generator.occupancies(logits).into_data().try_into_vec::<f32>();
        let found = found.expect("floats");
        assert_eq!(found[0], 1.0);
        assert!((found[1] - 0.6).abs() < 1e-6 && found[2] < 1e-6);
    }
}
