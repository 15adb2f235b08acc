//! Identities: samples, categories, contents.

use std::fmt;

/// Names one object of a data set, unique in it: `chair/chair_0001`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SampleId(String);

impl SampleId {
    /// An id of any non-empty text without control characters.
    ///
    /// # Errors
    /// Says what is wrong with the text.
    pub fn new(id: impl Into<String>) -> Result<Self, String> {
        let id = id.into();
        Self::check(&id)?;
        Ok(Self(id))
    }

    /// Whether a text can be an id.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn check(id: &str) -> Result<(), String> {
        if id.is_empty() {
            return Err("a sample id may not be empty".to_owned());
        }
        if id.chars().any(char::is_control) {
            return Err(format!("sample id {id:?} holds a control character"));
        }
        Ok(())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SampleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The BLAKE3 hash of what a sample was made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentHash([u8; 32]);

impl ContentHash {
    /// Length in bytes.
    pub const LEN: usize = 32;

    /// The hash of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// A hash that was computed before.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
