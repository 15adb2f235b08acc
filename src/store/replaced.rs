//! Which files of a stage others have taken the place of: the record of a compaction.
//!
//! The files stay until nobody else uses the store, since others may read them; whoever opens the store
//! from now on passes them over.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use voxflow_contract::{MachineFault, commit_point};

use super::home::{Workplace, sync_folder};
use super::sealed;
use super::shard::Shard;

const MAGIC: &[u8] = b"voxflow replaced 1\n";
const EXTENSION: &str = ".replaced";

/// Files of a stage, by name: `.shard` and `.lifted`. A `.parquet` goes with its `.shard`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Replaced {
    /// What says all that the others said.
    pub(super) by: BTreeSet<String>,
    /// What need not be looked at any more.
    pub(super) files: BTreeSet<String>,
}

/// Puts a record into the folder of a stage; from then on it holds. Gives its name.
///
/// # Errors
/// When the disk fails.
pub(super) fn write(
    folder: &Path,
    place: &Workplace,
    replaced: &Replaced,
) -> Result<String, MachineFault> {
    let text = serde_json::to_vec(replaced).unwrap_or_default();
    let (bytes, hash) = sealed::seal([MAGIC, &text].concat());
    let name = format!("{}{EXTENSION}", &hash.to_hex()[..32]);
    // What it names is durable before it is.
    sync_folder(folder)?;
    place.write(&folder.join(&name), &bytes)?;
    commit_point("compaction.recorded");
    sync_folder(folder)?;
    Ok(name)
}

/// Reads what [`write`] wrote; `None` when a byte of it is not what was written. Then it does not hold,
/// and rows are there twice.
pub(super) fn read(path: &Path) -> Option<Replaced> {
    let bytes = fs::read(path).ok()?;
    serde_json::from_slice(sealed::open(&bytes, MAGIC)?).ok()
}

/// The records among the files of a stage that hold: whose replacements are all there.
pub(super) fn records(folder: &Path, names: &BTreeSet<String>) -> Vec<(String, Replaced)> {
    let all = names.iter().filter(|name| name.ends_with(EXTENSION));
    let known = all.filter_map(|name| Some((name.clone(), read(&folder.join(name))?)));
    known.filter(|(_, replaced)| replaced.by.is_subset(names)).collect()
}

/// What can go from the folder of a stage once nobody else uses the store, in this order: keys before
/// rows, so that no rows are missed, and records last, so that who is stopped begins again.
pub(super) fn removable(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let names: BTreeSet<String> = names.collect();
    let (mut files, mut records_left) = (Vec::new(), Vec::new());
    let records = records(folder, &names);
    for name in names.iter().filter(|name| name.ends_with(EXTENSION)) {
        records_left.push(folder.join(name));
        // One that does not hold goes alone: what it names counts again.
        let Some((_, replaced)) = records.iter().find(|(record, _)| record == name) else {
            continue;
        };
        if !replaced.by.iter().all(|name| is_whole(&folder.join(name))) {
            records_left.pop();
            continue;
        }
        for name in &replaced.files {
            let keys = folder.join(name);
            let rows = keys.with_extension("parquet");
            files.extend([keys, rows].into_iter().filter(|path| path.is_file()));
        }
    }
    files.extend(records_left);
    files
}

/// Whether what took the place of others can still be read, as far as its keys say.
fn is_whole(path: &Path) -> bool {
    if path.extension().is_some_and(|extension| extension == "lifted") {
        return super::lifted::read(path).is_ok_and(|lifted| lifted.is_some());
    }
    let Some(shard) = fs::read(path).ok().and_then(|bytes| Shard::from_bytes(&bytes)) else {
        return false;
    };
    let len = fs::metadata(path.with_extension("parquet")).map_or(0, |metadata| metadata.len());
    len == shard.hashes.len()
}

/// Removes what was replaced in all stages below `rows`, if nobody else uses the store: `lock` is its
/// lock, which this process does not hold. A file that cannot be removed stays, with a warning.
pub(super) fn sweep(rows: &Path, lock: &File) {
    let folders = || fs::read_dir(rows).into_iter().flatten().flatten().map(|entry| entry.path());
    let has_record = |folder: PathBuf| {
        let names = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.any(|name| name.ends_with(EXTENSION))
    };
    let folders: Vec<PathBuf> = folders().filter(|folder| has_record(folder.clone())).collect();
    if folders.is_empty() || lock.try_lock().is_err() {
        return;
    }
    for path in folders.iter().flat_map(|folder| removable(folder)) {
        if let Err(e) = fs::remove_file(&path) {
            tracing::warn!("cannot remove what was replaced: {e}: {}", path.display());
            break;
        }
        commit_point("compaction.removed");
    }
    // Whoever waits goes on; closing the file would do it, too.
    let _ = lock.unlock();
}
