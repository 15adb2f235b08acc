//! Attention among the places of a feature map (public code: 3DAttnVAE-GAN).

use burn::config::Config;
use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor};

use crate::block_attention::{Plan, attend};
use crate::dropout::Dropout;
use crate::layers::Trace;

/// Configuration of an [`Attention`].
#[derive(Config, Debug)]
pub struct AttentionConfig {
    /// Channels of the feature map.
    pub channels: usize,
    /// Heads, a divisor of `channels`.
    pub heads: usize,
    /// Quirk: a place sees only itself and earlier ones, row by row, which suits text.
    #[config(default = false)]
    pub causal: bool,
    /// Share of weights and of outputs that are dropped in training.
    #[config(default = 0.0)]
    pub dropout: f64,
    /// Queries whose scores are held at a time.
    #[config(default = 256)]
    pub query_block: usize,
}

/// Queries, keys and values of one linear layer, in this order and head by head inside each;
/// attention in blocks; a linear layer at the end. No positions are encoded.
#[derive(Module, Debug)]
pub struct Attention {
    /// `[channels, 3 channels]`.
    pub project: Linear,
    /// `[channels, channels]`.
    pub output: Linear,
    /// Number of heads.
    #[module(skip)]
    pub heads: usize,
    /// Whether a place sees only itself and earlier ones.
    #[module(skip)]
    pub causal: bool,
    /// Share of weights and of outputs that are dropped in training.
    #[module(skip)]
    pub dropout: f64,
    /// Queries whose scores are held at a time.
    #[module(skip)]
    pub query_block: usize,
}

impl AttentionConfig {
    /// Makes the layers, with burn's own draw of weights.
    ///
    /// # Panics
    /// When `heads` does not divide `channels`.
    pub fn init(&self, device: &Device) -> Attention {
        let channels = self.channels;
        assert!(
            self.heads > 0 && channels.is_multiple_of(self.heads),
            "heads must divide channels"
        );
        Attention {
            project: LinearConfig::new(channels, 3 * channels).init(device),
            output: LinearConfig::new(channels, channels).init(device),
            heads: self.heads,
            causal: self.causal,
            dropout: self.dropout,
            query_block: self.query_block,
        }
    }
}

impl Attention {
    /// What the places of `features` see of each other; the caller adds it to them.
    ///
    /// `seed` is where dropout's choices come from; without one nothing is dropped.
    ///
    /// # Shapes
    /// - features, result: `[batch, channels, height, width]`
    pub fn forward(&self, features: Tensor<4>, seed: Option<u64>) -> Tensor<4> {
        let [batch, channels, height, width] = features.dims();
        let tokens = height * width;
        let rows = features.flatten::<3>(2, 3).swap_dims(1, 2);
        let parts = self.project.forward(rows).chunk(3, 2).into_iter().map(|part| {
            let heads = [batch, tokens, self.heads, channels / self.heads];
            part.reshape(heads).swap_dims(1, 2)
        });
        let parts: Vec<_> = parts.collect();
        let dropout = seed.map(|seed| Dropout { rate: self.dropout, seed });
        let dropout = dropout.filter(|dropout| dropout.rate > 0.0);
        let plan = Plan {
            block: self.query_block,
            causal: self.causal,
            dropout: dropout.map(|dropout| dropout.at(0)),
        };
        let seen = attend(parts[0].clone(), parts[1].clone(), parts[2].clone(), plan);
        let seen = seen.swap_dims(1, 2).reshape([batch, tokens, channels]);
        let mut output = self.output.forward(seen);
        if let Some(dropout) = dropout {
            output = dropout.at(1).apply(output);
        }
        output.swap_dims(1, 2).reshape([batch, channels, height, width])
    }

    pub(crate) fn trace(&self, name: &str, trace: &mut Trace) {
        let map = trace.shape().to_vec();
        let tokens = map[1] * map[2];
        trace.reshape(&[tokens, map[0]]).linear(&format!("{name}.project"), &self.project, "");
        let order = if self.causal { "causal " } else { "" };
        let kind = format!("{order}attention, {} heads, {tokens} tokens", self.heads);
        trace.note(name, kind, vec![tokens, map[0]], 0);
        trace.linear(&format!("{name}.output"), &self.output, "added to its input");
        trace.reshape(&map);
    }
}
