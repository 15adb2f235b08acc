//! `Samples`: the samples of a source as a process keeps them from one revision to the next.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use voxflow_contract::{Change, Entry, Known, Listing};

use super::entries::Entries;
use super::report::SampleFate;
use super::scan::Scan;
use super::work_list::Key;
use crate::store::RowKey;

/// Samples, each in a slot that it keeps as long as it is there; slots in the order of ids beside them,
/// so that one that comes or goes moves four bytes of each after it and no more.
#[derive(Default)]
pub(crate) struct Samples {
    /// By slot; that of an empty slot is old.
    entries: Entries,
    keys: Vec<Option<Key>>,
    has_arrived: Vec<bool>,
    /// Slots in the order of the ids in them.
    order: Vec<u32>,
    empty: Vec<u32>,
    /// Slots of samples whose content is not known, once the first are settled.
    unknown: BTreeSet<u32>,
    /// Bytes of text at which that of old samples is forgotten.
    compacts_at: usize,
}

/// Bytes of text that may come to be where so many are needed.
fn room_for(bytes: usize) -> usize {
    bytes + bytes / 4 + (1 << 20)
}

/// What was done to a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Edit {
    /// The slot.
    pub(crate) slot: u32,
    /// What happened there.
    pub(crate) kind: EditKind,
}

/// What can happen to a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EditKind {
    /// A sample came.
    New,
    /// Its sample is another one of the same id.
    Changed,
    /// Its sample went; its id can still be asked for until the next edits.
    Removed,
}

impl Samples {
    /// What a first scan found.
    pub(crate) fn new(entries: Entries) -> Self {
        let len = entries.len();
        Self {
            compacts_at: room_for(entries.text_bytes()),
            entries,
            keys: vec![None; len],
            has_arrived: vec![false; len],
            order: (0..len as u32).collect(),
            empty: Vec::new(),
            unknown: BTreeSet::new(),
        }
    }

    /// Number of samples.
    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    /// All of them, by slot.
    pub(crate) fn entries(&self) -> &Entries {
        &self.entries
    }

    /// Contents and keys, by slot, as far as they are known.
    pub(crate) fn keys(&self) -> &[Option<Key>] {
        &self.keys
    }

    /// Whether every kept stage has a row of the sample in a slot.
    pub(crate) fn has_arrived(&self, slot: u32) -> bool {
        self.has_arrived[slot as usize]
    }

    /// Slots in the order of ids.
    pub(crate) fn order(&self) -> &[u32] {
        &self.order
    }

    /// Id of the sample in a slot.
    pub(crate) fn id(&self, slot: u32) -> &str {
        self.entries.sample(slot as usize)
    }

    /// The slot of a sample, or where in the order it would be.
    pub(crate) fn find(&self, id: &str) -> Result<u32, usize> {
        let found = self.order.binary_search_by(|slot| self.id(*slot).cmp(id));
        found.map(|place| self.order[place])
    }

    /// Slots of samples whose content is not known.
    pub(crate) fn unknown(&self) -> &BTreeSet<u32> {
        &self.unknown
    }

    /// What a scan says otherwise.
    pub(crate) fn differences(&self, scan: &Entries) -> Vec<Change> {
        let (mut mine, mut theirs, mut changes) = (0, 0, Vec::new());
        loop {
            let known = self.order.get(mine).map(|slot| *slot as usize);
            let order = match (known, theirs < scan.len()) {
                (None, false) => return changes,
                (Some(_), false) => Ordering::Less,
                (None, true) => Ordering::Greater,
                (Some(slot), true) => self.entries.sample(slot).cmp(scan.sample(theirs)),
            };
            let entry = |position: usize| scan.unpack(&[position as u32]).remove(0);
            match (order, known) {
                (Ordering::Less, Some(slot)) => {
                    let sample = self.entries.unpack(&[slot as u32]).remove(0).sample;
                    changes.push(Change { sample, entry: None });
                }
                (Ordering::Equal, Some(slot)) if self.entries.get(slot) == scan.get(theirs) => {}
                _ => {
                    let entry = entry(theirs);
                    changes.push(Change { sample: entry.sample.clone(), entry: Some(entry) });
                }
            }
            mine += usize::from(order != Ordering::Greater);
            theirs += usize::from(order != Ordering::Less);
        }
    }

    /// Only those changes that change something, in the order of ids, each once.
    pub(crate) fn real(&self, mut changes: Vec<Change>) -> Vec<Change> {
        changes.sort_by(|a, b| a.sample.cmp(&b.sample));
        // Of several the last holds.
        changes.reverse();
        changes.dedup_by(|a, b| a.sample == b.sample);
        changes.reverse();
        let is_real = |change: &Change| match (self.find(change.sample.as_str()), &change.entry) {
            (Err(_), entry) => entry.is_some(),
            (Ok(_), None) => true,
            (Ok(slot), Some(entry)) => self.entries.get(slot as usize) != entry.into(),
        };
        changes.retain(is_real);
        changes
    }

