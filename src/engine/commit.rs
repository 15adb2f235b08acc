//! Commit: data sets out of the rows that the store has, and what the run did in numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::PoisonError;
use std::time::Instant;

use voxflow_contract::{
    Batch, BatchError, Column, ColumnType, ContentHash, MachineFault, Refusal, Schema, Stage,
    Values, row_hashes, tables,
};

use super::counters::{StageCount, nanos};
use super::dataset::Rows;
use super::fault::EngineFault;
use super::graph::Graph;
use super::guard::guarded;
use super::inputs::record_inputs;
use super::leakage::duplicates;
use super::made::Made;
use super::options::Options;
use super::outputs::Planning;
use super::report::{Report, SampleFate};
use super::shared::Shared;
use super::work_list::{Keys, State, Stores, content_of};
use crate::store::{KeptFiles, Place, RowKey, RowReader, StageStore};

/// Rows that are read at once when a keyed stage needs a column of them.
const COLUMN_CHUNK: usize = 64;

/// Makes every data set below `folder`, and says what all stages did.
///
/// # Errors
/// When a row is missing, a keyed stage cannot work, more samples would move in the split than may, or
/// the machine fails. Nothing in `folder` was replaced before the last sample was looked for.
pub(crate) fn commit(
    shared: &Shared,
    files: &KeptFiles,
    folder: &Path,
    made: &Made,
    options: &Options,
) -> Result<Report, EngineFault> {
    // What comes now is of other sizes than what was freed.
    crate::allocator::give_back_free();
    refresh(shared)?;
    let mut report = Report {
        stages: vec![StageCount::default(); shared.graph.nodes.len()],
        refusals: made.unopened.clone(),
        ..Report::default()
    };
    let settled = settle(shared, made, &mut report)?;
    if options.tells_fates {
        let fates = settled.iter().map(|(&root, of_root)| (root, of_root.fates()));
        report.fates.extend(fates);
    }
    forget(shared);
    report.refusals.sort_by(|a, b| (&a.sample, &a.stage).cmp(&(&b.sample, &b.stage)));
    let late = say_late(shared, &settled, &mut report)?;
    let stores = settled.keys().map(|&root| (root, shared.stores_of(root))).collect();
    let previous = &options.previous;
    let planning = Planning { shared, settled: &settled, late: &late, files, previous };
    let outputs = planning.plan(&stores)?;
    report.moves = outputs.iter().filter_map(|output| output.moves.clone()).collect();
    record(shared, &settled, files, folder, &mut report)?;
    drop((settled, late));
    for output in outputs {
        output.write(shared, files, folder, &mut report)?;
    }
    Ok(report)
}

/// Says what became of every sample, and makes no data sets.
///
/// # Errors
/// When a row is missing, or the machine fails.
pub(crate) fn settle_rows(shared: &Shared, made: &Made) -> Result<Report, EngineFault> {
    refresh_stores(shared)?;
    let mut report = Report {
        stages: vec![StageCount::default(); shared.graph.nodes.len()],
        refusals: made.unopened.clone(),
        ..Report::default()
    };
    let settled = settle(shared, made, &mut report)?;
    report.fates = settled.iter().map(|(&root, of_root)| (root, of_root.fates())).collect();
    Ok(report)
}

/// Records the samples of every source.
fn record(
    shared: &Shared,
    settled: &BTreeMap<usize, Settled>,
    files: &KeptFiles,
    folder: &Path,
    report: &mut Report,
) -> Result<(), EngineFault> {
    for (&root, of_root) in settled {
        let (id, entries) = (&shared.graph.nodes[root].id, &shared.scans[&root].entries);
        let recorded = record_inputs(entries, id, &of_root.keys, files, folder);
        let recorded = recorded.map_err(|fault| EngineFault::machine(id, fault))?;
        report.inputs.insert(id.clone(), recorded);
    }
    Ok(())
}

/// Sees what became of every sample.
fn settle(
    shared: &Shared,
    made: &Made,
    report: &mut Report,
) -> Result<BTreeMap<usize, Settled>, EngineFault> {
    let unopened: BTreeSet<&str> = made.unopened.iter().map(|r| r.sample.as_str()).collect();
    let mut settled = BTreeMap::new();
    for &root in shared.scans.keys() {
        let stores = shared.stores_of(root);
        let of_root = Settled::new(shared, root, &stores, &unopened)?;
        of_root.count(shared, root, &stores, made, report);
        settled.insert(root, of_root);
    }
    Ok(settled)
}

/// Takes in what this run and others made.
fn refresh(shared: &Shared) -> Result<(), EngineFault> {
    refresh_stores(shared)?;
    for (&root, facts) in &shared.facts {
        let refreshed = facts.lock().unwrap_or_else(PoisonError::into_inner).refresh();
        refreshed.map_err(|fault| EngineFault::machine(&shared.graph.nodes[root].id, fault))?;
    }
    Ok(())
}

