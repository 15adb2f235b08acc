//! `StageStore`: which rows of a stage there are.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use voxflow_contract::{MachineFault, Refusal, commit_point};
use voxflow_formats::parquet::BlockHashes;

use super::cost::Cost;
use super::home::{Workplace, short, sync_folder};
use super::key::{ByHash, RowKey};
use super::lifted;
use super::place::Place;
use super::replaced;
use super::shard::Shard;

/// Which stage it is: what the fingerprint stands for, for people and for the reasons of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageFacts {
    /// Changes with everything below, and everything upstream.
    pub fingerprint: String,
    /// Name of the kind.
    #[serde(rename = "use")]
    pub kind: String,
    /// Version of the kind.
    pub version: u32,
    /// Parameters as resolved.
    pub parameters: Map<String, Value>,
    /// Seed of the pipeline.
    pub seed: u64,
    /// Fingerprints of the stages it reads from.
    pub inputs: Vec<String>,
}

/// The rows and refusals of one stage that the store has.
pub(crate) struct StageStore {
    folder: PathBuf,
    pub(super) place: Arc<Workplace>,
    pub(super) shards: Vec<KnownShard>,
    /// Files that were taken in.
    names: BTreeSet<String>,
    /// Files that others took the place of.
    replaced: BTreeSet<String>,
    rows: HashMap<RowKey, Place, ByHash>,
    /// The last refusal of each sample.
    refused: HashMap<RowKey, Refusal, ByHash>,
    /// Up to which attempt refusals do not hold any more.
    lifted: HashMap<RowKey, u32, ByHash>,
}

/// A shard that was listed.
pub(super) struct KnownShard {
    pub(super) name: String,
    pub(super) hashes: BlockHashes,
    /// For each row group the rows up to its end.
    pub(super) group_ends: Vec<u32>,
}

/// Says how to go on without a file that cannot be read.
fn unreadable(path: &Path, error: std::io::Error) -> MachineFault {
    let hint = "`voxflow store verify --set-aside` puts it aside, and its rows are made again";
    let message = format!("cannot read: {error}; {hint}: {}", path.display());
    MachineFault { message, source: Some(error) }
}

impl StageStore {
    pub(super) fn open(
        rows: &Path,
        facts: &StageFacts,
        place: Arc<Workplace>,
    ) -> Result<Self, MachineFault> {
        let folder = rows.join(short(&facts.fingerprint));
        fs::create_dir_all(&folder).map_err(|e| MachineFault::io("create", &folder, e))?;
        let path = folder.join("stage.json");
        if !path.is_file() {
            let text = serde_json::to_vec_pretty(facts).unwrap_or_default();
            place.write(&path, &text)?;
            commit_point("stage.described");
        }
        let mut store = Self {
            folder,
            place,
            shards: Vec::new(),
            names: BTreeSet::new(),
            replaced: BTreeSet::new(),
            rows: HashMap::default(),
            refused: HashMap::default(),
            lifted: HashMap::default(),
        };
        store.refresh()?;
        Ok(store)
    }

    /// What the rows of the stage have cost so far.
    pub(crate) fn cost(&self) -> Cost {
        Cost::read(&self.folder.join("cost.json"))
    }