    /// Makes changes that [`Samples::real`] gave; says what was done, in their order.
    pub(crate) fn edit(&mut self, changes: &[Change]) -> Vec<Edit> {
        if self.entries.text_bytes() > self.compacts_at {
            self.entries.compact(&self.order);
            self.compacts_at = room_for(self.entries.text_bytes());
        }
        let mut places = Vec::with_capacity(changes.len());
        let mut edits = Vec::with_capacity(changes.len());
        for change in changes {
            let found = self.order.binary_search_by(|s| self.id(*s).cmp(change.sample.as_str()));
            let (slot, kind) = match (found, &change.entry) {
                (Ok(place), None) => {
                    places.push((place, None));
                    (self.order[place], EditKind::Removed)
                }
                (Ok(place), Some(entry)) => {
                    let slot = self.order[place];
                    self.put(slot, entry);
                    (slot, EditKind::Changed)
                }
                (Err(place), Some(entry)) => {
                    let slot = self.empty.pop().unwrap_or(self.entries.len() as u32);
                    self.put(slot, entry);
                    places.push((place, Some(slot)));
                    (slot, EditKind::New)
                }
                (Err(_), None) => continue,
            };
            edits.push(Edit { slot, kind });
        }
        edit_places(&mut self.order, &places);
        let removed = edits.iter().filter(|edit| edit.kind == EditKind::Removed);
        let removed: Vec<u32> = removed.map(|edit| edit.slot).collect();
        for slot in &removed {
            self.unknown.remove(slot);
        }
        self.empty.extend(removed);
        edits
    }

    fn put(&mut self, slot: u32, entry: &Entry) {
        self.entries.set(slot as usize, entry.into());
        self.keys.resize(self.entries.len(), None);
        self.has_arrived.resize(self.entries.len(), false);
        self.keys[slot as usize] = None;
        self.has_arrived[slot as usize] = false;
        self.unknown.insert(slot);
    }

    /// Takes in what became of the sample in a slot.
    pub(crate) fn settle(&mut self, slot: u32, fate: Option<SampleFate>) {
        let key = fate.map(|fate| (fate.content, RowKey(fate.key)));
        if key.is_some() {
            self.unknown.remove(&slot);
        } else {
            self.unknown.insert(slot);
        }
        self.keys[slot as usize] = key;
        self.has_arrived[slot as usize] = fate.is_some_and(|fate| fate.has_arrived);
    }

    /// The samples in some slots as a scan would list them, and the slots in that order.
    pub(crate) fn scan_of(&self, slots: &BTreeSet<u32>) -> (Scan, Vec<u32>) {
        let mut slots: Vec<u32> = slots.iter().copied().collect();
        slots.sort_by(|a, b| self.id(*a).cmp(self.id(*b)));
        (Scan::new(Listing::of(&self.entries.unpack(&slots))), slots)
    }
}

impl Known for Samples {
    fn beginning_with(&self, prefix: &str) -> Vec<Entry> {
        let start = self.order.partition_point(|slot| self.id(*slot) < prefix);
        let found =
            self.order[start..].iter().take_while(|slot| self.id(**slot).starts_with(prefix));
        self.entries.unpack(&found.copied().collect::<Vec<_>>())
    }

    fn get(&self, sample: &str) -> Option<Entry> {
        self.find(sample).ok().map(|slot| self.entries.unpack(&[slot]).remove(0))
    }
}

/// Up to so many edits of a list are made one by one, each of which moves what comes after it.
const ONE_BY_ONE: usize = 16;

/// Takes items out of a list, and puts others before those at some places; places are those of the list
/// as it is, and ascend.
pub(crate) fn edit_places<T: Copy>(list: &mut Vec<T>, edits: &[(usize, Option<T>)]) {
    if edits.len() <= ONE_BY_ONE {
        for (place, item) in edits.iter().rev() {
            match item {
                Some(item) => list.insert(*place, *item),
                None => drop(list.remove(*place)),
            }
        }
        return;
    }
    let mut edited = Vec::with_capacity(list.len() + edits.len());
    let mut next = 0;
    for (place, item) in edits {
        edited.extend_from_slice(&list[next..*place]);
        next = *place;
        match item {
            Some(item) => edited.push(*item),
            None => next += 1,
        }
    }
    edited.extend_from_slice(&list[next..]);
    *list = edited;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use voxflow_contract::{Random, SampleId};

    fn entry(id: &str, stamp: u64) -> Entry {
        Entry {
            sample: SampleId::new(id).expect("an id"),
            category: format!("c{}", stamp % 3),
            path: stamp.is_multiple_of(2).then(|| format!("{id}.off")),
            bytes: stamp,
            stamp: format!("stamp {stamp}"),
        }
    }

    #[test]
    fn after_any_edits_they_are_what_a_map_has() {
        let mut random = Random::new(1, &["samples"]);
        let (mut samples, mut map) = (Samples::default(), BTreeMap::new());
        for round in 0..200 {
            let count = if round % 20 == 0 { 60 } else { random.below(5) };
            let mut changes = Vec::new();
            for _ in 0..count {
                let id = format!("s{:03}", random.below(300));
                let new = (random.below(3) > 0).then(|| entry(&id, random.below(50)));
                match &new {
                    Some(new) => drop(map.insert(id.clone(), new.clone())),
                    None => drop(map.remove(&id)),
                }
                changes.push(Change { sample: SampleId::new(id).expect("an id"), entry: new });
            }
            let real = samples.real(changes);
            assert!(real.windows(2).all(|pair| pair[0].sample < pair[1].sample));
            let edits = samples.edit(&real);
            assert_eq!(edits.len(), real.len(), "round {round}");
            let wanted: Vec<Entry> = map.values().cloned().collect();
            assert_eq!(samples.entries.unpack(&samples.order), wanted, "round {round}");
            let scan = Entries::of(&wanted);
            assert_eq!(samples.differences(&scan), []);
            let part = Entries::of(&wanted[wanted.len() / 2..]);
            assert_eq!(samples.differences(&part).len(), wanted.len() / 2);
            let prefix = format!("s{}", random.below(3));
            let found = wanted.iter().filter(|entry| entry.sample.as_str().starts_with(&prefix));
            assert!(found.eq(&samples.beginning_with(&prefix)));
        }
        assert!(samples.entries.len() <= 300, "slots are used again");
    }
}
