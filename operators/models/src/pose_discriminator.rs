//! The discriminator of the network with pose: tells true grids from generated ones.

use burn::config::Config;
use burn::nn::conv::Conv3dConfig;
use burn::nn::{BatchNormConfig, PaddingConfig3d};
use burn::tensor::Device;

use crate::discriminator::Discriminator;
use crate::generator::CUBE_LENS;
use crate::pose_generator::doublings;

/// Configuration of a [`Discriminator`] of other layers: convolutions of kernel 4, stride 2 and padding
/// 1 down to 4^3, each with normalisation and leaky ReLU, and one of kernel 4 that covers what is left.
/// All with bias.
#[derive(Config, Debug)]
pub struct PoseDiscriminatorConfig {
    /// Edge of the grids, in voxels: 16, 32 or 64; public code takes 32 only.
    pub cube_len: usize,
    /// Channels after the first layer; each further layer doubles them. Public code has 32.
    pub channels: usize,
    /// Slope of the activations below zero.
    #[config(default = 0.2)]
    pub leak: f64,
}

impl PoseDiscriminatorConfig {
    /// Makes the layers, with burn's own draw of weights.
    ///
    /// # Panics
    /// When the grid's edge is none of [`CUBE_LENS`].
    pub fn init(&self, device: &Device) -> Discriminator {
        assert!(CUBE_LENS.contains(&self.cube_len), "cube_len must be 16, 32 or 64");
        let layers = doublings(self.cube_len);
        let mut widths = vec![1];
        widths.extend((0..layers).map(|power| self.channels << power));
        let layer = |i: usize| {
            let (output, stride, padding) = match widths.get(i + 1) {
                Some(&next) => (next, 2, 1),
                None => (1, 1, 0),
            };
            Conv3dConfig::new([widths[i], output], [4; 3])
                .with_stride([stride; 3])
                .with_padding(PaddingConfig3d::Explicit(padding, padding, padding))
                .init(device)
        };
        Discriminator {
            convolutions: (0..widths.len()).map(layer).collect(),
            normalisations: widths[1..]
                .iter()
                .map(|&channels| BatchNormConfig::new(channels).init(device))
                .collect(),
            leak: self.leak,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::trainable_parameters;
    use burn::tensor::Tensor;

    #[test]
    fn the_reference_discriminator_has_the_golden_parameter_count() {
        let discriminator = PoseDiscriminatorConfig::new(32, 32).init(&Device::flex());
        assert_eq!(trainable_parameters(&discriminator), 666_273);
    }

    #[test]
    fn every_edge_ends_in_one_number_a_grid() {
        for cube_len in CUBE_LENS {
            let discriminator = PoseDiscriminatorConfig::new(cube_len, 2).init(&Device::flex());
            let grids = Tensor::ones([3, cube_len, cube_len, cube_len], &Device::flex());
            assert_eq!(discriminator.forward(grids).dims(), [3]);
        }
    }
}
