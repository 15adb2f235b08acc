//! The engine: runs a graph of stages on timely dataflow.
//!
//! A part (some consecutive samples of a source, one batch) is the unit that is claimed, moved,
//! counted and committed; its ticket is its timestamp. Every stage gives two streams, rows and
//! refusals. Nothing outside this folder names timely.

mod claims;
mod cluster;
mod counters;
mod entries;
mod fault;
mod feed;
mod graph;
mod guard;
mod inbox;
mod join;
mod packet;
mod permits;
mod pool;
mod prepare;
mod record;
mod run;
mod scan;
mod shared;
mod sink_record;
mod stage_operator;
#[cfg(test)]
mod tests;
mod trainer;
mod work;

pub use cluster::Cluster;
pub use counters::{Counters, StageCount};
pub use entries::Entries;
pub use fault::EngineFault;
pub use graph::{Graph, Node};
pub use guard::install_panic_hook;
pub(crate) use record::write_durably;
pub use run::{Options, Report, TaskProgress, TaskReport, run};
pub use scan::{Part, Scan, scan_sources};
pub use shared::Stop;
