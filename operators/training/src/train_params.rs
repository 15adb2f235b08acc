//! Parameters of `train`: what they mean and their limits. What each network begins with stands in
//! `literature.rs`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use voxflow_contract::{ParamError, Params};

use crate::device::DeviceChoice;
use crate::literature::{self, ModelName};
use crate::prepare::View;
use crate::state_dict::LayerNames;

/// Whether a network is built and trained as public code has it, or mended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProfileName {
    /// Known defects are mended.
    #[default]
    Fixed,
    /// As public code computes, defects and all; `voxflow models NAME --profile reference` lists them.
    Reference,
}

/// How a reconstructed grid is compared with the true one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReconLoss {
    /// Squared error, summed over voxels, averaged over the batch; the literature's unit.
    Sse,
    /// Squared error, averaged over voxels and batch.
    Mse,
    /// Cross-entropy, averaged over voxels and batch.
    Bce,
    /// Cross-entropy that weighs voxels by how wrong they are (Lin et al. 2017).
    Focal,
    /// 1 less the Dice coefficient of soft occupancies.
    Dice,
    /// 1 less the intersection over union of soft occupancies.
    Iou,
}

/// How the codes of an object's views become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CombineType {
    /// Their mean.
    Mean,
    /// The largest of each number.
    Max,
}

/// How a pose joins the features of its picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PoseFusionName {
    /// It stands behind them.
    Concat,
    /// It scales and shifts their channels.
    Film,
    /// It asks the places of the feature map.
    Attention,
}

/// Which layers look at a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EncoderName {
    /// Five convolutions of kernel 5, as public code has them.
    Coded,
    /// Kernels 11, 5, 5, 5, 8, as the paper has them.
    Paper,
}

/// What random codes are drawn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ZDistribution {
    /// A normal distribution around 0 with deviation `z_std`.
    Norm,
    /// Evenly from 0 to 1.
    Uni,
}

/// What the discriminator's verdict moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Adversarial {
    /// The generator is moved to be taken for true (non-saturating, Goodfellow et al. 2014).
    Fool,
    /// Generator and discriminator both take the gradient of the discriminator's loss, on grids made
    /// anew from the codes of pictures, as the public 3DAttnVAE-GAN does: the generator is moved to
    /// be found out.
    Reference,
}

/// What the network is to meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Column `voxels`: occupied or not.
    Voxels,
    /// Column `occupancy`: the share of each voxel that is full. A true voxel counts as occupied from
    /// 0.5 on where grids are compared.
    Occupancy,
}

/// What is done when training goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlarmPolicy {
    /// Say so and go on.
    Warn,
    /// End the run with an error.
    Stop,
    /// Go back to the newest checkpoint with halved learning rates, three times at most; then stop.
    RollBack,
}

