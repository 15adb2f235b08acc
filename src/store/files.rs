//! `KeptFiles`: files of data sets, so that one whose rows are the same is not written again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use voxflow_contract::{MachineFault, OutputFile, commit_point};

use super::home::{Workplace, short};

/// Files by what is in them; a data set has links to them.
pub(crate) struct KeptFiles {
    folder: PathBuf,
    place: Arc<Workplace>,
}

/// What is known of a kept file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeptFile {
    /// Rows.
    pub(crate) rows: u64,
    /// Size in bytes.
    pub(crate) bytes: u64,
    /// BLAKE3 hash of all bytes, in hexadecimal.
    pub(crate) blake3: String,
    /// When it was written, in nanoseconds since 1970: who changes the file changes that.
    modified: u128,
}

impl KeptFiles {
    pub(super) fn open(folder: PathBuf, place: Arc<Workplace>) -> Result<Self, MachineFault> {
        fs::create_dir_all(&folder).map_err(|e| MachineFault::io("create", &folder, e))?;
        Ok(Self { folder, place })
    }

    /// Links the file of this fingerprint to `target`, if it is there and nobody changed it since.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) fn link(
        &self,
        fingerprint: &str,
        target: &Path,
    ) -> Result<Option<KeptFile>, MachineFault> {
        let Some(kept) = self.find(fingerprint) else { return Ok(None) };
        let path = self.folder.join(short(fingerprint));
        link_or_copy(&path, target).map_err(|e| MachineFault::io("link to", target, e))?;
        Ok(Some(kept))
    }

    /// What is known of the file of this fingerprint, if it is there and nobody changed it since.
    pub(crate) fn find(&self, fingerprint: &str) -> Option<KeptFile> {
        let path = self.folder.join(short(fingerprint));
        let kept = read(&path.with_extension("json"))?;
        let is_same = fs::metadata(&path).is_ok_and(|metadata| {
            metadata.len() == kept.bytes && modified(&metadata) == Some(kept.modified)
        });
        is_same.then_some(kept)
    }

    /// A path that nobody else uses, for a file that is to be kept.
    pub(crate) fn beside(&self) -> PathBuf {
        self.place.path()
    }

    /// Keeps a file that was just written and synced.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) fn keep(
        &self,
        fingerprint: &str,
        file: &Path,
        output: &OutputFile,
    ) -> Result<(), MachineFault> {
        let path = self.folder.join(short(fingerprint));
        let keep = || {
            let mut permissions = fs::metadata(file)?.permissions();
            permissions.set_readonly(true);
            fs::set_permissions(file, permissions)?;
            match fs::remove_file(&path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
            match link_or_copy(file, &path) {
                // Another run was faster with the same file.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                linked => linked?,
            }
            fs::metadata(&path)
        };
        let metadata = keep().map_err(|e| MachineFault::io("keep", &path, e))?;
        commit_point("kept.linked");
        let modified = modified(&metadata).unwrap_or_default();
        let OutputFile { rows, bytes, ref blake3, .. } = *output;
        let kept = KeptFile { rows, bytes, blake3: blake3.clone(), modified };
        let text = serde_json::to_vec(&kept).unwrap_or_default();
        self.place.write(&path.with_extension("json"), &text)?;
        commit_point("kept.described");
        Ok(())
    }
}

impl KeptFile {
    /// The file under the name it has in a data set.
    pub(crate) fn output(&self, path: &str) -> OutputFile {
        let Self { rows, bytes, blake3, .. } = self;
        OutputFile { path: path.to_owned(), rows: *rows, bytes: *bytes, blake3: blake3.clone() }
    }
}

/// What reading a kept file showed.
pub(super) struct Checked {
    pub(super) bytes: u64,
    /// What is wrong with it.
    pub(super) fault: Option<String>,
}

/// Compares a kept file with its hash.
pub(super) fn check(path: &Path) -> io::Result<Checked> {
    let Some(kept) = read(&path.with_extension("json")) else {
        // It was not yet, or is no longer, reused.
        return Ok(Checked { bytes: 0, fault: None });
    };
    let mut hasher = blake3::Hasher::new();
    let bytes = io::copy(&mut fs::File::open(path)?, &mut hasher)?;
    let is_same = bytes == kept.bytes && hasher.finalize().to_hex().as_str() == kept.blake3;
    let fault =
        "its bytes are not those that were written; data sets that link to it have them too";
    Ok(Checked { bytes, fault: (!is_same).then(|| fault.to_owned()) })
}

fn read(path: &Path) -> Option<KeptFile> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

fn modified(metadata: &fs::Metadata) -> Option<u128> {
    Some(metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?.as_nanos())
}

/// Not every file system has links.
fn link_or_copy(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Ok(()) => Ok(()),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists) => {
            Err(e)
        }
        Err(_) => fs::copy(from, to).map(drop),
    }
}
