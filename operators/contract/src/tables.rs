//! The tables that pass between stages and that runs keep: Arrow schemas with a version each.
//!
//! Every per-sample table begins with the three key columns `sample`, `category`, `content`, and
//! has one row a sample; several views of one object lie in lists of its row. Column names are
//! unique over all per-sample tables, so that tables of one sample can be joined side by side.

use crate::grid::VoxelGrid;
use crate::id::ContentHash;
use crate::schema::{Column, ColumnType as T, ScalarType as S, Schema};

/// Names of the columns every per-sample table begins with.
pub const KEY: [&str; 3] = ["sample", "category", "content"];

/// One table: its name, and its schema (of a typical shape where a parameter decides it).
pub struct Table {
    /// Name in `snake_case`.
    pub name: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// The schema.
    pub schema: fn() -> Schema,
}

/// All tables, sorted by name.
pub const ALL: &[Table] = &[
    Table { name: "input", summary: "One sample that a run read, and what it was.", schema: input },
    Table { name: "mesh", summary: "A triangle mesh per sample.", schema: mesh },
    Table {
        name: "mesh_stats",
        summary: "What a sample's mesh is like: closed or not, in how many pieces, how large.",
        schema: mesh_stats,
    },
    Table {
        name: "metric",
        summary: "One measured number of a training or evaluation.",
        schema: metric,
    },
    Table {
        name: "occupancy",
        summary: "A grid of soft occupancies per sample.",
        schema: || occupancy(32),
    },
    Table { name: "points", summary: "Points on a sample's surface.", schema: points },
    Table {
        name: "pose",
        summary: "Camera poses and intrinsics of a sample's views.",
        schema: pose,
    },
    Table { name: "refusal", summary: "One refused sample and why.", schema: refusal },
    Table { name: "sample", summary: "The raw bytes of a sample's file.", schema: sample },
    Table {
        name: "split",
        summary: "The part of the data set a sample belongs to.",
        schema: split,
    },
    Table {
        name: "stage_stats",
        summary: "Rows and seconds of one stage of a run.",
        schema: stage_stats,
    },
    Table { name: "view", summary: "Rendered or photographed views of a sample.", schema: view },
    Table { name: "voxels", summary: "An occupancy grid per sample.", schema: || voxels(32) },
];

/// The table called `name`.
pub fn find(name: &str) -> Option<&'static Table> {
    ALL.iter().find(|table| table.name == name)
}

fn keyed(columns: Vec<Column>) -> Vec<Column> {
    let mut all = vec![
        Column::new("sample", T::Utf8, "Unique id of the object."),
        Column::new("category", T::Utf8, "Class of the object."),
        Column::new(
            "content",
            T::FixedBinary(ContentHash::LEN),
            "BLAKE3 hash of what the sample was made from; equal for duplicates.",
        ),
    ];
    all.extend(columns);
    all
}

/// Only the key columns.
pub fn key() -> Schema {
    Schema::new("key", 1, keyed(vec![]))
}

/// `sample` v2: the raw bytes of a sample's file and of the files that it names.
pub fn sample() -> Schema {
    let columns = vec![
        Column::new("path", T::Utf8, "File, relative to the root of the data set."),
        Column::new("format", T::Utf8, "File extension in lower case, without the dot."),
        Column::new("bytes", T::Binary, "Contents of the file."),
        Column::new(
            "sidecars",
            T::Images,
            "Files that the file names, material libraries and textures, each under the name it is called by; empty if not asked for.",
        ),
    ];
    Schema::new("sample", 2, keyed(columns))
}

