//! `voxflow retry`: runs the pipeline of a run again, and tries anew what was refused.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use voxflow_contract::{BatchError, MachineFault};

use super::again::repeat;
use super::explain::{facts_of, key_of, read, unreadable};
use crate::cli::{GlobalArgs, RetryArgs};
use crate::error::Error;
use crate::run_folder;
use crate::run_lock::RunLock;
use crate::store::{RowKey, Store};

/// What a refusal must have to be lifted: all of these.
#[derive(Debug, Default)]
struct Wanted {
    stage: Option<String>,
    code: Option<String>,
    sample: Option<String>,
}

/// Lifts refusals of a run, and runs its pipeline again as it was asked for then; gives the exit code.
///
/// # Errors
/// When there is no such run, no refusal is wanted, or the new run fails.
pub fn retry(args: &RetryArgs, global: &GlobalArgs) -> Result<u8, Error> {
    let wanted = Wanted::parse(&args.only)?;
    let folder = run_folder::locate(&global.home, args.repeat.run.as_deref())?;
    let lock = RunLock::read(&folder)?;
    let refused = refused(&folder, &wanted)?;
    if refused.is_empty() {
        let hint = format!("each refusal: voxflow inspect {}/refusal.parquet", folder.display());
        return Err(Error::argument("RUN", "the run has no such refusal".to_owned(), &hint));
    }
    lift(&global.home, &folder, &lock, &refused)?;
    repeat(&args.repeat, global, &folder, &lock, |asked| asked)
}

/// Samples that were refused as wanted, by stage.
fn refused(folder: &Path, wanted: &Wanted) -> Result<BTreeMap<String, BTreeSet<String>>, Error> {
    let path = folder.join("refusal.parquet");
    let rows = read(&path, None)?;
    let bad = |e: BatchError| unreadable(&path, &e);
    let columns = ["stage", "code", "sample"].map(|name| rows.utf8(name));
    let [stages, codes, samples] = columns;
    let (stages, codes) = (stages.map_err(bad)?, codes.map_err(bad)?);
    let samples = samples.map_err(bad)?;
    let mut refused: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in 0..rows.rows() {
        let (stage, sample) = (stages.value(row), samples.value(row));
        if wanted.allows(stage, codes.value(row), sample) {
            refused.entry(stage.to_owned()).or_default().insert(sample.to_owned());
        }
    }
    Ok(refused)
}

/// Lifts the refusals that the store keeps. Those of samples that could not be opened it does not keep:
/// every run tries them.
fn lift(
    home: &Path,
    folder: &Path,
    lock: &RunLock,
    refused: &BTreeMap<String, BTreeSet<String>>,
) -> Result<(), Error> {
    let disk = |fault: MachineFault| Error::Disk { fault };
    let samples = refused.values().flatten().map(String::as_str).collect();
    let keys = keys(folder, lock, &samples)?;
    let store = Store::open(home).map_err(disk)?;
    for stage in &lock.plan.stages {
        let Some(samples) = refused.get(&stage.id) else { continue };
        let facts = facts_of(&lock.plan, stage);
        let Some(mut kept) = store.known_stage(&facts).map_err(disk)? else { continue };
        let keys: Vec<RowKey> = samples.iter().filter_map(|s| keys.get(s).copied()).collect();
        kept.lift(&keys).map_err(disk)?;
    }
    Ok(())
}

/// What the rows of samples are kept under, as far as they were opened.
fn keys(
    folder: &Path,
    lock: &RunLock,
    wanted: &BTreeSet<&str>,
) -> Result<BTreeMap<String, RowKey>, Error> {
    let mut keys = BTreeMap::new();
    for file in lock.inputs.values().flatten() {
        let path = folder.join(&file.path);
        let rows = read(&path, None)?;
        let bad = |e: BatchError| unreadable(&path, &e);
        let samples = rows.utf8("sample").map_err(bad)?;
        for row in (0..rows.rows()).filter(|row| wanted.contains(samples.value(*row))) {
            let key = key_of(&rows, row).map_err(bad)?;
            keys.extend(key.map(|key| (samples.value(row).to_owned(), key)));
        }
    }
    Ok(keys)
}

impl Wanted {
    fn parse(conditions: &[String]) -> Result<Self, Error> {
        let mut wanted = Self::default();
        for condition in conditions {
            let bad = |message: String| {
                Error::argument("--where", message, "stage=…, code=… or sample=…")
            };
            let Some((name, value)) = condition.split_once('=') else {
                return Err(bad(format!("`{condition}` is not `name=value`")));
            };
            let field = match name {
                "stage" => &mut wanted.stage,
                "code" => &mut wanted.code,
                "sample" => &mut wanted.sample,
                _ => return Err(bad(format!("a refusal has no `{name}`"))),
            };
            if field.replace(value.to_owned()).is_some() {
                return Err(bad(format!("`{name}` is given twice")));
            }
        }
        Ok(wanted)
    }

    fn allows(&self, stage: &str, code: &str, sample: &str) -> bool {
        let is =
            |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|w| w == found);
        is(&self.stage, stage) && is(&self.code, code) && is(&self.sample, sample)
    }
}
