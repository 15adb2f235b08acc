//! What each network is trained with in the literature: the defaults of `train`, and the network that
//! parameters describe.
//!
//! Sources are the command lines and configuration files of public code: 3D-GAN and 3D-VAE-GAN of
//! Simple-3D-GAN-PyTorch, their multi-view form, `pose.yaml` of 3D-Model-Generation-from-2D-Sparse-
//! Views, and the script of 3DAttnVAE-GAN of June 2023.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use voxflow_models::{
    AttentionVaeGanConfig, CombineViews, EncoderKind, GanConfig, MultiViewVaeGanConfig,
    NetworkConfig, PoseFusion, PoseVaeGanConfig, Profile, ReconstructionLoss, VaeGanConfig,
};

use crate::device::DeviceChoice;
use crate::state_dict::LayerNames;
use crate::train_params::{
    Adversarial, AlarmPolicy, CombineType, EncoderName, PoseFusionName, ProfileName, ReconLoss,
    Target, TrainParams, ZDistribution,
};

/// A network that `train` knows.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ModelName {
    /// The 3D-GAN: grids alone.
    Gan,
    /// The 3D-VAE-GAN: one picture of each object.
    #[default]
    VaeGan,
    /// The MV-3D-VAE-GAN: several pictures of each object.
    MultiViewVaeGan,
    /// The MV-3D-VAE-GAN that knows where its cameras stood.
    PoseVaeGan,
    /// The 3DAttnVAE-GAN: one grey picture, with attention.
    AttentionVaeGan,
}

impl ModelName {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Gan, Self::VaeGan, Self::MultiViewVaeGan, Self::PoseVaeGan, Self::AttentionVaeGan];

    /// Its name in pipelines and in `voxflow models`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gan => "gan",
            Self::VaeGan => "vae_gan",
            Self::MultiViewVaeGan => "multi_view_vae_gan",
            Self::PoseVaeGan => "pose_vae_gan",
            Self::AttentionVaeGan => "attention_vae_gan",
        }
    }
}

/// Parameters that the literature trains a network with. `fixed` differs in what would not train, or
/// not on every device alike: labels stay within 1, steps begin small, the attention network is
/// trained against its discriminator and not with it, and on pictures on black.
pub(crate) fn parameters(model: ModelName, profile: ProfileName) -> TrainParams {
    let own = match model {
        ModelName::Gan => gan(),
        ModelName::VaeGan => vae_gan(),
        ModelName::MultiViewVaeGan => TrainParams { model, num_views: 12, ..vae_gan() },
        ModelName::PoseVaeGan => pose_vae_gan(),
        ModelName::AttentionVaeGan => attention_vae_gan(profile),
    };
    let warmup_steps = if profile == ProfileName::Fixed { own.warmup_steps } else { 0 };
    TrainParams { profile, warmup_steps, ..own }
}

fn gan() -> TrainParams {
    TrainParams { model: ModelName::Gan, z_std: 0.33, ..vae_gan() }
}

fn vae_gan() -> TrainParams {
    TrainParams {
        encoder_channels: vec![64, 128, 256, 512, 400],
        d_lr_epochs: vec![500, 1000],
        view: "random".to_owned(),
        thresholds: vec![0.2, 0.3, 0.4, 0.5],
        ..VAE_GAN
    }
}

