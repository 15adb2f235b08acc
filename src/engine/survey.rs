//! Survey: what a run would make and why, without making it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{PoisonError, RwLock};

use voxflow_contract::MachineFault;

use super::fault::EngineFault;
use super::graph::Graph;
use super::prices::{Guess, Job, Prices, kin};
use super::scan::Scan;
use super::work_list::{Kept, Needs, State, Stores, key_of};
use crate::store::{KnownTriangles, Size, StageFacts, StageStore, Store};

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

/// Seconds that something is likely to take, and between which it lies in nineteen cases of twenty.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// What is most likely.
    pub seconds: f64,
    /// Hardly less.
    pub low: f64,
    /// Hardly more.
    pub high: f64,
}

/// What a run would do.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Survey {
    /// At every per-sample stage, by position in the graph.
    pub stages: BTreeMap<usize, StageSurvey>,
    /// Time that rows and data sets are likely to take; `None` where nothing is to be made, or a stage that
    /// has work was never timed.
    pub price: Option<Estimate>,
    /// Of the stages that have work, those that were never timed, nor any like them.
    pub untimed: Vec<usize>,
}

/// Says what a run of so many workers would do.
///
/// # Errors
/// When the disk fails.
pub fn survey(
    graph: &Graph,
    scans: &BTreeMap<usize, Scan>,
    home: &Path,
    workers: usize,
) -> Result<Survey, EngineFault> {
    let fault = |fault: MachineFault| EngineFault::machine("store", fault);
    // Looking must not leave anything behind.
    let store =
        home.join("store").is_dir().then(|| Store::open(home)).transpose().map_err(fault)?;
    let mut survey = Survey::default();
    let mut sum = Priced::default();
    for (&root, scan) in scans {
        let kept = Kept::new(graph, root);
        let of_root = survey_source(graph, (root, &kept), scan, store.as_ref()).map_err(fault)?;
        let (stages, ahead, prices) = of_root;
        survey.stages.extend(stages);
        sum.add(&prices, &ahead, scan.entries.len() as u64);
    }
    sum.untimed.sort_unstable();
    let has_work = survey.stages.values().any(|stage| stage.to_make > 0);
    survey.price = (has_work && sum.untimed.is_empty()).then(|| sum.estimate(workers));
    survey.untimed = sum.untimed;
    Ok(survey)
}

/// Samples to make that need the same stages.
#[derive(Debug, Clone, Copy, Default)]
struct Ahead {
    all: Size,
    /// Of the largest of them.
    largest: Size,
}

type OfSource = (BTreeMap<usize, StageSurvey>, BTreeMap<Needs, Ahead>, Prices);

fn survey_source(
    graph: &Graph,
    (root, kept): (usize, &Kept),
    scan: &Scan,
    store: Option<&Store>,
) -> Result<OfSource, MachineFault> {
    let mut stores = BTreeMap::new();
    for stage in (0..graph.nodes.len()).filter(|&i| graph.is_streaming(i)) {
        let known = store.map(|store| store.known_stage(&graph.nodes[stage].facts));
        let known = known.transpose()?.flatten();
        if graph.root(stage) == root {
            stores.extend(known.map(|known| (stage, RwLock::new(known))));
        }
    }
    let fingerprint = &graph.nodes[root].fingerprint;
    let facts = store.map(|store| store.facts(fingerprint)).transpose()?;
    let stores: Stores<'_> = stores
        .iter()
        .map(|(&stage, known)| (stage, known.read().unwrap_or_else(PoisonError::into_inner)))
        .collect();
    let prices = store.map(|store| Prices::read(graph, root, kept, store)).transpose()?;
    let prices = prices.unwrap_or_else(|| Prices::unknown(graph, root, kept));
    let mut triangles: Option<KnownTriangles> = None;
    let mut counting = Counting::new(graph, root, kept);
    for position in 0..scan.entries.len() {
        let key = facts.as_ref().and_then(|facts| key_of(&scan.entries, position, facts));
        let states = key.map(|key| {
            (0..kept.stages.len()).map(|n| kept.state(n, &key, &stores)).collect::<Vec<_>>()
        });
        let needs = kept.missing(states.as_deref());
        counting.add(states.as_deref());
        if needs.is_empty() {
            continue;
        }
        if let (None, Some(store), Some(_), Some(_)) = (&triangles, store, key, prices.mesh_stage())
        {
            triangles = Some(store.triangles(fingerprint).read()?);
        }
        let known = triangles.as_ref().zip(key).and_then(|(known, key)| known.get(&key));
        let (path, bytes) = (scan.entries.path(position), scan.entries.bytes(position));
        let guessed = || prices.meshes().triangles(path, bytes);
        let triangles = known.map_or_else(guessed, u64::from);
        counting.ahead(needs, Size { rows: 1, bytes, triangles });
    }
    let past = store.map(Store::stages).transpose()?;
    counting.explain((&stores, &prices), store, &past.unwrap_or_default());
    Ok((counting.surveys, counting.ahead, prices))
}

