//! `voxflow.lock`: what a run was made of and what came of it, digest by digest, and what differs
//! between two.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use voxflow_contract::{Batch, OutputFile, commit_point};
use voxflow_formats::parquet::ParquetReader;

use crate::catalogue;
use crate::cli::{self, GlobalArgs, RunArgs, WorkArgs};
use crate::engine::Report;
use crate::error::Error;
use crate::pipeline::Plan;
use crate::run_folder::{self, Beside, FrozenPlan};

/// Version of the form; the first had one file of inputs a source.
const VERSION: u32 = 2;
/// Name of the file in the run's folder.
const NAME: &str = "voxflow.lock";
/// Samples of each kind of difference that are named; the others are counted.
const NAMED: usize = 10;

/// The record of a finished run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RunLock {
    version: u32,
    /// The pipeline as resolved, with the versions of the program and of all operators.
    pub(crate) plan: FrozenPlan,
    /// How it was asked for, so that it can be asked for again.
    pub(crate) asked: Asked,
    /// What each source gave: the table of its samples.
    #[serde(deserialize_with = "one_or_several")]
    pub(crate) inputs: BTreeMap<String, Vec<LockedFile>>,
    /// What each sink wrote.
    pub(crate) outputs: BTreeMap<String, Vec<LockedFile>>,
    /// What each task wrote: checkpoints, tables.
    pub(crate) tasks: BTreeMap<String, Vec<LockedFile>>,
    /// Where tasks were told to go on from, oldest first.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) went_on: BTreeMap<String, Vec<String>>,
}

/// The words of the command line that a result depends on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Asked {
    /// Every `--set`.
    pub(crate) set: Vec<String>,
    /// `--device`.
    pub(crate) device: Option<String>,
    /// The catalogue of data sets that was read.
    pub(crate) catalogue: Option<PathBuf>,
    /// The folder it was started in: relative roots begin there.
    pub(crate) folder: PathBuf,
}

impl Asked {
    /// What a command line asks for.
    pub(crate) fn new(
        set: &[String],
        device: Option<String>,
        pipeline: &Path,
        global: &GlobalArgs,
    ) -> Self {
        let beside = pipeline.parent().unwrap_or(Path::new("."));
        let found = catalogue::locate(global.catalogue.as_deref(), &[beside, Path::new(".")]);
        Self {
            set: set.to_vec(),
            device,
            catalogue: found.and_then(|file| file.canonicalize().ok()),
            folder: std::env::current_dir().unwrap_or_default(),
        }
    }

    /// The command line that asks for the run in `folder` once more, worked on as `work` says. Goes to
    /// the folder that the run was started in, since relative roots of sources begin there.
    ///
    /// # Errors
    /// When that folder is gone.
    pub(crate) fn again(&self, folder: &Path, work: WorkArgs) -> Result<RunArgs, Error> {
        let here = &self.folder;
        std::env::set_current_dir(here).map_err(|e| Error::disk("go to", here, e))?;
        Ok(RunArgs {
            pipeline: folder.join("pipeline.toml"),
            set: self.set.clone(),
            device: self.device.as_deref().and_then(cli::Device::named),
            work,
            resume: None,
            start_epoch: None,
            allow_refused: cli::Allowance::Percent(100.0),
            hosts: None,
            process: None,
            format: cli::Format::Text,
            quiet: false,
            progress: cli::Progress::Auto,
        })
    }
}

/// A file and what is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LockedFile {
    /// Path relative to the run's folder.
    pub(crate) path: String,
    /// Rows, of a table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rows: Option<u64>,
    /// Size in bytes.
    pub(crate) bytes: u64,
    /// BLAKE3 hash, in hexadecimal.
    pub(crate) blake3: String,
}

