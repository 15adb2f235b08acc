//! What goes wrong in training and can be seen in its numbers.

use crate::checkpoint::EpochRecord;
use crate::imagined::{occupied_share, pieces};

/// Validation grids with less than this share of the true occupancy are nearly empty, with more than
/// its inverse nearly full.
const LEAST_OCCUPANCY: f64 = 0.1;
/// Largest piece of a grid, as a share of its cells, below which it is dust.
const LEAST_PIECE: f64 = 0.2;
/// Epochs that are given to begin in.
const GRACE_EPOCHS: u64 = 3;
/// Grids of a validation that are looked at piece by piece.
const LOOKED_AT: usize = 16;

/// Validation grids of an epoch beside the true ones, bit-packed, and their edge.
#[derive(Debug, Default)]
pub(crate) struct Looked {
    pub(crate) made: Vec<Vec<u8>>,
    pub(crate) truth: Vec<Vec<u8>>,
    pub(crate) edge: usize,
}

impl Looked {
    /// Whether enough was looked at.
    pub(crate) fn is_full(&self) -> bool {
        self.made.len() >= LOOKED_AT
    }
}

/// What has collapsed, a sentence; none while nothing has, or in the first epochs.
pub(crate) fn collapse(record: &EpochRecord, looked: &Looked, is_judging: bool) -> Option<String> {
    if record.epoch <= GRACE_EPOCHS {
        return None;
    }
    if !looked.made.is_empty() {
        let (made, truth) = (occupied_share(&looked.made), occupied_share(&looked.truth));
        if made < truth * LEAST_OCCUPANCY || made > truth / LEAST_OCCUPANCY {
            let word = if made < truth { "nearly empty" } else { "nearly full" };
            return Some(format!(
                "validation grids are {word}: {:.2} % of their voxels are occupied, of true ones \
                 {:.2} %",
                100.0 * made,
                100.0 * truth
            ));
        }
        let shares = looked.made.iter().map(|grid| pieces(grid, looked.edge).1);
        let share = shares.sum::<f64>() / looked.made.len() as f64;
        if share < LEAST_PIECE {
            return Some(format!(
                "validation grids are in pieces: the largest has {:.0} % of their voxels",
                100.0 * share
            ));
        }
    }
    if !is_judging {
        return None;
    }
    let loss = |name: &str| record.losses.get(name).copied().map(f64::from);
    let (accuracy, stepped) = (loss("d_acc")?, loss("d_stepped")?);
    if stepped == 0.0 {
        return Some(format!(
            "the discriminator did not step in the whole epoch: its accuracy is {accuracy:.2}, above \
             d_thresh"
        ));
    }
    (accuracy < 0.02).then(|| format!("the discriminator is never right: accuracy {accuracy:.2}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn record(epoch: u64, accuracy: f32, stepped: f32) -> EpochRecord {
        let losses = [("d_acc", accuracy), ("d_stepped", stepped)];
        let losses = losses.map(|(name, value)| (name.to_owned(), value));
        EpochRecord { epoch, step: 1, samples: 1, losses: BTreeMap::from(losses), validation: None }
    }

    fn looked(made: [u8; 8], truth: [u8; 8]) -> Looked {
        Looked { made: vec![made.to_vec()], truth: vec![truth.to_vec()], edge: 4 }
    }

    #[test]
    fn each_collapse_is_named() {
        let found = |looked: &Looked| collapse(&record(9, 0.7, 0.5), looked, true);
        let (full, empty) = ([255; 8], [0; 8]);
        assert_eq!(found(&looked(full, full)), None);
        assert!(found(&looked(empty, full)).is_some_and(|text| text.contains("nearly empty")));
        let one = [1, 0, 0, 0, 0, 0, 0, 0];
        assert!(found(&looked(full, one)).is_some_and(|text| text.contains("nearly full")));
        // Every second cell along each axis: dust of eight.
        let dust = [0b0101, 0b0101, 0, 0, 0b0101, 0b0101, 0, 0];
        assert!(found(&looked(dust, full)).is_some_and(|text| text.contains("in pieces")));
    }

    #[test]
    fn a_discriminator_that_always_wins_is_told_after_the_beginning() {
        let nothing = Looked::default();
        let told = |epoch, stepped| collapse(&record(epoch, 0.99, stepped), &nothing, true);
        assert!(told(9, 0.0).is_some_and(|text| text.contains("did not step")));
        assert_eq!((told(2, 0.0), told(9, 0.1)), (None, None));
        assert_eq!(collapse(&record(9, 0.99, 0.0), &nothing, false), None);
        assert!(collapse(&record(9, 0.0, 1.0), &nothing, true).is_some());
    }
}
