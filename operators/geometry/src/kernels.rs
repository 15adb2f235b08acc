//! Kernels: geometry as plain functions on values, without tables and without operators.

mod camera;
mod carve;
mod cell_range;
mod check;
mod clip;
mod columns;
mod corner_block;
mod crossing;
mod extent;
mod fit;
mod flood;
mod normalize_mesh;
mod parity;
mod raster;
mod render;
mod rig;
mod separation;
mod shade;
mod simd;
mod surface;
mod thin;
mod voxelize_mesh;
mod winding;
mod winding_tree;

pub use camera::camera_from_object;
pub(crate) use check::{check_mesh, check_triangles};
pub use fit::{BINVOX_CELL_MARGIN, Fit};
pub use normalize_mesh::{Normalize, Up, normalize_mesh};
pub use render::{RenderOptions, Rendering, Shading, render};
pub use rig::{Rig, RigView, fitting_distance, rig_views};
pub use voxelize_mesh::{MAX_RESOLUTION, voxelize_mesh};
