//! How to run a graph.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use voxflow_contract::GoOn;

use super::cluster::Cluster;
use super::counters::Counters;
use super::held::Held;
use super::moves::Previous;
use super::sample_limits::SampleLimits;
use super::shared::Stop;

/// Takes a stage, a line of progress and the share that is done.
pub type TaskProgress = Arc<dyn Fn(&str, &str, f64) + Send + Sync>;

/// How to run.
#[derive(Clone)]
pub struct Options {
    /// Worker threads, and as many in the pool.
    pub workers: usize,
    /// Bytes of rows in flight at most.
    pub memory_bytes: u64,
    /// After which time rows that were made are made durable.
    pub commit_every: Duration,
    /// What a stage may spend on one sample.
    pub sample_limits: SampleLimits,
    /// Folder that holds the store and all runs.
    pub home: PathBuf,
    /// Name of this run's folder; in a cluster the first process's name counts.
    pub run: String,
    /// From which checkpoint tasks go on, if they do.
    pub resume: Option<GoOn>,
    /// Place in a cluster, if there is one.
    pub cluster: Option<Cluster>,
    /// How a person stops the run.
    pub stop: Stop,
    /// Live counts, one a stage of the graph.
    pub counters: Arc<Counters>,
    /// Takes the progress of tasks.
    pub task_progress: TaskProgress,
    /// Whether the report has the fate of every sample.
    pub tells_fates: bool,
    /// The data sets that those of this run follow or replace, by id of the sink.
    pub previous: BTreeMap<String, Previous>,
    /// The store, if it stays open from run to run; no data sets are made then, and fates are told.
    pub held: Option<Arc<Held>>,
}
