//! Files and folders that are either complete or not there.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use voxflow_contract::MachineFault;
use voxflow_formats::FormatError;

/// Writes a file beside `path`, syncs it and renames it to `path`.
pub(crate) fn write_durably(
    path: &Path,
    fill: impl FnOnce(File) -> Result<File, FormatError>,
) -> Result<(), MachineFault> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let beside = Discarded(with_suffix(path, &format!(".{}-{number}.tmp", std::process::id())));
    let file = File::create_new(&beside.0).map_err(|e| MachineFault::io("create", &beside.0, e))?;
    let file = fill(file).map_err(|e| format_fault("write", &beside.0, &e))?;
    file.sync_all().map_err(|e| MachineFault::io("sync", &beside.0, e))?;
    fs::rename(&beside.0, path).map_err(|e| MachineFault::io("rename to", path, e))?;
    sync_folder(path.parent().unwrap_or(Path::new(".")))
}

/// Fills a new folder beside `folder` and renames it to `folder`, in place of an older one.
///
/// `folder` is as it was when anything fails. The folders aside are called `folder` plus
/// `.partial` or `.old`; what a killed process left of them is cleared by the next one. One process
/// at a time: the run's lock sees to that.
pub(crate) fn replace_folder<T>(
    folder: &Path,
    fill: impl FnOnce(&Path) -> Result<T, MachineFault>,
) -> Result<T, MachineFault> {
    let partial = Discarded(with_suffix(folder, ".partial"));
    let old = Discarded(with_suffix(folder, ".old"));
    partial.remove().map_err(|e| MachineFault::io("remove", &partial.0, e))?;
    if !folder.exists() && old.0.exists() {
        // A process was stopped between the two renames below.
        fs::rename(&old.0, folder).map_err(|e| MachineFault::io("rename to", folder, e))?;
    }
    old.remove().map_err(|e| MachineFault::io("remove", &old.0, e))?;
    fs::create_dir_all(&partial.0).map_err(|e| MachineFault::io("create", &partial.0, e))?;
    let result = fill(&partial.0)?;
    sync_folder(&partial.0)?;
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

/// Makes the names in `folder` durable.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), MachineFault> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    if cfg!(windows) {
        return Ok(());
    }
    let synced = File::open(folder).and_then(|handle| handle.sync_all());
    synced.map_err(|e| MachineFault::io("sync", folder, e))
}

/// A fault of a codec as one of the machine: our own rows are not to blame.
pub(crate) fn format_fault(action: &str, path: &Path, error: &FormatError) -> MachineFault {
    MachineFault::new(format!("cannot {action}: {error}: {}", path.display()))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
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