/// Work of all sources, priced.
#[derive(Debug, Default)]
struct Priced {
    work: Guess,
    data_sets: Guess,
    /// Seconds that no number of workers can share.
    chain: f64,
    untimed: Vec<usize>,
}

impl Priced {
    fn add(&mut self, prices: &Prices, ahead: &BTreeMap<Needs, Ahead>, samples: u64) {
        let mut sizes: BTreeMap<usize, Size> = BTreeMap::new();
        for (&needs, ahead) in ahead {
            prices.jobs(needs).for_each(|job| *sizes.entry(job).or_default() += ahead.all);
            self.chain = self.chain.max(prices.chain(needs, ahead.largest));
        }
        for (number, size) in sizes {
            match (prices.guess(number, size), prices.job(number)) {
                (Some(guess), _) => self.work.add(guess),
                (None, Job::Work(stage) | Job::Keep(stage)) => self.untimed.push(stage),
            }
        }
        let to_make = ahead.values().map(|ahead| ahead.all.rows).sum();
        match prices.data_sets(to_make, samples) {
            Ok(guess) => self.data_sets.add(guess),
            Err(untimed) => self.untimed.extend(untimed.into_iter().filter(|_| to_make > 0)),
        }
    }

    fn estimate(&self, workers: usize) -> Estimate {
        let rows = (self.work.seconds / workers.max(1) as f64).max(self.chain);
        let seconds = rows + self.data_sets.seconds;
        let mut all = self.work;
        all.add(self.data_sets);
        let factor = all.factor();
        Estimate { seconds, low: seconds / factor, high: seconds * factor }
    }
}

struct Counting<'a> {
    graph: &'a Graph,
    /// For each stage the numbers of the kept stages that it has to do with.
    serves: BTreeMap<usize, Vec<usize>>,
    surveys: BTreeMap<usize, StageSurvey>,
    ahead: BTreeMap<Needs, Ahead>,
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
        let serves = surveys.keys().map(serves).collect();
        Self { graph, serves, surveys, ahead: BTreeMap::new() }
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

    /// Adds a sample of this size to those that need these stages.
    fn ahead(&mut self, needs: Needs, size: Size) {
        let ahead = self.ahead.entry(needs).or_default();
        ahead.all += size;
        if size.nominal() > ahead.largest.nominal() {
            ahead.largest = size;
        }
    }

    fn explain(
        &mut self,
        (stores, prices): (&Stores<'_>, &Prices),
        store: Option<&Store>,
        past: &[StageFacts],
    ) {
        let graph = self.graph;
        for (&stage, survey) in self.surveys.iter_mut().filter(|(_, survey)| survey.to_make > 0) {
            let facts = &graph.nodes[stage].facts;
            let relative = kin(facts, past).into_iter().next();
            let known = survey.to_make - survey.unknown;
            if survey.unknown > 0 {
                survey.reasons.push(format!("{} new or changed", survey.unknown));
            }
            if known > 0 {
                let changes = relative.map(|old| differences(graph, stage, old));
                let changes = changes.unwrap_or_else(|| vec!["never made before".to_owned()]);
                survey.reasons.extend(changes);
            }
            survey.seconds = seconds_of(stage, prices, &self.ahead);
            let own: Option<&StageStore> = stores.get(&stage).map(|own| &**own);
            let own = own.and_then(StageStore::bytes_per_row);
            let of_relative = || store?.known_stage(relative?).ok().flatten()?.bytes_per_row();
            survey.bytes = own.or_else(of_relative).map(|bytes| bytes * survey.to_make as f64);
        }
    }
}

/// Busy seconds of a stage and of the keeping of its rows.
fn seconds_of(stage: usize, prices: &Prices, ahead: &BTreeMap<Needs, Ahead>) -> Option<f64> {
    let mut sum = 0.0;
    for (&needs, ahead) in ahead {
        for number in prices.jobs(needs) {
            let (Job::Work(of) | Job::Keep(of)) = prices.job(number);
            if of == stage {
                sum += prices.guess(number, ahead.all)?.seconds;
            }
        }
    }
    Some(sum)
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
