//! Curation: what can be said of a sample only once all samples are known.
//!
//! **Invariant:** reads key columns only; no file, no clock, no mesh.

mod groups;
mod largest_remainder;
mod official;
mod split;
mod split_params;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use largest_remainder::largest_remainder;
pub use official::{Absent, Unlisted};
pub use split::SPLITS;
pub use split_params::{GroupBy, MaxMoved, SplitParams};

use voxflow_contract::Kind;

/// Everything of this room that a pipeline can name, sorted by name.
pub const ALL: &[&dyn Kind] = &[&split::SplitKind];
