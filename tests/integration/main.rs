//! The program from outside: the built binary, its exit codes, what it prints and writes.

mod catalogue;
mod external;
mod files;
mod manual;
mod pipelines;
mod program;
mod runs;
