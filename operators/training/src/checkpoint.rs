//! Checkpoints: one folder an epoch, complete or not there, every file hashed.
//!
//! `epoch-0003/` is the state after three epochs: `weights.safetensors`, `optimizers.safetensors`
//! and `manifest.json`, and `average.safetensors` where an average of the weights is kept. It is written beside as `.epoch-0003.part`, synced and renamed, so that a
//! folder of that name is always whole; the hashes in the manifest tell later damage.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use burn::tensor::{DType, TensorData};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use voxflow_contract::{CheckpointChoice, MachineFault, SetupFault, commit_point};
use voxflow_models::NetworkConfig;

use crate::network::Part;

/// Version of the layout of a checkpoint's folder and manifest.
pub const FORMAT_VERSION: u32 = 2;

const MANIFEST: &str = "manifest.json";
const WEIGHTS: &str = "weights.safetensors";
const OPTIMIZERS: &str = "optimizers.safetensors";
const AVERAGE: &str = "average.safetensors";

/// Validation figures of an epoch.
///
/// Figures are 32-bit: those survive JSON bit by bit, which the last bit of 64 does not always.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// Mean intersection over union over samples, at the best of the thresholds. For a network that
    /// does not see: of each sample and the nearest of what the network imagines.
    pub iou: f32,
    /// That threshold.
    pub threshold: f64,
    /// Samples it was measured on.
    pub samples: u64,
}

/// What is remembered of a trained epoch: means over its steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Epochs trained when it ended.
    pub epoch: u64,
    /// Steps trained when it ended.
    pub step: u64,
    /// Training samples seen in it.
    pub samples: u64,
    /// Mean of each loss, by name.
    pub losses: BTreeMap<String, f32>,
    /// Validation at its end, where there are validation rows.
    pub validation: Option<Validation>,
}

/// What a checkpoint says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT_VERSION`] of the program that wrote it.
    pub format_version: u32,
    /// Name of the model.
    pub model: String,
    /// Epochs trained.
    pub epoch: u64,
    /// Steps trained.
    pub step: u64,
    /// Seed of the run.
    pub seed: u64,
    /// Sizes of the model.
    pub config: serde_json::Value,
    /// Parameters that decide the course of training.
    pub parameters: serde_json::Value,
    /// Name of the device it was trained on.
    pub device: String,
    /// Digest of the data set.
    pub dataset: String,
    /// Steps of the optimiser of each part of the network.
    pub optimizer_steps: BTreeMap<Part, u64>,
    /// How often training was rolled back, each time to halved learning rates.
    pub roll_backs: u64,
    /// Where it was told to go on from, oldest first: going back, or counting on from another epoch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub went_on: Vec<String>,
    /// All epochs so far.
    pub history: Vec<EpochRecord>,
    /// BLAKE3 of each file, hexadecimal, by name.
    pub files: BTreeMap<String, String>,
}

impl Manifest {
    /// Validation at the end of its last epoch.
    pub fn validation(&self) -> Option<Validation> {
        self.history.last().and_then(|epoch| epoch.validation)
    }

    /// Sizes of the model, typed.
    ///
    /// # Errors
    /// When they are not those of this program's model.
    pub fn model_config(&self) -> Result<NetworkConfig, SetupFault> {
        serde_json::from_value(self.config.clone())
            .map_err(|e| SetupFault::new(format!("the checkpoint's model is unknown here: {e}")))
    }
}

/// A checkpoint in memory.
#[derive(Debug, Clone)]
pub(crate) struct Checkpoint {
    pub(crate) manifest: Manifest,
    /// Of all networks, by dotted path.
    pub(crate) weights: BTreeMap<String, TensorData>,
    /// Averages of weights, by the same paths; empty where none are kept.
    pub(crate) average: BTreeMap<String, TensorData>,
    /// Moments of the optimiser of each part.
    pub(crate) optimizers: BTreeMap<Part, BTreeMap<String, TensorData>>,
}

/// What `inspect` shows of the checkpoints in a folder.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckpointSummary {
    /// Manifest of the newest one.
    pub newest: Manifest,
    /// Manifest of the one with the best validation.
    pub best: Manifest,
    /// Folders of complete checkpoints, oldest first, and what is wrong with their files, if
    /// anything is.
    pub folders: Vec<(String, Option<String>)>,
    /// Tensors of the newest one's weights and their shapes.
    pub tensors: BTreeMap<String, Vec<usize>>,
    /// Numbers in the newest one's weights, running statistics included.
    pub numbers: u64,
}

