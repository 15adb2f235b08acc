//! The timely operator of a stage: waits for a part from every input, joins, works, gives rows and
//! refusals.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use timely::container::NoopBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::OutputBuilderSession;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::{Scope, Stream};
use timely::scheduling::{Activator, SyncActivator};
use voxflow_contract::{Batch, MachineFault, Refusal};

use super::counters::{StageCount, nanos};
use super::fault::EngineFault;
use super::inbox::Inbox;
use super::join::{join, samples_of};
use super::packet::{Packet, Refused};
use super::prices::Job;
use super::shared::Shared;
use super::work::{RefusedRow, Work, Worked};
use super::work_list::Needs;
use crate::store::RowKey;

/// A stream of packets; the timestamp is a part's ticket, or in training the epoch.
pub(crate) type Packets<'scope> = Stream<'scope, u64, Packet>;

/// An output port that takes whole packets.
pub(crate) type Port = OutputBuilder<u64, NoopBuilder<Packet>>;

/// A stage may hold a worker for this long before others get their turn.
const SLICE: Duration = Duration::from_millis(10);

/// What a stage operator needs to know.
#[derive(Clone)]
pub(crate) struct StageSpec {
    /// Position of the stage in the graph.
    pub(crate) stage: usize,
    /// Position of its source.
    pub(crate) root: usize,
    /// What it does to a part.
    pub(crate) work: Arc<dyn Work>,
    /// The kept stages that have to do with it: a part that needs none of them passes it by.
    pub(crate) serves: Needs,
    /// Whether that is the stage's own work, whose rows count, or the keeping of its rows.
    pub(crate) job: Job,
}

/// Capabilities for the two ports at one time.
type Leave = (Capability<u64>, Capability<u64>);

struct Finished {
    part: u64,
    rows: Packet,
    refused: Vec<Refused>,
}

/// Builds the operator; gives its rows and its refusals.
pub(crate) fn stage_operator<'scope>(
    scope: Scope<'scope, u64>,
    spec: StageSpec,
    inputs: Vec<Packets<'scope>>,
    shared: &Arc<Shared>,
) -> (Packets<'scope>, Packets<'scope>) {
    let name = shared.graph.nodes[spec.stage].id.clone();
    let mut builder = OperatorBuilder::new(name, scope);
    let address = builder.operator_info().address;
    let mut state = State::new(
        spec,
        inputs.len(),
        Arc::clone(shared),
        scope.activator_for(Rc::clone(&address)),
        scope.worker().sync_activator_for(address.to_vec()),
    );
    let mut inputs: Vec<_> =
        inputs.into_iter().map(|stream| builder.new_input(stream, Pipeline)).collect();
    let (rows, rows_stream) = builder.new_output::<Packet>();
    let (refusals, refusals_stream) = builder.new_output::<Packet>();
    let (mut rows, mut refusals) = (Port::from(rows), Port::from(refusals));
    builder.build(move |_initial| {
        move |_frontiers| {
            for (port, input) in inputs.iter_mut().enumerate() {
                input.for_each(|time, packet| {
                    let leave = (time.delayed(time.time(), 0), time.delayed(time.time(), 1));
                    state.arrive(port, leave, std::mem::take(packet));
                });
            }
            state.work(&mut rows.activate(), &mut refusals.activate());
        }
    });
    (rows_stream, refusals_stream)
}

struct State {
    spec: StageSpec,
    inputs: usize,
    shared: Arc<Shared>,
    again: Activator,
    wake: SyncActivator,
    waiting: BTreeMap<u64, (Leave, Vec<Option<Packet>>)>,
    ready: VecDeque<(Leave, u64, Vec<Packet>)>,
    in_pool: BTreeMap<u64, Leave>,
    inbox: Arc<Inbox<Finished>>,
}

type Session<'a> = OutputBuilderSession<'a, u64, NoopBuilder<Packet>>;

impl State {
    fn new(
        spec: StageSpec,
        inputs: usize,
        shared: Arc<Shared>,
        again: Activator,
        wake: SyncActivator,
    ) -> Self {
        Self {
            spec,
            inputs,
            shared,
            again,
            wake,
            waiting: BTreeMap::new(),
            ready: VecDeque::new(),
            in_pool: BTreeMap::new(),
            inbox: Arc::new(Inbox::new()),
        }
    }

    /// Takes a packet; the part is ready when every input gave its packet of it.
    fn arrive(&mut self, port: usize, leave: Leave, packet: Packet) {
        let part = packet.part;
        let inputs = self.inputs;
        let (_, packets) = self.waiting.entry(part).or_insert_with(|| (leave, vec![None; inputs]));
        packets[port] = Some(packet);
        if packets.iter().all(Option::is_some)
            && let Some((leave, packets)) = self.waiting.remove(&part)
        {
            self.ready.push_back((leave, part, packets.into_iter().flatten().collect()));
        }
    }

