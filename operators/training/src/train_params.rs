//! Parameters of `train`, their defaults and limits.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use voxflow_contract::ParamError;
use voxflow_models::{CombineViews, MultiViewVaeGanConfig, ReconstructionLoss, VaeGanConfig};

use crate::device::DeviceChoice;
use crate::prepare::View;
use crate::step::Objective;

/// How a reconstructed grid is compared with the true one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reconstruction {
    /// Squared error, summed over voxels, averaged over the batch; the literature's unit.
    Sse,
    /// Squared error, averaged over voxels and batch.
    Mse,
    /// Cross-entropy, averaged over voxels and batch.
    Bce,
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

/// Parameters of `train`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TrainParams {
    /// Edge of the grids in voxels: 16, 32 or 64; the resolution they were made with.
    pub cube_len: usize,
    /// Edge in pixels to which pictures are resized, 8 to 1024. Public code uses 224.
    pub image_size: usize,
    /// Numbers in a code, 1 to 4096. Public code uses 200.
    pub z_size: usize,
    /// Channels of the encoder's convolutions. Public code uses 64, 128, 256, 512, 400.
    pub encoder_channels: Vec<usize>,
    /// Channels before the generator's last layer. Public code uses `cube_len`.
    pub generator_channels: usize,
    /// Channels after the discriminator's first layer. Public code uses `cube_len`.
    pub discriminator_channels: usize,
    /// Whether 3D convolutions have a bias.
    pub bias: bool,
    /// What is added to the codes' log-variance at the start, -20 to 5: below 0, codes begin with
    /// little noise. Public code has 0.
    pub initial_log_variance: f64,
    /// How a reconstructed grid is compared with the true one: `bce`, `mse` or `sse`.
    pub reconstruction: Reconstruction,
    /// Weight of the reconstruction.
    pub reconstruction_weight: f64,
    /// Weight of the divergence of codes from the standard normal distribution, which is summed over
    /// a code. `1 / cube_len^3` is the variational bound when the reconstruction is `bce`.
    pub kl_weight: f64,
    /// Weight of what the discriminator says of imagined grids; 0 trains a plain auto-encoder.
    pub adversarial_weight: f64,
    /// The discriminator steps only while its accuracy is at most this, 0 to 1.
    pub d_thresh: f64,
    /// Whether the discriminator's labels are drawn from 0.7 to 1 and 0 to 0.3 instead of 1 and 0.
    pub soft_labels: bool,
    /// Passes over the training rows.
    pub epochs: u64,
    /// Ends training after so many steps, if that is sooner.
    pub max_steps: Option<u64>,
    /// Rows in a batch, at least 2.
    pub batch_size: usize,
    /// Learning rate of the encoder.
    pub e_lr: f64,
    /// Learning rate of the generator.
    pub g_lr: f64,
    /// Learning rate of the discriminator.
    pub d_lr: f64,
    /// Epochs in which all learning rates halve; 0 keeps them. It counts from the first epoch, so
    /// that a run may be made longer and resumed.
    pub lr_half_life: f64,
    /// Steps over which all learning rates rise evenly to their full height; 0 begins at it. Adam's
    /// first steps have one size whatever the gradient's, so without a rise they follow its rounding
    /// errors, and devices part ways.
    pub warmup_steps: u64,
    /// Decay of Adam's first moment, for all networks. Public code uses 0.5.
    pub beta_1: f64,
    /// Decay of Adam's second moment, for all networks. Public code uses 0.5.
    pub beta_2: f64,
    /// View that training looks at: `random`, another one each epoch, or `fixed:K`, K from 0.
    /// Validation always looks at view 0, or at K.
    pub view: String,
    /// Views of each object that are learnt from together: `view` is the first, the others follow it
    /// evenly spaced. With more than one it is the MV-3D-VAE-GAN. Public code says 12 and has 3.
    pub num_views: usize,
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
    /// Whether the losses of every step are written to `losses.jsonl` in the stage's folder.
    pub log_steps: bool,
}

impl Default for TrainParams {
    fn default() -> Self {
        Self {
            cube_len: 32,
            image_size: 64,
            z_size: 64,
            encoder_channels: vec![16, 32, 64, 128, 128],
            generator_channels: 16,
            discriminator_channels: 4,
            bias: false,
            initial_log_variance: -4.0,
            reconstruction: Reconstruction::Bce,
            reconstruction_weight: 1.0,
            kl_weight: 3e-5,
            adversarial_weight: 1e-3,
            d_thresh: 0.8,
            soft_labels: true,
            epochs: 16,
            max_steps: None,
            batch_size: 16,
            e_lr: 5e-4,
            g_lr: 1e-3,
            d_lr: 1e-4,
            lr_half_life: 0.0,
            warmup_steps: 50,
            beta_1: 0.9,
            beta_2: 0.99,
            view: "random".to_owned(),
            num_views: 1,
            combine_type: CombineType::Mean,
            background: [255; 3],
            thresholds: vec![0.2, 0.3, 0.4, 0.5],
            window_groups: 8,
            keep_checkpoints: 2,
            device: DeviceChoice::Auto,
            log_steps: false,
        }
    }
}

