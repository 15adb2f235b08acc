//! `Store`: the folder of the store, and this process's place in it.

use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use voxflow_contract::{MachineFault, commit_point};

use super::cost::Cost;
use super::facts::Facts;
use super::files::KeptFiles;
use super::replaced;
use super::stage::{StageFacts, StageStore};
use super::triangles::TriangleCounts;

/// How often a run that waits for another looks whether it may go on.
const TURN_POLL: Duration = Duration::from_millis(50);

/// The store of a home, open for as long as this lives.
#[derive(Clone)]
pub(crate) struct Store {
    root: PathBuf,
    place: Arc<Workplace>,
}

/// Where a process writes what is not yet whole: a folder of its own, locked while the process lives.
pub(crate) struct Workplace {
    folder: PathBuf,
    next: AtomicU64,
    /// Holds the lock of `folder`.
    _own: File,
    /// Holds the shared lock of the store.
    _shared: File,
}

impl Store {
    /// Opens the store below `home`, and makes it if there is none. Waits while another process
    /// tidies it.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) fn open(home: &Path) -> Result<Self, MachineFault> {
        let root = home.join("store");
        let tmp = root.join("tmp");
        fs::create_dir_all(&tmp).map_err(|e| MachineFault::io("create", &tmp, e))?;
        let shared = open_lock(&root.join("lock"))?;
        replaced::sweep(&root.join("rows"), &shared);
        shared.lock_shared().map_err(|e| MachineFault::io("lock", &root.join("lock"), e))?;
        remove_dead(&tmp)?;
        let place = Arc::new(Workplace::new(&tmp, shared)?);
        Ok(Self { root, place })
    }

    /// Where this process writes what is not yet whole.
    #[cfg(test)]
    pub(super) fn place(&self) -> &Workplace {
        &self.place
    }

    /// What the store has of a stage.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) fn stage(&self, facts: &StageFacts) -> Result<StageStore, MachineFault> {
        StageStore::open(&self.root.join("rows"), facts, Arc::clone(&self.place))
    }

    /// Waits until no other run makes rows of these stages, and keeps others from it for as long as the
    /// result lives, however the process ends. `wait` is asked now and then whether to go on waiting;
    /// `None` when it said no.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) fn take_turn(
        &self,
        stages: &[&StageFacts],
        mut wait: impl FnMut() -> bool,
    ) -> Result<Option<Turn>, MachineFault> {
        // All runs ask in one order, so that no two wait for each other.
        let mut names: Vec<&str> = stages.iter().map(|facts| short(&facts.fingerprint)).collect();
        names.sort_unstable();
        names.dedup();
        let mut locks = Vec::with_capacity(names.len());
        for name in names {
            let folder = self.root.join("rows").join(name);
            fs::create_dir_all(&folder).map_err(|e| MachineFault::io("create", &folder, e))?;
            let path = folder.join("turn");
            let file = open_lock(&path)?;
            loop {
                match file.try_lock() {
                    Ok(()) => break,
                    Err(TryLockError::WouldBlock) if wait() => std::thread::sleep(TURN_POLL),
                    Err(TryLockError::WouldBlock) => return Ok(None),
                    Err(TryLockError::Error(e)) => return Err(MachineFault::io("lock", &path, e)),
                }
            }
            locks.push(file);
        }
        Ok(Some(Turn { _locks: locks }))
    }

    /// What the store has of a stage, if it ever had anything of it.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) fn known_stage(
        &self,
        facts: &StageFacts,
    ) -> Result<Option<StageStore>, MachineFault> {
        let folder = self.root.join("rows").join(short(&facts.fingerprint));
        if folder.is_dir() { self.stage(facts).map(Some) } else { Ok(None) }
    }

    /// Every stage that the store has something of.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) fn stages(&self) -> Result<Vec<StageFacts>, MachineFault> {
        let rows = self.root.join("rows");
        let mut stages = Vec::new();
        let entries = match fs::read_dir(&rows) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(stages),
            entries => entries.map_err(|e| MachineFault::io("list", &rows, e))?,
        };
        for entry in entries {
            let folder = entry.map_err(|e| MachineFault::io("list", &rows, e))?.path();
            let text = fs::read(folder.join("stage.json")).unwrap_or_default();
            // One that is being made, or that a person put there.
            stages.extend(serde_json::from_slice::<StageFacts>(&text).ok());
        }
        stages.sort_by(|a, b| a.fingerprint.cmp(&b.fingerprint));
        Ok(stages)
    }

    /// What the store knows of the samples of a source.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) fn facts(&self, source_fingerprint: &str) -> Result<Facts, MachineFault> {
        let folder = self.root.join("facts").join(short(source_fingerprint));
        Facts::open(folder, Arc::clone(&self.place))
    }

    /// As [`Store::facts`], without what the store knows already.
    pub(crate) fn unread_facts(&self, source_fingerprint: &str) -> Facts {
        let folder = self.root.join("facts").join(short(source_fingerprint));
        Facts::unread(folder, Arc::clone(&self.place))
    }

    /// What the rows of a stage have cost so far, without a look at them.
    pub(crate) fn cost(&self, facts: &StageFacts) -> Cost {
        let folder = self.root.join("rows").join(short(&facts.fingerprint));
        Cost::read(&folder.join("cost.json"))
    }

    /// How many triangles the samples of a source have.
    pub(crate) fn triangles(&self, source_fingerprint: &str) -> TriangleCounts {
        let folder = self.root.join("triangles").join(short(source_fingerprint));
        TriangleCounts::new(folder, Arc::clone(&self.place))
    }

    /// Files of data sets.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) fn files(&self) -> Result<KeptFiles, MachineFault> {
        KeptFiles::open(self.root.join("files"), Arc::clone(&self.place))
    }
}

