//! From a parsed command line to the command it asks for.

use crate::cli::{Cli, Command};
use crate::commands;
use crate::error::Error;
use crate::exit_code;

/// Does what was asked for, and gives the exit code.
///
/// # Errors
/// Whatever goes wrong; [`Error::exit_code`] says how the process should end.
pub fn dispatch(cli: &Cli) -> Result<u8, Error> {
    let Cli { global, command, .. } = cli;
    let done = match command {
        Command::Run(args) => return commands::run::run(args, global),
        Command::Plan(args) => return commands::plan::plan(args, global),
        Command::Diff(args) => return commands::diff::diff(args, global),
        Command::Retry(args) => return commands::retry::retry(args, global),
        Command::Train(args) => return commands::again::train(args, global),
        Command::Evaluate(args) => return commands::again::evaluate(args, global),
        Command::Explain(args) => commands::explain::explain(args, global),
        Command::Watch(args) => return commands::watch::watch(args, global),
        Command::Verify(args) => commands::verify::verify(args, global),
        Command::Store(args) => commands::store::store(args, global),
        Command::Operators(args) => commands::operators::operators(args),
        #[cfg(feature = "train")]
        Command::Models(args) => commands::models::models(args),
        #[cfg(feature = "train")]
        Command::Pipeline(args) => commands::pipeline::pipeline(args),
        #[cfg(feature = "train")]
        Command::Reconstruct(args) => commands::trained::reconstruct(args, global),
        #[cfg(feature = "train")]
        Command::Sample(args) => commands::trained::sample(args, global),
        #[cfg(feature = "train")]
        Command::Interpolate(args) => commands::trained::interpolate(args, global),
        #[cfg(feature = "train")]
        Command::Weights(args) => commands::trained::weights(args, global),
        #[cfg(not(feature = "train"))]
        Command::Models(_)
        | Command::Pipeline(_)
        | Command::Reconstruct(_)
        | Command::Sample(_)
        | Command::Interpolate(_)
        | Command::Weights(_) => {
            let message = "not in this build, which was made without training";
            let hint = "build voxflow with its cargo feature `train` (on by default)";
            return Err(Error::argument("COMMAND", message, hint));
        }
        Command::Datasets(args) => commands::datasets::datasets(args, global),
        Command::Inspect(args) => commands::inspect::inspect(args),
        Command::Convert(args) => commands::convert::convert(args),
        Command::Render(args) => commands::render::render(args),
        Command::Schema(args) => commands::schema::schema(args),
        Command::Completions(args) => commands::completions::completions(args),
    };
    done.map(|()| exit_code::SUCCESS)
}
