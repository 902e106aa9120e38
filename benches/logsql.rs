//! The queries of the reference table over a sealed store, as LogsQL through the engine: best of many, warm, in process.
//!
//! `cargo bench --bench logsql [-- FILE | ROWS | STORE [QUERY]]`. What is looked for is taken from the data. With a part of a
//! query's name only such queries are measured, with a query in LogsQL that one; with none, scans of all rows as well, by all
//! threads and by one.
//!
//! Invariants
//! * A query of the table has run before it is timed.
#![allow(missing_docs, clippy::indexing_slicing, reason = "a program for people, which fails by panicking")]
mod asked;
#[allow(dead_code, reason = "each program uses a part")]
mod support;
#[allow(dead_code, reason = "each program uses a part")]
mod workload;

use asked::queries;
use logyard_storage::engine::{Engine, QueryControl};
use logyard_storage::query::{Block, Flow, parse};
use std::time::Instant;
use support::round;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const TIMES: usize = 15;
const SCAN_TIMES: usize = 5;
/// What reads a column of all rows, or all messages.
const SCANS: [&str; 5] = [
    "* | stats sum_len(_msg) n",
    "* | stats count_uniq(metadata.user_id) u",
    "* | stats by (metadata.host) quantile(0.95, metadata.duration_ms) p",
    "\"failed\" | stats by (_time:1h) count() n",
    "_msg:~\"[0-9]7[a-f]\" | stats count() n",
];

fn main() {
    let directory = support::directory();
    let (engine, only) = (support::sealed_store(&directory), support::wanted());
    println!("{:<72} {:>9} {:>9} {:>9} {:>8} {:>9}", "query", "rows", "best ms", "median", "cpu ms", "read KiB");
    let queries = queries(&engine);
    if !queries.iter().any(|(name, _)| name.contains(&only)) {
        measure(&engine, "the query that was given", &only);
    }
    for (name, query) in queries.iter().filter(|(name, _)| name.contains(&only)) {
        measure(&engine, name, query);
    }
    if only.is_empty() {
        scans(&engine);
    }
    println!("peak memory {} MB", support::peak_memory_mb().round());
}

/// Scans of all rows, by all threads and by one.
fn scans(engine: &Engine) {
    println!("{:<72} {:>9} {:>9} {:>9}", "scan of all rows", "best ms", "alone", "share");
    for text in SCANS {
        let alone = format!("options(concurrency=1) {text}");
        // In turn, so that both have the same of what else the machine does.
        let (mut all_best, mut alone_best) = (f64::MAX, f64::MAX);
        for _ in 0..SCAN_TIMES {
            all_best = all_best.min(ask(engine, text).2);
            alone_best = alone_best.min(ask(engine, &alone).2);
        }
        let share = round(all_best / alone_best, 2);
        println!("{text:<72} {:>9} {:>9} {share:>9}", round(all_best, 1), round(alone_best, 1));
    }
}

/// How many rows a query has, the last one, and how long it took in milliseconds.
fn ask(engine: &Engine, text: &str) -> (usize, String, f64) {
    let query = parse(text).unwrap_or_else(|fault| panic!("{text}: {fault}"));
    let (mut rows, mut answer) = (0, String::new());
    let started = Instant::now();
    let take = &mut |block: Block| {
        for row in 0..block.rows() {
            rows += 1;
            answer = block.row_json(row);
        }
        Ok(Flow::More)
    };
    engine.query(&query, &QueryControl::default(), take).expect("an answer");
    (rows, answer, started.elapsed().as_secs_f64() * 1e3)
}

fn measure(engine: &Engine, name: &str, text: &str) {
    let query = parse(text).unwrap_or_else(|fault| panic!("{text}: {fault}"));
    let run = || engine.query(&query, &QueryControl::default(), &mut |_| Ok(Flow::More)).expect("an answer").stats;
    run();
    let (rows, answer, _) = ask(engine, text);
    let stats = run();
    let cpu_before = support::cpu_seconds();
    let mut times: Vec<f64> = (0..TIMES)
        .map(|_| {
            let (.., ms) = ask(engine, text);
            ms
        })
        .collect();
    let cpu = round((support::cpu_seconds() - cpu_before) * 1e3 / TIMES as f64, 1);
    times.sort_by(f64::total_cmp);
    let (best, median) = (round(times[0], 2), round(times[TIMES / 2], 2));
    let read = (stats.head_bytes + stats.row_bytes + stats.code_bytes + stats.value_bytes) >> 10;
    println!("{name:<72} {rows:>9} {best:>9} {median:>9} {cpu:>8} {read:>9}");
    let answer: String = answer.chars().take(150).collect();
    println!("    {text}\n    {answer}");
}