fn refresh_stores(shared: &Shared) -> Result<(), EngineFault> {
    for (&stage, store) in &shared.stores {
        let refreshed = store.write().unwrap_or_else(PoisonError::into_inner).refresh();
        refreshed.map_err(|fault| EngineFault::machine(&shared.graph.nodes[stage].id, fault))?;
    }
    Ok(())
}

/// Forgets what is known of each sample: all that is needed of it is settled.
fn forget(shared: &Shared) {
    for store in shared.stores.values() {
        store.write().unwrap_or_else(PoisonError::into_inner).forget_rows();
    }
    for facts in shared.facts.values() {
        facts.lock().unwrap_or_else(PoisonError::into_inner).forget();
    }
    crate::allocator::give_back_free();
}

/// What became of every sample of a source.
pub(super) struct Settled {
    /// Content and key by position; `None` for samples that could not be opened.
    keys: Keys,
    /// For each kept stage the place of the row of each sample, where it has one.
    places: Vec<Vec<Option<Place>>>,
}

impl Settled {
    fn new(
        shared: &Shared,
        root: usize,
        stores: &Stores<'_>,
        unopened: &BTreeSet<&str>,
    ) -> Result<Self, EngineFault> {
        let (entries, kept) = (&shared.scans[&root].entries, &shared.kept[&root]);
        let facts = shared.facts[&root].lock().unwrap_or_else(PoisonError::into_inner);
        let mut places = vec![vec![None; entries.len()]; kept.stages.len()];
        let mut missing = Vec::new();
        let mut known = shared.keys[&root].lock().unwrap_or_else(PoisonError::into_inner);
        let known = std::mem::take(&mut *known);
        let keys = known.into_iter().enumerate().map(|(position, known)| {
            if unopened.contains(entries.sample(position)) {
                return None;
            }
            let learned = || {
                let content = content_of(entries, position, &facts)?;
                Some((content, entries.key(position, &content)))
            };
            let Some((content, key)) = known.or_else(learned) else {
                missing.push(position);
                return None;
            };
            let mut is_missing = false;
            for (number, places) in places.iter_mut().enumerate() {
                match kept.state(number, &key, stores) {
                    State::Made(place) => places[position] = Some(place),
                    State::Refused(_) => {}
                    State::Missing => is_missing = true,
                }
            }
            if is_missing {
                missing.push(position);
            }
            Some((content, key))
        });
        let keys = keys.collect();
        match missing.first() {
            None => Ok(Self { keys, places }),
            Some(_) if shared.stop.is_requested() => {
                let (made, samples) = (entries.len() - missing.len(), entries.len());
                Err(EngineFault::Stopped { made, samples })
            }
            Some(&first) => {
                let message =
                    format!("{} samples have no row: {}", missing.len(), entries.sample(first));
                Err(EngineFault::Bug(message))
            }
        }
    }

    /// What became of every sample.
    fn fates(&self) -> Vec<Option<SampleFate>> {
        let fate = |(position, key): (usize, &Option<(ContentHash, RowKey)>)| {
            let (content, RowKey(key)) = (*key)?;
            let has_arrived = self.places.iter().all(|places| places[position].is_some());
            Some(SampleFate { content, key, has_arrived })
        };
        self.keys.iter().enumerate().map(fate).collect()
    }

    /// Counts rows and gathers refusals of the streaming stages.
    fn count(
        &self,
        shared: &Shared,
        root: usize,
        stores: &Stores<'_>,
        made: &Made,
        report: &mut Report,
    ) {
        let graph = &shared.graph;
        let keys = self.keys.iter().flatten();
        let refused: Vec<Vec<(usize, &Refusal)>> = keys
            .map(|(_, key)| {
                refusals_of(key, stores.iter().map(|(stage, store)| (*stage, &**store)))
            })
            .filter(|refusals| !refusals.is_empty())
            .collect();
        let unopened = self.keys.iter().filter(|key| key.is_none()).count() as u64;
        let all = Tally { samples: self.keys.len() as u64, unopened, refused: &refused };
        for &stage in stores.keys() {
            report.stages[stage] = all.count(graph, (root, stage), made.stages[stage]);
        }
        let named = |(stage, refusal): (usize, &Refusal)| Refusal {
            stage: graph.nodes[stage].id.clone(),
            ..refusal.clone()
        };
        report.refusals.extend(refused.into_iter().flatten().map(named));
    }

