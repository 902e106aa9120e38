//! Merging small segments: processor seconds for a million rows, and bytes a row before and after.
//!
//! `cargo bench --bench merge [-- FILE | ROWS]`. A million rows are sealed as eight segments, then merged into one: once with
//! the blocks copied, once with all of them encoded again.
//!
//! Invariants
//! * Both ways merge the same rows, and nothing runs in the background.
#![allow(missing_docs, clippy::indexing_slicing, reason = "a program for people, which fails by panicking")]
#[allow(dead_code, reason = "each program uses a part")]
mod support;
#[allow(dead_code, reason = "each program uses a part")]
mod workload;

use logyard_storage::batch::BatchBuilder;
use logyard_storage::engine::{Ack, Append, Engine, Options};
use logyard_storage::env::RealEnv;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::sync::Arc;
use support::{Input, round};
use workload::{Reference, Sink, Source};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SEGMENTS: u64 = 8;
const BATCH_ROWS: u64 = 1_000;

fn main() {
    for copy_rows_min in [Options::new("").copy_rows_min, usize::MAX] {
        measure(copy_rows_min);
    }
}

fn measure(copy_rows_min: usize) {
    let directory = support::directory();
    let (mut source, rows): (Box<dyn Source>, u64) = match support::input(1_000_000) {
        Input::File(file) => (Box::new(Lines(BufReader::new(File::open(file).expect("a file of records")))), 1_000_000),
        Input::Rows(rows) => (Box::new(Reference::new(42)), rows),
    };
    let options = Options { background: false, copy_rows_min, ..Options::new(directory.path()) };
    let engine = Engine::open(Arc::new(RealEnv::new()), options).expect("a new store");
    let mut builder = BatchBuilder::new();
    for _ in 0..SEGMENTS {
        let mut left = rows / SEGMENTS;
        while left > 0 {
            for _ in 0..left.min(BATCH_ROWS) {
                source.next(&mut builder);
            }
            left -= left.min(BATCH_ROWS);
            engine.append(Append::new(builder.finish().expect("a batch"), Ack::Memory)).expect("an append");
        }
        engine.seal().expect("a segment");
    }
    let before = engine.stats().expect("sizes");
    let (sealing_mb, cpu) = (support::peak_memory_mb(), support::cpu_seconds());
    engine.compact().expect("a merge");
    let cpu = support::cpu_seconds() - cpu;
    let after = engine.stats().expect("sizes");
    let per_row = |bytes: u64| round(bytes as f64 / rows as f64, 2);
    let line = json!({
        "copied": copy_rows_min < usize::MAX,
        "rows": after.rows,
        "segments": [before.segments, after.segments],
        "bytes_per_row": [per_row(before.segment_bytes), per_row(after.segment_bytes)],
        "cpu_s_per_million": round(cpu * 1e6 / rows as f64, 3),
        "rss_mb": [sealing_mb.round(), support::peak_memory_mb().round()],
    });
    println!("{line}");
}

/// Records of a file in the form of the API's log.
struct Lines(BufReader<File>);

impl Source for Lines {
    fn next(&mut self, sink: &mut dyn Sink) {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("a record");
        let record: Value = serde_json::from_str(&line).expect("JSON");
        let text = |name: &str| record.get(name).and_then(Value::as_str).unwrap_or_default();
        let millis = record.get("timestamp").and_then(Value::as_u64).unwrap_or(0);
        sink.begin(millis, text("service_name"), text("level"), text("message"));
        if let Some(Value::Object(metadata)) = record.get("metadata") {
            sink.enter("metadata");
            for (name, value) in metadata {
                match value {
                    Value::String(text) => sink.string(name, text),
                    other => sink.bare(name, &other.to_string()),
                }
            }
            sink.leave();
        }
        sink.end();
    }
}