/// Reads what the checkpoints in `folder` say of themselves, and checks every file's hash.
///
/// # Errors
/// When there is no checkpoint, or the newest cannot be read.
pub fn inspect_checkpoint(folder: &Path) -> Result<CheckpointSummary, SetupFault> {
    let found = list(folder);
    let newest = found.last().ok_or_else(|| none_in(folder))?;
    let best = best_of(&found).ok_or_else(|| none_in(folder))?;
    let checkpoint = load(&newest.path)?;
    let shape = |data: &TensorData| data.shape().to_vec();
    Ok(CheckpointSummary {
        newest: newest.manifest.clone(),
        best: best.manifest.clone(),
        folders: found
            .iter()
            .map(|f| (folder_name(f.manifest.epoch), verify(&f.path, &f.manifest).err()))
            .collect(),
        numbers: checkpoint.weights.values().map(|data| data.num_elements() as u64).sum(),
        tensors: checkpoint.weights.iter().map(|(k, data)| (k.clone(), shape(data))).collect(),
    })
}

pub(crate) fn none_in(folder: &Path) -> SetupFault {
    SetupFault::new(format!("there is no checkpoint: {}", folder.display()))
}

/// A complete checkpoint's folder and manifest.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    pub(crate) manifest: Manifest,
}

/// The complete checkpoints in `folder`, oldest first. Unreadable ones are left out.
pub(crate) fn list(folder: &Path) -> Vec<Found> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<Found> = entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("epoch-"))
        .filter_map(|entry| {
            let path = entry.path();
            let manifest = read_manifest(&path).ok()?;
            Some(Found { path, manifest })
        })
        .collect();
    found.sort_by_key(|found| found.manifest.epoch);
    found
}

/// The one with the best validation, the later of equals; the newest when none was validated.
pub(crate) fn best_of(found: &[Found]) -> Option<&Found> {
    let iou = |found: &&Found| found.manifest.validation().map_or(-1.0, |v| v.iou);
    found.iter().max_by(|a, b| iou(a).total_cmp(&iou(b)))
}

/// The one that is meant, of at least one.
///
/// # Errors
/// When there is none of that epoch: says which there are.
pub(crate) fn pick(found: &[Found], choice: CheckpointChoice) -> Result<&Found, SetupFault> {
    let picked = match choice {
        CheckpointChoice::Best => best_of(found),
        CheckpointChoice::Latest => found.last(),
        CheckpointChoice::Epoch(epoch) => found.iter().find(|f| f.manifest.epoch == epoch),
    };
    picked.ok_or_else(|| {
        let there: Vec<_> = found.iter().map(|f| f.manifest.epoch.to_string()).collect();
        let what = String::from(choice);
        SetupFault::new(format!("there is no checkpoint {what}: kept are {}", there.join(", ")))
    })
}

fn read_manifest(path: &Path) -> Result<Manifest, String> {
    let text = fs::read_to_string(path.join(MANIFEST)).map_err(|e| e.to_string())?;
    let manifest: Manifest = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    if manifest.format_version == FORMAT_VERSION {
        return Ok(manifest);
    }
    let version = manifest.format_version;
    Err(format!("its format is version {version}, this voxflow reads {FORMAT_VERSION}"))
}

/// Whether every file is there and has the hash that the manifest states.
pub(crate) fn verify(path: &Path, manifest: &Manifest) -> Result<(), String> {
    for (name, expected) in &manifest.files {
        let bytes = fs::read(path.join(name)).map_err(|e| format!("`{name}`: {e}"))?;
        if blake3::hash(&bytes).to_hex().as_str() != expected {
            return Err(format!("`{name}` has changed since it was written"));
        }
    }
    Ok(())
}

/// Reads a checkpoint after checking its hashes.
pub(crate) fn load(path: &Path) -> Result<Checkpoint, SetupFault> {
    let fault =
        |e: String| SetupFault::new(format!("the checkpoint is damaged: {e}: {}", path.display()));
    let manifest = read_manifest(path).map_err(fault)?;
    verify(path, &manifest).map_err(fault)?;
    let read = |name: &str| {
        let bytes = fs::read(path.join(name)).map_err(|e| format!("`{name}`: {e}"))?;
        decode_tensors(&bytes, |_| true)
    };
    let weights = read(WEIGHTS).map_err(fault)?;
    let moments = read(OPTIMIZERS).map_err(fault)?;
    let optimizers = manifest.optimizer_steps.keys().map(|&part| {
        let prefix = format!("{}.", part.name());
        let own = moments.iter().filter_map(|(name, data)| {
            Some((name.strip_prefix(&prefix)?.to_owned(), data.clone()))
        });
        (part, own.collect())
    });
    let optimizers = optimizers.collect();
    let average = match manifest.files.contains_key(AVERAGE) {
        true => read(AVERAGE).map_err(fault)?,
        false => BTreeMap::new(),
    };
    Ok(Checkpoint { manifest, weights, average, optimizers })
}

