//! The image encoder that knows where the camera stood: a picture and a pose become mean and
//! log-variance of a code (public code on CO3D).

use burn::config::Config;
use burn::module::{Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::{Device, Tensor};

use crate::batch_norm::normalise;
use crate::convolution::conv2d;
use crate::layers::Trace;
use crate::linear::linear;
use crate::pose_fusion::{PoseBranch, PoseBranchConfig, PoseFusion};

/// Configuration of a [`PoseEncoder`].
#[derive(Config, Debug)]
pub struct PoseEncoderConfig {
    /// Edge of the square pictures, in pixels; public code takes 224 only.
    pub image_size: usize,
    /// Numbers in a code; public code has 128.
    pub z_size: usize,
    /// Output channels of each convolution; public code has 32, 64, 128, 256, 512.
    pub channels: Vec<usize>,
    /// How a pose joins the features of its picture.
    #[config(default = "PoseFusion::Concat")]
    pub fusion: PoseFusion,
    /// Outputs of the pose branch's two linear layers.
    #[config(default = "[128, 64]")]
    pub pose_sizes: [usize; 2],
    /// Slope of the activations below zero.
    #[config(default = 0.2)]
    pub leak: f64,
    /// Quirk: so many view weights that nothing reads, for weights of public code, which has 4; 0 for
    /// none.
    #[config(default = 0)]
    pub unused_view_weights: usize,
}

/// Convolutions of kernel 4, stride 2, padding 1 with bias, each with normalisation and leaky ReLU;
/// then the pose joins, and two linear layers stand side by side.
#[derive(Module, Debug)]
pub struct PoseEncoder {
    /// Weights `[channels_out, channels_in, 4, 4]`; each halves the edge of the picture.
    pub convolutions: Vec<Conv2d>,
    /// One for each convolution.
    pub normalisations: Vec<BatchNorm>,
    /// Embeds poses and joins them to features; none where poses are not looked at.
    pub pose: Option<PoseBranch>,
    /// `[features, z_size]`.
    pub mean: Linear,
    /// `[features, z_size]`.
    pub log_variance: Linear,
    /// Nothing reads them.
    pub view_weights: Option<Param<Tensor<1>>>,
    /// Slope of the activations below zero.
    #[module(skip)]
    pub leak: f64,
}

impl PoseEncoderConfig {
    /// Says what is wrong with the sizes.
    ///
    /// # Errors
    /// The field, and what it must be.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        let channels = &self.channels;
        let possible = 1..=4096;
        if !(1..=8).contains(&channels.len()) || channels.iter().any(|n| !possible.contains(n)) {
            return Err(("encoder_channels", "must be 1 to 8 numbers of 1 to 4096".to_owned()));
        }
        let least = 1 << channels.len();
        if !(least..=1024).contains(&self.image_size) {
            return Err(("image_size", format!("must be {least} to 1024 pixels")));
        }
        Ok(())
    }

    /// Edge of the feature map after the last convolution: each halves, downwards.
    pub fn feature_edge(&self) -> usize {
        self.image_size >> self.channels.len()
    }

    fn branch(&self) -> PoseBranchConfig {
        let channels = self.channels.last().copied().unwrap_or(3);
        PoseBranchConfig::new(self.fusion, channels, self.pose_sizes)
    }

    /// Numbers that enter the linear layers.
    pub fn features(&self) -> usize {
        let branch = self.branch();
        branch.channels * self.feature_edge().pow(2) + branch.appended()
    }

    /// Makes the layers, with burn's own draw of weights.
    pub fn init(&self, device: &Device) -> PoseEncoder {
        let inputs = std::iter::once(3).chain(self.channels.iter().copied());
        let convolutions = inputs.zip(&self.channels).map(|(input, &output)| {
            Conv2dConfig::new([input, output], [4; 2])
                .with_stride([2; 2])
                .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                .init(device)
        });
        let linear = || LinearConfig::new(self.features(), self.z_size).init(device);
        let unused = self.unused_view_weights;
        PoseEncoder {
            convolutions: convolutions.collect(),
            normalisations: self
                .channels
                .iter()
                .map(|&channels| BatchNormConfig::new(channels).init(device))
                .collect(),
            pose: self.branch().init(device),
            mean: linear(),
            log_variance: linear(),
            view_weights: (unused > 0).then(|| Param::from_tensor(Tensor::ones([unused], device))),
            leak: self.leak,
        }
    }
}

