//! Whether a network is built as public code has it, or mended: quirks by name.

/// Which of two forms of a network is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// Known defects are mended.
    #[default]
    Fixed,
    /// As the public code computes, defects and all, so that its figures can be compared.
    Reference,
}

/// Something in public code that is not as its authors meant it, and can be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quirk {
    /// Name of the field of the configuration that switches it.
    pub name: &'static str,
    /// What public code does, and what is done instead.
    pub what: &'static str,
    /// Whether it is on.
    pub on: bool,
}
