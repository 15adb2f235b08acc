//! Faults of a sink as those of the machine: a person who runs it can do nothing else about them.

use std::fmt::Display;
use std::path::Path;

use voxflow_contract::MachineFault;
use voxflow_formats::FormatError;

/// A mistake of the program: rows or keys that it made are not what they should be.
pub(crate) fn internal(error: impl Display) -> MachineFault {
    MachineFault::new(format!("internal error while a data set is made: {error}"))
}

/// A fault of a codec: our own rows are not to blame, so it is that of the disk below.
pub(crate) fn format_fault(action: &str, path: &Path, error: &FormatError) -> MachineFault {
    MachineFault::io(action, path, std::io::Error::other(error.to_string()))
}
