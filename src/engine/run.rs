//! Running a graph: workers, commit of the sinks, tasks, and the report.

mod tasks;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use timely::dataflow::operators::vec::{Broadcast, ToStream};
use timely::worker::Worker;
use voxflow_contract::MachineFault;

use super::claims::Claims;
use super::cluster::{Agreement, Watch, agree, forget_earlier_attempt};
use super::commit;
use super::compaction::compact_where_it_pays;
use super::counters::StageCount;
use super::fault::EngineFault;
use super::feed::Slot;
use super::graph::Graph;
use super::made::Made;
use super::meter::Meter;
use super::options::Options;
use super::permits::Budget;
use super::pool::Pool;
use super::prepare;
use super::report::Report;
use super::scan::Scan;
use super::shared::{Fate, Shared};
use super::work_list::{Kept, WorkList, keys_of};
use crate::store::{
    Cost, KeptFiles, Size, StageFacts, StageStore, StageWriter, Store, Turn, sweep,
};

/// Parts that may be in flight for each thread, whatever their size.
const PARTS_PER_THREAD: usize = 3;
/// How long a worker sleeps at most before it looks whether the run failed.
const PARK: Duration = Duration::from_millis(100);

/// The stages of a source whose rows the store keeps, by position in the graph.
pub fn kept_stages(graph: &Graph, root: usize) -> Vec<usize> {
    Kept::new(graph, root).stages
}

