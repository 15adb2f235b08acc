//! `voxflow completions`: the completions of a shell.

use clap::CommandFactory;

use crate::cli::{Cli, CompletionsArgs};
use crate::error::Error;
use crate::terminal;

/// Prints the completions of a shell.
///
/// # Errors
/// When stdout cannot be written.
pub fn completions(args: &CompletionsArgs) -> Result<(), Error> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "voxflow", &mut script);
    terminal::print(&String::from_utf8_lossy(&script))
}
