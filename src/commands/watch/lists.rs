//! What a `watch` has to do with splits: it follows the lists that stages name, and says who moved.

use std::path::PathBuf;

use voxflow_contract::Stage;

use super::watching::{Scans, Watching};
use super::{settings, without_tasks};
use crate::commands::run::{explain, explain_lists, graph_of};
use crate::engine::{Moves, MovesFault, Report, compare_lists, scan_sources};
use crate::error::Error;
use crate::pipeline::{Plan, list_stamp};
use crate::run_folder;
use crate::watched::{Consequences, Edits};

/// The lists that stages of a plan name.
pub(super) fn lists_of(plan: &Plan) -> Vec<PathBuf> {
    let lists = plan.stages.iter().flat_map(|stage| stage.kind.split_lists(&stage.params));
    lists.map(|(_, path)| PathBuf::from(path)).collect()
}

/// Changes when a list that a stage names may have changed.
fn stamps(plan: &Plan) -> Vec<String> {
    lists_of(plan).iter().map(|path| list_stamp(path)).collect()
}

impl Watching<'_> {
    /// What followed, by the report where the control plane does not know the split.
    pub(super) fn found_by(&self, report: &Report, found: Consequences) -> Consequences {
        let first = report.moves.first().map(|moves| (moves.moved, moves.of));
        let keyed = self.graph.nodes.iter().filter_map(|node| match &node.stage {
            Stage::Keyed(keyed) => Some(keyed),
            _ => None,
        });
        let is_known = keyed.clone().all(|keyed| keyed.split_policy().is_some());
        let (moved, moved_of) = first.unwrap_or((found.moved, found.moved_of));
        let leaks = match is_known {
            true => found.leaks,
            false => report.duplicates.iter().map(|found| found.leaking).sum(),
        };
        Consequences { moved, moved_of, leaks, ..found }
    }

    /// Reads the lists again that changed; says whether that changes the plan. A list that cannot be
    /// used, or that does not fit the samples, is told, and the plan stays until it is mended.
    pub(super) fn replan(&mut self) -> Result<bool, Error> {
        let stamps = stamps(&self.plan);
        if stamps == self.lists {
            return Ok(false);
        }
        self.lists = stamps;
        let settings = settings(self.args, self.global);
        let plan = match Plan::from_text(&self.plan.file, &self.plan.text, &settings) {
            Ok(plan) if plan.fingerprint() == self.plan.fingerprint() => return Ok(false),
            Ok(plan) => plan,
            Err(error) => {
                eprintln!("{}hint: until that is mended, all stays as it is", error.render());
                return Ok(false);
            }
        };
        (self.graph, self.places) = without_tasks(&graph_of(&plan));
        self.plan = plan;
        run_folder::freeze(&self.global.home.join("runs").join(&self.run), &self.plan)?;
        Ok(true)
    }

    /// All samples, if the lists that stages name fit them. Where they do not, that is told once, and
    /// nothing is made until they do.
    pub(super) fn scan_that_fits(&mut self, edits: Edits) -> Result<Option<Scans>, Error> {
        let scans = scan_sources(&self.graph).map_err(|fault| explain(fault, &self.run))?;
        let Err(fault) = compare_lists(&self.graph, &scans) else {
            self.waits = None;
            return Ok(Some(scans));
        };
        let message = explain_lists(fault).render();
        if self.waits.as_ref().is_none_or(|(told, _)| *told != message) {
            eprintln!("{message}hint: until that is mended, all stays as it is");
        }
        self.waits = Some((message, edits));
        Ok(None)
    }

    /// Says so when more samples would move than may.
    pub(super) fn check_moves(&self) -> Result<(), Error> {
        for sink in self.graph.sinks() {
            let Some(limit) = self.graph.move_limit(sink) else { continue };
            let Some(known) = self.watched.get(&self.graph.root(sink)) else { continue };
            let folder = self.global.home.join("runs").join(&self.run);
            let mut moves = Moves::none(&self.graph.nodes[sink].id, &folder);
            known.add_moves(&mut moves);
            if !limit.allows(moves.moved, moves.of) {
                return Err(Error::Moved(Box::new(MovesFault { moves, limit })));
            }
        }
        Ok(())
    }
}
