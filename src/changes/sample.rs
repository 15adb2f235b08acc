//! `Sample`: what the control plane knows of one sample.

/// The thin columns of one sample. Hashes are made outside and are opaque here, except that their
/// order decides: that of ids which category a unit has, that of ranks who is dealt first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Hash of the sample's id. One id occurs at most once at a time.
    pub id: u128,
    /// Number of the category; each is split by itself.
    pub category: u32,
    /// Hash of the content. Samples of equal content are duplicates.
    pub content: u128,
    /// What the split never cuts: the content, the id, or the hash of a group.
    pub unit: u128,
    /// Hash of the seed and the unit, which decides the order of dealing. It must be the same for
    /// all samples of a unit, and its top bits must be evenly spread.
    pub rank: u128,
    /// What the sample's rows are kept under in the store.
    pub key: u128,
    /// Whether it has rows. One that has not, or that was refused, is still to be done but takes no
    /// part in the split, the counts, the duplicates and the leaks.
    pub arrived: bool,
}
