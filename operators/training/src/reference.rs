//! What the baselines know of the training set: mean shapes, and pictures to compare with.

use std::collections::{BTreeMap, BTreeSet};

use voxflow_contract::{DataIndex, Random};

use crate::metrics::unpack_bits;
use crate::prepare::THUMBNAIL_SIZE;

/// Bytes of one thumbnail.
const THUMBNAIL_BYTES: usize = THUMBNAIL_SIZE * THUMBNAIL_SIZE;

/// The training set in short. Holds 8 bytes a voxel and class, and of each kept sample its bits and
/// 256 bytes a view.
pub(crate) struct Reference {
    cells: usize,
    /// Samples that are kept with their pictures.
    kept: BTreeSet<String>,
    classes: BTreeMap<String, Sums>,
    shapes: Vec<KeptShape>,
}

struct Sums {
    samples: u64,
    /// How many samples occupy each cell.
    occupied: Vec<u32>,
}

struct KeptShape {
    bits: Box<[u8]>,
    thumbnails: Box<[u8]>,
}

impl Reference {
    /// Nothing yet. At most `limit` training rows of `index`, drawn by `seed`, will be kept with
    /// their pictures.
    pub(crate) fn new(cells: usize, index: &DataIndex, limit: usize, seed: u64) -> Self {
        let is_train = |row: &usize| index.rows[*row].split == "train";
        let mut rows: Vec<usize> = (0..index.rows.len()).filter(is_train).collect();
        if rows.len() > limit {
            Random::new(seed, &["evaluate/reference"]).shuffle(&mut rows);
            rows.truncate(limit);
        }
        let kept = rows.into_iter().map(|row| index.rows[row].sample.clone()).collect();
        Self { cells, kept, classes: BTreeMap::new(), shapes: Vec::new() }
    }

    /// Training samples whose pictures are compared with.
    pub(crate) fn kept(&self) -> usize {
        self.kept.len()
    }

    /// Takes in a training sample: its name, class, packed grid and thumbnails.
    pub(crate) fn add(&mut self, sample: &str, category: &str, bits: &[u8], thumbnails: &[u8]) {
        let cells = self.cells;
        let class = self
            .classes
            .entry(category.to_owned())
            .or_insert_with(|| Sums { samples: 0, occupied: vec![0; cells] });
        class.samples += 1;
        for (i, count) in class.occupied.iter_mut().enumerate() {
            *count += u32::from(bits[i / 8] >> (i % 8) & 1);
        }
        if self.kept.contains(sample) {
            self.shapes.push(KeptShape { bits: bits.into(), thumbnails: thumbnails.into() });
        }
    }

    /// Mean grid of a class, all zero for a class without training samples.
    pub(crate) fn mean_shape(&self, category: &str) -> Vec<f32> {
        match self.classes.get(category) {
            None => vec![0.0; self.cells],
            Some(class) => {
                class.occupied.iter().map(|&n| n as f32 / class.samples as f32).collect()
            }
        }
    }

    /// Packed grid of the sample with the nearest picture, the first of equals.
    pub(crate) fn nearest(&self, thumbnail: &[u8]) -> Option<&[u8]> {
        let distance = |shape: &KeptShape| {
            let views = shape.thumbnails.chunks_exact(THUMBNAIL_BYTES);
            views.map(|view| squared_distance(view, thumbnail)).min().unwrap_or(u64::MAX)
        };
        self.shapes.iter().min_by_key(|shape| distance(shape)).map(|shape| shape.bits.as_ref())
    }

    /// Occupancies that the baseline called `name` gives for an object.
    pub(crate) fn baseline(&self, name: &str, category: &str, thumbnail: &[u8]) -> Vec<f32> {
        if name == MEAN_SHAPE {
            return self.mean_shape(category);
        }
        let nearest = if name == NEAREST_IMAGE { self.nearest(thumbnail) } else { None };
        nearest.map_or_else(|| vec![0.0; self.cells], |bits| unpack_bits(bits, self.cells))
    }

    /// Names of the classes, sorted, and their training samples.
    pub(crate) fn classes(&self) -> impl Iterator<Item = (&str, u64)> {
        self.classes.iter().map(|(name, sums)| (name.as_str(), sums.samples))
    }

    /// Packed grids of the kept samples.
    pub(crate) fn grids(&self) -> impl Iterator<Item = &[u8]> {
        self.shapes.iter().map(|shape| shape.bits.as_ref())
    }
}

/// Mean training shape of the true class.
pub(crate) const MEAN_SHAPE: &str = "mean_shape";
/// Training shape with the nearest picture.
pub(crate) const NEAREST_IMAGE: &str = "nearest_image";
/// No voxel at all.
pub(crate) const EMPTY: &str = "empty";

fn squared_distance(a: &[u8], b: &[u8]) -> u64 {
    let square = |(&a, &b): (&u8, &u8)| u32::from(a.abs_diff(b)).pow(2);
    u64::from(a.iter().zip(b).map(square).sum::<u32>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use voxflow_contract::{IndexedRow, tables};

    fn index(rows: usize) -> DataIndex {
        let row = |i: usize| IndexedRow {
            sample: i.to_string(),
            category: "c".to_owned(),
            split: "train".to_owned(),
        };
        let digest = String::new();
        DataIndex {
            rows: (0..rows).map(row).collect(),
            groups: vec![],
            schema: tables::key(),
            digest,
        }
    }

    #[test]
    fn baselines_are_what_they_are_called() {
        let mut reference = Reference::new(8, &index(3), 10, 0);
        reference.add("0", "c", &[0b0000_0011], &[10; 256]);
        reference.add("1", "c", &[0b0000_0001], &[[200; 256], [90; 256]].concat());
        reference.add("2", "d", &[0b1000_0000], &[255; 256]);
        assert_eq!(reference.mean_shape("c")[..3], [1.0, 0.5, 0.0]);
        assert_eq!(reference.mean_shape("e"), [0.0; 8]);
        assert_eq!(reference.nearest(&[91; 256]), Some([0b0000_0001].as_slice()));
        let first = |name| reference.baseline(name, "c", &[91; 256])[..3].to_vec();
        assert_eq!(first(MEAN_SHAPE), [1.0, 0.5, 0.0]);
        assert_eq!(first(NEAREST_IMAGE), [1.0, 0.0, 0.0]);
        assert_eq!(first(EMPTY), [0.0; 3]);
        assert_eq!(reference.classes().collect::<Vec<_>>(), [("c", 2), ("d", 1)]);
        assert_eq!(reference.grids().count(), 3);
    }

    #[test]
    fn no_more_than_the_limit_is_kept() {
        let mut reference = Reference::new(8, &index(50), 7, 0);
        (0..50).for_each(|row| reference.add(&row.to_string(), "c", &[1], &[0; 256]));
        assert_eq!((reference.kept(), reference.shapes.len()), (7, 7));
        assert_eq!(reference.classes["c"].samples, 50);
    }
}
