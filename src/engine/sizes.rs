//! `Sizes`: how large the samples of one source are, in bytes and triangles.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use voxflow_contract::Batch;

use super::entries::Entries;
use super::work_list::Keys;
use crate::store::{KnownTriangles, MeshSums, RowKey, Size};

/// Triangles of a sample that was never decoded.
const UNKNOWN: u32 = u32::MAX;

/// Sizes of the samples of one source: bytes as listed, triangles as far as samples were ever decoded.
#[derive(Default)]
pub(crate) struct Sizes {
    /// By position; empty where no stage gives meshes, or nothing is to be made.
    triangles: Vec<AtomicU32>,
    /// What was known of meshes when the run began.
    meshes: MeshSums,
    learned: Mutex<Learned>,
}

#[derive(Default)]
struct Learned {
    meshes: MeshSums,
    positions: Vec<u32>,
}

impl Sizes {
    /// Of samples with these keys, what is known of their triangles.
    pub(crate) fn new(meshes: MeshSums, known: &KnownTriangles, keys: &Keys) -> Self {
        let count = |key: &Option<(_, RowKey)>| {
            AtomicU32::new(key.as_ref().and_then(|(_, key)| known.get(key)).unwrap_or(UNKNOWN))
        };
        let triangles = keys.iter().map(count).collect();
        Self { triangles, meshes, learned: Mutex::default() }
    }

    /// Size of the samples at these positions.
    pub(crate) fn of(&self, entries: &Entries, positions: &[u32]) -> Size {
        let mut sum = Size::default();
        for &position in positions {
            let bytes = entries.bytes(position as usize);
            let known = self.triangles.get(position as usize).map(|t| t.load(Ordering::Relaxed));
            let triangles = match known {
                None => 0,
                Some(UNKNOWN) => self.meshes.triangles(entries.path(position as usize), bytes),
                Some(known) => known.into(),
            };
            sum += Size { rows: 1, bytes, triangles };
        }
        sum
    }

    /// Learns the triangles of meshes, one a row, of the samples at these positions.
    pub(crate) fn learn(&self, entries: &Entries, positions: &[u32], meshes: &Batch) {
        let Ok(lists) = meshes.lists::<u32>("triangles") else { return };
        let mut learned = self.learned.lock().unwrap_or_else(PoisonError::into_inner);
        for (row, &position) in positions.iter().enumerate() {
            let Some(known) = self.triangles.get(position as usize) else { continue };
            let triangles = (lists.value(row).len() / 3) as u32;
            if known.swap(triangles, Ordering::Relaxed) != triangles {
                let position = position as usize;
                let (path, bytes) = (entries.path(position), entries.bytes(position));
                learned.meshes.add(path, bytes, triangles);
                learned.positions.push(position as u32);
            }
        }
    }

    /// What was learned of meshes.
    pub(crate) fn learned_meshes(&self) -> MeshSums {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner).meshes.clone()
    }

    /// Triangles of samples that were learned since, by the keys of those samples.
    pub(crate) fn take_learned(&self, keys: &Keys) -> Vec<(RowKey, u32)> {
        let mut learned = self.learned.lock().unwrap_or_else(PoisonError::into_inner);
        let positions = std::mem::take(&mut learned.positions);
        let count = |position: u32| {
            let (_, key) = (*keys.get(position as usize)?)?;
            Some((key, self.triangles.get(position as usize)?.load(Ordering::Relaxed)))
        };
        positions.into_iter().filter_map(count).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use voxflow_contract::{
        Column, ColumnType, ContentHash, Entry, SampleId, ScalarType, Schema, Values,
    };

    fn entry(i: usize) -> Entry {
        Entry {
            sample: SampleId::new(format!("s{i}")).expect("an id"),
            category: "c".to_owned(),
            path: Some(format!("s{i}.off")),
            bytes: 1000 * (i as u64 + 1),
            stamp: String::new(),
        }
    }

    #[test]
    fn triangles_are_told_from_bytes_until_they_are_known() {
        let entries = Entries::of(&[entry(0), entry(1), entry(2)]);
        let key = |i: u8| Some((ContentHash::of(&[i]), RowKey([i; RowKey::LEN])));
        let keys: Keys = vec![key(0), key(1), None];
        let mut meshes = MeshSums::default();
        meshes.add(Some("old.off"), 10_000, 500);
        let sizes = Sizes::new(meshes, &KnownTriangles::default(), &keys);
        let all = [0, 1, 2];
        let size = |triangles| Size { rows: 3, bytes: 6000, triangles };
        assert_eq!(sizes.of(&entries, &all), size(50 + 100 + 150));

        let columns = vec![Column::new("triangles", ColumnType::List(ScalarType::UInt32), "T.")];
        let lists = [vec![0u32; 3 * 7], vec![0; 3 * 9000]];
        let batch = Batch::new(Schema::new("m", 1, columns), vec![Values::lists(&lists)]);
        let batch = batch.expect("a batch");
        sizes.learn(&entries, &[1, 2], &batch);
        assert_eq!(sizes.of(&entries, &all), size(50 + 7 + 9000));
        sizes.learn(&entries, &[1, 2], &batch);
        assert_eq!(sizes.learned_meshes().triangles(Some("x.off"), 5000), 9007, "each once");
        let (_, second) = keys[1].expect("a key");
        assert_eq!(sizes.take_learned(&keys), [(second, 7)], "the third has no key");
        assert_eq!(sizes.take_learned(&keys), [], "nothing new");
        let unmeshed = Sizes::default();
        assert_eq!(unmeshed.of(&entries, &all), size(0));
    }
}
