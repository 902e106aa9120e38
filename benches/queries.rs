//! Searches over a sealed store: best and median of many, and processor time of all threads, warm, in process.
//!
//! `cargo bench --bench queries [-- FILE | ROWS | STORE | nested [QUERY]]`. Counts of substrings, also as LogsQL, are compared with a scan of all
//! texts, unless one query is named, by a part of its name.
//!
//! Invariants
//! * Where all queries are measured, a count of a substring that is not that of a scan ends it.
#![allow(missing_docs, clippy::indexing_slicing, reason = "a program for people, which fails by panicking")]
#[allow(dead_code, reason = "each program uses a part")]
mod support;
#[allow(dead_code, reason = "each program uses a part")]
mod workload;

use logyard_storage::engine::{Engine, QueryControl, Search};
use logyard_storage::query::{Block, Flow, parse};
use logyard_storage::scan::filter::{Filter, Test};
use serde_json::json;
use std::sync::Arc;
use std::time::Instant;
use support::round;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const TIMES: usize = 40;
const PARTS: [&str; 2] = ["nnection req", "ail"];
/// What a record is found by, and what says how a request ended, in one set of records or the other.
const IDS: [&str; 4] = ["metadata.trace_id", "metadata.trace.id", "metadata.trace.span", "metadata.user.id"];
const STATUS: [&str; 2] = ["metadata.status", "metadata.http.status"];

fn main() {
    let directory = support::directory();
    let store = Store { engine: support::sealed_store(&directory), only: support::wanted() };
    if store.only.is_empty() {
        store.compare_with_a_scan();
    }
    store.measure();
    println!("{}", json!({ "rss_mb": support::peak_memory_mb().round() }));
}

fn field(name: &str, test: Test) -> Filter {
    Filter::Field(name.into(), test)
}

fn words(text: &str) -> Filter {
    field("_msg", Test::phrase(text, false))
}

struct Store {
    engine: Arc<Engine>,
    /// Queries whose name has this are measured.
    only: String,
}

impl Store {
    fn compare_with_a_scan(&self) {
        let mut scanned = [0u64; PARTS.len()];
        let count = |record: logyard_storage::record::Record| {
            for (part, found) in PARTS.iter().zip(&mut scanned) {
                *found += u64::from(record.get("_msg").contains(part));
            }
        };
        self.engine.for_each(count).expect("a scan");
        for (part, scanned) in PARTS.iter().zip(scanned) {
            assert_eq!(self.count(field("_msg", Test::Substring((*part).into()))), scanned, "{part}");
            assert_eq!(self.asked(&format!("_msg:~\"{part}\" | stats count() n")), scanned, "{part} in LogsQL");
        }
    }

    /// The number that a LogsQL query answers with.
    fn asked(&self, text: &str) -> u64 {
        let query = parse(text).unwrap_or_else(|fault| panic!("{text}: {fault}"));
        let mut answer = String::new();
        let take = &mut |block: Block| {
            answer = block.row_json(0);
            Ok(Flow::More)
        };
        self.engine.query(&query, &QueryControl::default(), take).expect("an answer");
        answer.chars().filter(char::is_ascii_digit).collect::<String>().parse().expect("a number")
    }

    fn count(&self, filter: Filter) -> u64 {
        self.engine.count(&Search { filter, ..Search::default() }).expect("a count")
    }

    fn newest(&self, filter: Filter, services: &[&str], limit: usize) -> u64 {
        let services = services.iter().map(|service| (*service).to_owned()).collect();
        let search = Search { filter, services, limit, ..Search::default() };
        self.engine.search(&search).expect("a search").len() as u64
    }

    fn measure(&self) {
        // What is looked for is taken from the data, far from its newest end, but no further than a search may pass over.
        let rows = self.engine.stats().expect("sizes").rows as usize;
        let search = Search { limit: 1, offset: (rows / 2).min(2_000_000), ..Search::default() };
        let sample = self.engine.search(&search).expect("a search").pop().expect("a record");
        let (service, message) = (sample.get("service_name"), sample.get("_msg"));
        let phrase: String = message.split_inclusive(' ').take(3).collect();
        let phrase = phrase.trim_end();
        for name in IDS.into_iter().filter(|name| !sample.get(name).is_empty()) {
            let id = || field(name, Test::exact(sample.get(name)));
            self.time(&format!("{name}, whole record"), || self.newest(id(), &[], 1));
        }
        self.time("record by its id", || u64::from(self.engine.get(sample.id()).expect("a look").is_some()));
        self.time("count of all", || self.count(Filter::All));
        self.time("word count: connection", || self.count(words("connection")));
        self.time("word count: failed", || self.count(words("failed")));
        self.time(&format!("phrase count: {phrase}"), || self.count(words(phrase)));
        self.time(&format!("whole message count: {message}"), || self.count(words(message)));
        for part in PARTS {
            self.time(&format!("substring count: {part}"), || self.count(field("_msg", Test::Substring(part.into()))));
        }
        self.time("count by level", || {
            let levels = ["DEBUG", "INFO", "WARN", "ERROR", "CRITICAL"];
            levels.map(|level| self.count(field("level", Test::exact(level)))).iter().sum()
        });
        let status = STATUS.into_iter().find(|name| !sample.get(name).is_empty()).unwrap_or_default();
        self.time("status 500 count", || self.count(field(status, Test::exact("500"))));
        let error = || field("level", Test::exact("ERROR"));
        self.time("newest 100 errors of a service", || self.newest(error(), &[service], 100));
        self.time("newest 50 with a phrase", || self.newest(words("Received connection"), &[], 50));
    }

    fn time(&self, name: &str, query: impl Fn() -> u64) {
        if name.contains(&self.only) {
            measure(name, query);
        }
    }
}

fn measure(name: &str, query: impl Fn() -> u64) {
    let mut times = Vec::with_capacity(TIMES);
    let mut found = query();
    let cpu_before = support::cpu_seconds();
    for _ in 0..TIMES {
        let started = Instant::now();
        found = query();
        times.push(started.elapsed().as_secs_f64() * 1e3);
    }
    let cpu = round((support::cpu_seconds() - cpu_before) * 1e3 / TIMES as f64, 1);
    times.sort_by(f64::total_cmp);
    let (best, median) = (round(times[0], 2), round(times[TIMES / 2], 2));
    println!("{}", json!({ "query": name, "found": found, "best_ms": best, "median_ms": median, "cpu_ms": cpu }));
}