    /// The samples that have a row from every input of a sink.
    pub(super) fn arrived(&self, shared: &Shared, sink: usize) -> Arrived<'_> {
        let kept = &shared.kept[&shared.graph.root(sink)];
        let inputs = shared.graph.streaming_inputs(sink);
        let numbers = inputs.iter().filter_map(|input| kept.stages.iter().position(|s| s == input));
        let numbers: Vec<usize> = numbers.collect();
        let is_there = |position: &u32| {
            numbers.iter().all(|&number| self.places[number][*position as usize].is_some())
        };
        let positions = (0..self.keys.len() as u32).filter(is_there).collect();
        Arrived { settled: self, numbers, positions }
    }
}

/// The stages that refused a sample, and why.
pub(crate) fn refusals_of<'a>(
    key: &RowKey,
    stores: impl Iterator<Item = (usize, &'a StageStore)>,
) -> Vec<(usize, &'a Refusal)> {
    stores.filter_map(|(stage, store)| Some((stage, store.refusal(key)?))).collect()
}

/// What there is to say of the samples of a source, in numbers.
pub(crate) struct Tally<'a> {
    pub(crate) samples: u64,
    /// Samples that could not be opened.
    pub(crate) unopened: u64,
    /// By sample that was refused, the stages that did.
    pub(crate) refused: &'a [Vec<(usize, &'a Refusal)>],
}

impl Tally<'_> {
    /// What a streaming stage of a source did, with what it did in this run.
    pub(crate) fn count(
        &self,
        graph: &Graph,
        (root, stage): (usize, usize),
        live: StageCount,
    ) -> StageCount {
        let upstream = graph.upstream(stage);
        let is_before = |by: usize| by != stage && upstream.contains(&by);
        let (mut before, mut refused) = (0, if stage == root { self.unopened } else { 0 });
        for refusals in self.refused {
            if refusals.iter().any(|(by, _)| is_before(*by)) {
                before += 1;
            } else if refusals.iter().any(|(by, _)| *by == stage) {
                refused += 1;
            }
        }
        let lost = if stage == root { 0 } else { before + self.unopened };
        let rows_in = self.samples - lost;
        let rows_out = rows_in - refused;
        let reused = rows_out.saturating_sub(live.rows_out - live.reused);
        StageCount { rows_in, rows_out, refused, reused, nanos: live.nanos }
    }
}

/// The samples of a data set.
pub(super) struct Arrived<'a> {
    pub(super) settled: &'a Settled,
    /// The kept stages that the sink reads.
    numbers: Vec<usize>,
    /// Positions of the samples, ascending.
    pub(super) positions: Vec<u32>,
}

impl Arrived<'_> {
    /// What the data set is made of.
    pub(super) fn rows<'s>(
        &self,
        shared: &Shared,
        sink: usize,
        stores: &'s Stores<'_>,
        late: &BTreeMap<usize, Late>,
    ) -> Result<Rows<'s>, MachineFault> {
        let (graph, root) = (&shared.graph, shared.graph.root(sink));
        let internal = |e: BatchError| MachineFault::new(e.to_string());
        let kept = &shared.kept[&root];
        let places = |number: &usize| {
            let of_stage = &self.settled.places[*number];
            self.positions.iter().filter_map(|p| of_stage[*p as usize]).collect::<Vec<Place>>()
        };
        let mut additions: Option<Batch> = None;
        for from in &graph.nodes[sink].from {
            let Some(late) = late.get(from) else { continue };
            let said = late.of(&self.positions);
            additions = Some(match additions {
                None => said,
                Some(before) => before.beside(&said).map_err(internal)?,
            });
        }
        let row_keys = self.positions.iter().filter_map(|p| self.settled.keys[*p as usize]);
        Ok(Rows {
            inputs: self.numbers.iter().map(|n| &*stores[&kept.stages[*n]]).collect(),
            places: self.numbers.iter().map(places).collect(),
            row_keys: row_keys.map(|(_, key)| key).collect(),
            additions,
        })
    }
}

/// What a keyed stage said, without the key columns.
pub(super) struct Late {
    positions: Vec<u32>,
    additions: Batch,
}

impl Late {
    /// What it said of these samples, all of which it was told of.
    fn of(&self, positions: &[u32]) -> Batch {
        if self.positions == positions {
            return self.additions.clone();
        }
        let rows = positions.iter().filter_map(|p| self.positions.binary_search(p).ok());
        self.additions.gather(&rows.collect::<Vec<_>>())
    }
}

