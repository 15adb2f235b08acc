//! The discriminator of the 3D-GAN: tells true grids from generated ones.

use burn::config::Config;
use burn::module::Module;
use burn::nn::conv::{Conv3d, Conv3dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, PaddingConfig3d};
use burn::tensor::{Device, Tensor};

use crate::batch_norm::normalise;
use crate::convolution::conv3d;
use crate::generator::{CUBE_LENS, GeneratorConfig, stem_padding};
use crate::layers::Trace;

/// Configuration of a [`Discriminator`].
#[derive(Config, Debug)]
pub struct DiscriminatorConfig {
    /// Edge of the grids, in voxels: 16, 32 or 64.
    pub cube_len: usize,
    /// Channels after the first layer; each further layer doubles them. The literature has as many
    /// as `cube_len`.
    pub channels: usize,
    /// Whether convolutions have a bias.
    #[config(default = false)]
    pub bias: bool,
    /// Slope of the activation below zero.
    #[config(default = 0.2)]
    pub leak: f64,
}

/// Convolutions, all but the last with normalisation (the first too) and leaky ReLU. Made by a
/// [`DiscriminatorConfig`], it is the generator's mirror image: kernel 4 and stride 2 (Wu et al. 2016).
#[derive(Module, Debug)]
pub struct Discriminator {
    /// Weights `[channels_out, channels_in, 4, 4, 4]`.
    pub convolutions: Vec<Conv3d>,
    /// One for each convolution but the last.
    pub normalisations: Vec<BatchNorm>,
    /// Slope of the activation below zero.
    #[module(skip)]
    pub leak: f64,
}

impl DiscriminatorConfig {
    /// Makes the layers, with burn's own draw of weights.
    ///
    /// # Panics
    /// When the grid's edge is none of [`CUBE_LENS`].
    pub fn init(&self, device: &Device) -> Discriminator {
        assert!(CUBE_LENS.contains(&self.cube_len), "cube_len must be 16, 32 or 64");
        let mut widths = GeneratorConfig::new(self.cube_len, 1, self.channels).widths();
        widths.reverse();
        let last = widths.len() - 1;
        let layer = |(i, &[output, input]): (usize, &[usize; 2])| {
            let padding = stem_padding(self.cube_len, i == last);
            Conv3dConfig::new([input, output], [4; 3])
                .with_stride([2; 3])
                .with_padding(PaddingConfig3d::Explicit(padding, padding, padding))
                .with_bias(self.bias)
                .init(device)
        };
        Discriminator {
            convolutions: widths.iter().enumerate().map(layer).collect(),
            normalisations: widths[..last]
                .iter()
                .map(|&[channels, _]| BatchNormConfig::new(channels).init(device))
                .collect(),
            leak: self.leak,
        }
    }
}

impl Discriminator {
    /// Logits of the grids being true ones.
    ///
    /// # Shapes
    /// - grids: `[batch, cube_len, cube_len, cube_len]`, occupancies in [0, 1]
    /// - result: `[batch]`
    pub fn forward(&self, grids: Tensor<4>) -> Tensor<1> {
        let mut features = grids.unsqueeze_dim::<5>(1);
        for (i, convolution) in self.convolutions.iter().enumerate() {
            features = conv3d(convolution, features);
            if let Some(normalisation) = self.normalisations.get(i) {
                features = normalise(normalisation, features, self.leak);
            }
        }
        features.flatten::<1>(0, 4)
    }

    pub(crate) fn trace(&self, trace: &mut Trace) {
        let grid = [&[1], trace.shape()].concat();
        trace.reshape(&grid);
        for (i, convolution) in self.convolutions.iter().enumerate() {
            trace.conv3d(&format!("convolutions.{i}"), convolution);
            if let Some(normalisation) = self.normalisations.get(i) {
                trace.norm(&format!("normalisations.{i}"), normalisation, "leaky relu");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::trainable_parameters;

    #[test]
    fn literature_discriminators_have_the_golden_parameter_counts() {
        for (cube_len, expected) in [(32, 2_771_904), (64, 11_048_832)] {
            let config = DiscriminatorConfig::new(cube_len, cube_len);
            assert_eq!(trainable_parameters(&config.init(&Device::flex())), expected);
        }
    }

    #[test]
    fn every_edge_ends_in_one_number_a_grid() {
        for cube_len in CUBE_LENS {
            let discriminator = DiscriminatorConfig::new(cube_len, 2).init(&Device::flex());
            let grids = Tensor::ones([3, cube_len, cube_len, cube_len], &Device::flex());
            assert_eq!(discriminator.forward(grids).dims(), [3]);
        }
    }
}
