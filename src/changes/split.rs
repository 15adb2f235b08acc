//! `Split`: the parts a data set is split into.

/// Part of the data set a sample belongs to, in the order in which quotas are filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Split {
    /// What the network learns from.
    Train = 0,
    /// What is measured while training.
    Val = 1,
    /// What is kept for the final measurement.
    Test = 2,
}

impl Split {
    /// All parts, in the order in which their quotas are filled.
    pub const ALL: [Self; 3] = [Self::Train, Self::Val, Self::Test];

    /// The part of this number: 0 train, 1 val, and the rest test.
    pub(super) fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Train,
            1 => Self::Val,
            _ => Self::Test,
        }
    }
}
