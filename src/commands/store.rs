//! `voxflow store`: what is kept of earlier runs, whether it is what was written, and tidying.

use std::fs;
use std::path::Path;

use serde_json::json;
use voxflow_contract::MachineFault;

use crate::cli::{Format, GlobalArgs, StoreArgs, StoreCommand};
use crate::error::Error;
use crate::store::{self, Bounds, Compacted, Damage, StageFacts, StageStore, Store, Used};
use crate::{run_folder, run_leftovers, terminal};

/// Shows, checks or tidies the store.
///
/// # Errors
/// When something is damaged, another process uses the store, or the disk fails.
pub fn store(args: &StoreArgs, global: &GlobalArgs) -> Result<(), Error> {
    match &args.command {
        StoreCommand::Stats { format } => stats(&global.home, *format),
        StoreCommand::Verify { set_aside } => verify(&global.home, *set_aside),
        StoreCommand::Compact { format } => compact(&global.home, *format),
        StoreCommand::Gc { dry_run } => gc(&global.home, *dry_run),
    }
}

fn disk(fault: MachineFault) -> Error {
    Error::Disk { fault }
}

fn stats(home: &Path, format: Format) -> Result<(), Error> {
    let mut stages: Vec<(StageFacts, StageStore)> = Vec::new();
    if home.join("store").is_dir() {
        let store = Store::open(home).map_err(disk)?;
        for facts in store.stages().map_err(disk)? {
            let known = store.known_stage(&facts).map_err(disk)?;
            stages.extend(known.map(|known| (facts, known)));
        }
    }
    stages.sort_by(|a, b| a.0.kind.cmp(&b.0.kind));
    let used = used(home);
    if format == Format::Json {
        let facts = stages.iter().map(|(facts, stage)| {
            json!({
                "stage": facts,
                "rows": stage.rows(),
                "refused": stage.refused(),
                "shards": stage.shards(),
                "bytes": stage.bytes(),
                "is_used": used.rows.contains(&facts.fingerprint),
                "busy_seconds": stage.cost().nanos as f64 / 1e9,
            })
        });
        return terminal::print_json(&facts.collect());
    }
    let head = ["STAGE", "PARAMETERS", "ROWS", "REFUSED", "SHARDS", "SIZE", "IN A RUN"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for (facts, stage) in &stages {
        let parameters = facts.parameters.iter().map(|(name, value)| format!("{name} = {value}"));
        rows.push(vec![
            format!("{} v{}", facts.kind, facts.version),
            parameters.collect::<Vec<_>>().join(", "),
            terminal::thousands(stage.rows() as u64),
            terminal::thousands(stage.refused() as u64),
            stage.shards().to_string(),
            terminal::bytes(stage.bytes()),
            if used.rows.contains(&facts.fingerprint) { "yes" } else { "no" }.to_owned(),
        ]);
    }
    terminal::print(&terminal::table(&rows))
}

fn verify(home: &Path, set_aside: bool) -> Result<(), Error> {
    let (mut files, mut bytes) = (0u64, 0);
    let damage = store::verify(home, &mut |size| {
        files += 1;
        bytes += size;
    });
    let damage = damage.map_err(disk)?;
    let read = format!("{} files, {}", terminal::thousands(files), terminal::bytes(bytes));
    if damage.is_empty() {
        return terminal::print(&format!("{read}: all as they were written\n"));
    }
    for Damage { set_aside: path, .. } in damage.iter().filter(|_| set_aside) {
        let mut aside = path.clone().into_os_string();
        aside.push(".damaged");
        match fs::rename(path, &aside) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::disk("set aside", path, e));
            }
            _ => {}
        }
    }
    let line = |damage: &Damage| format!("{}: {}", damage.message, damage.path.display());
    let mut differences: Vec<String> = damage.iter().map(line).collect();
    differences.push(match set_aside {
        true => "they were set aside; the next run makes their rows again".to_owned(),
        false => "`voxflow store verify --set-aside` lets the next run make them again".to_owned(),
    });
    Err(Error::Verification { differences })
}