impl PoseEncoder {
    /// Mean and log-variance of the codes of `images`.
    ///
    /// # Shapes
    /// - images: `[views, 3, image_size, image_size]`; public code takes (x - 1/2) / (1/2)
    /// - poses: `[views, 12]`, rotation row by row, then translation; not looked at where the encoder
    ///   was made without
    /// - each result: `[views, z_size]`
    pub fn forward(&self, images: Tensor<4>, poses: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let layers = self.convolutions.iter().zip(&self.normalisations);
        let features = layers.fold(images, |x, (convolution, norm)| {
            normalise(norm, conv2d(convolution, x), self.leak)
        });
        let features = match &self.pose {
            Some(branch) => branch.forward(features, poses),
            None => features.flatten::<2>(1, 3),
        };
        (linear(&self.mean, features.clone()), linear(&self.log_variance, features))
    }

    pub(crate) fn trace(&self, trace: &mut Trace) {
        for (i, (layer, norm)) in self.convolutions.iter().zip(&self.normalisations).enumerate() {
            trace.conv2d(&format!("convolutions.{i}"), layer);
            trace.norm(&format!("normalisations.{i}"), norm, "leaky relu");
        }
        match &self.pose {
            Some(branch) => branch.trace(trace),
            None => drop(trace.flatten()),
        }
        let features = trace.shape().to_vec();
        trace.linear("mean", &self.mean, "");
        trace.reshape(&features).linear("log_variance", &self.log_variance, "");
        if let Some(weights) = &self.view_weights {
            let [count] = weights.lazy_shape().dims();
            trace.note("view_weights", "weights that nothing reads".to_owned(), vec![count], count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::init::draw_weights;
    use crate::weights::trainable_parameters;

    #[test]
    fn the_reference_encoder_has_the_golden_parameter_counts() {
        let reference = PoseEncoderConfig::new(224, 128, vec![32, 64, 128, 256, 512])
            .with_unused_view_weights(4);
        assert_eq!(trainable_parameters(&reference.init(&Device::flex())), 9_238_884);
        let without = reference.clone().with_fusion(PoseFusion::None);
        assert_eq!(trainable_parameters(&without.init(&Device::flex())), 9_212_580);
        let fixed = reference.with_unused_view_weights(0);
        assert_eq!(trainable_parameters(&fixed.init(&Device::flex())), 9_238_880);
    }

    #[test]
    fn every_fusion_looks_at_poses_and_none_does_not() {
        let fusions =
            [PoseFusion::None, PoseFusion::Concat, PoseFusion::Film, PoseFusion::Attention];
        for fusion in fusions {
            let config = PoseEncoderConfig::new(17, 3, vec![2, 4])
                .with_fusion(fusion)
                .with_pose_sizes([16, 16]);
            let mut state = 0.5;
            let mut unit = || {
                state = (state + 0.618_033_988_75) % 1.0;
                state
            };
            let encoder = draw_weights(config.init(&Device::flex()), &mut unit);
            let images = Tensor::ones([2, 3, 17, 17], &Device::flex());
            let of = |level: f64| {
                let poses = Tensor::ones([2, 12], &Device::flex()) * level;
                let (mean, log_variance) = encoder.forward(images.clone(), poses);
                assert_eq!((mean.dims(), log_variance.dims()), ([2, 3], [2, 3]));
                mean
            };
            let difference = (of(3.0) - of(-1.0)).abs().max().into_scalar::<f32>();
            assert_eq!(difference > 0.0, fusion != PoseFusion::None, "{fusion:?} {difference}");
        }
    }
}
