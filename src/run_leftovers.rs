//! What killed processes leave in the folders of runs.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// Folders above each other that are looked into.
const DEPTH: usize = 4;

/// What a killed process left in the folder of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Leftover {
    /// A file or folder that was not yet, or is no more, what the run has.
    Half(PathBuf),
    /// What the run had, moved aside to make place for what did not come.
    Aside(PathBuf),
}

/// What killed processes left in the folder of a run that nobody works on.
pub(crate) fn in_run(folder: &Path) -> Vec<Leftover> {
    // A data set may lie below folders of its own.
    let all = walkdir::WalkDir::new(folder).min_depth(1).max_depth(DEPTH).sort_by_file_name();
    let is_looked_at = |entry: &walkdir::DirEntry| entry.depth() == 1 || entry.file_type().is_dir();
    let mut walk = all.into_iter().filter_entry(is_looked_at);
    let mut found = Vec::new();
    while let Some(entry) = walk.next() {
        let Ok(entry) = entry else { continue };
        let (path, is_folder) = (entry.path().to_owned(), entry.file_type().is_dir());
        let end = path.extension().and_then(|end| end.to_str()).unwrap_or_default();
        let leftover = match (end, is_folder) {
            ("old", true) if !path.with_extension("").exists() => Leftover::Aside(path),
            ("partial" | "old", true) | ("tmp", false) => Leftover::Half(path),
            _ => continue,
        };
        if is_folder {
            walk.skip_current_dir();
        }
        found.push(leftover);
    }
    found
}

impl Leftover {
    /// Where it lies.
    pub(crate) fn path(&self) -> &Path {
        let (Self::Half(path) | Self::Aside(path)) = self;
        path
    }

    /// Removes it, or moves it back.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) fn clear(&self) -> Result<(), Error> {
        match self {
            Self::Aside(path) => fs::rename(path, path.with_extension(""))
                .map_err(|e| Error::disk("move back", path, e)),
            Self::Half(path) if path.is_dir() => {
                fs::remove_dir_all(path).map_err(|e| Error::disk("remove", path, e))
            }
            Self::Half(path) => fs::remove_file(path).map_err(|e| Error::disk("remove", path, e)),
        }
    }
}

/// Clears what killed processes left in the folders of runs that nobody works on, or only lists it.
///
/// # Errors
/// When the disk fails.
pub(crate) fn clear(runs: &Path, is_dry: bool) -> Result<Vec<PathBuf>, Error> {
    let folders = fs::read_dir(runs).into_iter().flatten().flatten().map(|run| run.path());
    let mut folders: Vec<PathBuf> = folders.collect();
    folders.sort();
    let mut cleared = Vec::new();
    for folder in folders {
        // One without a lock is being made right now; one that is locked is worked on.
        let Ok(lock) = fs::File::open(folder.join("lock")) else { continue };
        if lock.try_lock().is_err() {
            continue;
        }
        for leftover in in_run(&folder) {
            if !is_dry {
                leftover.clear()?;
            }
            cleared.push(leftover.path().to_owned());
        }
    }
    Ok(cleared)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run_folder;

    #[test]
    fn what_a_killed_process_left_goes_and_what_it_moved_aside_comes_back() {
        let runs = tempfile::tempdir().expect("a folder");
        let run = runs.path().join("run");
        for folder in ["dataset.old", "dataset.partial", "inputs/a", "inputs/a.old", "b/c.old"] {
            fs::create_dir_all(run.join(folder)).expect("a folder");
        }
        for file in ["dataset.old/kept", "plan.tmp", "plan.json"] {
            fs::write(run.join(file), "").expect("a file");
        }
        let clear = |is_dry| super::clear(runs.path(), is_dry).expect("cleared");
        assert_eq!(clear(false), Vec::<PathBuf>::new(), "without a lock it is being made");
        let held = run_folder::lock(&run, "run").expect("locked");
        assert_eq!(clear(false), Vec::<PathBuf>::new(), "it is worked on");
        drop(held);
        let left = ["b/c.old", "dataset.old", "dataset.partial", "inputs/a.old", "plan.tmp"];
        let left: Vec<PathBuf> = left.iter().map(|name| run.join(name)).collect();
        assert_eq!((clear(true), clear(false)), (left.clone(), left));
        let names = |folder: &Path| {
            let names = fs::read_dir(folder).expect("a folder").flatten();
            let mut names: Vec<_> =
                names.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
            names.sort();
            names
        };
        assert_eq!(names(&run), ["b", "dataset", "inputs", "lock", "plan.json"]);
        assert_eq!(
            (names(&run.join("dataset")), names(&run.join("inputs"))),
            (vec!["kept".to_owned()], vec!["a".to_owned()])
        );
    }
}
