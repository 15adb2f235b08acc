//! External: stages that are programs of somebody else.
//!
//! **Invariant:** a program gets rows in a file and gives rows in a file; whatever it does, only its
//! batch is lost, and what it gave is checked like any foreign file.

mod exec;
mod operator;
mod process;
#[cfg(test)]
mod tests;

pub use exec::{ExecParams, Gives};

use voxflow_contract::Kind;

/// Everything of this room that a pipeline can name, sorted by name.
pub const ALL: &[&dyn Kind] = &[&exec::ExecKind];
