//! Compaction: many small shards of a stage are made few, and nothing that is read changes.
//!
//! New shards are written beside the old ones as any others are; then a record ([`super::replaced`])
//! says which files they took the place of. Until then, rows that are there twice are the same rows.
//! Shards are gone through in the order in which they were made, so that who is stopped and begins again
//! writes the same bytes under the same names.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use voxflow_contract::{MachineFault, Refusal};
use voxflow_formats::parquet::{CheckedSource, ParquetReader};

use super::home::{Turn, sync_folder};
use super::key::{ByHash, RowKey};
use super::lifted;
use super::replaced::{self, Replaced};
use super::shard::Shard;
use super::stage::StageStore;
use super::write::{SHARD_BYTES, StageWriter};

/// Shards of a size that make it worth while.
const MANY: usize = 64;
/// Sizes below which shards are counted: a row goes from one to the next, and so is copied three times
/// at most before it lies in a large shard.
const SIZES: [u64; 3] = [1 << 20, 8 << 20, SHARD_BYTES / 2];
/// Bytes of rows that are copied at most when nobody asked for it.
const MOST_BYTES: u64 = 1 << 30;

/// What is compacted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Shards of fewer bytes.
    smaller_than: u64,
    /// So many bytes of them at most.
    most_bytes: u64,
}

impl Bounds {
    /// All shards of less than half of the size that a shard is closed at.
    pub(crate) const ALL: Self = Self { smaller_than: SHARD_BYTES / 2, most_bytes: u64::MAX };
}

/// What a compaction did: shards that were small, and what they became.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Compacted {
    /// Shards that were replaced.
    pub(crate) shards_before: usize,
    /// Shards that took their place.
    pub(crate) shards_after: usize,
    /// Bytes of rows in the ones.
    pub(crate) bytes_before: u64,
    /// Bytes of rows in the others.
    pub(crate) bytes_after: u64,
}

impl Compacted {
    /// Those of two stages.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            shards_before: self.shards_before + other.shards_before,
            shards_after: self.shards_after + other.shards_after,
            bytes_before: self.bytes_before + other.bytes_before,
            bytes_after: self.bytes_after + other.bytes_after,
        }
    }
}

/// A small shard, as it is found.
struct Small {
    name: String,
    bytes: u64,
}

/// Rows and refusals on their way from small shards into large ones.
struct Copying<'a> {
    stage: &'a StageStore,
    writer: StageWriter,
    seen: HashSet<RowKey, ByHash>,
    refused: BTreeMap<RowKey, Refusal>,
}

impl StageStore {
    /// What to compact, if there are so many small shards that it pays.
    pub(crate) fn worth_compacting(&self) -> Option<Bounds> {
        let sizes: Vec<u64> = self.live().map(|shard| shard.hashes.len()).collect();
        let is_many = |size: &u64| sizes.iter().filter(|bytes| *bytes < size).count() >= MANY;
        let smaller_than = SIZES.into_iter().find(is_many)?;
        Some(Bounds { smaller_than, most_bytes: MOST_BYTES })
    }

    /// Makes few large shards of the small ones, and one file of lifted refusals of several; `None` where
    /// there is nothing to do. Who has this stage open reads on as before. A shard that is damaged
    /// stays as it is, for [`super::verify`] to find. `_turn` must be that of the stage.
    ///
    /// # Errors
    /// When the disk fails; what there was is there all the same.
    pub(crate) fn compact(
        &self,
        bounds: Bounds,
        _turn: &Turn,
    ) -> Result<Option<Compacted>, MachineFault> {
        let small = self.small_shards(bounds);
        let small = if small.len() < 2 { Vec::new() } else { small };
        let mut done = Compacted::default();
        let mut copying = Copying {
            stage: self,
            writer: StageWriter::new(self, Duration::MAX),
            seen: HashSet::default(),
            refused: BTreeMap::new(),
        };
        let mut record = Replaced::default();
        for Small { name, bytes } in small {
            if copying.copy(&name)? {
                done.shards_before += 1;
                done.bytes_before += bytes;
                record.files.insert(format!("{name}.shard"));
            } else {
                tracing::warn!("damaged and left as it is: {}", self.keys_file(&name).display());
            }
        }
        let new = copying.finish()?;
        done.shards_after = new.len();
        for name in new {
            let rows = fs::metadata(self.data_file(&name));
            done.bytes_after += rows.map_or(0, |metadata| metadata.len());
            record.by.insert(format!("{name}.shard"));
        }
        self.merge_lifted(&mut record)?;
        let is_done = self.replace(record)?;
        Ok(is_done.then_some(done))
    }

