//! `reference`: all outputs, recomputed from scratch. Slow, and obvious.

use std::collections::{BTreeMap, BTreeSet};

use voxflow_changes::{Policy, Sample, Snapshot, Split, Todo};
use voxflow_curation::largest_remainder;

/// What there is, as it was put in.
#[derive(Default)]
pub(super) struct World {
    pub(super) samples: BTreeMap<u128, Sample>,
    pub(super) done: BTreeSet<(u32, u128)>,
}

impl World {
    /// What a control plane must say of this world.
    pub(super) fn snapshot(&self, policy: Policy, stages: u32) -> Snapshot {
        let split = self.split(policy);
        let mut snapshot = Snapshot { todo: self.todo(stages), split, ..Snapshot::default() };
        let mut contents: BTreeMap<u128, Vec<Split>> = BTreeMap::new();
        for (id, part) in &snapshot.split {
            let sample = self.samples[id];
            *snapshot.counts.entry((sample.category, *part)).or_default() += 1;
            contents.entry(sample.content).or_default().push(*part);
        }
        for (content, parts) in contents {
            if parts.len() > 1 {
                snapshot.duplicates.insert(content, parts.len() as u32);
            }
            if parts.iter().any(|part| *part != parts[0]) {
                snapshot.leaks.insert(content);
            }
        }
        snapshot
    }

    fn todo(&self, stages: u32) -> BTreeSet<Todo> {
        let keys = self.samples.values().map(|sample| sample.key);
        keys.flat_map(|key| (0..stages).map(move |stage| Todo { stage, key }))
            .filter(|todo| !self.done.contains(&(todo.stage, todo.key)))
            .collect()
    }

    /// Category of every unit that has samples: that of its first sample by id.
    pub(super) fn category_of_unit(&self) -> BTreeMap<u128, u32> {
        let mut categories = BTreeMap::new();
        for sample in self.samples.values().filter(|sample| sample.arrived) {
            categories.entry(sample.unit).or_insert(sample.category);
        }
        categories
    }

    /// Sorts the units of every category by (rank, unit) and cuts them at the quotas.
    fn split(&self, policy: Policy) -> BTreeMap<u128, Split> {
        let arrived = || self.samples.values().filter(|sample| sample.arrived);
        let category_of_unit = self.category_of_unit();
        let mut units_of_category: BTreeMap<u32, BTreeSet<(u128, u128)>> = BTreeMap::new();
        for sample in arrived() {
            let category = category_of_unit[&sample.unit];
            units_of_category.entry(category).or_default().insert((sample.rank, sample.unit));
        }
        let mut split_of_unit = BTreeMap::new();
        for units in units_of_category.values() {
            let quotas = largest_remainder(units.len() as u64, policy.ratios);
            let dealt = Split::ALL.into_iter().zip(quotas);
            let dealt = dealt.flat_map(|(split, quota)| std::iter::repeat_n(split, quota as usize));
            split_of_unit.extend(units.iter().map(|(_, unit)| *unit).zip(dealt));
        }
        arrived().map(|sample| (sample.id, split_of_unit[&sample.unit])).collect()
    }
}
