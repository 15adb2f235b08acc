//! The engine against small stages: nothing lost, nothing twice, the same whatever the workers.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use voxflow_contract::{
    Batch, Column, ColumnType, ContentHash, Entry, Fault, Keyed, Listing, MachineFault, Operator,
    PlannedFile, Refusals, SampleId, Schema, SetupFault, Sink, SinkFile, Source, Stage, Values,
    key_values, tables,
};

use crate::store::{RowKey, Store};

use super::{
    Counters, EngineFault, Graph, Node, Options, Report, SampleLimits, StageFacts, Stop, run,
    scan_sources, survey,
};

struct Numbers {
    count: usize,
    bytes: u64,
}

impl Source for Numbers {
    fn output(&self) -> Schema {
        tables::key()
    }

    fn list(&self) -> Result<Listing, SetupFault> {
        let entry = |i| Entry {
            sample: SampleId::new(format!("s{i:05}")).expect("an id"),
            category: format!("c{}", i % 3),
            path: None,
            bytes: self.bytes,
            stamp: String::new(),
        };
        Ok(Listing::of(&(0..self.count).map(entry).collect::<Vec<_>>()))
    }

    fn open(&self, entries: &[Entry], refusals: &mut Refusals) -> Result<Batch, Fault> {
        let is_bad = |e: &Entry| e.sample.as_str().ends_with('7');
        for (row, _) in entries.iter().enumerate().filter(|(_, e)| is_bad(e)) {
            refusals.refuse(row, Fault::new("seven", "ends with seven"));
        }
        let good: Vec<&Entry> = entries.iter().filter(|e| !is_bad(e)).collect();
        let values = vec![
            Values::utf8(good.iter().map(|e| e.sample.as_str())),
            Values::utf8(good.iter().map(|e| &e.category)),
            Values::fixed_binary(
                32,
                good.iter().map(|e| *blake3::hash(e.sample.as_str().as_bytes()).as_bytes()),
            ),
        ];
        Ok(Batch::new(tables::key(), values)?)
    }
}

/// Adds a column; panics on samples that end with `panics`, refuses those that end with `refuses`.
struct Add {
    column: &'static str,
    panics: &'static str,
    refuses: &'static str,
    heavy: bool,
}

impl Operator for Add {
    fn output(&self) -> Schema {
        let mut columns = tables::key().columns().to_vec();
        columns.push(Column::new(self.column, ColumnType::UInt64, "A number."));
        Schema::new(self.column, 1, columns)
    }

    fn apply(&self, batch: &Batch, refusals: &mut Refusals) -> Result<Batch, Fault> {
        let samples: Vec<&str> = batch.utf8("sample")?.values_iter().collect();
        let ends = |s: &str, with: &str| !with.is_empty() && s.ends_with(with);
        assert!(!samples.iter().any(|s| ends(s, self.panics)), "cannot add to this");
        let mut kept = Vec::new();
        for (row, sample) in samples.iter().enumerate() {
            if ends(sample, self.refuses) {
                refusals.refuse(row, Fault::new("unwanted", "ends badly"));
            } else {
                kept.push(row);
            }
        }
        let mut values = key_values(batch, &kept)?;
        values.push(Values::numbers(kept.iter().map(|&row| samples[row].len() as u64).collect()));
        Ok(Batch::new(self.output(), values)?)
    }

    fn is_heavy(&self) -> bool {
        self.heavy
    }
}

struct Halves;

impl Keyed for Halves {
    fn output(&self) -> Schema {
        tables::split()
    }

    fn assign(&self, keys: &Batch) -> Result<Batch, Fault> {
        let half = |row| if row < keys.rows() / 2 { "train" } else { "test" };
        let mut values = key_values(keys, &(0..keys.rows()).collect::<Vec<_>>())?;
        values.push(Values::utf8((0..keys.rows()).map(half)));
        Ok(Batch::new(tables::split(), values)?)
    }
}

/// One file of lines `sample columns`.
struct Lines {
    fails: bool,
}

impl Sink for Lines {
    fn check(&self, _input: &Schema) -> Result<(), SetupFault> {
        Ok(())
    }

    fn folder(&self) -> &str {
        "dataset"
    }

    fn plan(&self, keys: &Batch) -> Result<Vec<PlannedFile>, MachineFault> {
        let (path, split) = ("all/lines".to_owned(), "all".to_owned());
        Ok(vec![PlannedFile { path, split, rows: (0..keys.rows() as u32).collect() }])
    }

