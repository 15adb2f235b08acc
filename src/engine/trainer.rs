//! The trainer: a task's session on a thread of its own, fed in order through a bounded channel.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use voxflow_contract::{Flow, Item, Outcome, Session, Task, TaskContext, TaskError};
use voxflow_sources::Dataset;

use super::fault::EngineFault;
use super::feed::Feeder;
use super::feeding::Feeding;
use super::guard::guarded;
use super::packet::Packet;
use super::shared::Shared;

/// What the trainer is told.
pub(crate) enum Message {
    /// Step on a batch.
    Step(Arc<Item>, Packet),
    /// All batches of an epoch were stepped on.
    EndEpoch(u64),
}

/// The sending end of a trainer.
pub(crate) struct Trainer {
    pub(crate) feeder: Arc<Feeder>,
    sender: SyncSender<Message>,
}

impl Trainer {
    /// Gives a message to the thread. The channel is longer than the feeder's window and one
    /// message an epoch, so this does not wait; a thread that has ended takes nothing more.
    pub(crate) fn send(&self, message: Message) {
        let _ = self.sender.send(message);
    }
}

/// A trainer at work; to be waited for.
pub(crate) struct Training {
    thread: JoinHandle<Option<(Outcome, Feeding)>>,
}

impl Training {
    /// Waits for the end. `None` when the run failed or was stopped over it.
    pub(crate) fn join(self) -> Option<(Outcome, Feeding)> {
        self.thread.join().ok().flatten()
    }
}

/// What a trainer needs to begin.
pub(crate) struct Start {
    pub(crate) stage: String,
    pub(crate) task: Arc<dyn Task>,
    pub(crate) dataset: Arc<Dataset>,
    pub(crate) context: TaskContext,
    pub(crate) threads: usize,
}

/// Opens a task on a new thread and makes the feeder for what it wants to read.
///
/// # Errors
/// When the task cannot be opened.
pub(crate) fn start(
    start: Start,
    shared: &Arc<Shared>,
) -> Result<(Trainer, Training), EngineFault> {
    let (sender, receiver) = sync_channel(2 * Feeder::window(start.threads) + 2);
    let (opened, open) = sync_channel(1);
    let feeder_slot: Arc<Mutex<Option<Arc<Feeder>>>> = Arc::default();
    let thread = {
        let (shared, slot) = (Arc::clone(shared), Arc::clone(&feeder_slot));
        let (task, context) = (Arc::clone(&start.task), start.context.clone());
        let stage = start.stage.clone();
        let work = move || {
            let opening = guarded(|| task.open(context));
            let opening = opening.unwrap_or_else(|panic| Err(panicked(&panic)));
            let session = match opening {
                Ok((schedule, session)) => {
                    let _ = opened.send(Ok(schedule));
                    session
                }
                Err(error) => {
                    let _ = opened.send(Err(error));
                    return None;
                }
            };
            train(&stage, session, &receiver, &slot, &shared)
        };
        std::thread::Builder::new().name(format!("task-{}", start.stage)).spawn(work)
    };
    let thread = thread.map_err(|e| EngineFault::Bug(format!("no thread for the task: {e}")))?;
    let schedule = open
        .recv()
        .map_err(|_| EngineFault::Bug("the task's thread ended before it began".to_owned()))?
        .map_err(|error| EngineFault::task(&start.stage, error))?;
    let Start { stage, task, dataset, threads, .. } = start;
    let feeder = Arc::new(Feeder::new(&stage, task, dataset, schedule, threads));
    *feeder_slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&feeder));
    Ok((Trainer { feeder, sender }, Training { thread }))
}

fn panicked(message: &str) -> TaskError {
    TaskError::Machine(voxflow_contract::MachineFault::new(format!("the task panicked: {message}")))
}

fn train(
    stage: &str,
    mut session: Box<dyn Session>,
    receiver: &Receiver<Message>,
    feeder: &Mutex<Option<Arc<Feeder>>>,
    shared: &Shared,
) -> Option<(Outcome, Feeding)> {
    let (mut is_enough, mut feeding) = (false, Feeding::default());
    // Reading begins with the task: the wait for the first batch says nothing of the pace.
    let mut free_since: Option<Instant> = None;
    for message in receiver {
        if is_enough || shared.is_ending() {
            continue;
        }
        feeding.waited += free_since.map(|since| since.elapsed()).unwrap_or_default();
        let step = || match &message {
            Message::Step(item, packet) => match &packet.batch {
                Some(batch) => session.step(item, batch).map(|()| Flow::Continue),
                None => Ok(Flow::Continue),
            },
            Message::EndEpoch(epoch) => session.end_epoch(*epoch),
        };
        let result = feeding.during(|| guarded(step));
        free_since = Some(Instant::now());
        match result.unwrap_or_else(|panic| Err(panicked(&panic))) {
            Ok(Flow::Continue) => {}
            Ok(Flow::Stop) => {
                is_enough = true;
                let feeder = feeder.lock().unwrap_or_else(PoisonError::into_inner).clone();
                feeder.iter().for_each(|feeder| feeder.stop());
            }
            Err(error) => shared.fail(EngineFault::task(stage, error)),
        }
    }
    if shared.is_ending() {
        return None;
    }
    match guarded(|| session.finish()).unwrap_or_else(|panic| Err(panicked(&panic))) {
        Ok(outcome) => Some((outcome, feeding)),
        Err(error) => {
            shared.fail(EngineFault::task(stage, error));
            None
        }
    }
}
