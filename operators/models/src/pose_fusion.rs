//! Where a camera stands joins what it saw: the pose branch of the encoder with pose.

use burn::config::Config;
use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::activation::{relu, softmax};
use burn::tensor::{Device, Tensor};

use crate::layers::Trace;

/// Numbers of a pose: the rotation row by row, then the translation.
pub const POSE_SIZE: usize = 12;

/// How a pose joins the features of its picture. Public code has `Concat` and none; its ancestor
/// declares `Film` and `Attention` without a body, so those are our own.
#[derive(Config, Debug, Copy, PartialEq, Eq)]
pub enum PoseFusion {
    /// Poses are not looked at.
    None,
    /// The embedded pose stands behind the features.
    Concat,
    /// The embedded pose scales and shifts the channels of the feature map: `f (1 + scale) + shift`
    /// (Perez et al. 2018).
    Film,
    /// The embedded pose asks the places of the feature map, with one head; itself plus their answer
    /// stands behind the features.
    Attention,
}

/// Configuration of a [`PoseBranch`].
#[derive(Config, Debug)]
pub struct PoseBranchConfig {
    /// How a pose joins the features.
    pub fusion: PoseFusion,
    /// Channels of the feature map.
    pub channels: usize,
    /// Outputs of its two linear layers; public code has 128 and 64.
    pub sizes: [usize; 2],
}

/// Two linear layers with ReLU that embed a pose, and what joins it to the features.
#[derive(Module, Debug)]
pub struct PoseBranch {
    /// `[12, 128]`.
    pub first: Linear,
    /// `[128, 64]`.
    pub second: Linear,
    /// `[64, 2 channels]`, scale and shift of each channel; for [`PoseFusion::Film`] only.
    pub film: Option<Linear>,
    /// `[64, 64]`; for [`PoseFusion::Attention`] only, as the next two.
    pub query: Option<Linear>,
    /// `[channels, 64]`.
    pub key: Option<Linear>,
    /// `[channels, 64]`.
    pub value: Option<Linear>,
}

impl PoseBranchConfig {
    /// Makes the layers, with burn's own draw of weights; none where poses are not looked at.
    pub fn init(&self, device: &Device) -> Option<PoseBranch> {
        let (channels, [hidden, size]) = (self.channels, self.sizes);
        let linear = |input, output| LinearConfig::new(input, output).init(device);
        let only = |fusion, [input, output]: [usize; 2]| {
            (self.fusion == fusion).then(|| linear(input, output))
        };
        (self.fusion != PoseFusion::None).then(|| PoseBranch {
            first: linear(POSE_SIZE, hidden),
            second: linear(hidden, size),
            film: only(PoseFusion::Film, [size, 2 * channels]),
            query: only(PoseFusion::Attention, [size, size]),
            key: only(PoseFusion::Attention, [channels, size]),
            value: only(PoseFusion::Attention, [channels, size]),
        })
    }

    /// Numbers that stand behind the features.
    pub fn appended(&self) -> usize {
        match self.fusion {
            PoseFusion::None | PoseFusion::Film => 0,
            PoseFusion::Concat | PoseFusion::Attention => self.sizes[1],
        }
    }
}

impl PoseBranch {
    /// Features of pictures, joined by their poses.
    ///
    /// # Shapes
    /// - features: `[views, channels, height, width]`
    /// - poses: `[views, 12]`
    /// - result: `[views, channels * height * width]`, and 64 more where a pose is appended
    pub fn forward(&self, features: Tensor<4>, poses: Tensor<2>) -> Tensor<2> {
        let pose = relu(self.second.forward(relu(self.first.forward(poses))));
        let flat = |features: Tensor<4>| features.flatten::<2>(1, 3);
        if let Some(film) = &self.film {
            let [views, channels, ..] = features.dims();
            let change = film.forward(pose).reshape([views, 2 * channels, 1, 1]);
            let [scale, shift] =
                [0, channels].map(|at| change.clone().slice([0..views, at..at + channels]));
            return flat(features * (scale + 1.0) + shift);
        }
        let appended = match (&self.query, &self.key, &self.value) {
            (Some(query), Some(key), Some(value)) => {
                pose.clone() + answer(&query.forward(pose), &features, key, value)
            }
            _ => pose,
        };
        Tensor::cat(vec![flat(features), appended], 1)
    }

    pub(crate) fn trace(&self, trace: &mut Trace) {
        let map = trace.shape().to_vec();
        let (channels, places) = (map[0], map[1] * map[2]);
        trace.reshape(&[POSE_SIZE]).linear("pose.first", &self.first, "relu");
        trace.linear("pose.second", &self.second, "relu");
        let pose = trace.shape().to_vec();
        if let Some(film) = &self.film {
            trace.linear("pose.film", film, "scale and shift").reshape(&map).flatten();
            return;
        }
        if let (Some(query), Some(key), Some(value)) = (&self.query, &self.key, &self.value) {
            trace.linear("pose.query", query, "");
            trace.reshape(&[places, channels]).linear("pose.key", key, "");
            trace.reshape(&[places, channels]).linear("pose.value", value, "");
        }
        trace.reshape(&[channels * places + pose[0]]);
    }
}

/// What the places of the feature map answer: the mean of their values, weighed by how well their
/// keys fit the query.
fn answer(query: &Tensor<2>, features: &Tensor<4>, key: &Linear, value: &Linear) -> Tensor<2> {
    let [_, size] = query.dims();
    let places = features.clone().flatten::<3>(2, 3).swap_dims(1, 2);
    let scores =
        query.clone().unsqueeze_dim::<3>(1).matmul(key.forward(places.clone()).transpose());
    let weights = softmax(scores * (size as f64).powf(-0.5), 2);
    weights.matmul(value.forward(places)).squeeze_dim::<2>(1)
}
