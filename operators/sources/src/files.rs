//! Files of samples: what tells that one is another now, and how one is read.

use std::fmt::Write as _;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::Path;
use std::time::UNIX_EPOCH;

use voxflow_contract::Fault;

/// What tells that a file is another: its size and times, in nanoseconds since 1970 and in seconds and
/// nanoseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FileFacts {
    pub(crate) bytes: u64,
    modified: i64,
    changed: Option<(i64, i64)>,
}

impl FileFacts {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        let modified = metadata.modified().ok().map(|time| match time.duration_since(UNIX_EPOCH) {
            Ok(after) => after.as_nanos() as i64,
            Err(before) => -(before.duration().as_nanos() as i64),
        });
        let (bytes, changed) = (metadata.len(), changed(metadata));
        Self { bytes, modified: modified.unwrap_or_default(), changed }
    }
}

#[cfg(unix)]
fn changed(metadata: &Metadata) -> Option<(i64, i64)> {
    use std::os::unix::fs::MetadataExt;
    Some((metadata.ctime(), metadata.ctime_nsec()))
}

#[cfg(not(unix))]
fn changed(_: &Metadata) -> Option<(i64, i64)> {
    None
}

/// Size and times of modification, in nanoseconds since 1970: that of the contents, which archives
/// restore, and on Unix that of the entry in the folder, which nobody can set.
pub(crate) fn write_stamp(facts: &FileFacts, stamp: &mut String) {
    let FileFacts { bytes, modified, changed } = facts;
    let _ = write!(stamp, "{bytes} bytes, modified {modified} ns");
    if let Some((seconds, nanos)) = changed {
        let _ = write!(stamp, ", changed {seconds}.{nanos:09} s");
    }
}

/// As [`write_stamp`].
pub(crate) fn stamp(metadata: &Metadata) -> String {
    let mut stamp = String::new();
    write_stamp(&FileFacts::of(metadata), &mut stamp);
    stamp
}

/// The bytes of a file, which `check` sees before and after it is read; `relative` is its name in
/// messages.
///
/// # Errors
/// When it cannot be read, is no file, or `check` said so.
pub(crate) fn read_whole(
    path: &Path,
    relative: &str,
    max_bytes: u64,
    check: impl Fn(&Metadata) -> Result<(), Fault>,
) -> Result<Vec<u8>, Fault> {
    let unreadable = |error: io::Error| unreadable(&error, relative);
    let before = fs::metadata(path).map_err(unreadable)?;
    if !before.is_file() {
        return Err(Fault::new("unreadable", format!("it is no longer a file: {relative}")));
    }
    check(&before)?;
    let mut file = File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::with_capacity(before.len() as usize);
    let limit = max_bytes.saturating_add(1);
    Read::by_ref(&mut file).take(limit).read_to_end(&mut bytes).map_err(unreadable)?;
    check(&file.metadata().map_err(unreadable)?)?;
    Ok(bytes)
}

pub(crate) fn unreadable(error: &io::Error, path: &str) -> Fault {
    Fault::new("unreadable", format!("cannot read: {error}: {path}"))
}

/// Refuses a file of more bytes than a source takes.
pub(crate) fn check_size(bytes: u64, limit: u64, path: &str) -> Result<(), Fault> {
    if bytes > limit {
        let message = format!("{bytes} bytes are more than max_bytes = {limit}: {path}");
        return Err(Fault::new("too_large", message));
    }
    Ok(())
}

/// Refuses a file that is another than when it was listed.
pub(crate) fn changed_since(path: &str) -> Fault {
    Fault::new("changed", format!("the file changed since it was listed, run again: {path}"))
}
