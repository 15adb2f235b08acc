//! `voxflow diff`: what differs between two runs.

use serde_json::json;

use crate::cli::{DiffArgs, Format, GlobalArgs};
use crate::error::Error;
use crate::run_lock::RunLock;
use crate::{exit_code, run_folder, terminal};

/// Prints what differs between two runs: versions, stages, parameters, samples, files. Gives the exit
/// code: 1 when anything does.
///
/// # Errors
/// When there is no such run, or the disk fails.
pub fn diff(args: &DiffArgs, global: &GlobalArgs) -> Result<u8, Error> {
    let first = run_folder::locate(&global.home, Some(&args.first))?;
    let second = run_folder::locate(&global.home, Some(&args.second))?;
    let locks = [RunLock::read(&first)?, RunLock::read(&second)?];
    let differences = locks[0].differences(&locks[1], [&first, &second])?;
    match args.format {
        Format::Json => terminal::print_json(&json!({ "differences": differences })),
        Format::Text if differences.is_empty() => terminal::print("the runs are identical\n"),
        Format::Text => terminal::print(&format!("{}\n", differences.join("\n"))),
    }?;
    Ok(if differences.is_empty() { exit_code::SUCCESS } else { exit_code::DIFFERENT })
}
