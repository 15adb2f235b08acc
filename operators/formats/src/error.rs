//! The error of every codec: a stable code, a sentence, and where in the bytes.

use voxflow_contract::Fault;

/// Why bytes are not what their format says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct FormatError {
    /// Stable `snake_case` code: `truncated`, `empty`, `bad_number`, ...
    pub code: &'static str,
    /// A sentence that a person can act on; names the line or the byte offset.
    pub message: String,
    /// Byte offset where one is to blame.
    pub offset: Option<u64>,
}

impl From<FormatError> for Fault {
    fn from(error: FormatError) -> Self {
        Fault { code: error.code, message: error.message, offset: error.offset }
    }
}
