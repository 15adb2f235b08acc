//! The training dataflow: a feeder replays the data set epoch by epoch, the timestamp is the epoch.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use timely::dataflow::Scope;
use timely::dataflow::channels::pact::DistributorPact;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::progress::frontier::MutableAntichain;
use timely::scheduling::SyncActivator;
use timely::worker::Worker;
use voxflow_contract::{Batch, Fault, Item, Refusal, Refusals, Schedule, Task};
use voxflow_sources::{Dataset, DatasetError};

use super::fault::EngineFault;
use super::guard::guarded;
use super::inbox::Inbox;
use super::packet::{Packet, ToFirst};
use super::permits::{Budget, Permit};
use super::shared::Shared;
use super::stage_operator::{Packets, Port};
use super::trainer::{Message, Trainer};

/// Items that are on their way at most, beyond two a thread.
const SPARE_ITEMS: usize = 2;

/// Hands out the items of a task, in order, to whichever worker asks.
pub(crate) struct Feeder {
    stage: String,
    task: Arc<dyn Task>,
    dataset: Arc<Dataset>,
    columns: Vec<String>,
    schedule: Schedule,
    budget: Arc<Budget>,
    state: Mutex<FeedState>,
    /// Samples that could not be used, each once, however many epochs asked for it.
    refused: Mutex<BTreeMap<String, Refusal>>,
    stopped: AtomicBool,
}

struct FeedState {
    epoch: u64,
    items: VecDeque<Item>,
    next: u64,
    on_their_way: BTreeMap<u64, Arc<Item>>,
    wakers: Vec<SyncActivator>,
}

impl Feeder {
    pub(crate) fn new(
        stage: &str,
        task: Arc<dyn Task>,
        dataset: Arc<Dataset>,
        schedule: Schedule,
        threads: usize,
    ) -> Self {
        let epoch = schedule.epochs.start;
        let items = if schedule.epochs.is_empty() { Vec::new() } else { (schedule.plan)(epoch) };
        let state = FeedState {
            epoch,
            items: items.into(),
            next: 0,
            on_their_way: BTreeMap::new(),
            wakers: Vec::new(),
        };
        Self {
            stage: stage.to_owned(),
            columns: task.columns(),
            task,
            dataset,
            schedule,
            budget: Budget::new(u64::MAX, Self::window(threads)),
            state: Mutex::new(state),
            refused: Mutex::default(),
            stopped: AtomicBool::new(false),
        }
    }

    /// Items that can be on their way at once.
    pub(crate) fn window(threads: usize) -> usize {
        2 * threads + SPARE_ITEMS
    }

