//! voxflow: from raw 3D data sets to a trained reconstruction network, as one dataflow.
//!
//! The program is `main.rs` over [`main_with`]. A pipeline (TOML) becomes a checked
//! [`pipeline::Plan`], the plan a graph, and the [`engine`] runs the graph on timely dataflow.
//! What a stage can be lives in the crates under `operators/`; [`registry`] lists it.

mod allocator;
pub mod catalogue;
pub mod cli;
pub mod commands;
pub mod engine;
mod error;
pub mod exit_code;
mod folder_events;
mod output_file;
mod parameter_docs;
pub mod pipeline;
mod previous;
mod progress;
pub mod registry;
mod run_folder;
mod run_leftovers;
mod run_lock;
mod store;
mod terminal;
mod terminal_picture;
mod watched;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use voxflow_contract::die_at;

pub use error::Error;

/// Runs the program with the given arguments, the program's name first.
pub fn main_with(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    allocator::bound_arenas();
    let cli = cli::Cli::parse_from(arguments);
    log_to_stderr(cli.global.verbose);
    match arm(cli.kill_at.as_deref()).and_then(|()| commands::dispatch(&cli)) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprint!("{}", error.render());
            ExitCode::from(error.exit_code())
        }
    }
}

/// Has this process kill itself at a commit point.
fn arm(place: Option<&str>) -> Result<(), Error> {
    let Some(place) = place else { return Ok(()) };
    let wrong = |message| Error::argument("VOXFLOW_KILL_AT", message, "CONTRIBUTING.md says more");
    die_at(place, die).map_err(wrong)
}

/// Ends this process as `kill -9` does: nothing is flushed or removed.
fn die() {
    use rustix::process::{Signal, getpid, kill_process};
    if let Err(e) = kill_process(getpid(), Signal::KILL) {
        eprintln!("cannot kill myself: {e}");
    }
}

fn log_to_stderr(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "voxflow=info,warn",
        _ => "debug",
    };
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(level))
        .with_writer(std::io::stderr)
        .without_time()
        .init();
}
