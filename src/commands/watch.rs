//! `voxflow watch`: keeps the data sets of a pipeline up to date with their sources.

mod lists;
mod watching;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use voxflow_contract::{Source, Stage};

use self::watching::Watching;
use super::run::{explain, explain_lists, graph_of, stop_on_signal};
use crate::cli::{GlobalArgs, WatchArgs};
use crate::engine::{EngineFault, Graph, Node, compare_lists, install_panic_hook, scan_sources};
use crate::error::Error;
use crate::folder_events::{FolderEvents, Told};
use crate::pipeline::{Plan, Settings};
use crate::run_lock::RunLock;
use crate::{exit_code, run_folder};

/// Between two looks at everything lies so many times what one takes: looking is not all it does.
const SCANS_APART: u32 = 20;

/// Looks at the sources of a pipeline again and again, and makes what a change asks for. Tasks are left
/// out. Gives the exit code.
///
/// # Errors
/// When the pipeline is wrong, a source finds nothing, or the machine fails.
pub fn watch(args: &WatchArgs, global: &GlobalArgs) -> Result<u8, Error> {
    let plan = Plan::load(&args.pipeline, &settings(args, global))?;
    let (graph, places) = without_tasks(&graph_of(&plan));
    let scans = scan_sources(&graph).map_err(|fault| explain(fault, ""))?;
    compare_lists(&graph, &scans).map_err(explain_lists)?;
    drop(scans);
    let runs = global.home.join("runs");
    let run = match &args.resume {
        Some(named) => run_folder::find(&runs, &plan, named.as_deref())?,
        None => run_folder::create(&runs, &plan)?,
    };
    let _lock = run_folder::lock(&runs.join(&run), &run)?;
    if args.resume.is_some() {
        run_folder::go_on(&runs.join(&run), &plan)?;
        RunLock::withdraw(&runs.join(&run))?;
    }
    install_panic_hook(i32::from(exit_code::PEER));
    let stop = stop_on_signal()?;
    let sources = sources(&graph);
    let mut folders: Vec<PathBuf> =
        sources.values().flat_map(|source| source.depends_on()).collect();
    folders.extend(lists::lists_of(&plan));
    let events = FolderEvents::below(&folders);
    let mut watching = Watching::begin(args, global, (plan, graph, places), run, stop.clone())?;
    let (mut last_scan, mut scan_took) = (Instant::now(), Duration::ZERO);
    // A look that failed did not see what it was told of, and its new lists are still to be followed.
    let (mut is_unseen, mut is_replanned) = (false, false);
    while !stop.is_requested() && args.revisions.is_none_or(|all| watching.revision < all) {
        let every = Duration::from_millis(args.every_ms).max(SCANS_APART * scan_took);
        let rest = every.saturating_sub(last_scan.elapsed());
        let told = events.wait(rest, &|| stop.is_requested());
        if stop.is_requested() {
            break;
        }
        let begun = Instant::now();
        is_replanned |= watching.replan()?;
        let look = match told {
            Told::Paths(paths) if !is_unseen && !is_replanned => watching.look_at(&sources, &paths),
            _ => watching.rescan().map(|changes| (changes, true)),
        };
        is_unseen = look.is_err();
        let Some((changes, is_scan)) = unless_wrong(look, &watching.run)? else {
            last_scan = Instant::now();
            continue;
        };
        if is_scan {
            (last_scan, scan_took) = (Instant::now(), begun.elapsed());
        }
        watching.revise(changes, is_replanned, begun)?;
        is_replanned = false;
    }
    watching.save()?;
    Ok(exit_code::SUCCESS)
}

/// What a look showed. Lists that are half written, or a folder that is gone for a while, are no reason to
/// end: that is told, and looked at again at the next change, or when it is time to look at everything.
fn unless_wrong<T>(look: Result<T, EngineFault>, run: &str) -> Result<Option<T>, Error> {
    match look {
        Ok(seen) => Ok(Some(seen)),
        Err(EngineFault::Setup { stage, fault }) => {
            tracing::warn!("stage `{stage}`: nothing is done until that is mended: {fault}");
            Ok(None)
        }
        Err(fault) => Err(explain(fault, run)),
    }
}

fn settings(args: &WatchArgs, global: &GlobalArgs) -> Settings {
    Settings { set: args.set.clone(), device: None, catalogue: global.catalogue.clone() }
}

fn sources(graph: &Graph) -> BTreeMap<usize, Arc<dyn Source>> {
    let source = |root: usize| match &graph.nodes[root].stage {
        Stage::Source(source) => Some((root, Arc::clone(source))),
        _ => None,
    };
    graph.sources().into_iter().filter_map(source).collect()
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
