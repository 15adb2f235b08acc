//! What every stage of voxflow agrees on.
//!
//! Rows pass between stages as [`Batch`]es: Arrow arrays under a [`Schema`] that knows its table and
//! version ([`tables`]). What a stage can be is a trait ([`Source`], [`Operator`], [`Keyed`],
//! [`Sink`], [`Task`]); what can be named in a pipeline is a [`Kind`]. A row that does not get
//! through is a [`Refusal`].
//!
//! **Invariant:** this crate touches no files and knows no stage.
//! **Invariant:** arrow2 is named here and in the Parquet bridge of `voxflow-formats` only.

mod assignments;
mod batch;
mod commit_point;
mod frame;
mod go_on;
mod grid;
mod id;
mod kind;
mod listing;
mod mesh;
mod params;
mod random;
mod refusal;
mod row_hashes;
mod rows;
mod schema;
mod soft_grid;
mod stage;
pub mod tables;
mod task;
mod values;

pub use assignments::{AssignmentList, Assignments, Contradiction, PARTS};
pub use batch::{Batch, BatchError};
pub use commit_point::{COMMIT_POINTS, commit_point, die_at};
pub use frame::{Camera, Intrinsics, Object, Source as SourceFrame, Transform};
pub use go_on::{CheckpointChoice, GoOn};
pub use grid::{Fill, SolidRule, VoxelGrid};
pub use id::{ContentHash, SampleId};
pub use kind::{BuildContext, Inputs, Kind, SplitLists, Stage};
pub use listing::{Listed, Listing};
pub use mesh::{Appearance, Bounds, Material, TriMesh};
pub use params::{ParamError, Params};
pub use random::Random;
pub use refusal::{Fault, Refusal, Refusals, refusal_batch};
pub use row_hashes::{has_row_hashes, row_hashes};
pub use rows::{
    appearance_of_row, appearance_values, key_values, map_rows, mesh_of_row, mesh_values,
    occupancy_of_row, occupancy_values, voxels_of_row, voxels_values,
};
pub use schema::{Column, ColumnType, DOC_KEY, ScalarType, Schema, TABLE_KEY, VERSION_KEY};
pub use soft_grid::SoftGrid;
pub use stage::{
    Change, Committed, Coverage, Entry, FilePolicy, Keyed, Known, MachineFault, MoveLimit,
    Operator, OutputFile, PlannedFile, SetupFault, Sink, SinkFile, Source, SplitPolicy,
};
pub use task::{
    DataIndex, EpochPlan, Flow, IndexedRow, Item, Outcome, Purpose, Schedule, Session, Task,
    TaskContext, TaskError,
};
pub use values::{
    BinaryValues, Image, ImageValues, ListValues, Number, Scalar, TensorListValues, TensorValues,
    Values,
};