    fn create(&self, path: &Path, rows: &Schema) -> Result<Box<dyn SinkFile>, MachineFault> {
        if self.fails {
            return Err(MachineFault::new("the disk is full"));
        }
        let columns: Vec<_> = rows.columns().iter().map(|c| c.name.as_str()).collect();
        let columns = columns.join(",");
        Ok(Box::new(LinesFile { path: path.to_owned(), columns, text: String::new() }))
    }
}

struct LinesFile {
    path: PathBuf,
    columns: String,
    text: String,
}

impl SinkFile for LinesFile {
    fn write(&mut self, rows: &Batch) -> Result<(), MachineFault> {
        for sample in rows.utf8("sample").expect("key").values_iter() {
            self.text += &format!("{sample} {}\n", self.columns);
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(u64, String), MachineFault> {
        fs::write(&self.path, &self.text).expect("a folder");
        let hash = blake3::hash(self.text.as_bytes()).to_hex().to_string();
        Ok((self.text.len() as u64, hash))
    }
}

fn node(id: &str, stage: Stage, from: &[usize]) -> Node {
    let facts = StageFacts {
        fingerprint: blake3::hash(id.as_bytes()).to_hex().to_string(),
        kind: id.to_owned(),
        version: 1,
        parameters: serde_json::Map::new(),
        seed: 0,
        inputs: Vec::new(),
    };
    Node {
        id: id.to_owned(),
        kind: id.to_owned(),
        stage,
        from: from.to_vec(),
        fingerprint: id.to_owned(),
        facts,
    }
}

fn add(column: &'static str, panics: &'static str, refuses: &'static str, heavy: bool) -> Stage {
    Stage::Operator(Arc::new(Add { column, panics, refuses, heavy }))
}

/// numbers -> light -> {left, right} -> halves -> lines
fn diamond(count: usize, fails: bool) -> Graph {
    Graph {
        nodes: vec![
            node("numbers", Stage::Source(Arc::new(Numbers { count, bytes: 100_000 })), &[]),
            node("light", add("light", "", "", false), &[0]),
            node("left", add("left", "33", "", true), &[1]),
            node("right", add("right", "", "5", true), &[1]),
            node("halves", Stage::Keyed(Arc::new(Halves)), &[2, 3]),
            node("lines", Stage::Sink(Arc::new(Lines { fails })), &[2, 3, 4]),
        ],
    }
}

fn go(graph: &Graph, folder: &Path, workers: usize) -> Result<Report, EngineFault> {
    go_with(graph, folder, workers, Stop::default(), Arc::new(|_, _, _| {}))
}

fn go_with(
    graph: &Graph,
    folder: &Path,
    workers: usize,
    stop: Stop,
    task_progress: super::options::TaskProgress,
) -> Result<Report, EngineFault> {
    let options = Options { stop, task_progress, ..options(graph, folder, workers) };
    run(graph, Arc::new(scan_sources(graph)?), &options)
}

fn options(graph: &Graph, folder: &Path, workers: usize) -> Options {
    fs::create_dir_all(folder.join("runs/one")).expect("a folder");
    Options {
        workers,
        memory_bytes: 16 << 20,
        commit_every: Duration::from_secs(5),
        sample_limits: SampleLimits::default(),
        home: folder.to_owned(),
        run: "one".to_owned(),
        resume: None,
        cluster: None,
        stop: Stop::default(),
        counters: Arc::new(Counters::new(graph.nodes.len())),
        task_progress: Arc::new(|_, _, _| {}),
        tells_fates: false,
        previous: BTreeMap::new(),
        held: None,
    }
}

#[test]
fn rows_in_are_rows_out_and_refused_for_any_number_of_workers() {
    let mut digests = Vec::new();
    for workers in [1, 2, 3] {
        let folder = tempfile::tempdir().expect("a folder");
        let report = go(&diamond(1000, false), folder.path(), workers).expect("it runs");
        for count in &report.stages {
            assert_eq!(count.rows_in, count.rows_out + count.refused, "{count:?}");
        }
        // 100 end with 7; of 900, 10 end with 33, 100 with 5.
        assert_eq!(report.stages[0].refused, 100);
        assert_eq!(report.stages[2].refused, 10);
        assert_eq!(report.stages[3].refused, 100);
        assert_eq!(report.stages[5].rows_out, 790);
        let panics: Vec<_> = report.refusals.iter().filter(|r| r.code == "panic").collect();
        assert_eq!(panics.len(), 10);
        assert!(panics[0].message.contains("cannot add to this"), "{}", panics[0].message);
        let committed = &report.committed["lines"];
        digests.push((committed.files[0].blake3.clone(), report.refusals.len()));
    }
    assert!(digests.windows(2).all(|pair| pair[0] == pair[1]), "{digests:?}");
}

#[test]
fn a_failing_disk_stops_the_run_and_a_second_run_ends_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let fault = go(&diamond(500, true), folder.path(), 2).expect_err("the disk is full");
    assert!(fault.to_string().contains("the disk is full"), "{fault}");
    let report = go(&diamond(500, false), folder.path(), 2).expect("it runs");
    assert_eq!(report.stages[5].rows_out, 395);
    let again = go(&diamond(500, false), folder.path(), 2).expect("it runs");
    assert_eq!(again.stages[5].reused, 395, "nothing was left to do");
    assert_eq!(again.committed, report.committed);
}

/// Never ends with one sample, as long as it is told to hang.
struct Hangs {
    sample: &'static str,
    hangs: Arc<AtomicBool>,
}

impl Operator for Hangs {
    fn output(&self) -> Schema {
        tables::key()
    }

