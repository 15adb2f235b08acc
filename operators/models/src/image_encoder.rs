//! The image encoder of the 3D-VAE-GAN: a picture becomes mean and log-variance of a code.

use burn::config::Config;
use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

/// Configuration of an [`ImageEncoder`].
#[derive(Config, Debug)]
pub struct ImageEncoderConfig {
    /// Edge of the square pictures, in pixels.
    pub image_size: usize,
    /// Numbers in a code.
    pub z_size: usize,
    /// Output channels of each convolution; the literature has 64, 128, 256, 512, 400.
    pub channels: Vec<usize>,
}

/// Convolutions of kernel 5, stride 2, padding 2 with bias, each with normalisation and ReLU, then
/// two linear layers side by side: the encoder that public 3D-VAE-GAN code trains.
#[derive(Module, Debug)]
pub struct ImageEncoder {
    /// Weights `[channels_out, channels_in, 5, 5]`; each halves the edge of the picture.
    pub convolutions: Vec<Conv2d>,
    /// One for each convolution.
    pub normalisations: Vec<BatchNorm>,
    /// `[features, z_size]`.
    pub mean: Linear,
    /// `[features, z_size]`.
    pub log_variance: Linear,
}

impl ImageEncoderConfig {
    /// Edge of the feature map after the last convolution: each gives `ceil(edge / 2)`.
    pub fn feature_edge(&self) -> usize {
        self.channels.iter().fold(self.image_size, |edge, _| edge.div_ceil(2))
    }

    /// Numbers that enter the linear layers.
    pub fn features(&self) -> usize {
        self.channels.last().copied().unwrap_or(3) * self.feature_edge().pow(2)
    }

    /// Makes the layers, with burn's own draw of weights.
    pub fn init(&self, device: &Device) -> ImageEncoder {
        let inputs = std::iter::once(3).chain(self.channels.iter().copied());
        let convolutions = inputs
            .zip(&self.channels)
            .map(|(input, &output)| {
                Conv2dConfig::new([input, output], [5, 5])
                    .with_stride([2, 2])
                    .with_padding(PaddingConfig2d::Explicit(2, 2, 2, 2))
                    .init(device)
            })
            .collect();
        let linear = || LinearConfig::new(self.features(), self.z_size).init(device);
        ImageEncoder {
            convolutions,
            normalisations: self
                .channels
                .iter()
                .map(|&channels| BatchNormConfig::new(channels).init(device))
                .collect(),
            mean: linear(),
            log_variance: linear(),
        }
    }
}

impl ImageEncoder {
    /// Mean and log-variance of the codes of `images`.
    ///
    /// # Shapes
    /// - images: `[batch, 3, image_size, image_size]`, red, green, blue in [0, 1]
    /// - each result: `[batch, z_size]`
    pub fn forward(&self, images: Tensor<4>) -> (Tensor<2>, Tensor<2>) {
        let layers = self.convolutions.iter().zip(&self.normalisations);
        let features = layers.fold(images, |x, (conv, norm)| relu(norm.forward(conv.forward(x))));
        let features = features.flatten::<2>(1, 3);
        (self.mean.forward(features.clone()), self.log_variance.forward(features))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::trainable_parameters;

    #[test]
    fn the_literature_encoder_has_the_golden_parameter_count() {
        let config = ImageEncoderConfig::new(224, 200, vec![64, 128, 256, 512, 400]);
        assert_eq!(config.feature_edge(), 7);
        assert_eq!(trainable_parameters(&config.init(&Device::flex())), 17_270_080);
    }

    #[test]
    fn odd_picture_sizes_work() {
        let config = ImageEncoderConfig::new(37, 6, vec![2, 3]);
        let encoder = config.init(&Device::flex());
        let (mean, log_variance) = encoder.forward(Tensor::zeros([2, 3, 37, 37], &Device::flex()));
        assert_eq!((mean.dims(), log_variance.dims()), ([2, 6], [2, 6]));
    }
}
