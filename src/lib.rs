//! voxflow: from raw 3D data sets to a trained reconstruction network, as one dataflow.
//!
//! The program is `main.rs` over [`main_with`]. A pipeline (TOML) becomes a checked
//! [`pipeline::Plan`], the plan a graph, and the [`engine`] runs the graph on timely dataflow.
//! What a stage can be lives in the crates under `operators/`; [`registry`] lists it.

mod allocator;
pub mod catalogue;
pub mod changes;
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
mod run_lock;
mod store;
mod terminal;
mod terminal_picture;
mod watched;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

pub use error::Error;

/// Runs the program with the given arguments, the program's name first.
pub fn main_with(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    allocator::bound_arenas();
    let cli = cli::Cli::parse_from(arguments);
    log_to_stderr(cli.global.verbose);
    match commands::dispatch(&cli) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprint!("{}", error.render());
            ExitCode::from(error.exit_code())
        }
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
