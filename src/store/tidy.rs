//! Tidying: what in the store has changed under our hands, and what nobody needs any more.

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io::{self, BufReader, ErrorKind};
use std::path::{Path, PathBuf};

use voxflow_contract::{MachineFault, commit_point};

use super::facts;
use super::files;
use super::home::{open_lock, short};
use super::lifted;
use super::replaced;
use super::shard::Shard;

/// A file of the store that is not what was written, or cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Damage {
    /// The file.
    pub(crate) path: PathBuf,
    /// What is wrong with it.
    pub(crate) message: String,
    /// What to rename, by appending `.damaged`, so that nothing uses it any more.
    pub(crate) set_aside: PathBuf,
}

/// What the runs of a home need, by fingerprint.
#[derive(Debug, Clone, Default)]
pub(crate) struct Used {
    /// What rows are kept under.
    pub(crate) rows: BTreeSet<String>,
    /// Sources.
    pub(crate) sources: BTreeSet<String>,
}

/// Reads every file of the store, tells `each` of its size, and gives the damaged ones.
///
/// # Errors
/// When the disk fails.
pub(crate) fn verify(home: &Path, each: &mut dyn FnMut(u64)) -> Result<Vec<Damage>, MachineFault> {
    let root = home.join("store");
    let mut damage = Vec::new();
    for stage in list(&root.join("rows"))? {
        for path in list(&stage)?.into_iter().filter(|path| has_extension(path, "lifted")) {
            let message = match lifted::read(&path) {
                Ok(Some(_)) => continue,
                Ok(None) => "its bytes are not those that were written".to_owned(),
                Err(e) => unreadable(&e),
            };
            damage.push(Damage { set_aside: path.clone(), path, message });
        }
        for path in list(&stage)?.into_iter().filter(|path| has_extension(path, "replaced")) {
            if replaced::read(&path).is_none() {
                let message = "its bytes are not those that were written".to_owned();
                damage.push(Damage { set_aside: path.clone(), path, message });
            }
        }
        for path in list(&stage)?.into_iter().filter(|path| has_extension(path, "shard")) {
            damage.extend(check_shard(&path, each));
        }
    }
    for path in facts_files(&root)? {
        if facts::read(&path).is_none() {
            let message = "its bytes are not those that were written".to_owned();
            damage.push(Damage { set_aside: path.clone(), path, message });
        }
    }
    for path in list(&root.join("files"))?.into_iter().filter(|path| !has_extension(path, "json")) {
        if has_extension(&path, "damaged") {
            continue;
        }
        let message = match files::check(&path) {
            Ok(checked) => {
                each(checked.bytes);
                checked.fault
            }
            Err(e) => Some(unreadable(&e)),
        };
        if let Some(message) = message {
            damage.push(Damage { set_aside: path.with_extension("json"), path, message });
        }
    }
    Ok(damage)
}

/// What is wrong with a shard, if anything is.
fn check_shard(path: &Path, each: &mut dyn FnMut(u64)) -> Option<Damage> {
    let bad = |file: &Path, message: String| {
        let (file, set_aside) = (file.to_owned(), path.to_owned());
        Some(Damage { path: file, message, set_aside })
    };
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) => return bad(path, unreadable(&e)),
    };
    each(bytes.len() as u64);
    let Some(shard) = Shard::from_bytes(&bytes) else {
        return bad(path, "its bytes are not those that were written".to_owned());
    };
    if shard.keys.is_empty() {
        return None;
    }
    let data = path.with_extension("parquet");
    let difference = |file| shard.hashes.first_difference(BufReader::new(file));
    match File::open(&data).and_then(difference) {
        Err(e) => bad(&data, unreadable(&e)),
        Ok(found) => {
            each(shard.hashes.len());
            let at = found?;
            bad(&data, format!("its bytes from {at} are not those that were written"))
        }
    }
}

fn unreadable(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "it is gone".to_owned(),
        _ => format!("it cannot be read: {error}"),
    }
}

/// Removes what no run needs, or only lists it. Gives the paths and how many bytes that sets free.
///
/// # Errors
/// When another process uses the store, or the disk fails.
pub(crate) fn gc(
    home: &Path,
    used: &Used,
    is_dry: bool,
) -> Result<Vec<(PathBuf, u64)>, MachineFault> {
    let root = home.join("store");
    if !root.is_dir() {
        return Ok(Vec::new());
    }
    let lock = open_lock(&root.join("lock"))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let message = format!("another process uses the store: {}", root.display());
            return Err(MachineFault::new(message));
        }
        Err(TryLockError::Error(e)) => return Err(MachineFault::io("lock", &root, e)),
    }
    let short_names = |all: &BTreeSet<String>| {
        all.iter().map(|fingerprint| short(fingerprint).to_owned()).collect::<BTreeSet<_>>()
    };
    let (rows, sources) = (short_names(&used.rows), short_names(&used.sources));
    let mut unused = Vec::new();
    for (folder, names) in [("rows", &rows), ("facts", &sources), ("triangles", &sources)] {
        for path in list(&root.join(folder))? {
            if !names.contains(&name_of(&path)) {
                unused.push(path);
            } else if folder == "rows" {
                unused.extend(replaced::removable(&path));
                unused.extend(leftovers(&path)?);
            }
        }
    }
    unused.extend(list(&root.join("tmp"))?);
    for path in list(&root.join("files"))? {
        let file = path.with_extension("");
        if has_extension(&path, "damaged") || !is_linked_elsewhere(&file) {
            unused.push(path);
        }
    }
    let mut removed = Vec::new();
    for path in unused {
        removed.push((path.clone(), size_of(&path)));
        if !is_dry {
            let gone =
                if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            gone.map_err(|e| MachineFault::io("remove", &path, e))?;
            commit_point("gc.removed");
        }
    }
    Ok(removed)
}

/// Files of a stage that do not count: rows without their keys, and what was set aside.
fn leftovers(stage: &Path) -> Result<Vec<PathBuf>, MachineFault> {
    let is_left = |path: &PathBuf| {
        let is_alone = has_extension(path, "parquet") && !path.with_extension("shard").is_file();
        is_alone || has_extension(path, "damaged")
    };
    Ok(list(stage)?.into_iter().filter(is_left).collect())
}

/// Whether a data set has a link to a kept file; where the system does not say, it is believed.
fn is_linked_elsewhere(path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        fs::metadata(path).is_ok_and(|metadata| metadata.nlink() > 1)
    }
    #[cfg(not(unix))]
    path.is_file()
}

fn facts_files(root: &Path) -> Result<Vec<PathBuf>, MachineFault> {
    let mut all = Vec::new();
    for source in list(&root.join("facts"))? {
        all.extend(list(&source)?.into_iter().filter(|path| has_extension(path, "facts")));
    }
    Ok(all)
}

/// What is in a folder, sorted; nothing where there is none.
fn list(folder: &Path) -> Result<Vec<PathBuf>, MachineFault> {
    let entries = match fs::read_dir(folder) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|e| MachineFault::io("list", folder, e))?,
    };
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let paths = paths.collect::<Result<BTreeSet<_>, _>>();
    Ok(paths.map_err(|e| MachineFault::io("list", folder, e))?.into_iter().collect())
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn size_of(path: &Path) -> u64 {
    if path.is_dir() {
        return list(path).unwrap_or_default().iter().map(|path| size_of(path)).sum();
    }
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}
