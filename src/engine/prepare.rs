//! The preparation dataflow: sources, operators, keyed stages, sinks, and their refusals.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use timely::dataflow::channels::pact::{DistributorPact, Pipeline};
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::{Capability, Concatenate};
use timely::dataflow::{Scope, Stream};
use timely::progress::frontier::MutableAntichain;
use timely::worker::Worker;
use voxflow_contract::{Batch, Keyed, Refusal, Source, Stage, tables};

use super::counters::{StageCount, nanos};
use super::fault::EngineFault;
use super::graph::Graph;
use super::guard::guarded;
use super::inbox::Inbox;
use super::packet::{Packet, ToFirst};
use super::record::{PartRecord, part_fingerprint};
use super::shared::Shared;
use super::stage_operator::{Packets, Port, StageSpec, refusals, stage_operator};
use super::work::{KeyWork, OperatorWork, SinkWork, Work, Worked, open_part};

/// Builds the dataflow on one worker. Every worker builds the same.
pub(crate) fn build(worker: &mut Worker, shared: &Arc<Shared>) {
    worker.dataflow::<u64, _, _>(|scope| {
        let mut rows: BTreeMap<usize, Packets<'_>> = BTreeMap::new();
        let mut refused: BTreeMap<usize, Vec<Packets<'_>>> = BTreeMap::new();
        let mut written = Vec::new();
        for (index, node) in shared.graph.nodes.iter().enumerate() {
            let root = shared.graph.root(index);
            let Some(spec) = spec_of(&shared.graph, index, shared) else {
                if let Stage::Source(source) = &node.stage {
                    let (good, bad) = source_operator(scope, index, Arc::clone(source), shared);
                    rows.insert(index, good);
                    refused.entry(root).or_default().push(bad);
                }
                continue;
            };
            let from = shared.graph.streaming_inputs(index);
            let inputs = from.iter().map(|input| rows[input].clone()).collect();
            let (good, bad) = stage_operator(scope, spec, inputs, shared);
            refused.entry(root).or_default().push(bad);
            match &node.stage {
                Stage::Operator(_) => drop(rows.insert(index, good)),
                Stage::Keyed(keyed) => gather(index, Arc::clone(keyed), good, shared),
                _ => written.push((index, good)),
            }
        }
        for (sink, done) in written {
            let root = shared.graph.root(sink);
            let refusals = scope.concatenate(refused[&root].iter().cloned());
            commit_parts(scope, sink, done, refusals, shared);
        }
    });
}

/// What a stage does to a part; `None` for sources and tasks, which do no such thing.
fn spec_of(graph: &Graph, stage: usize, shared: &Shared) -> Option<StageSpec> {
    let work: Arc<dyn Work> = match &graph.nodes[stage].stage {
        Stage::Operator(operator) => Arc::new(OperatorWork(Arc::clone(operator))),
        Stage::Keyed(_) => Arc::new(KeyWork),
        Stage::Sink(sink) => {
            let folder = shared.part_folders[&stage].clone();
            Arc::new(SinkWork { sink: Arc::clone(sink), folder })
        }
        Stage::Source(_) | Stage::Task(_) => return None,
    };
    // A keyed stage sees what its sink sees, and the sink refuses what does not match.
    let refuses_unmatched = !matches!(graph.nodes[stage].stage, Stage::Keyed(_));
    Some(StageSpec { stage, root: graph.root(stage), work, refuses_unmatched })
}

