//! What the losses are, how they are weighed, and how fast each part learns.
//!
//! Stated as "the gradient of loss L for the parameters P":
//!
//! | loss | parameters | when |
//! |---|---|---|
//! | cross-entropy of D on true and imagined grids, the latter detached | discriminator | its accuracy is at most `d_thresh` |
//! | reconstruction, divergence | encoder | every step |
//! | reconstruction, cross-entropy of D's verdict on imagined grids | generator | every step |
//!
//! A 3D-GAN has no encoder, no reconstruction and no divergence. With `adversarial = "reference"` the
//! first row is `discriminator, generator`, on grids made anew from the codes of pictures, and the
//! last one has the reconstruction alone.

use voxflow_models::ReconstructionLoss;

use crate::literature::ModelName;
use crate::network::Part;
use crate::train_params::{Adversarial, ProfileName, TrainParams, ZDistribution};

/// Highest label of a true grid where labels are soft. Public code goes to 1.2, which no probability
/// can meet.
const HIGHEST_LABEL: f64 = 1.0;
const HIGHEST_REFERENCE_LABEL: f64 = 1.2;

/// What the losses are and how they are weighed.
#[derive(Debug, Clone)]
pub(crate) struct Objective {
    pub(crate) reconstruction: ReconstructionLoss,
    pub(crate) reconstruction_weight: f64,
    kl_weights: [f64; 2],
    kl_epochs: f64,
    /// 0 leaves the discriminator out altogether.
    pub(crate) adversarial_weight: f64,
    pub(crate) adversarial: Adversarial,
    pub(crate) d_thresh: f64,
    pub(crate) soft_labels: bool,
    pub(crate) highest_label: f64,
    pub(crate) z_distribution: ZDistribution,
    pub(crate) z_std: f64,
    falls: [Vec<u64>; 3],
    gamma: f64,
    half_life: f64,
    warmup_steps: u64,
}

impl Objective {
    /// What parameters say.
    pub(crate) fn new(params: &TrainParams) -> Self {
        let epochs = [&params.e_lr_epochs, &params.g_lr_epochs, &params.d_lr_epochs];
        Self {
            reconstruction: params.reconstruction(),
            reconstruction_weight: params.recon_weight,
            kl_weights: [params.kl_weight_start, params.kl_weight_end],
            kl_epochs: params.kl_epochs,
            adversarial_weight: params.adversarial_weight,
            adversarial: match params.model {
                ModelName::Gan => Adversarial::Fool,
                _ => params.adversarial,
            },
            d_thresh: params.d_thresh,
            soft_labels: params.soft_label,
            highest_label: match params.profile {
                ProfileName::Fixed => HIGHEST_LABEL,
                ProfileName::Reference => HIGHEST_REFERENCE_LABEL,
            },
            z_distribution: params.z_dis,
            z_std: params.z_std,
            falls: epochs.map(|epochs| if params.lrsh { epochs.clone() } else { Vec::new() }),
            gamma: params.lr_gamma,
            half_life: params.lr_half_life,
            warmup_steps: params.warmup_steps,
        }
    }

    /// Share of a part's learning rate in an epoch and a step, both counted from 0.
    pub(crate) fn rate_share(&self, part: Part, epoch: u64, step: u64) -> f64 {
        let warmth = ((step + 1) as f64 / self.warmup_steps.max(1) as f64).min(1.0);
        let halvings = if self.half_life > 0.0 { epoch as f64 / self.half_life } else { 0.0 };
        let falls = self.falls[part as usize].iter().filter(|&&fall| fall <= epoch).count();
        warmth * 0.5_f64.powf(halvings) * self.gamma.powi(falls as i32)
    }

    /// Weight of the divergence in an epoch, counted from 0.
    pub(crate) fn kl_weight(&self, epoch: u64) -> f64 {
        let [start, end] = self.kl_weights;
        let share = if self.kl_epochs > 0.0 { epoch as f64 / self.kl_epochs } else { 1.0 };
        start + (end - start) * share.min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_fall_where_they_are_told_to() {
        let params = TrainParams {
            warmup_steps: 4,
            d_lr_epochs: vec![2, 5],
            lr_half_life: 10.0,
            ..TrainParams::default()
        };
        let objective = Objective::new(&params);
        assert_eq!(objective.rate_share(Part::Generator, 0, 0), 0.25);
        assert_eq!(objective.rate_share(Part::Generator, 10, 100), 0.5);
        let share = objective.rate_share(Part::Discriminator, 10, 100);
        assert!((share - 0.005).abs() < 1e-12, "{share}");
        let steady = Objective::new(&TrainParams { lrsh: false, ..params });
        assert_eq!(steady.rate_share(Part::Discriminator, 10, 100), 0.5);
    }

    #[test]
    fn the_divergence_gains_weight_evenly() {
        let params = TrainParams {
            kl_weight_start: 1.0,
            kl_weight_end: 3.0,
            kl_epochs: 4.0,
            ..TrainParams::default()
        };
        let objective = Objective::new(&params);
        assert_eq!([0, 1, 4, 9].map(|epoch| objective.kl_weight(epoch)), [1.0, 1.5, 3.0, 3.0]);
        let constant = Objective::new(&TrainParams { kl_epochs: 0.0, ..params });
        assert_eq!(constant.kl_weight(0), 3.0);
    }
}