    /// Feeds nothing more.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.wake_all();
    }

    /// Whether epochs end early from here on.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// The item of a sequence number; forgets it.
    pub(crate) fn take_item(&self, sequence: u64) -> Option<Arc<Item>> {
        self.lock().on_their_way.remove(&sequence)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, FeedState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_all(&self) {
        for waker in &self.lock().wakers {
            // A worker that has left has nothing to wake.
            let _ = waker.activate();
        }
    }

    fn register(&self, waker: SyncActivator) {
        self.budget.wake_on_return(waker.clone());
        self.lock().wakers.push(waker);
    }

    fn forget_wakers(&self) {
        self.budget.forget_wakers();
        self.lock().wakers.clear();
    }

    /// The next item and its sequence number, if a permit can be had.
    fn claim(&self) -> Claim {
        let mut state = self.lock();
        let mut advanced = false;
        while state.items.is_empty() && state.epoch < self.schedule.epochs.end {
            state.epoch += 1;
            advanced = true;
            if state.epoch < self.schedule.epochs.end {
                state.items = (self.schedule.plan)(state.epoch).into();
            }
        }
        let claim = match (state.items.is_empty() || self.is_stopped(), self.budget.try_take(1)) {
            (true, _) => Claim::End,
            (false, None) => Claim::Wait(state.epoch),
            (false, Some(permit)) => match state.items.pop_front() {
                Some(item) => {
                    let (item, sequence) = (Arc::new(item), state.next);
                    state.next += 1;
                    state.on_their_way.insert(sequence, Arc::clone(&item));
                    Claim::Item(state.epoch, sequence, item, permit)
                }
                None => Claim::End,
            },
        };
        drop(state);
        if advanced {
            // Every worker must let go of the epoch that ended, or its frontier would not pass.
            self.wake_all();
        }
        claim
    }

    /// Samples that could not be used so far, in order of their names.
    pub(crate) fn refusals(&self) -> Vec<Refusal> {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.values().cloned().collect()
    }

    fn refuse(&self, sample: &str, fault: &Fault) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.entry(sample.to_owned()).or_insert_with(|| Refusal {
            stage: self.stage.clone(),
            sample: sample.to_owned(),
            code: fault.code.to_owned(),
            message: fault.message.clone(),
            path: None,
            offset: fault.offset,
            attempt: 1,
            seconds: 0.0,
        });
    }

    /// The rows of an item as the session takes them; those that cannot be used are refused.
    fn read(&self, item: &Item) -> Result<Batch, EngineFault> {
        let task = |message| EngineFault::Task { stage: self.stage.clone(), message };
        let rows = self.rows(&item.rows)?;
        let mut refusals = Refusals::default();
        let prepared = guarded(|| self.task.prepare(item, &rows, &mut refusals))
            .map_err(|panic| task(format!("preparing a batch panicked: {panic}")))?
            .map_err(|fault| task(fault.message))?;
        let samples = rows.utf8("sample").map_err(|e| task(e.to_string()))?;
        for (row, fault) in refusals.into_rows() {
            self.refuse(samples.value(row), &fault);
        }
        Ok(prepared)
    }

    /// Rows of the data set. Where a file was damaged since it was opened, those that can still be
    /// read; the others are refused.
    fn rows(&self, wanted: &[usize]) -> Result<Batch, EngineFault> {
        let fault = |e| EngineFault::dataset(&self.stage, e);
        let damage = match self.dataset.read(wanted, &self.columns) {
            Ok(rows) => return Ok(rows),
            Err(error @ DatasetError::Format { .. }) => error,
            Err(error) => return Err(fault(error)),
        };
        tracing::warn!("{}: {damage}", self.stage);
        let mut whole = Vec::new();
        for &row in wanted {
            match self.dataset.read(&[row], &self.columns) {
                Ok(_) => whole.push(row),
                Err(error @ DatasetError::Format { .. }) => {
                    let sample = &self.dataset.index().rows[row].sample;
                    self.refuse(sample, &Fault::new("damaged", error.to_string()));
                }
                Err(error) => return Err(fault(error)),
            }
        }
        self.dataset.read(&whole, &self.columns).map_err(fault)
    }
}

enum Claim {
    Item(u64, u64, Arc<Item>, Permit),
    Wait(u64),
    End,
}

/// Where the first worker leaves the feeder for the others of its process.
pub(crate) type FeederSlot = Arc<Slot>;

/// A feeder, once there is one; and the operators that wait for it.
#[derive(Default)]
pub(crate) struct Slot {
    state: Mutex<SlotState>,
}

#[derive(Default)]
struct SlotState {
    feed: Feed,
    waiting: Vec<SyncActivator>,
}

/// What is known of the feeder.
#[derive(Clone, Default)]
enum Feed {
    /// Nothing yet.
    #[default]
    Unknown,
    /// There will be none in this process.
    Nothing,
    /// Here it is.
    From(Arc<Feeder>),
}

impl Slot {
    /// Leaves the feeder, or word that there will be none.
    pub(crate) fn fill(&self, feeder: Option<Arc<Feeder>>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.feed = feeder.map_or(Feed::Nothing, Feed::From);
        for waker in state.waiting.drain(..) {
            // A worker that has left has nothing to wake.
            let _ = waker.activate();
        }
    }

    /// What is known now; an operator that is told nothing is woken once there is more to know.
    fn get(&self, waker: &SyncActivator) -> Feed {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(state.feed, Feed::Unknown) {
            state.waiting.push(waker.clone());
        }
        state.feed.clone()
    }
}

/// Builds the dataflow of one task on one worker. `trainer` is there on the first worker only.
pub(crate) fn build(
    worker: &mut Worker,
    stage: &str,
    slot: &FeederSlot,
    trainer: Option<Trainer>,
    shared: &Arc<Shared>,
) {
    worker.dataflow::<u64, _, _>(|scope| {
        let batches = feed_operator(scope, stage, slot, shared);
        train_operator(scope, stage, batches, trainer, shared);
    });
}