/// Parameters of `train`. Defaults depend on `model` and `profile`; `voxflow operators train` lists
/// them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TrainParams {
    /// The network: `gan`, `vae_gan`, `multi_view_vae_gan`, `pose_vae_gan` or `attention_vae_gan`.
    pub model: ModelName,
    /// `fixed`, or `reference` for what public code computes.
    pub profile: ProfileName,
    /// The one class that is learnt; empty for all.
    pub obj: String,
    /// Edge of the grids in voxels: 16, 32 or 64; the resolution they were made with.
    pub cube_len: usize,
    /// Edge in pixels to which pictures are resized, 8 to 1024. Not for `gan`, `attention_vae_gan`.
    pub image_size: usize,
    /// Height in pixels to which pictures are resized, a multiple of 32; `attention_vae_gan` only.
    pub image_height: usize,
    /// Width in pixels to which pictures are resized, a multiple of 32; `attention_vae_gan` only.
    pub image_width: usize,
    /// Numbers in a code, 1 to 4096.
    pub z_size: usize,
    /// What random codes are drawn from: `norm` or `uni`.
    pub z_dis: ZDistribution,
    /// Standard deviation of random codes where they are normal. Public code of the 3D-GAN has 0.33.
    pub z_std: f64,
    /// Layers of the picture encoder, `coded` or `paper`; `vae_gan` and `multi_view_vae_gan` only.
    pub encoder: EncoderName,
    /// Channels of the encoder's convolutions.
    pub encoder_channels: Vec<usize>,
    /// Channels before the generator's last layer.
    pub generator_channels: usize,
    /// Channels after the discriminator's first layer.
    pub discriminator_channels: usize,
    /// Whether 3D convolutions have a bias; not for `pose_vae_gan` and `attention_vae_gan`.
    pub bias: bool,
    /// Slope of the discriminator's activation below 0; `gan` only, 0.2 in all others.
    pub leak_value: f64,
    /// What is added to the codes' log-variance at the start, -20 to 5: below 0, codes begin with
    /// little noise. Not for `gan` and `pose_vae_gan`.
    pub initial_log_variance: f64,
    /// Heads of the two attentions; `attention_vae_gan` only.
    pub heads: [usize; 2],
    /// Outputs of the encoder's three linear layers; `attention_vae_gan` only.
    pub hidden: [usize; 3],
    /// Whether the encoder is told where the camera stood; `pose_vae_gan` only.
    pub use_pose: bool,
    /// How a pose joins the features: `concat`, `film` or `attention`; `pose_vae_gan` only.
    pub pose_fusion: PoseFusionName,
    /// What is to be met: `voxels`, or `occupancy` for soft grids.
    pub target: Target,
    /// How a reconstructed grid is compared with the true one: `sse`, `mse`, `bce`, `focal`, `dice`
    /// or `iou`.
    pub recon_loss: ReconLoss,
    /// Weight of the reconstruction.
    pub recon_weight: f64,
    /// Weight of the divergence of codes, which is summed over a code, in the first epoch.
    /// `1 / cube_len^3` is the variational bound when the reconstruction is `bce`.
    pub kl_weight_start: f64,
    /// Weight of the divergence from epoch `kl_epochs` on.
    pub kl_weight_end: f64,
    /// Epochs over which the weight goes evenly from start to end; 0 has the end from the beginning.
    pub kl_epochs: f64,
    /// Weight of what the discriminator says of imagined grids; 0 leaves it out altogether.
    pub adversarial_weight: f64,
    /// What the discriminator's verdict moves: `fool`, or `reference` for `attention_vae_gan`.
    pub adversarial: Adversarial,
    /// The discriminator steps only while its accuracy is at most this, 0 to 1.
    pub d_thresh: f64,
    /// Whether the discriminator's labels are drawn from 0.7 to 1 and 0 to 0.3 instead of 1 and 0.
    pub soft_label: bool,
    /// Passes over the training rows.
    pub n_epochs: u64,
    /// Ends training after so many steps, if that is sooner.
    pub max_steps: Option<u64>,
    /// Ends training when validation has not been better for so many epochs; 0 never does.
    pub early_stop_epochs: u64,
    /// Rows in a batch: 2 at least, since normalisation over one row is none, or 1 for
    /// `attention_vae_gan`, whose maps are normalised over more than a cell.
    pub batch_size: usize,
    /// Learning rate of the encoder.
    pub e_lr: f64,
    /// Learning rate of the generator.
    pub g_lr: f64,
    /// Learning rate of the discriminator.
    pub d_lr: f64,
    /// Decay of Adam's first and second moment, for all parts.
    pub beta: [f64; 2],
    /// Share of each weight that a step takes off it, times the learning rate (AdamW); 0 is Adam.
    pub weight_decay: f64,
    /// Whether learning rates fall by `lr_gamma` at the epochs below.
    pub lrsh: bool,
    /// Epochs at which the encoder's rate falls.
    pub e_lr_epochs: Vec<u64>,
    /// Epochs at which the generator's rate falls.
    pub g_lr_epochs: Vec<u64>,
    /// Epochs at which the discriminator's rate falls.
    pub d_lr_epochs: Vec<u64>,
    /// What a rate is multiplied by at each of its epochs.
    pub lr_gamma: f64,
    /// Epochs in which all learning rates halve; 0 keeps them. It counts from the first epoch, so
    /// that a run may be made longer and resumed.
    pub lr_half_life: f64,
    /// Steps over which all learning rates rise evenly to their full height; 0 begins at it. Adam's
    /// first steps have one size whatever the gradient's, so without a rise they follow its rounding
    /// errors, and devices part ways.
    pub warmup_steps: u64,
    /// Largest norm of the gradient of a part, beyond which it is scaled down; 0 for none.
    pub clip_norm: f64,
    /// Decay of the moving average of weights that is validated and evaluated; 0 takes the weights
    /// themselves.
    pub ema_decay: f64,
    /// What is done when a loss is no number: `stop` or `roll_back`.
    pub on_nan: AlarmPolicy,
    /// What is done when training collapses: validation grids that are nearly empty, nearly full or
    /// in pieces, or a discriminator that is always or never right. `warn`, `stop` or `roll_back`.
    pub on_collapse: AlarmPolicy,
    /// View that training looks at: `random`, another one each epoch, or `fixed:K`, K from 0.
    /// Validation always looks at view 0, or at K.
    pub view: String,
    /// Views of each object that are learnt from together: `view` is the first, the others follow it
    /// evenly spaced. 1 but for `multi_view_vae_gan` and `pose_vae_gan`.
    pub num_views: usize,
    /// Views that an object must have: one with fewer than `num_views` is learnt from with all it has.
    /// 0 asks for `num_views`.
    pub min_views: usize,
    /// How the codes of an object's views become one: `mean` or `max` of each number.
    pub combine_type: CombineType,
    /// What pictures are laid over: red, green, blue.
    pub background: [u8; 3],
    /// Occupancy thresholds at which validation is measured; the best one counts.
    pub thresholds: Vec<f64>,
    /// Row groups of the data set that are shuffled together, and so are in memory at once.
    pub window_groups: usize,
    /// Checkpoints that are kept besides the best one, at least 1.
    pub keep_checkpoints: usize,
    /// Where to compute: `auto`, `cpu`, `wgpu`, `vulkan` or `cuda`.
    pub device: DeviceChoice,
    /// Devices of that kind that share each batch, 1 to 64. Losses and weights are on the first;
    /// normalisation sees a share at a time, so that another number is another training. The CPU
    /// counts as often as is asked: it computes what so many devices would, no faster.
    pub devices: usize,
    /// Safetensors file with weights to begin from instead of drawn ones: a PyTorch state dictionary of
    /// this network (`safetensors.torch.save_file` writes one), as `voxflow weights` writes it. Empty
    /// for none.
    pub weights: String,
    /// How names of layers begin here, and how in that file, as in `{ encoder = "E" }`; the longest
    /// that fits counts.
    pub weight_names: LayerNames,
    /// Whether the losses of every step are written to `losses.jsonl` in the stage's folder.
    pub log_steps: bool,
}

