//! Survey: what a run would make and why, without making it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{PoisonError, RwLock};

use voxflow_contract::MachineFault;

use super::fault::EngineFault;
use super::graph::Graph;
use super::scan::Scan;
use super::work_list::{Kept, State, Stores, key_of};
use crate::store::{Cost, StageFacts, StageStore, Store};

/// What a run would do at one per-sample stage.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StageSurvey {
    /// Whether its rows are kept; those of other stages are made only on the way to others.
    pub is_kept: bool,
    /// Samples whose rows are there already, or not needed.
    pub reused: u64,
    /// Samples that the stage or one before it is known to refuse.
    pub refused: u64,
    /// Samples to make.
    pub to_make: u64,
    /// Of those, the ones that are new or whose files changed: what becomes of them is known once they
    /// are opened.
    pub unknown: u64,
    /// Why there is something to make.
    pub reasons: Vec<String>,
    /// Busy seconds that it is likely to take, from what was measured.
    pub seconds: Option<f64>,
    /// Bytes that it is likely to add to the store.
    pub bytes: Option<f64>,
}

/// What a run would do at every per-sample stage, by position in the graph.
///
/// # Errors
/// When the disk fails.
pub fn survey(
    graph: &Graph,
    scans: &BTreeMap<usize, Scan>,
    home: &Path,
) -> Result<BTreeMap<usize, StageSurvey>, EngineFault> {
    let fault = |fault: MachineFault| EngineFault::machine("store", fault);
    // Looking must not leave anything behind.
    let store =
        home.join("store").is_dir().then(|| Store::open(home)).transpose().map_err(fault)?;
    let mut surveys = BTreeMap::new();
    for (&root, scan) in scans {
        let mut stores = BTreeMap::new();
        for stage in (0..graph.nodes.len()).filter(|&i| graph.is_streaming(i)) {
            let known = store.as_ref().map(|store| store.known_stage(&graph.nodes[stage].facts));
            let known = known.transpose().map_err(fault)?.flatten();
            if graph.root(stage) == root {
                stores.extend(known.map(|known| (stage, RwLock::new(known))));
            }
        }
        let facts = store.as_ref().map(|store| store.facts(&graph.nodes[root].fingerprint));
        let facts = facts.transpose().map_err(fault)?;
        let stores: Stores<'_> = stores
            .iter()
            .map(|(&stage, known)| (stage, known.read().unwrap_or_else(PoisonError::into_inner)))
            .collect();
        let kept = Kept::new(graph, root);
        let mut of_root = Counting::new(graph, root, &kept);
        for position in 0..scan.entries.len() {
            let key = facts.as_ref().and_then(|facts| key_of(&scan.entries, position, facts));
            let states = key.map(|key| {
                (0..kept.stages.len()).map(|n| kept.state(n, &key, &stores)).collect::<Vec<_>>()
            });
            of_root.add(states.as_deref());
        }
        let past = store.as_ref().map(Store::stages).transpose().map_err(fault)?;
        of_root.explain(graph, &stores, store.as_ref(), &past.unwrap_or_default());
        surveys.extend(of_root.surveys);
    }
    Ok(surveys)
}

struct Counting<'a> {
    graph: &'a Graph,
    /// For each stage the numbers of the kept stages that it has to do with.
    serves: BTreeMap<usize, Vec<usize>>,
    surveys: BTreeMap<usize, StageSurvey>,
}

impl<'a> Counting<'a> {
    fn new(graph: &'a Graph, root: usize, kept: &Kept) -> Self {
        let stages = (0..graph.nodes.len()).filter(|&i| graph.is_streaming(i));
        let stages = stages.filter(|&i| graph.root(i) == root);
        let survey = |stage| {
            let is_kept = kept.stages.contains(&stage);
            (stage, StageSurvey { is_kept, ..StageSurvey::default() })
        };
        let surveys: BTreeMap<usize, StageSurvey> = stages.map(survey).collect();
        let serves = |&stage: &usize| {
            let is_served =
                |number: &usize| kept.only(kept.stages[*number]).meets(kept.served_by(stage));
            (stage, (0..kept.stages.len()).filter(is_served).collect())
        };
        Self { graph, serves: surveys.keys().map(serves).collect(), surveys }
    }

