//! Folders of which some files become others, all at the same moment.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use voxflow_contract::{MachineFault, OutputFile, commit_point};

use crate::durable::{exchange, sync_folder, with_suffix};

/// A folder, and beside it one that is made what the folder shall be and then takes its place.
///
/// Both have links to the same files, so a change costs the files that change, and not all of them.
/// The twin is called `folder` plus `.partial`, as what [`crate::replace_folder`] fills, which also mends
/// what a killed process left. It is removed when this is dropped.
pub struct TwinFolder {
    folder: PathBuf,
    twin: PathBuf,
    /// Hash of each file, by path: of the folder, and of its twin.
    files: BTreeMap<String, String>,
    of_twin: BTreeMap<String, String>,
}

impl TwinFolder {
    /// The twin of a folder that has just these files.
    ///
    /// # Errors
    /// When the machine fails.
    pub fn new<'a>(
        folder: &Path,
        files: impl Iterator<Item = &'a OutputFile>,
    ) -> Result<Self, MachineFault> {
        let twin = with_suffix(folder, ".partial");
        match fs::remove_dir_all(&twin) {
            Err(e) if e.kind() != ErrorKind::NotFound => {
                return Err(MachineFault::io("remove", &twin, e));
            }
            _ => fs::create_dir_all(&twin).map_err(|e| MachineFault::io("create", &twin, e))?,
        }
        let files: BTreeMap<String, String> =
            files.map(|file| (file.path.clone(), file.blake3.clone())).collect();
        let mut made = Self {
            folder: folder.to_owned(),
            twin,
            of_twin: BTreeMap::new(),
            files: files.clone(),
        };
        made.fill(&files, &BTreeMap::new())?;
        Ok(made)
    }

    /// Makes the twin what the folder shall be: `files`, which lie in the folder already, whatever they
    /// are called there, or in `new`, by their hash. Forces all names to disk.
    ///
    /// # Errors
    /// When the machine fails; the folder is as it was.
    pub fn prepare<'a>(
        &mut self,
        files: impl Iterator<Item = &'a OutputFile>,
        new: &BTreeMap<String, PathBuf>,
    ) -> Result<(), MachineFault> {
        let wanted = files.map(|file| (file.path.clone(), file.blake3.clone())).collect();
        let touched = self.fill(&wanted, new)?;
        commit_point("twin.prepared");
        // Side by side they take little more than one alone.
        std::thread::scope(|scope| {
            let sync = |folder| scope.spawn(move || sync_folder(folder));
            let threads: Vec<_> = touched.iter().map(|folder| sync(folder)).collect();
            let panicked = || MachineFault::new("a thread that forced names to disk panicked");
            threads.into_iter().try_for_each(|t| t.join().map_err(|_| panicked()).flatten())
        })
    }

    /// Puts the twin in the place of the folder, and the folder in that of the twin. The new names are
    /// for the caller to force to disk: they lie in the folder's parent.
    ///
    /// # Errors
    /// When the machine fails.
    pub fn swap(&mut self) -> Result<(), MachineFault> {
        if !exchange(&self.twin, &self.folder) {
            self.swap_one_by_one()?;
        }
        commit_point("twin.exchanged");
        std::mem::swap(&mut self.files, &mut self.of_twin);
        Ok(())
    }

    /// Where the system has no exchange: a kill between leaves the folder under the name `.old`, and
    /// who goes on with the run moves it back.
    fn swap_one_by_one(&self) -> Result<(), MachineFault> {
        let old = with_suffix(&self.folder, ".old");
        for (from, to) in [(&self.folder, &old), (&self.twin, &self.folder), (&old, &self.twin)] {
            fs::rename(from, to).map_err(|e| MachineFault::io("rename to", to, e))?;
        }
        Ok(())
    }

    /// Gives the folders in which a name changed.
    fn fill(
        &mut self,
        wanted: &BTreeMap<String, String>,
        new: &BTreeMap<String, PathBuf>,
    ) -> Result<BTreeSet<PathBuf>, MachineFault> {
        let mut touched = BTreeSet::new();
        let is_wrong = |(path, hash): &(&String, &String)| wanted.get(*path) != Some(*hash);
        let wrong: Vec<String> =
            self.of_twin.iter().filter(is_wrong).map(|(path, _)| path.clone()).collect();
        for path in wrong {
            let file = self.twin.join(&path);
            fs::remove_file(&file).map_err(|e| MachineFault::io("remove", &file, e))?;
            self.of_twin.remove(&path);
            touched.extend(file.parent().map(Path::to_owned));
        }
        let known: BTreeMap<&str, &str> =
            self.files.iter().map(|(path, hash)| (hash.as_str(), path.as_str())).collect();
        for (path, hash) in wanted {
            if self.of_twin.contains_key(path) {
                continue;
            }
            let in_folder = known.get(hash.as_str()).map(|path| self.folder.join(path));
            let from = in_folder.as_ref().or_else(|| new.get(hash));
            let from = from.ok_or_else(|| {
                MachineFault::new(format!("a file that was to be there is not: {path}"))
            })?;
            let file = self.twin.join(path);
            let parent = file.parent().unwrap_or(&self.twin);
            if !touched.contains(parent) {
                fs::create_dir_all(parent).map_err(|e| MachineFault::io("create", parent, e))?;
                touched.insert(parent.to_owned());
            }
            link_or_copy(from, &file).map_err(|e| MachineFault::io("link to", &file, e))?;
            self.of_twin.insert(path.clone(), hash.clone());
        }
        // A folder that has no file any more goes, as long as it is not the twin itself.
        let (twin, folders) = (&self.twin, std::mem::take(&mut touched));
        let is_gone = |folder: &PathBuf| folder != twin && fs::remove_dir(folder).is_ok();
        let mut left: BTreeSet<PathBuf> = folders.into_iter().filter(|f| !is_gone(f)).collect();
        if !left.is_empty() || !self.of_twin.is_empty() {
            left.insert(twin.clone());
        }
        Ok(left)
    }
}