/// `mesh` v2: a triangle mesh per sample, and how it looks.
pub fn mesh() -> Schema {
    let columns = vec![
        Column::new(
            "vertices",
            T::List(S::Float32),
            "Positions x y z x y z ... in the mesh frame.",
        ),
        Column::new("triangles", T::List(S::UInt32), "Three vertex numbers a triangle."),
        Column::new(
            "mesh_from_source",
            T::Tensor(S::Float64, vec![4, 4]),
            "Transform that was applied to the file's coordinates, row-major.",
        ),
        Column::new(
            "quirks",
            T::Utf8,
            "What the reader met that the format does not allow, or empty.",
        ),
        Column::new(
            "vertex_colors",
            T::List(S::UInt8),
            "R G B A R G B A ... of each vertex, sRGB and straight alpha; empty without colours.",
        ),
        Column::new(
            "vertex_normals",
            T::List(S::Float32),
            "Unit normals x y z x y z ... of each vertex in the mesh frame; empty without normals.",
        ),
        Column::new(
            "corner_uvs",
            T::List(S::Float32),
            "Texture coordinates u v of the three corners of each triangle, v upwards; empty without.",
        ),
        Column::new(
            "triangle_materials",
            T::List(S::UInt32),
            "Material of each triangle, 4294967295 for none; empty without materials.",
        ),
        Column::new(
            "material_colors",
            T::List(S::UInt8),
            "Diffuse R G B A of each material, sRGB and straight alpha.",
        ),
        Column::new(
            "material_textures",
            T::List(S::UInt32),
            "Number of each material's picture in textures, 4294967295 for none.",
        ),
        Column::new("textures", T::Images, "Pictures of the materials, PNG or JPEG."),
    ];
    Schema::new("mesh", 2, keyed(columns))
}

/// `mesh_stats` v1: what a sample's mesh is like. Vertices at one position count as one wherever
/// triangles meet.
pub fn mesh_stats() -> Schema {
    let columns = vec![
        Column::new("vertex_count", T::UInt64, "Vertices as stored."),
        Column::new("triangle_count", T::UInt64, "Triangles as stored."),
        Column::new("place_count", T::UInt64, "Different positions that triangles use."),
        Column::new("component_count", T::UInt64, "Pieces, held together by shared edges."),
        Column::new(
            "duplicate_triangles",
            T::UInt64,
            "Triangles over the same three positions as an earlier one.",
        ),
        Column::new("degenerate_triangles", T::UInt64, "Triangles without area."),
        Column::new("boundary_edges", T::UInt64, "Edges of one triangle only."),
        Column::new("nonmanifold_edges", T::UInt64, "Edges of more than two triangles."),
        Column::new(
            "is_watertight",
            T::Boolean,
            "Whether every edge belongs to two triangles, once in each direction.",
        ),
        Column::new(
            "oriented_share",
            T::Float64,
            "Share of the edges with two triangles that runs once in each direction.",
        ),
        Column::new(
            "euler_characteristic",
            T::Float64,
            "Positions less edges plus triangles, a whole number.",
        ),
        Column::new(
            "genus",
            T::UInt64,
            "Handles; null unless the mesh is watertight and of one component.",
        )
        .nullable(),
        Column::new("volume", T::Float64, "Signed volume, cubic units of the mesh frame."),
        Column::new("surface_area", T::Float64, "Area, square units of the mesh frame."),
        Column::new(
            "bounds_min",
            T::Tensor(S::Float64, vec![3]),
            "Smallest coordinate on each axis, mesh frame.",
        ),
        Column::new(
            "bounds_max",
            T::Tensor(S::Float64, vec![3]),
            "Largest coordinate on each axis, mesh frame.",
        ),
    ];
    Schema::new("mesh_stats", 1, keyed(columns))
}

/// `voxels` v2: an occupancy grid of `resolution`^3 cells per sample, bit-packed.
pub fn voxels(resolution: usize) -> Schema {
    let shape = if resolution.is_multiple_of(8) {
        vec![resolution, resolution, resolution / 8]
    } else {
        vec![VoxelGrid::byte_len(resolution)]
    };
    let columns = vec![
        Column::new(
            "voxels",
            T::Tensor(S::UInt8, shape),
            "Occupancy, one bit a cell, x slowest, z fastest, least significant bit first.",
        )
        .with("voxflow.axis_order", "xyz")
        .with("voxflow.bit_order", "little"),
        Column::new("resolution", T::UInt32, "Cells along each axis."),
        Column::new(
            "fill",
            T::Utf8,
            "How cells were decided: surface, surface_thin, points, solid_outside_flood, ...",
        ),
        Column::new(
            "grid_translation",
            T::Tensor(S::Float64, vec![3]),
            "Minimum corner of the grid in the mesh frame.",
        ),
        Column::new(
            "grid_scale",
            T::Tensor(S::Float64, vec![3]),
            "Edge length of the grid along each axis in the mesh frame.",
        ),
        Column::new("occupied", T::UInt32, "Number of occupied cells."),
    ];
    Schema::new("voxels", 2, keyed(columns))
}

