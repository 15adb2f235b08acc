//! `Kind`: the registry item. Facts about something a stage can be, and how to build it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::assignments::Assignments;
use crate::params::{ParamError, Params};
use crate::stage::{Keyed, Operator, Sink, Source};
use crate::task::Task;

/// What a stage takes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inputs {
    /// Nothing: rows begin here.
    None,
    /// Only the key columns, of any per-sample tables.
    Key,
    /// These tables, from one stage or several.
    Tables(&'static [&'static str]),
    /// Any per-sample tables, side by side.
    Any,
}

/// What a stage can be.
#[derive(Clone)]
pub enum Stage {
    /// Rows begin here.
    Source(Arc<dyn Source>),
    /// Sample by sample.
    Operator(Arc<dyn Operator>),
    /// After all samples are known.
    Keyed(Arc<dyn Keyed>),
    /// Rows end here.
    Sink(Arc<dyn Sink>),
    /// Reads a committed data set.
    Task(Arc<dyn Task>),
}

/// What a stage may know when it is built.
#[derive(Debug, Clone)]
pub struct BuildContext {
    /// Seed of the pipeline.
    pub seed: u64,
    /// Id of the stage.
    pub stage: String,
}

/// The lists that a stage names, by the parameter that does, as they were read for it.
pub type SplitLists = BTreeMap<String, Arc<Assignments>>;

/// Static facts of something a stage can be, and one method that validates and builds.
pub trait Kind: Sync {
    /// Name in pipelines, `snake_case`; also the name of its file.
    fn name(&self) -> &'static str;

    /// One sentence.
    fn summary(&self) -> &'static str;

    /// A few paragraphs of manual: what happens to odd input, what it costs, where it comes from.
    fn manual(&self) -> &'static str;

    /// Changes whenever the same input and parameters would give other output.
    fn version(&self) -> u32;

    /// What it takes in.
    fn inputs(&self) -> Inputs;

    /// Name of what it gives: a table, or `dataset`, `checkpoint`, `metric`.
    fn output(&self) -> &'static str;

    /// A `[[stage]]` of a pipeline, in TOML, that builds.
    fn example(&self) -> &'static str;

    /// JSON Schema of its parameters.
    fn parameters(&self) -> schemars::Schema;

    /// Files outside the pipeline that the stage's rows depend on, each with the parameter that names it:
    /// their contents count in what the rows are kept under.
    fn depends_on(&self, _params: &Params) -> Vec<(String, PathBuf)> {
        Vec::new()
    }

    /// Checks the parameters and makes the stage. Touches nothing outside.
    ///
    /// # Errors
    /// All that is wrong with the parameters.
    fn build(&self, params: &Params, context: &BuildContext) -> Result<Stage, Vec<ParamError>>;

    /// Lists of samples and their parts of a split that the stage needs when it is built: the parameter
    /// that names each, and the path it names. Who builds it reads them, and what they say counts as a
    /// parameter. Members of `params` that are none of the kind's are passed over.
    fn split_lists(&self, _params: &Params) -> Vec<(String, String)> {
        Vec::new()
    }

    /// As [`Kind::build`], with the lists that [`Kind::split_lists`] asks for.
    ///
    /// # Errors
    /// As [`Kind::build`].
    fn build_with(
        &self,
        params: &Params,
        context: &BuildContext,
        _lists: &SplitLists,
    ) -> Result<Stage, Vec<ParamError>> {
        self.build(params, context)
    }
}
