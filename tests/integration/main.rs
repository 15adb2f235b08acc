//! The program from outside: the built binary, its exit codes, what it prints and writes.

mod catalogue;
#[cfg(target_os = "linux")]
mod commit_points;
mod external;
#[cfg(target_os = "linux")]
mod faults;
mod files;
mod manual;
mod pipelines;
mod program;
mod runs;
mod splits;
#[cfg(feature = "train")]
mod trained;
mod watched;
