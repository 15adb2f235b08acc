//! Where rows end: data sets on disk.

mod commit;
mod durable;
mod hugging_face;
mod parquet;

pub use parquet::{ParquetKind, ParquetParams, ParquetSink};

use voxflow_contract::Kind;

/// All kinds of sinks, sorted by name.
pub const ALL: &[&dyn Kind] = &[&ParquetKind];

#[cfg(test)]
mod tests;
