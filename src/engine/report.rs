//! What a run did.

use std::collections::BTreeMap;
use std::path::PathBuf;

use voxflow_contract::{Committed, ContentHash, Coverage, Outcome, OutputFile, Refusal};

use super::counters::StageCount;
use super::feeding::Feeding;
use super::leakage::Duplicates;
use super::moves::Moves;

/// What a task left behind.
#[derive(Debug, Clone)]
pub struct TaskReport {
    /// Stage.
    pub stage: String,
    /// Metrics and report.
    pub outcome: Outcome,
    /// How long it computed, and how long it waited for batches.
    pub feeding: Feeding,
}

/// What became of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleFate {
    /// Hash of what it was made from.
    pub content: ContentHash,
    /// What its rows are kept under.
    pub key: [u8; 16],
    /// Whether every kept stage has a row of it.
    pub has_arrived: bool,
}

/// What a run did.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Folder of the run.
    pub folder: PathBuf,
    /// What each stage did, over all processes and attempts.
    pub stages: Vec<StageCount>,
    /// Every refused sample.
    pub refusals: Vec<Refusal>,
    /// The table of what each source gave, by stage id; paths are relative to the run's folder.
    pub inputs: BTreeMap<String, Vec<OutputFile>>,
    /// What is the same in several samples, by what keyed stages look at.
    pub duplicates: Vec<Duplicates>,
    /// What moved in the split, of each data set that one was before.
    pub moves: Vec<Moves>,
    /// What official lists have to do with the samples, by id of the stage that names one.
    pub lists: BTreeMap<String, Coverage>,
    /// What became of each sample of a source, by its position, if that was asked for; `None` for one
    /// that could not be opened.
    pub fates: BTreeMap<usize, Vec<Option<SampleFate>>>,
    /// What each sink committed, by stage id.
    pub committed: BTreeMap<String, Committed>,
    /// What each task left behind.
    pub tasks: Vec<TaskReport>,
    /// Whether this process is the first and the report whole.
    pub is_first: bool,
}
