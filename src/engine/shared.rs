//! What all workers of a process share during a run.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use voxflow_contract::Batch;

use super::claims::Claims;
use super::counters::Counters;
use super::fault::EngineFault;
use super::graph::Graph;
use super::permits::Budget;
use super::pool::Pool;
use super::record::{Journal, PartRecord};
use super::scan::Scan;

/// How a person stops a run.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    requested: Arc<AtomicBool>,
}

impl Stop {
    /// Asks the run to finish what it has begun, commit it, and end.
    pub fn request(&self) {
        self.requested.store(true, Ordering::SeqCst);
    }

    /// Whether that was asked.
    pub fn is_requested(&self) -> bool {
        self.requested.load(Ordering::SeqCst)
    }

    /// The flag itself, for tasks.
    pub(crate) fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.requested)
    }
}

/// What all workers of a process share.
pub(crate) struct Shared {
    pub(crate) graph: Graph,
    pub(crate) scans: Arc<BTreeMap<usize, Scan>>,
    pub(crate) claims: BTreeMap<usize, Claims>,
    /// Keys of the samples that an earlier attempt committed, by sink.
    pub(crate) reused_keys: BTreeMap<usize, Vec<Batch>>,
    /// Where each sink leaves its parts.
    pub(crate) part_folders: BTreeMap<usize, PathBuf>,
    /// Where this process writes down which parts each sink has.
    pub(crate) journals: BTreeMap<usize, Mutex<Journal>>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) pool: Pool,
    pub(crate) budget: Arc<Budget>,
    pub(crate) stop: Stop,
    abort: AtomicBool,
    fault: Mutex<Option<EngineFault>>,
    /// What keyed stages said, by stage; on the first worker's process only.
    late: Mutex<BTreeMap<usize, Batch>>,
}

impl Shared {
    #[expect(clippy::too_many_arguments, reason = "built once, in one place, from named values")]
    pub(crate) fn new(
        graph: Graph,
        scans: Arc<BTreeMap<usize, Scan>>,
        claims: BTreeMap<usize, Claims>,
        reused_keys: BTreeMap<usize, Vec<Batch>>,
        part_folders: BTreeMap<usize, PathBuf>,
        journals: BTreeMap<usize, Mutex<Journal>>,
        counters: Arc<Counters>,
        pool: Pool,
        budget: Arc<Budget>,
        stop: Stop,
    ) -> Self {
        Self {
            graph,
            scans,
            claims,
            reused_keys,
            part_folders,
            journals,
            counters,
            pool,
            budget,
            stop,
            abort: AtomicBool::new(false),
            fault: Mutex::default(),
            late: Mutex::default(),
        }
    }

    /// Writes down that a sink has a part.
    pub(crate) fn commit_part(&self, sink: usize, record: &PartRecord) {
        let Some(journal) = self.journals.get(&sink) else { return };
        let appended = journal.lock().unwrap_or_else(PoisonError::into_inner).append(record);
        if let Err(fault) = appended {
            self.fail(EngineFault::machine(&self.graph.nodes[sink].id, fault));
        }
    }

    /// Forces all journals of this process to disk.
    pub(crate) fn sync_journals(&self) {
        for (&sink, journal) in &self.journals {
            if let Err(fault) = journal.lock().unwrap_or_else(PoisonError::into_inner).sync() {
                self.fail(EngineFault::machine(&self.graph.nodes[sink].id, fault));
            }
        }
    }

    /// Stops the run at once; the first fault is the one that is reported.
    pub(crate) fn fail(&self, fault: EngineFault) {
        let mut first = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert(fault);
        self.abort.store(true, Ordering::SeqCst);
    }

    /// Whether the run has failed and every worker should leave.
    pub(crate) fn is_aborted(&self) -> bool {
        self.abort.load(Ordering::SeqCst)
    }

    /// Whether nothing more should be begun.
    pub(crate) fn is_ending(&self) -> bool {
        self.is_aborted() || self.stop.is_requested()
    }

    /// The fault that ended the run, if one did.
    pub(crate) fn take_fault(&self) -> Option<EngineFault> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Keeps what a keyed stage said.
    pub(crate) fn put_late(&self, stage: usize, batch: Batch) {
        self.late.lock().unwrap_or_else(PoisonError::into_inner).insert(stage, batch);
    }

    /// What a keyed stage said.
    pub(crate) fn late(&self, stage: usize) -> Option<Batch> {
        self.late.lock().unwrap_or_else(PoisonError::into_inner).get(&stage).cloned()
    }
}

/// Marks the run as failed when a worker thread panics outside stage code; without it the others
/// would wait for it for ever (timely's in-process channels do not carry panics).
pub(crate) struct Fate(pub(crate) Arc<Shared>);

impl Drop for Fate {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail(EngineFault::Bug("a worker panicked outside stage code".to_owned()));
        }
    }
}
