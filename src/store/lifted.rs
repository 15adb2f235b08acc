//! Refusals that were lifted: the samples are tried again.

use std::fs;
use std::path::Path;

use voxflow_contract::{MachineFault, commit_point};

use super::home::{Workplace, sync_folder};
use super::key::RowKey;
use super::sealed;

const MAGIC: &[u8] = b"voxflow lifted 1\n";
const ATTEMPT: usize = size_of::<u32>();

/// A sample, and how often it had been tried: refusals up to that attempt do not hold any more.
pub(super) type Lifted = (RowKey, u32);

/// Puts a file of lifted refusals into the folder of a stage; gives its name.
///
/// # Errors
/// When the disk fails.
pub(super) fn write(
    folder: &Path,
    place: &Workplace,
    lifted: &[Lifted],
) -> Result<String, MachineFault> {
    let mut bytes = MAGIC.to_vec();
    for (key, attempt) in lifted {
        bytes.extend_from_slice(&key.0);
        bytes.extend_from_slice(&attempt.to_le_bytes());
    }
    let (bytes, hash) = sealed::seal(bytes);
    let name = format!("{}.lifted", &hash.to_hex()[..32]);
    place.write(&folder.join(&name), &bytes)?;
    commit_point("lifted.renamed");
    sync_folder(folder)?;
    Ok(name)
}

/// Reads what [`write`] wrote; `None` when a byte of it is not what was written.
///
/// # Errors
/// When the disk fails.
pub(super) fn read(path: &Path) -> std::io::Result<Option<Vec<Lifted>>> {
    fs::read(path).map(|bytes| parse(&bytes))
}

fn parse(bytes: &[u8]) -> Option<Vec<Lifted>> {
    let (records, rest) = sealed::open(bytes, MAGIC)?.as_chunks::<{ RowKey::LEN + ATTEMPT }>();
    let record = |record: &[u8; RowKey::LEN + ATTEMPT]| {
        let (key, attempt) = record.split_first_chunk::<{ RowKey::LEN }>()?;
        Some((RowKey(*key), u32::from_le_bytes(attempt.try_into().ok()?)))
    };
    rest.is_empty().then(|| records.iter().filter_map(record).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_file_is_not_believed() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = super::super::Store::open(folder.path()).expect("a store");
        let lifted = vec![(RowKey([1; 16]), 1), (RowKey([2; 16]), 7)];
        write(folder.path(), store.place(), &lifted).expect("it is written");
        let files = fs::read_dir(folder.path()).expect("a folder").flatten();
        let mut files = files.map(|entry| entry.path());
        let path = files.find(|path| path.extension().is_some()).expect("a file");
        assert_eq!(read(&path).expect("it is read"), Some(lifted));
        let bytes = fs::read(&path).expect("bytes");
        for place in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[place] ^= 1;
            assert_eq!(parse(&damaged), None, "{place}");
            assert_eq!(parse(&bytes[..place]), None, "{place}");
        }
    }
}
