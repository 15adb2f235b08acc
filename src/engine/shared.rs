//! What all workers of a process share during a run.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use voxflow_contract::{Batch, Refusal};

use super::claims::Claims;
use super::counters::Counters;
use super::fault::EngineFault;
use super::graph::Graph;
use super::held::Held;
use super::meter::Meter;
use super::permits::Budget;
use super::pool::Pool;
use super::sample_limits::SampleLimits;
use super::scan::Scan;
use super::work_list::{Kept, Keys, Stores, WorkList};
use crate::store::{Facts, StageStore, StageWriter};

/// How a person stops a run.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    requested: Arc<AtomicBool>,
}

impl Stop {
    /// Asks the run to finish what it has begun, keep it, and end.
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
    /// The stages whose rows are kept, by source.
    pub(crate) kept: BTreeMap<usize, Kept>,
    /// What the store has, by stage: as it was when the run began, and anew for the commit.
    pub(crate) stores: BTreeMap<usize, Arc<RwLock<StageStore>>>,
    pub(crate) writers: BTreeMap<usize, Arc<StageWriter>>,
    /// Whose the stores are, if they stay open after the run; no data sets are made then.
    pub(crate) held: Option<Arc<Held>>,
    /// What is known of samples, by source.
    pub(crate) facts: BTreeMap<usize, Mutex<Facts>>,
    /// Contents and keys of samples, by source: as they were when the run began, and as far as this
    /// process opened them since.
    pub(crate) keys: BTreeMap<usize, Mutex<Keys>>,
    /// What this process has to do, by source.
    pub(crate) lists: BTreeMap<usize, WorkList>,
    pub(crate) claims: BTreeMap<usize, Claims>,
    /// What times the jobs, by source.
    pub(crate) meters: BTreeMap<usize, Meter>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) pool: Pool,
    pub(crate) budget: Arc<Budget>,
    pub(crate) stop: Stop,
    /// Samples that could not be opened: the store has nothing to know them by.
    pub(crate) unopened: Mutex<Vec<Refusal>>,
    /// What a stage may spend on one sample.
    pub(crate) sample_limits: SampleLimits,
    pub(crate) abort: AtomicBool,
    pub(crate) fault: Mutex<Option<EngineFault>>,
}

impl Shared {
    /// The stores of the stages of one source.
    pub(crate) fn stores_of(&self, root: usize) -> Stores<'_> {
        let of_root = self.stores.iter().filter(|(stage, _)| self.graph.root(**stage) == root);
        of_root
            .map(|(&stage, store)| (stage, store.read().unwrap_or_else(PoisonError::into_inner)))
            .collect()
    }

    /// Learns the contents of samples that were opened; gives the rows, by their number, that have still
    /// to be made at some stage.
    ///
    /// # Errors
    /// When a key column is missing, or a sample was not listed.
    pub(crate) fn learn(&self, root: usize, rows: &Batch) -> Result<Vec<usize>, String> {
        let entries = &self.scans[&root].entries;
        let contents = entries.contents_of(rows)?;
        let mut facts = self.facts[&root].lock().unwrap_or_else(PoisonError::into_inner);
        for (position, content) in &contents {
            facts.learn(entries.sample(*position), entries.stamp(*position), *content);
        }
        drop(facts);
        let (kept, stores) = (&self.kept[&root], self.stores_of(root));
        let mut keys = self.keys[&root].lock().unwrap_or_else(PoisonError::into_inner);
        let mut missing = Vec::new();
        for (row, (position, content)) in contents.iter().enumerate() {
            let key = entries.key(*position, content);
            keys[*position] = Some((*content, key));
            if !kept.needs(&key, &stores).is_empty() {
                missing.push(row);
            }
        }
        Ok(missing)
    }

    /// Makes durable what this process made, also after a fault.
    pub(crate) fn keep_all(&self) {
        for (&stage, writer) in &self.writers {
            if let Err(fault) = writer.finish() {
                self.fail(EngineFault::machine(&self.graph.nodes[stage].id, fault));
            }
        }
        for (root, facts) in &self.facts {
            if let Some(held) = &self.held {
                held.learn(*root, &mut facts.lock().unwrap_or_else(PoisonError::into_inner));
                continue;
            }
            let entries = &self.scans[root].entries;
            let current = (0..entries.len()).map(|i| (entries.sample(i), entries.stamp(i)));
            let saved = facts.lock().unwrap_or_else(PoisonError::into_inner).save(current);
            if let Err(fault) = saved {
                self.fail(EngineFault::machine(&self.graph.nodes[*root].id, fault));
            }
            let keys = self.keys[root].lock().unwrap_or_else(PoisonError::into_inner);
            if let Err(fault) = self.meters[root].keep(&keys) {
                self.fail(EngineFault::machine(&self.graph.nodes[*root].id, fault));
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
