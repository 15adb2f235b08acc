//! Geometry: meshes in, grids and pictures out, sample by sample.
//!
//! Kernels are plain functions on values ([`voxelize_mesh`], [`render`], [`normalize_mesh`], ...);
//! operators are thin files on top of them, one a file, and stand in [`ALL`].
//!
//! **Invariant:** touches no files, no clock; random numbers only from a seed and the sample's id.
//! **Invariant:** operators refuse a sample, they never panic on one.

mod decode_mesh;
mod extract_poses;
mod kernels;
mod mesh_stats;
mod normalize;
mod ranges;
mod render_views;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod voxelize;

pub use decode_mesh::{DecodeMeshKind, DecodeMeshParams};
pub use extract_poses::{ExtractPosesKind, ExtractPosesParams};
pub use kernels::{
    BINVOX_CELL_MARGIN, Background, Colors, Faces, Fit, MAX_RESOLUTION, MeshStats, Noise,
    Normalize, Outputs, Paint, Projection, RenderOptions, Renderer, Rendering, Rig, RigView, Scene,
    Shading, Shot, Up, camera_from_object, fitting_distance, mesh_stats, normalize_mesh, render,
    rig_views, voxelize_mesh,
};
pub use mesh_stats::{MeshStatsKind, MeshStatsParams};
pub use normalize::{NormalizeKind, NormalizeParams};
pub use render_views::{RenderViewsKind, RenderViewsParams};
pub use voxelize::{VoxelizeKind, VoxelizeParams};

use voxflow_contract::Kind;

/// Everything of this room that a pipeline can name, sorted by name.
pub const ALL: &[&dyn Kind] = &[
    &DecodeMeshKind,
    &ExtractPosesKind,
    &MeshStatsKind,
    &NormalizeKind,
    &RenderViewsKind,
    &VoxelizeKind,
];