/// What [`vae_gan`] has but for its lists.
const VAE_GAN: TrainParams = TrainParams {
    model: ModelName::VaeGan,
    profile: ProfileName::Fixed,
    obj: String::new(),
    cube_len: 32,
    image_size: 224,
    image_height: 192,
    image_width: 256,
    z_size: 200,
    z_dis: ZDistribution::Norm,
    z_std: 1.0,
    encoder: EncoderName::Coded,
    encoder_channels: Vec::new(),
    generator_channels: 32,
    discriminator_channels: 32,
    bias: false,
    leak_value: 0.2,
    initial_log_variance: 0.0,
    heads: [4, 8],
    hidden: [1024, 512, 256],
    use_pose: true,
    pose_fusion: PoseFusionName::Concat,
    target: Target::Voxels,
    recon_loss: ReconLoss::Sse,
    recon_weight: 1.0,
    kl_weight_start: 1.0,
    kl_weight_end: 1.0,
    kl_epochs: 0.0,
    adversarial_weight: 1.0,
    adversarial: Adversarial::Fool,
    d_thresh: 0.8,
    soft_label: true,
    n_epochs: 1000,
    max_steps: None,
    early_stop_epochs: 0,
    batch_size: 32,
    e_lr: 1e-4,
    g_lr: 2.5e-3,
    d_lr: 1e-3,
    beta: [0.5, 0.5],
    weight_decay: 0.0,
    lrsh: true,
    e_lr_epochs: Vec::new(),
    g_lr_epochs: Vec::new(),
    d_lr_epochs: Vec::new(),
    lr_gamma: 0.1,
    lr_half_life: 0.0,
    warmup_steps: 50,
    clip_norm: 0.0,
    ema_decay: 0.0,
    on_nan: AlarmPolicy::Stop,
    on_collapse: AlarmPolicy::Warn,
    view: String::new(),
    num_views: 1,
    min_views: 0,
    combine_type: CombineType::Mean,
    background: [255; 3],
    thresholds: Vec::new(),
    window_groups: 8,
    keep_checkpoints: 2,
    device: DeviceChoice::Auto,
    devices: 1,
    weights: String::new(),
    weight_names: LayerNames::new(),
    log_steps: false,
};

fn pose_vae_gan() -> TrainParams {
    TrainParams {
        model: ModelName::PoseVaeGan,
        z_size: 128,
        encoder_channels: vec![32, 64, 128, 256, 512],
        generator_channels: 64,
        recon_loss: ReconLoss::Mse,
        recon_weight: 50.0,
        kl_weight_start: 1e-4,
        kl_weight_end: 0.01,
        // 0.7 of 500 epochs.
        kl_epochs: 350.0,
        d_thresh: 1.0,
        soft_label: false,
        n_epochs: 500,
        batch_size: 6,
        g_lr: 1e-4,
        d_lr: 1e-5,
        beta: [0.5, 0.999],
        lrsh: false,
        d_lr_epochs: Vec::new(),
        num_views: 4,
        // Public code blackens what the mask leaves out.
        background: [0; 3],
        ..vae_gan()
    }
}

fn attention_vae_gan(profile: ProfileName) -> TrainParams {
    // The sum over 64^3 voxels, and the mean that is the same loss divided by their number.
    let cells = 64.0_f64.powi(3);
    // Nothing in the encoder normalises: a bright ground would add the same to all codes, and more
    // than the object does.
    let (adversarial, scale, background) = match profile {
        ProfileName::Reference => (Adversarial::Reference, 1.0, [255; 3]),
        ProfileName::Fixed => (Adversarial::Fool, 1.0 / cells, [0; 3]),
    };
    TrainParams {
        model: ModelName::AttentionVaeGan,
        cube_len: 64,
        z_size: 1024,
        encoder_channels: vec![32, 64, 128],
        generator_channels: 8,
        discriminator_channels: 64,
        target: Target::Occupancy,
        recon_loss: ReconLoss::Bce,
        recon_weight: cells * scale,
        kl_weight_start: scale,
        kl_weight_end: scale,
        adversarial,
        d_thresh: 1.0,
        soft_label: false,
        n_epochs: 25,
        batch_size: 1,
        e_lr: 1e-3,
        g_lr: 1e-3,
        d_lr: 1e-3,
        beta: [0.9, 0.98],
        weight_decay: 0.2,
        lrsh: false,
        d_lr_epochs: Vec::new(),
        view: "fixed:2".to_owned(),
        background,
        ..vae_gan()
    }
}

