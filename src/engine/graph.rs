//! The graph the engine runs: stages and who feeds whom, already checked.

use voxflow_contract::{MoveLimit, Stage};

use crate::store::StageFacts;

/// One stage of the graph.
#[derive(Clone)]
pub struct Node {
    /// Id of the stage.
    pub id: String,
    /// Name of the kind it was built from.
    pub kind: String,
    /// What it does.
    pub stage: Stage,
    /// Stages it reads from, by position.
    pub from: Vec<usize>,
    /// Changes when the stage, its parameters or anything upstream changes.
    pub fingerprint: String,
    /// What its rows depend on, and the fingerprint of all that.
    pub facts: StageFacts,
}

/// A checked graph of stages, in topological order.
#[derive(Clone, Default)]
pub struct Graph {
    /// The stages; each reads from earlier ones only.
    pub nodes: Vec<Node>,
}

impl Graph {
    /// The source that stage `index` descends from; its own index for a source.
    pub fn root(&self, index: usize) -> usize {
        match self.nodes[index].from.first() {
            None => index,
            Some(&from) => self.root(from),
        }
    }

    /// Whether rows pass through the stage part by part.
    pub fn is_streaming(&self, index: usize) -> bool {
        matches!(self.nodes[index].stage, Stage::Source(_) | Stage::Operator(_))
    }

    /// The per-sample stages that stage `index` reads from.
    pub fn streaming_inputs(&self, index: usize) -> Vec<usize> {
        let from = &self.nodes[index].from;
        from.iter().copied().filter(|&input| self.is_streaming(input)).collect()
    }

    /// Positions of the stages that `wanted` accepts.
    pub fn positions(&self, wanted: fn(&Stage) -> bool) -> Vec<usize> {
        (0..self.nodes.len()).filter(|&i| wanted(&self.nodes[i].stage)).collect()
    }

    /// Positions of the sinks.
    pub fn sinks(&self) -> Vec<usize> {
        self.positions(|stage| matches!(stage, Stage::Sink(_)))
    }

    /// Positions of the tasks.
    pub fn tasks(&self) -> Vec<usize> {
        self.positions(|stage| matches!(stage, Stage::Task(_)))
    }

    /// Positions of the sources.
    pub fn sources(&self) -> Vec<usize> {
        self.positions(|stage| matches!(stage, Stage::Source(_)))
    }

    /// The stage's per-sample ancestors and itself, sorted.
    pub fn upstream(&self, index: usize) -> Vec<usize> {
        let mut found = vec![index];
        let mut next = 0;
        while next < found.len() {
            for &from in &self.nodes[found[next]].from {
                if self.is_streaming(from) && !found.contains(&from) {
                    found.push(from);
                }
            }
            next += 1;
        }
        found.sort_unstable();
        found
    }

    /// How many samples of a sink may lie in another part of the split than before, if the
    /// keyed stage it reads from limits that.
    pub fn move_limit(&self, sink: usize) -> Option<MoveLimit> {
        self.nodes[sink].from.iter().find_map(|from| match &self.nodes[*from].stage {
            Stage::Keyed(keyed) => keyed.move_limit(),
            _ => None,
        })
    }

    /// Upper bound of the bytes that one row adds on its way from source `root`.
    pub fn bytes_per_row(&self, root: usize) -> u64 {
        let of_root = |i: &usize| self.root(*i) == root;
        let bytes = |i: usize| match &self.nodes[i].stage {
            Stage::Operator(operator) => operator.bytes_per_row() as u64,
            _ => 0,
        };
        (0..self.nodes.len()).filter(of_root).map(bytes).sum()
    }
}
