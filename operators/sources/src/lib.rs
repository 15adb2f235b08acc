//! Sources: where rows begin. Folders of meshes, lists of samples, procedural solids, committed data sets.
//!
//! **Invariant:** a scan opens no sample, and opening a sample decodes nothing.

mod dataset;
mod export;
mod files;
mod manifest;
mod meshes;
mod solids;
mod synthetic;
#[cfg(test)]
mod tests;

pub use dataset::{Dataset, DatasetError};
pub use export::{ExportError, ExportLayout, export_solids};
pub use manifest::ManifestParams;
pub use meshes::MeshesParams;
pub use solids::{SolidClass, solid};
pub use synthetic::SyntheticParams;

use voxflow_contract::Kind;

/// Everything of this room that a pipeline can name, sorted by name.
pub const ALL: &[&dyn Kind] =
    &[&manifest::ManifestKind, &meshes::MeshesKind, &synthetic::SyntheticKind];
