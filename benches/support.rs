//! What the programs share: their arguments, files and stores of records, the program as a child, and figures out of `/proc`.
//!
//! Invariants
//! * Stores and files lie in `target/tmp`, never in `/tmp`, which may be memory.
use crate::workload::{JsonLines, Nested, Reference, Source};
use logyard_storage::engine::{Engine, Options};
use logyard_storage::env::RealEnv;
use serde_json::Value;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// What to measure on.
pub(crate) enum Input {
    /// JSON lines in the form of `/api/v1/logs/ingest`.
    File(PathBuf),
    /// So many records of our own.
    Rows(u64),
}

/// The first argument that is not Cargo's own: a file, or how many records to make.
pub(crate) fn input(default_rows: u64) -> Input {
    match std::env::args().skip(1).find(|arg| !arg.starts_with("--")) {
        Some(arg) => arg.parse().map_or(Input::File(arg.into()), Input::Rows),
        None => Input::Rows(default_rows),
    }
}

/// A directory that is removed at the end.
pub(crate) fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory in target/tmp")
}

/// The store of the first argument, or one of its rows or of the nested set, made in a directory.
pub(crate) fn sealed_store(directory: &tempfile::TempDir) -> Arc<Engine> {
    let file = match input(4_000_000) {
        Input::File(set) if set == Path::new("nested") => {
            let file = directory.path().join("logs.jsonl");
            write_lines(&file, &mut Nested::new(43), 2_000_000);
            file
        }
        Input::File(file) => file,
        Input::Rows(rows) => {
            let file = directory.path().join("logs.jsonl");
            write_lines(&file, &mut Reference::new(42), rows);
            file
        }
    };
    let data = if file.is_dir() {
        file
    } else {
        let data = directory.path().join("data");
        bench_engine(&file, &["--data", data.to_str().expect("a path in UTF-8")]);
        data
    };
    Engine::open(Arc::new(RealEnv::new()), Options::new(&data)).expect("the store that was made")
}

/// The second argument that is not Cargo's own: a part of the names of what is to be measured; of all where it is missing.
pub(crate) fn wanted() -> String {
    std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).nth(1).unwrap_or_default()
}

/// Writes records as JSON lines.
pub(crate) fn write_lines(path: &Path, source: &mut dyn Source, rows: u64) {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path).expect("a new file"));
    let mut lines = JsonLines::default();
    for _ in 0..rows {
        source.next(&mut lines);
        out.write_all(lines.text.as_bytes()).expect("room on the disk");
        lines.text.clear();
    }
    out.flush().expect("room on the disk");
}

/// What `logyard bench engine` prints of a file.
pub(crate) fn bench_engine(file: &Path, more: &[&str]) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_logyard"));
    // Not in /tmp, which may be memory.
    command.args(["bench", "engine"]).arg(file).args(more).env("TMPDIR", env!("CARGO_TARGET_TMPDIR"));
    printed(&mut command)
}

/// Runs a child and reads the JSON that it prints.
pub(crate) fn printed(command: &mut Command) -> Value {
    let output = command.stderr(std::process::Stdio::inherit()).output().expect("the program starts");
    assert!(output.status.success(), "{}", output.status);
    serde_json::from_slice(&output.stdout).expect("one line of JSON")
}

/// The most memory that this process ever had, in MB.
pub(crate) fn peak_memory_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.split_ascii_whitespace().next().and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

/// Processor time of this process so far, of users and of the kernel.
pub(crate) fn cpu_seconds() -> f64 {
    const TICKS: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The program's name, in parentheses, may have spaces; the times are fields 14 and 15 of all.
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u64 = after_name.split_ascii_whitespace().skip(11).take(2).filter_map(|n| n.parse::<u64>().ok()).sum();
    ticks as f64 / TICKS
}

/// To so many digits behind the point.
pub(crate) fn round(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}
