//! The preparation dataflow: sources, operators, what is kept of their rows, and their refusals.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::{Capability, Concatenate};
use timely::dataflow::{Scope, Stream};
use timely::worker::Worker;
use voxflow_contract::{Batch, Source, Stage};

use super::counters::{StageCount, nanos};
use super::fault::EngineFault;
use super::inbox::Inbox;
use super::packet::{Packet, Refused};
use super::prices::Job;
use super::shared::Shared;
use super::stage_operator::{Packets, Port, StageSpec, refusals, stage_operator};
use super::work::{KeepWork, OperatorWork, Worked, open_part};

/// Builds the dataflow on one worker. Every worker builds the same.
pub(crate) fn build(worker: &mut Worker, shared: &Arc<Shared>) {
    worker.dataflow::<u64, _, _>(|scope| {
        let mut rows: BTreeMap<usize, Packets<'_>> = BTreeMap::new();
        let mut refused = Vec::new();
        for (index, node) in shared.graph.nodes.iter().enumerate() {
            let (good, bad) = match &node.stage {
                Stage::Source(source) => source_operator(scope, index, Arc::clone(source), shared),
                Stage::Operator(operator) => {
                    let from = shared.graph.streaming_inputs(index);
                    let inputs = from.iter().map(|input| rows[input].clone()).collect();
                    let (operator, limits) = (Arc::clone(operator), shared.sample_limits);
                    let work = Arc::new(OperatorWork { operator, limits });
                    let root = shared.graph.root(index);
                    let serves = shared.kept[&root].served_by(index);
                    let job = Job::Work(index);
                    let spec = StageSpec { stage: index, root, work, serves, job };
                    stage_operator(scope, spec, inputs, shared)
                }
                // What they need is asked of the store once all rows are there.
                Stage::Keyed(_) | Stage::Sink(_) | Stage::Task(_) => continue,
            };
            rows.insert(index, good);
            refused.push(bad);
        }
        for (&root, kept) in &shared.kept {
            for &stage in &kept.stages {
                let writer = Arc::clone(&shared.writers[&stage]);
                let (scans, serves) = (Arc::clone(&shared.scans), kept.only(stage));
                let work = Arc::new(KeepWork { writer, scans, root });
                let spec = StageSpec { stage, root, work, serves, job: Job::Keep(stage) };
                let (_, none) = stage_operator(scope, spec, vec![rows[&stage].clone()], shared);
                refused.push(none);
            }
        }
        keep_refusals(scope, scope.concatenate(refused), shared);
    });
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
        let inbox: Arc<Inbox<(u64, Packet, Vec<Refused>)>> = Arc::new(Inbox::new());
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
                    let (rows, refused) = read_part(root, &source, &shared, part);
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
    let charge = shared.lists[&root].parts[next as usize].charge;
    let permit = shared.budget.try_take(charge)?;
    match claims.claim() {
        Some((ticket, part)) => Some((ticket, part, permit)),
        None => {
            hold.0.clear();
            None
        }
    }
}

/// Opens the samples of a part. Their contents are known now: what the store turns out to have of
/// them is not made again.
fn read_part(
    root: usize,
    source: &Arc<dyn Source>,
    shared: &Shared,
    part: u64,
) -> (Batch, Vec<Refused>) {
    let (entries, meter) = (&shared.scans[&root].entries, &shared.meters[&root]);
    let of_list = &shared.lists[&root].parts[part as usize];
    meter.claim(entries, part, of_list);
    let timed = meter.begin(part, Job::Work(root));
    let samples = &of_list.samples;
    let opened = entries.unpack(samples);
    let worked = open_part(source, opened, shared.sample_limits).unwrap_or_else(|fault| {
        shared.fail(EngineFault::machine(&shared.graph.nodes[root].id, fault));
        Worked { rows: Batch::empty(source.output()), refused: Vec::new() }
    });
    let count = StageCount {
        rows_in: samples.len() as u64,
        rows_out: worked.rows.rows() as u64,
        refused: worked.refused.len() as u64,
        reused: 0,
        nanos: nanos(timed.elapsed()),
    };
    shared.counters.add(root, count);
    meter.end(&timed, entries, (part, of_list), None, &worked.rows);
    let unknown = |_: &str| None;
    let refused = refusals(root, root, shared, worked.refused, unknown, timed.elapsed());
    match shared.learn(root, &worked.rows) {
        Ok(missing) if missing.len() == worked.rows.rows() => (worked.rows, refused),
        Ok(missing) => (worked.rows.gather(&missing), refused),
        Err(error) => {
            shared.fail(EngineFault::Bug(error));
            (worked.rows, refused)
        }
    }
}

/// Keeps every refusal, so that the sample is not tried again before it or the stage changes.
fn keep_refusals<'scope>(
    scope: Scope<'scope, u64>,
    refusals: Stream<'scope, u64, Packet>,
    shared: &Arc<Shared>,
) {
    let mut builder = OperatorBuilder::new("refusals".to_owned(), scope);
    let mut refusals = builder.new_input(refusals, Pipeline);
    let shared = Arc::clone(shared);
    builder.build(move |_initial| {
        move |_frontiers| {
            refusals.for_each(|_, packet| {
                for refused in std::mem::take(packet).refused {
                    keep_refusal(&shared, refused);
                }
            });
        }
    });
}

fn keep_refusal(shared: &Shared, Refused { stage, key, mut refusal }: Refused) {
    let Some(key) = key else {
        shared.unopened.lock().unwrap_or_else(PoisonError::into_inner).push(refusal);
        return;
    };
    let store = shared.stores[&stage].read().unwrap_or_else(PoisonError::into_inner);
    refusal.attempt += store.attempts(&key);
    drop(store);
    let kept: Result<(), _> = shared.writers[&stage].refuse(vec![(key, refusal)]);
    if let Err(fault) = kept {
        shared.fail(EngineFault::machine(&shared.graph.nodes[stage].id, fault));
    }
}
