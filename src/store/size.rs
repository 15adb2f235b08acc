//! `Size`: what is known of rows before they are made.

use serde::{Deserialize, Serialize};

/// Sizes of the samples of some rows, summed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Size {
    /// Number of rows.
    pub(crate) rows: u64,
    /// Bytes of their files.
    pub(crate) bytes: u64,
    /// Triangles of their meshes, as far as they are known or can be told from the bytes.
    pub(crate) triangles: u64,
}

/// KiB that a row, a KiB and a thousand triangles are taken for as long as nothing was measured.
pub(super) const NOMINAL: Features = [16.0, 1.0, 20.0];

/// Rows, KiB, thousands of triangles: numbers of like magnitude.
pub(super) type Features = [f64; 3];

impl Size {
    /// The size as what a time may depend on.
    pub(super) fn features(&self) -> Features {
        [self.rows as f64, self.bytes as f64 / 1024.0, self.triangles as f64 / 1000.0]
    }

    /// One number for the size, in KiB, for who knows nothing better.
    pub(crate) fn nominal(&self) -> f64 {
        dot(&self.features(), &NOMINAL)
    }
}

impl std::ops::AddAssign for Size {
    fn add_assign(&mut self, other: Self) {
        self.rows += other.rows;
        self.bytes += other.bytes;
        self.triangles += other.triangles;
    }
}

pub(super) fn dot(a: &Features, b: &Features) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
