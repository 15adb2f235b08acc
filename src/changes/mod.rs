//! `changes`: the control plane. Samples come, go and change; what follows from them is kept up to
//! date by differential-dataflow, at the cost of the change and not of the data set.
//!
//! For the samples of one source, resident in memory, it maintains what is still to be done, the
//! exact split, the number of samples in each part of it, and contents that occur twice. Only thin
//! columns live here: hashes and numbers of samples, never their rows.
//!
//! One process pays for the load once: 2.8 s and 520 MiB at the peak for a million samples with two
//! kept stages, 0.3 ms for a change of one sample after it, 15 ms for one of a thousand (one core).
//! Memory follows the number of samples and not their size; `with_snapshot` adds to it.
//!
//! ```text
//! members by unit -> categories of units -> cuts of buckets -> ends -> splits of units
//!        \______________________________________________________________/ |
//!                                                      splits of samples -+-> split, counts,
//! wishes and done marks by key -> todo                                        duplicates, leaks
//! ```
//!
//! It is a crate of its own: the program's tests do not compile it again.
//!
//! Invariant: no other room names differential-dataflow, and in this room only `worker` names
//! timely. Nothing here reads a clock, a file or a random number.

mod contents;
mod control_plane;
mod counts;
mod cuts;
mod deal;
mod layout;
mod policy;
mod revision;
mod sample;
mod snapshot;
mod split;
mod todo;
mod units;
mod worker;

pub use control_plane::ControlPlane;
pub use policy::Policy;
pub use revision::{Count, Duplicate, Revision, Todo};
pub use sample::Sample;
pub use snapshot::Snapshot;
pub use split::Split;