impl TrainParams {
    /// Everything that is out of range.
    ///
    /// # Errors
    /// All of it.
    pub fn check(&self) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        let mut need = |key: &str, holds: bool, message: &str| {
            if !holds {
                errors.push(ParamError::new(key, message));
            }
        };
        let weights = [
            ("reconstruction_weight", self.reconstruction_weight),
            ("kl_weight", self.kl_weight),
            ("adversarial_weight", self.adversarial_weight),
            ("lr_half_life", self.lr_half_life),
        ];
        for (key, weight) in weights {
            need(key, weight >= 0.0 && weight.is_finite(), "must be a number of at least 0");
        }
        for (key, rate) in [("e_lr", self.e_lr), ("g_lr", self.g_lr), ("d_lr", self.d_lr)] {
            need(key, rate > 0.0 && rate <= 1.0, "must be above 0 and at most 1");
        }
        for (key, beta) in [("beta_1", self.beta_1), ("beta_2", self.beta_2)] {
            need(key, (0.0..1.0).contains(&beta), "must be at least 0 and below 1");
        }
        need("d_thresh", (0.0..=1.0).contains(&self.d_thresh), "must be 0 to 1");
        need("epochs", (1..=9999).contains(&self.epochs), "must be 1 to 9999");
        need("max_steps", self.max_steps != Some(0), "must be at least 1");
        need("batch_size", (2..=4096).contains(&self.batch_size), "must be 2 to 4096");
        need("num_views", (1..=256).contains(&self.num_views), "must be 1 to 256");
        need("window_groups", self.window_groups >= 1, "must be at least 1");
        need("keep_checkpoints", self.keep_checkpoints >= 1, "must be at least 1");
        if let Err(message) = View::parse(&self.view) {
            need("view", false, &message);
        }
        if let Err((key, message)) = self.model().check() {
            need(key, false, &message);
        }
        errors.extend(check_thresholds(&self.thresholds));
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    /// Sizes of the model.
    pub fn model(&self) -> MultiViewVaeGanConfig {
        let combine = match self.combine_type {
            CombineType::Mean => CombineViews::Mean,
            CombineType::Max => CombineViews::Max,
        };
        let single = VaeGanConfig::new(
            self.cube_len,
            self.image_size,
            self.z_size,
            self.encoder_channels.clone(),
            self.generator_channels,
            self.discriminator_channels,
        )
        .with_bias(self.bias)
        .with_initial_log_variance(self.initial_log_variance);
        MultiViewVaeGanConfig::new(single).with_combine(combine)
    }

    /// The losses and their weights.
    pub(crate) fn objective(&self) -> Objective {
        Objective {
            reconstruction: match self.reconstruction {
                Reconstruction::Sse => ReconstructionLoss::Sse,
                Reconstruction::Mse => ReconstructionLoss::Mse,
                Reconstruction::Bce => ReconstructionLoss::Bce,
            },
            reconstruction_weight: self.reconstruction_weight,
            kl_weight: self.kl_weight,
            adversarial_weight: self.adversarial_weight,
            d_thresh: self.d_thresh,
            soft_labels: self.soft_labels,
            lr_half_life: self.lr_half_life,
            warmup_steps: self.warmup_steps,
        }
    }

    /// The parameters that decide the course of training: equal ones may go on from each other's
    /// checkpoints. How long, where and with what notes is left out.
    pub(crate) fn course(&self) -> serde_json::Value {
        let mut value = serde_json::to_value(self).unwrap_or_default();
        if let Some(map) = value.as_object_mut() {
            for key in ["epochs", "max_steps", "keep_checkpoints", "device", "log_steps"] {
                map.remove(key);
            }
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

    #[test]
    fn defaults_are_in_range() {
        assert_eq!(TrainParams::default().check(), Ok(()));
    }

    #[test]
    fn every_mistake_is_found() {
        let params = TrainParams {
            cube_len: 20,
            batch_size: 1,
            view: "left".to_owned(),
            thresholds: vec![0.5, 0.4],
            e_lr: f64::NAN,
            ..TrainParams::default()
        };
        let errors = params.check().expect_err("mistakes");
        let keys: Vec<_> = errors.iter().map(|e| e.key.as_str()).collect();
        assert_eq!(keys, ["e_lr", "batch_size", "view", "cube_len", "thresholds"]);
    }

    #[test]
    fn the_course_does_not_depend_on_how_long_it_is() {
        let longer = TrainParams { epochs: 9, ..TrainParams::default() };
        assert_eq!(longer.course(), TrainParams::default().course());
        let other = TrainParams { e_lr: 0.5, ..TrainParams::default() };
        assert_ne!(other.course(), TrainParams::default().course());
    }
}
