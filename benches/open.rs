//! Opening a directory whose rows are all in the log: seconds until it serves, and memory, in a process of its own.
//!
//! `cargo bench --bench open [-- ROWS]`.
//!
//! Invariants
//! * Nothing is sealed, neither while the log is filled nor at its end, so that all rows are read from it.
#![allow(missing_docs, clippy::indexing_slicing, reason = "a program for people, which fails by panicking")]
#[allow(dead_code, reason = "each program uses a part")]
mod support;
#[allow(dead_code, reason = "each program uses a part")]
mod workload;

use logyard_storage::batch::BatchBuilder;
use logyard_storage::engine::{Ack, Append, Engine, Options};
use logyard_storage::env::RealEnv;
use serde_json::json;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;
use support::{Input, round};
use workload::{Reference, Source};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Set for the process that opens, to the directory.
const OPEN: &str = "LOGYARD_BENCH_OPEN";

fn main() {
    if let Some(data) = std::env::var_os(OPEN) {
        return open(Path::new(&data));
    }
    let Input::Rows(rows) = support::input(2_000_000) else { panic!("how many rows?") };
    let directory = support::directory();
    fill(directory.path(), rows);
    let this = std::env::current_exe().expect("the path of this program");
    for _ in 0..3 {
        println!("{}", support::printed(Command::new(&this).env(OPEN, directory.path())));
    }
}

/// Options under which nothing is sealed.
fn unsealed(data: &Path) -> Options {
    Options {
        hot_bytes_max: usize::MAX / 2,
        seal_rows: usize::MAX,
        seal_bytes: usize::MAX,
        background: false,
        ..Options::new(data)
    }
}

fn fill(data: &Path, rows: u64) {
    let engine = Engine::open(Arc::new(RealEnv::new()), unsealed(data)).expect("a new store");
    let (mut source, mut builder) = (Reference::new(42), BatchBuilder::new());
    for row in 1..=rows {
        source.next(&mut builder);
        if row % 1_000 == 0 || row == rows {
            let batch = builder.finish().expect("a batch");
            engine.append(Append::new(batch, Ack::Memory)).expect("an append");
        }
    }
    // Dropped, not closed: closing would seal.
}

fn open(data: &Path) {
    let started = Instant::now();
    let engine = Engine::open(Arc::new(RealEnv::new()), unsealed(data)).expect("a store that opens");
    let ready = started.elapsed().as_secs_f64();
    let memory = support::peak_memory_mb();
    let stats = engine.stats().expect("sizes");
    let line = json!({
        "rows": stats.hot_rows,
        "wal_bytes_per_row": round(stats.wal_bytes as f64 / stats.hot_rows.max(1) as f64, 1),
        "hot_mb": stats.hot_bytes >> 20,
        "ready_s": round(ready, 3),
        "rss_mb": memory.round(),
    });
    println!("{line}");
}
