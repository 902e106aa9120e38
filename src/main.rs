//! Logyard: a log database in a single binary.
//!
//! Invariants
//! * The allocator is set up before anything else runs.
mod allocator;
mod cli;
mod config;
mod ingest;
mod log;
mod open_files;
mod server;
mod transfer;

use std::process::ExitCode;

fn main() -> ExitCode {
    allocator::set_up();
    cli::run()
}
