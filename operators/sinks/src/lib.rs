//! Where rows end: data sets on disk.

mod durable;
mod fault;
mod hugging_face;
mod parquet;
mod parquet_file;
mod plan;
mod twin_folder;

pub use durable::replace_folder;
pub use parquet::{ParquetKind, ParquetParams, ParquetSink};
pub use twin_folder::TwinFolder;

use voxflow_contract::Kind;

/// All kinds of sinks, sorted by name.
pub const ALL: &[&dyn Kind] = &[&ParquetKind];

#[cfg(test)]
mod tests;
