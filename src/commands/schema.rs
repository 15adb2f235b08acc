//! `voxflow schema`: JSON Schemas for editors.

use crate::cli::{SchemaArgs, SchemaSubject};
use crate::error::Error;
use crate::{catalogue, pipeline, registry, terminal};

/// Prints the schema of pipelines, of the catalogue, or of all operators' parameters.
///
/// # Errors
/// When stdout cannot be written.
pub fn schema(args: &SchemaArgs) -> Result<(), Error> {
    terminal::print_json(&match args.subject {
        SchemaSubject::Pipeline => pipeline::schema::pipeline(),
        SchemaSubject::Datasets => catalogue::json_schema(&registry::layouts()),
        SchemaSubject::Operators => pipeline::schema::operators(),
    })
}
