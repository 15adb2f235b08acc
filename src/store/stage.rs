//! `StageStore`: which rows of a stage there are.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use voxflow_contract::{MachineFault, Refusal};
use voxflow_formats::parquet::BlockHashes;

use super::cost::Cost;
use super::home::{Workplace, short, sync_folder};
use super::key::{ByHash, RowKey};
use super::place::Place;
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
    names: BTreeSet<String>,
    rows: HashMap<RowKey, Place, ByHash>,
    refused: HashMap<RowKey, Refusal, ByHash>,
}

/// A shard that was listed.
pub(super) struct KnownShard {
    pub(super) name: String,
    pub(super) hashes: BlockHashes,
    /// For each row group the rows up to its end.
    pub(super) group_ends: Vec<u32>,
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
        }
        let mut store = Self {
            folder,
            place,
            shards: Vec::new(),
            names: BTreeSet::new(),
            rows: HashMap::default(),
            refused: HashMap::default(),
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
    pub(crate) fn add_cost(&self, more: Cost) -> Result<(), MachineFault> {
        let Cost { rows, nanos } = self.cost();
        let cost = Cost { rows: rows + more.rows, nanos: nanos + more.nanos };
        let text = serde_json::to_vec(&cost).unwrap_or_default();
        self.place.write(&self.folder.join("cost.json"), &text)
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
        let mut new = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(list)? {
            let name = entry.map_err(list)?.file_name().to_string_lossy().into_owned();
            let Some(name) = name.strip_suffix(".shard") else { continue };
            if !self.names.contains(name) {
                new.push(name.to_owned());
            }
        }
        new.sort();
        for name in new {
            let path = self.shard_file(&name);
            let bytes = fs::read(&path).map_err(|e| MachineFault::io("read", &path, e))?;
            match Shard::from_bytes(&bytes) {
                Some(shard) => self.take_in(name, shard),
                // Its rows are made again; `voxflow store verify` names it.
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
        self.refused.get(key)
    }

    /// Forgets which rows there are, but not where those lie that were found: there may be millions.
    pub(crate) fn forget_rows(&mut self) {
        (self.rows, self.refused) = (HashMap::default(), HashMap::default());
    }

    /// Number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Number of samples that the stage refused.
    pub(crate) fn refused(&self) -> usize {
        self.refused.len()
    }

    /// Number of shards.
    pub(crate) fn shards(&self) -> usize {
        self.shards.len()
    }

    /// Bytes of all rows.
    pub(crate) fn bytes(&self) -> u64 {
        self.shards.iter().map(|shard| shard.hashes.len()).sum()
    }

    /// The folder of the stage.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn data_file(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.parquet"))
    }

    pub(super) fn shard_file(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.shard"))
    }

    /// Sets a shard aside, so that its rows are made again.
    ///
    /// # Errors
    /// When the disk fails.
    pub(super) fn set_aside(&self, name: &str) -> Result<(), MachineFault> {
        let path = self.shard_file(name);
        fs::rename(&path, path.with_extension("damaged"))
            .map_err(|e| MachineFault::io("set aside", &path, e))?;
        sync_folder(&self.folder)
    }

    fn take_in(&mut self, name: String, shard: Shard) {
        let number = self.shards.len() as u32;
        for (row, key) in shard.keys.iter().enumerate() {
            self.rows.entry(*key).or_insert(Place { shard: number, row: row as u32 });
        }
        self.refused.extend(shard.refused);
        let ends = shard.groups.iter().scan(0, |end, rows| {
            *end += rows;
            Some(*end)
        });
        let group_ends = ends.collect();
        self.names.insert(name.clone());
        self.shards.push(KnownShard { name, hashes: shard.hashes, group_ends });
    }
}