/// Runs a graph to its end.
///
/// # Errors
/// Says what stopped it; what was made stays in the store.
pub fn run(
    graph: &Graph,
    scans: Arc<BTreeMap<usize, Scan>>,
    options: &Options,
) -> Result<Report, EngineFault> {
    let process = options.cluster.as_ref().map_or(0, |cluster| cluster.process);
    let watch = options.cluster.as_ref().map(Watch::start).transpose();
    let watch =
        watch.map_err(|e| EngineFault::Bug(format!("no thread to watch the cluster: {e}")))?;
    let store = match &options.held {
        Some(held) => Ok(held.store.clone()),
        None => Store::open(&options.home),
    };
    let store = store.map_err(|fault| EngineFault::machine("store", fault))?;
    // The processes of a cluster make rows side by side: their first takes the turn for all.
    let turn = if process == 0 { Some(take_turn(graph, &store, options)?) } else { None };
    if process == 0 && options.cluster.is_some() {
        let folder = options.home.join("runs").join(&options.run);
        let forgotten = forget_earlier_attempt(&folder);
        forgotten.map_err(|e| io_fault("cluster", "clear", &folder.join("cluster"), e))?;
    }
    let process_state = Arc::new(Process {
        store,
        turn: Mutex::new(turn),
        graph: graph.clone(),
        scans,
        options: options.clone(),
        watch,
        opened: OnceLock::new(),
        unopened: Mutex::default(),
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
    let report = process_state.finish(&results)?;
    if report.is_first && options.held.is_none() {
        process_state.compact();
        drop(process_state);
        let swept = sweep(&options.home);
        swept.map_err(|fault| EngineFault::machine("store", fault))?;
    }
    Ok(report)
}

/// Waits for other runs that make the same rows: what they make need not be made again.
fn take_turn(graph: &Graph, store: &Store, options: &Options) -> Result<Turn, EngineFault> {
    let kept = graph.sources().into_iter().flat_map(|root| Kept::new(graph, root).stages);
    let stages: Vec<&StageFacts> = kept.map(|stage| &graph.nodes[stage].facts).collect();
    let mut is_told = false;
    let turn = store.take_turn(&stages, || {
        if !is_told {
            eprintln!("waiting for another run that makes the same rows");
            is_told = true;
        }
        !options.stop.is_requested()
    });
    match turn.map_err(|fault| EngineFault::machine("store", fault))? {
        Some(turn) => Ok(turn),
        None => Err(EngineFault::Stopped { made: 0, samples: 0 }),
    }
}

/// By stage what the store has, and who adds to it.
type Stages = (BTreeMap<usize, Arc<RwLock<StageStore>>>, BTreeMap<usize, Arc<StageWriter>>);

/// What the workers of this process share, before and after the run's folder is known.
struct Process {
    graph: Graph,
    scans: Arc<BTreeMap<usize, Scan>>,
    options: Options,
    store: Store,
    /// Held until all rows are made.
    turn: Mutex<Option<Turn>>,
    watch: Option<Watch>,
    opened: OnceLock<Result<Opened, String>>,
    /// Why the run could not be opened.
    unopened: Mutex<Option<EngineFault>>,
    report: Mutex<Report>,
}

struct Opened {
    folder: PathBuf,
    shared: Arc<Shared>,
    files: KeptFiles,
    slots: Vec<Arc<Slot>>,
}

impl Process {
    /// One worker's whole life.
    fn work(&self, worker: &mut Worker) -> Result<(), String> {
        let run = self.agree(worker).map_err(|fault| fault.to_string())?;
        let opened = self.opened.get_or_init(|| {
            self.open(&run).map_err(|fault| {
                let message = fault.to_string();
                *self.unopened.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
                message
            })
        });
        let opened = opened.as_ref().map_err(Clone::clone)?;
        let shared = &opened.shared;
        let _fate = Fate(Arc::clone(shared));
        prepare::build(worker, shared);
        drive(worker, shared);
        shared.keep_all();
        if self.options.cluster.is_some()
            && let Err(fault) = self.made().write(&opened.folder, self.process())
        {
            shared.fail(EngineFault::machine("cluster", fault));
        }
        meet(worker, shared);
        drop(self.turn.lock().unwrap_or_else(PoisonError::into_inner).take());
        if worker.index() == 0 && !shared.is_aborted() {
            match self.commit(opened) {
                Ok(report) => *self.report() = report,
                Err(fault) => shared.fail(fault),
            }
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
        let scans: Vec<String> = self.scans.values().map(Scan::digest).collect();
        let all: Vec<&str> = nodes.chain(scans.iter().map(String::as_str)).collect();
        blake3::hash(all.join("/").as_bytes()).to_hex().to_string()
    }

    fn process(&self) -> usize {
        self.options.cluster.as_ref().map_or(0, |cluster| cluster.process)
    }

    /// Opens the run's folder and sees what is left to do.
    fn open(&self, run: &str) -> Result<Opened, EngineFault> {
        let (options, graph) = (&self.options, &self.graph);
        let folder = options.home.join("runs").join(run);
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
        let shared = self.share(&self.store)?;
        let slots = graph.tasks().iter().map(|_| Arc::default()).collect();
        let files = self.store.files().map_err(|f| EngineFault::machine("store", f))?;
        Ok(Opened { folder, shared: Arc::new(shared), files, slots })
    }

    fn share(&self, store: &Store) -> Result<Shared, EngineFault> {
        let (options, graph) = (&self.options, &self.graph);
        let (stores, writers) = self.open_stages(store)?;
        let (mut facts, mut kept) = (BTreeMap::new(), BTreeMap::new());
        for &root in self.scans.keys() {
            let node = &graph.nodes[root];
            let known = match &options.held {
                Some(_) => Ok(store.unread_facts(&node.fingerprint)),
                None => store.facts(&node.fingerprint),
            };
            let known = known.map_err(|fault| EngineFault::machine(&node.id, fault))?;
            facts.insert(root, Mutex::new(known));
            kept.insert(root, Kept::new(graph, root));
        }
        let pool = Pool::new(options.workers)
            .map_err(|e| EngineFault::Bug(format!("no threads for the pool: {e}")))?;
        let parts = PARTS_PER_THREAD * options.workers.max(1) + 1;
        let mut shared = Shared {
            graph: graph.clone(),
            scans: Arc::clone(&self.scans),
            kept,
            stores,
            writers,
            held: options.held.clone(),
            facts,
            keys: BTreeMap::new(),
            lists: BTreeMap::new(),
            claims: BTreeMap::new(),
            meters: BTreeMap::new(),
            counters: Arc::clone(&options.counters),
            pool,
            budget: Budget::new(options.memory_bytes, parts),
            stop: options.stop.clone(),
            unopened: Mutex::default(),
            sample_limits: options.sample_limits,
            abort: AtomicBool::new(false),
            fault: Mutex::default(),
        };
        for (&root, scan) in self.scans.iter() {
            self.share_source(&mut shared, root, scan, store)?;
        }
        Ok(shared)
    }

    /// Sees what is to be made of a source, and in which order.
    fn share_source(
        &self,
        shared: &mut Shared,
        root: usize,
        scan: &Scan,
        store: &Store,
    ) -> Result<(), EngineFault> {
        let (options, graph) = (&self.options, &self.graph);
        let processes = options.cluster.as_ref().map_or(1, |cluster| cluster.addresses.len());
        let (list, keys) = {
            let known = shared.facts[&root].lock().unwrap_or_else(PoisonError::into_inner);
            let (kept, stores) = (&shared.kept[&root], shared.stores_of(root));
            let (per_row, place) = (graph.bytes_per_row(root), (self.process(), processes));
            let keys = keys_of(&scan.entries, &known);
            (WorkList::new(scan, kept, &stores, &keys, per_row, place), keys)
        };
        self.count_reused(root, &list);
        // `watch` makes few rows at a time, and keeps no timings.
        let mut meter = Meter::new(root, Arc::clone(&options.counters));
        if !list.parts.is_empty() && options.held.is_none() {
            let read = meter.read(graph, &shared.kept[&root], store, (&list, &keys));
            read.map_err(|fault| EngineFault::machine(&graph.nodes[root].id, fault))?;
        }
        let claims = Claims::new(&list, |part| meter.predicted(&scan.entries, part));
        let in_order = claims.order().iter().map(|part| &list.parts[*part as usize]);
        meter.plan(options.workers, &scan.entries, in_order);
        // What another process learns is not told here.
        let keys = if processes == 1 { keys } else { vec![None; keys.len()] };
        shared.keys.insert(root, Mutex::new(keys));
        shared.claims.insert(root, claims);
        shared.meters.insert(root, meter);
        shared.lists.insert(root, list);
        Ok(())
    }

    /// What the store has of every streaming stage, and who adds to it.
    fn open_stages(&self, store: &Store) -> Result<Stages, EngineFault> {
        let (options, graph) = (&self.options, &self.graph);
        let (mut stores, mut writers) = (BTreeMap::new(), BTreeMap::new());
        for (stage, node) in graph.nodes.iter().enumerate().filter(|(i, _)| graph.is_streaming(*i))
        {
            let opened = match options.held.as_ref().and_then(|held| held.stages.get(&stage)) {
                Some(held) => Ok(Arc::clone(held)),
                None => store.stage(&node.facts).map(|opened| Arc::new(RwLock::new(opened))),
            };
            let opened = opened.map_err(|fault| EngineFault::machine(&node.id, fault))?;
            let writer = {
                let opened = opened.read().unwrap_or_else(PoisonError::into_inner);
                StageWriter::new(&opened, options.commit_every)
            };
            writers.insert(stage, Arc::new(writer));
            stores.insert(stage, opened);
        }
        Ok((stores, writers))
    }

    /// Counts rows that need not be made, so that progress begins where it should.
    fn count_reused(&self, root: usize, list: &WorkList) {
        let missing: u64 = list.parts.iter().map(|part| part.samples.len() as u64).sum();
        let rows = (self.scans[&root].entries.len() as u64).saturating_sub(missing);
        let count =
            StageCount { rows_in: rows, rows_out: rows, reused: rows, ..StageCount::default() };
        for stage in (0..self.graph.nodes.len()).filter(|&i| self.graph.root(i) == root) {
            if self.graph.is_streaming(stage) {
                self.options.counters.add(stage, count);
            }
        }
    }

    /// What this process made.
    fn made(&self) -> Made {
        let stages = (0..self.graph.nodes.len()).map(|i| self.options.counters.stage(i));
        let stages: Vec<StageCount> = stages.collect();
        let Some(Ok(opened)) = self.opened.get() else {
            return Made { stages, costs: Vec::new(), unopened: Vec::new() };
        };
        let shared = &opened.shared;
        let unopened = shared.unopened.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let cost = |(stage, count): (usize, &StageCount)| {
            let timed = shared.meters.get(&self.graph.root(stage)).map(|m| m.cost(stage));
            let rows = count.rows_in.saturating_sub(count.reused);
            Cost { rows, nanos: count.nanos, ..timed.unwrap_or_default() }
        };
        let costs = stages.iter().enumerate().map(cost).collect();
        Made { stages, costs, unopened }
    }

    /// Makes few shards of many.
    fn compact(&self) {
        if let Some(Ok(opened)) = self.opened.get() {
            compact_where_it_pays(&self.graph, &self.store, &opened.shared.stores);
        }
    }

    /// On the first worker: makes the data sets, once all rows are there.
    fn commit(&self, opened: &Opened) -> Result<Report, EngineFault> {
        let mut made = self.made();
        if let Some(cluster) = &self.options.cluster {
            for process in (0..cluster.addresses.len()).filter(|&p| p != cluster.process) {
                let other = Made::read(&opened.folder, process);
                made.add(other.map_err(|fault| EngineFault::machine("cluster", fault))?);
            }
        }
        if self.options.held.is_some() {
            let report = commit::settle_rows(&opened.shared, &made)?;
            return Ok(Report { folder: opened.folder.clone(), is_first: true, ..report });
        }
        for (&stage, store) in &opened.shared.stores {
            if made.costs[stage].rows > 0 {
                let store = store.read().unwrap_or_else(PoisonError::into_inner);
                let added = store.add_cost(&made.costs[stage]);
                added.map_err(|f| EngineFault::machine(&self.graph.nodes[stage].id, f))?;
            }
        }
        let report =
            commit::commit(&opened.shared, &opened.files, &opened.folder, &made, &self.options)?;
        self.keep_costs_of_sinks(&report)?;
        Ok(Report { folder: opened.folder.clone(), is_first: true, ..report })
    }

    /// Adds what it took to write the rows of data sets that no run had written before.
    fn keep_costs_of_sinks(&self, report: &Report) -> Result<(), EngineFault> {
        for sink in self.graph.sinks() {
            let (node, count) = (&self.graph.nodes[sink], report.stages[sink]);
            let rows = count.rows_out.saturating_sub(count.reused);
            let mut cost = Cost { rows, nanos: count.nanos, ..Cost::default() };
            cost.timings.add(Size { rows, ..Size::default() }, count.nanos);
            if rows > 0 {
                let added = self.store.stage(&node.facts).and_then(|kept| kept.add_cost(&cost));
                added.map_err(|fault| EngineFault::machine(&node.id, fault))?;
            }
        }
        Ok(())
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
            Some(Err(message)) => {
                let fault = self.unopened.lock().unwrap_or_else(PoisonError::into_inner).take();
                return Err(fault.unwrap_or_else(|| EngineFault::Bug(message.clone())));
            }
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

/// Waits until every worker of every process is here.
fn meet(worker: &mut Worker, shared: &Shared) {
    worker.dataflow::<u64, _, _>(|scope| {
        // A dataflow ends when every worker has built it and ended its part.
        None::<u64>.to_stream(scope).broadcast();
    });
    drive(worker, shared);
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
