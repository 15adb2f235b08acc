//! The data sets that those of a run follow or replace.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use voxflow_contract::OutputFile;

use crate::engine::Previous;
use crate::run_folder;
use crate::run_lock::{LockedFile, RunLock};

/// The data sets, by id of the sink, of the run itself if it ended once, else of the run of the same
/// pipeline that ended last and whose files are still there; none where there is no such run.
pub(crate) fn previous(runs: &Path, run: &str, pipeline: &str) -> BTreeMap<String, Previous> {
    if let Some(own) = data_sets(&runs.join(run), pipeline) {
        return own;
    }
    let folders = fs::read_dir(runs).into_iter().flatten().flatten().map(|entry| entry.path());
    let ended = |folder: PathBuf| Some((RunLock::ended(&folder)?, folder));
    let mut ended: Vec<(SystemTime, PathBuf)> = folders.filter_map(ended).collect();
    ended.sort_unstable();
    ended.iter().rev().find_map(|(_, folder)| data_sets(folder, pipeline)).unwrap_or_default()
}

/// The data sets of a run of this pipeline that ended, if their files are there.
fn data_sets(folder: &Path, pipeline: &str) -> Option<BTreeMap<String, Previous>> {
    RunLock::ended(folder)?;
    if run_folder::read_plan(folder)?.pipeline != pipeline {
        return None;
    }
    let lock = RunLock::read(folder).ok()?;
    let files = || lock.outputs.values().flatten();
    if !files().all(|file| folder.join(&file.path).is_file()) {
        return None;
    }
    let of_sink = |(id, files): (&String, &Vec<LockedFile>)| {
        let file = |file: &LockedFile| OutputFile {
            path: file.path.clone(),
            rows: file.rows.unwrap_or_default(),
            bytes: file.bytes,
            blake3: file.blake3.clone(),
        };
        (id.clone(), Previous { run: folder.to_owned(), files: files.iter().map(file).collect() })
    };
    Some(lock.outputs.iter().map(of_sink).collect())
}
