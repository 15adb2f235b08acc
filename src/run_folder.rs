//! Run folders: `HOME/runs/<id>/`, what a run keeps of itself.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use voxflow_contract::{Batch, BatchError, Values, commit_point, refusal_batch, tables};
use voxflow_formats::parquet::{ParquetWriter, WriteOptions};

use crate::engine::Report;
use crate::error::Error;
use crate::pipeline::Plan;
use crate::run_leftovers;

/// The frozen plan of a run: what was asked for, in full.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct FrozenPlan {
    /// Version of voxflow that made the run.
    pub(crate) voxflow: String,
    /// Name of the pipeline.
    pub(crate) pipeline: String,
    /// BLAKE3 hash of the pipeline's text.
    pub(crate) text_digest: String,
    /// Seed.
    pub(crate) seed: u64,
    /// Stages in order.
    pub(crate) stages: Vec<FrozenStage>,
}

/// One stage of a frozen plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct FrozenStage {
    /// Id.
    pub(crate) id: String,
    /// Kind.
    #[serde(rename = "use")]
    pub(crate) kind: String,
    /// Version of the kind.
    pub(crate) version: u32,
    /// Ids of the stages it reads from.
    pub(crate) from: Vec<String>,
    /// Parameters as resolved.
    pub(crate) parameters: Map<String, Value>,
    /// Fingerprint.
    pub(crate) fingerprint: String,
    /// What its rows are kept under in the store.
    #[serde(default)]
    pub(crate) rows_fingerprint: String,
}

impl FrozenPlan {
    /// Freezes a plan.
    pub(crate) fn of(plan: &Plan) -> Self {
        let stage = |stage: &crate::pipeline::PlannedStage| FrozenStage {
            id: stage.id.clone(),
            kind: stage.kind.name().to_owned(),
            version: stage.kind.version(),
            from: stage.from.iter().map(|&from| plan.stages[from].id.clone()).collect(),
            parameters: stage.params.0.clone(),
            fingerprint: stage.fingerprint.clone(),
            rows_fingerprint: stage.rows_fingerprint.clone(),
        };
        Self {
            voxflow: env!("CARGO_PKG_VERSION").to_owned(),
            pipeline: plan.name.clone(),
            text_digest: plan.text_digest.clone(),
            seed: plan.seed,
            stages: plan.stages.iter().map(stage).collect(),
        }
    }
}

impl FrozenPlan {
    /// Says how the stages of two plans differ, one sentence each.
    pub(crate) fn stage_differences(&self, other: &Self, all: &mut Vec<String>) {
        for stage in &self.stages {
            let Some(same) = other.stages.iter().find(|same| same.id == stage.id) else {
                all.push(format!("stage only in the first: {}", stage.id));
                continue;
            };
            if stage.kind != same.kind {
                all.push(format!("stage {}: {} and {}", stage.id, stage.kind, same.kind));
            } else if stage.version != same.version {
                let (a, b) = (stage.version, same.version);
                all.push(format!(
                    "stage {}: operator {} version {a} and {b}",
                    stage.id, stage.kind
                ));
            }
            let names = stage.parameters.keys().chain(same.parameters.keys());
            for name in names.collect::<std::collections::BTreeSet<_>>() {
                let show =
                    |value: Option<&Value>| value.map_or("default".to_owned(), ToString::to_string);
                let (a, b) = (stage.parameters.get(name), same.parameters.get(name));
                if a != b {
                    all.push(format!("stage {}: {name} {} and {}", stage.id, show(a), show(b)));
                }
            }
        }
        let is_new = |stage: &&FrozenStage| self.stages.iter().all(|known| known.id != stage.id);
        let new = other.stages.iter().filter(is_new);
        all.extend(new.map(|stage| format!("stage only in the second: {}", stage.id)));
    }
}

/// Makes the folder of a new run and writes the frozen plan into it; gives the run's id.
///
/// # Errors
/// When the disk fails.
pub(crate) fn create(runs: &Path, plan: &Plan) -> Result<String, Error> {
    fs::create_dir_all(runs).map_err(|e| Error::disk("create", runs, e))?;
    let base = format!("{}-{}", plan.name, timestamp());
    let mut id = base.clone();
    for attempt in 2.. {
        let folder = runs.join(&id);
        match fs::create_dir(&folder) {
            Ok(()) => break,
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
                id = format!("{base}-{attempt}");
            }
            Err(e) => return Err(Error::disk("create", &folder, e)),
        }
    }
    commit_point("run.created");
    freeze(&runs.join(&id), plan)?;
    Ok(id)
}

