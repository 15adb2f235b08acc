//! `Watched`: the samples of a source from one look to the next, and what follows from their changes.

use std::collections::{BTreeMap, BTreeSet};

use voxflow_changes::{ControlPlane, Policy, Revision, Sample};
use voxflow_contract::{Change, ContentHash, PARTS, SplitPolicy};

use crate::engine::{
    Edit, EditKind, Entries, Moves, PartNumber, Revised, SampleFate, Samples, Scan,
};

/// The samples of one source, and the control plane behind them.
pub(crate) struct Watched {
    plane: ControlPlane,
    policy: SplitPolicy,
    stages: u32,
    samples: Samples,
    /// By slot the part of the split, of a sample that arrived.
    parts: Vec<Option<PartNumber>>,
    categories: BTreeMap<String, u32>,
    /// What was done since the last time that samples were settled.
    edits: Vec<Edit>,
    /// What of that changed the part of a sample: where it was, and where it is.
    moved: BTreeMap<u32, (Option<PartNumber>, Option<PartNumber>)>,
    duplicates: i64,
    leaks: i64,
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
    /// Samples that lie in another part of the split than at the last revision.
    pub(crate) moved: u64,
    /// Samples that are in this revision and in the last.
    pub(crate) moved_of: u64,
    /// Contents that several samples have by now.
    pub(crate) duplicates: u64,
    /// Contents that lie in several parts of the split by now.
    pub(crate) leaks: u64,
}

impl Consequences {
    /// Those of two sources.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            moved: self.moved + other.moved,
            moved_of: self.moved_of + other.moved_of,
            duplicates: self.duplicates + other.duplicates,
            leaks: self.leaks + other.leaks,
        }
    }
}

impl Edits {
    /// Those of two sources.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            new: self.new + other.new,
            changed: self.changed + other.changed,
            removed: self.removed + other.removed,
            to_make: self.to_make + other.to_make,
        }
    }

    /// Whether all is as it was.
    pub(crate) fn is_empty(&self) -> bool {
        self.new + self.changed + self.removed + self.to_make == 0
    }
}

impl Watched {
    /// The samples of a first scan, of a source with so many kept stages. What became of them is not
    /// known yet: [`Watched::settle_all`] takes it in.
    pub(crate) fn new(policy: SplitPolicy, stages: usize, entries: Entries) -> Self {
        let stages = stages as u32;
        Self {
            plane: ControlPlane::new(Policy { ratios: policy.ratios }, stages),
            policy,
            stages,
            parts: vec![None; entries.len()],
            samples: Samples::new(entries),
            categories: BTreeMap::new(),
            edits: Vec::new(),
            moved: BTreeMap::new(),
            duplicates: 0,
            leaks: 0,
        }
    }

    /// The samples there are.
    pub(crate) fn samples(&self) -> &Samples {
        &self.samples
    }

    /// What there is, and what is another than before it was last settled.
    pub(crate) fn revised<'a>(&'a self, moved: &'a [Moved]) -> Revised<'a> {
        Revised { samples: &self.samples, edits: &self.edits, moved, parts: &self.parts }
    }

    /// What of the last changes put samples in other parts.
    pub(crate) fn moved(&self) -> Vec<Moved> {
        let is_real =
            |(_, (was, is)): &(&u32, &(Option<PartNumber>, Option<PartNumber>))| was != is;
        let moved = self.moved.iter().filter(is_real);
        moved.map(|(slot, (was, is))| (*slot, *was, *is)).collect()
    }

    /// Takes in changes; those that change nothing are passed over.
    pub(crate) fn look(&mut self, changes: Vec<Change>) -> Edits {
        let changes = self.samples.real(changes);
        let mut edits = Edits::default();
        self.moved.clear();
        for change in &changes {
            if let Ok(slot) = self.samples.find(change.sample.as_str()) {
                self.forget(slot);
            }
        }
        self.edits = self.samples.edit(&changes);
        self.parts.resize(self.samples.entries().len(), None);
        for edit in self.edits.clone() {
            match edit.kind {
                EditKind::New => edits.new += 1,
                EditKind::Changed => edits.changed += 1,
                EditKind::Removed => edits.removed += 1,
            }
            if edit.kind != EditKind::Removed {
                // Its content is not known before it is opened; the stamp stands for it until then.
                let sample = self.provisional(edit.slot);
                self.plane.insert(&sample);
            }
        }
        let revision = self.plane.advance();
        edits.to_make = revision.todo.iter().filter(|(_, change)| *change > 0).count() as u64;
        self.take_in(&revision);
        edits
    }

