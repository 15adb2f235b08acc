//! The program `voxflow`.

use std::process::ExitCode;

fn main() -> ExitCode {
    voxflow::main_with(std::env::args_os())
}