/// Finds the run to go on with: the one named, or the latest of this pipeline.
///
/// # Errors
/// When there is none.
pub(crate) fn find(runs: &Path, plan: &Plan, named: Option<&str>) -> Result<String, Error> {
    let id = match named {
        Some(id) => id.to_owned(),
        None => latest(runs, &plan.name).ok_or_else(|| Error::Run {
            message: format!("there is no run of `{}` to resume in {}", plan.name, runs.display()),
        })?,
    };
    let frozen = read_plan(&runs.join(&id)).ok_or_else(|| Error::Run {
        message: format!("there is no run `{id}` in {}", runs.display()),
    })?;
    if frozen.pipeline != plan.name {
        let message =
            format!("run `{id}` is of pipeline `{}`, not `{}`", frozen.pipeline, plan.name);
        return Err(Error::Run { message });
    }
    Ok(id)
}

/// Makes a folder, which this process has locked, ready to go on with: what a killed process left half
/// done goes, and the plan is the one of now.
///
/// # Errors
/// When the disk fails.
pub(crate) fn go_on(folder: &Path, plan: &Plan) -> Result<(), Error> {
    for leftover in run_leftovers::in_run(folder) {
        leftover.clear()?;
    }
    freeze(folder, plan)
}

/// Takes the lock of a run, which lasts as long as the file is open, however the process ends.
///
/// # Errors
/// When another process works on the run, or the disk fails.
pub(crate) fn lock(folder: &Path, run: &str) -> Result<fs::File, Error> {
    let path = folder.join("lock");
    let file = fs::File::create(&path).map_err(|e| Error::disk("create", &path, e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => {
            Err(Error::Run { message: format!("another process is at work on run `{run}`") })
        }
        Err(fs::TryLockError::Error(e)) => Err(Error::disk("lock", &path, e)),
    }
}

/// The folder of a run: of an id, a path, or of the run that was begun last.
///
/// # Errors
/// When there is none.
pub(crate) fn locate(home: &Path, named: Option<&str>) -> Result<PathBuf, Error> {
    let runs = home.join("runs");
    let Some(named) = named else {
        let folders = fs::read_dir(&runs).into_iter().flatten().flatten().map(|f| f.path());
        let made = |folder: &PathBuf| fs::metadata(folder.join("plan.json")).ok()?.modified().ok();
        let last = folders.filter(|f| f.join("plan.json").is_file()).max_by_key(made);
        let message = || format!("there is no run in {}", runs.display());
        return last.ok_or_else(|| Error::Run { message: message() });
    };
    let found = [runs.join(named), PathBuf::from(named)];
    let found = found.into_iter().find(|folder| folder.join("plan.json").is_file());
    found.ok_or_else(|| Error::Run {
        message: format!("there is no run `{named}` in {}", runs.display()),
    })
}

fn latest(runs: &Path, pipeline: &str) -> Option<String> {
    let folders = fs::read_dir(runs).ok()?.filter_map(Result::ok).map(|entry| entry.path());
    let of_pipeline =
        folders.filter(|f| read_plan(f).is_some_and(|plan| plan.pipeline == pipeline));
    let made = |folder: &PathBuf| fs::metadata(folder.join("plan.json")).ok()?.modified().ok();
    let newest = of_pipeline.max_by_key(made)?;
    Some(newest.file_name()?.to_string_lossy().into_owned())
}

/// The plans of all runs.
pub(crate) fn plans(runs: &Path) -> Vec<FrozenPlan> {
    let folders = fs::read_dir(runs).into_iter().flatten().flatten();
    folders.filter_map(|folder| read_plan(&folder.path())).collect()
}

/// The plan of a run, if there is one.
pub(crate) fn read_plan(folder: &Path) -> Option<FrozenPlan> {
    serde_json::from_slice(&fs::read(folder.join("plan.json")).ok()?).ok()
}

/// Writes the plan of a run into its folder.
///
/// # Errors
/// When the disk fails.
pub(crate) fn freeze(folder: &Path, plan: &Plan) -> Result<(), Error> {
    let text = serde_json::to_vec_pretty(&FrozenPlan::of(plan)).unwrap_or_default();
    for (name, bytes) in [("plan.json", text.as_slice()), ("pipeline.toml", plan.text.as_bytes())] {
        write(&folder.join(name), bytes)?;
        commit_point("run.planned");
    }
    Ok(())
}

/// Writes the tables of a finished run: refusals, stage statistics, metrics.
///
/// # Errors
/// When the disk fails.
pub(crate) fn write_tables(folder: &Path, plan: &Plan, report: &Report) -> Result<(), Error> {
    let metrics: Vec<Batch> =
        report.tasks.iter().filter_map(|task| task.outcome.metrics.clone()).collect();
    let metrics = Batch::concat(&metrics).map(|all| all.unwrap_or(Batch::empty(tables::metric())));
    for (name, batch) in [
        ("refusal.parquet", refusal_batch(&report.refusals)),
        ("stage_stats.parquet", stage_stats(plan, report)),
        ("metric.parquet", metrics),
    ] {
        let path = folder.join(name);
        let batch = batch.map_err(|e| table_fault(&path, &e))?;
        write_table(&path, &batch)?;
        commit_point("tables.renamed");
    }
    Ok(())
}

fn table_fault(path: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::disk("write", path, std::io::Error::other(error.to_string()))
}

fn stage_stats(plan: &Plan, report: &Report) -> Result<Batch, BatchError> {
    let numbers = |get: fn(&crate::engine::StageCount) -> u64| {
        Values::numbers(report.stages.iter().map(get).collect::<Vec<u64>>())
    };
    let seconds = report.stages.iter().map(|count| count.nanos as f64 / 1e9);
    Batch::new(
        tables::stage_stats(),
        vec![
            Values::utf8(plan.stages.iter().map(|stage| &stage.id)),
            Values::utf8(plan.stages.iter().map(|stage| stage.kind.name())),
            numbers(|count| count.rows_in),
            numbers(|count| count.rows_out),
            numbers(|count| count.refused),
            numbers(|count| count.reused),
            Values::numbers(seconds.collect::<Vec<f64>>()),
        ],
    )
}

fn write_table(path: &Path, batch: &Batch) -> Result<(), Error> {
    let encode = || {
        let mut writer = ParquetWriter::new(Vec::new(), batch.schema(), WriteOptions::default())?;
        writer.write(batch)?;
        writer.finish()
    };
    write(path, &encode().map_err(|e| table_fault(path, &e))?)
}

/// A file of a run that is written and forced to disk, and has not its name yet.
pub(crate) struct Beside {
    beside: PathBuf,
    path: PathBuf,
}

impl Beside {
    /// Writes what shall be at `path`.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<Self, Error> {
        let beside = path.with_extension("tmp");
        let write = || {
            let mut file = fs::File::create(&beside)?;
            file.write_all(bytes)?;
            file.sync_all()
        };
        write().map_err(|e| Error::disk("write", path, e))?;
        commit_point("run.written");
        Ok(Self { beside, path: path.to_owned() })
    }

    /// Gives it its name, which is for the caller to force to disk.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) fn publish(self) -> Result<(), Error> {
        fs::rename(&self.beside, &self.path).map_err(|e| Error::disk("write", &self.path, e))
    }
}

