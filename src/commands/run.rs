//! `voxflow run`: runs a pipeline and says what came of it.

mod report;

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use voxflow_contract::{CheckpointChoice, GoOn, commit_point};

pub(crate) use self::report::list_line;
use self::report::{refused_samples, samples, summary, text_report};
use crate::cli::{self, Format, GlobalArgs, LimitArgs, RunArgs};
use crate::engine::{
    Cluster, Counters, EngineFault, Graph, Node, Options, Report, SampleLimits, Scan, Stop,
    compare_lists, install_panic_hook, run as run_graph, scan_sources,
};
use crate::error::Error;
use crate::exit_code;
use crate::pipeline::{Plan, PlannedStage, Settings};
use crate::previous::previous;
use crate::progress::{Progress, StageLine};
use crate::run_folder;
use crate::run_lock::{Asked, RunLock};
use crate::store::StageFacts;

/// Runs a pipeline; gives the exit code.
///
/// # Errors
/// Says what is wrong, or what stopped the run.
pub fn run(args: &RunArgs, global: &GlobalArgs) -> Result<u8, Error> {
    let begun = Instant::now();
    match perform(args, global)? {
        Some((plan, run, report)) => finish(args, &plan, &run, &report, begun),
        None => Ok(exit_code::SUCCESS),
    }
}

/// Runs a pipeline and records it; `None` in a process that is not the first of its cluster.
///
/// # Errors
/// Says what is wrong, or what stopped the run.
pub(crate) fn perform(
    args: &RunArgs,
    global: &GlobalArgs,
) -> Result<Option<(Plan, String, Report)>, Error> {
    let plan = Plan::load(&args.pipeline, &settings(args, global))?;
    let cluster = cluster(args)?;
    let go_on = go_on(args, &plan)?;
    let graph = graph_of(&plan);
    let scans = scan_sources(&graph).map_err(|fault| explain(fault, ""))?;
    let lists = compare_lists(&graph, &scans).map_err(explain_lists)?;
    let runs = global.home.join("runs");
    let is_first = args.process.unwrap_or(0) == 0;
    let run = match &args.resume {
        // The first process finds or makes the folder and says which it is.
        _ if !is_first => String::new(),
        Some(resume) => {
            let named = resume.as_ref().and_then(|resume| resume.run.as_deref());
            run_folder::find(&runs, &plan, named)?
        }
        None => run_folder::create(&runs, &plan)?,
    };
    let _lock = is_first.then(|| run_folder::lock(&runs.join(&run), &run)).transpose()?;
    if is_first && args.resume.is_some() {
        run_folder::go_on(&runs.join(&run), &plan)?;
        RunLock::withdraw(&runs.join(&run))?;
    }
    install_panic_hook(i32::from(exit_code::PEER));
    let counters = Arc::new(Counters::new(graph.nodes.len()));
    let how = if args.quiet { cli::Progress::Never } else { args.progress };
    let progress = Progress::start(how, stage_lines(&graph, &scans), Arc::clone(&counters));
    let options = Options {
        workers: workers(args.work.workers),
        memory_bytes: args.work.memory,
        commit_every: Duration::from_secs(args.work.commit_every.into()),
        sample_limits: sample_limits(&args.work.limits),
        home: global.home.clone(),
        run: run.clone(),
        resume: go_on,
        cluster,
        stop: stop_on_signal()?,
        counters,
        task_progress: progress.of_tasks(),
        tells_fates: false,
        previous: previous(&runs, &run, &plan.name),
        held: None,
    };
    let result = run_graph(&graph, Arc::new(scans), &options);
    drop(progress);
    let report = Report { lists, ..result.map_err(|fault| explain(fault, &run))? };
    if !report.is_first {
        return Ok(None);
    }
    run_folder::write_tables(&report.folder, &plan, &report)?;
    let device = args.device.map(|device| device.name().to_owned());
    let asked = Asked::new(&args.set, device, &args.pipeline, global);
    RunLock::write(&plan, asked, &report)?;
    Ok(Some((plan, run, report)))
}

/// How tasks go on; none where a new run begins.
fn go_on(args: &RunArgs, plan: &Plan) -> Result<Option<GoOn>, Error> {
    let Some(resume) = &args.resume else { return Ok(None) };
    let from = resume.as_ref().and_then(|resume| resume.from);
    let has_checkpoints = plan.stages.iter().any(|stage| stage.kind.output() == "checkpoint");
    if (from.is_some() || args.start_epoch.is_some()) && !has_checkpoints {
        let option = if from.is_some() { "--resume" } else { "--start-epoch" };
        let message = "no stage of the pipeline leaves checkpoints".to_owned();
        return Err(Error::argument(option, message, "`--resume` alone goes on with the run"));
    }
    let from = from.unwrap_or(CheckpointChoice::Latest);
    Ok(Some(GoOn { from, start_epoch: args.start_epoch }))
}

fn settings(args: &RunArgs, global: &GlobalArgs) -> Settings {
    Settings {
        set: args.set.clone(),
        device: args.device.map(|device| device.name().to_owned()),
        catalogue: global.catalogue.clone(),
    }
}

pub(crate) fn workers(asked: Option<u16>) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    asked.map_or_else(cores, usize::from)
}

/// What a stage may spend on one sample.
pub(crate) fn sample_limits(args: &LimitArgs) -> SampleLimits {
    let time = args.sample_seconds.map(|s| Duration::from_secs(s.into()));
    SampleLimits { time, bytes: args.sample_memory }
}

