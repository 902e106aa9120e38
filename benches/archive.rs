//! Segments in object storage: what a search fetches of them, and what moving them costs.
//!
//! `cargo bench --bench archive [-- ROWS]`: so many records of the reference set, a million in each segment, copied to a target in a
//! directory, whose files then leave. A request is counted as it is for any target: what a network adds is its time.
//!
//! Invariants
//! * Every search is asked of an engine that was just opened, so that nothing of a block is kept; of filters what is said.
//! * Nothing runs in the background.
#![allow(missing_docs, clippy::indexing_slicing, reason = "a program for people, which fails by panicking")]
#[allow(dead_code, reason = "each program uses a part")]
mod support;
#[allow(dead_code, reason = "each program uses a part")]
mod workload;

use logyard_storage::archive::{Store, StoreLimits, Target, runtime};
use logyard_storage::batch::BatchBuilder;
use logyard_storage::engine::{Ack, Append, Control, Engine, Options, Restoring, Search};
use logyard_storage::env::{Env, RealEnv};
use logyard_storage::record::Record;
use logyard_storage::scan::filter::{Filter, Test};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::{Input, round};
use workload::{Reference, Source};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SEGMENT_ROWS: u64 = 1_000_000;
const BATCH_ROWS: u64 = 1_000;

fn main() {
    let rows = match support::input(100 * SEGMENT_ROWS) {
        Input::Rows(rows) => rows,
        Input::File(file) => panic!("{}: say how many records", file.display()),
    };
    let directory = support::directory();
    let (data, bucket) = (directory.path().join("data"), directory.path().join("bucket"));
    let samples = fill(&data, &bucket, rows);
    for filters in [2 << 30, 0] {
        searches(&data, &bucket, filters, &samples);
    }
    restore(&data, &bucket);
}

fn open(data: &Path, bucket: &Path, filters: u64) -> Arc<Engine> {
    let env: Arc<dyn Env> = Arc::new(RealEnv::new());
    let store =
        Store::directory(&env, bucket, StoreLimits::default(), &runtime().expect("threads")).expect("a directory");
    let options = Options {
        background: false,
        archive: vec![Target::new("main", Arc::new(store))],
        cold_index_bytes: filters,
        default_ttl_days: None,
        ..Options::new(data)
    };
    Engine::open(env, options).expect("a store")
}

/// Makes the segments, copies them and lets them leave. Gives some trace ids, each of another segment.
fn fill(data: &Path, bucket: &Path, rows: u64) -> Vec<String> {
    let engine = open(data, bucket, 2 << 30);
    let (mut source, mut builder) = (Reference::new(42), BatchBuilder::new());
    let mut samples = Vec::new();
    let (mut bytes, mut seconds, mut cpu) = (0, 0.0, 0.0);
    for segment in 0..rows.div_ceil(SEGMENT_ROWS) {
        for _ in 0..SEGMENT_ROWS.min(rows) / BATCH_ROWS {
            for _ in 0..BATCH_ROWS {
                source.next(&mut builder);
            }
            engine.append(Append::new(builder.finish().expect("a batch"), Ack::Memory)).expect("an append");
        }
        if segment % 7 == 3 || rows <= SEGMENT_ROWS {
            samples.extend(newest(&engine, None, 1).0.iter().filter_map(trace_id));
        }
        engine.seal().expect("a segment");
        let (began, before) = (Instant::now(), support::cpu_seconds());
        let report = engine.offload(true, &mut |_| Ok(())).expect("a copy");
        assert!(report.failed.is_empty(), "{:?}", report.failed);
        bytes += report.bytes;
        seconds += began.elapsed().as_secs_f64();
        cpu += support::cpu_seconds() - before;
    }
    let status = engine.archive_status();
    let line = json!({
        "what": "offload to a directory, read back and compared",
        "segments": status.away.0,
        "mb": round(bytes as f64 / 1e6, 0),
        "mb_per_s": round(bytes as f64 / 1e6 / seconds, 0),
        "cpu_s_per_gb": round(cpu * 1e9 / bytes as f64, 2),
        "filters_mb": round(status.index_bytes as f64 / 1e6, 0),
    });
    println!("{line}");
    engine.close().expect("an end in order");
    samples
}

fn trace_id(record: &Record) -> Option<String> {
    let text = record.to_json(|_| true);
    let (_, rest) = text.split_once("\"trace_id\":\"")?;
    Some(rest.split_once('"')?.0.to_owned())
}

/// The newest records of a service, and the requests, bytes and milliseconds that it took to find them.
fn newest(engine: &Engine, service: Option<&str>, limit: usize) -> (Vec<Record>, u64, u64, f64) {
    let services = service.map(str::to_owned).into_iter().collect();
    asked(engine, &Search { services, limit, ..Search::default() })
}

fn asked(engine: &Engine, search: &Search) -> (Vec<Record>, u64, u64, f64) {
    let began = Instant::now();
    let (found, stats) = engine.search_with(search, &Control::default()).expect("an answer");
    (found, stats.bucket_gets, stats.bucket_bytes, began.elapsed().as_secs_f64() * 1e3)
}

fn searches(data: &Path, bucket: &Path, filters: u64, samples: &[String]) {
    let filters_are = if filters > 0 { "here" } else { "evicted" };
    let print = |what: &str, (found, gets, bytes, ms): (usize, u64, u64, f64)| {
        let mb = round(bytes as f64 / 1e6, 2);
        println!(
            "{}",
            json!({"what": what, "filters": filters_are, "found": found, "gets": gets, "mb": mb, "ms": round(ms, 1)})
        );
    };
    for id in samples {
        let engine = open(data, bucket, filters);
        let filter = Filter::Field("metadata.trace_id".into(), Test::exact(id));
        let (found, gets, bytes, ms) = asked(&engine, &Search { filter, limit: 10, ..Search::default() });
        print("trace id, whole record", (found.len(), gets, bytes, ms));
    }
    let services = open(data, bucket, filters).services();
    for service in services.iter().step_by(services.len().div_ceil(4).max(1)) {
        let engine = open(data, bucket, filters);
        let (found, gets, bytes, ms) = newest(&engine, Some(service), 100);
        print(&format!("newest 100 of {service}"), (found.len(), gets, bytes, ms));
    }
    let engine = open(data, bucket, filters);
    let began = Instant::now();
    let (counted, stats) = engine.count_with(&Search::default(), &Control::default()).expect("a count");
    print(
        "count of all",
        (counted as usize, stats.bucket_gets, stats.bucket_bytes, began.elapsed().as_secs_f64() * 1e3),
    );
}

/// Brings everything back, and says how much memory that took above what was used before.
fn restore(data: &Path, bucket: &Path) {
    let engine = open(data, bucket, 2 << 30);
    // What was used most is counted from now on.
    let reset = std::fs::write("/proc/self/clear_refs", "5").is_ok();
    let (before, began) = (support::peak_memory_mb(), Instant::now());
    let wanted = Restoring { since: i64::MIN, before: i64::MAX, service: None, ttl: Duration::from_secs(3_600) };
    let report = engine.restore(&wanted, &mut |_, _| Ok(())).expect("all of it");
    let line = json!({
        "what": "restore",
        "segments": report.segments,
        "mb": round(report.bytes as f64 / 1e6, 0),
        "mb_per_s": round(report.bytes as f64 / 1e6 / began.elapsed().as_secs_f64(), 0),
        "memory_mb_above": reset.then(|| round(support::peak_memory_mb() - before, 1)),
    });
    println!("{line}");
}