    /// The small shards, in the order in which they were made.
    fn small_shards(&self, bounds: Bounds) -> Vec<Small> {
        let small = self.live().filter(|shard| shard.hashes.len() < bounds.smaller_than);
        let made = |name: &str| {
            let modified = fs::metadata(self.keys_file(name)).and_then(|keys| keys.modified());
            modified.unwrap_or(SystemTime::UNIX_EPOCH)
        };
        let mut small: Vec<_> =
            small.map(|s| (made(&s.name), s.name.clone(), s.hashes.len())).collect();
        small.sort();
        let mut left = bounds.most_bytes;
        let fits = |(_, name, bytes): (SystemTime, String, u64)| {
            left = left.checked_sub(bytes)?;
            Some(Small { name, bytes })
        };
        small.into_iter().map_while(fits).collect()
    }

    /// Writes one file of lifted refusals in the place of several.
    fn merge_lifted(&self, record: &mut Replaced) -> Result<(), MachineFault> {
        let (mut all, mut files) = (BTreeMap::<RowKey, u32>::new(), BTreeSet::new());
        for name in self.live_lifted() {
            let Ok(Some(of_file)) = lifted::read(&self.folder().join(name)) else { continue };
            for (key, attempt) in of_file {
                let known = all.entry(key).or_default();
                *known = attempt.max(*known);
            }
            files.insert(name.clone());
        }
        if files.len() > 1 {
            let all: Vec<_> = all.into_iter().collect();
            record.by.insert(lifted::write(self.folder(), &self.place, &all)?);
            record.files.extend(files);
        }
        Ok(())
    }

    /// Says that files took the place of others, and of all that those had taken the place of; whether
    /// there is anything to say.
    fn replace(&self, mut record: Replaced) -> Result<bool, MachineFault> {
        // One that was written again under its own name is none that goes.
        record.files.retain(|name| !record.by.contains(name));
        if record.files.is_empty() {
            return Ok(false);
        }
        let folder = self.folder();
        let earlier = replaced::records(folder, &list(folder)?);
        for (_, earlier) in &earlier {
            record.by.extend(earlier.by.difference(&record.files).cloned());
            record.files.extend(earlier.files.iter().cloned());
        }
        record.files.retain(|name| !record.by.contains(name));
        let written = replaced::write(folder, &self.place, &record)?;
        for (name, _) in earlier.iter().filter(|(name, _)| *name != written) {
            let path = folder.join(name);
            fs::remove_file(&path).map_err(|e| MachineFault::io("remove", &path, e))?;
        }
        sync_folder(folder)?;
        Ok(true)
    }
}

/// Names of the files in a folder.
fn list(folder: &Path) -> Result<BTreeSet<String>, MachineFault> {
    let fault = |e| MachineFault::io("list", folder, e);
    let name = |entry: std::io::Result<fs::DirEntry>| {
        entry.map(|entry| entry.file_name().to_string_lossy().into_owned())
    };
    fs::read_dir(folder).map_err(fault)?.map(name).collect::<Result<_, _>>().map_err(fault)
}

impl Copying<'_> {
    /// Copies what a shard has and none before it had; says whether all of it could be read.
    fn copy(&mut self, name: &str) -> Result<bool, MachineFault> {
        let bytes = fs::read(self.stage.keys_file(name)).ok();
        let Some(shard) = bytes.and_then(|bytes| Shard::from_bytes(&bytes)) else {
            return Ok(false);
        };
        if !shard.keys.is_empty() && !self.copy_rows(name, &shard)? {
            return Ok(false);
        }
        for (key, refusal) in shard.refused {
            let is_later = |known: &Refusal| known.attempt < refusal.attempt;
            if self.refused.get(&key).is_none_or(is_later) {
                self.refused.insert(key, refusal);
            }
        }
        Ok(true)
    }

    fn copy_rows(&mut self, name: &str, shard: &Shard) -> Result<bool, MachineFault> {
        let Ok(file) = File::open(self.stage.data_file(name)) else { return Ok(false) };
        let source = CheckedSource::new(file, shard.hashes.clone());
        let Ok(reader) = ParquetReader::new(source) else { return Ok(false) };
        let mut keys = shard.keys.as_slice();
        for (group, rows) in shard.groups.iter().enumerate() {
            let Some((of_group, rest)) = keys.split_at_checked(*rows as usize) else {
                return Ok(false);
            };
            keys = rest;
            let batch = match reader.read_row_group(group, None) {
                Ok(batch) if batch.rows() == of_group.len() => batch,
                _ => return Ok(false),
            };
            let new: Vec<usize> =
                (0..of_group.len()).filter(|row| self.seen.insert(of_group[*row])).collect();
            let batch = if new.len() == of_group.len() { batch } else { batch.gather(&new) };
            self.writer.append(&batch, new.iter().map(|row| of_group[*row]).collect())?;
        }
        Ok(true)
    }

    /// Gives the names of the shards that were written.
    fn finish(self) -> Result<Vec<String>, MachineFault> {
        self.writer.refuse(self.refused.into_iter().collect())?;
        self.writer.finish()?;
        Ok(self.writer.closed())
    }
}

#[cfg(test)]
mod tests;
