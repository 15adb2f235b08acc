//! Tasks that learn and measure: `train` makes checkpoints of a data set, `evaluate` compares one
//! with baselines.
//!
//! Reading order: `train.rs` and `schedule.rs` state what is read and when, `prepare.rs` turns rows
//! into pictures and grids on any worker, `train_session.rs` steps on them on one thread,
//! `objective.rs` and `step.rs` say which loss moves which part, `network.rs` is what they ask of a
//! network, `spread.rs` shares a batch among devices, `checkpoint.rs` keeps the state.
//!
//! **Invariant:** every random number is drawn on the host, keyed by seed, purpose, epoch and place.
//! **Invariant:** a checkpoint's folder is whole or not there.

mod adam;
mod alarms;
mod average;
mod checkpoint;
mod device;
mod evaluate;
mod evaluate_imagined;
mod evaluate_seen;
mod evaluate_session;
mod going_on;
mod imagined;
mod learner;
mod literature;
mod metrics;
mod network;
mod objective;
mod prepare;
mod reconstructor;
mod reference;
mod report;
mod schedule;
mod spread;
mod state_dict;
mod step;
mod step_log;
mod surface;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod train;
mod train_params;
mod train_session;

use voxflow_contract::Kind;

pub use checkpoint::{
    CheckpointSummary, EpochRecord, FORMAT_VERSION, Manifest, Validation, inspect_checkpoint,
};
pub use device::{ChosenDevice, DeviceChoice, choose_device};
pub use evaluate::EvaluateParams;
pub use literature::ModelName;
pub use metrics::{Iou, IouTally, Measurement, iou_at, iou_of_bits, metric_batch, unpack_bits};
pub use network::Part;
pub use prepare::{PictureForm, Preparation, THUMBNAIL_SIZE, View};
pub use reconstructor::{Pose, Reconstructor};
pub use schedule::{BatchOrder, items};
pub use state_dict::{ExportedWeights, LayerNames, export_weights};
pub use train_params::{
    Adversarial, AlarmPolicy, CombineType, EncoderName, PoseFusionName, ProfileName, ReconLoss,
    Target, TrainParams, ZDistribution,
};
pub use voxflow_contract::{CheckpointChoice, TaskError};

/// What a pipeline can name, sorted.
pub const ALL: &[&dyn Kind] = &[&evaluate::EvaluateKind, &train::TrainKind];
