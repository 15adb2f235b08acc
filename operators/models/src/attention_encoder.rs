//! The image encoder with attention: a grey picture becomes mean and deviation of a code (public
//! code: 3DAttnVAE-GAN, June 2023).

use burn::config::Config;
use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

use crate::attention::{Attention, AttentionConfig};
use crate::convolution::conv2d;
use crate::layers::Trace;
use crate::linear::linear;

/// Edges of the max pooling after each convolution.
const POOLS: [usize; 3] = [2, 4, 4];

/// Both sides of a picture are multiples of this: what the poolings divide by.
const POOLED: usize = 32;

/// Configuration of an [`AttentionEncoder`].
#[derive(Config, Debug)]
pub struct AttentionEncoderConfig {
    /// Height of the pictures in pixels, a multiple of 32; public code has 192.
    pub height: usize,
    /// Width of the pictures in pixels, a multiple of 32; public code has 256.
    pub width: usize,
    /// Numbers in a code; public code has 1024.
    pub z_size: usize,
    /// Output channels of the three convolutions.
    #[config(default = "[32, 64, 128]")]
    pub channels: [usize; 3],
    /// Heads of the attention after the first and the second convolution.
    #[config(default = "[4, 8]")]
    pub heads: [usize; 2],
    /// Outputs of the linear layers.
    #[config(default = "[1024, 512, 256]")]
    pub hidden: [usize; 3],
    /// Quirk: a place sees only itself and earlier ones.
    #[config(default = false)]
    pub causal: bool,
    /// Share of attention's weights and outputs that are dropped in training.
    #[config(default = 0.0)]
    pub dropout: f64,
    /// Queries whose scores are held at a time.
    #[config(default = 256)]
    pub query_block: usize,
}

/// Three convolutions of kernel 3 with max pooling and ReLU, attention added after the first two,
/// three linear layers with ReLU, and two side by side.
#[derive(Module, Debug)]
pub struct AttentionEncoder {
    /// Weights `[channels_out, channels_in, 3, 3]`.
    pub convolutions: Vec<Conv2d>,
    /// One after each convolution but the last.
    pub attentions: Vec<Attention>,
    /// `[features, 1024]`, `[1024, 512]`, `[512, 256]`.
    pub hidden: Vec<Linear>,
    /// `[256, z_size]`.
    pub mean: Linear,
    /// `[256, z_size]`: the logarithm of the deviation, which is half that of the variance.
    pub log_deviation: Linear,
}

impl AttentionEncoderConfig {
    /// Says what is wrong with the sizes.
    ///
    /// # Errors
    /// The field, and what it must be.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        for (field, edge) in [("height", self.height), ("width", self.width)] {
            if !(POOLED..=1024).contains(&edge) || !edge.is_multiple_of(POOLED) {
                return Err((field, format!("must be a multiple of {POOLED} up to 1024")));
            }
        }
        for (heads, channels) in self.heads.into_iter().zip(self.channels) {
            if heads == 0 || !channels.is_multiple_of(heads) {
                return Err(("heads", format!("must divide the channels, {channels}")));
            }
        }
        if !(0.0..=0.9).contains(&self.dropout) {
            return Err(("dropout", "must be 0 to 0.9".to_owned()));
        }
        if self.query_block == 0 {
            return Err(("query_block", "must be at least 1".to_owned()));
        }
        Ok(())
    }

    /// Numbers that enter the linear layers.
    pub fn features(&self) -> usize {
        self.channels[2] * (self.height / POOLED) * (self.width / POOLED)
    }

    /// Makes the layers, with burn's own draw of weights.
    pub fn init(&self, device: &Device) -> AttentionEncoder {
        let convolution = |(input, output): (usize, usize)| {
            Conv2dConfig::new([input, output], [3; 2])
                .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                .init(device)
        };
        let attention = |(channels, heads): (usize, usize)| {
            AttentionConfig::new(channels, heads)
                .with_causal(self.causal)
                .with_dropout(self.dropout)
                .with_query_block(self.query_block)
                .init(device)
        };
        let linear =
            |(input, output): (usize, usize)| LinearConfig::new(input, output).init(device);
        let [first, second, third] = self.channels;
        let [a, b, c] = self.hidden;
        AttentionEncoder {
            convolutions: [(1, first), (first, second), (second, third)].map(convolution).into(),
            attentions: [(first, self.heads[0]), (second, self.heads[1])].map(attention).into(),
            hidden: [(self.features(), a), (a, b), (b, c)].map(linear).into(),
            mean: linear((c, self.z_size)),
            log_deviation: linear((c, self.z_size)),
        }
    }
}

