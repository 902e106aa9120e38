//! Single records from 64 threads, each waiting until its record is synced.
//!
//! `cargo bench --bench singles [-- SECONDS]`.
//!
//! Invariants
//! * A writer has one record under way: the next is sent when this one is synced.
#![allow(missing_docs, clippy::indexing_slicing, reason = "a program for people, which fails by panicking")]
#[allow(dead_code, reason = "each program uses a part")]
mod support;
#[allow(dead_code, reason = "each program uses a part")]
mod workload;

use logyard_storage::batch::BatchBuilder;
use logyard_storage::engine::{Ack, Append, Engine, Options};
use logyard_storage::env::RealEnv;
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::{Input, round};
use workload::{Reference, Source};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const WRITERS: u64 = 64;

fn main() {
    let Input::Rows(seconds) = support::input(10) else { panic!("how many seconds?") };
    let directory = support::directory();
    let engine = Engine::open(Arc::new(RealEnv::new()), Options::new(directory.path())).expect("a new store");
    let source = Reference::new(42);
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut micros: Vec<u32> = std::thread::scope(|scope| {
        let write = |source| || write(&engine, source, until);
        let writers: Vec<_> = (0..WRITERS).map(|seed| scope.spawn(write(source.with_seed(seed)))).collect();
        writers.into_iter().flat_map(|writer| writer.join().expect("a writer that ends")).collect()
    });
    let stats = engine.stats().expect("sizes");
    engine.close().expect("a clean end");
    micros.sort_unstable();
    let share = |share: f64| micros.get((micros.len() as f64 * share) as usize).or(micros.last());
    let ms = |share_of_all: f64| share(share_of_all).map(|micros| round(f64::from(*micros) / 1e3, 2));
    let line = json!({
        "writers": WRITERS,
        "seconds": seconds,
        "acks_per_s": micros.len() as u64 / seconds.max(1),
        "p50_ms": ms(0.5),
        "p99_ms": ms(0.99),
        "p999_ms": ms(0.999),
        "max_ms": ms(1.0),
        "rows": stats.rows,
        "rss_mb": support::peak_memory_mb().round(),
    });
    println!("{line}");
}

/// Appends until the time is over; gives how long each took, in microseconds.
fn write(engine: &Engine, mut source: Reference, until: Instant) -> Vec<u32> {
    let (mut builder, mut micros) = (BatchBuilder::new(), Vec::new());
    loop {
        source.next(&mut builder);
        let started = Instant::now();
        if started >= until {
            return micros;
        }
        let batch = builder.finish().expect("a batch of one");
        engine.append(Append::new(batch, Ack::Wal)).expect("an append that is synced");
        micros.push(u32::try_from(started.elapsed().as_micros()).unwrap_or(u32::MAX));
    }
}
