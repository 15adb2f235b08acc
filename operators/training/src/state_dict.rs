//! Weights as a PyTorch state dictionary in a safetensors file: written for other programs, and read to
//! begin a training from.

use std::collections::BTreeMap;
use std::path::Path;

use voxflow_contract::{CheckpointChoice, SetupFault, TaskError};

use crate::checkpoint;
use crate::learner::{Learner, Tensors, exported};

/// How names of layers begin here, and how there. The longest that fits a name counts.
pub type LayerNames = BTreeMap<String, String>;

/// What [`export_weights`] gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportedWeights {
    /// The safetensors file.
    pub bytes: Vec<u8>,
    /// Tensors in it.
    pub tensors: usize,
    /// Name of the network.
    pub model: String,
    /// Epochs it was trained for.
    pub epoch: u64,
}

/// The weights of a checkpoint in the folder of a `train` stage, averaged ones where it has some, under
/// PyTorch's names for what a layer holds and in its layouts.
///
/// # Errors
/// When there is no such checkpoint, or it is damaged.
pub fn export_weights(
    folder: &Path,
    choice: CheckpointChoice,
    names: &LayerNames,
) -> Result<ExportedWeights, TaskError> {
    let found = checkpoint::list(folder);
    if found.is_empty() {
        return Err(checkpoint::none_in(folder).into());
    }
    let checkpoint = checkpoint::load(&checkpoint::pick(&found, choice)?.path)?;
    let (model, epoch) = (checkpoint.manifest.model.clone(), checkpoint.manifest.epoch);
    let tensors = exported(checkpoint, &longest_first(names))?;
    let bytes = checkpoint::encode_tensors(&tensors)?;
    Ok(ExportedWeights { bytes, tensors: tensors.len(), model, epoch })
}

/// Gives a trainer the weights of a file.
///
/// # Errors
/// When the file cannot be read, or is not of this network.
pub(crate) fn begin_with(
    learner: &mut dyn Learner,
    path: &Path,
    names: &LayerNames,
) -> Result<(), SetupFault> {
    let fault = |e: String| SetupFault::new(format!("weights: {e}: {}", path.display()));
    let bytes = std::fs::read(path).map_err(|e| fault(e.to_string()))?;
    // Counts of batches are whole numbers, and nothing here needs them.
    let is_kept = |name: &str| !name.ends_with("num_batches_tracked");
    let state: Tensors = checkpoint::decode_tensors(&bytes, is_kept).map_err(fault)?;
    let loaded = learner.begin_with(state, &longest_first(names));
    loaded.map_err(|e| fault(format!("{e}; weight_names says how layers are called there")))
}

fn longest_first(names: &LayerNames) -> Vec<(&str, &str)> {
    let mut names: Vec<_> = names.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    names.sort_by_key(|(ours, _)| std::cmp::Reverse(ours.len()));
    names
}
