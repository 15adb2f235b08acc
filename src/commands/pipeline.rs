//! `voxflow pipeline`: pipelines made of configurations of other programs.

use crate::cli::{PipelineArgs, PipelineCommand};
use crate::error::Error;
use crate::pipeline::pose_yaml;
use crate::{output_file, terminal};

/// Makes a pipeline of a configuration, and prints it or writes it to a file.
///
/// # Errors
/// When the file cannot be read, with everything in it that is not known, or the disk fails.
pub fn pipeline(args: &PipelineArgs) -> Result<(), Error> {
    let PipelineCommand::Import { file, root, output } = &args.command;
    let text = std::fs::read_to_string(file).map_err(|e| Error::input("read", file, e))?;
    let pipeline = pose_yaml::import(file, &text, root.as_deref())?;
    match output {
        None => terminal::print(&pipeline),
        Some(path) => output_file::write(path, pipeline.as_bytes()),
    }
}
