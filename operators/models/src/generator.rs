//! The generator of the 3D-GAN: a code becomes an occupancy grid.

use burn::config::Config;
use burn::module::Module;
use burn::nn::conv::{ConvTranspose3d, ConvTranspose3dConfig};
use burn::nn::{BatchNorm, BatchNormConfig};
use burn::tensor::{Device, Tensor};

use crate::batch_norm::normalise;
use crate::convolution::transposed3d;
use crate::layers::Trace;

/// Grid edges that generator and discriminator are built for.
pub const CUBE_LENS: [usize; 3] = [16, 32, 64];

/// Configuration of a [`Generator`].
#[derive(Config, Debug)]
pub struct GeneratorConfig {
    /// Edge of the grids, in voxels: 16, 32 or 64.
    pub cube_len: usize,
    /// Numbers in a code.
    pub z_size: usize,
    /// Channels before the last layer; each layer before has twice those of the next. The
    /// literature has as many as `cube_len`.
    pub channels: usize,
    /// Whether convolutions have a bias.
    #[config(default = false)]
    pub bias: bool,
}

/// Transposed convolutions of kernel 4 and stride 2, all but the last with normalisation and ReLU
/// (Wu et al. 2016).
#[derive(Module, Debug)]
pub struct Generator {
    /// Weights `[channels_in, channels_out, 4, 4, 4]`.
    pub convolutions: Vec<ConvTranspose3d>,
    /// One for each convolution but the last.
    pub normalisations: Vec<BatchNorm>,
}

impl GeneratorConfig {
    /// Channels in and out of each layer, from the code to the grid. A 16^3 grid takes four layers,
    /// larger ones five.
    pub(crate) fn widths(&self) -> Vec<[usize; 2]> {
        let layers = if self.cube_len == 16 { 4 } else { 5 };
        let mut widths = vec![self.z_size];
        widths.extend((0..layers - 1).rev().map(|power| self.channels << power));
        widths.push(1);
        widths.windows(2).map(|pair| [pair[0], pair[1]]).collect()
    }

    /// Makes the layers, with burn's own draw of weights.
    ///
    /// # Panics
    /// When the grid's edge is none of [`CUBE_LENS`].
    pub fn init(&self, device: &Device) -> Generator {
        assert!(CUBE_LENS.contains(&self.cube_len), "cube_len must be 16, 32 or 64");
        let widths = self.widths();
        let layer = |(i, &channels): (usize, &[usize; 2])| {
            ConvTranspose3dConfig::new(channels, [4; 3])
                .with_stride([2; 3])
                .with_padding([stem_padding(self.cube_len, i == 0); 3])
                .with_bias(self.bias)
                .init(device)
        };
        Generator {
            convolutions: widths.iter().enumerate().map(layer).collect(),
            normalisations: widths[..widths.len() - 1]
                .iter()
                .map(|&[_, channels]| BatchNormConfig::new(channels).init(device))
                .collect(),
        }
    }
}

/// Padding of a layer: the one at the code's end opens 1 to 4 without padding for a 64^3 grid.
pub(crate) fn stem_padding(cube_len: usize, is_stem: bool) -> usize {
    if is_stem && cube_len == 64 { 0 } else { 1 }
}

impl Generator {
    /// Logits of the grids of `codes`: occupancy is their sigmoid. Axes are x, y, z, as in the
    /// voxels table.
    ///
    /// # Shapes
    /// - codes: `[batch, z_size]`
    /// - result: `[batch, cube_len, cube_len, cube_len]`
    pub fn forward(&self, codes: Tensor<2>) -> Tensor<4> {
        let [batch, z_size] = codes.dims();
        let mut grid = codes.reshape([batch, z_size, 1, 1, 1]);
        for (i, convolution) in self.convolutions.iter().enumerate() {
            grid = transposed3d(convolution, grid);
            if let Some(normalisation) = self.normalisations.get(i) {
                grid = normalise(normalisation, grid, 0.0);
            }
        }
        grid.squeeze_dim::<4>(1)
    }

    pub(crate) fn trace(&self, trace: &mut Trace) {
        let code = [trace.shape(), &[1; 3]].concat();
        trace.reshape(&code);
        for (i, convolution) in self.convolutions.iter().enumerate() {
            trace.transposed3d(&format!("convolutions.{i}"), convolution);
            if let Some(normalisation) = self.normalisations.get(i) {
                trace.norm(&format!("normalisations.{i}"), normalisation, "relu");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::trainable_parameters;

    #[test]
    fn literature_generators_have_the_golden_parameter_counts() {
        for (cube_len, expected) in [(32, 6_032_320), (64, 17_569_664)] {
            let config = GeneratorConfig::new(cube_len, 200, cube_len);
            assert_eq!(trainable_parameters(&config.init(&Device::flex())), expected);
        }
    }

    #[test]
    fn every_edge_comes_out_as_asked_for() {
        for cube_len in CUBE_LENS {
            let generator = GeneratorConfig::new(cube_len, 3, 2).init(&Device::flex());
            let grid = generator.forward(Tensor::ones([2, 3], &Device::flex()));
            assert_eq!(grid.dims(), [2, cube_len, cube_len, cube_len]);
        }
    }

    #[test]
    #[expect(clippy::identity_op, reason = "the four layers are spelt out alike")]
    fn a_sixteen_cube_drops_the_widest_layer() {
        let widths = GeneratorConfig::new(16, 9, 8).widths();
        assert_eq!(widths, [[9, 8 * 4], [8 * 4, 8 * 2], [8 * 2, 8 * 1], [8 * 1, 1]]);
    }
}