    fn apply(&self, batch: &Batch, _refusals: &mut Refusals) -> Result<Batch, Fault> {
        let samples = batch.utf8("sample")?;
        if samples.values_iter().any(|sample| sample == self.sample) {
            while self.hangs.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
        }
        Ok(batch.clone())
    }
}

#[test]
fn a_sample_that_hangs_is_refused_alone_and_tried_again_when_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    let hangs = Arc::new(AtomicBool::new(true));
    let mut graph = diamond(40, false);
    let operator = Hangs { sample: "s00011", hangs: Arc::clone(&hangs) };
    graph.nodes[1].stage = Stage::Operator(Arc::new(operator));
    let scans = Arc::new(scan_sources(&graph).expect("samples"));
    let go = |limit: Option<Duration>| {
        let sample_limits = SampleLimits { time: limit, bytes: None };
        let options = Options { sample_limits, ..options(&graph, folder.path(), 2) };
        run(&graph, Arc::clone(&scans), &options).expect("it runs")
    };
    let refusal = |report: &Report| {
        let found = report.refusals.iter().find(|refusal| refusal.sample == "s00011").cloned();
        found.map(|refusal| (refusal.stage, refusal.code, refusal.attempt))
    };
    let late = |attempt| Some(("light".to_owned(), "time_limit".to_owned(), attempt));
    let limit = Some(Duration::from_millis(500));
    let before = go(limit);
    assert_eq!(refusal(&before), late(1));
    assert_eq!(refusal(&go(None)), late(1), "it was not tried again, or it would hang");

    let content = ContentHash::of(b"s00011");
    let key = RowKey::of("s00011", "c2", "", &content);
    let lift = || {
        let store = Store::open(folder.path()).expect("a store");
        store.stage(&graph.nodes[1].facts).expect("a stage").lift(&[key]).expect("it is written")
    };
    assert_eq!(lift(), 1);
    assert_eq!(lift(), 0, "it is lifted already");
    assert_eq!(refusal(&go(limit)), late(2));
    hangs.store(false, Ordering::SeqCst);
    assert_eq!(lift(), 1);
    let after = go(limit);
    assert_eq!(refusal(&after), None);
    assert_eq!(after.stages[5].rows_out, before.stages[5].rows_out + 1);
    assert_eq!(after.stages[2].rows_out - after.stages[2].reused, 1, "the others are reused");
}

/// Takes ever more memory for one sample.
struct Hoards {
    sample: &'static str,
}

impl Operator for Hoards {
    fn output(&self) -> Schema {
        tables::key()
    }

    fn apply(&self, batch: &Batch, _refusals: &mut Refusals) -> Result<Batch, Fault> {
        let mut hoard: Vec<Vec<u8>> = Vec::new();
        while batch.utf8("sample")?.values_iter().any(|sample| sample == self.sample) {
            hoard.push(vec![1; 1 << 16]);
        }
        Ok(batch.clone())
    }
}

#[test]
fn a_sample_that_wants_all_memory_is_refused_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut graph = diamond(40, false);
    graph.nodes[1].stage = Stage::Operator(Arc::new(Hoards { sample: "s00011" }));
    let scans = Arc::new(scan_sources(&graph).expect("samples"));
    let sample_limits = SampleLimits { time: None, bytes: Some(4 << 20) };
    let options = Options { sample_limits, ..options(&graph, folder.path(), 2) };
    let report = run(&graph, scans, &options).expect("it runs");
    let over: Vec<_> = report.refusals.iter().filter(|r| r.code == "memory_limit").collect();
    let [over] = over.as_slice() else { panic!("{:?}", report.refusals) };
    assert_eq!((over.stage.as_str(), over.sample.as_str()), ("light", "s00011"));
    assert!(over.message.contains("4194304 bytes"), "{over:?}");
}