    /// The samples that have to be opened: what is known of them is not enough.
    pub(crate) fn to_open(&self) -> (Scan, Vec<u32>) {
        self.samples.scan_of(self.samples.unknown())
    }

    /// Takes in what became of all samples of the first scan, by position.
    pub(crate) fn settle_all(&mut self, fates: &[Option<SampleFate>]) -> Consequences {
        let slots: Vec<u32> = (0..fates.len() as u32).collect();
        for &slot in &slots {
            let sample = self.provisional(slot);
            if fates[slot as usize].is_none() {
                self.plane.insert(&sample);
            }
        }
        self.settle_in(&slots, fates, false)
    }

    /// Takes in what became of the samples in some slots.
    pub(crate) fn settle(&mut self, slots: &[u32], fates: &[Option<SampleFate>]) -> Consequences {
        self.settle_in(slots, fates, true)
    }

    fn settle_in(
        &mut self,
        slots: &[u32],
        fates: &[Option<SampleFate>],
        were_provisional: bool,
    ) -> Consequences {
        for (&slot, fate) in slots.iter().zip(fates) {
            // What could not be opened is still to do.
            if were_provisional && fate.is_some() {
                let before = self.provisional(slot);
                self.plane.remove(&before);
                if self.edits.iter().all(|edit| edit.slot != slot) {
                    self.edits.push(Edit { slot, kind: EditKind::Changed });
                }
            }
            self.samples.settle(slot, *fate);
            let Some(sample) = self.settled(slot) else { continue };
            self.plane.insert(&sample);
            (0..self.stages).for_each(|stage| self.plane.mark_done(stage, sample.key));
        }
        let revision = self.plane.advance();
        self.take_in(&revision);
        let (moved, moved_of) = (self.kept_apart().len() as u64, self.in_both());
        let (duplicates, leaks) = (self.duplicates.max(0) as u64, self.leaks.max(0) as u64);
        Consequences { moved, moved_of, duplicates, leaks }
    }

    /// Slots of samples that were there before and lie in another part now: where they were, and are.
    fn kept_apart(&self) -> Vec<(u32, PartNumber, PartNumber)> {
        let new = self.new_slots();
        let both = |(slot, (was, is)): (&u32, &(Option<PartNumber>, Option<PartNumber>))| {
            Some((*slot, (*was)?, (*is)?))
        };
        let moved = self.moved.iter().filter_map(both).filter(|(_, was, is)| was != is);
        moved.filter(|(slot, ..)| !new.contains(slot)).collect()
    }

    /// Slots of samples that were not there before.
    fn new_slots(&self) -> BTreeSet<u32> {
        let new = self.edits.iter().filter(|edit| edit.kind == EditKind::New);
        new.map(|edit| edit.slot).collect()
    }

    /// Samples that are in a part now and were in one before.
    fn in_both(&self) -> u64 {
        let new = self.new_slots();
        let came = self
            .moved
            .iter()
            .filter(|(slot, (was, is))| is.is_some() && (was.is_none() || new.contains(slot)));
        self.parts.iter().flatten().count().saturating_sub(came.count()) as u64
    }

    /// Adds the samples that moved since the last revision.
    pub(crate) fn add_moves(&self, moves: &mut Moves) {
        let mut all = self.kept_apart();
        all.sort_unstable_by(|a, b| self.samples.id(a.0).cmp(self.samples.id(b.0)));
        moves.of += self.in_both() - all.len() as u64;
        for (slot, was, is) in all {
            let [was, is] = [was, is].map(|part| PARTS[usize::from(part)]);
            moves.add(self.samples.id(slot), was, is);
        }
    }

    fn take_in(&mut self, revision: &Revision) {
        // What a sample is in no more comes before what it is in now.
        for wanted in [-1, 1] {
            for (id, split, _) in revision.split.iter().filter(|(.., sign)| *sign == wanted) {
                let slot = *id as u32;
                let part = (wanted > 0).then_some(*split as PartNumber);
                let place = &mut self.parts[slot as usize];
                self.moved.entry(slot).or_insert((*place, None)).1 = part;
                *place = part;
            }
        }
        let sum = |signs: &mut dyn Iterator<Item = i8>| signs.map(i64::from).sum::<i64>();
        self.duplicates += sum(&mut revision.duplicates.iter().map(|(_, sign)| *sign));
        self.leaks += sum(&mut revision.leaks.iter().map(|(_, sign)| *sign));
    }

