//! `cuts`: how many units of every bucket each part of the split gets.

use differential_dataflow::operators::CountTotal;

use voxflow_curation::largest_remainder;

use super::layout::{Bucket, Collection, Unit};
use super::policy::Policy;

/// Buckets of a category, as a power of two. A change recounts the buckets of one category and
/// deals anew the units of about three buckets: at 60 000 units a category, 1024 of one and 180 of
/// the other.
const BUCKET_BITS: u32 = 10;

/// How many units of a bucket, in the order of dealing, go to train, and how many after them to val.
pub(super) type Cut = (u32, u32);

/// The bucket of a unit: the top bits of its rank, so that buckets follow each other in the order
/// of dealing.
pub(super) fn bucket(unit: &Unit, category: u32) -> Bucket {
    (category, (unit.0.0 >> (u64::BITS - BUCKET_BITS)) as u32)
}

/// From the bucket of every unit, the cut of every bucket that has units: the quotas of its category
/// as far as the buckets before have not used them up.
pub(super) fn cuts<'scope>(
    buckets: Collection<'scope, Bucket>,
    policy: Policy,
) -> Collection<'scope, (Bucket, Cut)> {
    buckets
        .count_total()
        .map(|((category, bucket), units)| (category, (bucket, units as u32)))
        .reduce_named("Cuts", move |_category, buckets, cuts| {
            let total = buckets.iter().map(|((_, units), _)| u64::from(*units)).sum();
            let [mut train, mut val, _] = largest_remainder(total, policy.ratios);
            for ((bucket, units), _) in buckets {
                let to_train = take(&mut train, *units);
                let to_val = take(&mut val, *units - to_train);
                cuts.push(((*bucket, (to_train, to_val)), 1));
            }
        })
        .map(|(category, (bucket, cut))| ((category, bucket), cut))
}

/// Takes up to `wanted` from what is left of a quota.
fn take(left: &mut u64, wanted: u32) -> u32 {
    let taken = u64::from(wanted).min(*left);
    *left -= taken;
    taken as u32
}
