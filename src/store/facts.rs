//! `Facts`: what the content of a sample was at a stamp, so that it need not be opened to know.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use voxflow_contract::{ContentHash, MachineFault, commit_point};

use super::home::{Workplace, sync_folder};
use super::key::{ByHash, RowKey, hash_of};
use super::sealed;

const MAGIC: &[u8] = b"voxflow facts 1\n";
const RECORD: usize = RowKey::LEN + ContentHash::LEN;
/// Files after which all are made one, with what the current scan does not know left out.
const MOST_FILES: usize = 8;

/// Contents of the samples of one source.
pub(crate) struct Facts {
    folder: PathBuf,
    place: Arc<Workplace>,
    files: BTreeSet<PathBuf>,
    contents: HashMap<RowKey, ContentHash, ByHash>,
    new: Vec<(RowKey, ContentHash)>,
}

impl Facts {
    pub(super) fn open(folder: PathBuf, place: Arc<Workplace>) -> Result<Self, MachineFault> {
        fs::create_dir_all(&folder).map_err(|e| MachineFault::io("create", &folder, e))?;
        let mut facts = Self::unread(folder, place);
        facts.refresh()?;
        Ok(facts)
    }

    /// Knows nothing of what is in the folder.
    pub(super) fn unread(folder: PathBuf, place: Arc<Workplace>) -> Self {
        let (files, contents, new) = (BTreeSet::new(), HashMap::default(), Vec::new());
        Self { folder, place, files, contents, new }
    }

    /// Takes in what others learned since.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) fn refresh(&mut self) -> Result<(), MachineFault> {
        let list = |e| MachineFault::io("list", &self.folder, e);
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(list)? {
            found.push(entry.map_err(list)?.path());
        }
        for path in found.into_iter().filter(|path| !self.files.contains(path)).collect::<Vec<_>>()
        {
            match read(&path) {
                Some(records) => self.contents.extend(records),
                // It is asked of the samples again.
                None => tracing::warn!("damaged and passed over: {}", path.display()),
            }
            self.files.insert(path);
        }
        Ok(())
    }

    /// Forgets what was learned and saved: there may be millions of samples.
    pub(crate) fn forget(&mut self) {
        (self.files, self.contents) = (BTreeSet::new(), HashMap::default());
    }

    /// What a sample's content is, if it was ever read at this stamp.
    pub(crate) fn content(&self, sample: &str, stamp: &str) -> Option<ContentHash> {
        self.contents.get(&fact_key(sample, stamp)).copied()
    }

    /// Learns what a sample's content is at a stamp.
    pub(crate) fn learn(&mut self, sample: &str, stamp: &str, content: ContentHash) {
        let key = fact_key(sample, stamp);
        if self.contents.insert(key, content) != Some(content) {
            self.new.push((key, content));
        }
    }

    /// What was learned and is not yet durable.
    pub(crate) fn take_new(&mut self) -> Vec<(RowKey, ContentHash)> {
        std::mem::take(&mut self.new)
    }

    /// Learns what [`Facts::take_new`] of others gave.
    pub(crate) fn learn_all(&mut self, new: Vec<(RowKey, ContentHash)>) {
        for (key, content) in new {
            if self.contents.insert(key, content) != Some(content) {
                self.new.push((key, content));
            }
        }
    }

    /// Makes what was learned durable. Of many small files one is made, with the facts of `current`
    /// samples and stamps only.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) fn save<'a>(
        &mut self,
        current: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<(), MachineFault> {
        if self.new.is_empty() {
            return Ok(());
        }
        let mut records = std::mem::take(&mut self.new);
        let is_many = self.files.len() >= MOST_FILES;
        let old = if is_many { std::mem::take(&mut self.files) } else { BTreeSet::new() };
        if !old.is_empty() {
            let known = current.map(|(sample, stamp)| fact_key(sample, stamp));
            records = known.filter_map(|key| Some((key, *self.contents.get(&key)?))).collect();
        }
        let mut bytes = MAGIC.to_vec();
        for (key, content) in records {
            bytes.extend_from_slice(&key.0);
            bytes.extend_from_slice(content.as_bytes());
        }
        let (bytes, hash) = sealed::seal(bytes);
        let path = self.folder.join(format!("{}.facts", &hash.to_hex()[..32]));
        self.place.write(&path, &bytes)?;
        commit_point("facts.renamed");
        for file in old.iter().filter(|file| **file != path) {
            // Another process may have been faster.
            let _ = fs::remove_file(file);
            commit_point("facts.merged");
        }
        self.files.insert(path);
        sync_folder(&self.folder)
    }
}

fn fact_key(sample: &str, stamp: &str) -> RowKey {
    RowKey(hash_of(&[sample.as_bytes(), stamp.as_bytes()]))
}

pub(super) fn read(path: &Path) -> Option<Vec<(RowKey, ContentHash)>> {
    let bytes = fs::read(path).ok()?;
    let (records, rest) = sealed::open(&bytes, MAGIC)?.as_chunks::<RECORD>();
    let record = |record: &[u8; RECORD]| {
        let (key, content) = record.split_first_chunk::<{ RowKey::LEN }>()?;
        Some((RowKey(*key), ContentHash::from_bytes(content.try_into().ok()?)))
    };
    rest.is_empty().then(|| records.iter().filter_map(record).collect())
}
