//! `deal`: the part of the split that every unit lies in.

use differential_dataflow::trace::implementations::{ValBuilder, ValSpine};

use super::cuts::{Cut, bucket, cuts};
use super::layout::{Arrangement, Bucket, Collection, SplitNumber, Unit};
use super::policy::Policy;
use super::split::Split;

/// What a bucket holds: its units in order, and after them its cut. A sum type of our own would
/// need serde.
type Entry = Result<Unit, Cut>;

/// The first unit of a bucket that is beyond train, and the first that is beyond val.
type Ends = (Option<Unit>, Option<Unit>);

/// From the category of every unit, its part of the split: the units of a category in the order of
/// (rank, unit), the first to train, the next to val, the rest to test, by the quotas of the number
/// of units.
///
/// The order is kept in buckets, so that no step sees all units of a category. A change of one unit
/// costs the counts of its category's buckets, and the units of its own bucket and of those that a
/// quota ends in.
pub(super) fn deal<'scope>(
    categories: Arrangement<'scope, Unit, u32>,
    policy: Policy,
) -> Collection<'scope, (Unit, SplitNumber)> {
    let buckets = categories.clone().as_collection(|unit, category| bucket(unit, *category));
    let cuts = cuts(buckets, policy).map(|(bucket, cut)| (bucket, Err(cut)));
    let units = categories.as_collection(|unit, category| (bucket(unit, *category), Ok(*unit)));
    let entries = units.concat(cuts).arrange_by_key_named("Buckets");
    let ends = ends(entries.clone());
    entries.join_core(ends, |_bucket, entry, ends| {
        entry.ok().map(|unit| (unit, split_of(&unit, ends) as SplitNumber))
    })
}

/// From the entries of every bucket, where its parts end.
///
/// Where they end and not who is where: the index of a reduction's results then has an entry a
/// bucket and not an entry a unit, and the units are read from the index of the entries.
fn ends<'scope>(entries: Arrangement<'scope, Bucket, Entry>) -> Arrangement<'scope, Bucket, Ends> {
    entries.reduce_abelian::<_, ValBuilder<_, _, _, _>, ValSpine<_, _, _, _>, _, _>(
        "Ends",
        |_bucket, entries, ends| {
            let Some((Err((train, val)), _)) = entries.last() else { return };
            let units = &entries[..entries.len() - 1];
            let at = |place: u32| units.get(place as usize).and_then(|(entry, _)| entry.ok());
            ends.push(((at(*train), at(train + val)), 1));
        },
        |batch, bucket, updates| {
            batch.clear();
            batch.extend(updates.drain(..).map(|(ends, time, diff)| ((*bucket, ends), time, diff)));
        },
    )
}

fn split_of(unit: &Unit, ends: &Ends) -> Split {
    let before = |end: &Option<Unit>| end.as_ref().is_none_or(|end| unit < end);
    match ends {
        (train, _) if before(train) => Split::Train,
        (_, val) if before(val) => Split::Val,
        _ => Split::Test,
    }
}
