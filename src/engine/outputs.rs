//! Outputs: what each sink is to write, planned for all before the first is written.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use voxflow_contract::{Batch, Committed, MachineFault, Sink, Stage};

use super::commit::{Arrived, Late, Settled, key_batch};
use super::counters::{StageCount, nanos};
use super::dataset::{PlannedDataset, Rows, plan_dataset, write_dataset};
use super::fault::EngineFault;
use super::guard::guarded;
use super::moves::{Moves, MovesFault, Previous};
use super::report::Report;
use super::shared::Shared;
use super::work_list::Stores;
use crate::store::KeptFiles;

/// What all sinks are to be planned with.
pub(crate) struct Planning<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) settled: &'a BTreeMap<usize, Settled>,
    pub(crate) late: &'a BTreeMap<usize, Late>,
    pub(crate) files: &'a KeptFiles,
    /// The data sets before, by id of the sink.
    pub(crate) previous: &'a BTreeMap<String, Previous>,
}

/// A data set that is to be written.
pub(crate) struct Output<'s> {
    sink: usize,
    rows: Rows<'s>,
    planned: PlannedDataset,
    pub(crate) moves: Option<Moves>,
    took: Duration,
}

impl Planning<'_> {
    /// Plans the data set of every sink.
    ///
    /// # Errors
    /// When more samples would move than may, or the machine fails.
    pub(crate) fn plan<'s>(
        &self,
        stores: &'s BTreeMap<usize, Stores<'_>>,
    ) -> Result<Vec<Output<'s>>, EngineFault> {
        let graph = &self.shared.graph;
        let plan = |sink: usize| {
            let Stage::Sink(stage) = &graph.nodes[sink].stage else { return Ok(None) };
            let planned = self.plan_sink(sink, stage.as_ref(), &stores[&graph.root(sink)]);
            let planned = planned.map_err(|f| EngineFault::machine(&graph.nodes[sink].id, f))?;
            self.check_moves(sink, planned.moves.as_ref())?;
            Ok(Some(planned))
        };
        graph.sinks().into_iter().filter_map(|sink| plan(sink).transpose()).collect()
    }

    fn plan_sink<'s>(
        &self,
        sink: usize,
        stage: &dyn Sink,
        stores: &'s Stores<'_>,
    ) -> Result<Output<'s>, MachineFault> {
        let begun = Instant::now();
        let shared = self.shared;
        let (root, node) = (shared.graph.root(sink), &shared.graph.nodes[sink]);
        let arrived = self.settled[&root].arrived(shared, sink);
        let rows = arrived.rows(shared, sink, stores, self.late)?;
        let keys = key_batch(shared, root, arrived.settled, &arrived.positions)
            .map_err(|e| MachineFault::new(e.to_string()))?;
        let plan = || plan_dataset(stage, keys, &rows, &node.facts.fingerprint);
        let panicked = |panic| Err(MachineFault::new(format!("the sink panicked: {panic}")));
        let planned = guarded(plan).unwrap_or_else(panicked)?;
        let moves = self.moves(sink, &arrived, rows.additions.as_ref(), &planned)?;
        Ok(Output { sink, rows, planned, moves, took: begun.elapsed() })
    }

    /// What moved since the data set before, if there is one and something splits this.
    fn moves(
        &self,
        sink: usize,
        arrived: &Arrived<'_>,
        additions: Option<&Batch>,
        planned: &PlannedDataset,
    ) -> Result<Option<Moves>, MachineFault> {
        let shared = self.shared;
        let id = &shared.graph.nodes[sink].id;
        let Some(previous) = self.previous.get(id) else { return Ok(None) };
        let splits = additions.filter(|said| said.schema().column("split").is_some());
        let Some(splits) = splits else { return Ok(None) };
        let splits = splits.utf8("split").map_err(|e| MachineFault::new(e.to_string()))?;
        let entries = &shared.scans[&shared.graph.root(sink)].entries;
        let now = |sample: &str| {
            let place = arrived
                .positions
                .binary_search_by(|position| entries.sample(*position as usize).cmp(sample));
            place.ok().map(|row| splits.value(row))
        };
        let used_again: BTreeSet<String> = planned.used_again(self.files).collect();
        let counted = Moves::none(id, &previous.run).count(previous, &used_again, now);
        match counted {
            Ok(moves) => Ok(Some(moves)),
            // Where nothing depends on it, it is only not told.
            Err(fault) if shared.graph.move_limit(sink).is_none() => {
                tracing::warn!("{fault}");
                Ok(None)
            }
            Err(fault) => Err(fault),
        }
    }

    fn check_moves(&self, sink: usize, moves: Option<&Moves>) -> Result<(), EngineFault> {
        let limit = self.shared.graph.move_limit(sink);
        match (moves, limit) {
            (Some(moves), Some(limit)) if !limit.allows(moves.moved, moves.of) => {
                Err(EngineFault::Moved(Box::new(MovesFault { moves: moves.clone(), limit })))
            }
            _ => Ok(()),
        }
    }
}

impl Output<'_> {
    /// Writes the data set below `folder`, and says so in the report.
    ///
    /// # Errors
    /// When the machine fails; the data set is as it was then.
    pub(crate) fn write(
        self,
        shared: &Shared,
        files: &KeptFiles,
        folder: &Path,
        report: &mut Report,
    ) -> Result<(), EngineFault> {
        let begun = Instant::now();
        let node = &shared.graph.nodes[self.sink];
        let Stage::Sink(stage) = &node.stage else { return Ok(()) };
        let target = folder.join(stage.folder());
        let write = || write_dataset(stage.as_ref(), &self.planned, &self.rows, files, &target);
        let panicked = |panic| Err(MachineFault::new(format!("the sink panicked: {panic}")));
        let written = guarded(write).unwrap_or_else(panicked);
        let written = written.map_err(|fault| EngineFault::machine(&node.id, fault));
        let (committed, reused): (Committed, u64) = written?;
        let rows = self.rows.row_keys.len() as u64;
        let nanos = nanos(self.took + begun.elapsed());
        let count = StageCount { rows_in: rows, rows_out: rows, refused: 0, reused, nanos };
        report.stages[self.sink] = count;
        shared.counters.add(self.sink, count);
        report.committed.insert(node.id.clone(), committed);
        Ok(())
    }
}
