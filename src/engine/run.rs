//! Running a graph: workers, commit of the sinks, tasks, and the report.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use timely::worker::Worker;
use voxflow_contract::{
    Batch, Committed, MachineFault, Outcome, Refusal, Stage, TaskContext, tables,
};
use voxflow_sources::Dataset;

use super::claims::Claims;
use super::cluster::{Agreement, Cluster, Watch, agree};
use super::counters::{Counters, StageCount, nanos};
use super::fault::EngineFault;
use super::feed::{self, Slot};
use super::graph::Graph;
use super::permits::Budget;
use super::pool::Pool;
use super::prepare;
use super::record::{Journal, PartRecord, part_file, part_fingerprint, read_journals};
use super::scan::Scan;
use super::shared::{Fate, Shared, Stop};
use super::sink_record::{AllParts, SinkRecord};
use super::trainer::{Start, start};

/// Parts that may be in flight for each thread, whatever their size.
const PARTS_PER_THREAD: usize = 3;
/// How long a worker sleeps at most before it looks whether the run failed.
const PARK: Duration = Duration::from_millis(100);

/// Takes a stage, a line of progress and the share that is done.
pub type TaskProgress = Arc<dyn Fn(&str, &str, f64) + Send + Sync>;

/// How to run.
#[derive(Clone)]
pub struct Options {
    /// Worker threads, and as many in the pool.
    pub workers: usize,
    /// Bytes of rows in flight at most.
    pub memory_bytes: u64,
    /// Folder that holds all runs.
    pub runs: PathBuf,
    /// Name of this run's folder; in a cluster the first process's name counts.
    pub run: String,
    /// Whether tasks go on from their last checkpoint.
    pub resume: bool,
    /// Place in a cluster, if there is one.
    pub cluster: Option<Cluster>,
    /// How a person stops the run.
    pub stop: Stop,
    /// Live counts, one a stage of the graph.
    pub counters: Arc<Counters>,
    /// Takes the progress of tasks.
    pub task_progress: TaskProgress,
}

/// What a task left behind.
#[derive(Debug, Clone)]
pub struct TaskReport {
    /// Stage.
    pub stage: String,
    /// Metrics and report.
    pub outcome: Outcome,
}

/// What a run did.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Folder of the run.
    pub folder: PathBuf,
    /// What each stage did, over all processes and attempts.
    pub stages: Vec<StageCount>,
    /// Every refused sample.
    pub refusals: Vec<Refusal>,
    /// What each sink committed, by stage id.
    pub committed: BTreeMap<String, Committed>,
    /// What each task left behind.
    pub tasks: Vec<TaskReport>,
    /// Whether this process is the first and the report whole.
    pub is_first: bool,
}

/// Runs a graph to its end.
///
/// # Errors
/// Says what stopped it; what was committed stays and is reused by a run of the same folder.
pub fn run(
    graph: &Graph,
    scans: BTreeMap<usize, Scan>,
    options: &Options,
) -> Result<Report, EngineFault> {
    let process = options.cluster.as_ref().map_or(0, |cluster| cluster.process);
    let watch = options.cluster.as_ref().map(Watch::start).transpose();
    let watch =
        watch.map_err(|e| EngineFault::Bug(format!("no thread to watch the cluster: {e}")))?;
    let process_state = Arc::new(Process {
        graph: graph.clone(),
        scans: Arc::new(scans),
        options: options.clone(),
        watch,
        opened: OnceLock::new(),
        report: Mutex::new(Report { is_first: process == 0, ..Report::default() }),
    });
    let config = match &options.cluster {
        Some(cluster) => cluster.config(options.workers),
        None => timely::Config::process(options.workers),
    };
    let of_workers = Arc::clone(&process_state);
    let guards = timely::execute(config, move |worker| of_workers.work(worker));
    let guards = guards.map_err(EngineFault::Peer)?;
    let results = guards.join();
    process_state.finish(&results)
}

/// What the workers of this process share, before and after the run's folder is known.
struct Process {
    graph: Graph,
    scans: Arc<BTreeMap<usize, Scan>>,
    options: Options,
    watch: Option<Watch>,
    opened: OnceLock<Result<Opened, String>>,
    report: Mutex<Report>,
}

