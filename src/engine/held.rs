//! `Held`: the store as a process keeps it open from one run to the next.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use voxflow_contract::{ContentHash, MachineFault};

use super::compaction::compact_where_it_pays;
use super::entries::Entries;
use super::fault::EngineFault;
use super::graph::Graph;
use crate::store::{Facts, KeptFiles, RowKey, StageStore, Store};

/// What the store has of the stages of a graph. A run that is given it makes rows and no data sets, at
/// the cost of those rows.
pub struct Held {
    pub(crate) store: Store,
    pub(crate) stages: BTreeMap<usize, Arc<RwLock<StageStore>>>,
    pub(crate) files: KeptFiles,
    /// Fingerprints of the sources, and contents of samples that were learned and are not yet durable:
    /// without them those samples are opened once more.
    learned: BTreeMap<usize, (String, Mutex<Vec<(RowKey, ContentHash)>>)>,
}

impl Held {
    /// Opens the store below `home`.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn open(home: &Path, graph: &Graph) -> Result<Self, EngineFault> {
        let fault = |fault| EngineFault::machine("store", fault);
        let store = Store::open(home).map_err(fault)?;
        let mut stages = BTreeMap::new();
        for stage in (0..graph.nodes.len()).filter(|stage| graph.is_streaming(*stage)) {
            let opened = store.stage(&graph.nodes[stage].facts);
            let opened = opened.map_err(|f| EngineFault::machine(&graph.nodes[stage].id, f))?;
            stages.insert(stage, Arc::new(RwLock::new(opened)));
        }
        let learned = graph
            .sources()
            .into_iter()
            .map(|root| (root, (graph.nodes[root].fingerprint.clone(), Mutex::default())));
        let files = store.files().map_err(fault)?;
        Ok(Self { store, stages, files, learned: learned.collect() })
    }

    /// Makes few shards of many, where that pays.
    pub(crate) fn compact(&self, graph: &Graph) {
        compact_where_it_pays(graph, &self.store, &self.stages);
    }

    /// Keeps what a run learned of the samples of a source.
    pub(crate) fn learn(&self, root: usize, facts: &mut Facts) {
        if let Some((_, learned)) = self.learned.get(&root) {
            learned.lock().unwrap_or_else(PoisonError::into_inner).extend(facts.take_new());
        }
    }

    /// Makes durable what was learned; `current` are the samples of the source as they are now.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) fn save(
        &self,
        root: usize,
        current: &Entries,
        slots: &[u32],
    ) -> Result<(), MachineFault> {
        let Some((fingerprint, learned)) = self.learned.get(&root) else { return Ok(()) };
        let learned = std::mem::take(&mut *learned.lock().unwrap_or_else(PoisonError::into_inner));
        if learned.is_empty() {
            return Ok(());
        }
        let mut facts = self.store.facts(fingerprint)?;
        facts.learn_all(learned);
        let slots = slots.iter().map(|slot| *slot as usize);
        facts.save(slots.map(|slot| (current.sample(slot), current.stamp(slot))))
    }
}
