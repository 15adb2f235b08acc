//! Compaction of stages in which runs left many small shards.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use voxflow_contract::MachineFault;

use super::graph::Graph;
use crate::store::{StageStore, Store};

/// Makes few shards of many in the stages in which that pays. A run whose data sets are there does not
/// fail because of it: what goes wrong is told, and the shards stay as they are.
pub(crate) fn compact_where_it_pays(
    graph: &Graph,
    store: &Store,
    stages: &BTreeMap<usize, Arc<RwLock<StageStore>>>,
) {
    for (&stage, known) in stages {
        let node = &graph.nodes[stage];
        let known = known.read().unwrap_or_else(PoisonError::into_inner);
        let compact = || -> Result<(), MachineFault> {
            let Some(bounds) = known.worth_compacting() else { return Ok(()) };
            // Who makes rows of it now compacts them later.
            if let Some(turn) = store.take_turn(&[&node.facts], || false)? {
                let done = known.compact(bounds, &turn)?;
                tracing::info!("stage `{}`: {done:?}", node.id);
            }
            Ok(())
        };
        if let Err(fault) = compact() {
            tracing::warn!("stage `{}` keeps its many small shards: {fault}", node.id);
        }
    }
}
