//! The commands, one a file: each reads its arguments, does its work, and prints.

pub mod again;
pub mod completions;
pub mod convert;
pub mod datasets;
pub mod diff;
pub mod dispatch;
pub mod explain;
pub mod inspect;
#[cfg(feature = "train")]
pub mod models;
pub mod operators;
#[cfg(feature = "train")]
pub mod pipeline;
pub mod plan;
pub mod render;
pub mod retry;
pub mod run;
pub mod schema;
#[cfg(feature = "train")]
mod shape_output;
pub mod store;
#[cfg(feature = "train")]
pub mod trained;
pub mod verify;
pub mod watch;

pub use dispatch::dispatch;