/// Asks to stop after some batches.
struct StopAfter {
    stop: Stop,
    seen: AtomicU64,
}

impl Operator for StopAfter {
    fn output(&self) -> Schema {
        tables::key()
    }

    fn apply(&self, batch: &Batch, _refusals: &mut Refusals) -> Result<Batch, Fault> {
        if self.seen.fetch_add(1, Ordering::SeqCst) == 3 {
            self.stop.request();
        }
        Ok(batch.clone())
    }
}

#[test]
fn a_stopped_run_commits_what_it_began_and_goes_on_later() {
    let folder = tempfile::tempdir().expect("a folder");
    let build = |stop: &Stop| {
        let mut graph = diamond(2000, false);
        let operator = StopAfter { stop: stop.clone(), seen: AtomicU64::new(0) };
        graph.nodes[1].stage = Stage::Operator(Arc::new(operator));
        graph
    };
    let stop = Stop::default();
    let stopped = go_with(&build(&stop), folder.path(), 2, stop, Arc::new(|_, _, _| {}));
    let Err(EngineFault::Stopped { made, samples }) = stopped else { panic!("{stopped:?}") };
    assert!(0 < made && made < samples, "{made} of {samples}");
    let report = go(&build(&Stop::default()), folder.path(), 2).expect("it runs");
    assert_eq!(report.stages[5].rows_out, 1580);
    let left = &report.stages[2];
    assert!(0 < left.reused && left.reused < left.rows_out, "{left:?}");

    let fresh = tempfile::tempdir().expect("a folder");
    let undisturbed = go(&build(&Stop::default()), fresh.path(), 1).expect("it runs");
    assert_eq!(undisturbed.committed, report.committed);
    assert_eq!(undisturbed.refusals.len(), report.refusals.len());
}

#[test]
fn what_one_run_measures_is_the_price_of_the_next() {
    let folder = tempfile::tempdir().expect("a folder");
    let look = |graph: &Graph, workers| {
        let scans = scan_sources(graph).expect("samples");
        survey(graph, &scans, folder.path(), workers).expect("a survey")
    };
    let before = look(&diamond(300, false), 1);
    assert_eq!((before.price, before.untimed), (None, vec![0, 1, 2, 3, 5]));
    go(&diamond(300, false), folder.path(), 2).expect("it runs");
    let store = Store::open(folder.path()).expect("a store");
    let busy: f64 = [0, 1, 2, 3]
        .map(|stage| store.cost(&diamond(300, false).nodes[stage].facts))
        .iter()
        .map(|cost| cost.nanos as f64 / 1e9)
        .sum();
    let graph = diamond(900, false);
    let (one, two) = (look(&graph, 1), look(&graph, 2));
    let (one, two) = (one.price.expect("timings"), two.price.expect("timings"));
    assert!(one.low < one.seconds && one.seconds < one.high, "{one:?}");
    assert!(one.seconds > busy, "twice as many samples as before are new: {one:?}, {busy}");
    assert!(two.seconds < one.seconds, "two workers share it: {two:?}");
    go(&graph, folder.path(), 2).expect("it runs");
    let left = &look(&graph, 2).stages[&2];
    assert_eq!((left.to_make, left.unknown), (90, 90), "what cannot be opened is tried each time");
}

#[test]
fn many_small_shards_of_a_run_become_one_and_the_next_makes_no_row() {
    let folder = tempfile::tempdir().expect("a folder");
    // Few samples are a part, and each part is a shard.
    let numbers = Numbers { count: 400, bytes: 3 << 20 };
    let graph = Graph {
        nodes: vec![
            node("numbers", Stage::Source(Arc::new(numbers)), &[]),
            node("lines", Stage::Sink(Arc::new(Lines { fails: false })), &[0]),
        ],
    };
    let go = || {
        let at_once = Options { commit_every: Duration::ZERO, ..options(&graph, folder.path(), 2) };
        run(&graph, Arc::new(scan_sources(&graph).expect("samples")), &at_once).expect("it runs")
    };
    let first = go();
    assert_eq!(first.stages[0].rows_out, 360);
    let store = Store::open(folder.path()).expect("a store");
    let stage = store.stage(&graph.nodes[0].facts).expect("a stage");
    assert_eq!((stage.rows(), stage.refused(), stage.shards()), (360, 0, 1));
    let files = fs::read_dir(stage.folder()).expect("a folder").flatten();
    let shards = files.filter(|file| file.path().extension().is_some_and(|e| e == "shard"));
    assert_eq!(shards.count(), 1, "those that it replaced are gone");
    let second = go();
    assert_eq!((second.stages[0].reused, second.committed), (360, first.committed));
}
