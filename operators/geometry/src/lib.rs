//! Geometry: meshes in, grids and pictures out, sample by sample.
//!
//! Kernels are plain functions on values ([`voxelize_mesh`], [`render`], [`normalize_mesh`], ...);
//! operators are thin files on top of them, one a file, and stand in [`ALL`].
//!
//! **Invariant:** touches no files, no clock; random numbers only from a seed and the sample's id.
//! **Invariant:** operators refuse a sample, they never panic on one.

mod decode_mesh;
mod dilate;
mod downsample;
mod downsample_mean;
mod erode;
mod extract_poses;
mod grid_rows;
mod kernels;
mod largest_component;
mod marching_cubes;
mod marching_cubes_soft;
mod mesh_stats;
mod morphology;
mod normalize;
mod ranges;
mod render_poses;
mod render_views;
mod sample_points;
#[cfg(feature = "simplify")]
mod simplify;
mod studio;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod voxelize;
mod voxelize_points;

pub use decode_mesh::{DecodeMeshKind, DecodeMeshParams};
pub use dilate::DilateKind;
pub use downsample::{DownsampleKind, DownsampleParams};
pub use downsample_mean::DownsampleMeanKind;
pub use erode::ErodeKind;
pub use extract_poses::{ExtractPosesKind, ExtractPosesParams};
pub use kernels::{
    BINVOX_CELL_MARGIN, Background, Colors, Faces, Fit, LargestComponent, MAX_RESOLUTION,
    MeshStats, Neighbours, Noise, Normalize, OutlierCut, Outputs, Paint, PointOptions, Projection,
    RenderOptions, Renderer, Rendering, Rig, RigDefaults, RigView, Scene, Shading, Shot,
    SurfacePoints, Up, camera_from_object, close, dilate, downsample, downsample_mean, erode,
    fitting_distance, largest_component, marching_cubes, marching_cubes_soft, mesh_stats,
    normalize_mesh, render, rig_views, sample_points, unit_cube_distance, voxelize_mesh,
    voxelize_points, without_outliers,
};
#[cfg(feature = "simplify")]
pub use kernels::{Simplified, simplify};
pub use largest_component::{LargestComponentKind, LargestComponentParams};
pub use marching_cubes::{MarchingCubesKind, MarchingCubesParams};
pub use marching_cubes_soft::{MarchingCubesSoftKind, MarchingCubesSoftParams};
pub use mesh_stats::{MeshStatsKind, MeshStatsParams};
pub use morphology::MorphologyParams;
pub use normalize::{NormalizeKind, NormalizeParams};
pub use render_poses::{RenderPosesKind, RenderPosesParams};
pub use render_views::{ProjectionChoice, RenderViewsKind, RenderViewsParams, RigChoice};
pub use sample_points::{SamplePointsKind, SamplePointsParams};
#[cfg(feature = "simplify")]
pub use simplify::{SimplifyKind, SimplifyParams};
pub use studio::{BackgroundChoice, ColorsChoice};
pub use voxelize::{VoxelizeKind, VoxelizeParams};
pub use voxelize_points::{VoxelizePointsKind, VoxelizePointsParams};

use voxflow_contract::Kind;

/// Everything of this room that a pipeline can name, sorted by name.
pub const ALL: &[&dyn Kind] = &[
    &DecodeMeshKind,
    &DilateKind,
    &DownsampleKind,
    &DownsampleMeanKind,
    &ErodeKind,
    &ExtractPosesKind,
    &LargestComponentKind,
    &MarchingCubesKind,
    &MarchingCubesSoftKind,
    &MeshStatsKind,
    &NormalizeKind,
    &RenderPosesKind,
    &RenderViewsKind,
    &SamplePointsKind,
    #[cfg(feature = "simplify")]
    &SimplifyKind,
    &VoxelizeKind,
    &VoxelizePointsKind,
];
