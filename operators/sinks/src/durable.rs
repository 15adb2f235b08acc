//! Folders that are either complete or not there.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use voxflow_contract::{MachineFault, commit_point};

/// Fills a new folder beside `folder` and renames it to `folder`, in place of an older one.
///
/// `fill` is given the new folder, empty, and what it says is passed on. An older `folder` stands
/// until `fill` is done, so that files of it can be linked or copied over. `fill` forces the
/// contents of its files to disk; their names are forced here, and then the folder appears at once
/// with all that is in it.
///
/// `folder` is as it was when anything fails, unless all that failed is to force its new name to
/// disk. The folders aside are called `folder` plus `.partial` or `.old`, and are gone when this
/// returns; what a killed process left of them is cleared, or moved back to `folder`, before `fill`
/// is called. On Linux `folder` and `folder` plus `.partial` change names at the same moment, so there is a
/// `folder` all the time. One process at a time: that is for the caller to see to.
///
/// # Errors
/// What `fill` said, or that the machine failed. Only when it also failed to move the older folder
/// back is that left in `folder` plus `.old`, as the fault says; the next call moves it back.
pub fn replace_folder<T>(
    folder: &Path,
    fill: impl FnOnce(&Path) -> Result<T, MachineFault>,
) -> Result<T, MachineFault> {
    let (partial, old) = (with_suffix(folder, ".partial"), with_suffix(folder, ".old"));
    if !folder.exists() && old.exists() {
        // A process was stopped between the two renames below.
        fs::rename(&old, folder).map_err(|e| MachineFault::io("rename to", folder, e))?;
    }
    // Not before: what was moved back just now was all there is of the data set.
    let (partial, mut old) = (Discarded(partial), Discarded(old));
    partial.remove().map_err(|e| MachineFault::io("remove", &partial.0, e))?;
    old.remove().map_err(|e| MachineFault::io("remove", &old.0, e))?;
    fs::create_dir_all(&partial.0).map_err(|e| MachineFault::io("create", &partial.0, e))?;
    let result = fill(&partial.0)?;
    commit_point("dataset.filled");
    sync_folders(&partial.0)?;
    put_in_place(&partial.0, folder, &mut old)?;
    commit_point("dataset.exchanged");
    sync_folder(folder.parent().unwrap_or(Path::new(".")))?;
    Ok(result)
}

/// Gives `partial` the name `folder`; what is there goes to `old`, or to `partial`.
fn put_in_place(partial: &Path, folder: &Path, old: &mut Discarded) -> Result<(), MachineFault> {
    if exchange(partial, folder) {
        return Ok(());
    }
    let moved_aside = match fs::rename(folder, &old.0) {
        Ok(()) => true,
        Err(e) if e.kind() == io::ErrorKind::NotFound => false,
        Err(e) => return Err(MachineFault::io("move aside", folder, e)),
    };
    if let Err(error) = fs::rename(partial, folder) {
        if moved_aside && let Err(e) = fs::rename(&old.0, folder) {
            let aside = old.keep();
            return Err(MachineFault::io("move back what stood there before", &aside, e));
        }
        return Err(MachineFault::io("rename to", folder, error));
    }
    Ok(())
}

/// Has two folders change names, both at the same moment; says whether that was done. Not every system
/// can, and both must be there.
pub(crate) fn exchange(one: &Path, other: &Path) -> bool {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).is_ok()
    }
    #[cfg(not(target_os = "linux"))]
    false
}

/// Makes the names in `folder`, and in all folders in it, durable.
fn sync_folders(folder: &Path) -> Result<(), MachineFault> {
    let read_fault = |e| MachineFault::io("read", folder, e);
    for entry in fs::read_dir(folder).map_err(read_fault)? {
        let entry = entry.map_err(read_fault)?;
        if entry.file_type().map_err(read_fault)?.is_dir() {
            sync_folders(&entry.path())?;
        }
    }
    sync_folder(folder)
}

/// Makes the names in `folder` durable.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), MachineFault> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    if cfg!(windows) {
        return Ok(());
    }
    let synced = File::open(folder).and_then(|handle| handle.sync_all());
    synced.map_err(|e| MachineFault::io("sync", folder, e))
}

pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// A file or folder that is removed in the end, if it still has this name.
struct Discarded(PathBuf);

impl Discarded {
    fn remove(&self) -> io::Result<()> {
        let removed = match fs::symlink_metadata(&self.0) {
            Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(&self.0),
            Ok(_) => fs::remove_file(&self.0),
            Err(error) => Err(error),
        };
        removed.or_else(|e| if e.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(e) })
    }

    fn keep(&mut self) -> PathBuf {
        std::mem::take(&mut self.0)
    }
}

impl Drop for Discarded {
    fn drop(&mut self) {
        // A leftover takes space and is in nobody's way; the error that led here says more.
        let _ = self.remove();
    }
}
