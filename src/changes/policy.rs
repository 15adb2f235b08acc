//! `Policy`: how samples are dealt to the parts of the split.

/// What the split is to look like. It is fixed for the life of a control plane: under other ratios
/// one builds another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    /// Shares of train, val and test of every category, counted in units. Only their proportions
    /// count; those that are negative or not a number count as zero, and when all are zero,
    /// everything is trained on.
    pub ratios: [f64; 3],
}
