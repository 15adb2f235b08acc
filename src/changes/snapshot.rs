//! `Snapshot`: everything that holds now, from the revisions so far.

use std::collections::{BTreeMap, BTreeSet};

use super::revision::{Revision, Todo};
use super::split::Split;

/// The sum of all revisions, in plain maps.
///
/// Costs about 40 bytes a sample beside the dataflow, so a control plane keeps one only when built
/// by [`ControlPlane::with_snapshot`](super::ControlPlane::with_snapshot).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Work that the store has no rows for.
    pub todo: BTreeSet<Todo>,
    /// Part of the split of every sample that arrived, by the hash of its id.
    pub split: BTreeMap<u128, Split>,
    /// Number of samples by category and part; pairs without samples are absent.
    pub counts: BTreeMap<(u32, Split), u32>,
    /// Number of samples of every content that more than one has.
    pub duplicates: BTreeMap<u128, u32>,
    /// Contents that lie in two or more parts of the split.
    pub leaks: BTreeSet<u128>,
}

impl Snapshot {
    /// Brings the snapshot up to `revision`, which must be the one after the last it was given.
    pub fn apply(&mut self, revision: &Revision) {
        apply_to_set(&mut self.todo, revision.todo.iter().copied());
        apply_to_map(
            &mut self.split,
            revision.split.iter().map(|&(id, split, diff)| (id, split, diff)),
        );
        let counts = revision.counts.iter();
        apply_to_map(
            &mut self.counts,
            counts.map(|(count, diff)| ((count.category, count.split), count.samples, *diff)),
        );
        let duplicates = revision.duplicates.iter();
        apply_to_map(
            &mut self.duplicates,
            duplicates.map(|(duplicate, diff)| (duplicate.content, duplicate.samples, *diff)),
        );
        apply_to_set(&mut self.leaks, revision.leaks.iter().copied());
    }
}

fn apply_to_set<T: Ord>(set: &mut BTreeSet<T>, changes: impl Iterator<Item = (T, i8)>) {
    for (item, diff) in changes {
        if diff > 0 {
            set.insert(item);
        } else {
            set.remove(&item);
        }
    }
}

/// The new value of a key may come before its old one: a removal takes only the value it names.
fn apply_to_map<K: Ord, V: PartialEq>(
    map: &mut BTreeMap<K, V>,
    changes: impl Iterator<Item = (K, V, i8)>,
) {
    for (key, value, diff) in changes {
        if diff > 0 {
            map.insert(key, value);
        } else if map.get(&key) == Some(&value) {
            map.remove(&key);
        }
    }
}
