//! The traits of everything a stage can be: source, operator, keyed operator, sink.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::batch::Batch;
use crate::id::SampleId;
use crate::refusal::{Fault, Refusals};
use crate::schema::Schema;

/// What a source's scan says of one sample, without having opened it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Unique id.
    pub sample: SampleId,
    /// Class.
    pub category: String,
    /// File, relative to the source's root; `None` for samples that come from no file.
    pub path: Option<String>,
    /// Size in bytes, or what the sample will take in memory when it comes from no file.
    pub bytes: u64,
    /// What changes when the sample changes: modification time and size of its file, or the
    /// parameters that make it.
    pub stamp: String,
}

/// A set-up mistake: found before any row is read, and a person must mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SetupFault {
    /// What is wrong and what would be right.
    pub message: String,
}

impl SetupFault {
    /// A set-up mistake.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}

/// A fault of the machine: full disk, lost device. It stops the run; what was committed stays.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct MachineFault {
    /// What failed; the path comes last.
    pub message: String,
    /// What the system said.
    #[source]
    pub source: Option<std::io::Error>,
}

impl MachineFault {
    /// A fault with a message only.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), source: None }
    }

    /// A failed system call on a path.
    pub fn io(action: &str, path: &Path, source: std::io::Error) -> Self {
        let message = format!("cannot {action}: {source}: {}", path.display());
        Self { message, source: Some(source) }
    }
}

/// Where rows begin.
pub trait Source: Send + Sync {
    /// Schema of the rows.
    fn output(&self) -> Schema;

    /// Lists all samples, sorted by id, each id once. Cheap: opens no sample.
    ///
    /// # Errors
    /// When there is nothing to list, or two files claim one id.
    fn scan(&self) -> Result<Vec<Entry>, SetupFault>;

    /// Reads the given samples, in order. Dear. Row numbers in refusals count the entries.
    ///
    /// # Errors
    /// When none of the entries could be read for one common reason.
    fn open(&self, entries: &[Entry], refusals: &mut Refusals) -> Result<Batch, Fault>;
}

/// What turns rows of one table into rows of another, sample by sample.
///
/// Pure: no files, no clock, randomness only from a seed in the parameters and the sample's id.
pub trait Operator: Send + Sync {
    /// Schema of the rows it gives. Begins with the key columns, which it passes on.
    fn output(&self) -> Schema;

    /// Gives one row for each row of `batch` that it does not refuse, in the same order.
    ///
    /// # Errors
    /// When the batch as a whole cannot be worked on; all its rows are refused.
    fn apply(&self, batch: &Batch, refusals: &mut Refusals) -> Result<Batch, Fault>;

    /// Whether rows are dear enough to be worked on in the pool instead of the dataflow's thread.
    fn is_heavy(&self) -> bool {
        true
    }

    /// At most how many bytes one row of output takes, when that does not follow from the size of
    /// the input; the memory bound reserves them before the row is read.
    fn bytes_per_row(&self) -> usize {
        0
    }
}

/// What needs to know all samples before it can say anything of one: a split, say.
pub trait Keyed: Send + Sync {
    /// Schema of the rows it gives: the key columns and more.
    fn output(&self) -> Schema;

    /// Gives one row for each row of `keys`, in the same order. `keys` holds the key columns of
    /// every sample that arrived, sorted by sample.
    ///
    /// # Errors
    /// When the keys as a whole cannot be worked on.
    fn assign(&self, keys: &Batch) -> Result<Batch, Fault>;
}

/// One file of a committed data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputFile {
    /// Path relative to the data set's folder, with forward slashes.
    pub path: String,
    /// Rows in it.
    pub rows: u64,
    /// Size.
    pub bytes: u64,
    /// BLAKE3 hash of its bytes, in hexadecimal.
    pub blake3: String,
}

/// What a sink committed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Committed {
    /// All files, sorted by path.
    pub files: Vec<OutputFile>,
    /// Rows in each split.
    pub splits: BTreeMap<String, u64>,
}

/// Where rows end.
///
/// Rows arrive in parts, in any order and on any thread; each part is written durably for itself.
/// Once all parts are there, `commit` makes the data set of them, in key order.
pub trait Sink: Send + Sync {
    /// Says whether it can take rows of this schema (all its inputs, side by side).
    ///
    /// # Errors
    /// Says what is missing.
    fn check(&self, input: &Schema) -> Result<(), SetupFault>;

    /// Name of the folder of the data set, relative to the run's.
    fn folder(&self) -> &str;

    /// Writes the rows of one part to `path`: beside, synced, renamed. Nothing half-written stays.
    ///
    /// # Errors
    /// When the machine fails.
    fn write(&self, path: &Path, batch: &Batch) -> Result<(), MachineFault>;

    /// Reads back the key columns of a part that [`Sink::write`] wrote, under the schema
    /// [`crate::tables::key`]: a resumed run needs them for its keyed stages.
    ///
    /// # Errors
    /// When the machine fails or the part is damaged.
    fn read_keys(&self, path: &Path) -> Result<Batch, MachineFault>;

    /// Makes the data set in `folder` of all `parts`, given in key order. `late` has a row for each
    /// sample, sorted by sample: column `sample`, and what keyed stages said of it; it has no columns
    /// beyond the key when there is no keyed stage. Must leave `folder` either as it was or complete.
    ///
    /// # Errors
    /// When the machine fails.
    fn commit(
        &self,
        parts: &[PathBuf],
        late: &Batch,
        folder: &Path,
    ) -> Result<Committed, MachineFault>;
}
