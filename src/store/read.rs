//! `RowReader`: rows of a stage out of its shards.

use std::collections::VecDeque;
use std::fs::File;
use std::io::ErrorKind;

use voxflow_contract::{Batch, MachineFault};
use voxflow_formats::FormatError;
use voxflow_formats::parquet::{CheckedSource, ParquetReader};

use super::place::Place;
use super::stage::StageStore;

/// Bytes of row groups that are kept for the rows that come next.
const KEPT_BYTES: usize = 1 << 20;
/// Files that are kept open: the footer of one takes megabytes.
const KEPT_FILES: usize = 1;

/// Reads rows in any order; fastest in the order in which they were made.
pub(crate) struct RowReader<'a> {
    stage: &'a StageStore,
    files: VecDeque<(u32, ParquetReader<CheckedSource<File>>)>,
    groups: VecDeque<((u32, usize), Batch)>,
}

impl<'a> RowReader<'a> {
    /// Reads rows of `stage`.
    pub(crate) fn new(stage: &'a StageStore) -> Self {
        Self { stage, files: VecDeque::new(), groups: VecDeque::new() }
    }

    /// The rows at these places, in this order; at least one.
    ///
    /// # Errors
    /// When the disk fails. A shard that is gone or of which a byte has changed is set aside first, so
    /// that another run makes its rows again.
    pub(crate) fn read(&mut self, places: &[Place]) -> Result<Batch, MachineFault> {
        let mut parts = Vec::new();
        let group_of = |place: &Place| self.stage.shards[place.shard as usize].group_of(place.row);
        for run in places.chunk_by(|a, b| a.shard == b.shard && group_of(a) == group_of(b)) {
            let shard = run[0].shard;
            let group = self.stage.shards[shard as usize].group_of(run[0].row);
            let start = self.stage.shards[shard as usize].start_of(group);
            let rows: Vec<usize> = run.iter().map(|place| (place.row - start) as usize).collect();
            let all = self.group(shard, group)?;
            let is_whole =
                rows.len() == all.rows() && rows.iter().enumerate().all(|(i, r)| i == *r);
            parts.push(if is_whole { all } else { all.gather(&rows) });
        }
        if parts.len() == 1 {
            return Ok(parts.remove(0));
        }
        let joined = Batch::concat(&parts).map_err(|e| MachineFault::new(e.to_string()))?;
        joined.ok_or_else(|| MachineFault::new("no row was asked for"))
    }

    fn group(&mut self, shard: u32, group: usize) -> Result<Batch, MachineFault> {
        let id = (shard, group);
        if let Some((_, batch)) = self.groups.iter().find(|(kept, _)| *kept == id) {
            return Ok(batch.clone());
        }
        let batch = self.decode(shard, group)?;
        self.groups.push_front((id, batch.clone()));
        let mut bytes = 0;
        let kept = self.groups.iter().take_while(|(_, batch)| {
            bytes += batch.bytes();
            bytes <= KEPT_BYTES
        });
        let kept = kept.count().max(1);
        self.groups.truncate(kept);
        Ok(batch)
    }

    fn decode(&mut self, shard: u32, group: usize) -> Result<Batch, MachineFault> {
        let known = &self.stage.shards[shard as usize];
        let path = self.stage.data_file(&known.name);
        let at = match self.files.iter().position(|(open, _)| *open == shard) {
            Some(at) => Ok(at),
            None => {
                let file = match File::open(&path) {
                    // One that is gone is no better than a damaged one.
                    Err(e) if e.kind() == ErrorKind::NotFound => Err(gone(&e)),
                    opened => Ok(opened.map_err(|e| MachineFault::io("open", &path, e))?),
                };
                let source = file.map(|file| CheckedSource::new(file, known.hashes.clone()));
                source.and_then(ParquetReader::new).map(|reader| {
                    self.files.truncate(KEPT_FILES - 1);
                    self.files.push_front((shard, reader));
                    0
                })
            }
        };
        let batch = at.and_then(|at| self.files[at].1.read_row_group(group, None));
        batch.or_else(|error| {
            self.stage.set_aside(&known.name)?;
            let rows = known.group_ends.last().copied().unwrap_or_default();
            let message = format!(
                "a shard of the store is damaged and was set aside; run again, and its {rows} rows \
                 are made again: {error}"
            );
            Err(MachineFault::io("read", &path, std::io::Error::other(message)))
        })
    }
}

fn gone(error: &std::io::Error) -> FormatError {
    FormatError { code: "gone", message: error.to_string(), offset: None }
}

impl super::stage::KnownShard {
    fn group_of(&self, row: u32) -> usize {
        self.group_ends.partition_point(|end| *end <= row)
    }

    fn start_of(&self, group: usize) -> u32 {
        group.checked_sub(1).map_or(0, |before| self.group_ends[before])
    }
}