/// Lets every keyed stage speak of the samples that arrive at a sink that reads it.
fn say_late(
    shared: &Shared,
    settled: &BTreeMap<usize, Settled>,
    report: &mut Report,
) -> Result<BTreeMap<usize, Late>, EngineFault> {
    let graph = &shared.graph;
    let mut late = BTreeMap::new();
    for stage in graph.positions(|stage| matches!(stage, Stage::Keyed(_))) {
        let Stage::Keyed(keyed) = &graph.nodes[stage].stage else { continue };
        let begun = Instant::now();
        let (root, id) = (graph.root(stage), &graph.nodes[stage].id);
        let readers = graph.sinks().into_iter().filter(|s| graph.nodes[*s].from.contains(&stage));
        let told = readers.flat_map(|sink| settled[&root].arrived(shared, sink).positions);
        let positions: Vec<u32> = told.collect::<BTreeSet<u32>>().into_iter().collect();
        let fault = |message: String| EngineFault::Keys { stage: id.clone(), message };
        let keys = key_batch(shared, root, &settled[&root], &positions);
        let mut keys = keys.map_err(|e| fault(e.to_string()))?;
        for column in keyed.columns() {
            let hashes = column_hashes(shared, stage, &column, &settled[&root], &positions);
            let hashes = hashes.map_err(|f| EngineFault::machine(id, f))?;
            keys = keys.beside(&hashes).map_err(|e| fault(e.to_string()))?;
        }
        let said = guarded(|| keyed.assign(&keys));
        let said = said.map_err(|panic| fault(format!("it panicked: {panic}")))?;
        let said = said.map_err(|refusal| fault(refusal.message))?;
        let columns = said.schema().columns().iter().map(|column| column.name.as_str());
        let added: Vec<&str> = columns.filter(|name| !tables::KEY.contains(name)).collect();
        let additions = said.project(&added).map_err(|e| fault(e.to_string()))?;
        let rows = positions.len() as u64;
        if additions.rows() as u64 != rows {
            return Err(fault(format!("it said {} rows of {rows} samples", additions.rows())));
        }
        let splits = additions.schema().column("split").map(|_| &additions);
        for of in ["content".to_owned()].into_iter().chain(keyed.columns()) {
            let found = duplicates(&keys, &of, splits).map_err(|e| fault(e.to_string()))?;
            report.duplicates.push(found);
        }
        let nanos = nanos(begun.elapsed());
        report.stages[stage] =
            StageCount { rows_in: rows, rows_out: rows, nanos, ..StageCount::default() };
        shared.counters.add(stage, report.stages[stage]);
        late.insert(stage, Late { positions, additions });
    }
    Ok(late)
}

/// The hashes of a column of a stage that keyed stage `reader` reads from, under the column's name.
fn column_hashes(
    shared: &Shared,
    reader: usize,
    column: &str,
    settled: &Settled,
    positions: &[u32],
) -> Result<Batch, MachineFault> {
    let (graph, root) = (&shared.graph, shared.graph.root(reader));
    let internal = |e: BatchError| MachineFault::new(e.to_string());
    let has_it = |stage: &usize| match &graph.nodes[*stage].stage {
        Stage::Source(source) => source.output().column(column).is_some(),
        Stage::Operator(operator) => operator.output().column(column).is_some(),
        _ => false,
    };
    let stage = graph.streaming_inputs(reader).into_iter().find(has_it);
    let number = shared.kept[&root].stages.iter().position(|kept| Some(*kept) == stage);
    let (Some(stage), Some(number)) = (stage, number) else {
        return Err(MachineFault::new(format!("no stage gives column `{column}`")));
    };
    let stores = shared.stores_of(root);
    let mut rows = RowReader::new(&stores[&stage]);
    let mut hashes = Vec::with_capacity(positions.len());
    for chunk in positions.chunks(COLUMN_CHUNK) {
        let places = chunk.iter().filter_map(|p| settled.places[number][*p as usize]);
        let places: Vec<Place> = places.collect();
        if places.len() < chunk.len() {
            let message = format!("a sample that arrived has no column `{column}`");
            return Err(MachineFault::new(message));
        }
        hashes.extend(row_hashes(&rows.read(&places)?, column).map_err(internal)?);
    }
    let columns = vec![Column::new(column, ColumnType::FixedBinary(ContentHash::LEN), "Hash.")];
    let values = Values::fixed_binary(ContentHash::LEN, hashes.iter().map(|h| *h.as_bytes()));
    Batch::new(Schema::new("hashes", 1, columns), vec![values]).map_err(internal)
}

/// The key columns of these samples, under the schema [`tables::key`].
pub(super) fn key_batch(
    shared: &Shared,
    root: usize,
    settled: &Settled,
    positions: &[u32],
) -> Result<Batch, BatchError> {
    let entries = &shared.scans[&root].entries;
    let contents = positions.iter().filter_map(|p| settled.keys[*p as usize]);
    let values = vec![
        Values::utf8(positions.iter().map(|p| entries.sample(*p as usize))),
        Values::utf8(positions.iter().map(|p| entries.category(*p as usize))),
        Values::fixed_binary(ContentHash::LEN, contents.map(|(content, _)| *content.as_bytes())),
    ];
    Batch::new(tables::key(), values)
}
