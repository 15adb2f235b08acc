//! `WorkList`: which samples have still to be made at which stages, cut into parts.

use std::collections::BTreeMap;

use voxflow_contract::{ContentHash, Stage};

use super::entries::Entries;
use super::graph::Graph;
use super::scan::Scan;
use crate::store::{Facts, Place, RowKey, StageStore};

/// Rows of a part at most.
const MAX_PART_ROWS: usize = 1024;
/// Bytes in flight that a part aims at: large enough to be worth a message, small enough to share.
const PART_BYTES: u64 = 4 << 20;
/// Rows that a part has even when they are more bytes: each part is a row group of its own, and each
/// of its columns costs a compressor.
const FEW_ROWS: usize = 16;
/// Bytes in flight up to which a part has so few rows.
const FEW_ROWS_BYTES: u64 = 32 << 20;
/// A mesh file of n bytes is held as bytes, as vertices and triangles, and as what is made of them.
const EXPANSION: u64 = 3;
/// Samples that follow each other and are dealt to one process.
const DEALT: usize = 16;

/// Some samples of a source: the unit that is claimed and moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    /// Positions among the entries of the scan, ascending.
    pub(crate) samples: Vec<u32>,
    /// Bytes that are reserved while the part is in flight.
    pub(crate) charge: u64,
    /// Which kept stages the samples have still to be made at.
    pub(crate) needs: Needs,
}

/// A set of kept stages, one a bit, in the order of [`Kept::stages`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Needs(u64);

impl Needs {
    /// Whether there is one in both.
    pub(crate) fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether there is none.
    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// The stages of one source whose rows the store keeps: those that sinks read, and keyed stages that
/// need more than keys.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    /// Positions in the graph, ascending.
    pub(crate) stages: Vec<usize>,
    /// For each, its per-sample ancestors and itself.
    upstream: Vec<Vec<usize>>,
}

/// What the store has of a sample at a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// A row.
    Made(Place),
    /// The stage, or this one before it, refused the sample.
    Refused(usize),
    /// Nothing.
    Missing,
}

impl Kept {
    pub(crate) fn new(graph: &Graph, root: usize) -> Self {
        let needs_columns =
            |stage: &Stage| matches!(stage, Stage::Keyed(keyed) if !keyed.columns().is_empty());
        let readers = graph.sinks().into_iter().chain(graph.positions(needs_columns));
        let mut stages: Vec<usize> = readers
            .filter(|&reader| graph.root(reader) == root)
            .flat_map(|reader| graph.streaming_inputs(reader))
            .collect();
        stages.sort_unstable();
        stages.dedup();
        let upstream = stages.iter().map(|&stage| graph.upstream(stage)).collect();
        Self { stages, upstream }
    }

    /// What the store has of a sample at kept stage number `number`.
    pub(crate) fn state(&self, number: usize, key: &RowKey, stores: &Stores<'_>) -> State {
        if let Some(place) = stores.get(&self.stages[number]).and_then(|store| store.place(key)) {
            return State::Made(place);
        }
        let refuses =
            |stage: &&usize| stores.get(stage).is_some_and(|store| store.refusal(key).is_some());
        self.upstream[number].iter().find(refuses).map_or(State::Missing, |&s| State::Refused(s))
    }

    /// At which stages a sample has still to be made.
    pub(crate) fn needs(&self, key: &RowKey, stores: &Stores<'_>) -> Needs {
        let is_missing = |number: &usize| self.state(*number, key, stores) == State::Missing;
        Needs((0..self.stages.len()).filter(is_missing).map(|number| 1 << number).sum())
    }

    /// At which stages a sample with these states has still to be made; one without has to be opened.
    pub(crate) fn missing(&self, states: Option<&[State]>) -> Needs {
        let Some(states) = states else { return self.all() };
        let missing = states.iter().enumerate().filter(|(_, state)| **state == State::Missing);
        Needs(missing.map(|(number, _)| 1 << number).sum())
    }

    /// Those stages that are `stage` or come after it.
    pub(crate) fn served_by(&self, stage: usize) -> Needs {
        let serves = |number: &usize| self.upstream[*number].contains(&stage);
        Needs((0..self.stages.len()).filter(serves).map(|number| 1 << number).sum())
    }

    /// The set of one stage.
    pub(crate) fn only(&self, stage: usize) -> Needs {
        Needs(self.stages.iter().position(|kept| *kept == stage).map_or(0, |number| 1 << number))
    }

    fn all(&self) -> Needs {
        Needs((0..self.stages.len()).map(|number| 1 << number).sum())
    }
}

/// What the store has, by stage.
pub(crate) type Stores<'a> = BTreeMap<usize, std::sync::RwLockReadGuard<'a, StageStore>>;

