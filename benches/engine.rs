//! What the engine itself costs: rows that nothing is done to, through one and through many stages.
//!
//! `cargo bench --bench engine -- [ROWS]` prints rows/s and microseconds per row and stage for one
//! and two workers. The figures stand in BENCHMARKS.md.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use voxflow::engine::{
    Counters, Graph, Node, Options, SampleLimits, StageFacts, Stop, run, scan_sources,
};
use voxflow_contract::{
    Batch, Entry, Fault, Listing, MachineFault, Operator, PlannedFile, Refusals, SampleId, Schema,
    SetupFault, Sink, SinkFile, Source, Stage, Values, tables,
};

/// Stages of the short and the long pipeline; their difference is what the stages cost.
const STAGES: [usize; 2] = [1, 11];
const ROUNDS: usize = 3;

struct Rows(usize);

impl Source for Rows {
    fn output(&self) -> Schema {
        tables::key()
    }

    fn list(&self) -> Result<Listing, SetupFault> {
        let entry = |i| {
            Ok(Entry {
                sample: SampleId::new(format!("s{i:08}")).map_err(SetupFault::new)?,
                category: "c".to_owned(),
                path: None,
                bytes: 64,
                stamp: String::new(),
            })
        };
        let entries = (0..self.0).map(entry).collect::<Result<Vec<_>, SetupFault>>()?;
        Ok(Listing::of(&entries))
    }

    fn open(&self, entries: &[Entry], _refusals: &mut Refusals) -> Result<Batch, Fault> {
        let values = vec![
            Values::utf8(entries.iter().map(|entry| entry.sample.as_str())),
            Values::utf8(entries.iter().map(|entry| &entry.category)),
            Values::fixed_binary(32, entries.iter().map(|_| [0u8; 32])),
        ];
        Ok(Batch::new(tables::key(), values)?)
    }
}

struct Nothing;

impl Operator for Nothing {
    fn output(&self) -> Schema {
        tables::key()
    }

    fn apply(&self, batch: &Batch, _refusals: &mut Refusals) -> Result<Batch, Fault> {
        Ok(batch.clone())
    }

    fn is_heavy(&self) -> bool {
        false
    }
}

struct Nowhere;

impl Sink for Nowhere {
    fn check(&self, _input: &Schema) -> Result<(), SetupFault> {
        Ok(())
    }

    fn folder(&self) -> &str {
        "nowhere"
    }

    fn plan(&self, _keys: &Batch) -> Result<Vec<PlannedFile>, MachineFault> {
        Ok(Vec::new())
    }

    fn create(&self, _: &Path, _: &Schema) -> Result<Box<dyn SinkFile>, MachineFault> {
        Err(MachineFault::new("no file was planned"))
    }
}

fn graph(rows: usize, stages: usize) -> Graph {
    let node = |id: String, stage: Stage, from: Vec<usize>| Node {
        fingerprint: id.clone(),
        facts: StageFacts {
            fingerprint: blake3::hash(id.as_bytes()).to_hex().to_string(),
            kind: id.clone(),
            version: 1,
            parameters: serde_json::Map::new(),
            seed: 0,
            inputs: Vec::new(),
        },
        kind: id.clone(),
        id,
        stage,
        from,
    };
    let mut nodes = vec![node("rows".to_owned(), Stage::Source(Arc::new(Rows(rows))), vec![])];
    for i in 0..stages {
        nodes.push(node(format!("nothing-{i}"), Stage::Operator(Arc::new(Nothing)), vec![i]));
    }
    nodes.push(node("nowhere".to_owned(), Stage::Sink(Arc::new(Nowhere)), vec![stages]));
    Graph { nodes }
}

/// Seconds of one run, without the scan.
fn seconds(rows: usize, stages: usize, workers: usize) -> f64 {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::create_dir_all(folder.path().join("runs/run")).expect("a folder");
    let graph = graph(rows, stages);
    let scans = scan_sources(&graph).expect("rows");
    let options = Options {
        workers,
        memory_bytes: 1 << 30,
        commit_every: Duration::from_secs(5),
        sample_limits: SampleLimits::default(),
        home: folder.path().to_owned(),
        run: "run".to_owned(),
        resume: None,
        cluster: None,
        stop: Stop::default(),
        counters: Arc::new(Counters::new(graph.nodes.len())),
        task_progress: Arc::new(|_, _, _| {}),
        tells_fates: false,
        previous: BTreeMap::new(),
        held: None,
    };
    let begun = Instant::now();
    let report = run(&graph, Arc::new(scans), &options).expect("it runs");
    let elapsed = begun.elapsed().as_secs_f64();
    let out = report.stages.last().map_or(0, |count| count.rows_out);
    assert_eq!(out, rows as u64, "every row arrived");
    elapsed
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let rows = std::env::args().skip(1).find_map(|argument| argument.parse().ok());
    let rows: usize = rows.unwrap_or(1_000_000);
    println!("{rows} rows, median of {ROUNDS} rounds");
    for workers in [1, 2] {
        let mut times: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
        for _ in 0..ROUNDS {
            for stages in STAGES {
                times.entry(stages).or_default().push(seconds(rows, stages, workers));
            }
        }
        let [short, long] = STAGES.map(|stages| median(times[&stages].clone()));
        let per_stage = (long - short) / (STAGES[1] - STAGES[0]) as f64 / rows as f64 * 1e6;
        println!(
            "workers {workers}: {:.0} rows/s through 1 stage, {:.0} rows/s through 11, \
             {per_stage:.4} us per row and stage",
            rows as f64 / short,
            rows as f64 / long,
        );
    }
}
