//! The image encoder of the 3D-VAE-GAN: a picture becomes mean and log-variance of a code.

use burn::config::Config;
use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::{Device, Tensor};

use crate::batch_norm::normalise;
use crate::convolution::conv2d;
use crate::layers::Trace;
use crate::linear::linear;

/// Which encoder.
#[derive(Config, Debug, Copy, PartialEq, Eq)]
pub enum EncoderKind {
    /// The one public code trains: kernels of 5, stride 2, then two linear layers.
    Coded,
    /// The paper's (Wu et al. 2016), which public code has commented out: kernels 11, 5, 5, 5 and the
    /// edge of what is left (8 for 256 pixels), strides 4, 2, 2, 2, 1; of the last channels the first
    /// half are means, the second log-variances.
    Paper,
}

/// Configuration of an [`ImageEncoder`].
#[derive(Config, Debug)]
pub struct ImageEncoderConfig {
    /// Edge of the square pictures, in pixels.
    pub image_size: usize,
    /// Numbers in a code.
    pub z_size: usize,
    /// Output channels of each convolution; the literature has 64, 128, 256, 512, 400. The paper's
    /// encoder has five, of which the last is twice `z_size`.
    pub channels: Vec<usize>,
    /// Which encoder.
    #[config(default = "EncoderKind::Coded")]
    pub kind: EncoderKind,
    /// Quirk: the paper's encoder rectifies its last channels too, so that no mean or log-variance is
    /// below 0.
    #[config(default = false)]
    pub rectified_codes: bool,
    /// Quirk: pictures are taken as public code takes them, the memory of `[height, width, 3]` bytes
    /// read as `[3, height, width]` and not divided by 255.
    #[config(default = false)]
    pub scrambled_pictures: bool,
}

/// Convolutions with bias, each with normalisation and ReLU, then two linear layers side by side
/// ([`EncoderKind::Coded`]), or a last convolution that gives the codes ([`EncoderKind::Paper`]: it is
/// normalised, which in training leaves nothing of a batch of one).
#[derive(Module, Debug)]
pub struct ImageEncoder {
    /// Weights `[channels_out, channels_in, kernel, kernel]`.
    pub convolutions: Vec<Conv2d>,
    /// One for each convolution.
    pub normalisations: Vec<BatchNorm>,
    /// `[features, z_size]`; none in the paper's encoder.
    pub mean: Option<Linear>,
    /// `[features, z_size]`; none in the paper's encoder.
    pub log_variance: Option<Linear>,
    /// Whether the paper's encoder rectifies its last channels too.
    #[module(skip)]
    pub rectified_codes: bool,
    /// Whether pictures are scrambled as in public code.
    #[module(skip)]
    pub scrambled_pictures: bool,
}

