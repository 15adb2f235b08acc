//! `StageWriter`: rows of a stage into shards.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use voxflow_contract::{Batch, MachineFault, Refusal, commit_point};
use voxflow_formats::FormatError;
use voxflow_formats::parquet::{HashingWriter, ParquetWriter, WriteOptions};

use super::home::{Workplace, sync_folder};
use super::key::RowKey;
use super::shard::Shard;
use super::stage::StageStore;

/// A shard is closed when its file has so many bytes.
pub(super) const SHARD_BYTES: u64 = 64 << 20;
/// Bytes of rows that are made a row group: each has some kilobytes of facts in the footer, and who
/// reads one row reads its group.
const GROUP_BYTES: usize = 512 << 10;

/// Takes rows and refusals of one stage, from any number of threads, one at a time: what follows each
/// other among the samples then lies together, and what encoding takes is little beside making a row.
///
/// Rows are safe once their shard is closed, which happens after 64 MiB, or some seconds after its
/// first row, and in [`StageWriter::finish`]; what is in an open shard is lost with the process.
pub(crate) struct StageWriter {
    close_after: Duration,
    folder: PathBuf,
    place: Arc<Workplace>,
    open: Mutex<Option<OpenShard>>,
    /// Names of the shards that were closed.
    closed: Mutex<Vec<String>>,
}

/// A shard that is being written.
struct OpenShard {
    path: PathBuf,
    writer: Option<ParquetWriter<HashingWriter<File>>>,
    shard: Shard,
    /// Rows and bytes of the row group that is begun.
    group: (u32, usize),
    opened: Instant,
}

impl StageWriter {
    /// Writes to the rows of `stage`.
    pub(crate) fn new(stage: &StageStore, close_after: Duration) -> Self {
        let (folder, place) = (stage.folder().to_owned(), Arc::clone(&stage.place));
        Self { close_after, folder, place, open: Mutex::default(), closed: Mutex::default() }
    }

    /// Adds rows, each under its key.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) fn append(&self, rows: &Batch, keys: Vec<RowKey>) -> Result<(), MachineFault> {
        if rows.is_empty() {
            return Ok(());
        }
        self.with_open(|shard| shard.append(rows, keys))
    }

    /// Adds samples that the stage refused.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) fn refuse(&self, refused: Vec<(RowKey, Refusal)>) -> Result<(), MachineFault> {
        if refused.is_empty() {
            return Ok(());
        }
        self.with_open(|shard| {
            shard.shard.refused.extend(refused);
            Ok(())
        })
    }

    /// Closes the shard that is open.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) fn finish(&self) -> Result<(), MachineFault> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner).take();
        open.map_or(Ok(()), |shard| self.close(shard))
    }

    /// Names of the shards that were closed so far.
    pub(super) fn closed(self) -> Vec<String> {
        self.closed.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// What failed half-way does not stay: its rows are made again.
    fn with_open(
        &self,
        fill: impl FnOnce(&mut OpenShard) -> Result<(), MachineFault>,
    ) -> Result<(), MachineFault> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut shard = open.take().unwrap_or_else(|| OpenShard {
            path: self.place.path(),
            writer: None,
            shard: Shard::default(),
            group: (0, 0),
            opened: Instant::now(),
        });
        fill(&mut shard)?;
        if shard.bytes() >= SHARD_BYTES || shard.opened.elapsed() >= self.close_after {
            return self.close(shard);
        }
        *open = Some(shard);
        Ok(())
    }

    /// The file goes to its place first: it does not count before its keys are there.
    fn close(&self, open: OpenShard) -> Result<(), MachineFault> {
        let OpenShard { path, writer, mut shard, group: (rows, _), .. } = open;
        if let Some(writer) = writer {
            shard.groups.extend((rows > 0).then_some(rows));
            let sink = writer.finish().map_err(|e| format_fault(&path, &e))?;
            let (file, hashes) = sink.finish();
            file.sync_all().map_err(|e| MachineFault::io("sync", &path, e))?;
            shard.hashes = hashes;
            commit_point("shard.rows_synced");
        }
        let bytes = shard.to_bytes();
        let name = blake3::hash(&bytes).to_hex()[..32].to_owned();
        if !shard.keys.is_empty() {
            self.place.publish(&path, &self.folder.join(format!("{name}.parquet")))?;
            commit_point("shard.rows_renamed");
        }
        self.place.write(&self.folder.join(format!("{name}.shard")), &bytes)?;
        commit_point("shard.keys_renamed");
        self.closed.lock().unwrap_or_else(PoisonError::into_inner).push(name);
        sync_folder(&self.folder)
    }
}

impl OpenShard {
    fn bytes(&self) -> u64 {
        self.writer.as_ref().map_or(0, |writer| writer.sink().bytes())
    }

    fn append(&mut self, rows: &Batch, keys: Vec<RowKey>) -> Result<(), MachineFault> {
        let writer = match &mut self.writer {
            Some(writer) => writer,
            None => {
                let file = File::create_new(&self.path);
                let file = file.map_err(|e| MachineFault::io("create", &self.path, e))?;
                let options = WriteOptions { row_group_rows: u32::MAX as usize };
                let sink = HashingWriter::new(file);
                let writer = ParquetWriter::new(sink, rows.schema(), options);
                self.writer.insert(writer.map_err(|e| format_fault(&self.path, &e))?)
            }
        };
        writer.write(rows).map_err(|e| format_fault(&self.path, &e))?;
        self.shard.keys.extend(keys);
        self.group.0 += rows.rows() as u32;
        self.group.1 += rows.bytes();
        if self.group.1 >= GROUP_BYTES {
            writer.end_row_group().map_err(|e| format_fault(&self.path, &e))?;
            self.shard.groups.push(self.group.0);
            self.group = (0, 0);
        }
        Ok(())
    }
}

fn format_fault(path: &Path, error: &FormatError) -> MachineFault {
    // The only fault of rows that were made here is that of the disk below.
    let source = std::io::Error::other(error.to_string());
    MachineFault::io("write", path, source)
}