struct Opened {
    folder: PathBuf,
    shared: Arc<Shared>,
    slots: Vec<Arc<Slot>>,
    /// Sinks that an earlier attempt committed.
    ready: BTreeMap<usize, SinkRecord>,
}

impl Process {
    /// One worker's whole life.
    fn work(&self, worker: &mut Worker) -> Result<(), String> {
        let run = self.agree(worker).map_err(|fault| fault.to_string())?;
        let opened = self.opened.get_or_init(|| self.open(&run).map_err(|fault| fault.to_string()));
        let opened = opened.as_ref().map_err(Clone::clone)?;
        let shared = &opened.shared;
        let _fate = Fate(Arc::clone(shared));
        prepare::build(worker, shared);
        drive(worker, shared);
        shared.sync_journals();
        let is_first = worker.index() == 0;
        if is_first && let Err(fault) = self.commit(opened) {
            shared.fail(fault);
        }
        for (place, task) in self.graph.tasks().into_iter().enumerate() {
            self.run_task(worker, opened, place, task);
        }
        shared.budget.forget_wakers();
        Ok(())
    }

    /// The run's name, which in a cluster the first process decides.
    fn agree(&self, worker: &mut Worker) -> Result<String, EngineFault> {
        let Some(cluster) = &self.options.cluster else { return Ok(self.options.run.clone()) };
        let mine = Agreement { run: self.options.run.clone(), digest: self.digest() };
        let heard = agree(worker, &mine)?;
        if heard.digest != mine.digest {
            return Err(EngineFault::Peer(format!(
                "process {} has another pipeline, other parameters or sees other samples than process 0",
                cluster.process
            )));
        }
        Ok(heard.run)
    }

    fn digest(&self) -> String {
        let nodes = self.graph.nodes.iter().map(|node| node.fingerprint.as_str());
        let scans = self.scans.values().map(|scan| scan.digest.as_str());
        let all: Vec<&str> = nodes.chain(scans).collect();
        blake3::hash(all.join("/").as_bytes()).to_hex().to_string()
    }

    /// Opens the run's folder and sees what is left to do.
    fn open(&self, run: &str) -> Result<Opened, EngineFault> {
        let (options, graph) = (&self.options, &self.graph);
        let folder = options.runs.join(run);
        if !folder.is_dir() {
            return Err(EngineFault::Peer(format!(
                "this process does not see the run's folder; all processes must share --home: {}",
                folder.display()
            )));
        }
        if let (Some(watch), Some(cluster)) = (&self.watch, &options.cluster) {
            let watching = watch.connected(cluster, &folder, &options.stop);
            watching.map_err(|e| io_fault("cluster", "watch", &folder, e))?;
        }
        let ready: BTreeMap<usize, SinkRecord> = graph
            .sinks()
            .into_iter()
            .filter_map(|sink| Some((sink, self.read_sink_record(&folder, sink)?)))
            .collect();
        let mut part_folders = BTreeMap::new();
        for sink in graph.sinks() {
            let parts = folder.join("parts").join(&graph.nodes[sink].id);
            if !ready.contains_key(&sink) {
                fs::create_dir_all(&parts).map_err(|e| io_fault("engine", "create", &parts, e))?;
            }
            part_folders.insert(sink, parts);
        }
        let shared = self.share(&ready, part_folders)?;
        let slots = graph.tasks().iter().map(|_| Arc::default()).collect();
        Ok(Opened { folder, shared: Arc::new(shared), slots, ready })
    }

