//! The store: rows that were made once, for every run that needs the same.
//!
//! ```text
//! HOME/store/
//!   lock                       held, shared, by whoever uses the store; alone by who tidies it
//!   rows/<stage>/stage.json    which stage this is: kind, version, parameters, what it reads from
//!   rows/<stage>/turn         locked by the run that makes rows of the stage
//!   rows/<stage>/cost.json    what its rows have cost so far, as sums that a price is fitted to
//!   rows/<stage>/<shard>.parquet  rows of many samples, about 64 MiB
//!   rows/<stage>/<shard>.shard    their keys and the hashes of the file; refusals. Without it the
//!                                 other file does not count
//!   rows/<stage>/*.lifted     refusals that do not hold any more: their samples are tried again
//!   rows/<stage>/*.replaced   which of these files others took the place of, in a compaction
//!   facts/<source>/*.facts     the content hash of each sample at the stamp it had
//!   triangles/<source>/*.triangles  how many triangles samples have, for estimates
//!   files/<file>               files of data sets, by what is in them
//!   tmp/<process>/             what a process is writing
//! ```
//!
//! A row is kept under the fingerprint of its stage, which changes with the stage's kind, version,
//! parameters and everything upstream, and under the key of its sample, which changes with its id,
//! class and content. So what is found is what would be made again, whichever pipeline made it.
//!
//! Everything is written in `tmp`, synced, and renamed to its place; nothing is ever changed there.
//! What a process that was killed left in `tmp` is removed by the next one.

mod compact;
mod cost;
mod facts;
mod files;
mod home;
mod key;
mod lifted;
mod place;
mod read;
mod replaced;
mod sealed;
mod shard;
mod size;
mod stage;
mod tidy;
mod timings;
mod triangles;
mod write;

pub(crate) use compact::{Bounds, Compacted};
pub(crate) use cost::{Cost, MeshSums};
pub(crate) use facts::Facts;
pub(crate) use files::KeptFiles;
pub(crate) use home::{Store, Turn, sweep};
pub(crate) use key::{RowKey, fingerprint_of};
pub(crate) use place::Place;
pub(crate) use read::RowReader;
pub(crate) use size::Size;
pub use stage::StageFacts;
pub(crate) use stage::StageStore;
pub(crate) use tidy::{Damage, Used, gc, verify};
pub(crate) use timings::{Price, Timings};
pub(crate) use triangles::{KnownTriangles, TriangleCounts};
pub(crate) use write::StageWriter;
