//! `contents`: contents that more than one sample has.

use super::layout::{Collection, Hash, SplitNumber};

/// From the (content, part) of every sample, the contents that occur more than once, as
/// (content, samples, whether they lie in two or more parts).
///
/// Duplicates and leaks are one reduction over one index, since a leak is a duplicate. Cost of a
/// change: the parts its content lies in, three at most however many duplicates there are.
pub(super) fn repeated_contents<'scope>(
    contents: Collection<'scope, (Hash, SplitNumber)>,
) -> Collection<'scope, (Hash, (u32, bool))> {
    contents.reduce_named("RepeatedContents", |_content, parts, repeated| {
        let samples: isize = parts.iter().map(|(_, samples)| samples).sum();
        if samples > 1 {
            repeated.push(((samples as u32, parts.len() > 1), 1));
        }
    })
}
