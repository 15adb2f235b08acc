//! `Keys` and `Group`: what always lies in one split, and in which order that is dealt.

use std::collections::{BTreeMap, BTreeSet};

use voxflow_contract::{Batch, ContentHash, Fault, SplitPolicy};

use crate::split_params::GroupBy;

/// Samples that always lie in one split: a run of [`Keys::by_key`]. Few bytes, and compared by numbers.
pub(crate) struct Group {
    /// Place of its class among all.
    pub(crate) class: u32,
    /// First bytes of its rank.
    rank: u64,
    /// Where its run begins.
    start: u32,
}

/// Keys of all rows, and the rows in the order of their group keys: a few bytes a sample, since there
/// may be millions.
pub(crate) struct Keys<'a> {
    is_by_sample: bool,
    pub(crate) samples: Vec<&'a str>,
    categories: Vec<&'a str>,
    /// What groups are by, if not by sample.
    contents: Vec<&'a [u8]>,
    /// Row numbers by group key, then by sample.
    by_key: Vec<u32>,
}

impl<'a> Keys<'a> {
    pub(crate) fn new(keys: &'a Batch, group: &GroupBy) -> Result<Self, Fault> {
        let too_many = |_| Fault::new("too_many", "a split takes at most 2^32 samples");
        let rows = u32::try_from(keys.rows()).map_err(too_many)?;
        let column = if let GroupBy::Column(name) = group { name } else { "content" };
        let contents = keys.fixed_binary(column)?;
        let mut keys = Self {
            is_by_sample: *group == GroupBy::Sample,
            samples: keys.utf8("sample")?.values_iter().collect(),
            categories: keys.utf8("category")?.values_iter().collect(),
            contents: (0..keys.rows()).map(|row| contents.value(row)).collect(),
            by_key: (0..rows).collect(),
        };
        let mut by_key: Vec<(u64, u32)> =
            keys.by_key.iter().map(|&row| (first_bytes(keys.key(row)), row)).collect();
        by_key.sort_unstable_by(|(first_a, a), (first_b, b)| {
            let order = |row: u32| (keys.key(row), keys.samples[row as usize]);
            first_a.cmp(first_b).then_with(|| order(*a).cmp(&order(*b)))
        });
        keys.by_key = by_key.into_iter().map(|(_, row)| row).collect();
        Ok(keys)
    }

    fn key(&self, row: u32) -> &'a [u8] {
        if self.is_by_sample {
            return self.samples[row as usize].as_bytes();
        }
        self.contents[row as usize]
    }

    /// Rows of a group.
    pub(crate) fn rows_of(&self, group: &Group) -> &[u32] {
        let rest = &self.by_key[group.start as usize..];
        let key = self.key(rest[0]);
        let len = rest.iter().take_while(|row| self.key(**row) == key).count();
        &rest[..len]
    }

    /// Group key of a group.
    fn key_of(&self, group: &Group) -> &'a [u8] {
        self.key(self.by_key[group.start as usize])
    }

    /// Class of a group of these rows: that of the sample whose id has the least hash.
    fn category(&self, rows: &[u32]) -> &'a str {
        let hash = |row: &&u32| ContentHash::of(self.samples[**row as usize].as_bytes());
        let first = if let [row] = rows { Some(row) } else { rows.iter().min_by_key(hash) };
        first.map_or("", |row| self.categories[*row as usize])
    }
}

/// The first bytes of a key: they tell most apart, and numbers are compared fast.
fn first_bytes(key: &[u8]) -> u64 {
    let mut first = [0; 8];
    let len = key.len().min(8);
    first[..len].copy_from_slice(&key[..len]);
    u64::from_be_bytes(first)
}

impl Keys<'_> {
    /// All groups, class by class, in the order they are dealt: by rank, then by group key.
    pub(crate) fn ranked_groups(&self, policy: &SplitPolicy) -> Vec<Group> {
        let classes: BTreeSet<&str> = self.categories.iter().copied().collect();
        let classes: BTreeMap<&str, u32> = classes.into_iter().zip(0..).collect();
        let mut groups = Vec::new();
        let (mut start, mut last) = (0, ("", classes.get("").copied().unwrap_or_default()));
        for run in self.by_key.chunk_by(|&a, &b| self.key(a) == self.key(b)) {
            let category = self.category(run);
            if category != last.0 {
                last = (category, classes[category]);
            }
            let rank = first_bytes(policy.rank(self.key(run[0])).as_bytes());
            groups.push(Group { class: last.1, rank, start });
            start += run.len() as u32;
        }
        groups.sort_unstable_by(|a, b| {
            let whole = |group| {
                let key = self.key_of(group);
                (policy.rank(key), key)
            };
            (a.class, a.rank).cmp(&(b.class, b.rank)).then_with(|| whole(a).cmp(&whole(b)))
        });
        groups
    }
}
