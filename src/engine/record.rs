//! The journal: a part counts as committed when its record stands there.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use voxflow_contract::{MachineFault, Refusal};

use super::counters::StageCount;

/// Version of the record's form.
const VERSION: u32 = 1;
/// Records are forced to disk this often at most; what a power cut takes is made again.
const SYNC_INTERVAL: Duration = Duration::from_millis(250);
/// Hexadecimal digits of the checksum that begins a line.
const CHECKSUM_LEN: usize = 16;

/// What became of one part on its way to one sink.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PartRecord {
    version: u32,
    /// The part.
    pub(crate) part: u64,
    /// The sink's fingerprint and the part's digest: both must be what they were.
    pub(crate) fingerprint: String,
    /// Rows in the part's file; there is no file when it is zero.
    pub(crate) rows: u64,
    /// What every stage did to the part, by stage id.
    pub(crate) stages: BTreeMap<String, StageCount>,
    /// Which samples of the part were refused anywhere on the way.
    pub(crate) refused: Vec<Refusal>,
}

impl PartRecord {
    pub(crate) fn new(
        part: u64,
        fingerprint: String,
        rows: u64,
        stages: BTreeMap<String, StageCount>,
        refused: Vec<Refusal>,
    ) -> Self {
        Self { version: VERSION, part, fingerprint, rows, stages, refused }
    }

    /// A line of the journal: checksum, blank, JSON.
    fn to_line(&self) -> Result<String, MachineFault> {
        let json = serde_json::to_string(self).map_err(|e| MachineFault::new(e.to_string()))?;
        Ok(format!("{} {json}\n", checksum(&json)))
    }

    /// Reads a line; `None` when it was torn or is of another version.
    fn from_line(line: &str) -> Option<Self> {
        let (sum, json) = line.split_once(' ')?;
        let record: Self = (sum == checksum(json)).then(|| serde_json::from_str(json).ok())??;
        (record.version == VERSION).then_some(record)
    }
}

fn checksum(json: &str) -> String {
    blake3::hash(json.as_bytes()).to_hex()[..CHECKSUM_LEN].to_owned()
}

/// Where one process writes the records of one sink's parts, each line once the part's rows are
/// safely on disk.
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    synced: Instant,
}

impl Journal {
    /// Opens the journal of a process in the folder of a sink's parts, to append to it.
    ///
    /// # Errors
    /// When the machine fails.
    pub(crate) fn open(folder: &Path, process: usize) -> Result<Self, MachineFault> {
        let path = folder.join(format!("journal-{process}.jsonl"));
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(|e| MachineFault::io("open", &path, e))?;
        // A line that a crash tore must not swallow the next one.
        file.write_all(b"\n").map_err(|e| MachineFault::io("write", &path, e))?;
        Ok(Self { path, file, synced: Instant::now() })
    }

    /// Appends a record.
    ///
    /// # Errors
    /// When the machine fails.
    pub(crate) fn append(&mut self, record: &PartRecord) -> Result<(), MachineFault> {
        let line = record.to_line()?;
        let written = self.file.write_all(line.as_bytes());
        written.map_err(|e| MachineFault::io("write", &self.path, e))?;
        if self.synced.elapsed() >= SYNC_INTERVAL {
            self.sync()?;
        }
        Ok(())
    }

    /// Forces all records to disk.
    ///
    /// # Errors
    /// When the machine fails.
    pub(crate) fn sync(&mut self) -> Result<(), MachineFault> {
        self.synced = Instant::now();
        self.file.sync_data().map_err(|e| MachineFault::io("sync", &self.path, e))
    }
}

/// The records in all journals of a folder that `expected` knows the fingerprint of and whose rows
/// are there.
///
/// # Errors
/// When the machine fails.
pub(crate) fn read_journals(
    folder: &Path,
    expected: impl Fn(u64) -> Option<String>,
) -> Result<BTreeMap<u64, PartRecord>, MachineFault> {
    let mut records = BTreeMap::new();
    let fault = |e| MachineFault::io("read", folder, e);
    for entry in fs::read_dir(folder).map_err(fault)? {
        let path = entry.map_err(fault)?.path();
        if path.extension().is_none_or(|extension| extension != "jsonl") {
            continue;
        }
        let bytes = fs::read(&path).map_err(|e| MachineFault::io("read", &path, e))?;
        for record in String::from_utf8_lossy(&bytes).lines().filter_map(PartRecord::from_line) {
            let is_ours = expected(record.part).is_some_and(|f| f == record.fingerprint);
            if is_ours && (record.rows == 0 || part_file(folder, record.part).is_file()) {
                records.insert(record.part, record);
            }
        }
    }
    Ok(records)
}

/// File of a part's rows.
pub(crate) fn part_file(folder: &Path, part: u64) -> PathBuf {
    folder.join(format!("{part:08}.parquet"))
}

/// Fingerprint of a part at a sink.
pub(crate) fn part_fingerprint(sink_fingerprint: &str, part_digest: &str) -> String {
    blake3::hash(format!("{sink_fingerprint}/{part_digest}").as_bytes()).to_hex().to_string()
}

/// Writes a file so that a crash at any moment leaves the old one or the new one, never half.
///
/// # Errors
/// When the machine fails.
pub(crate) fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), MachineFault> {
    let beside = path.with_extension("tmp");
    let folder = path.parent().unwrap_or(Path::new("."));
    let write = || {
        let mut file = File::create(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(|e| MachineFault::io("write", path, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(part: u64, rows: u64) -> PartRecord {
        PartRecord::new(part, format!("f{part}"), rows, BTreeMap::new(), Vec::new())
    }

    fn parts(folder: &Path) -> Vec<u64> {
        let found = read_journals(folder, |part| Some(format!("f{part}"))).expect("readable");
        found.into_keys().collect()
    }

    #[test]
    fn records_of_all_processes_are_found() {
        let folder = tempfile::tempdir().expect("a folder");
        for process in 0..2 {
            let mut journal = Journal::open(folder.path(), process).expect("opened");
            journal.append(&record(process as u64, 0)).expect("appended");
            journal.sync().expect("synced");
        }
        assert_eq!(parts(folder.path()), [0, 1]);
        let other = read_journals(folder.path(), |_| Some("other".to_owned())).expect("readable");
        assert!(other.is_empty(), "fingerprints differ");
    }

    #[test]
    fn a_record_without_its_rows_does_not_count() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut journal = Journal::open(folder.path(), 0).expect("opened");
        journal.append(&record(3, 5)).expect("appended");
        assert!(parts(folder.path()).is_empty());
        fs::write(part_file(folder.path(), 3), b"rows").expect("written");
        assert_eq!(parts(folder.path()), [3]);
    }

    #[test]
    fn a_torn_line_costs_only_itself() {
        let folder = tempfile::tempdir().expect("a folder");
        Journal::open(folder.path(), 0)
            .and_then(|mut j| j.append(&record(1, 0)))
            .expect("appended");
        let path = folder.path().join("journal-0.jsonl");
        let mut torn = fs::read(&path).expect("read");
        let line = record(2, 0).to_line().expect("a line");
        torn.extend_from_slice(&line.as_bytes()[..line.len() / 2]);
        fs::write(&path, torn).expect("written");
        Journal::open(folder.path(), 0)
            .and_then(|mut j| j.append(&record(4, 0)))
            .expect("appended");
        assert_eq!(parts(folder.path()), [1, 4]);
    }
}