/// Writes a checkpoint, whole or not at all; fills in its manifest's hashes.
pub(crate) fn save(folder: &Path, mut checkpoint: Checkpoint) -> Result<(), MachineFault> {
    let name = folder_name(checkpoint.manifest.epoch);
    let (part, target) = (folder.join(format!(".{name}.part")), folder.join(&name));
    remove(&part)?;
    fs::create_dir_all(&part).map_err(|e| MachineFault::io("create", &part, e))?;
    let moments = checkpoint.optimizers.iter().flat_map(|(part, state)| {
        state.iter().map(move |(name, data)| (format!("{}.{name}", part.name()), data.clone()))
    });
    let mut files = vec![
        (WEIGHTS, encode_tensors(&checkpoint.weights)?),
        (OPTIMIZERS, encode_tensors(&moments.collect())?),
    ];
    if !checkpoint.average.is_empty() {
        files.push((AVERAGE, encode_tensors(&checkpoint.average)?));
    }
    for (name, bytes) in files {
        let hash = blake3::hash(&bytes).to_hex().to_string();
        checkpoint.manifest.files.insert(name.to_owned(), hash);
        write_synced(&part.join(name), &bytes)?;
    }
    let manifest = serde_json::to_vec_pretty(&checkpoint.manifest)
        .map_err(|e| MachineFault::new(format!("cannot encode a manifest: {e}")))?;
    write_synced(&part.join(MANIFEST), &manifest)?;
    sync_folder(&part)?;
    commit_point("checkpoint.written");
    remove(&target)?;
    fs::rename(&part, &target).map_err(|e| MachineFault::io("rename", &part, e))?;
    commit_point("checkpoint.renamed");
    sync_folder(folder)
}

/// Removes all but the newest `keep` checkpoints and the best one.
pub(crate) fn prune(folder: &Path, keep: usize) -> Result<(), MachineFault> {
    let found = list(folder);
    let best = best_of(&found).map(|found| found.path.clone());
    let old = found.len().saturating_sub(keep);
    for old in found[..old].iter().filter(|found| Some(&found.path) != best.as_ref()) {
        remove(&old.path)?;
    }
    Ok(())
}

/// Removes every checkpoint, finished or not: the folder's next run begins anew.
pub(crate) fn clear(folder: &Path) -> Result<(), MachineFault> {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("epoch-") || (name.starts_with(".epoch-") && name.ends_with(".part")) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Name of the folder of the state after `epoch` epochs.
pub(crate) fn folder_name(epoch: u64) -> String {
    format!("epoch-{epoch:04}")
}

fn remove(path: &Path) -> Result<(), MachineFault> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(MachineFault::io("remove", path, e))
        }
        _ => Ok(()),
    }
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), MachineFault> {
    let write = || {
        let mut file = fs::File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|e| MachineFault::io("write", path, e))
}

fn sync_folder(path: &Path) -> Result<(), MachineFault> {
    fs::File::open(path)
        .and_then(|folder| folder.sync_all())
        .map_err(|e| MachineFault::io("sync", path, e))
}

/// 32-bit floats as a safetensors file; names are sorted, so equal tensors give equal bytes.
pub(crate) fn encode_tensors(
    tensors: &BTreeMap<String, TensorData>,
) -> Result<Vec<u8>, MachineFault> {
    let fault = |e: String| MachineFault::new(format!("cannot encode tensors: {e}"));
    let mut views = Vec::with_capacity(tensors.len());
    for (name, data) in tensors {
        if data.dtype() != DType::F32 {
            return Err(fault(format!("`{name}` is not of 32-bit floats")));
        }
        let view = TensorView::new(Dtype::F32, data.shape().to_vec(), data.as_bytes())
            .map_err(|e| fault(e.to_string()))?;
        views.push((name.as_str(), view));
    }
    safetensors::serialize(views, None).map_err(|e| fault(e.to_string()))
}

