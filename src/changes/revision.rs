//! `Revision`: what one step of the control plane changed.

use differential_dataflow::consolidation::consolidate;

use super::layout::{Diff, number};
use super::split::Split;
use super::worker::Changes;

/// A piece of work: a stage whose rows the store does not have yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Todo {
    /// Number of the kept stage, from 0.
    pub stage: u32,
    /// What the rows will be kept under.
    pub key: u128,
}

/// How many samples of a category lie in one part of the split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Count {
    /// Category of the samples themselves, which may differ from that of their unit.
    pub category: u32,
    /// Part of the split.
    pub split: Split,
    /// Number of samples, at least 1.
    pub samples: u32,
}

/// A content that more than one sample has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duplicate {
    /// Hash of the content.
    pub content: u128,
    /// Number of samples that have it, at least 2.
    pub samples: u32,
}

/// What changed since the revision before. In every list an item occurs at most once with +1 (it
/// holds from now on) and at most once with -1 (it holds no more), never with both; a value that
/// changed is the old one with -1 and the new one with +1. Lists are sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Revision {
    /// Number of the revision: 1 after the first advance.
    pub number: u64,
    /// Work that became necessary, or that is done or no longer needed.
    pub todo: Vec<(Todo, i8)>,
    /// Sample ids and the part of the split they lie in.
    pub split: Vec<(u128, Split, i8)>,
    /// Samples per category and part.
    pub counts: Vec<(Count, i8)>,
    /// Contents that occur more than once.
    pub duplicates: Vec<(Duplicate, i8)>,
    /// Contents that lie in two or more parts of the split.
    pub leaks: Vec<(u128, i8)>,
}

impl Revision {
    /// Gives the changes of the dataflow the types of the world outside.
    pub(super) fn new(number: u64, changes: Changes) -> Self {
        let repeated = changes.repeated.iter();
        Self {
            number,
            todo: consolidated(
                changes
                    .todo
                    .into_iter()
                    .map(|((key, stage), diff)| (Todo { stage, key: self::number(key) }, diff)),
            ),
            split: (changes.split.into_iter())
                .map(|((id, split), diff)| {
                    (self::number(id), Split::from_number(split), sign(diff))
                })
                .collect(),
            counts: consolidated(changes.counts.into_iter().map(
                |((category, split, samples), diff)| {
                    (Count { category, split: Split::from_number(split), samples }, diff)
                },
            )),
            duplicates: consolidated(repeated.clone().map(|((content, (samples, _)), diff)| {
                (Duplicate { content: self::number(*content), samples: *samples }, *diff)
            })),
            leaks: consolidated(
                repeated
                    .filter(|((_, (_, leaks)), _)| *leaks)
                    .map(|((content, _), diff)| (self::number(*content), *diff)),
            ),
        }
    }

    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.todo.is_empty()
            && self.split.is_empty()
            && self.counts.is_empty()
            && self.duplicates.is_empty()
            && self.leaks.is_empty()
    }
}

/// Sorts changes and adds up those of one item: what was mapped to less than it was may cancel.
fn consolidated<T: Ord>(changes: impl Iterator<Item = (T, Diff)>) -> Vec<(T, i8)> {
    let mut changes: Vec<_> = changes.collect();
    consolidate(&mut changes);
    changes.into_iter().map(|(item, diff)| (item, sign(diff))).collect()
}

/// All outputs are sets, so an item comes or goes once.
fn sign(diff: Diff) -> i8 {
    debug_assert!(diff.abs() == 1, "an id was inserted twice, or removed and not there");
    diff.signum() as i8
}