/// The graph of a plan.
pub fn graph_of(plan: &Plan) -> Graph {
    let node = |stage: &PlannedStage| Node {
        id: stage.id.clone(),
        kind: stage.kind.name().to_owned(),
        stage: stage.stage.clone(),
        from: stage.from.clone(),
        fingerprint: stage.fingerprint.clone(),
        facts: facts_of(plan, stage),
    };
    Graph { nodes: plan.stages.iter().map(node).collect() }
}

fn facts_of(plan: &Plan, stage: &PlannedStage) -> StageFacts {
    StageFacts {
        fingerprint: stage.rows_fingerprint.clone(),
        kind: stage.kind.name().to_owned(),
        version: stage.kind.version(),
        parameters: stage.params.0.clone(),
        seed: plan.seed,
        inputs: stage.from.iter().map(|&i| plan.stages[i].rows_fingerprint.clone()).collect(),
    }
}

fn stage_lines(graph: &Graph, scans: &BTreeMap<usize, Scan>) -> Vec<StageLine> {
    let tasks = graph.tasks();
    let line = |(i, node): (usize, &Node)| StageLine {
        id: node.id.clone(),
        samples: (!tasks.contains(&i))
            .then(|| scans.get(&graph.root(i)).map_or(0, |scan| scan.entries.len() as u64)),
    };
    graph.nodes.iter().enumerate().map(line).collect()
}

/// The cluster that `--hosts` and `--process` describe.
fn cluster(args: &RunArgs) -> Result<Option<Cluster>, Error> {
    let (Some(file), Some(process)) = (&args.hosts, args.process) else { return Ok(None) };
    let text = fs::read_to_string(file).map_err(|e| Error::input("read", file, e))?;
    let lines =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let addresses: Vec<String> = lines.map(str::to_owned).collect();
    let has_port = |address: &String| {
        address.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok())
    };
    if let Some(wrong) = addresses.iter().find(|address| !has_port(address)) {
        let message = format!("`{wrong}` is not `host:port`: {}", file.display());
        return Err(Error::Cluster { message });
    }
    if process >= addresses.len() {
        let message = format!(
            "--process {process} is not one of the {} processes (0 to {}) of {}",
            addresses.len(),
            addresses.len().saturating_sub(1),
            file.display()
        );
        return Err(Error::Cluster { message });
    }
    let lost_peer_exit_code = i32::from(exit_code::PEER);
    Ok((addresses.len() > 1).then_some(Cluster { process, addresses, lost_peer_exit_code }))
}

/// The first signal asks to finish and commit what was begun, the second ends the process.
pub(crate) fn stop_on_signal() -> Result<Stop, Error> {
    let stop = Stop::default();
    let (asked, signals) = (stop.clone(), AtomicU32::new(0));
    let handler = move || {
        if signals.fetch_add(1, Ordering::SeqCst) == 0 {
            eprintln!("stopping: finishing and committing what was begun (again to stop at once)");
            asked.request();
        } else {
            std::process::exit(i32::from(exit_code::INTERRUPTED));
        }
    };
    ctrlc::set_handler(handler)
        .map_err(|e| Error::Memory { message: format!("cannot listen for signals: {e}") })?;
    Ok(stop)
}

/// What is wrong between a list of a stage and the samples there are, as the program's error.
pub(crate) fn explain_lists(fault: EngineFault) -> Error {
    match fault {
        EngineFault::Setup { stage, fault } => Error::Setup { stage, fault },
        other => explain(other, ""),
    }
}

/// What stopped the engine, as the program's error.
pub(crate) fn explain(fault: EngineFault, run: &str) -> Error {
    match fault {
        EngineFault::Setup { stage, fault } if run.is_empty() => {
            Error::DataMissing { stage, fault }
        }
        EngineFault::Setup { stage, fault } => Error::Setup { stage, fault },
        EngineFault::Machine { fault, .. } if fault.source.is_some() => Error::Disk { fault },
        EngineFault::Machine { stage, fault } => {
            Error::Device { message: format!("stage `{stage}`: {fault}") }
        }
        EngineFault::Stopped { .. } | EngineFault::TaskStopped { .. } => {
            Error::Interrupted { run: run.to_owned() }
        }
        EngineFault::Moved(fault) => Error::Moved(fault),
        EngineFault::Peer(message) => Error::Cluster { message },
        other => Error::Run { message: other.to_string() },
    }
}

fn finish(
    args: &RunArgs,
    plan: &Plan,
    run: &str,
    report: &Report,
    begun: Instant,
) -> Result<u8, Error> {
    let summary = summary(plan, report, begun)?;
    let text = serde_json::to_vec_pretty(&summary).unwrap_or_default();
    run_folder::write(&report.folder.join("report.json"), &text)?;
    commit_point("report.renamed");
    match args.format {
        Format::Json => crate::terminal::print(&format!("{summary}\n")),
        Format::Text => crate::terminal::print(&text_report(plan, run, report, &summary)),
    }?;
    let (rows, refused) = (samples(plan, report), refused_samples(report));
    if args.allow_refused.allows(refused, rows) {
        return Ok(exit_code::SUCCESS);
    }
    Err(Error::Refused {
        refused,
        rows,
        allowed: args.allow_refused.to_string(),
        table: report.folder.join("refusal.parquet"),
    })
}