    /// Counts a sample with these states at the kept stages; `None` for one that must be opened first.
    fn add(&mut self, states: Option<&[State]>) {
        for (stage, survey) in &mut self.surveys {
            let Some(states) = states else {
                survey.to_make += 1;
                survey.unknown += 1;
                continue;
            };
            let mut needed = self.serves[stage].iter().map(|number| states[*number]);
            let refuses = |state: State| matches!(state, State::Refused(by) if self.graph.upstream(*stage).contains(&by));
            if needed.clone().any(|state| state == State::Missing) {
                survey.to_make += 1;
            } else if needed.any(refuses) {
                survey.refused += 1;
            } else {
                survey.reused += 1;
            }
        }
    }

    fn explain(
        &mut self,
        graph: &Graph,
        stores: &Stores<'_>,
        store: Option<&Store>,
        past: &[StageFacts],
    ) {
        for (&stage, survey) in self.surveys.iter_mut().filter(|(_, survey)| survey.to_make > 0) {
            let facts = &graph.nodes[stage].facts;
            let relative = nearest(facts, past);
            let known = survey.to_make - survey.unknown;
            if survey.unknown > 0 {
                survey.reasons.push(format!("{} new or changed", survey.unknown));
            }
            if known > 0 {
                let changes = relative.map(|old| differences(graph, stage, old));
                let changes = changes.unwrap_or_else(|| vec!["never made before".to_owned()]);
                survey.reasons.extend(changes);
            }
            let relative = relative.and_then(|old| store?.known_stage(old).ok().flatten());
            let own: Option<&StageStore> = stores.get(&stage).map(|own| &**own);
            let measured = |stage: Option<&StageStore>| {
                stage.map(StageStore::cost).filter(|cost: &Cost| cost.rows > 0)
            };
            let cost = measured(own).or_else(|| measured(relative.as_ref()));
            survey.seconds = cost.and_then(|cost| cost.seconds(survey.to_make));
            let per_row = own.and_then(StageStore::bytes_per_row);
            let per_row = per_row.or_else(|| relative.as_ref()?.bytes_per_row());
            survey.bytes = per_row.map(|bytes| bytes * survey.to_make as f64);
        }
    }
}

/// The stage of the past that is most like this one, without being it.
fn nearest<'p>(facts: &StageFacts, past: &'p [StageFacts]) -> Option<&'p StageFacts> {
    let likeness = |old: &&StageFacts| {
        let same = |(name, value)| old.parameters.get(name) == Some(value);
        let parameters = facts.parameters.iter().filter(|parameter| same(*parameter)).count();
        let more = old.parameters.len().abs_diff(facts.parameters.len());
        (old.inputs == facts.inputs, old.version, old.seed == facts.seed, parameters, more == 0)
    };
    let kin = past.iter().filter(|old| old.kind == facts.kind);
    kin.filter(|old| old.fingerprint != facts.fingerprint).max_by_key(likeness)
}

/// What differs between a stage and one of the past.
fn differences(graph: &Graph, stage: usize, old: &StageFacts) -> Vec<String> {
    let new = &graph.nodes[stage].facts;
    let mut all = Vec::new();
    if old.version != new.version {
        all.push(format!("operator {} -> {}", old.version, new.version));
    }
    let names = new.parameters.keys().chain(old.parameters.keys());
    for name in names.collect::<std::collections::BTreeSet<_>>() {
        let show = |value: Option<&serde_json::Value>| {
            value.map_or("default".to_owned(), serde_json::Value::to_string)
        };
        let (before, now) = (old.parameters.get(name), new.parameters.get(name));
        if before != now {
            all.push(format!("{name}: {} -> {}", show(before), show(now)));
        }
    }
    if old.seed != new.seed {
        all.push(format!("seed: {} -> {}", old.seed, new.seed));
    }
    if all.is_empty() {
        let from = graph.nodes[stage].from.iter();
        let changed = from.filter(|i| !old.inputs.contains(&graph.nodes[**i].facts.fingerprint));
        all.extend(changed.map(|i| format!("`{}` before it changed", graph.nodes[*i].id)));
    }
    if all.is_empty() {
        all.push("not made yet".to_owned());
    }
    all
}