/// What the runs of a home need.
fn used(home: &Path) -> Used {
    let mut used = Used::default();
    for plan in run_folder::plans(&home.join("runs")) {
        for stage in plan.stages {
            used.rows.insert(stage.rows_fingerprint);
            used.sources.insert(stage.fingerprint);
        }
    }
    used
}

/// What came of a stage that was to be compacted.
enum Outcome {
    /// A run makes rows of it.
    Busy,
    /// What there was and what there is, where anything was to be done.
    Done(Option<Compacted>),
}

fn compact(home: &Path, format: Format) -> Result<(), Error> {
    let mut outcomes = Vec::new();
    if home.join("store").is_dir() {
        let (store, used) = (Store::open(home).map_err(disk)?, used(home));
        // What no run needs is for `gc`.
        let is_used = |facts: &StageFacts| used.rows.contains(&facts.fingerprint);
        for facts in store.stages().map_err(disk)?.into_iter().filter(is_used) {
            let outcome = compact_stage(&store, &facts).map_err(disk)?;
            outcomes.push((facts, outcome));
        }
        drop(store);
        store::sweep(home).map_err(disk)?;
    }
    outcomes.sort_by(|a, b| a.0.kind.cmp(&b.0.kind));
    match format {
        Format::Json => terminal::print_json(&outcomes.iter().map(compacted_json).collect()),
        Format::Text => terminal::print(&compacted_text(&outcomes)),
    }
}

fn compact_stage(store: &Store, facts: &StageFacts) -> Result<Outcome, MachineFault> {
    let Some(turn) = store.take_turn(&[facts], || false)? else { return Ok(Outcome::Busy) };
    let Some(stage) = store.known_stage(facts)? else { return Ok(Outcome::Done(None)) };
    stage.compact(Bounds::ALL, &turn).map(Outcome::Done)
}

fn compacted_json((facts, outcome): &(StageFacts, Outcome)) -> serde_json::Value {
    let done = match outcome {
        Outcome::Busy => return json!({ "stage": facts, "is_busy": true }),
        Outcome::Done(done) => done.unwrap_or_default(),
    };
    json!({
        "stage": facts,
        "is_busy": false,
        "shards_before": done.shards_before,
        "shards_after": done.shards_after,
        "bytes_before": done.bytes_before,
        "bytes_after": done.bytes_after,
    })
}

fn compacted_text(outcomes: &[(StageFacts, Outcome)]) -> String {
    let mut text = String::new();
    let mut all = Compacted::default();
    for (facts, outcome) in outcomes {
        let stage = format!("{} v{}", facts.kind, facts.version);
        text += &match outcome {
            Outcome::Busy => format!("{stage}: a run makes rows of it, left as it is\n"),
            Outcome::Done(None) => format!("{stage}: nothing to do\n"),
            Outcome::Done(Some(done)) => {
                all = all.and(*done);
                format!("{stage}: {}\n", change(done))
            }
        };
    }
    text + &format!("in all: {}\n", change(&all))
}

fn change(done: &Compacted) -> String {
    let shards = [done.shards_before, done.shards_after];
    let [before, after] = shards.map(|shards| terminal::thousands(shards as u64));
    let bytes = [done.bytes_before, done.bytes_after].map(terminal::bytes);
    format!("{before} small shards became {after}, {} became {}", bytes[0], bytes[1])
}

fn gc(home: &Path, is_dry: bool) -> Result<(), Error> {
    // First: what they hold on to would be taken for a file of a data set.
    let leftovers = run_leftovers::clear(&home.join("runs"), is_dry)?;
    let removed = store::gc(home, &used(home), is_dry).map_err(disk)?;
    let bytes: u64 = removed.iter().map(|(_, bytes)| bytes).sum();
    let left = |path: &std::path::PathBuf| format!("{:>10}  {}\n", "half done", path.display());
    let mut text: String = leftovers.iter().map(left).collect();
    for (path, bytes) in &removed {
        text += &format!("{:>10}  {}\n", terminal::bytes(*bytes), path.display());
    }
    let verb = if is_dry { "would be removed" } else { "removed" };
    text += &format!(
        "{} files and folders {verb}, {}\n",
        removed.len() + leftovers.len(),
        terminal::bytes(bytes)
    );
    terminal::print(&text)
}