/// Removes the files whose place others took, if nobody uses the store below `home`; whoever opens it
/// next does so, too.
///
/// # Errors
/// When the disk fails.
pub(crate) fn sweep(home: &Path) -> Result<(), MachineFault> {
    let root = home.join("store");
    replaced::sweep(&root.join("rows"), &open_lock(&root.join("lock"))?);
    Ok(())
}

/// Leave to make rows of some stages.
pub(crate) struct Turn {
    _locks: Vec<File>,
}

/// A fingerprint as the name of a file: half of it is more than enough to tell all apart.
pub(crate) fn short(fingerprint: &str) -> &str {
    fingerprint.get(..32).unwrap_or(fingerprint)
}

impl Workplace {
    fn new(tmp: &Path, shared: File) -> Result<Self, MachineFault> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        loop {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let folder = tmp.join(format!("{}-{number}", std::process::id()));
            match fs::create_dir(&folder) {
                Ok(()) => {}
                // Of a dead process whose number this one was given; or of another machine.
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => continue,
                Err(e) => return Err(MachineFault::io("create", &folder, e)),
            }
            let own = open_lock(&folder.join("lock"))?;
            own.lock().map_err(|e| MachineFault::io("lock", &folder, e))?;
            // Before the lock was held, a process that began just now took the folder for a dead one's.
            if folder.join("lock").exists() {
                return Ok(Self { folder, next: AtomicU64::new(0), _own: own, _shared: shared });
            }
        }
    }

    /// A path that nobody else uses.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.join(self.next.fetch_add(1, Ordering::Relaxed).to_string())
    }

    /// Puts a file of these bytes at `path`, whole or not at all.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), MachineFault> {
        let beside = self.path();
        let write = || {
            let mut file = File::create_new(&beside)?;
            file.write_all(bytes)?;
            file.sync_all()
        };
        write().map_err(|e| MachineFault::io("write", &beside, e))?;
        commit_point("store.written");
        self.publish(&beside, path)
    }

    /// Moves a synced file of this folder to its place.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) fn publish(&self, beside: &Path, path: &Path) -> Result<(), MachineFault> {
        fs::rename(beside, path).map_err(|e| MachineFault::io("rename to", path, e))
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        // A leftover is removed by the next process.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

pub(super) fn open_lock(path: &Path) -> Result<File, MachineFault> {
    let mut options = File::options();
    let opened = options.create(true).truncate(false).write(true).read(true).open(path);
    opened.map_err(|e| MachineFault::io("open", path, e))
}

/// Removes the folders of processes that are no more: nobody holds their locks.
fn remove_dead(tmp: &Path) -> Result<(), MachineFault> {
    for entry in fs::read_dir(tmp).map_err(|e| MachineFault::io("list", tmp, e))? {
        let folder = entry.map_err(|e| MachineFault::io("list", tmp, e))?.path();
        // A folder without a lock is being made right now, or is all but removed.
        let Ok(lock) = File::open(folder.join("lock")) else { continue };
        if lock.try_lock().is_ok() {
            // Another process may be faster.
            let _ = fs::remove_dir_all(&folder);
        }
    }
    Ok(())
}

/// Makes the names in a folder durable.
///
/// # Errors
/// When the disk fails.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), MachineFault> {
    if cfg!(windows) {
        return Ok(());
    }
    let synced = File::open(folder).and_then(|handle| handle.sync_all());
    synced.map_err(|e| MachineFault::io("sync", folder, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_those_that_begin_at_once_each_keeps_its_workplace() {
        let home = tempfile::tempdir().expect("a folder");
        let begin = || {
            for _ in 0..300 {
                let store = Store::open(home.path()).expect("a store");
                let path = store.place.path();
                fs::write(&path, b"half").unwrap_or_else(|e| panic!("{e}: {}", path.display()));
            }
        };
        std::thread::scope(|scope| (0..8).for_each(|_| drop(scope.spawn(begin))));
        let left = fs::read_dir(home.path().join("store/tmp")).expect("a folder").count();
        assert_eq!(left, 0, "who ends leaves nothing");
    }
}
