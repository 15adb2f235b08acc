//! Inputs: which samples a run read, and what they were, as a table of the run.

use std::fs::{self, File};
use std::path::Path;

use voxflow_contract::{
    Batch, BatchError, FilePolicy, MachineFault, OutputFile, Values, commit_point, tables,
};
use voxflow_formats::FormatError;
use voxflow_formats::parquet::{ParquetWriter, WriteOptions};

use super::entries::Entries;
use super::work_list::Key;
use crate::store::{KeptFiles, fingerprint_of};

/// The table is cut as data sets are, so that a change of one sample is a change of one file.
pub(crate) const POLICY: FilePolicy = FilePolicy { rows_per_file: 2048 };
/// Rows of a row group.
const GROUP_ROWS: usize = 1024;

/// Some samples of a source, in key order, as far as they were opened.
pub(crate) struct Inputs<'a> {
    pub(crate) entries: &'a Entries,
    /// Contents and keys, by position.
    pub(crate) keys: &'a [Option<Key>],
    /// Positions of the samples.
    pub(crate) positions: &'a [u32],
}

/// Writes the table `input` of a source into the run's folder, or links the files that say the same.
/// `keys` has the content of every sample, if it was opened.
///
/// # Errors
/// When the machine fails.
pub(crate) fn record_inputs(
    entries: &Entries,
    source: &str,
    keys: &[Option<Key>],
    files: &KeptFiles,
    folder: &Path,
) -> Result<Vec<OutputFile>, MachineFault> {
    let of_source = folder_of(source);
    let parent = folder.join(&of_source);
    match fs::remove_dir_all(&parent) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            return Err(MachineFault::io("replace", &parent, e));
        }
        _ => fs::create_dir_all(&parent).map_err(|e| MachineFault::io("create", &parent, e))?,
    }
    commit_point("inputs.cleared");
    let positions: Vec<u32> = (0..entries.len() as u32).collect();
    let hashes: Vec<u64> =
        (0..entries.len()).map(|i| FilePolicy::hash(entries.sample(i))).collect();
    let mut written = Vec::new();
    for (number, part) in POLICY.cut(&hashes).into_iter().enumerate() {
        let inputs = Inputs { entries, keys, positions: &positions[part] };
        let name = FilePolicy::path(&of_source, number);
        written.push(inputs.keep(files, &folder.join(&name), name)?);
    }
    commit_point("inputs.written");
    Ok(written)
}

/// Folder of the table of a source, relative to the run's.
pub(crate) fn folder_of(source: &str) -> String {
    format!("inputs/{source}")
}

impl Inputs<'_> {
    /// Links the file that says the same to `target`, or writes it there and keeps it.
    ///
    /// # Errors
    /// When the machine fails.
    pub(crate) fn keep(
        &self,
        files: &KeptFiles,
        target: &Path,
        name: String,
    ) -> Result<OutputFile, MachineFault> {
        let fingerprint = self.fingerprint();
        if let Some(kept) = files.link(&fingerprint, target)? {
            return Ok(kept.output(&name));
        }
        let output = self.write(target, name)?;
        files.keep(&fingerprint, target, &output)?;
        Ok(output)
    }

    /// Changes with everything that the bytes of the file depend on.
    fn fingerprint(&self) -> String {
        let mut all = Vec::with_capacity(self.positions.len() * 128);
        for position in self.positions.iter().map(|p| *p as usize) {
            // A key stands for id, class, path and content.
            match &self.keys[position] {
                Some((_, key)) => all.extend_from_slice(&key.0),
                None => {
                    let (id, path) = (self.entries.sample(position), self.entries.path(position));
                    for text in [id, self.entries.category(position), path.unwrap_or("\0")] {
                        all.extend_from_slice(&(text.len() as u64).to_le_bytes());
                        all.extend_from_slice(text.as_bytes());
                    }
                }
            }
            let stamp = self.entries.stamp(position);
            all.extend_from_slice(&self.entries.bytes(position).to_le_bytes());
            all.extend_from_slice(&(stamp.len() as u64).to_le_bytes());
            all.extend_from_slice(stamp.as_bytes());
        }
        fingerprint_of(&[b"inputs 2", &all])
    }

    /// Writes the file and forces it to disk.
    fn write(&self, path: &Path, name: String) -> Result<OutputFile, MachineFault> {
        let disk =
            |e: FormatError| MachineFault::io("write", path, std::io::Error::other(e.to_string()));
        let options = WriteOptions { row_group_rows: GROUP_ROWS };
        let mut writer = ParquetWriter::new(Vec::new(), &tables::input(), options).map_err(disk)?;
        for positions in self.positions.chunks(GROUP_ROWS) {
            let rows = self.rows(positions).map_err(|e| MachineFault::new(e.to_string()))?;
            writer.write(&rows).map_err(disk)?;
        }
        let bytes = writer.finish().map_err(disk)?;
        let file = File::create_new(path).map_err(|e| MachineFault::io("create", path, e))?;
        std::io::Write::write_all(&mut &file, &bytes)
            .and_then(|()| file.sync_all())
            .map_err(|e| MachineFault::io("write", path, e))?;
        let blake3 = blake3::hash(&bytes).to_hex().to_string();
        let (rows, bytes) = (self.positions.len() as u64, bytes.len() as u64);
        Ok(OutputFile { path: name, rows, bytes, blake3 })
    }

    fn rows(&self, positions: &[u32]) -> Result<Batch, BatchError> {
        let entries = self.entries;
        let all = || positions.iter().map(|position| *position as usize);
        let hex = |(content, _): &Key| blake3::Hash::from_bytes(*content.as_bytes()).to_hex();
        let hashes: Vec<_> = all().map(|i| self.keys[i].as_ref().map(hex)).collect();
        let hashes = hashes.iter().map(|hash| hash.as_ref().map(|hash| hash.as_str()));
        let values = vec![
            Values::utf8(all().map(|i| entries.sample(i))),
            Values::utf8(all().map(|i| entries.category(i))),
            Values::optional_utf8(all().map(|i| entries.path(i))),
            Values::numbers(all().map(|i| entries.bytes(i)).collect()),
            Values::utf8(all().map(|i| entries.stamp(i))),
            Values::optional_utf8(hashes),
        ];
        Batch::new(tables::input(), values)
    }
}