impl Default for TrainParams {
    fn default() -> Self {
        literature::parameters(ModelName::VaeGan, ProfileName::Fixed)
    }
}

/// Parameters that are of some networks only, and of which.
const ONLY: [(&str, &[ModelName]); 23] = {
    use ModelName::{AttentionVaeGan, Gan, MultiViewVaeGan, PoseVaeGan, VaeGan};
    const SEEING: &[ModelName] = &[VaeGan, MultiViewVaeGan, PoseVaeGan, AttentionVaeGan];
    const SQUARE: &[ModelName] = &[VaeGan, MultiViewVaeGan, PoseVaeGan];
    const CODED: &[ModelName] = &[VaeGan, MultiViewVaeGan];
    const SEVERAL: &[ModelName] = &[MultiViewVaeGan, PoseVaeGan];
    [
        ("image_size", SQUARE),
        ("image_height", &[AttentionVaeGan]),
        ("image_width", &[AttentionVaeGan]),
        ("encoder", CODED),
        ("encoder_channels", SEEING),
        ("bias", &[Gan, VaeGan, MultiViewVaeGan]),
        ("leak_value", &[Gan]),
        ("initial_log_variance", &[VaeGan, MultiViewVaeGan, AttentionVaeGan]),
        ("heads", &[AttentionVaeGan]),
        ("hidden", &[AttentionVaeGan]),
        ("use_pose", &[PoseVaeGan]),
        ("pose_fusion", &[PoseVaeGan]),
        ("recon_loss", SEEING),
        ("recon_weight", SEEING),
        ("kl_weight_start", SEEING),
        ("kl_weight_end", SEEING),
        ("kl_epochs", SEEING),
        ("e_lr", SEEING),
        ("e_lr_epochs", SEEING),
        ("adversarial", &[AttentionVaeGan]),
        ("num_views", SEVERAL),
        ("min_views", SEVERAL),
        ("combine_type", SEVERAL),
    ]
};

