//! The exit codes of the program, one by one. They are stable: scripts may test for them.
//!
//! Families: 0 success, 1 an answer that was asked for, 2 usage, 10–19 set-up (nothing was read yet), 20–29 the data is
//! not good enough (the run finished, or says that nothing was replaced), 30–39 the machine or a person stopped it, 40 verification, 101 a bug.

/// All went well.
pub const SUCCESS: u8 = 0;
/// `plan --exit-code` found something to do, or `diff` a difference.
pub const DIFFERENT: u8 = 1;
/// The command line is wrong; clap says how.
pub const USAGE: u8 = 2;
/// The catalogue of data sets is wrong.
pub const CATALOGUE: u8 = 10;
/// A file given on the command line cannot be read, or is not what its name says.
pub const INPUT_FILE: u8 = 11;
/// The pipeline is wrong.
pub const PIPELINE: u8 = 12;
/// The data that a source should list is not there.
pub const DATA_MISSING: u8 = 13;
/// An argument has the right form but cannot be used.
pub const ARGUMENT: u8 = 14;
/// The list of hosts of a cluster is wrong.
pub const CLUSTER: u8 = 15;
/// There is no run to resume, or it is of another plan.
pub const RUN: u8 = 16;
/// A stage found its set-up wrong before the first row was read.
pub const SETUP: u8 = 19;
/// More samples were refused than allowed; the run finished and says which.
pub const REFUSED: u8 = 20;
/// An expectation on the data is broken; the run finished and says which.
pub const EXPECTATION: u8 = 21;
/// More samples would lie in another part of the split than allowed; nothing was replaced.
pub const MOVED: u8 = 22;
/// A disk failed or is full; what was committed stays.
pub const DISK: u8 = 30;
/// Memory ran out, or its bound is too small for one sample.
pub const MEMORY: u8 = 31;
/// A device failed, or the one asked for is not there.
pub const DEVICE: u8 = 32;
/// Another process of the cluster is gone.
pub const PEER: u8 = 33;
/// A person stopped the run; it can be resumed.
pub const INTERRUPTED: u8 = 34;
/// Outputs differ from what the record says.
pub const VERIFICATION: u8 = 40;
/// A bug of voxflow: a panic.
pub const BUG: u8 = 101;
