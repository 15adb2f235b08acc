//! `voxflow store`: what is kept of earlier runs, whether it is what was written, and tidying.

use std::fs;
use std::path::Path;

use serde_json::json;
use voxflow_contract::MachineFault;

use crate::cli::{Format, GlobalArgs, StoreArgs, StoreCommand};
use crate::error::Error;
use crate::store::{self, Damage, StageFacts, StageStore, Store, Used};
use crate::{run_folder, terminal};

/// Shows, checks or tidies the store.
///
/// # Errors
/// When something is damaged, another process uses the store, or the disk fails.
pub fn store(args: &StoreArgs, global: &GlobalArgs) -> Result<(), Error> {
    match &args.command {
        StoreCommand::Stats { format } => stats(&global.home, *format),
        StoreCommand::Verify { set_aside } => verify(&global.home, *set_aside),
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

fn gc(home: &Path, is_dry: bool) -> Result<(), Error> {
    let removed = store::gc(home, &used(home), is_dry).map_err(disk)?;
    let bytes: u64 = removed.iter().map(|(_, bytes)| bytes).sum();
    let mut text = String::new();
    for (path, bytes) in &removed {
        text += &format!("{:>10}  {}\n", terminal::bytes(*bytes), path.display());
    }
    let verb = if is_dry { "would be removed" } else { "removed" };
    text += &format!("{} files and folders {verb}, {}\n", removed.len(), terminal::bytes(bytes));
    terminal::print(&text)
}