    fn share(
        &self,
        ready: &BTreeMap<usize, SinkRecord>,
        part_folders: BTreeMap<usize, PathBuf>,
    ) -> Result<Shared, EngineFault> {
        let (options, graph) = (&self.options, &self.graph);
        let (process, processes) =
            options.cluster.as_ref().map_or((0, 1), |c| (c.process, c.addresses.len()));
        let mut claims = BTreeMap::new();
        let mut reused_keys: BTreeMap<usize, Vec<Batch>> = BTreeMap::new();
        let mut journals = BTreeMap::new();
        for (&root, scan) in self.scans.iter() {
            let sinks: Vec<usize> =
                graph.sinks().into_iter().filter(|&sink| graph.root(sink) == root).collect();
            let mut records = BTreeMap::new();
            for &sink in sinks.iter().filter(|sink| !ready.contains_key(sink)) {
                records.insert(sink, self.read_records(&part_folders[&sink], sink)?);
            }
            let is_done = |part: &u64| records.values().all(|found| found.contains_key(part));
            let done: BTreeSet<u64> = (0..scan.parts.len() as u64).filter(is_done).collect();
            self.count_reused(&sinks, &done, ready, &records);
            for &sink in records.keys() {
                let folder = &part_folders[&sink];
                reused_keys.insert(sink, self.keys_of_parts(folder, sink, &done)?);
                let journal = Journal::open(folder, process)
                    .map_err(|fault| EngineFault::machine(&graph.nodes[sink].id, fault))?;
                journals.insert(sink, Mutex::new(journal));
            }
            claims.insert(root, Claims::new(scan, process, processes, |part| done.contains(&part)));
        }
        let pool = Pool::new(options.workers)
            .map_err(|e| EngineFault::Bug(format!("no threads for the pool: {e}")))?;
        let parts = PARTS_PER_THREAD * options.workers.max(1) + 1;
        Ok(Shared::new(
            graph.clone(),
            Arc::clone(&self.scans),
            claims,
            reused_keys,
            part_folders,
            journals,
            Arc::clone(&options.counters),
            pool,
            Budget::new(options.memory_bytes, parts),
            options.stop.clone(),
        ))
    }

    /// The records of a sink's parts that are still good.
    fn read_records(
        &self,
        folder: &Path,
        sink: usize,
    ) -> Result<BTreeMap<u64, PartRecord>, EngineFault> {
        let node = &self.graph.nodes[sink];
        let scan = &self.scans[&self.graph.root(sink)];
        let expected = |part: u64| {
            let part = scan.parts.get(usize::try_from(part).ok()?)?;
            Some(part_fingerprint(&node.fingerprint, &part.digest))
        };
        read_journals(folder, expected).map_err(|fault| EngineFault::machine(&node.id, fault))
    }

    /// Counts rows that earlier attempts made, so that progress and report begin where they ended.
    fn count_reused(
        &self,
        sinks: &[usize],
        done: &BTreeSet<u64>,
        ready: &BTreeMap<usize, SinkRecord>,
        records: &BTreeMap<usize, BTreeMap<u64, PartRecord>>,
    ) {
        let Some(sink) = sinks.first() else { return };
        let of_parts = records.get(sink).into_iter().flat_map(|found| {
            found.iter().filter(|(part, _)| done.contains(part)).map(|(_, record)| &record.stages)
        });
        for stages in ready.get(sink).map(|record| &record.stages).into_iter().chain(of_parts) {
            for (id, count) in stages {
                if let Some(stage) = self.graph.nodes.iter().position(|node| node.id == *id) {
                    let count = StageCount { reused: count.rows_out, ..*count };
                    self.options.counters.add(stage, count);
                }
            }
        }
    }

    /// The keys of parts that earlier attempts committed, for keyed stages.
    fn keys_of_parts(
        &self,
        folder: &Path,
        sink: usize,
        parts: &BTreeSet<u64>,
    ) -> Result<Vec<Batch>, EngineFault> {
        let node = &self.graph.nodes[sink];
        let Stage::Sink(stage) = &node.stage else { return Ok(Vec::new()) };
        let mut keys = Vec::new();
        for &part in parts {
            let path = part_file(folder, part);
            if path.is_file() {
                let read = stage.read_keys(&path);
                keys.push(read.map_err(|fault| EngineFault::machine(&node.id, fault))?);
            }
        }
        Ok(keys)
    }

    fn sink_fingerprint(&self, sink: usize) -> String {
        let scan = &self.scans[&self.graph.root(sink)];
        part_fingerprint(&self.graph.nodes[sink].fingerprint, &scan.digest)
    }

