//! Folders that are either complete or not there.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use voxflow_contract::MachineFault;

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
/// is called. One process at a time: that is for the caller to see to.
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
    let (partial, old) = (Discarded(partial), Discarded(old));
    partial.remove().map_err(|e| MachineFault::io("remove", &partial.0, e))?;
    old.remove().map_err(|e| MachineFault::io("remove", &old.0, e))?;
    fs::create_dir_all(&partial.0).map_err(|e| MachineFault::io("create", &partial.0, e))?;
    let result = fill(&partial.0)?;
    sync_folders(&partial.0)?;
    let moved_aside = match fs::rename(folder, &old.0) {
        Ok(()) => true,
        Err(e) if e.kind() == io::ErrorKind::NotFound => false,
        Err(e) => return Err(MachineFault::io("move aside", folder, e)),
    };
    if let Err(error) = fs::rename(&partial.0, folder) {
        if moved_aside && let Err(e) = fs::rename(&old.0, folder) {
            let aside = old.keep();
            return Err(MachineFault::io("move back what stood there before", &aside, e));
        }
        return Err(MachineFault::io("rename to", folder, error));
    }
    sync_folder(folder.parent().unwrap_or(Path::new(".")))?;
    Ok(result)
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

    fn keep(mut self) -> PathBuf {
        std::mem::take(&mut self.0)
    }
}

impl Drop for Discarded {
    fn drop(&mut self) {
        // A leftover takes space and is in nobody's way; the error that led here says more.
        let _ = self.remove();
    }
}
