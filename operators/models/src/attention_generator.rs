//! The generator of the network with attention: a code becomes an occupancy grid.

use burn::config::Config;
use burn::module::Module;
use burn::nn::conv::{ConvTranspose3d, ConvTranspose3dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
use burn::tensor::{Device, Tensor};

use crate::batch_norm::normalise;
use crate::convolution::transposed3d;
use crate::generator::CUBE_LENS;
use crate::layers::Trace;
use crate::linear::linear;
use crate::pose_generator::{STEM_EDGE, doublings};

/// Configuration of an [`AttentionGenerator`].
#[derive(Config, Debug)]
pub struct AttentionGeneratorConfig {
    /// Edge of the grids, in voxels: 16, 32 or 64; public code has 64.
    pub cube_len: usize,
    /// Numbers in a code; public code has 1024.
    pub z_size: usize,
    /// Channels before the last layer; each layer before has twice those of the next. Public code has
    /// 8, so that the linear layer gives 64 channels for grids of 64.
    pub channels: usize,
}

/// A linear layer to 4^3, then transposed convolutions of kernel 4, stride 2 and padding 1 with bias,
/// all but the last with normalisation and ReLU.
#[derive(Module, Debug)]
pub struct AttentionGenerator {
    /// `[z_size, channels * 4^3]`.
    pub stem: Linear,
    /// Weights `[channels_in, channels_out, 4, 4, 4]`.
    pub convolutions: Vec<ConvTranspose3d>,
    /// One for each convolution but the last.
    pub normalisations: Vec<BatchNorm>,
}

impl AttentionGeneratorConfig {
    /// Makes the layers, with burn's own draw of weights.
    ///
    /// # Panics
    /// When the grid's edge is none of [`CUBE_LENS`].
    pub fn init(&self, device: &Device) -> AttentionGenerator {
        assert!(CUBE_LENS.contains(&self.cube_len), "cube_len must be 16, 32 or 64");
        let layers = doublings(self.cube_len);
        let widths: Vec<_> = (0..layers).rev().map(|power| self.channels << power).collect();
        let layer = |i: usize| {
            let output = widths.get(i + 1).copied().unwrap_or(1);
            ConvTranspose3dConfig::new([widths[i], output], [4; 3])
                .with_stride([2; 3])
                .with_padding([1; 3])
                .init(device)
        };
        AttentionGenerator {
            stem: LinearConfig::new(self.z_size, widths[0] * STEM_EDGE.pow(3)).init(device),
            convolutions: (0..layers).map(layer).collect(),
            normalisations: widths[1..]
                .iter()
                .map(|&channels| BatchNormConfig::new(channels).init(device))
                .collect(),
        }
    }
}

impl AttentionGenerator {
    /// Logits of the grids of `codes`: occupancy is their sigmoid.
    ///
    /// # Shapes
    /// - codes: `[batch, z_size]`
    /// - result: `[batch, cube_len, cube_len, cube_len]`
    pub fn forward(&self, codes: Tensor<2>) -> Tensor<4> {
        let [batch, _] = codes.dims();
        let stem = linear(&self.stem, codes);
        let channels = stem.dims()[1] / STEM_EDGE.pow(3);
        let mut grid = stem.reshape([batch, channels, STEM_EDGE, STEM_EDGE, STEM_EDGE]);
        for (i, convolution) in self.convolutions.iter().enumerate() {
            grid = transposed3d(convolution, grid);
            if let Some(norm) = self.normalisations.get(i) {
                grid = normalise(norm, grid, 0.0);
            }
        }
        grid.squeeze_dim::<4>(1)
    }

    pub(crate) fn trace(&self, trace: &mut Trace) {
        trace.linear("stem", &self.stem, "");
        let channels = trace.shape()[0] / STEM_EDGE.pow(3);
        trace.reshape(&[channels, STEM_EDGE, STEM_EDGE, STEM_EDGE]);
        for (i, convolution) in self.convolutions.iter().enumerate() {
            trace.transposed3d(&format!("convolutions.{i}"), convolution);
            if let Some(norm) = self.normalisations.get(i) {
                trace.norm(&format!("normalisations.{i}"), norm, "relu");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::trainable_parameters;

    #[test]
    fn the_reference_generator_has_the_golden_parameter_count() {
        let generator = AttentionGeneratorConfig::new(64, 1024, 8).init(&Device::flex());
        assert_eq!(trainable_parameters(&generator), 4_371_113);
    }

    #[test]
    fn every_edge_comes_out_as_asked_for() {
        for cube_len in CUBE_LENS {
            let generator = AttentionGeneratorConfig::new(cube_len, 3, 2).init(&Device::flex());
            let grid = generator.forward(Tensor::ones([2, 3], &Device::flex()));
            assert_eq!(grid.dims(), [2, cube_len, cube_len, cube_len]);
        }
    }
}