    fn read_sink_record(&self, folder: &Path, sink: usize) -> Option<SinkRecord> {
        let node = &self.graph.nodes[sink];
        let Stage::Sink(stage) = &node.stage else { return None };
        let data = folder.join(stage.folder());
        SinkRecord::read(folder, &node.id, &data, &self.sink_fingerprint(sink))
    }

    /// On the first worker: makes the data sets, once all parts are there.
    fn commit(&self, opened: &Opened) -> Result<(), EngineFault> {
        if opened.shared.is_aborted() {
            return Ok(());
        }
        let mut counted: BTreeMap<String, StageCount> = BTreeMap::new();
        let mut refusals: BTreeMap<(String, String), Refusal> = BTreeMap::new();
        for sink in self.graph.sinks() {
            let record = match opened.ready.get(&sink) {
                Some(record) => record.clone(),
                None => self.commit_sink(opened, sink)?,
            };
            let id = self.graph.nodes[sink].id.clone();
            for (stage, count) in &record.stages {
                counted.entry(stage.clone()).or_insert(*count);
            }
            for refusal in &record.refused {
                let key = (refusal.sample.clone(), refusal.stage.clone());
                refusals.entry(key).or_insert_with(|| refusal.clone());
            }
            self.report().committed.insert(id, record.committed());
        }
        let mut report = self.report();
        report.folder.clone_from(&opened.folder);
        report.refusals = refusals.into_values().collect();
        let count = |(i, node): (usize, &super::graph::Node)| {
            let reused = self.options.counters.stage(i).reused;
            StageCount { reused, ..counted.get(&node.id).copied().unwrap_or_default() }
        };
        report.stages = self.graph.nodes.iter().enumerate().map(count).collect();
        Ok(())
    }

    fn commit_sink(&self, opened: &Opened, sink: usize) -> Result<SinkRecord, EngineFault> {
        let node = &self.graph.nodes[sink];
        let Stage::Sink(stage) = &node.stage else {
            return Err(EngineFault::Bug(format!("{} is no sink", node.id)));
        };
        let shared = &opened.shared;
        crate::allocator::give_back_free();
        let parts_folder = &shared.part_folders[&sink];
        let parts = self.collect_parts(parts_folder, sink)?;
        let late = self.late_of(shared, sink)?;
        let folder = opened.folder.join(stage.folder());
        let fault = |fault| EngineFault::machine(&node.id, fault);
        let committed =
            guarded_commit(stage.as_ref(), &parts.files, &late, &folder).map_err(fault)?;
        let record = SinkRecord::new(self.sink_fingerprint(sink), committed, parts);
        record.write(&opened.folder, &node.id).map_err(fault)?;
        fs::remove_dir_all(parts_folder)
            .map_err(|e| io_fault(&node.id, "remove", parts_folder, e))?;
        Ok(record)
    }

    /// Files, counts and refusals of all parts of a sink, in key order.
    fn collect_parts(&self, folder: &Path, sink: usize) -> Result<AllParts, EngineFault> {
        let all = self.scans[&self.graph.root(sink)].parts.len();
        let records = self.read_records(folder, sink)?;
        let committed = records.len();
        if committed == all {
            Ok(AllParts::new(folder, records))
        } else if self.options.stop.is_requested() {
            Err(EngineFault::Stopped { committed, parts: all })
        } else {
            Err(EngineFault::Bug(format!("{} of {all} parts have no record", all - committed)))
        }
    }

    /// What keyed stages said for a sink, side by side.
    fn late_of(&self, shared: &Shared, sink: usize) -> Result<Batch, EngineFault> {
        let mut late: Option<Batch> = None;
        for &from in &self.graph.nodes[sink].from {
            if !matches!(self.graph.nodes[from].stage, Stage::Keyed(_)) {
                continue;
            }
            let said = shared.late(from).ok_or_else(|| {
                EngineFault::Bug(format!("keyed stage {} said nothing", self.graph.nodes[from].id))
            })?;
            let joined = match late {
                None => said,
                Some(before) => {
                    before.beside(&said).map_err(|e| EngineFault::Bug(e.to_string()))?
                }
            };
            late = Some(joined);
        }
        Ok(late.unwrap_or_else(|| Batch::empty(tables::key())))
    }