    /// Takes the sample in a slot out of the control plane.
    fn forget(&mut self, slot: u32) {
        match self.settled(slot) {
            Some(sample) => {
                self.plane.remove(&sample);
                (0..self.stages).for_each(|stage| self.plane.unmark_done(stage, sample.key));
            }
            None => {
                let sample = self.provisional(slot);
                self.plane.remove(&sample);
            }
        }
    }

    /// A sample whose content is not known: its stamp stands for it.
    fn provisional(&mut self, slot: u32) -> Sample {
        let (entries, at) = (self.samples.entries(), slot as usize);
        let (id, stamp) = (entries.sample(at), entries.stamp(at));
        let content = ContentHash::of(stamp.as_bytes());
        let key = number(&ContentHash::of(&[id.as_bytes(), b"\0", stamp.as_bytes()].concat()));
        self.sample(slot, &content, key, false)
    }

    /// A sample whose content is known.
    fn settled(&mut self, slot: u32) -> Option<Sample> {
        let (content, key) = self.samples.keys()[slot as usize]?;
        let has_arrived = self.samples.has_arrived(slot);
        Some(self.sample(slot, &content, u128::from_be_bytes(key.0), has_arrived))
    }

    fn sample(&mut self, slot: u32, content: &ContentHash, key: u128, arrived: bool) -> Sample {
        let (entries, at) = (self.samples.entries(), slot as usize);
        let (id, category) = (entries.sample(at), entries.category(at));
        let category = match self.categories.get(category) {
            Some(number) => *number,
            None => {
                let number = self.categories.len() as u32;
                self.categories.insert(category.to_owned(), number);
                number
            }
        };
        let id_hash = number(&ContentHash::of(id.as_bytes()));
        let (unit, rank) = if self.policy.is_by_sample {
            (id_hash, self.policy.rank(id.as_bytes()))
        } else {
            (number(content), self.policy.rank(content.as_bytes()))
        };
        // The order is that of the hash; the last bits say which sample it is.
        let id = id_hash & !u128::from(u32::MAX) | u128::from(slot);
        Sample { id, category, content: number(content), unit, rank: number(&rank), key, arrived }
    }
}

/// A slot whose sample is in another part: where it was, and where it is.
pub(crate) type Moved = (u32, Option<PartNumber>, Option<PartNumber>);

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
        let mut watched = Watched::new(policy, 2, Entries::default());
        let mut random = Random::new(3, &["watched"]);
        let mut samples: BTreeMap<String, (String, u64)> = BTreeMap::new();
        let mut parts: Vec<Option<PartNumber>> = Vec::new();
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
            let entries = Entries::of(&list.iter().map(entry).collect::<Vec<_>>());
            let changes = watched.samples.differences(&entries);
            let edits = watched.look(changes);
            assert_eq!(edits.to_make, 2 * (edits.new + edits.changed), "round {round}");
            let (scan, slots) = watched.to_open();
            assert_eq!(scan.entries.len() as u64, edits.new + edits.changed);
            let fate = |position: usize| {
                let content = samples[scan.entries.sample(position)].1;
                let key = scan.entries.key(position, &self::content(content)).0;
                Some(SampleFate { content: self::content(content), key, has_arrived: true })
            };
            let fates: Vec<_> = (0..slots.len()).map(fate).collect();
            let found = watched.settle(&slots, &fates);
            assert_eq!(found.leaks, 0);
            assert_eq!(watched.samples.differences(&entries), []);
            for (sample, split) in list.iter().zip(plain(&list)) {
                let slot = watched.samples.find(&sample.0).expect("it is there");
                let said = watched.parts[slot as usize];
                let said = said.map(|part| ["train", "val", "test"][usize::from(part)]);
                assert_eq!(said, Some(split.as_str()), "round {round}: {sample:?}");
            }
            for (slot, was, is) in watched.moved() {
                let before = parts.get(slot as usize).copied().flatten();
                assert_eq!((was, is), (before, watched.parts[slot as usize]), "round {round}");
            }
            parts.clone_from(&watched.parts);
        }
    }
}