/// Forces the names in folders to disk, side by side.
///
/// # Errors
/// When the disk fails.
pub(crate) fn sync(folders: impl IntoIterator<Item = PathBuf>) -> Result<(), Error> {
    let folders: std::collections::BTreeSet<PathBuf> = folders.into_iter().collect();
    std::thread::scope(|scope| {
        let sync = |folder: &'_ PathBuf| {
            let synced = fs::File::open(folder).and_then(|folder| folder.sync_all());
            synced.map_err(|e| Error::disk("sync", folder, e))
        };
        let threads: Vec<_> = folders.iter().map(|f| scope.spawn(move || sync(f))).collect();
        let panicked = |_| Error::Run { message: "a thread panicked".to_owned() };
        threads.into_iter().try_for_each(|thread| thread.join().map_err(panicked).flatten())
    })
}

/// Writes a file of a run: beside, then renamed.
///
/// # Errors
/// When the disk fails.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    Beside::write(path, bytes)?.publish()?;
    sync([path.parent().unwrap_or(Path::new(".")).to_owned()])
}

/// UTC, as `20261121-034417`.
#[expect(clippy::disallowed_methods, reason = "a run is named after the time it was begun")]
fn timestamp() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let (days, time) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days as i64);
    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
    format!("{year:04}{month:02}{day:02}-{hour:02}{minute:02}{second:02}")
}

/// Year, month and day of a number of days since 1970-01-01 (Howard Hinnant, "chrono-compatible
/// low-level date algorithms", `civil_from_days`).
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_dates() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(19_782), (2024, 2, 29));
        assert_eq!(civil(20_778), (2026, 11, 21));
    }
}
