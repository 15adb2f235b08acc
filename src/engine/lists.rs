//! Lists: official splits beside the samples there are, before the first row is read.

use std::collections::BTreeMap;

use voxflow_contract::{Coverage, Stage};

use super::fault::EngineFault;
use super::graph::Graph;
use super::scan::Scan;

/// Compares the lists of all keyed stages with the samples of their sources; by id of the stage.
///
/// # Errors
/// When a stage does not allow what is not listed, or not there.
pub fn compare_lists(
    graph: &Graph,
    scans: &BTreeMap<usize, Scan>,
) -> Result<BTreeMap<String, Coverage>, EngineFault> {
    let mut all = BTreeMap::new();
    for (stage, node) in graph.nodes.iter().enumerate() {
        let Stage::Keyed(keyed) = &node.stage else { continue };
        let Some(scan) = scans.get(&graph.root(stage)) else { continue };
        let entries = &scan.entries;
        let coverage = keyed.coverage(&mut (0..entries.len()).map(|i| entries.sample(i)));
        let coverage = coverage.map_err(|fault| EngineFault::setup(&node.id, fault))?;
        all.extend(coverage.map(|coverage| (node.id.clone(), coverage)));
    }
    Ok(all)
}