    /// Adds to what the rows have cost. Of two processes that do so at once one may be forgotten: it is
    /// for estimates only.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) fn add_cost(&self, more: &Cost) -> Result<(), MachineFault> {
        let mut cost = self.cost();
        cost.add(more);
        let text = serde_json::to_vec(&cost).unwrap_or_default();
        self.place.write(&self.folder.join("cost.json"), &text)?;
        commit_point("cost.renamed");
        Ok(())
    }

    /// Bytes that a row takes on disk, on average; `None` where there is none.
    pub(crate) fn bytes_per_row(&self) -> Option<f64> {
        (!self.rows.is_empty()).then(|| self.bytes() as f64 / self.rows.len() as f64)
    }

    /// Takes in the shards that came since.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) fn refresh(&mut self) -> Result<(), MachineFault> {
        let list = |e| MachineFault::io("list", &self.folder, e);
        let mut found = BTreeSet::new();
        for entry in fs::read_dir(&self.folder).map_err(list)? {
            found.insert(entry.map_err(list)?.file_name().to_string_lossy().into_owned());
        }
        let records = replaced::records(&self.folder, &found).into_iter();
        self.replaced = records.flat_map(|(_, replaced)| replaced.files).collect();
        let counts = |name: &String| name.ends_with(".shard") || name.ends_with(".lifted");
        found.retain(|name| counts(name) && !self.replaced.contains(name));
        for file in found {
            if self.names.contains(&file) {
                continue;
            }
            let path = self.folder.join(&file);
            let is_whole = match file.strip_suffix(".shard") {
                None => lifted::read(&path)
                    .map_err(|e| unreadable(&path, e))?
                    .map(|lifted| self.take_in_lifted(lifted)),
                Some(name) => {
                    let bytes = fs::read(&path).map_err(|e| unreadable(&path, e))?;
                    Shard::from_bytes(&bytes).map(|shard| self.take_in(name.to_owned(), shard))
                }
            };
            match is_whole {
                Some(()) => {
                    self.names.insert(file);
                }
                // Its rows are made again, perhaps under the same name; `voxflow store verify` names it.
                None => tracing::warn!("damaged and passed over: {}", path.display()),
            }
        }
        Ok(())
    }

    /// Where the row of a sample lies.
    pub(crate) fn place(&self, key: &RowKey) -> Option<Place> {
        self.rows.get(key).copied()
    }

    /// The file that a row lies in, and its number there.
    pub(crate) fn locate(&self, place: Place) -> (PathBuf, u32) {
        (self.data_file(&self.shards[place.shard as usize].name), place.row)
    }

    /// Why the stage gave no row for a sample.
    pub(crate) fn refusal(&self, key: &RowKey) -> Option<&Refusal> {
        self.refused.get(key).filter(|refusal| refusal.attempt > self.attempts(key))
    }

    /// How often a sample had been tried when its refusal was last lifted.
    pub(crate) fn attempts(&self, key: &RowKey) -> u32 {
        self.lifted.get(key).copied().unwrap_or(0)
    }

    /// Lifts the refusals of samples, so that the next run tries them again; says of how many.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) fn lift(&mut self, keys: &[RowKey]) -> Result<usize, MachineFault> {
        let attempt = |key: &RowKey| Some((*key, self.refusal(key)?.attempt));
        let lifted: Vec<_> = keys.iter().filter_map(attempt).collect();
        if !lifted.is_empty() {
            lifted::write(&self.folder, &self.place, &lifted)?;
            self.refresh()?;
        }
        Ok(lifted.len())
    }

    /// Forgets which rows there are, but not where those lie that were found: there may be millions.
    pub(crate) fn forget_rows(&mut self) {
        (self.rows, self.refused) = (HashMap::default(), HashMap::default());
        self.lifted = HashMap::default();
    }

    /// Number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Number of samples that the stage refused.
    pub(crate) fn refused(&self) -> usize {
        self.refused.keys().filter(|key| self.refusal(key).is_some()).count()
    }

    /// Number of shards.
    pub(crate) fn shards(&self) -> usize {
        self.live().count()
    }

    /// Bytes of all rows.
    pub(crate) fn bytes(&self) -> u64 {
        self.live().map(|shard| shard.hashes.len()).sum()
    }

    /// The shards whose place no others took.
    pub(super) fn live(&self) -> impl Iterator<Item = &KnownShard> {
        self.shards.iter().filter(|shard| !self.replaced.contains(&format!("{}.shard", shard.name)))
    }

    /// Names of the files of lifted refusals whose place no others took.
    pub(super) fn live_lifted(&self) -> impl Iterator<Item = &String> {
        let is_live = |name: &&String| name.ends_with(".lifted") && !self.replaced.contains(*name);
        self.names.iter().filter(is_live)
    }

    /// The folder of the stage.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn data_file(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.parquet"))
    }

    pub(super) fn keys_file(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.shard"))
    }

    /// Sets a shard aside, so that its rows are made again.
    ///
    /// # Errors
    /// When the disk fails.
    pub(super) fn set_aside(&self, name: &str) -> Result<(), MachineFault> {
        let path = self.keys_file(name);
        fs::rename(&path, path.with_extension("damaged"))
            .map_err(|e| MachineFault::io("set aside", &path, e))?;
        sync_folder(&self.folder)
    }

    fn take_in_lifted(&mut self, lifted: Vec<(RowKey, u32)>) {
        for (key, attempt) in lifted {
            let known = self.lifted.entry(key).or_default();
            *known = attempt.max(*known);
        }
    }

    fn take_in(&mut self, name: String, shard: Shard) {
        let number = self.shards.len() as u32;
        for (row, key) in shard.keys.iter().enumerate() {
            self.rows.entry(*key).or_insert(Place { shard: number, row: row as u32 });
        }
        for (key, refusal) in shard.refused {
            let is_later = |known: &Refusal| known.attempt < refusal.attempt;
            if self.refused.get(&key).is_none_or(is_later) {
                self.refused.insert(key, refusal);
            }
        }
        let ends = shard.groups.iter().scan(0, |end, rows| {
            *end += rows;
            Some(*end)
        });
        let group_ends = ends.collect();
        self.shards.push(KnownShard { name, hashes: shard.hashes, group_ends });
    }
}
