//! `Made`: what one process of a cluster did, for the one that reports.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use voxflow_contract::{MachineFault, Refusal};

use super::counters::StageCount;
use crate::store::Cost;

/// What a process did in this run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Made {
    /// Rows and seconds, by stage.
    pub(crate) stages: Vec<StageCount>,
    /// What it was timed at, by stage.
    pub(crate) costs: Vec<Cost>,
    /// Samples that could not be opened.
    pub(crate) unopened: Vec<Refusal>,
}

impl Made {
    /// Tells it to the other processes.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) fn write(&self, run: &Path, process: usize) -> Result<(), MachineFault> {
        let path = file(run, process);
        let text = serde_json::to_vec(self).unwrap_or_default();
        // Several workers may write; they say the same, or less than the last.
        let beside = path.with_extension(format!("{:?}", std::thread::current().id()));
        let write = || {
            fs::write(&beside, &text)?;
            fs::rename(&beside, &path)
        };
        write().map_err(|e| MachineFault::io("write", &path, e))
    }

    /// What another process told.
    ///
    /// # Errors
    /// When it told nothing, or the disk fails.
    pub(crate) fn read(run: &Path, process: usize) -> Result<Self, MachineFault> {
        let path = file(run, process);
        let text = fs::read(&path).map_err(|e| MachineFault::io("read", &path, e))?;
        serde_json::from_slice(&text).map_err(|e| MachineFault::io("read", &path, e.into()))
    }

    /// Adds what another process did.
    pub(crate) fn add(&mut self, other: Self) {
        for (stage, count) in self.stages.iter_mut().zip(other.stages) {
            *stage += count;
        }
        for (cost, more) in self.costs.iter_mut().zip(&other.costs) {
            cost.add(more);
        }
        self.unopened.extend(other.unopened);
    }
}

fn file(run: &Path, process: usize) -> PathBuf {
    run.join("cluster").join(format!("made-{process}.json"))
}