impl RunLock {
    /// Records a run that has just ended.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) fn write(plan: &Plan, asked: Asked, report: &Report) -> Result<(), Error> {
        Self::write_beside(plan, asked, report)?.publish()?;
        commit_point("record.renamed");
        run_folder::sync([report.folder.clone()])
    }

    /// Takes the record of a run away, before what it says is no more so: a run that was killed then is
    /// one that did not end.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) fn withdraw(run: &Path) -> Result<(), Error> {
        let path = run.join(NAME);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::disk("remove", &path, e)),
            _ => {
                commit_point("record.withdrawn");
                Ok(())
            }
        }
    }

    /// As [`RunLock::write`], but it is the record only once it is published.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) fn write_beside(
        plan: &Plan,
        asked: Asked,
        report: &Report,
    ) -> Result<Beside, Error> {
        let locked = |folder: &str, file: &OutputFile| LockedFile {
            path: format!("{folder}{}", file.path),
            rows: Some(file.rows),
            bytes: file.bytes,
            blake3: file.blake3.clone(),
        };
        let mut outputs = BTreeMap::new();
        for stage in &plan.stages {
            let voxflow_contract::Stage::Sink(sink) = &stage.stage else { continue };
            let folder = format!("{}/", sink.folder());
            let files = report.committed.get(&stage.id).into_iter().flat_map(|c| &c.files);
            outputs.insert(stage.id.clone(), files.map(|file| locked(&folder, file)).collect());
        }
        let mut tasks = BTreeMap::new();
        for task in &report.tasks {
            tasks.insert(task.stage.clone(), files_below(&report.folder, &task.stage)?);
        }
        let told = report.tasks.iter().filter(|task| !task.outcome.went_on.is_empty());
        let went_on = told.map(|task| (task.stage.clone(), task.outcome.went_on.clone()));
        let inputs = report
            .inputs
            .iter()
            .map(|(id, files)| (id.clone(), files.iter().map(|file| locked("", file)).collect()));
        let lock = Self {
            version: VERSION,
            plan: FrozenPlan::of(plan),
            asked,
            inputs: inputs.collect(),
            outputs,
            tasks,
            went_on: went_on.collect(),
        };
        let text = serde_json::to_vec_pretty(&lock).unwrap_or_default();
        Beside::write(&report.folder.join(NAME), &text)
    }

    /// When a run ended, if it did.
    pub(crate) fn ended(run: &Path) -> Option<SystemTime> {
        fs::metadata(run.join(NAME)).ok()?.modified().ok()
    }

    /// The record of a run.
    ///
    /// # Errors
    /// When there is none: no such run, or it has not ended.
    pub(crate) fn read(run: &Path) -> Result<Self, Error> {
        let path = run.join(NAME);
        let text = fs::read(&path).map_err(|e| Error::Run {
            message: format!("the run has no record, so it did not end: {e}: {}", path.display()),
        })?;
        let lock: Self = serde_json::from_slice(&text).map_err(|e| Error::Run {
            message: format!("the record cannot be read: {e}: {}", path.display()),
        })?;
        if !(1..=VERSION).contains(&lock.version) {
            let version = lock.version;
            let message =
                format!("version {version} of the record is not known: {}", path.display());
            return Err(Error::Run { message });
        }
        Ok(lock)
    }

    /// Every file it names.
    pub(crate) fn files(&self) -> impl Iterator<Item = &LockedFile> {
        let lists = self.outputs.values().chain(self.tasks.values());
        self.inputs.values().chain(lists).flatten()
    }

    /// What differs between two runs, one sentence each; `folders` are theirs.
    ///
    /// # Errors
    /// When a table of inputs cannot be read.
    pub(crate) fn differences(
        &self,
        other: &Self,
        [mine, theirs]: [&Path; 2],
    ) -> Result<Vec<String>, Error> {
        let mut all = Vec::new();
        if self.plan.voxflow != other.plan.voxflow {
            all.push(format!("voxflow {} and {}", self.plan.voxflow, other.plan.voxflow));
        }
        if self.plan.seed != other.plan.seed {
            all.push(format!("seed {} and {}", self.plan.seed, other.plan.seed));
        }
        self.plan.stage_differences(&other.plan, &mut all);
        for (source, files) in &self.inputs {
            let Some(others) = other.inputs.get(source) else { continue };
            let of = |files: &[LockedFile], folder: &Path, known: &[LockedFile]| {
                let is_new = |file: &&LockedFile| known.iter().all(|k| k.blake3 != file.blake3);
                files.iter().filter(is_new).map(|file| folder.join(&file.path)).collect()
            };
            let tables = [of(files, mine, others), of(others, theirs, files)];
            all.extend(sample_differences(source, &tables)?);
        }
        let of_run = |lock: &Self| {
            let lists = lock.outputs.values().chain(lock.tasks.values()).flatten();
            lists.map(|file| (file.path.clone(), file.blake3.clone())).collect::<BTreeMap<_, _>>()
        };
        let (a, b) = (of_run(self), of_run(other));
        let paths: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
        for path in paths {
            match (a.get(path), b.get(path)) {
                (Some(a), Some(b)) if a != b => all.push(format!("another file: {path}")),
                (Some(_), None) => all.push(format!("only in the first: {path}")),
                (None, Some(_)) => all.push(format!("only in the second: {path}")),
                _ => {}
            }
        }
        Ok(all)
    }
}

