//! `counts`: how many samples of every category lie in each part of the split.

use differential_dataflow::operators::CountTotal;

use super::layout::{Collection, SplitNumber};

/// From the (category, part) of every sample, their numbers as (category, part, samples). Pairs
/// without samples are absent. Memory: one entry a pair.
pub(super) fn counts<'scope>(
    places: Collection<'scope, (u32, SplitNumber)>,
) -> Collection<'scope, (u32, SplitNumber, u32)> {
    places.count_total().map(|((category, split), samples)| (category, split, samples as u32))
}
