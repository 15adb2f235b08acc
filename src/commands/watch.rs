//! `voxflow watch`: keeps the data sets of a pipeline up to date with their sources.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use voxflow_contract::{SplitPolicy, Stage};

use super::run::{explain, graph_of, stop_on_signal};
use crate::cli::{Format, GlobalArgs, WatchArgs};
use crate::engine::{
    Counters, Graph, Node, Options, Report, StageCount, Stop, install_panic_hook, kept_stages,
    run as run_graph, scan_sources,
};
use crate::error::Error;
use crate::folder_events::FolderEvents;
use crate::pipeline::{Plan, PlannedStage, Settings};
use crate::run_lock::{Asked, RunLock};
use crate::watched::{Consequences, Edits, Watched};
use crate::{exit_code, run_folder, terminal};

/// Looks at the sources of a pipeline again and again, and makes what a change asks for. Tasks are left
/// out. Gives the exit code.
///
/// # Errors
/// When the pipeline is wrong, a source finds nothing, or the machine fails.
pub fn watch(args: &WatchArgs, global: &GlobalArgs) -> Result<u8, Error> {
    let settings =
        Settings { set: args.set.clone(), device: None, catalogue: global.catalogue.clone() };
    let plan = Plan::load(&args.pipeline, &settings)?;
    let (graph, places) = without_tasks(&graph_of(&plan));
    scan_sources(&graph).map_err(|fault| explain(fault, ""))?;
    let runs = global.home.join("runs");
    let run = run_folder::create(&runs, &plan)?;
    let _lock = run_folder::lock(&runs.join(&run), &run)?;
    install_panic_hook(i32::from(exit_code::PEER));
    let stop = stop_on_signal()?;
    let policy = graph.nodes.iter().find_map(|node| match &node.stage {
        Stage::Keyed(keyed) => keyed.split_policy(),
        _ => None,
    });
    // Without a split of its own kind all lie in one part, and nothing can leak.
    let policy =
        policy.unwrap_or(SplitPolicy { ratios: [1.0, 0.0, 0.0], seed: 0, is_by_sample: true });
    let mut watched: BTreeMap<usize, Watched> = graph
        .sources()
        .into_iter()
        .map(|root| (root, Watched::new(policy, kept_stages(&graph, root).len())))
        .collect();
    let events = FolderEvents::below(&roots(&plan));
    let mut revision = 0;
    while !stop.is_requested() {
        let begun = Instant::now();
        let scans = Arc::new(scan_sources(&graph).map_err(|fault| explain(fault, &run))?);
        let looks = scans.iter().map(|(root, scan)| {
            watched.get_mut(root).map(|known| known.look(&scan.entries)).unwrap_or_default()
        });
        let edits = sum(looks);
        if revision == 0 || !edits.is_empty() {
            let options = options(args, global, &graph, &run, &stop);
            let made = run_graph(&graph, Arc::clone(&scans), &options);
            let report = made.map_err(|fault| explain(fault, &run))?;
            let mut all = Consequences::default();
            for (root, known) in &mut watched {
                let (Some(scan), Some(fates)) = (scans.get(root), report.fates.get(root)) else {
                    continue;
                };
                let found = known.settle(&scan.entries, fates);
                all.moved += found.moved;
                all.duplicates += found.duplicates;
                all.leaks += found.leaks;
            }
            let report = of_plan(&plan, &places, report);
            run_folder::write_tables(&report.folder, &plan, &report)?;
            RunLock::write(&plan, Asked::new(&args.set, None, &args.pipeline, global), &report)?;
            revision += 1;
            tell(args.format, revision, edits, all, &report, begun.elapsed())?;
        }
        if args.revisions.is_some_and(|wanted| revision >= wanted) {
            break;
        }
        events.wait(Duration::from_millis(args.every_ms), &|| stop.is_requested());
    }
    Ok(exit_code::SUCCESS)
}

/// Folders that sources read.
fn roots(plan: &Plan) -> Vec<PathBuf> {
    let sources = plan.stages.iter().filter(|stage| stage.from.is_empty());
    let root = |stage: &PlannedStage| stage.params.0.get("root")?.as_str().map(PathBuf::from);
    sources.filter_map(root).collect()
}

/// The graph without its tasks, and for each of its stages the position in the plan.
fn without_tasks(graph: &Graph) -> (Graph, Vec<usize>) {
    let is_kept = |i: &usize| !matches!(graph.nodes[*i].stage, Stage::Task(_));
    let places: Vec<usize> = (0..graph.nodes.len()).filter(is_kept).collect();
    let place = |old: &usize| places.iter().position(|kept| kept == old);
    let node = |&i: &usize| Node {
        from: graph.nodes[i].from.iter().filter_map(place).collect(),
        ..graph.nodes[i].clone()
    };
    (Graph { nodes: places.iter().map(node).collect() }, places)
}

/// The report with a count for every stage of the plan, tasks too.
fn of_plan(plan: &Plan, places: &[usize], report: Report) -> Report {
    let mut stages = vec![StageCount::default(); plan.stages.len()];
    for (place, count) in places.iter().zip(&report.stages) {
        stages[*place] = *count;
    }
    Report { stages, ..report }
}

fn options(
    args: &WatchArgs,
    global: &GlobalArgs,
    graph: &Graph,
    run: &str,
    stop: &Stop,
) -> Options {
    Options {
        workers: super::run::workers(args.workers),
        memory_bytes: args.memory,
        commit_every: Duration::from_secs(5),
        sample_limit: None,
        home: global.home.clone(),
        run: run.to_owned(),
        resume: false,
        cluster: None,
        stop: stop.clone(),
        counters: Arc::new(Counters::new(graph.nodes.len())),
        task_progress: Arc::new(|_, _, _| {}),
        tells_fates: true,
    }
}

fn sum(all: impl Iterator<Item = Edits>) -> Edits {
    all.fold(Edits::default(), |sum, edits| Edits {
        new: sum.new + edits.new,
        changed: sum.changed + edits.changed,
        removed: sum.removed + edits.removed,
        to_make: sum.to_make + edits.to_make,
    })
}

fn tell(
    format: Format,
    revision: u32,
    edits: Edits,
    found: Consequences,
    report: &Report,
    elapsed: Duration,
) -> Result<(), Error> {
    let rows: u64 = report.committed.values().flat_map(|all| all.splits.values()).sum();
    let processed = report.stages.iter().map(|count| count.rows_out - count.reused);
    let made = processed.max().unwrap_or_default().min(rows);
    let refused = report.refusals.len();
    let seconds = elapsed.as_secs_f64();
    if format == Format::Json {
        let line = json!({
            "revision": revision,
            "new": edits.new,
            "changed": edits.changed,
            "removed": edits.removed,
            "rows": rows,
            "refused": refused,
            "moved": found.moved,
            "duplicates": found.duplicates,
            "leaks": found.leaks,
            "stages": report.stages.iter().map(|c| json!({
                "rows_out": c.rows_out, "reused": c.reused, "refused": c.refused,
            })).collect::<Vec<_>>(),
            "run": report.folder,
            "elapsed_s": seconds,
        });
        return terminal::print(&format!("{line}\n"));
    }
    let Edits { new, changed, removed, .. } = edits;
    let Consequences { moved, duplicates, leaks } = found;
    terminal::print(&format!(
        "revision {revision}: {new} new, {changed} changed, {removed} removed; {rows} rows, {made} made, \
         {refused} refused; {moved} moved in the split, {duplicates} duplicates, {leaks} leaks; {seconds:.2} s\n"
    ))
}