fn feed_operator<'scope>(
    scope: Scope<'scope, u64>,
    stage: &str,
    slot: &FeederSlot,
    shared: &Arc<Shared>,
) -> Packets<'scope> {
    let mut builder = OperatorBuilder::new(format!("{stage} (feed)"), scope);
    let wake = scope.worker().sync_activator_for(builder.operator_info().address.to_vec());
    let (output, stream) = builder.new_output::<Packet>();
    let mut output = Port::from(output);
    let mut state = FeedOperator {
        slot: Arc::clone(slot),
        feeder: None,
        shared: Arc::clone(shared),
        wake,
        hold: None,
        reading: BTreeMap::new(),
        inbox: Arc::new(Inbox::new()),
    };
    builder.build(move |mut capabilities| {
        state.hold = capabilities.pop();
        move |_frontiers| {
            for mut packet in state.inbox.take() {
                if let Some(leave) = state.reading.remove(&packet.part) {
                    output.activate().session_with_builder(&leave).give_container(&mut packet);
                }
            }
            state.claim_all();
        }
    });
    stream
}

struct FeedOperator {
    slot: FeederSlot,
    feeder: Option<Arc<Feeder>>,
    shared: Arc<Shared>,
    wake: SyncActivator,
    hold: Option<Capability<u64>>,
    reading: BTreeMap<u64, Capability<u64>>,
    inbox: Arc<Inbox<Packet>>,
}

impl FeedOperator {
    fn claim_all(&mut self) {
        if self.hold.is_none() || !self.has_feeder() {
            return;
        }
        while let (Some(hold), Some(feeder)) = (&mut self.hold, &self.feeder) {
            if self.shared.is_ending() {
                feeder.stop();
            }
            match feeder.claim() {
                Claim::Item(epoch, sequence, item, permit) => {
                    hold.downgrade(&epoch);
                    self.reading.insert(sequence, hold.clone());
                    let feeder = Arc::clone(feeder);
                    self.submit(feeder, sequence, item, permit);
                }
                Claim::Wait(epoch) => {
                    hold.downgrade(&epoch);
                    return;
                }
                Claim::End => self.hold = None,
            }
        }
    }

    /// Whether the feeder is known; lets go when there will be none.
    fn has_feeder(&mut self) -> bool {
        if self.feeder.is_none() {
            match self.slot.get(&self.wake) {
                Feed::Unknown => {}
                Feed::Nothing => self.hold = None,
                Feed::From(feeder) => {
                    feeder.register(self.wake.clone());
                    self.feeder = Some(feeder);
                }
            }
        }
        self.feeder.is_some()
    }

    fn submit(&self, feeder: Arc<Feeder>, sequence: u64, item: Arc<Item>, permit: Permit) {
        let (inbox, wake) = (Arc::clone(&self.inbox), self.wake.clone());
        let shared = Arc::clone(&self.shared);
        self.shared.pool.submit(0, move || {
            match feeder.read(&item) {
                Ok(batch) => inbox.put(Packet::rows(sequence, batch, Some(Arc::new(permit)))),
                Err(fault) => shared.fail(fault),
            }
            // The worker may have left already, when the run was aborted.
            let _ = wake.activate();
        });
    }
}

impl Drop for FeedOperator {
    fn drop(&mut self) {
        if let Some(feeder) = &self.feeder {
            feeder.forget_wakers();
        }
    }
}

/// On the first worker: puts batches in order and gives them to the trainer's thread.
fn train_operator<'scope>(
    scope: Scope<'scope, u64>,
    stage: &str,
    batches: Packets<'scope>,
    trainer: Option<Trainer>,
    shared: &Arc<Shared>,
) {
    let mut builder = OperatorBuilder::new(stage.to_owned(), scope);
    let mut input = builder.new_input(batches, DistributorPact(|_| ToFirst));
    let shared = Arc::clone(shared);
    builder.build(move |_initial| {
        let mut order = trainer.map(Order::new);
        move |frontiers: &[MutableAntichain<u64>]| {
            input.for_each(|_, packet| {
                if let Some(order) = &mut order {
                    order.arrived.insert(packet.part, std::mem::take(packet));
                }
            });
            if let Some(order) = &mut order
                && !shared.is_aborted()
            {
                order.deliver(|epoch| !frontiers[0].less_equal(&epoch));
            }
        }
    });
}

/// Batches that arrived before their turn.
struct Order {
    trainer: Trainer,
    arrived: BTreeMap<u64, Packet>,
    next: u64,
    epoch: u64,
}

impl Order {
    fn new(trainer: Trainer) -> Self {
        let epoch = trainer.feeder.schedule.epochs.start;
        Self { trainer, arrived: BTreeMap::new(), next: 0, epoch }
    }