/// A source: claims parts while there are permits, reads them in the pool.
fn source_operator<'scope>(
    scope: Scope<'scope, u64>,
    root: usize,
    source: Arc<dyn Source>,
    shared: &Arc<Shared>,
) -> (Packets<'scope>, Packets<'scope>) {
    let mut builder = OperatorBuilder::new(shared.graph.nodes[root].id.clone(), scope);
    let address = builder.operator_info().address;
    let wake = scope.worker().sync_activator_for(address.to_vec());
    shared.budget.wake_on_return(wake.clone());
    let (rows, rows_stream) = builder.new_output::<Packet>();
    let (refusals, refusals_stream) = builder.new_output::<Packet>();
    let (mut rows, mut refusals) = (Port::from(rows), Port::from(refusals));
    let shared = Arc::clone(shared);
    builder.build(move |capabilities| {
        let mut hold = Hold::new(capabilities);
        let inbox: Arc<Inbox<(u64, Packet, Vec<Refusal>)>> = Arc::new(Inbox::new());
        let mut reading: BTreeMap<u64, Vec<Capability<u64>>> = BTreeMap::new();
        move |_frontiers| {
            for (ticket, mut packet, refused) in inbox.take() {
                let Some(leave) = reading.remove(&ticket) else { continue };
                if !refused.is_empty() {
                    let mut refused = Packet::refusals(packet.part, refused);
                    let mut port = refusals.activate();
                    port.session_with_builder(&leave[1]).give_container(&mut refused);
                }
                let mut port = rows.activate();
                port.session_with_builder(&leave[0]).give_container(&mut packet);
            }
            while let Some((ticket, part, permit)) = next_part(root, &shared, &mut hold) {
                reading.insert(ticket, hold.at(ticket));
                let (source, shared) = (Arc::clone(&source), Arc::clone(&shared));
                let (inbox, wake) = (Arc::clone(&inbox), wake.clone());
                let pool = Arc::clone(&shared);
                pool.pool.submit(root, move || {
                    let (rows, refused) = read_part(root, source.as_ref(), &shared, part);
                    inbox.put((ticket, Packet::rows(part, rows, Some(Arc::new(permit))), refused));
                    // The worker may have left already, when the run was aborted.
                    let _ = wake.activate();
                });
            }
            hold.advance(shared.claims[&root].next_ticket());
        }
    });
    (rows_stream, refusals_stream)
}

/// The source's own capabilities: it holds the ticket that may be claimed next, or none at the end.
struct Hold(Vec<Capability<u64>>);

impl Hold {
    fn new(capabilities: Vec<Capability<u64>>) -> Self {
        Self(capabilities)
    }

    fn at(&self, ticket: u64) -> Vec<Capability<u64>> {
        self.0.iter().map(|capability| capability.delayed(&ticket)).collect()
    }

    /// Tickets below `ticket` will not be claimed any more.
    fn advance(&mut self, ticket: u64) {
        for capability in &mut self.0 {
            if *capability.time() < ticket {
                capability.downgrade(&ticket);
            }
        }
    }
}

fn next_part(
    root: usize,
    shared: &Shared,
    hold: &mut Hold,
) -> Option<(u64, u64, super::permits::Permit)> {
    let claims = &shared.claims[&root];
    if hold.0.is_empty() {
        return None;
    }
    let next = claims.peek().filter(|_| !shared.is_ending());
    let Some(next) = next else {
        hold.0.clear();
        return None;
    };
    let charge = shared.scans[&root].parts[next as usize].charge;
    let permit = shared.budget.try_take(charge)?;
    match claims.claim() {
        Some((ticket, part)) => Some((ticket, part, permit)),
        None => {
            hold.0.clear();
            None
        }
    }
}

fn read_part(
    root: usize,
    source: &dyn Source,
    shared: &Shared,
    part: u64,
) -> (Batch, Vec<Refusal>) {
    let begun = Instant::now();
    let scan = &shared.scans[&root];
    let Worked { rows, refused } = open_part(source, scan, part);
    let count = StageCount {
        rows_in: scan.parts[part as usize].entries.len() as u64,
        rows_out: rows.rows() as u64,
        refused: refused.len() as u64,
        reused: 0,
        nanos: nanos(begun.elapsed()),
    };
    shared.counters.add_to_part(root, part, root, count);
    let spec = StageSpec { stage: root, root, work: Arc::new(KeyWork), refuses_unmatched: false };
    (rows, refusals(&spec, shared, refused, begun.elapsed()))
}

/// The far half of a keyed stage: the first worker gathers all keys and, when there are no more,
/// lets the stage speak.
fn gather(stage: usize, keyed: Arc<dyn Keyed>, keys: Packets<'_>, shared: &Arc<Shared>) {
    let scope = keys.scope();
    let name = format!("{} (gather)", shared.graph.nodes[stage].id);
    let mut builder = OperatorBuilder::new(name, scope);
    let is_first = scope.index() == 0;
    let mut input = builder.new_input(keys, DistributorPact(|_| ToFirst));
    // Nothing flows out of it: the output is there so that the dataflow lasts until it has spoken.
    let _unconnected = builder.new_output::<Packet>();
    let shared = Arc::clone(shared);
    builder.build(move |capabilities| {
        let mut gathered = reused_keys(stage, &shared);
        let mut unspoken = is_first.then_some(capabilities);
        move |frontiers: &[MutableAntichain<u64>]| {
            input.for_each(|_, packet| gathered.extend(std::mem::take(packet).batch));
            if frontiers[0].is_empty()
                && let Some(capabilities) = unspoken.take()
            {
                if !shared.is_ending() {
                    speak(stage, keyed.as_ref(), std::mem::take(&mut gathered), &shared);
                }
                drop(capabilities);
            }
        }
    });
}

