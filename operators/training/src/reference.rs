//! What the baselines know of the training set: mean shapes, and pictures to compare with.

use std::collections::{BTreeMap, BTreeSet};

use voxflow_contract::{DataIndex, Random};

use crate::metrics::{Iou, iou_at, iou_of_bits};
use crate::prepare::THUMBNAIL_SIZE;

/// Bytes of one thumbnail.
const THUMBNAIL_BYTES: usize = THUMBNAIL_SIZE * THUMBNAIL_SIZE;

/// The training set in short. Holds 8 bytes a voxel and class, and of each kept sample its bits and
/// 256 bytes a view.
pub(crate) struct Reference {
    cells: usize,
    kept_rows: BTreeSet<usize>,
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
        let kept_rows = rows.into_iter().collect();
        Self { cells, kept_rows, classes: BTreeMap::new(), shapes: Vec::new() }
    }

    /// Training samples whose pictures are compared with.
    pub(crate) fn kept(&self) -> usize {
        self.kept_rows.len()
    }

    /// Takes in a training sample: its row in the data index, class, packed grid and thumbnails.
    pub(crate) fn add(&mut self, row: usize, category: &str, bits: &[u8], thumbnails: &[u8]) {
        let cells = self.cells;
        let class = self
            .classes
            .entry(category.to_owned())
            .or_insert_with(|| Sums { samples: 0, occupied: vec![0; cells] });
        class.samples += 1;
        for (i, count) in class.occupied.iter_mut().enumerate() {
            *count += u32::from(bits[i / 8] >> (i % 8) & 1);
        }
        if self.kept_rows.contains(&row) {
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

    /// Intersection over union of the baseline called `name` with a true grid.
    pub(crate) fn baseline(
        &self,
        name: &str,
        category: &str,
        thumbnail: &[u8],
        truth: &[u8],
    ) -> Box<dyn Fn(f64) -> Iou> {
        let truth = truth.to_vec();
        if name == MEAN_SHAPE {
            let mean = self.mean_shape(category);
            return Box::new(move |threshold| iou_at(&mean, &truth, threshold));
        }
        let nearest = if name == NEAREST_IMAGE { self.nearest(thumbnail) } else { None };
        let bits = nearest.map_or_else(|| vec![0; truth.len()], <[u8]>::to_vec);
        let iou = iou_of_bits(&bits, &truth);
        Box::new(move |_| iou)
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
        let row = IndexedRow {
            sample: "s".to_owned(),
            category: "c".to_owned(),
            split: "train".to_owned(),
        };
        let digest = String::new();
        DataIndex { rows: vec![row; rows], groups: vec![], schema: tables::key(), digest }
    }

    #[test]
    fn baselines_are_what_they_are_called() {
        let mut reference = Reference::new(8, &index(3), 10, 0);
        reference.add(0, "c", &[0b0000_0011], &[10; 256]);
        reference.add(1, "c", &[0b0000_0001], &[[200; 256], [90; 256]].concat());
        reference.add(2, "d", &[0b1000_0000], &[255; 256]);
        assert_eq!(reference.mean_shape("c")[..3], [1.0, 0.5, 0.0]);
        assert_eq!(reference.mean_shape("e"), [0.0; 8]);
        assert_eq!(reference.nearest(&[91; 256]), Some([0b0000_0001].as_slice()));
        let value = |name, t| reference.baseline(name, "c", &[91; 256], &[0b0000_0011])(t).value;
        assert_eq!(value(MEAN_SHAPE, 0.5), 1.0);
        assert_eq!(value(MEAN_SHAPE, 0.6), 0.5);
        assert_eq!(value(NEAREST_IMAGE, 0.5), 0.5);
        assert_eq!(value(EMPTY, 0.5), 0.0);
    }

    #[test]
    fn no_more_than_the_limit_is_kept() {
        let mut reference = Reference::new(8, &index(50), 7, 0);
        (0..50).for_each(|row| reference.add(row, "c", &[1], &[0; 256]));
        assert_eq!((reference.kept(), reference.shapes.len()), (7, 7));
        assert_eq!(reference.classes["c"].samples, 50);
    }
}