    /// Delivers what is due: batches in order, and the end of every epoch that the frontier passed.
    fn deliver(&mut self, is_over: impl Fn(u64) -> bool) {
        loop {
            let feeder = &self.trainer.feeder;
            let due = self.arrived.contains_key(&self.next);
            let of_this_epoch = due && feeder.epoch_of(self.next) == Some(self.epoch);
            if of_this_epoch {
                let Some(packet) = self.arrived.remove(&self.next) else { return };
                let Some(item) = feeder.take_item(self.next) else { return };
                self.next += 1;
                self.trainer.send(Message::Step(item, packet));
            } else if self.epoch < feeder.schedule.epochs.end
                && is_over(self.epoch)
                && !feeder.is_stopped()
            {
                self.trainer.send(Message::EndEpoch(self.epoch));
                self.epoch += 1;
            } else {
                return;
            }
        }
    }
}

impl Feeder {
    fn epoch_of(&self, sequence: u64) -> Option<u64> {
        self.lock().on_their_way.get(&sequence).map(|item| item.epoch)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use voxflow_contract::{
        ContentHash, Purpose, Schema, Session, SetupFault, TaskContext, TaskError, Values, tables,
    };
    use voxflow_formats::parquet::{ParquetWriter, WriteOptions};

    use super::*;

    /// Refuses one sample, passes on the others.
    struct Picky;

    impl Task for Picky {
        fn check(&self, _data: &Schema) -> Result<(), SetupFault> {
            Ok(())
        }

        fn columns(&self) -> Vec<String> {
            vec!["split".to_owned()]
        }

        fn prepare(&self, _: &Item, rows: &Batch, refusals: &mut Refusals) -> Result<Batch, Fault> {
            let samples = rows.utf8("sample")?;
            let is_bad = |row: &usize| samples.value(*row) == "b";
            for row in (0..rows.rows()).filter(is_bad) {
                refusals.refuse(row, Fault::new("picture", "it does not decode"));
            }
            let kept: Vec<usize> = (0..rows.rows()).filter(|row| !is_bad(row)).collect();
            Ok(rows.gather(&kept))
        }

        fn open(&self, _: TaskContext) -> Result<(Schedule, Box<dyn Session>), TaskError> {
            Err(SetupFault::new("only fed here").into())
        }
    }

    fn write(path: &Path, samples: &[&str]) {
        let schema = Schema::new("row", 1, tables::split().columns().to_vec());
        let same = |text: &'static str| Values::utf8(samples.iter().map(|_| text));
        let content = Values::fixed_binary(ContentHash::LEN, samples.iter().map(|_| [7; 32]));
        let values = vec![Values::utf8(samples), same("box"), content, same("train")];
        let batch = Batch::new(schema.clone(), values).expect("a batch");
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        let file = std::fs::File::create(path).expect("a file");
        let options = WriteOptions::default();
        let mut writer = ParquetWriter::new(file, &schema, options).expect("a writer");
        writer.write(&batch).expect("written");
        writer.finish().expect("finished");
    }

    #[test]
    fn what_a_task_cannot_use_is_refused_once_and_the_rest_goes_on() {
        let folder = tempfile::tempdir().expect("a folder");
        let files = ["train/part-00000.parquet", "train/part-00001.parquet"];
        let files = files.map(|name| folder.path().join(name));
        write(&files[0], &["a", "b"]);
        write(&files[1], &["c", "d"]);
        let dataset = Dataset::open(folder.path()).expect("a data set").with_cache_bytes(0);
        let schedule = Schedule { epochs: 0..1, plan: Arc::new(|_| Vec::new()) };
        let feeder = Feeder::new("train", Arc::new(Picky), Arc::new(dataset), schedule, 1);
        let item = Item { epoch: 0, sequence: 0, purpose: Purpose::Train, rows: vec![3, 1, 0] };
        let fed = || {
            let batch = feeder.read(&item).expect("fed");
            let samples = batch.utf8("sample").expect("samples");
            (0..batch.rows()).map(|row| samples.value(row).to_owned()).collect::<Vec<_>>()
        };
        assert_eq!((fed(), fed()), (vec!["d".into(), "a".into()], vec!["d".into(), "a".into()]));
        // A bit flips while the data set is read: its samples are refused, none is passed on changed.
        let mut bytes = std::fs::read(&files[1]).expect("bytes");
        bytes[20] ^= 4;
        std::fs::write(&files[1], bytes).expect("written");
        assert_eq!(fed(), ["a"]);
        let refusals = feeder.refusals();
        let told: Vec<_> = refusals.iter().map(|r| (r.sample.as_str(), r.code.as_str())).collect();
        assert_eq!(told, [("b", "picture"), ("d", "damaged")]);
        assert!(refusals[1].message.contains("part-00001.parquet"), "{:?}", refusals[1]);
    }
}
