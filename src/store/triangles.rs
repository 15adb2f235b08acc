//! `TriangleCounts`: how many triangles samples have, so that it is known before they are decoded.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use voxflow_contract::MachineFault;

use super::home::{Workplace, sync_folder};
use super::key::RowKey;
use super::sealed;

const MAGIC: &[u8] = b"voxflow triangles 1\n";
const KEY: usize = size_of::<u64>();
const RECORD: usize = KEY + size_of::<u32>();
/// Files after which all are made one, with the current samples only.
const MOST_FILES: usize = 8;

/// Counts of the samples of one source. They are for estimates only: what is lost is told from the
/// bytes of a file instead.
pub(crate) struct TriangleCounts {
    folder: PathBuf,
    place: Arc<Workplace>,
}

/// Counts that were read, sorted by the first 8 bytes of the key.
#[derive(Debug, Default)]
pub(crate) struct KnownTriangles(Vec<(u64, u32)>);

impl KnownTriangles {
    /// Triangles of the sample whose rows are kept under this key.
    pub(crate) fn get(&self, key: &RowKey) -> Option<u32> {
        let short = short(key);
        let found = self.0.binary_search_by_key(&short, |(key, _)| *key).ok()?;
        Some(self.0[found].1)
    }
}

impl TriangleCounts {
    pub(super) fn new(folder: PathBuf, place: Arc<Workplace>) -> Self {
        Self { folder, place }
    }

    /// All counts. It is asked only when there is something to make: a run that makes nothing does not
    /// pay for them.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) fn read(&self) -> Result<KnownTriangles, MachineFault> {
        let mut known = Vec::new();
        for path in self.files()? {
            match read(&path) {
                Some(records) => known.extend(records),
                None => tracing::warn!("damaged and passed over: {}", path.display()),
            }
        }
        known.sort_unstable();
        known.dedup_by_key(|(key, _)| *key);
        Ok(KnownTriangles(known))
    }

    /// Adds counts. Of many small files one is made, with the counts of `current` samples only.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) fn save(
        &self,
        new: &[(RowKey, u32)],
        current: impl Iterator<Item = RowKey>,
    ) -> Result<(), MachineFault> {
        if new.is_empty() {
            return Ok(());
        }
        fs::create_dir_all(&self.folder)
            .map_err(|e| MachineFault::io("create", &self.folder, e))?;
        let mut records: Vec<_> = new.iter().map(|(key, count)| (short(key), *count)).collect();
        let files = self.files()?;
        let old = if files.len() >= MOST_FILES { files } else { BTreeSet::new() };
        if !old.is_empty() {
            let known = self.read()?;
            records.extend(current.filter_map(|key| Some((short(&key), known.get(&key)?))));
        }
        records.sort_unstable();
        records.dedup_by_key(|(key, _)| *key);
        let mut bytes = MAGIC.to_vec();
        for (key, count) in records {
            bytes.extend_from_slice(&key.to_le_bytes());
            bytes.extend_from_slice(&count.to_le_bytes());
        }
        let (bytes, hash) = sealed::seal(bytes);
        let path = self.folder.join(format!("{}.triangles", &hash.to_hex()[..32]));
        self.place.write(&path, &bytes)?;
        for file in old.iter().filter(|file| **file != path) {
            // Another process may have been faster.
            let _ = fs::remove_file(file);
        }
        sync_folder(&self.folder)
    }

    fn files(&self) -> Result<BTreeSet<PathBuf>, MachineFault> {
        let list = |e| MachineFault::io("list", &self.folder, e);
        match fs::read_dir(&self.folder) {
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(BTreeSet::new()),
            entries => {
                entries.map_err(list)?.map(|entry| Ok(entry.map_err(list)?.path())).collect()
            }
        }
    }
}

fn short(key: &RowKey) -> u64 {
    key.0.first_chunk::<KEY>().map_or(0, |first| u64::from_le_bytes(*first))
}

fn read(path: &Path) -> Option<Vec<(u64, u32)>> {
    let bytes = fs::read(path).ok()?;
    let (records, rest) = sealed::open(&bytes, MAGIC)?.as_chunks::<RECORD>();
    let record = |record: &[u8; RECORD]| {
        let (key, count) = record.split_first_chunk::<KEY>()?;
        Some((u64::from_le_bytes(*key), u32::from_le_bytes(count.try_into().ok()?)))
    };
    rest.is_empty().then(|| records.iter().filter_map(record).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    #[test]
    fn counts_are_known_again_and_many_files_become_one() {
        let home = tempfile::tempdir().expect("a folder");
        let store = Store::open(home.path()).expect("a store");
        let counts = store.triangles("source");
        let key = |i: u8| RowKey([i; RowKey::LEN]);
        assert_eq!(counts.read().expect("nothing").get(&key(0)), None);
        for i in 0..=MOST_FILES as u8 {
            let current = (1..=i).map(key);
            counts.save(&[(key(i), u32::from(i) * 100)], current).expect("it is written");
        }
        let known = counts.read().expect("counts");
        assert_eq!(counts.files().expect("files").len(), 1);
        assert_eq!(known.get(&key(0)), None, "it is not among the current samples");
        assert_eq!([1, 7, 8].map(|i| known.get(&key(i))), [Some(100), Some(700), Some(800)]);

        let path = counts.files().expect("files").pop_first().expect("a file");
        let mut bytes = fs::read(&path).expect("it can be read");
        bytes[MAGIC.len()] ^= 1;
        fs::write(&path, bytes).expect("it can be written");
        assert_eq!(counts.read().expect("passed over").get(&key(7)), None);
    }
}