fn reused_keys(stage: usize, shared: &Shared) -> Vec<Batch> {
    let takes = |sink: &usize| shared.graph.nodes[*sink].from.contains(&stage);
    let sinks = shared.reused_keys.iter().filter(|(sink, _)| takes(sink));
    sinks.take(1).flat_map(|(_, keys)| keys.iter().cloned()).collect()
}

fn speak(stage: usize, keyed: &dyn Keyed, gathered: Vec<Batch>, shared: &Shared) {
    let said = sorted_keys(gathered).and_then(|keys| {
        let said =
            guarded(|| keyed.assign(&keys)).map_err(|panic| format!("it panicked: {panic}"))?;
        said.map_err(|fault| fault.message).and_then(|said| without_repeats(&said))
    });
    match said {
        Ok(batch) => shared.put_late(stage, batch),
        Err(message) => {
            let stage = shared.graph.nodes[stage].id.clone();
            shared.fail(EngineFault::Keys { stage, message });
        }
    }
}

/// What a keyed stage said, without the key columns that the samples' own rows have.
fn without_repeats(said: &Batch) -> Result<Batch, String> {
    let is_kept = |name: &&str| *name == tables::KEY[0] || !tables::KEY.contains(name);
    let columns = said.schema().columns().iter().map(|column| column.name.as_str());
    said.project(&columns.filter(is_kept).collect::<Vec<_>>()).map_err(|e| e.to_string())
}

fn sorted_keys(gathered: Vec<Batch>) -> Result<Batch, String> {
    let all = Batch::concat(&gathered).map_err(|e| e.to_string())?;
    drop(gathered);
    let all = all.unwrap_or_else(|| Batch::empty(tables::key()));
    let samples = super::join::samples_of(&all).map_err(|e| e.to_string())?;
    let mut order: Vec<usize> = (0..samples.len()).collect();
    order.sort_unstable_by_key(|&i| samples[i]);
    Ok(all.gather(&order))
}

/// Writes the record of each part once its rows are on disk and no refusal of it can come any more.
fn commit_parts<'scope>(
    scope: Scope<'scope, u64>,
    sink: usize,
    done: Packets<'scope>,
    refusals: Stream<'scope, u64, Packet>,
    shared: &Arc<Shared>,
) {
    let name = format!("{} (commit)", shared.graph.nodes[sink].id);
    let mut builder = OperatorBuilder::new(name, scope);
    let mut done = builder.new_input(done, Pipeline);
    let mut refusals = builder.new_input(refusals, Pipeline);
    // Nothing flows out of it: the output is there so that no worker believes the dataflow done
    // while another has still to write a record.
    let _unconnected = builder.new_output::<Packet>();
    let shared = Arc::clone(shared);
    builder.build(move |_initial| {
        let mut open: BTreeMap<u64, Vec<(Capability<u64>, u64, u64)>> = BTreeMap::new();
        let mut refused: BTreeMap<u64, Vec<Refusal>> = BTreeMap::new();
        move |frontiers: &[MutableAntichain<u64>]| {
            done.for_each(|time, packet| {
                let packet = std::mem::take(packet);
                let rows = packet.batch.as_ref().map_or(0, Batch::rows) as u64;
                let hold = time.retain(0);
                open.entry(*hold.time()).or_default().push((hold, packet.part, rows));
            });
            refusals.for_each(|_, packet| {
                let packet = std::mem::take(packet);
                refused.entry(packet.part).or_default().extend(packet.refused);
            });
            let is_open = |ticket: u64| frontiers.iter().any(|f| f.less_equal(&ticket));
            while let Some(entry) = open.first_entry()
                && !is_open(*entry.key())
                && !shared.is_aborted()
            {
                for (_hold, part, rows) in entry.remove() {
                    let refused = refused.remove(&part).unwrap_or_default();
                    commit_part(sink, part, rows, refused, &shared);
                }
            }
        }
    });
}

fn commit_part(sink: usize, part: u64, rows: u64, refused: Vec<Refusal>, shared: &Shared) {
    let (graph, root) = (&shared.graph, shared.graph.root(sink));
    let sinks = shared.journals.keys().filter(|&&sink| graph.root(sink) == root).count();
    let counts = shared.counters.record_part(root, part, sinks);
    let stages = counts.into_iter().map(|(i, count)| (graph.nodes[i].id.clone(), count)).collect();
    let digest = &shared.scans[&root].parts[part as usize].digest;
    let fingerprint = part_fingerprint(&graph.nodes[sink].fingerprint, digest);
    shared.commit_part(sink, &PartRecord::new(part, fingerprint, rows, stages, refused));
}
