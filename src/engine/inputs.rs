//! Inputs: which samples a run read, and what they were, as a table of the run.

use std::fs::{self, File};
use std::path::Path;

use voxflow_contract::{Batch, ContentHash, MachineFault, OutputFile, Values, tables};
use voxflow_formats::FormatError;
use voxflow_formats::parquet::{ParquetWriter, WriteOptions};

use super::scan::Scan;
use crate::store::{KeptFiles, fingerprint_of};

/// Rows of a row group.
const GROUP_ROWS: usize = 1024;

/// Writes the table `input` of a source into the run's folder, or links the one that says the same.
/// `contents` has the content of every sample, if it was opened.
///
/// # Errors
/// When the machine fails.
pub(crate) fn record_inputs(
    scan: &Scan,
    source: &str,
    contents: impl Iterator<Item = Option<ContentHash>>,
    files: &KeptFiles,
    folder: &Path,
) -> Result<OutputFile, MachineFault> {
    let contents: Vec<Option<ContentHash>> = contents.collect();
    let unopened = contents.iter().enumerate().filter(|(_, content)| content.is_none());
    let unopened: Vec<[u8; 8]> = unopened.map(|(i, _)| (i as u64).to_le_bytes()).collect();
    let texts = [b"inputs 1", scan.digest.as_bytes(), unopened.as_flattened()];
    let fingerprint = fingerprint_of(&texts);
    let name = format!("inputs/{source}.parquet");
    let path = folder.join(&name);
    let parent = folder.join("inputs");
    fs::create_dir_all(&parent).map_err(|e| MachineFault::io("create", &parent, e))?;
    match fs::remove_file(&path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            return Err(MachineFault::io("replace", &path, e));
        }
        _ => {}
    }
    if let Some(kept) = files.link(&fingerprint, &path)? {
        return Ok(kept.output(&name));
    }
    let disk =
        |e: FormatError| MachineFault::io("write", &path, std::io::Error::other(e.to_string()));
    let file = File::create_new(&path).map_err(|e| MachineFault::io("create", &path, e))?;
    let options = WriteOptions { row_group_rows: GROUP_ROWS };
    let mut writer = ParquetWriter::new(file, &tables::input(), options).map_err(disk)?;
    for start in (0..contents.len()).step_by(GROUP_ROWS) {
        let end = contents.len().min(start + GROUP_ROWS);
        let rows = rows(scan, &contents, start..end);
        writer.write(&rows.map_err(|e| MachineFault::new(e.to_string()))?).map_err(disk)?;
    }
    let file = writer.finish().map_err(disk)?;
    file.sync_all().map_err(|e| MachineFault::io("sync", &path, e))?;
    let mut hasher = blake3::Hasher::new();
    let bytes = File::open(&path).and_then(|mut file| std::io::copy(&mut file, &mut hasher));
    let bytes = bytes.map_err(|e| MachineFault::io("read", &path, e))?;
    let blake3 = hasher.finalize().to_hex().to_string();
    let output = OutputFile { path: name, rows: contents.len() as u64, bytes, blake3 };
    files.keep(&fingerprint, &path, &output)?;
    Ok(output)
}

fn rows(
    scan: &Scan,
    contents: &[Option<ContentHash>],
    positions: std::ops::Range<usize>,
) -> Result<Batch, voxflow_contract::BatchError> {
    let entries = &scan.entries;
    let hex = |content: &ContentHash| blake3::Hash::from_bytes(*content.as_bytes()).to_hex();
    let hashes: Vec<_> = positions.clone().map(|i| contents[i].as_ref().map(hex)).collect();
    Batch::new(
        tables::input(),
        vec![
            Values::utf8(positions.clone().map(|i| entries.sample(i))),
            Values::utf8(positions.clone().map(|i| entries.category(i))),
            Values::optional_utf8(positions.clone().map(|i| entries.path(i))),
            Values::numbers(positions.clone().map(|i| entries.bytes(i)).collect()),
            Values::utf8(positions.map(|i| entries.stamp(i))),
            Values::optional_utf8(
                hashes.iter().map(|hash| hash.as_ref().map(|hash| hash.as_str())),
            ),
        ],
    )
}