/// `occupancy` v1: a grid of `resolution`^3 soft occupancies per sample.
pub fn occupancy(resolution: usize) -> Schema {
    let columns = vec![
        Column::new(
            "occupancy",
            T::Tensor(S::Float32, vec![resolution; 3]),
            "Share of each cell that is full, 0 to 1, x slowest, z fastest.",
        )
        .with("voxflow.axis_order", "xyz"),
        Column::new("occupancy_resolution", T::UInt32, "Cells along each axis."),
        Column::new(
            "occupancy_translation",
            T::Tensor(S::Float64, vec![3]),
            "Minimum corner of the grid of occupancies in the mesh frame.",
        ),
        Column::new(
            "occupancy_scale",
            T::Tensor(S::Float64, vec![3]),
            "Edge length of the grid of occupancies along each axis in the mesh frame.",
        ),
    ];
    Schema::new("occupancy", 1, keyed(columns))
}

/// `points` v1: points on a sample's surface.
pub fn points() -> Schema {
    let columns = vec![
        Column::new(
            "points",
            T::List(S::Float32),
            "Positions x y z x y z ... on the surface, in the mesh frame.",
        ),
        Column::new(
            "point_normals",
            T::List(S::Float32),
            "Unit normals x y z x y z ... of the triangles the points lie on; empty if not asked for.",
        ),
    ];
    Schema::new("points", 1, keyed(columns))
}

/// `view` v2: the views of a sample, with the rig's numbers.
pub fn view() -> Schema {
    let columns = vec![
        Column::new("images", T::Images, "PNG pictures, RGBA, sRGB, straight alpha."),
        Column::new(
            "masks",
            T::Images,
            "PNG silhouettes, 8-bit grey, 255 inside; empty if not asked for.",
        ),
        Column::new(
            "depths",
            T::Images,
            "PNG depths, 16-bit grey, in units of depth_scale, 0 for background; empty if not asked for.",
        ),
        Column::new("depth_scale", T::Float64, "Length of one depth unit in the mesh frame."),
        Column::new(
            "azimuth_deg",
            T::List(S::Float64),
            "Azimuth of each camera, from +Z towards +X.",
        ),
        Column::new(
            "elevation_deg",
            T::List(S::Float64),
            "Elevation of each camera above the XZ plane.",
        ),
        Column::new(
            "distance",
            T::List(S::Float64),
            "Distance of each camera from the origin, mesh frame.",
        ),
        Column::new(
            "fov_y_deg",
            T::Float64,
            "Full vertical angle of view; 0 if the views are orthographic or have several.",
        ),
        Column::new("width_px", T::UInt32, "Width of every picture."),
        Column::new("height_px", T::UInt32, "Height of every picture."),
        Column::new(
            "normal_maps",
            T::Images,
            "PNG unit normals in the camera frame (x right, y down, z forward), 127.5 + 127.5 n, alpha 0 for background; empty if not asked for.",
        ),
        Column::new(
            "roll_deg",
            T::List(S::Float64),
            "Turn of each camera about its axis, from its x axis towards its y axis.",
        ),
        Column::new("projection", T::Utf8, "perspective or orthographic."),
        Column::new(
            "view_height",
            T::Float64,
            "Height of an orthographic picture in the mesh frame; 0 if the views are not.",
        ),
        Column::new(
            "rig",
            T::Utf8,
            "Rig the cameras are of, or poses if a pose table says where they stand: they need not look at the origin then.",
        ),
    ];
    Schema::new("view", 2, keyed(columns))
}

/// `pose` v2: OpenCV poses of a sample's views.
pub fn pose() -> Schema {
    let columns = vec![
        Column::new(
            "camera_from_world",
            T::TensorList(S::Float32, 16),
            "Row-major 4x4 per view; OpenCV camera: x right, y down, z forward; world = mesh frame.",
        )
        .with("voxflow.camera_convention", "opencv"),
        Column::new(
            "intrinsics_px",
            T::TensorList(S::Float32, 4),
            "fx, fy, cx, cy per view in pixels; pixel (0, 0) covers the square from (0, 0) to (1, 1).",
        ),
        Column::new("picture_px", T::TensorList(S::UInt32, 2), "Width and height of each view."),
        Column::new(
            "camera_model",
            T::Utf8,
            "pinhole, or orthographic with fx and fy in pixels per unit of the mesh frame.",
        ),
    ];
    Schema::new("pose", 2, keyed(columns))
}