    fn work(&mut self, rows: &mut Session<'_>, refusals: &mut Session<'_>) {
        if self.spec.work.is_heavy() {
            while let Some((leave, part, packets)) = self.ready.pop_front() {
                self.in_pool.insert(part, leave);
                self.submit(part, packets);
            }
            for finished in self.inbox.take() {
                if let Some(leave) = self.in_pool.remove(&finished.part) {
                    emit(&leave, finished, rows, refusals);
                }
            }
        } else {
            self.work_here(rows, refusals);
        }
    }

    fn submit(&self, part: u64, packets: Vec<Packet>) {
        let (spec, shared) = (self.spec.clone(), Arc::clone(&self.shared));
        let (inbox, wake) = (Arc::clone(&self.inbox), self.wake.clone());
        let packets: Vec<_> = packets.into_iter().map(|p| (p.batch, p.permit)).collect();
        self.shared.pool.submit(self.spec.stage, move || {
            if let Some(finished) = work_on(&spec, &shared, part, packets) {
                inbox.put(finished);
            }
            // The worker may have left already, when the run was aborted.
            let _ = wake.activate();
        });
    }

    fn work_here(&mut self, rows: &mut Session<'_>, refusals: &mut Session<'_>) {
        let until = Instant::now() + SLICE;
        while let Some((leave, part, packets)) = self.ready.pop_front() {
            let packets = packets.into_iter().map(|p| (p.batch, p.permit)).collect();
            if let Some(finished) = work_on(&self.spec, &self.shared, part, packets) {
                emit(&leave, finished, rows, refusals);
            }
            if Instant::now() > until && !self.ready.is_empty() {
                self.again.activate();
                break;
            }
        }
    }
}

fn emit(leave: &Leave, finished: Finished, rows: &mut Session<'_>, refusals: &mut Session<'_>) {
    let Finished { part, rows: mut packet, refused } = finished;
    if !refused.is_empty() {
        let mut refused = Packet::refusals(part, refused);
        refusals.session_with_builder(&leave.1).give_container(&mut refused);
    }
    rows.session_with_builder(&leave.0).give_container(&mut packet);
}

type Held = (Option<Batch>, Option<Arc<super::permits::Permit>>);

/// Joins and works; `None` when the run failed over it.
fn work_on(spec: &StageSpec, shared: &Shared, part: u64, packets: Vec<Held>) -> Option<Finished> {
    let permit = packets.iter().find_map(|(_, permit)| permit.clone());
    let batches: Vec<Batch> = packets.into_iter().filter_map(|(batch, _)| batch).collect();
    let of_list = &shared.lists[&spec.root].parts[part as usize];
    if !of_list.needs.meets(spec.serves) {
        let rows = Packet::rows(part, spec.work.nothing(), permit);
        return Some(Finished { part, rows, refused: Vec::new() });
    }
    let (entries, meter) = (&shared.scans[&spec.root].entries, &shared.meters[&spec.root]);
    let timed = meter.begin(part, spec.job);
    let joined = join(&batches).map_err(|e| MachineFault::new(e.to_string()));
    drop(batches);
    let worked = joined.and_then(|rows| Ok((rows.clone(), spec.work.run(rows)?)));
    match worked {
        Ok((rows_in, Worked { rows, refused })) => {
            let count = StageCount {
                rows_in: rows_in.rows() as u64,
                rows_out: rows.rows() as u64,
                refused: refused.len() as u64,
                reused: 0,
                nanos: nanos(timed.elapsed()),
            };
            if matches!(spec.job, Job::Work(_)) {
                shared.counters.add(spec.stage, count);
            }
            meter.end(&timed, entries, (part, of_list), Some(&rows_in), &rows);
            let keys = if refused.is_empty() { None } else { entries.keys_of(&rows_in).ok() };
            let samples = samples_of(&rows_in).unwrap_or_default();
            let key = |sample: &str| {
                let row = samples.iter().position(|known| *known == sample)?;
                keys.as_ref()?.get(row).copied()
            };
            let elapsed = timed.elapsed();
            let refused = refusals(spec.stage, spec.root, shared, refused, key, elapsed);
            Some(Finished { part, rows: Packet::rows(part, rows, permit), refused })
        }
        Err(fault) => {
            shared.fail(EngineFault::machine(&shared.graph.nodes[spec.stage].id, fault));
            None
        }
    }
}

/// What a stage refused, with the files the samples came from.
pub(crate) fn refusals(
    stage: usize,
    root: usize,
    shared: &Shared,
    refused: Vec<RefusedRow>,
    key: impl Fn(&str) -> Option<RowKey>,
    elapsed: Duration,
) -> Vec<Refused> {
    let row = |(sample, fault, attempt): RefusedRow| Refused {
        stage,
        key: key(&sample),
        refusal: Refusal {
            stage: shared.graph.nodes[stage].id.clone(),
            path: shared.scans[&root].path_of(&sample).map(str::to_owned),
            sample,
            code: fault.code.to_owned(),
            message: fault.message,
            offset: fault.offset,
            attempt,
            seconds: elapsed.as_secs_f64(),
        },
    };
    refused.into_iter().map(row).collect()
}
