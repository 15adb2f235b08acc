//! `worker`: the one timely worker that the dataflow runs on, its inputs and its outputs.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use differential_dataflow::consolidation::consolidate;
use differential_dataflow::input::InputSession;
use timely::WorkerConfig;
use timely::communication::Allocator;
use timely::communication::allocator::thread::Thread;
use timely::dataflow::Scope;
use timely::dataflow::operators::probe::Handle;
use timely::worker::Worker as TimelyWorker;

use super::contents::repeated_contents;
use super::counts::counts;
use super::deal::deal;
use super::layout::{Collection, Diff, Hash, Member, SplitNumber, Time, Unit};
use super::policy::Policy;
use super::todo::todo;
use super::units::categories_of_units;

/// Edits after which the worker takes what has been put in. Without it a load of a million samples
/// would lie in queues before it lies in indexes.
const EDITS_A_STEP: usize = 1 << 14;

/// Changes of one output since they were last taken, not yet consolidated.
type Tap<D> = Rc<RefCell<Vec<(D, Diff)>>>;

/// The outputs of the dataflow.
#[derive(Default)]
struct Taps {
    todo: Tap<(Hash, u32)>,
    split: Tap<(Hash, SplitNumber)>,
    counts: Tap<(u32, SplitNumber, u32)>,
    repeated: Tap<(Hash, (u32, bool))>,
}

/// Consolidated changes of all outputs.
pub(super) struct Changes {
    pub(super) todo: Vec<((Hash, u32), Diff)>,
    pub(super) split: Vec<((Hash, SplitNumber), Diff)>,
    pub(super) counts: Vec<((u32, SplitNumber, u32), Diff)>,
    pub(super) repeated: Vec<((Hash, (u32, bool)), Diff)>,
}

/// A single-threaded worker with the dataflow on it. It runs only while it is called, on the thread
/// of the caller, and has no thread of its own.
pub(super) struct Worker {
    members: InputSession<Time, (Unit, Member), Diff>,
    marks: InputSession<Time, (Hash, u32), Diff>,
    taps: Taps,
    probe: Handle<Time>,
    time: Time,
    edits: usize,
    // Last, so that it is dropped after the inputs it reads.
    worker: TimelyWorker,
}

impl Worker {
    pub(super) fn new(policy: Policy, stages: u32) -> Self {
        let allocator = Allocator::Thread(Thread::default());
        let mut worker = TimelyWorker::new(WorkerConfig::default(), allocator, None);
        let mut members = InputSession::new();
        let mut marks = InputSession::new();
        let taps = Taps::default();
        let probe = Handle::new();
        worker.dataflow_named("Changes", |scope| {
            let outputs = Outputs::new(scope, &mut members, &mut marks, policy, stages);
            outputs.tap(&taps, &probe);
        });
        Self { members, marks, taps, probe, time: 0, edits: 0, worker }
    }

    /// Adds `diff` members of this kind to a unit.
    pub(super) fn member(&mut self, unit: Unit, member: Member, diff: Diff) {
        self.members.update((unit, member), diff);
        self.edited();
    }

    /// Adds `diff` marks of this kind to a key.
    pub(super) fn mark(&mut self, key: Hash, mark: u32, diff: Diff) {
        self.marks.update((key, mark), diff);
        self.edited();
    }

    fn edited(&mut self) {
        self.edits += 1;
        if self.edits.is_multiple_of(EDITS_A_STEP) {
            self.members.flush();
            self.marks.flush();
            self.worker.step();
        }
    }

    /// Runs until everything that follows from the edits so far is known.
    pub(super) fn advance(&mut self) -> Changes {
        self.time += 1;
        self.members.advance_to(self.time);
        self.marks.advance_to(self.time);
        self.members.flush();
        self.marks.flush();
        while self.probe.less_than(&self.time) {
            self.worker.step_or_park(Some(Duration::ZERO));
        }
        Changes {
            todo: taken(&self.taps.todo),
            split: taken(&self.taps.split),
            counts: taken(&self.taps.counts),
            repeated: taken(&self.taps.repeated),
        }
    }
}

/// The collections that leave the dataflow.
struct Outputs<'scope> {
    todo: Collection<'scope, (Hash, u32)>,
    split: Collection<'scope, (Hash, SplitNumber)>,
    counts: Collection<'scope, (u32, SplitNumber, u32)>,
    repeated: Collection<'scope, (Hash, (u32, bool))>,
}

impl<'scope> Outputs<'scope> {
    /// Builds the dataflow. Members by unit are indexed once, and read for the category of the unit
    /// and for the split of its samples.
    fn new(
        scope: Scope<'scope, Time>,
        members: &mut InputSession<Time, (Unit, Member), Diff>,
        marks: &mut InputSession<Time, (Hash, u32), Diff>,
        policy: Policy,
        stages: u32,
    ) -> Self {
        let members = members.to_collection(scope).arrange_by_key_named("Members");
        let categories = categories_of_units(members.clone());
        let splits = deal(categories, policy).arrange_by_key_named("Splits");
        let samples = members.join_core(splits, |_unit, &(id, content, category), &split| {
            Some((id, content, category, split))
        });
        let places = samples.clone().map(|(_, _, category, split)| (category, split));
        let contents = samples.clone().map(|(_, content, _, split)| (content, split));
        Self {
            todo: todo(marks.to_collection(scope), stages),
            split: samples.map(|(id, _, _, split)| (id, split)),
            counts: counts(places),
            repeated: repeated_contents(contents),
        }
    }

    fn tap(self, taps: &Taps, probe: &Handle<Time>) {
        tap(self.todo, &taps.todo, probe);
        tap(self.split, &taps.split, probe);
        tap(self.counts, &taps.counts, probe);
        tap(self.repeated, &taps.repeated, probe);
    }
}

fn tap<D: Ord + Clone + std::fmt::Debug + 'static>(
    collection: Collection<'_, D>,
    tap: &Tap<D>,
    probe: &Handle<Time>,
) {
    let tap = Rc::clone(tap);
    collection
        .inspect_batch(move |_time, updates| {
            tap.borrow_mut().extend(updates.iter().map(|(data, _, diff)| (data.clone(), *diff)));
        })
        .probe_with(probe);
}

fn taken<D: Ord>(tap: &Tap<D>) -> Vec<(D, Diff)> {
    let mut changes = tap.take();
    consolidate(&mut changes);
    changes
}
