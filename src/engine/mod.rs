//! The engine: runs a graph of stages on timely dataflow.
//!
//! A part (some samples of a source, one batch) is the unit that is claimed and moved; its ticket is
//! its timestamp. Every stage gives two streams, rows and refusals; the store keeps both, and data
//! sets are made of what it has. Nothing outside this folder names timely.

mod claims;
mod cluster;
mod commit;
mod compaction;
mod counters;
mod dataset;
mod entries;
mod fault;
mod feed;
mod feeding;
mod filing;
mod forecast;
mod graph;
mod guard;
mod held;
mod inbox;
mod inputs;
mod join;
mod leakage;
mod lists;
mod made;
mod meter;
mod moves;
mod options;
mod outputs;
mod packet;
mod permits;
mod pool;
mod prepare;
mod prices;
mod report;
mod resident;
mod run;
mod sample_limits;
mod samples;
mod scan;
mod shared;
mod sizes;
mod stage_operator;
mod survey;
#[cfg(test)]
mod tests;
mod trainer;
mod work;
mod work_list;

pub use cluster::Cluster;
pub use counters::{Counters, StageCount};
pub use entries::Entries;
pub use fault::EngineFault;
pub use feeding::Feeding;
pub use graph::{Graph, Node};
pub use guard::install_panic_hook;
pub use held::Held;
pub use leakage::Duplicates;
pub use lists::compare_lists;
pub(crate) use moves::named as named_moves;
pub use moves::{Move, Moves, MovesFault, Previous};
pub use options::{Options, TaskProgress};
pub use report::{Report, SampleFate, TaskReport};
pub(crate) use resident::{PartNumber, Revised};
pub use resident::{Resident, can_reside};
pub use run::{kept_stages, run};
pub use sample_limits::SampleLimits;
pub(crate) use samples::{Edit, EditKind, Samples};
pub use scan::{Scan, scan_sources};
pub use shared::Stop;
pub use survey::{Estimate, StageSurvey, Survey, survey};

pub use crate::store::StageFacts;