impl ImageEncoderConfig {
    /// Says what is wrong with the sizes.
    ///
    /// # Errors
    /// The field, and what it must be.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        if !(8..=1024).contains(&self.image_size) {
            return Err(("image_size", "must be 8 to 1024 pixels".to_owned()));
        }
        let channels = &self.channels;
        let possible = 1..=4096;
        if !(1..=8).contains(&channels.len()) || channels.iter().any(|n| !possible.contains(n)) {
            return Err(("encoder_channels", "must be 1 to 8 numbers of 1 to 4096".to_owned()));
        }
        let is_paper = self.kind == EncoderKind::Paper;
        if is_paper && (channels.len() != 5 || channels[4] != 2 * self.z_size) {
            let twice = 2 * self.z_size;
            let message = format!("must be 5 numbers in the paper's encoder, the last {twice}");
            return Err(("encoder_channels", message));
        }
        Ok(())
    }

    /// Edge of the feature map after the last convolution of kernel 5, before a last one that covers
    /// the map as a whole.
    pub fn feature_edge(&self) -> usize {
        match self.kind {
            EncoderKind::Coded => {
                self.channels.iter().fold(self.image_size, |edge, _| edge.div_ceil(2))
            }
            EncoderKind::Paper => [4, 2, 2, 2].iter().fold(self.image_size, |n, s| n.div_ceil(*s)),
        }
    }

    /// Numbers that enter the linear layers.
    pub fn features(&self) -> usize {
        self.channels.last().copied().unwrap_or(3) * self.feature_edge().pow(2)
    }

    /// Kernel, stride and padding of each convolution.
    fn geometry(&self) -> Vec<[usize; 3]> {
        match self.kind {
            EncoderKind::Coded => vec![[5, 2, 2]; self.channels.len()],
            EncoderKind::Paper => {
                vec![[11, 4, 5], [5, 2, 2], [5, 2, 2], [5, 2, 2], [self.feature_edge(), 1, 0]]
            }
        }
    }

    /// Makes the layers, with burn's own draw of weights.
    pub fn init(&self, device: &Device) -> ImageEncoder {
        let inputs = std::iter::once(3).chain(self.channels.iter().copied());
        let layers = inputs.zip(&self.channels).zip(self.geometry());
        let convolutions = layers.map(|((input, &output), [kernel, stride, padding])| {
            Conv2dConfig::new([input, output], [kernel; 2])
                .with_stride([stride; 2])
                .with_padding(PaddingConfig2d::Explicit(padding, padding, padding, padding))
                .init(device)
        });
        let linear = || match self.kind {
            EncoderKind::Coded => {
                Some(LinearConfig::new(self.features(), self.z_size).init(device))
            }
            EncoderKind::Paper => None,
        };
        ImageEncoder {
            convolutions: convolutions.collect(),
            normalisations: self
                .channels
                .iter()
                .map(|&channels| BatchNormConfig::new(channels).init(device))
                .collect(),
            mean: linear(),
            log_variance: linear(),
            rectified_codes: self.rectified_codes,
            scrambled_pictures: self.scrambled_pictures,
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
        let images = if self.scrambled_pictures { scrambled(images) } else { images };
        let last = self.convolutions.len() - 1;
        let layers = self.convolutions.iter().zip(&self.normalisations).enumerate();
        let features = layers.fold(images, |x, (i, (convolution, norm))| {
            let slope = if i < last || self.is_rectified_last() { 0.0 } else { 1.0 };
            normalise(norm, conv2d(convolution, x), slope)
        });
        let features = features.flatten::<2>(1, 3);
        match (&self.mean, &self.log_variance) {
            (Some(mean), Some(log_variance)) => {
                (linear(mean, features.clone()), linear(log_variance, features))
            }
            _ => {
                let mut halves = features.chunk(2, 1);
                let second = halves.remove(1);
                (halves.remove(0), second)
            }
        }
    }

    fn is_rectified_last(&self) -> bool {
        self.mean.is_some() || self.rectified_codes
    }

    pub(crate) fn trace(&self, trace: &mut Trace) {
        let last = self.convolutions.len() - 1;
        for (i, (layer, norm)) in self.convolutions.iter().zip(&self.normalisations).enumerate() {
            let activation = if i < last || self.is_rectified_last() { "relu" } else { "" };
            trace.conv2d(&format!("convolutions.{i}"), layer);
            trace.norm(&format!("normalisations.{i}"), norm, activation);
        }
        trace.flatten();
        if let (Some(mean), Some(log_variance)) = (&self.mean, &self.log_variance) {
            let features = trace.shape().to_vec();
            trace.linear("mean", mean, "").reshape(&features).linear(
                "log_variance",
                log_variance,
                "",
            );
        }
    }
}

/// Pictures as public code feeds them: channel-last bytes whose memory is taken for channel-first.
fn scrambled(images: Tensor<4>) -> Tensor<4> {
    let sizes = images.dims();
    images.permute([0, 2, 3, 1]).reshape(sizes) * 255.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::trainable_parameters;

    fn literature(image_size: usize) -> ImageEncoderConfig {
        ImageEncoderConfig::new(image_size, 200, vec![64, 128, 256, 512, 400])
    }

    #[test]
    fn literature_encoders_have_the_golden_parameter_counts() {
        let coded = literature(224);
        assert_eq!(coded.feature_edge(), 7);
        assert_eq!(trainable_parameters(&coded.init(&Device::flex())), 17_270_080);
        let paper = literature(256).with_kind(EncoderKind::Paper);
        assert_eq!((paper.check(), paper.feature_edge()), (Ok(()), 8));
        assert_eq!(trainable_parameters(&paper.init(&Device::flex())), 17_435_312);
    }

    #[test]
    fn odd_picture_sizes_work() {
        let coded = ImageEncoderConfig::new(37, 6, vec![2, 3]);
        let paper = ImageEncoderConfig::new(37, 6, vec![2, 3, 2, 2, 12]);
        for config in [coded, paper.with_kind(EncoderKind::Paper)] {
            let images = Tensor::zeros([2, 3, 37, 37], &Device::flex());
            let (mean, log_variance) = config.init(&Device::flex()).forward(images);
            assert_eq!((mean.dims(), log_variance.dims()), ([2, 6], [2, 6]));
        }
    }

    #[test]
    fn the_papers_encoder_ends_in_two_codes() {
        let config = ImageEncoderConfig::new(16, 6, vec![2, 3, 2, 2, 11]);
        let (field, message) =
            config.with_kind(EncoderKind::Paper).check().expect_err("11 channels");
        assert_eq!(field, "encoder_channels");
        assert_eq!(message, "must be 5 numbers in the paper's encoder, the last 12");
    }

    #[test]
    fn scrambled_pictures_are_the_memory_of_the_bytes() {
        let values: Vec<f32> = (0..12).map(|i| i as f32).collect();
        let data = burn::tensor::TensorData::new(values, [1, 3, 2, 2]);
        let found = scrambled(Tensor::from_data(data, &Device::flex())) / 255.0;
        let expected = [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11].map(|i| i as f32);
        assert_eq!(found.into_data().try_into_vec::<f32>().expect("floats"), expected);
    }
}
