//! The tasks of a run, one after the other, once the data sets are there.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use timely::worker::Worker;
use voxflow_contract::{Outcome, Refusal, Stage, TaskContext};
use voxflow_sources::Dataset;

use super::{Opened, Process, drive, io_fault};
use crate::engine::counters::{StageCount, nanos};
use crate::engine::fault::EngineFault;
use crate::engine::feed;
use crate::engine::feeding::Feeding;
use crate::engine::report::TaskReport;
use crate::engine::trainer::{Start, Trainer, Training, start};

impl Process {
    /// One worker's part in a task: it prepares batches; the first worker of the first process trains, too.
    pub(super) fn run_task(&self, worker: &mut Worker, opened: &Opened, place: usize, task: usize) {
        let (shared, slot) = (&opened.shared, &opened.slots[place]);
        let id = &self.graph.nodes[task].id;
        let process = self.process();
        let begun = Instant::now();
        let mut training = None;
        let mut trainer = None;
        if worker.index() == 0 {
            if !shared.is_ending() {
                match self.start_task(opened, task) {
                    Ok((opened_trainer, thread)) => {
                        let feeder = Arc::clone(&opened_trainer.feeder);
                        (trainer, training) = (Some(opened_trainer), Some((thread, feeder)));
                    }
                    Err(fault) => shared.fail(fault),
                }
            }
            slot.fill(trainer.as_ref().map(|trainer| Arc::clone(&trainer.feeder)));
        } else if process != 0 {
            slot.fill(None);
        }
        feed::build(worker, id, slot, trainer, shared);
        drive(worker, shared);
        let Some((training, feeder)) = training else { return };
        match training.join() {
            Some(done) => self.task_done(task, done, &feeder.refusals(), begun.elapsed()),
            None if shared.is_aborted() => {}
            None => shared.fail(EngineFault::TaskStopped { stage: id.clone() }),
        }
    }

    fn task_done(
        &self,
        task: usize,
        (outcome, feeding): (Outcome, Feeding),
        refusals: &[Refusal],
        elapsed: Duration,
    ) {
        let stage = self.graph.nodes[task].id.clone();
        let mut report = self.report();
        let samples: u64 = report.committed.values().flat_map(|c| c.splits.values()).sum();
        if let Some(count) = report.stages.get_mut(task) {
            *count = StageCount {
                rows_in: samples,
                rows_out: samples.saturating_sub(refusals.len() as u64),
                refused: refusals.len() as u64,
                nanos: nanos(elapsed),
                ..StageCount::default()
            };
        }
        report.refusals.extend_from_slice(refusals);
        report.tasks.push(TaskReport { stage, outcome, feeding });
    }

    fn start_task(&self, opened: &Opened, task: usize) -> Result<(Trainer, Training), EngineFault> {
        let node = &self.graph.nodes[task];
        let Stage::Task(stage) = &node.stage else {
            return Err(EngineFault::Bug(format!("{} is no task", node.id)));
        };
        let folder = opened.folder.join(&node.id);
        fs::create_dir_all(&folder).map_err(|e| io_fault(&node.id, "create", &folder, e))?;
        let inputs = self.folders_of_inputs(opened, task);
        let dataset = self.dataset_of(opened, task)?;
        let (progress, id) = (Arc::clone(&self.options.task_progress), node.id.clone());
        let context = TaskContext {
            stage: node.id.clone(),
            folder,
            inputs,
            index: Arc::clone(dataset.index()),
            resume: self.options.resume,
            stop: self.options.stop.flag(),
            progress: Arc::new(move |line, share| progress(&id, line, share)),
        };
        let begin = Start {
            stage: node.id.clone(),
            task: Arc::clone(stage),
            dataset: Arc::new(dataset),
            context,
            threads: self.options.workers,
        };
        start(begin, &opened.shared)
    }

    fn folders_of_inputs(&self, opened: &Opened, task: usize) -> BTreeMap<String, PathBuf> {
        let folder = |&from: &usize| {
            let node = &self.graph.nodes[from];
            let folder = match &node.stage {
                Stage::Sink(sink) => opened.folder.join(sink.folder()),
                _ => opened.folder.join(&node.id),
            };
            (node.id.clone(), folder)
        };
        self.graph.nodes[task].from.iter().map(folder).collect()
    }

    /// The data set a task reads: of the sink it names first, or of the task it reads from.
    fn dataset_of(&self, opened: &Opened, task: usize) -> Result<Dataset, EngineFault> {
        let sink = self.sink_above(task);
        let sink = sink.map(|sink| &self.graph.nodes[sink]);
        let Some((Stage::Sink(stage), id)) = sink.map(|node| (&node.stage, &node.id)) else {
            let id = &self.graph.nodes[task].id;
            return Err(EngineFault::Bug(format!("{id} reads no data set")));
        };
        let dataset = Dataset::open(&opened.folder.join(stage.folder()))
            .map_err(|e| EngineFault::dataset(id, e))?;
        Ok(dataset.with_cache_bytes(self.options.memory_bytes as usize / 2))
    }

    fn sink_above(&self, stage: usize) -> Option<usize> {
        let from = &self.graph.nodes[stage].from;
        let is_sink = |input: &&usize| matches!(self.graph.nodes[**input].stage, Stage::Sink(_));
        let direct = from.iter().find(is_sink).copied();
        direct.or_else(|| from.iter().find_map(|&input| self.sink_above(input)))
    }
}