fn pool(stage: usize) -> MaxPool2d {
    MaxPool2dConfig::new([POOLS[stage]; 2]).init()
}

impl AttentionEncoder {
    /// Mean and log-variance of the codes of `images`.
    ///
    /// `seed` is where dropout's choices come from; without one nothing is dropped. Public code loses
    /// the batch where it flattens, and works for one picture only.
    ///
    /// # Shapes
    /// - images: `[batch, 1, height, width]`, grey in [0, 1]
    /// - each result: `[batch, z_size]`
    pub fn forward(&self, images: Tensor<4>, seed: Option<u64>) -> (Tensor<2>, Tensor<2>) {
        let mut features = images;
        for (stage, convolution) in self.convolutions.iter().enumerate() {
            features = relu(pool(stage).forward(conv2d(convolution, features)));
            if let Some(attention) = self.attentions.get(stage) {
                let seed = seed.map(|seed| seed.wrapping_add(stage as u64));
                features = features.clone() + attention.forward(features, seed);
            }
        }
        let layers = self.hidden.iter();
        let features = features.flatten::<2>(1, 3);
        let features = layers.fold(features, |x, layer| relu(linear(layer, x)));
        (linear(&self.mean, features.clone()), linear(&self.log_deviation, features) * 2.0)
    }

    pub(crate) fn trace(&self, trace: &mut Trace) {
        for (stage, convolution) in self.convolutions.iter().enumerate() {
            trace.conv2d(&format!("convolutions.{stage}"), convolution);
            trace.pool2d(&format!("pools.{stage}"), &pool(stage), "relu");
            if let Some(attention) = self.attentions.get(stage) {
                attention.trace(&format!("attentions.{stage}"), trace);
            }
        }
        trace.flatten();
        for (i, layer) in self.hidden.iter().enumerate() {
            trace.linear(&format!("hidden.{i}"), layer, "relu");
        }
        let features = trace.shape().to_vec();
        trace.linear("mean", &self.mean, "");
        trace.reshape(&features).linear("log_deviation", &self.log_deviation, "");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::init::draw_weights;
    use crate::weights::trainable_parameters;

    #[test]
    fn the_reference_encoder_has_the_golden_parameter_count() {
        let config = AttentionEncoderConfig::new(192, 256, 1024);
        assert_eq!((config.check(), config.features()), (Ok(()), 6144));
        assert_eq!(trainable_parameters(&config.init(&Device::flex())), 7_588_480);
    }

    #[test]
    fn dropout_needs_a_seed_and_the_same_seed_drops_the_same() {
        let config = AttentionEncoderConfig::new(32, 64, 3)
            .with_channels([4, 4, 2])
            .with_heads([2, 2])
            .with_hidden([16, 16, 16])
            .with_dropout(0.5);
        let mut state = 0.5;
        let mut unit = || {
            state = (state + 0.618_033_988_75) % 1.0;
            state
        };
        let encoder = draw_weights(config.init(&Device::flex()), &mut unit);
        let images = Tensor::ones([2, 1, 32, 64], &Device::flex());
        let of = |seed| encoder.forward(images.clone(), seed).0.into_data();
        assert_eq!(of(None), of(None));
        assert_eq!(of(Some(1)), of(Some(1)));
        assert_ne!(of(Some(1)), of(None));
        assert_ne!(of(Some(1)), of(Some(2)));
    }

    #[test]
    fn wrong_sizes_are_named() {
        let config = |height| AttentionEncoderConfig::new(height, 64, 3);
        let field = |config: AttentionEncoderConfig| config.check().expect_err("a wrong size").0;
        assert_eq!(field(config(33)), "height");
        assert_eq!(field(config(32).with_heads([5, 8])), "heads");
        assert_eq!(field(config(32).with_dropout(1.0)), "dropout");
        assert_eq!(field(config(32).with_query_block(0)), "query_block");
    }
}