/// What one process has to do for one source.
#[derive(Debug, Clone, Default)]
pub(crate) struct WorkList {
    /// The parts, in the order of their needs and first samples.
    pub(crate) parts: Vec<Part>,
}

impl WorkList {
    /// The share of process `process` of `processes` in what is missing. A sample whose content is
    /// not known has to be opened, at least.
    ///
    /// The cuts depend on sizes alone, never on workers.
    pub(crate) fn new(
        scan: &Scan,
        kept: &Kept,
        stores: &Stores<'_>,
        keys: &Keys,
        bytes_per_row: u64,
        (process, processes): (usize, usize),
    ) -> Self {
        let mut by_needs: BTreeMap<Needs, Vec<u32>> = BTreeMap::new();
        let is_mine = |position: &usize| position / DEALT % processes == process;
        for position in (0..scan.entries.len()).filter(is_mine) {
            let needs = keys[position].map_or(kept.all(), |(_, key)| kept.needs(&key, stores));
            if !needs.is_empty() {
                by_needs.entry(needs).or_default().push(position as u32);
            }
        }
        let mut parts = Vec::new();
        for (needs, samples) in by_needs {
            let mut rest = samples.as_slice();
            while !rest.is_empty() {
                let (rows, charge) = cut(&scan.entries, rest, bytes_per_row);
                let (samples, later) = rest.split_at(rows);
                parts.push(Part { samples: samples.to_vec(), charge, needs });
                rest = later;
            }
        }
        Self { parts }
    }
}

/// The content of a sample, and what its rows are kept under.
pub(crate) type Key = (ContentHash, RowKey);

/// By position the key of each sample whose content is known.
pub(crate) type Keys = Vec<Option<Key>>;

/// What is known of all samples.
pub(crate) fn keys_of(entries: &Entries, facts: &Facts) -> Keys {
    let key = |position| {
        let content = content_of(entries, position, facts)?;
        Some((content, entries.key(position, &content)))
    };
    (0..entries.len()).map(key).collect()
}

/// What the rows of the sample at a position are kept under, if its content is known.
pub(crate) fn key_of(entries: &Entries, position: usize, facts: &Facts) -> Option<RowKey> {
    Some(entries.key(position, &content_of(entries, position, facts)?))
}

/// The content of the sample at a position, if it is known.
pub(crate) fn content_of(entries: &Entries, position: usize, facts: &Facts) -> Option<ContentHash> {
    facts.content(entries.sample(position), entries.stamp(position))
}

/// How many of the samples, from the first, are a part, and its charge.
fn cut(entries: &Entries, samples: &[u32], bytes_per_row: u64) -> (usize, u64) {
    let (mut rows, mut charge) = (0, 0u64);
    while rows < samples.len() && rows < MAX_PART_ROWS {
        let bytes = entries.bytes(samples[rows] as usize);
        let row = bytes.saturating_mul(EXPANSION).saturating_add(bytes_per_row);
        let aim = if rows < FEW_ROWS { FEW_ROWS_BYTES } else { PART_BYTES };
        if rows > 0 && charge.saturating_add(row) > aim {
            break;
        }
        charge = charge.saturating_add(row);
        rows += 1;
    }
    (rows, charge)
}

#[cfg(test)]
mod tests {
    use super::*;
    use voxflow_contract::{Entry, SampleId};

    fn cuts(sizes: &[u64], bytes_per_row: u64) -> Vec<usize> {
        let entry = |(i, &bytes): (usize, &u64)| Entry {
            sample: SampleId::new(format!("s{i:04}")).expect("an id"),
            category: "c".to_owned(),
            path: None,
            bytes,
            stamp: String::new(),
        };
        let entries: Vec<_> = sizes.iter().enumerate().map(entry).collect();
        let entries = Entries::of(&entries);
        let all: Vec<u32> = (0..sizes.len() as u32).collect();
        let (mut rest, mut cuts) = (all.as_slice(), Vec::new());
        while !rest.is_empty() {
            let (rows, _) = cut(&entries, rest, bytes_per_row);
            cuts.push(rows);
            rest = &rest[rows..];
        }
        cuts
    }

    #[test]
    fn parts_are_bounded_by_rows_and_bytes() {
        assert_eq!(cuts(&[10; 3000], 0), [1024, 1024, 952]);
        assert_eq!(cuts(&[0; 100], 1 << 20), [16, 16, 16, 16, 16, 16, 4]);
        assert_eq!(cuts(&[0; 25], 3 << 20), [10, 10, 5]);
        assert_eq!(cuts(&[0; 100], 64 << 10), [64, 36]);
        assert_eq!(cuts(&[10, 100 << 20, 10], 0), [1, 1, 1], "a giant is a part of its own");
    }
}