/// The tensors of a safetensors file whose names `is_kept` wants.
pub(crate) fn decode_tensors(
    bytes: &[u8],
    is_kept: impl Fn(&str) -> bool,
) -> Result<BTreeMap<String, TensorData>, String> {
    let tensors = SafeTensors::deserialize(bytes).map_err(|e| e.to_string())?;
    let decode = |(name, view): (String, TensorView<'_>)| {
        if view.dtype() != Dtype::F32 {
            return Err(format!("`{name}` is not of 32-bit floats"));
        }
        let numbers: Vec<f32> =
            view.data().as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
        Ok((name, TensorData::new(numbers, view.shape())))
    };
    tensors.tensors().into_iter().filter(|(name, _)| is_kept(name)).map(decode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(epoch: u64, iou: f32) -> Checkpoint {
        let data = TensorData::new(vec![1.5_f32, -2.0], [2]);
        let tensors = |name: &str| BTreeMap::from([(name.to_owned(), data.clone())]);
        let validation = Some(Validation { iou, threshold: 0.4, samples: 3 });
        let record =
            EpochRecord { epoch, step: 7, samples: 4, losses: BTreeMap::new(), validation };
        Checkpoint {
            manifest: Manifest {
                format_version: FORMAT_VERSION,
                model: "vae_gan".to_owned(),
                epoch,
                step: 7,
                seed: 1,
                config: serde_json::Value::Null,
                parameters: serde_json::Value::Null,
                device: "cpu".to_owned(),
                dataset: "d".to_owned(),
                optimizer_steps: Part::ALL.into_iter().zip([7, 7, 5]).collect(),
                roll_backs: 0,
                went_on: Vec::new(),
                history: vec![record],
                files: BTreeMap::new(),
            },
            weights: tensors("encoder.w"),
            average: tensors("encoder.w"),
            optimizers: Part::ALL
                .into_iter()
                .zip([tensors("a.moment_1"), tensors("b.moment_1"), BTreeMap::new()])
                .collect(),
        }
    }

    fn names(folder: &Path) -> Vec<String> {
        list(folder).iter().map(|found| folder_name(found.manifest.epoch)).collect()
    }

    #[test]
    fn what_was_saved_is_loaded() {
        let folder = tempfile::tempdir().expect("a folder");
        save(folder.path(), checkpoint(1, 0.5)).expect("saved");
        let loaded = load(&folder.path().join("epoch-0001")).expect("loaded");
        let expected = checkpoint(1, 0.5);
        assert_eq!(loaded.weights, expected.weights);
        assert_eq!(loaded.optimizers, expected.optimizers);
        assert_eq!(loaded.average, expected.average);
        assert_eq!(loaded.manifest.history, expected.manifest.history);
        let summary = inspect_checkpoint(folder.path()).expect("a summary");
        assert_eq!(summary.numbers, 2);
        assert_eq!(summary.folders, [("epoch-0001".to_owned(), None)]);
    }

    #[test]
    fn the_newest_and_the_best_are_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        for (epoch, iou) in [(1, 0.2), (2, 0.9), (3, 0.4), (4, 0.5), (5, 0.1)] {
            save(folder.path(), checkpoint(epoch, iou)).expect("saved");
            prune(folder.path(), 2).expect("pruned");
        }
        assert_eq!(names(folder.path()), ["epoch-0002", "epoch-0004", "epoch-0005"]);
        assert_eq!(best_of(&list(folder.path())).expect("one").manifest.epoch, 2);
    }

    #[test]
    fn a_changed_file_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        save(folder.path(), checkpoint(1, 0.5)).expect("saved");
        let path = folder.path().join("epoch-0001");
        let mut bytes = fs::read(path.join(WEIGHTS)).expect("weights");
        *bytes.last_mut().expect("bytes") ^= 1;
        fs::write(path.join(WEIGHTS), bytes).expect("written");
        let message = load(&path).expect_err("damaged").message;
        assert!(message.contains("has changed since it was written"), "{message}");
    }

    #[test]
    fn a_half_written_checkpoint_is_none() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join(".epoch-0001.part")).expect("a folder");
        fs::create_dir(folder.path().join("epoch-0002")).expect("a folder");
        assert!(list(folder.path()).is_empty());
        assert!(inspect_checkpoint(folder.path()).is_err());
        clear(folder.path()).expect("cleared");
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
    }
}