    fn run_task(&self, worker: &mut Worker, opened: &Opened, place: usize, task: usize) {
        let (shared, slot) = (&opened.shared, &opened.slots[place]);
        let id = &self.graph.nodes[task].id;
        let process = self.options.cluster.as_ref().map_or(0, |cluster| cluster.process);
        let begun = Instant::now();
        let mut training = None;
        let mut trainer = None;
        if worker.index() == 0 {
            if !shared.is_ending() {
                match self.start_task(opened, task) {
                    Ok((opened_trainer, thread)) => {
                        (trainer, training) = (Some(opened_trainer), Some(thread));
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
        let Some(training) = training else { return };
        match training.join() {
            Some(outcome) => self.task_done(task, outcome, begun.elapsed()),
            None if shared.is_aborted() => {}
            None => shared.fail(EngineFault::TaskStopped { stage: id.clone() }),
        }
    }

    fn task_done(&self, task: usize, outcome: Outcome, elapsed: Duration) {
        let stage = self.graph.nodes[task].id.clone();
        let mut report = self.report();
        let samples: u64 = report.committed.values().flat_map(|c| c.splits.values()).sum();
        if let Some(count) = report.stages.get_mut(task) {
            *count = StageCount {
                rows_in: samples,
                rows_out: samples,
                nanos: nanos(elapsed),
                ..StageCount::default()
            };
        }
        report.tasks.push(TaskReport { stage, outcome });
    }

    fn start_task(
        &self,
        opened: &Opened,
        task: usize,
    ) -> Result<(super::trainer::Trainer, super::trainer::Training), EngineFault> {
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
            .map_err(|e| EngineFault::machine(id, MachineFault::new(e.to_string())))?;
        Ok(dataset.with_cache_bytes(self.options.memory_bytes as usize / 2))
    }

    fn sink_above(&self, stage: usize) -> Option<usize> {
        let from = &self.graph.nodes[stage].from;
        let is_sink = |input: &&usize| matches!(self.graph.nodes[**input].stage, Stage::Sink(_));
        let direct = from.iter().find(is_sink).copied();
        direct.or_else(|| from.iter().find_map(|&input| self.sink_above(input)))
    }

    fn report(&self) -> std::sync::MutexGuard<'_, Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The report, or what stopped the run.
    fn finish(
        &self,
        results: &[Result<Result<(), String>, String>],
    ) -> Result<Report, EngineFault> {
        match self.opened.get() {
            Some(Ok(opened)) => {
                if let Some(fault) = opened.shared.take_fault() {
                    return Err(fault);
                }
            }
            Some(Err(message)) => return Err(EngineFault::Peer(message.clone())),
            None => {}
        }
        for result in results {
            match result {
                Ok(Ok(())) => {}
                Ok(Err(message)) => return Err(EngineFault::Peer(message.clone())),
                Err(message) => return Err(EngineFault::Bug(message.clone())),
            }
        }
        Ok(self.report().clone())
    }
}

fn guarded_commit(
    sink: &dyn voxflow_contract::Sink,
    parts: &[PathBuf],
    late: &Batch,
    folder: &Path,
) -> Result<Committed, MachineFault> {
    super::guard::guarded(|| sink.commit(parts, late, folder))
        .unwrap_or_else(|panic| Err(MachineFault::new(format!("the sink panicked: {panic}"))))
}

/// Steps until the dataflows of a worker are done, or the run has failed.
fn drive(worker: &mut Worker, shared: &Shared) {
    while worker.has_dataflows() {
        worker.step_or_park(Some(PARK));
        if shared.is_aborted() {
            for dataflow in worker.installed_dataflows() {
                worker.drop_dataflow(dataflow);
            }
        }
    }
}

fn io_fault(stage: &str, action: &str, path: &Path, error: std::io::Error) -> EngineFault {
    EngineFault::machine(stage, MachineFault::io(action, path, error))
}
