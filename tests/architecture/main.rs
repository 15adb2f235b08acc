//! Who may use whom, and what every file looks like: the rules of the house that no compiler holds.
//!
//! `rooms` compares the crates with the table in `ARCHITECTURE.md`, `supply` what comes from
//! outside with `deny.toml`, `tidy` every file with the house style. Each test lists all offenders,
//! not only the first.

mod rooms;
mod source;
mod supply;
mod tidy;
