//! Sink records: what a run keeps of a data set it committed, so that it need not be made again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use voxflow_contract::{Committed, MachineFault, OutputFile, Refusal};

use super::counters::StageCount;
use super::record::{PartRecord, part_file, write_durably};

/// A committed sink, as it stands on disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SinkRecord {
    /// The sink's fingerprint and the digest of all samples.
    fingerprint: String,
    files: Vec<FileRecord>,
    splits: BTreeMap<String, u64>,
    /// What every stage did on the way, by stage id.
    pub(crate) stages: BTreeMap<String, StageCount>,
    /// Every sample that was refused on the way.
    pub(crate) refused: Vec<Refusal>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileRecord {
    path: String,
    rows: u64,
    bytes: u64,
    blake3: String,
}

/// All parts of a sink together.
#[derive(Debug, Default)]
pub(crate) struct AllParts {
    /// Files of the parts that have rows, in key order.
    pub(crate) files: Vec<PathBuf>,
    stages: BTreeMap<String, StageCount>,
    refused: Vec<Refusal>,
}

impl AllParts {
    /// Adds up the records of all parts.
    pub(crate) fn new(folder: &Path, records: BTreeMap<u64, PartRecord>) -> Self {
        let mut all = Self::default();
        for (part, record) in records {
            if record.rows > 0 {
                all.files.push(part_file(folder, part));
            }
            for (stage, count) in record.stages {
                *all.stages.entry(stage).or_default() += count;
            }
            all.refused.extend(record.refused);
        }
        all
    }
}

impl SinkRecord {
    pub(crate) fn new(fingerprint: String, committed: Committed, parts: AllParts) -> Self {
        let file = |file: OutputFile| FileRecord {
            path: file.path,
            rows: file.rows,
            bytes: file.bytes,
            blake3: file.blake3,
        };
        Self {
            fingerprint,
            files: committed.files.into_iter().map(file).collect(),
            splits: committed.splits,
            stages: parts.stages,
            refused: parts.refused,
        }
    }

    /// Writes the record into the run's folder.
    ///
    /// # Errors
    /// When the machine fails.
    pub(crate) fn write(&self, run: &Path, stage: &str) -> Result<(), MachineFault> {
        let text = serde_json::to_vec_pretty(self).map_err(|e| MachineFault::new(e.to_string()))?;
        write_durably(&record_file(run, stage), &text)
    }

    /// Reads the record of a stage, if it is of this fingerprint and its files are there, in `data`,
    /// with the sizes they had.
    pub(crate) fn read(run: &Path, stage: &str, data: &Path, fingerprint: &str) -> Option<Self> {
        let record: Self = serde_json::from_slice(&fs::read(record_file(run, stage)).ok()?).ok()?;
        let is_there = |file: &FileRecord| {
            fs::metadata(data.join(&file.path)).is_ok_and(|metadata| metadata.len() == file.bytes)
        };
        let is_good = record.fingerprint == fingerprint && record.files.iter().all(is_there);
        is_good.then_some(record)
    }

    /// What the sink said when it committed.
    pub(crate) fn committed(&self) -> Committed {
        let file = |file: &FileRecord| OutputFile {
            path: file.path.clone(),
            rows: file.rows,
            bytes: file.bytes,
            blake3: file.blake3.clone(),
        };
        Committed { files: self.files.iter().map(file).collect(), splits: self.splits.clone() }
    }
}

fn record_file(run: &Path, stage: &str) -> PathBuf {
    run.join(format!("{stage}.committed.json"))
}