/// `split` v1: the part of the data set a sample belongs to.
pub fn split() -> Schema {
    let columns = vec![Column::new("split", T::Utf8, "train, val or test.")];
    Schema::new("split", 1, keyed(columns))
}

/// `refusal` v1: one refused sample and why.
pub fn refusal() -> Schema {
    let columns = vec![
        Column::new("stage", T::Utf8, "Stage that refused."),
        Column::new("code", T::Utf8, "Stable code of the reason."),
        Column::new("message", T::Utf8, "What is wrong, for a person."),
        Column::new("sample", T::Utf8, "Sample that was refused."),
        Column::new("path", T::Utf8, "File the sample came from.").nullable(),
        Column::new("offset", T::UInt64, "Byte offset in that file.").nullable(),
        Column::new("attempt", T::UInt32, "How often the stage tried."),
        Column::new("seconds", T::Float64, "Time the stage spent on it."),
    ];
    Schema::new("refusal", 1, columns)
}

/// `input` v1: one sample that a run read.
pub fn input() -> Schema {
    let columns = vec![
        Column::new("sample", T::Utf8, "Unique id of the object."),
        Column::new("category", T::Utf8, "Class of the object."),
        Column::new("path", T::Utf8, "File, relative to the root of the data set.").nullable(),
        Column::new("bytes", T::UInt64, "Size of the file."),
        Column::new("stamp", T::Utf8, "What changes when the file changes: size and times."),
        Column::new("content", T::Utf8, "BLAKE3 hash in hexadecimal; null if it was not opened.")
            .nullable(),
    ];
    Schema::new("input", 1, columns)
}

/// `stage_stats` v1: rows and seconds of one stage of a run.
pub fn stage_stats() -> Schema {
    let columns = vec![
        Column::new("stage", T::Utf8, "Stage."),
        Column::new("operator", T::Utf8, "Name of what the stage uses."),
        Column::new("rows_in", T::UInt64, "Rows that came in."),
        Column::new("rows_out", T::UInt64, "Rows that went out."),
        Column::new("refused", T::UInt64, "Rows that were refused."),
        Column::new("reused", T::UInt64, "Rows out that the store had."),
        Column::new("seconds", T::Float64, "Busy seconds, summed over threads."),
    ];
    Schema::new("stage_stats", 1, columns)
}

/// `metric` v1: one measured number.
pub fn metric() -> Schema {
    let columns = vec![
        Column::new("stage", T::Utf8, "Stage that measured."),
        Column::new("name", T::Utf8, "What was measured: iou, loss_d, ..."),
        Column::new("subject", T::Utf8, "What it was measured on: model, mean_shape, ..."),
        Column::new("category", T::Utf8, "Class, or * for all.").nullable(),
        Column::new("threshold", T::Float64, "Occupancy threshold.").nullable(),
        Column::new("epoch", T::UInt64, "Epoch.").nullable(),
        Column::new("step", T::UInt64, "Step.").nullable(),
        Column::new("value", T::Float64, "The number."),
        Column::new("samples", T::UInt64, "Samples it was measured on."),
    ];
    Schema::new("metric", 1, columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted_documented_and_called_what_their_schema_is_called() {
        assert!(ALL.windows(2).all(|pair| pair[0].name < pair[1].name));
        for table in ALL {
            let schema = (table.schema)();
            assert_eq!(schema.table(), table.name);
            assert!(schema.version() >= 1);
            assert!(table.summary.ends_with('.'));
            assert!(
                schema
                    .columns()
                    .iter()
                    .all(|column| column.doc.ends_with('.') || column.doc.ends_with("...")),
                "{schema:?}"
            );
        }
    }

    #[test]
    fn per_sample_tables_can_lie_side_by_side() {
        let mut seen = std::collections::BTreeSet::new();
        for table in [
            "mesh",
            "mesh_stats",
            "occupancy",
            "points",
            "pose",
            "sample",
            "split",
            "view",
            "voxels",
        ] {
            let schema = (find(table).expect("known").schema)();
            for column in schema.columns().iter().skip(KEY.len()) {
                assert!(seen.insert(column.name.clone()), "{} twice", column.name);
            }
        }
    }

    #[test]
    fn schemas_survive_arrow() {
        for table in ALL {
            let schema = (table.schema)();
            assert_eq!(Schema::from_arrow2(&schema.to_arrow2()), Ok(schema));
        }
    }
}