impl TrainParams {
    /// The network that is trained.
    pub fn network(&self) -> NetworkConfig {
        let profile = match self.profile {
            ProfileName::Fixed => Profile::Fixed,
            ProfileName::Reference => Profile::Reference,
        };
        let network = match self.model {
            ModelName::Gan => NetworkConfig::Gan(
                GanConfig::new(
                    self.cube_len,
                    self.z_size,
                    self.generator_channels,
                    self.discriminator_channels,
                )
                .with_bias(self.bias)
                .with_leak(self.leak_value),
            ),
            ModelName::VaeGan => NetworkConfig::VaeGan(self.of_one_view()),
            ModelName::MultiViewVaeGan => NetworkConfig::MultiViewVaeGan(
                MultiViewVaeGanConfig::new(self.of_one_view()).with_combine(self.combine()),
            ),
            ModelName::PoseVaeGan => NetworkConfig::PoseVaeGan(self.with_pose()),
            ModelName::AttentionVaeGan => NetworkConfig::AttentionVaeGan(self.with_attention()),
        };
        network.with_profile(profile)
    }

    fn of_one_view(&self) -> VaeGanConfig {
        VaeGanConfig::new(
            self.cube_len,
            self.image_size,
            self.z_size,
            self.encoder_channels.clone(),
            self.generator_channels,
            self.discriminator_channels,
        )
        .with_bias(self.bias)
        .with_initial_log_variance(self.initial_log_variance)
        .with_encoder_kind(match self.encoder {
            EncoderName::Coded => EncoderKind::Coded,
            EncoderName::Paper => EncoderKind::Paper,
        })
    }

    fn with_pose(&self) -> PoseVaeGanConfig {
        let fusion = match (self.use_pose, self.pose_fusion) {
            (false, _) => PoseFusion::None,
            (true, PoseFusionName::Concat) => PoseFusion::Concat,
            (true, PoseFusionName::Film) => PoseFusion::Film,
            (true, PoseFusionName::Attention) => PoseFusion::Attention,
        };
        PoseVaeGanConfig::new(
            self.cube_len,
            self.image_size,
            self.z_size,
            self.encoder_channels.clone(),
            self.generator_channels,
            self.discriminator_channels,
        )
        .with_fusion(fusion)
        .with_combine(self.combine())
    }

    fn with_attention(&self) -> AttentionVaeGanConfig {
        // Another number of channels is refused with the rest, as 0 channels are.
        let channels = <[usize; 3]>::try_from(self.encoder_channels.clone()).unwrap_or_default();
        AttentionVaeGanConfig::new(
            self.cube_len,
            self.image_height,
            self.image_width,
            self.z_size,
            channels,
            self.generator_channels,
            self.discriminator_channels,
        )
        .with_heads(self.heads)
        .with_hidden(self.hidden)
        .with_initial_log_variance(self.initial_log_variance)
    }

    fn combine(&self) -> CombineViews {
        match self.combine_type {
            CombineType::Mean => CombineViews::Mean,
            CombineType::Max => CombineViews::Max,
        }
    }

    /// The loss that reconstructions are judged by.
    pub(crate) fn reconstruction(&self) -> ReconstructionLoss {
        match self.recon_loss {
            ReconLoss::Sse => ReconstructionLoss::Sse,
            ReconLoss::Mse => ReconstructionLoss::Mse,
            ReconLoss::Bce => ReconstructionLoss::Bce,
            ReconLoss::Focal => ReconstructionLoss::Focal,
            ReconLoss::Dice => ReconstructionLoss::Dice,
            ReconLoss::Iou => ReconstructionLoss::Iou,
        }
    }
}

/// The parameter that a field of a network's configuration comes from.
pub(crate) fn parameter_of(field: &str) -> &str {
    match field {
        "leak" => "leak_value",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_describe_the_networks_of_the_literature() {
        for model in ModelName::ALL {
            let literature = NetworkConfig::literature(model.name()).expect("a network");
            for (name, profile) in
                [(ProfileName::Fixed, Profile::Fixed), (ProfileName::Reference, Profile::Reference)]
            {
                let described = parameters(model, name).network();
                assert_eq!(described, literature.clone().with_profile(profile));
            }
        }
    }
}
