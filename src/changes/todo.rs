//! `todo`: which stages of which keys the store has no rows for.

use super::layout::{Collection, Hash};

/// That a sample wants the rows of its key.
pub(super) const WANTED: u32 = 0;

/// That the store has the rows of this stage, which is a kept one and so below the largest number.
pub(super) fn done_mark(stage: u32) -> u32 {
    stage + 1
}

/// From the marks of every key, the stages below `stages` that are wanted and not done, each once
/// however many samples share the key.
///
/// Wishes and done marks are one collection with one index, not two that are subtracted: that is
/// half the memory of an antijoin. Cost of a change: the marks of its key.
pub(super) fn todo<'scope>(
    marks: Collection<'scope, (Hash, u32)>,
    stages: u32,
) -> Collection<'scope, (Hash, u32)> {
    marks.reduce_named("Todo", move |_key, marks, todo| {
        let holds = |mark| marks.iter().any(|(found, times)| **found == mark && *times > 0);
        if holds(WANTED) {
            todo.extend(
                (0..stages).filter(|&stage| !holds(done_mark(stage))).map(|stage| (stage, 1)),
            );
        }
    })
}