impl TrainParams {
    /// Reads what a pipeline says; what it does not say is as the literature of its network has it.
    ///
    /// # Errors
    /// All that is wrong: unknown names, wrong types, values out of range, parameters of another
    /// network.
    pub fn read(given: &Params) -> Result<Self, Vec<ParamError>> {
        // Wrong names and types are told before anything is laid over anything.
        let typed: Self = given.parse()?;
        let mut all = serde_json::to_value(literature::parameters(typed.model, typed.profile))
            .unwrap_or_default();
        for (key, value) in &given.0 {
            all[key] = value.clone();
        }
        let all = Params(all.as_object().cloned().unwrap_or_default());
        let params: Self = all.parse()?;
        let mut errors = params.of_other_networks(given);
        errors.extend(params.check().err().into_iter().flatten());
        if errors.is_empty() { Ok(params) } else { Err(errors) }
    }

    /// Parameters that were given and are not this network's. One that says what holds anyway may
    /// stand, so that a pipeline can try several networks.
    fn of_other_networks(&self, given: &Params) -> Vec<ParamError> {
        let theirs = ONLY
            .iter()
            .filter(|(key, models)| given.0.contains_key(*key) && !models.contains(&self.model));
        let is_one_view = |key: &str| key == "num_views" && self.num_views == 1;
        theirs
            .filter(|(key, _)| !is_one_view(key))
            .map(|(key, models)| {
                let names: Vec<_> = models.iter().map(|model| model.name()).collect();
                let message =
                    format!("is not for {}, only for {}", self.model.name(), names.join(", "));
                ParamError::new(key, message)
            })
            .collect()
    }

