//! The queries of the reference table over a sealed store, as LogsQL through the engine: best of many, warm, in process.
//!
//! `cargo bench --bench logsql [-- FILE | ROWS | STORE [QUERY]]`. What is looked for is taken from the data. With a part of a
//! query's name only such queries are measured, with a query in LogsQL that one.
#![allow(missing_docs, clippy::indexing_slicing, reason = "a program for people, which fails by panicking")]
#[allow(dead_code, reason = "each program uses a part")]
mod support;
#[allow(dead_code, reason = "each program uses a part")]
mod workload;

use logyard_storage::engine::{Engine, QueryControl, Search};
use logyard_storage::query::{Block, Flow, parse};
use logyard_storage::scan::filter::{Filter, Test};
use std::time::Instant;
use support::round;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const TIMES: usize = 15;
/// Digits of an identifier in a message that is looked for as a word.
const HEX_DIGITS: usize = 8;

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
    println!("peak memory {} MB", support::peak_memory_mb().round());
}

/// The queries, each by its name.
fn queries(engine: &Engine) -> Vec<(&'static str, String)> {
    let rows = engine.stats().expect("sizes").rows as usize;
    let sample = |filter: Filter, offset: usize| {
        let search = Search { limit: 1, offset, filter, ..Search::default() };
        engine.search(&search).expect("a search").pop()
    };
    let trace = sample(Filter::All, rows / 2).map(|r| r.get("metadata.trace_id").to_owned()).unwrap_or_default();
    let claim = Filter::Field("_msg".into(), Test::phrase("Attempting claim: memory", false));
    let claim = sample(claim, 10).map(|r| r.get("_msg").to_owned()).unwrap_or_default();
    let claim: String =
        claim.split("Attempting").nth(1).unwrap_or(" claim: memory 0").split_inclusive(' ').take(4).collect();
    vec![
        ("trace id, whole record", format!("metadata.trace_id:=\"{trace}\"")),
        ("rare hex id in messages, as a word", rare_word(engine, rows)),
        ("rare phrase", format!("\"Attempting{}\"", claim.trim_end())),
        ("count of all", "* | stats count() n".into()),
        ("count by level", "* | stats by (level) count() n".into()),
        (
            "newest 100 errors of a service",
            "service_name:=openssh level:=ERROR | sort by (_time) desc | limit 100".into(),
        ),
        ("newest 50 with a phrase", "\"Received connection request\" | sort by (_time) desc | limit 50".into()),
        ("failed by hour", "\"failed\" | stats by (_time:1h) count() n".into()),
        (
            "status 500 by host, p95",
            "metadata.status:=500 | stats by (metadata.host) count() n, quantile(0.95, metadata.duration_ms) p \
             | sort by (n) desc | limit 10"
                .into(),
        ),
        ("regexp count", "_msg:~\"rhost=[^ ]+ .*user=(root|admin)\" | stats count() n".into()),
        ("substring count: ail", "_msg:~\"ail\" | stats count() n".into()),
        ("word count: connection", "connection | stats count() n".into()),
        ("substring count: nnection req", "_msg:~\"nnection req\" | stats count() n".into()),
        ("distinct users", "* | stats count_uniq(metadata.user_id) u".into()),
    ]
}

/// A word of hex digits out of some message.
fn rare_word(engine: &Engine, rows: usize) -> String {
    for step in 1..200 {
        let search = Search { limit: 50, offset: rows / 200 * step, ..Search::default() };
        for record in engine.search(&search).expect("a search") {
            let words = record.get("_msg").split(|c: char| !c.is_ascii_alphanumeric());
            let is_hex = |word: &&str| {
                word.len() >= HEX_DIGITS
                    && word.bytes().all(|byte| byte.is_ascii_hexdigit())
                    && word.bytes().any(|byte| byte.is_ascii_alphabetic())
                    && word.bytes().any(|byte| byte.is_ascii_digit())
            };
            if let Some(word) = words.into_iter().find(is_hex) {
                return word.to_owned();
            }
        }
    }
    "0badcafe".into()
}

fn measure(engine: &Engine, name: &str, text: &str) {
    let query = parse(text).unwrap_or_else(|fault| panic!("{text}: {fault}"));
    let run = || {
        let mut answer = String::new();
        let mut rows = 0;
        let stats = engine.query(&query, &QueryControl::default(), &mut |block: Block| {
            for row in 0..block.rows() {
                rows += 1;
                answer = block.row_json(row);
            }
            Ok(Flow::More)
        });
        (rows, answer, stats.expect("an answer").stats)
    };
    run();
    let (rows, answer, stats) = run();
    let cpu_before = support::cpu_seconds();
    let mut times: Vec<f64> = (0..TIMES)
        .map(|_| {
            let started = Instant::now();
            run();
            started.elapsed().as_secs_f64() * 1e3
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
