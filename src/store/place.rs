//! `Place`: where in the store a row lies.

/// A row of a shard of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// Position of the shard among those that are known of the stage.
    pub(crate) shard: u32,
    /// Position of the row in the shard.
    pub(crate) row: u32,
}
