//! Tasks: stages that read a committed data set, epoch by epoch, and learn or measure.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::batch::Batch;
use crate::go_on::GoOn;
use crate::refusal::{Fault, Refusals};
use crate::schema::Schema;
use crate::stage::{MachineFault, SetupFault};

/// One row of a data set, without its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexedRow {
    /// Sample.
    pub sample: String,
    /// Class.
    pub category: String,
    /// train, val or test.
    pub split: String,
}

/// All rows of a committed data set, and which of them lie together on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataIndex {
    /// Rows, numbered from 0 in the order train, val, test, each sorted by sample.
    pub rows: Vec<IndexedRow>,
    /// Runs of row numbers that are read from disk at once.
    pub groups: Vec<Range<usize>>,
    /// Schema of the rows.
    pub schema: Schema,
    /// A digest of the data set, hexadecimal: equal digests, equal bytes.
    pub digest: String,
}

/// What a batch is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Learn from it.
    Train,
    /// Measure on it, learn nothing.
    Validate,
    /// Keep for comparison: the training shapes a baseline picks from.
    Reference,
}

/// One batch to come: which rows, and what for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Epoch it belongs to.
    pub epoch: u64,
    /// Place in the epoch, from 0.
    pub sequence: u64,
    /// What it is for.
    pub purpose: Purpose,
    /// Row numbers in the data index.
    pub rows: Vec<usize>,
}

/// Gives the items of an epoch, in order of their sequence numbers.
pub type EpochPlan = Arc<dyn Fn(u64) -> Vec<Item> + Send + Sync>;

/// What a task is going to read.
#[derive(Clone)]
pub struct Schedule {
    /// Epochs to run; begins above 0 on resume.
    pub epochs: Range<u64>,
    /// The items of each epoch.
    pub plan: EpochPlan,
}

/// What a task may know of the run it is in.
#[derive(Clone)]
pub struct TaskContext {
    /// Id of the stage.
    pub stage: String,
    /// The stage's own folder; exists.
    pub folder: PathBuf,
    /// Folders of the stages it reads from, by stage id.
    pub inputs: BTreeMap<String, PathBuf>,
    /// The data set.
    pub index: Arc<DataIndex>,
    /// Which checkpoint in `folder` to go on from; none to begin anew.
    pub resume: Option<GoOn>,
    /// Becomes true when a person asked to stop.
    pub stop: Arc<AtomicBool>,
    /// Takes a line of progress: what is being done, and the share of it that is done, 0 to 1.
    pub progress: Arc<dyn Fn(&str, f64) + Send + Sync>,
}

/// What is wrong with a task.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TaskError {
    /// A person must mend the set-up.
    #[error(transparent)]
    Setup(#[from] SetupFault),
    /// The machine failed: disk, memory, device.
    #[error(transparent)]
    Machine(#[from] MachineFault),
    /// A sample of the data set cannot be used: its batch was refused while it was prepared.
    #[error("sample `{sample}`: {message}")]
    Sample {
        /// Sample.
        sample: String,
        /// Why.
        message: String,
    },
}

/// Whether a session wants the next epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Continue,
    /// Enough: what follows is not fed.
    Stop,
}

/// A stage that reads a committed data set.
pub trait Task: Send + Sync {
    /// Says whether it can read rows of this schema.
    ///
    /// # Errors
    /// Says what is missing.
    fn check(&self, data: &Schema) -> Result<(), SetupFault>;

    /// Columns of the data set that [`Task::prepare`] reads; the rest is not loaded.
    fn columns(&self) -> Vec<String>;

    /// Turns rows of the data set into what a session steps on: decodes, resizes, augments. Pure; runs
    /// on any worker. A refused row is left out, counted and named; the session is given the others.
    ///
    /// # Errors
    /// When the rows cannot be used.
    fn prepare(&self, item: &Item, rows: &Batch, refusals: &mut Refusals) -> Result<Batch, Fault>;

    /// Makes ready to step: device, weights, checkpoint. Says what it wants to read.
    ///
    /// # Errors
    /// When set-up or machine are not as they must be.
    fn open(&self, context: TaskContext) -> Result<(Schedule, Box<dyn Session>), TaskError>;
}

/// A task at work. Lives on one thread.
pub trait Session {
    /// Takes one prepared batch. Items come in order of epoch and sequence.
    ///
    /// # Errors
    /// When the machine fails, or the numbers are no longer numbers.
    fn step(&mut self, item: &Item, batch: &Batch) -> Result<(), TaskError>;

    /// Called when all items of an epoch have been stepped: validate, write a checkpoint.
    ///
    /// # Errors
    /// As [`Session::step`].
    fn end_epoch(&mut self, epoch: u64) -> Result<Flow, TaskError>;

    /// Called last. Gives rows of the metric table.
    ///
    /// # Errors
    /// As [`Session::step`].
    fn finish(&mut self) -> Result<Outcome, TaskError>;
}

/// What a session leaves behind.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Rows of the metric table.
    pub metrics: Option<Batch>,
    /// A report for people, printed as it is; may be empty.
    pub report: String,
    /// Where it was told to go on from, oldest first; none where it just went on or was not stopped.
    pub went_on: Vec<String>,
}
