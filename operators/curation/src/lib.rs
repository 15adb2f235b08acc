//! Curation: what can be said of a sample only once all samples are known.
//!
//! **Invariant:** reads key columns only; no file, no clock, no mesh.

mod largest_remainder;
mod split;
#[cfg(test)]
mod tests;

pub use largest_remainder::largest_remainder;
pub use split::{GroupBy, SPLITS, SplitParams};

use voxflow_contract::Kind;

/// Everything of this room that a pipeline can name, sorted by name.
pub const ALL: &[&dyn Kind] = &[&split::SplitKind];