impl Drop for TwinFolder {
    fn drop(&mut self) {
        // A leftover takes names and no space, and is in nobody's way.
        let _ = fs::remove_dir_all(&self.twin);
    }
}

/// Not every file system has links.
fn link_or_copy(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Ok(()) => Ok(()),
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::AlreadyExists) => Err(e),
        Err(_) => fs::copy(from, to).and_then(|_| fs::File::open(to)?.sync_all()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, hash: &str) -> OutputFile {
        OutputFile { path: path.to_owned(), rows: 1, bytes: 1, blake3: hash.to_owned() }
    }

    fn listed(folder: &Path) -> Vec<String> {
        let mut all = Vec::new();
        for split in fs::read_dir(folder).expect("a folder").flatten() {
            for file in fs::read_dir(split.path()).expect("a folder").flatten() {
                let text = fs::read_to_string(file.path()).expect("text");
                let names = [split.file_name(), file.file_name()];
                let [split, name] = names.map(|name| name.to_string_lossy().into_owned());
                all.push(format!("{split}/{name}={text}"));
            }
        }
        all.sort();
        all
    }

    #[test]
    fn files_change_at_once_again_and_again() {
        let place = tempfile::tempdir().expect("a folder");
        let folder = place.path().join("dataset");
        for (path, text) in [("train/0", "a"), ("train/1", "b"), ("val/0", "c")] {
            fs::create_dir_all(folder.join(path).parent().expect("a parent")).expect("made");
            fs::write(folder.join(path), text).expect("written");
        }
        let mut now = vec![file("train/0", "a"), file("train/1", "b"), file("val/0", "c")];
        let mut twin = TwinFolder::new(&folder, now.iter()).expect("a twin");
        for round in 0..4 {
            // One is new, those after it have another name, and one goes and comes.
            let hash = format!("new {round}");
            let path = place.path().join("new");
            fs::write(&path, &hash).expect("written");
            now.retain(|file| file.path.starts_with("train"));
            now.insert(1, file("", &hash));
            for (i, file) in now.iter_mut().enumerate() {
                file.path = format!("train/{i}");
            }
            if round % 2 == 1 {
                now.push(file("val/0", "a"));
            }
            let before = listed(&folder);
            let new = BTreeMap::from([(hash, path.clone())]);
            twin.prepare(now.iter(), &new).expect("prepared");
            assert_eq!(listed(&folder), before);
            twin.swap().expect("swapped");
            fs::remove_file(&path).expect("removed");
            let wanted: Vec<_> = now.iter().map(|f| format!("{}={}", f.path, f.blake3)).collect();
            assert_eq!(listed(&folder), wanted, "round {round}");
            assert_eq!(folder.join("val").exists(), round % 2 == 1);
        }
        let before = listed(&folder);
        (0..2).for_each(|_| twin.swap_one_by_one().expect("swapped"));
        assert_eq!(listed(&folder), before, "there and back, without an exchange");
        assert!(twin.prepare([file("x", "unknown")].iter(), &BTreeMap::new()).is_err());
        drop(twin);
        assert_eq!(fs::read_dir(place.path()).expect("a folder").count(), 1);
    }
}
