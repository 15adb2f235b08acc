//! Pipelines: `pipelines/*.toml` to a typed spec, to a plan that is checked in every way that needs
//! no data. Three passes, like a compiler: form ([`parse`]), values ([`settings`]), meaning
//! ([`plan`], [`graph`], [`fit`]); each goes on after a mistake, and all mistakes are told at once.

pub mod diagnostics;
pub mod document;
pub mod fingerprint;
pub mod fit;
#[cfg(feature = "train")]
pub mod flat_yaml;
pub mod graph;
pub mod parse;
pub mod plan;
#[cfg(feature = "train")]
pub mod pose_yaml;
pub mod profile;
pub mod schema;
pub mod settings;
mod site;
mod split_list;
pub mod template;

pub use diagnostics::Diagnostic;
pub use plan::{Plan, PlannedStage};
pub use settings::Settings;
pub(crate) use split_list::stamp as list_stamp;
