//! Free text: rows a second and core, and size against zstd's level 3 of the text alone.
//!
//! `cargo bench --bench text [-- ROWS]`.
//!
//! Invariants
//! * zstd and the engine have the same texts: both are made from the same seed.
#![allow(missing_docs, clippy::indexing_slicing, reason = "a program for people, which fails by panicking")]
#[allow(dead_code, reason = "each program uses a part")]
mod support;
#[allow(dead_code, reason = "each program uses a part")]
mod workload;

use serde_json::json;
use std::io::{self, Write};
use support::{Input, round};
use workload::FreeText;

fn main() {
    let Input::Rows(rows) = support::input(1_000_000) else { panic!("how many rows?") };
    for (name, by_zipf) in [("even", false), ("Zipf", true)] {
        let directory = support::directory();
        let file = directory.path().join("logs.jsonl");
        support::write_lines(&file, &mut FreeText::new(44, by_zipf), rows);
        let figures = support::bench_engine(&file, &["--threads", "1"]);
        let zstd = zstd_bytes(&mut FreeText::new(44, by_zipf), rows) as f64;
        let segments = figures["bytes"]["segments"].as_f64().unwrap_or(0.0);
        let line = json!({
            "words": name,
            "rows": rows,
            "rows_per_cpu_s_sealed": (rows as f64 / figures["cpu_sealed_s"].as_f64().unwrap_or(f64::NAN)).round(),
            "zstd3_bytes_per_row": round(zstd / rows as f64, 2),
            "segment_bytes_per_row": round(segments / rows as f64, 2),
            "against_zstd3": round(segments / zstd, 3),
            "rss_mb": figures["rss_mb"],
        });
        println!("{line}");
    }
}

/// Counts what is written.
struct Counter(u64);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The texts, a line each, as one stream of zstd.
fn zstd_bytes(texts: &mut FreeText, rows: u64) -> u64 {
    let mut out = zstd::Encoder::new(Counter(0), 3).expect("zstd starts");
    for _ in 0..rows {
        writeln!(out, "{}", texts.text()).expect("a counter takes all");
    }
    out.finish().expect("a counter takes all").0
}
