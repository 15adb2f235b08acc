//! `layout`: the tuples that the dataflow keeps, as thin as they can be.
//!
//! One field more here is eight bytes more for every sample in each arrangement that holds it.
//! Differential-dataflow wants data that are ordered, hashed and serialised; tuples are all that
//! without a dependency.

use differential_dataflow::VecCollection;
use differential_dataflow::operators::arrange::{Arranged, TraceAgent};
use differential_dataflow::trace::implementations::ValSpine;

/// Number of a revision while it is being made: edits carry the number of the last complete one.
pub(super) type Time = u64;

/// How often something is there more or less.
pub(super) type Diff = isize;

/// A collection of the dataflow.
pub(super) type Collection<'scope, D> = VecCollection<'scope, Time, D, Diff>;

/// A collection indexed by key, which several operators may share.
pub(super) type Arrangement<'scope, K, V> =
    Arranged<'scope, TraceAgent<ValSpine<K, V, Time, Diff>>>;

/// 128 bits as (high, low): ordered as the number is, but aligned to eight bytes and not to
/// sixteen, which saves up to a fifth of an arrangement.
pub(super) type Hash = (u64, u64);

/// The hash of a number.
pub(super) fn hash(number: u128) -> Hash {
    ((number >> 64) as u64, number as u64)
}

/// The number of a hash.
pub(super) fn number(hash: Hash) -> u128 {
    u128::from(hash.0) << 64 | u128::from(hash.1)
}

/// What is dealt: (rank, unit), in the order of dealing.
pub(super) type Unit = (Hash, Hash);

/// A sample as a member of its unit: (id, content, category). The lowest id comes first.
pub(super) type Member = (Hash, Hash, u32);

/// A part of the split by its number.
pub(super) type SplitNumber = u8;

/// (category, number of the bucket).
pub(super) type Bucket = (u32, u32);