    /// Everything that is out of range.
    ///
    /// # Errors
    /// All of it.
    pub fn check(&self) -> Result<(), Vec<ParamError>> {
        let mut errors = self.check_weights();
        let mut need = |key: &str, holds: bool, message: &str| {
            if !holds {
                errors.push(ParamError::new(key, message));
            }
        };
        need("d_thresh", (0.0..=1.0).contains(&self.d_thresh), "must be 0 to 1");
        need("n_epochs", (1..=9999).contains(&self.n_epochs), "must be 1 to 9999");
        need("max_steps", self.max_steps != Some(0), "must be at least 1");
        let least = if self.model == ModelName::AttentionVaeGan { 1 } else { 2 };
        let most = (least..=4096).contains(&self.batch_size);
        need("batch_size", most, &format!("must be {least} to 4096"));
        let is_shared = self.devices == 1 || self.batch_size / 2 >= self.devices;
        let message = "must be 1 to 64, and at most half of batch_size";
        need("devices", (1..=64).contains(&self.devices) && is_shared, message);
        need("num_views", (1..=256).contains(&self.num_views), "must be 1 to 256");
        need("min_views", self.min_views <= self.num_views, "must be at most num_views");
        need("window_groups", self.window_groups >= 1, "must be at least 1");
        need("keep_checkpoints", self.keep_checkpoints >= 1, "must be at least 1");
        need("on_nan", self.on_nan != AlarmPolicy::Warn, "must be \"stop\" or \"roll_back\"");
        if let Err(message) = View::parse(&self.view) {
            need("view", false, &message);
        }
        if let Err((key, message)) = self.network().check() {
            need(literature::parameter_of(key), false, &message);
        }
        errors.extend(check_thresholds(&self.thresholds));
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    fn check_weights(&self) -> Vec<ParamError> {
        let mut errors = Vec::new();
        let mut need = |key: &str, holds: bool, message: &str| {
            if !holds {
                errors.push(ParamError::new(key, message));
            }
        };
        let weights = [
            ("recon_weight", self.recon_weight),
            ("kl_weight_start", self.kl_weight_start),
            ("kl_weight_end", self.kl_weight_end),
            ("kl_epochs", self.kl_epochs),
            ("adversarial_weight", self.adversarial_weight),
            ("weight_decay", self.weight_decay),
            ("lr_half_life", self.lr_half_life),
            ("clip_norm", self.clip_norm),
        ];
        for (key, weight) in weights {
            need(key, weight >= 0.0 && weight.is_finite(), "must be a number of at least 0");
        }
        for (key, rate) in [("e_lr", self.e_lr), ("g_lr", self.g_lr), ("d_lr", self.d_lr)] {
            need(key, rate > 0.0 && rate <= 1.0, "must be above 0 and at most 1");
        }
        for beta in self.beta {
            need("beta", (0.0..1.0).contains(&beta), "must be two numbers, at least 0 and below 1");
        }
        need("lr_gamma", self.lr_gamma > 0.0 && self.lr_gamma <= 1.0, "must be above 0, at most 1");
        need("z_std", self.z_std > 0.0 && self.z_std <= 100.0, "must be above 0 and at most 100");
        need("ema_decay", (0.0..1.0).contains(&self.ema_decay), "must be at least 0 and below 1");
        need(
            "adversarial_weight",
            self.model != ModelName::Gan || self.adversarial_weight > 0.0,
            "must be above 0: a GAN learns from nothing else",
        );
        errors
    }

    /// The parameters that decide the course of training: equal ones may go on from each other's
    /// checkpoints. How long, where and with what notes is left out.
    pub(crate) fn course(&self) -> serde_json::Value {
        let mut value = serde_json::to_value(self).unwrap_or_default();
        if let Some(map) = value.as_object_mut() {
            let free = [
                "n_epochs",
                "max_steps",
                "early_stop_epochs",
                "keep_checkpoints",
                "device",
                "log_steps",
                "on_nan",
                "on_collapse",
            ];
            free.iter().for_each(|key| drop(map.remove(*key)));
        }
        // Through text and back: the last bit of a long fraction may not survive, and a checkpoint's
        // parameters have been there.
        serde_json::from_str(&value.to_string()).unwrap_or(value)
    }
}

/// What is wrong with a list of occupancy thresholds.
pub(crate) fn check_thresholds(thresholds: &[f64]) -> Option<ParamError> {
    let rising = thresholds.windows(2).all(|pair| pair[0] < pair[1]);
    let inside = thresholds.iter().all(|t| *t > 0.0 && *t <= 1.0);
    let good = !thresholds.is_empty() && rising && inside;
    (!good).then(|| ParamError::new("thresholds", "must be rising numbers above 0 and at most 1"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(given: &Value) -> Result<TrainParams, Vec<ParamError>> {
        TrainParams::read(&Params(given.as_object().expect("a table").clone()))
    }

    fn wrong_keys(given: &Value) -> Vec<String> {
        read(given).expect_err("mistakes").into_iter().map(|error| error.key).collect()
    }

    #[test]
    fn defaults_are_in_range_whatever_the_network() {
        for model in ModelName::ALL {
            for profile in ["fixed", "reference"] {
                let read = read(&json!({ "model": model.name(), "profile": profile }));
                assert!(read.is_ok(), "{} {profile}: {read:?}", model.name());
            }
        }
    }

    #[test]
    fn what_is_not_said_is_as_the_literature_has_it() {
        let params = read(&json!({ "model": "pose_vae_gan", "z_size": 7 })).expect("parameters");
        assert_eq!((params.z_size, params.num_views, params.recon_weight), (7, 4, 50.0));
        let params = read(&json!({ "model": "gan" })).expect("parameters");
        assert_eq!((params.z_size, params.z_std, params.beta), (200, 0.33, [0.5, 0.5]));
    }

    #[test]
    fn every_mistake_is_found() {
        let keys = wrong_keys(&json!({
            "cube_len": 20, "batch_size": 1, "view": "left", "thresholds": [0.5, 0.4], "e_lr": 2.0,
        }));
        assert_eq!(keys, ["e_lr", "batch_size", "view", "cube_len", "thresholds"]);
    }

    #[test]
    fn a_parameter_of_another_network_is_refused_by_name() {
        let errors = read(&json!({ "model": "gan", "use_pose": true })).expect_err("a mistake");
        assert_eq!(errors[0].key, "use_pose");
        assert_eq!(errors[0].message, "is not for gan, only for pose_vae_gan");
        assert_eq!(wrong_keys(&json!({ "num_views": 4 })), ["num_views"]);
        assert!(read(&json!({ "num_views": 1 })).is_ok());
    }

    #[test]
    fn the_course_does_not_depend_on_how_long_it_is() {
        let longer = TrainParams { n_epochs: 9, ..TrainParams::default() };
        assert_eq!(longer.course(), TrainParams::default().course());
        let other = TrainParams { e_lr: 0.5, ..TrainParams::default() };
        assert_ne!(other.course(), TrainParams::default().course());
    }
}
