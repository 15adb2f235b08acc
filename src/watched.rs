//! `Watched`: the samples of a source from one look to the next, and what follows from their changes.

use std::collections::BTreeMap;

use voxflow_contract::{ContentHash, SplitPolicy};

use crate::changes::{ControlPlane, Policy, Revision, Sample};
use crate::engine::{Entries, SampleFate};

/// The samples of one source, before the control plane.
pub(crate) struct Watched {
    plane: ControlPlane,
    policy: SplitPolicy,
    stages: u32,
    known: BTreeMap<String, Known>,
    categories: BTreeMap<String, u32>,
}

/// A sample as it was when it was last looked at.
struct Known {
    category: String,
    stamp: String,
    sample: Sample,
    /// Whether its content is known, and its rows are in the store.
    is_settled: bool,
}

/// What is another than at the last look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Edits {
    /// Samples that were not there.
    pub(crate) new: u64,
    /// Samples whose file or class is another.
    pub(crate) changed: u64,
    /// Samples that are there no more.
    pub(crate) removed: u64,
    /// Rows that the store may not have: of these samples, at every kept stage.
    pub(crate) to_make: u64,
}

/// What followed from the changes of a revision.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Consequences {
    /// Samples that went from one part of the split to another, and had not changed themselves.
    pub(crate) moved: u64,
    /// Contents that several samples have by now.
    pub(crate) duplicates: u64,
    /// Contents that lie in several parts of the split by now.
    pub(crate) leaks: u64,
}

impl Edits {
    /// Whether all is as it was.
    pub(crate) fn is_empty(&self) -> bool {
        self.new + self.changed + self.removed + self.to_make == 0
    }
}

impl Watched {
    /// Nothing yet, of a source with so many kept stages.
    pub(crate) fn new(policy: SplitPolicy, stages: usize) -> Self {
        let stages = stages as u32;
        Self {
            plane: ControlPlane::with_snapshot(Policy { ratios: policy.ratios }, stages),
            policy,
            stages,
            known: BTreeMap::new(),
            categories: BTreeMap::new(),
        }
    }

    /// Takes in what a scan found.
    pub(crate) fn look(&mut self, entries: &Entries) -> Edits {
        let mut edits = Edits::default();
        let gone = self.known.keys().filter(|sample| entries.position(sample).is_none());
        for sample in gone.cloned().collect::<Vec<_>>() {
            self.forget(&sample);
            edits.removed += 1;
        }
        for position in 0..entries.len() {
            let (id, category) = (entries.sample(position), entries.category(position));
            let stamp = entries.stamp(position);
            match self.known.get(id) {
                Some(known) if known.stamp == stamp && known.category == category => continue,
                Some(_) => {
                    self.forget(id);
                    edits.changed += 1;
                }
                None => edits.new += 1,
            }
            // Its content is not known before it is opened; the stamp stands for it until then.
            let stamp_hash = ContentHash::of(stamp.as_bytes());
            let key = number(&ContentHash::of(&[id.as_bytes(), b"\0", stamp.as_bytes()].concat()));
            let sample = self.sample(id, category, &stamp_hash, key, false);
            self.plane.insert(&sample);
            let (category, stamp) = (category.to_owned(), stamp.to_owned());
            let known = Known { category, stamp, sample, is_settled: false };
            self.known.insert(id.to_owned(), known);
        }
        let revision = self.plane.advance();
        edits.to_make = revision.todo.iter().filter(|(_, change)| *change > 0).count() as u64;
        edits
    }

    /// Takes in what became of the samples that were looked at.
    pub(crate) fn settle(
        &mut self,
        entries: &Entries,
        fates: &[Option<SampleFate>],
    ) -> Consequences {
        let mut fresh = std::collections::BTreeSet::new();
        for (position, fate) in fates.iter().enumerate() {
            let id = entries.sample(position);
            let Some(known) = self.known.get(id).filter(|known| !known.is_settled) else {
                continue;
            };
            // What could not be opened is still to do.
            let Some(fate) = fate else { continue };
            let (before, category) = (known.sample, known.category.clone());
            self.plane.remove(&before);
            let key = u128::from_be_bytes(fate.key);
            let sample = self.sample(id, &category, &fate.content, key, fate.has_arrived);
            self.plane.insert(&sample);
            (0..self.stages).for_each(|stage| self.plane.mark_done(stage, key));
            fresh.insert(sample.id);
            if let Some(known) = self.known.get_mut(id) {
                (known.sample, known.is_settled) = (sample, true);
            }
        }
        let revision = self.plane.advance();
        let snapshot = self.plane.snapshot();
        Consequences {
            moved: moved(&revision, &fresh),
            duplicates: snapshot.map_or(0, |all| all.duplicates.len() as u64),
            leaks: snapshot.map_or(0, |all| all.leaks.len() as u64),
        }
    }

    fn forget(&mut self, id: &str) {
        let Some(known) = self.known.remove(id) else { return };
        self.plane.remove(&known.sample);
        if known.is_settled {
            (0..self.stages).for_each(|stage| self.plane.unmark_done(stage, known.sample.key));
        }
    }

