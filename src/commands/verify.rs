//! `voxflow verify`: whether a run's files are what they were, and whether it can be repeated.

use std::path::{Path, PathBuf};

use crate::cli::{GlobalArgs, LimitArgs, RunArgs, VerifyArgs, WorkArgs};
use crate::error::Error;
use crate::run_lock::RunLock;
use crate::{run_folder, terminal};

/// Compares a run with its record; with `--rerun`, with a run from scratch too.
///
/// # Errors
/// When something differs, there is no such run, or the disk fails.
pub fn verify(args: &VerifyArgs, global: &GlobalArgs) -> Result<(), Error> {
    let folder = run_folder::locate(&global.home, args.run.as_deref())?;
    let lock = RunLock::read(&folder)?;
    let mut differences = Vec::new();
    let (mut files, mut bytes) = (0u64, 0);
    for file in lock.files() {
        differences.extend(file.fault(&folder)?);
        files += 1;
        bytes += file.bytes;
    }
    if !differences.is_empty() {
        return Err(Error::Verification { differences });
    }
    let (files, bytes) = (terminal::thousands(files), terminal::bytes(bytes));
    let mut text = format!("{files} files, {bytes}: all as the run left them\n");
    if args.rerun {
        rerun(args, &folder, &lock)?;
        text += "run again from scratch: identical\n";
    }
    terminal::print(&text)
}

/// Runs the pipeline of a run again, in a home of its own that is removed afterwards.
fn rerun(args: &VerifyArgs, folder: &Path, lock: &RunLock) -> Result<(), Error> {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let folder = absolute(folder);
    let above = folder.parent().unwrap_or(&folder);
    let scratch = tempfile::Builder::new().prefix(".verify-").tempdir_in(above);
    let scratch = scratch.map_err(|e| Error::disk("make a folder in", above, e))?;
    let (workers, memory) = (args.workers, args.memory);
    let work = WorkArgs { workers, memory, commit_every: 60, limits: LimitArgs::default() };
    let asked = lock.asked.again(&folder, work)?;
    let run = RunArgs { device: args.device.or(asked.device), progress: args.progress, ..asked };
    let global = GlobalArgs {
        home: scratch.path().to_owned(),
        catalogue: lock.asked.catalogue.clone(),
        verbose: 0,
    };
    let again = super::run::perform(&run, &global)?;
    let Some((_, _, report)) = again else { return Ok(()) };
    let record = RunLock::read(&report.folder)?;
    let folders: [&PathBuf; 2] = [&folder, &report.folder];
    let mut differences = lock.differences(&record, folders.map(PathBuf::as_path))?;
    if !differences.is_empty() {
        // A run from scratch takes no turns.
        let told = lock.went_on.iter().flat_map(|(stage, all)| all.iter().map(move |t| (stage, t)));
        differences.extend(told.map(|(stage, told)| format!("stage {stage} went on {told}")));
    }
    if differences.is_empty() { Ok(()) } else { Err(Error::Verification { differences }) }
}
