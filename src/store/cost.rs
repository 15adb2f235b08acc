//! `Cost`: what the rows of a stage have cost so far.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Rows that a stage worked on, and how long it took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cost {
    /// Rows that came in.
    pub(crate) rows: u64,
    /// Busy time, summed over threads.
    pub(crate) nanos: u64,
}

impl Cost {
    /// What is written down in a file; nothing where there is none.
    pub(super) fn read(path: &Path) -> Self {
        fs::read(path).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
    }

    /// Seconds that `rows` more are likely to take; `None` where nothing was measured.
    pub(crate) fn seconds(&self, rows: u64) -> Option<f64> {
        (self.rows > 0).then(|| self.nanos as f64 / 1e9 * rows as f64 / self.rows as f64)
    }
}