impl LockedFile {
    /// What is wrong with the file in this run's folder; `None` when it is what it was.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) fn fault(&self, run: &Path) -> Result<Option<String>, Error> {
        let path = run.join(&self.path);
        match hash_file(&path) {
            Ok((bytes, blake3)) if bytes == self.bytes && blake3 == self.blake3 => Ok(None),
            Ok((bytes, _)) if bytes == self.bytes => Ok(Some(format!("changed: {}", self.path))),
            Ok((bytes, _)) => {
                let expected = self.bytes;
                Ok(Some(format!("changed, {bytes} bytes for {expected}: {}", self.path)))
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                Ok(Some(format!("gone: {}", self.path)))
            }
            Err(e) => Err(Error::disk("read", &path, e)),
        }
    }
}

/// Reads what the first version of the form wrote, too.
fn one_or_several<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, Vec<LockedFile>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Files {
        One(LockedFile),
        Several(Vec<LockedFile>),
    }
    let all = BTreeMap::<String, Files>::deserialize(deserializer)?;
    let list = |files| match files {
        Files::One(file) => vec![file],
        Files::Several(files) => files,
    };
    Ok(all.into_iter().map(|(source, files)| (source, list(files))).collect())
}

fn hash_file(path: &Path) -> io::Result<(u64, String)> {
    let mut hasher = blake3::Hasher::new();
    let bytes = io::copy(&mut File::open(path)?, &mut hasher)?;
    Ok((bytes, hasher.finalize().to_hex().to_string()))
}

/// Files of a stage; what begins with a dot was set aside, or not finished.
fn files_below(run: &Path, folder: &str) -> Result<Vec<LockedFile>, Error> {
    let mut files = Vec::new();
    let is_kept = |entry: &walkdir::DirEntry| !entry.file_name().to_string_lossy().starts_with('.');
    let all = walkdir::WalkDir::new(run.join(folder)).sort_by_file_name().into_iter();
    for entry in all.filter_entry(is_kept) {
        let path = run.join(folder);
        let entry = entry.map_err(|e| Error::disk("list", &path, e.into()))?;
        if !entry.file_type().is_file() {
            continue;
        }
        let hashed = hash_file(entry.path()).map_err(|e| Error::disk("read", entry.path(), e))?;
        let relative = entry.path().strip_prefix(run).unwrap_or(entry.path());
        let parts: Vec<_> = relative.iter().map(|part| part.to_string_lossy()).collect();
        let (bytes, blake3) = hashed;
        files.push(LockedFile { path: parts.join("/"), rows: None, bytes, blake3 });
    }
    Ok(files)
}

/// The samples of a table of inputs, and what they were.
fn samples_of(path: &Path) -> Result<BTreeMap<String, String>, Error> {
    let unreadable =
        |e: &dyn std::fmt::Display| Error::disk("read", path, io::Error::other(e.to_string()));
    let file = File::open(path).map_err(|e| Error::disk("open", path, e))?;
    let rows: Batch = ParquetReader::new(file)
        .and_then(|reader| reader.read_all())
        .map_err(|e| unreadable(&e))?;
    let samples = rows.utf8("sample").map_err(|e| unreadable(&e))?;
    let contents = rows.utf8("content").map_err(|e| unreadable(&e))?;
    let categories = rows.utf8("category").map_err(|e| unreadable(&e))?;
    let row = |i: usize| {
        let content = contents.get(i).unwrap_or("not opened");
        (samples.value(i).to_owned(), format!("{} {content}", categories.value(i)))
    };
    Ok((0..rows.rows()).map(row).collect())
}

/// What differs between the samples of two lists of tables; samples in others are the same.
fn sample_differences(source: &str, tables: &[Vec<PathBuf>; 2]) -> Result<Vec<String>, Error> {
    let of_all = |paths: &[PathBuf]| {
        let mut all = BTreeMap::new();
        for path in paths {
            all.extend(samples_of(path)?);
        }
        Ok::<_, Error>(all)
    };
    let [a, b] = [of_all(&tables[0])?, of_all(&tables[1])?];
    let changed = a.iter().filter(|(sample, was)| b.get(*sample).is_some_and(|is| is != *was));
    let gone = a.keys().filter(|sample| !b.contains_key(*sample));
    let new = b.keys().filter(|sample| !a.contains_key(*sample));
    let kinds: [(&str, Vec<&String>); 3] = [
        ("changed", changed.map(|(sample, _)| sample).collect()),
        ("only in the first", gone.collect()),
        ("only in the second", new.collect()),
    ];
    let mut all = Vec::new();
    for (kind, samples) in kinds {
        for sample in samples.iter().take(NAMED) {
            all.push(format!("sample of {source} {kind}: {sample}"));
        }
        if samples.len() > NAMED {
            all.push(format!("{} more samples of {source} {kind}", samples.len() - NAMED));
        }
    }
    Ok(all)
}
