//! Logyard: a log database in a single binary.
mod cli;
mod config;
mod ingest;
mod server;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run()
}
