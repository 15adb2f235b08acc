//! `voxflow train` and `evaluate`: the tasks of an earlier run once more, with other parameters.

use std::path::Path;

use crate::cli::{AgainArgs, GlobalArgs, RepeatArgs, Resume, RunArgs};
use crate::error::Error;
use crate::run_folder;
use crate::run_lock::RunLock;

/// Trains again on what a run prepared, as a new run; gives the exit code.
///
/// # Errors
/// When there is no such run, it has nothing to train, or the new run fails.
pub fn train(args: &AgainArgs, global: &GlobalArgs) -> Result<u8, Error> {
    again(args, global, "train", false)
}

/// Evaluates the network of a run again, in the run's own folder; gives the exit code.
///
/// # Errors
/// When there is no such run, it has nothing to evaluate, or that fails.
pub fn evaluate(args: &AgainArgs, global: &GlobalArgs) -> Result<u8, Error> {
    again(args, global, "evaluate", true)
}

/// Asks once more for what a run was asked for; `goes_on` with that run or makes a new one.
fn again(args: &AgainArgs, global: &GlobalArgs, task: &str, goes_on: bool) -> Result<u8, Error> {
    let folder = run_folder::locate(&global.home, args.repeat.run.as_deref())?;
    // A run that is called `.` has a name, too.
    let folder = std::path::absolute(&folder).unwrap_or(folder);
    let lock = RunLock::read(&folder)?;
    if !lock.plan.stages.iter().any(|stage| stage.kind == task) {
        let message = format!("its pipeline has no `{task}` stage: {}", folder.display());
        return Err(Error::argument("RUN", message, "name a run that has one"));
    }
    let run = folder.file_name().map(|name| name.to_string_lossy().into_owned());
    repeat(&args.repeat, global, &folder, &lock, |asked| RunArgs {
        set: asked.set.iter().chain(&args.set).cloned().collect(),
        device: args.device.or(asked.device),
        resume: goes_on.then_some(Some(Resume { run, from: None })),
        ..asked
    })
}

/// Runs the pipeline of the run in `folder` as it was asked for then, but for what `change` makes of that;
/// gives the exit code.
///
/// # Errors
/// When the folder that the run was started in is gone, or the new run fails.
pub(super) fn repeat(
    args: &RepeatArgs,
    global: &GlobalArgs,
    folder: &Path,
    lock: &RunLock,
    change: impl FnOnce(RunArgs) -> RunArgs,
) -> Result<u8, Error> {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let (home, folder) = (absolute(&global.home), absolute(folder));
    let asked = lock.asked.again(&folder, args.work.clone())?;
    let run = change(RunArgs {
        allow_refused: args.allow_refused,
        format: args.format,
        progress: args.progress,
        ..asked
    });
    let catalogue = lock.asked.catalogue.clone();
    super::run::run(&run, &GlobalArgs { home, catalogue, verbose: global.verbose })
}