    fn sample(
        &mut self,
        id: &str,
        category: &str,
        content: &ContentHash,
        key: u128,
        arrived: bool,
    ) -> Sample {
        let next = self.categories.len() as u32;
        let category = *self.categories.entry(category.to_owned()).or_insert(next);
        let id_hash = number(&ContentHash::of(id.as_bytes()));
        let (unit, rank) = if self.policy.is_by_sample {
            (id_hash, self.policy.rank(id.as_bytes()))
        } else {
            (number(content), self.policy.rank(content.as_bytes()))
        };
        let content = number(content);
        Sample { id: id_hash, category, content, unit, rank: number(&rank), key, arrived }
    }
}

/// Samples that left one part of the split for another, without those that were settled just now.
fn moved(revision: &Revision, fresh: &std::collections::BTreeSet<u128>) -> u64 {
    let came = revision.split.iter().filter(|(_, _, change)| *change > 0);
    let left: std::collections::BTreeSet<u128> =
        revision.split.iter().filter(|(_, _, change)| *change < 0).map(|(id, ..)| *id).collect();
    came.filter(|(id, ..)| left.contains(id) && !fresh.contains(id)).count() as u64
}

/// The first half of a hash, ordered as the hash is.
fn number(hash: &ContentHash) -> u128 {
    hash.as_bytes().first_chunk::<16>().map_or(0, |half| u128::from_be_bytes(*half))
}

#[cfg(test)]
mod tests {
    use super::*;
    use voxflow_contract::{
        Batch, BuildContext, Entry, Params, Random, SampleId, Stage, Values, tables,
    };

    /// The plain split of these samples: (id, class, content).
    fn plain(samples: &[(String, String, u64)]) -> Vec<String> {
        let kind = voxflow_curation::ALL.iter().find(|kind| kind.name() == "split");
        let context = BuildContext { seed: 5, stage: "split".to_owned() };
        let stage = kind.expect("it is there").build(&Params::default(), &context);
        let Ok(Stage::Keyed(keyed)) = stage else { panic!("split is a keyed stage") };
        let contents = samples.iter().map(|sample| *content(sample.2).as_bytes());
        let values = vec![
            Values::utf8(samples.iter().map(|sample| &sample.0)),
            Values::utf8(samples.iter().map(|sample| &sample.1)),
            Values::fixed_binary(ContentHash::LEN, contents),
        ];
        let keys = Batch::new(tables::key(), values).expect("keys");
        let said = keyed.assign(&keys).expect("a split");
        said.utf8("split").expect("split").values_iter().map(str::to_owned).collect()
    }

    fn content(number: u64) -> ContentHash {
        ContentHash::of(&number.to_le_bytes())
    }

    #[test]
    fn the_split_of_any_edits_is_the_plain_one() {
        let policy = SplitPolicy { ratios: [0.7, 0.1, 0.2], seed: 5, is_by_sample: false };
        let mut watched = Watched::new(policy, 2);
        let mut random = Random::new(3, &["watched"]);
        let mut samples: BTreeMap<String, (String, u64)> = BTreeMap::new();
        for round in 0..40 {
            for _ in 0..1 + random.below(6) {
                let id = format!("s{:03}", random.below(90));
                let (class, content) = (random.below(3), random.below(60));
                match random.below(4) {
                    0 => drop(samples.remove(&id)),
                    _ => drop(samples.insert(id, (format!("c{class}"), content))),
                }
            }
            let list: Vec<_> =
                samples.iter().map(|(s, (c, n))| (s.clone(), c.clone(), *n)).collect();
            let entry = |(id, class, content): &(String, String, u64)| Entry {
                sample: SampleId::new(id.clone()).expect("an id"),
                category: class.clone(),
                path: None,
                bytes: 1,
                stamp: content.to_string(),
            };
            let entries = Entries::new(&list.iter().map(entry).collect::<Vec<_>>());
            let fate = |(position, sample): (usize, &(String, String, u64))| {
                let key = entries.key(position, &content(sample.2)).0;
                Some(SampleFate { content: content(sample.2), key, has_arrived: true })
            };
            let fates: Vec<_> = list.iter().enumerate().map(fate).collect();
            let edits = watched.look(&entries);
            assert_eq!(edits.to_make, 2 * (edits.new + edits.changed), "round {round}");
            let found = watched.settle(&entries, &fates);
            assert_eq!(found.leaks, 0);
            assert!(watched.look(&entries).is_empty(), "all is settled");
            let all = watched.plane.snapshot().expect("it was asked for");
            for (sample, split) in list.iter().zip(plain(&list)) {
                let id = number(&ContentHash::of(sample.0.as_bytes()));
                let said = all.split.get(&id).map(|split| format!("{split:?}").to_lowercase());
                assert_eq!(said, Some(split), "round {round}: {sample:?}");
            }
        }
    }
}
