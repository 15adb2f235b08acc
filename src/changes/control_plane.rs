//! `ControlPlane`: what follows from the samples there are, kept up to date.

use super::layout::{Diff, hash};
use super::policy::Policy;
use super::revision::Revision;
use super::sample::Sample;
use super::snapshot::Snapshot;
use super::todo::{WANTED, done_mark};
use super::worker::Worker;

/// Maintains what is to be done, the split, its counts, duplicates and leaks of the samples of one
/// source. Edits are only put down; [`advance`](Self::advance) works out what follows from them.
///
/// It stays on the thread that made it (it is not `Send`) and works only while it is called.
/// Nothing is kept on disk: a new process puts everything in again.
///
/// # Examples
///
/// ```
/// use voxflow_changes::{ControlPlane, Policy, Sample, Split, Todo};
///
/// let mut plane = ControlPlane::new(Policy { ratios: [0.7, 0.1, 0.2] }, 1);
/// let sample = Sample { id: 1, category: 0, content: 2, unit: 2, rank: 3, key: 4, arrived: true };
/// plane.insert(&sample);
/// let revision = plane.advance();
/// assert_eq!(revision.todo, [(Todo { stage: 0, key: 4 }, 1)]);
/// assert_eq!(revision.split, [(1, Split::Train, 1)]);
///
/// plane.mark_done(0, 4);
/// let revision = plane.advance();
/// assert_eq!(revision.todo, [(Todo { stage: 0, key: 4 }, -1)]);
/// assert!(revision.split.is_empty());
/// ```
pub struct ControlPlane {
    worker: Worker,
    stages: u32,
    revision: u64,
    snapshot: Option<Snapshot>,
}

impl ControlPlane {
    /// An empty control plane for samples that each need the rows of `stages` kept stages.
    pub fn new(policy: Policy, stages: u32) -> Self {
        Self { worker: Worker::new(policy, stages), stages, revision: 0, snapshot: None }
    }

    /// As [`new`](Self::new), and keeps a [`Snapshot`] of all that holds.
    pub fn with_snapshot(policy: Policy, stages: u32) -> Self {
        Self { snapshot: Some(Snapshot::default()), ..Self::new(policy, stages) }
    }

    /// Adds a sample. Its id must not be there already.
    pub fn insert(&mut self, sample: &Sample) {
        self.edit(sample, 1);
    }

    /// Takes a sample away, which must be there exactly so.
    pub fn remove(&mut self, sample: &Sample) {
        self.edit(sample, -1);
    }

    fn edit(&mut self, sample: &Sample, diff: Diff) {
        self.worker.mark(hash(sample.key), WANTED, diff);
        if sample.arrived {
            let unit = (hash(sample.rank), hash(sample.unit));
            let member = (hash(sample.id), hash(sample.content), sample.category);
            self.worker.member(unit, member, diff);
        }
    }

    /// Notes that the store has rows, or a refusal, of this stage under `key`. Marks are counted: one
    /// made twice is taken back twice. Stages that are not kept are ignored.
    pub fn mark_done(&mut self, stage: u32, key: u128) {
        self.done(stage, key, 1);
    }

    /// Takes back one [`mark_done`](Self::mark_done).
    pub fn unmark_done(&mut self, stage: u32, key: u128) {
        self.done(stage, key, -1);
    }

    fn done(&mut self, stage: u32, key: u128, diff: Diff) {
        if stage < self.stages {
            self.worker.mark(hash(key), done_mark(stage), diff);
        }
    }

    /// Works out what the edits since the last call changed.
    pub fn advance(&mut self) -> Revision {
        self.revision += 1;
        let revision = Revision::new(self.revision, self.worker.advance());
        if let Some(snapshot) = &mut self.snapshot {
            snapshot.apply(&revision);
        }
        revision
    }

    /// All that held at the last advance, of a control plane that was asked to keep it.
    pub fn snapshot(&self) -> Option<&Snapshot> {
        self.snapshot.as_ref()
    }
}
