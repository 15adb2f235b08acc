//! The discriminator of the network with attention: tells true grids from generated ones.

use burn::config::Config;
use burn::module::Module;
use burn::nn::conv::{Conv3d, Conv3dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig3d};
use burn::tensor::{Device, Tensor};

use crate::batch_norm::normalise;
use crate::convolution::conv3d;
use crate::generator::CUBE_LENS;
use crate::layers::Trace;
use crate::linear::linear;
use crate::pose_generator::{STEM_EDGE, doublings};

/// Configuration of an [`AttentionDiscriminator`].
#[derive(Config, Debug)]
pub struct AttentionDiscriminatorConfig {
    /// Edge of the grids, in voxels: 16, 32 or 64; public code has 64.
    pub cube_len: usize,
    /// Channels after the first layer; each further layer doubles them. Public code has 64.
    pub channels: usize,
    /// Slope of the activations below zero.
    #[config(default = 0.2)]
    pub leak: f64,
}

/// Convolutions of kernel 4, stride 2 and padding 1 down to 4^3 without bias, each with
/// normalisation and leaky ReLU, and a linear layer.
#[derive(Module, Debug)]
pub struct AttentionDiscriminator {
    /// Weights `[channels_out, channels_in, 4, 4, 4]`.
    pub convolutions: Vec<Conv3d>,
    /// One for each convolution.
    pub normalisations: Vec<BatchNorm>,
    /// `[channels * 4^3, 1]`.
    pub head: Linear,
    /// Slope of the activations below zero.
    #[module(skip)]
    pub leak: f64,
}

impl AttentionDiscriminatorConfig {
    /// Makes the layers, with burn's own draw of weights.
    ///
    /// # Panics
    /// When the grid's edge is none of [`CUBE_LENS`].
    pub fn init(&self, device: &Device) -> AttentionDiscriminator {
        assert!(CUBE_LENS.contains(&self.cube_len), "cube_len must be 16, 32 or 64");
        let layers = doublings(self.cube_len);
        let mut widths = vec![1];
        widths.extend((0..layers).map(|power| self.channels << power));
        let layer = |pair: &[usize]| {
            Conv3dConfig::new([pair[0], pair[1]], [4; 3])
                .with_stride([2; 3])
                .with_padding(PaddingConfig3d::Explicit(1, 1, 1))
                .with_bias(false)
                .init(device)
        };
        let features = widths[layers] * STEM_EDGE.pow(3);
        AttentionDiscriminator {
            convolutions: widths.windows(2).map(layer).collect(),
            normalisations: widths[1..]
                .iter()
                .map(|&channels| BatchNormConfig::new(channels).init(device))
                .collect(),
            head: LinearConfig::new(features, 1).init(device),
            leak: self.leak,
        }
    }
}

impl AttentionDiscriminator {
    /// Logits of the grids being true ones.
    ///
    /// # Shapes
    /// - grids: `[batch, cube_len, cube_len, cube_len]`, occupancies in [0, 1]
    /// - result: `[batch]`
    pub fn forward(&self, grids: Tensor<4>) -> Tensor<1> {
        let layers = self.convolutions.iter().zip(&self.normalisations);
        let features = layers.fold(grids.unsqueeze_dim::<5>(1), |x, (convolution, norm)| {
            normalise(norm, conv3d(convolution, x), self.leak)
        });
        linear(&self.head, features.flatten::<2>(1, 4)).flatten::<1>(0, 1)
    }

    pub(crate) fn trace(&self, trace: &mut Trace) {
        let grid = [&[1], trace.shape()].concat();
        trace.reshape(&grid);
        for (i, (layer, norm)) in self.convolutions.iter().zip(&self.normalisations).enumerate() {
            trace.conv3d(&format!("convolutions.{i}"), layer);
            trace.norm(&format!("normalisations.{i}"), norm, "leaky relu");
        }
        trace.flatten().linear("head", &self.head, "");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::trainable_parameters;

    #[test]
    fn the_reference_discriminator_has_the_golden_parameter_count() {
        let discriminator = AttentionDiscriminatorConfig::new(64, 64).init(&Device::flex());
        assert_eq!(trainable_parameters(&discriminator), 11_048_833);
    }

    #[test]
    fn every_edge_ends_in_one_number_a_grid() {
        for cube_len in CUBE_LENS {
            let config = AttentionDiscriminatorConfig::new(cube_len, 2);
            let grids = Tensor::ones([3, cube_len, cube_len, cube_len], &Device::flex());
            assert_eq!(config.init(&Device::flex()).forward(grids).dims(), [3]);
        }
    }
}
