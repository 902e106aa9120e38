//! The whole path from a file's bytes to compacted segments, by `logyard bench engine` in a process of its own.
//!
//! `cargo bench --bench engine [-- FILE | ROWS]`: that file, or so many records of each of our own sets.
//!
//! Invariants
//! * Each set is measured by a process of its own, and is one line of JSON.
#![allow(missing_docs, clippy::indexing_slicing, reason = "a program for people, which fails by panicking")]
#[allow(dead_code, reason = "each program uses a part")]
mod support;
#[allow(dead_code, reason = "each program uses a part")]
mod workload;

use serde_json::{Value, json};
use support::{Input, round};
use workload::{FreeText, Nested, Reference, Source};

fn main() {
    let rows = match support::input(4_000_000) {
        Input::File(file) => return print(&file.display().to_string(), &support::bench_engine(&file, &[])),
        Input::Rows(rows) => rows,
    };
    let sets: [(&str, Box<dyn Source>, u64); 4] = [
        ("reference", Box::new(Reference::new(42)), rows),
        ("nested", Box::new(Nested::new(43)), rows / 2),
        ("text, even", Box::new(FreeText::new(44, false)), rows / 4),
        ("text, Zipf", Box::new(FreeText::new(45, true)), rows / 4),
    ];
    for (name, mut source, rows) in sets {
        let directory = support::directory();
        let file = directory.path().join("logs.jsonl");
        support::write_lines(&file, &mut *source, rows);
        print(name, &support::bench_engine(&file, &[]));
    }
}

fn print(set: &str, figures: &Value) {
    let of = |name: &str| figures[name].as_f64().unwrap_or(0.0);
    let bytes = |name: &str| figures["bytes"][name].as_f64().unwrap_or(0.0);
    let rows = of("rows").max(1.0);
    let millions = rows / 1e6;
    let line = json!({
        "set": set,
        "rows": rows,
        "cpu_s_per_million_sealed": round(of("cpu_sealed_s") / millions, 2),
        "cpu_s_per_million_compaction": round((of("cpu_s") - of("cpu_sealed_s")) / millions, 2),
        "rows_per_s_sealed": (rows / of("wall_sealed_s")).round(),
        "rss_mb": of("rss_mb").round(),
        "bytes_per_row": round(["segments", "catalog", "wal_files", "other"].map(bytes).iter().sum::<f64>() / rows, 2),
        "segment_bytes_per_row": round(bytes("segments") / rows, 2),
        "bytes": figures["bytes"],
    });
    println!("{line}");
}
