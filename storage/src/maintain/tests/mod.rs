//! Retention, deletion, budgets, the scrubber and the pace of it all, on a simulated machine.
mod budgets;
mod damage;
mod deletion;
mod failures;
mod model;
mod pace;
mod retention;

use crate::batch::{BatchBuilder, Stream};
use crate::catalog::ServiceConfig;
use crate::engine::{Ack, Append, Engine, Options, Search};
use crate::env::Env;
use crate::env::sim::SimEnv;
use crate::scan::filter::{Filter, Test};
use std::sync::Arc;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

fn options() -> Options {
    // Of the blocks here some are copied and some encoded again.
    Options { background: false, wal_file_bytes: 256 << 10, copy_rows_min: 40, ..Options::new("/data") }
}

fn open(env: &SimEnv) -> Arc<Engine> {
    open_with(env, options())
}

fn open_with(env: &SimEnv, options: Options) -> Arc<Engine> {
    Engine::open(Arc::new(env.process()), options).unwrap()
}

/// Rows of a service named by their numbers, with these event times.
fn rows(service: &str, numbers: std::ops::Range<u32>, time: impl Fn(u32) -> i64) -> Append {
    let mut builder = BatchBuilder::new();
    for number in numbers {
        builder.begin_row();
        builder.time(time(number));
        builder.string("_msg", &format!("row number {number} of somebody"));
        builder.string("n", &number.to_string());
        builder.string("kind", ["red", "green", "blue"][number as usize % 3]);
        builder.commit_row_in(&Stream { service: service.into(), tags: "{}".into() });
    }
    Append::new(builder.finish().unwrap(), Ack::Wal)
}

fn put(engine: &Engine, env: &SimEnv, service: &str, numbers: std::ops::Range<u32>) {
    let now = env.now();
    engine.append(rows(service, numbers, |_| now)).unwrap();
}

fn shown(engine: &Engine) -> Vec<u32> {
    let mut all = Vec::new();
    engine.for_each(|record| all.push(record.get("n").parse().unwrap())).unwrap();
    all.sort_unstable();
    let found = engine.search(&Search { limit: usize::MAX, ..Search::default() }).unwrap();
    let mut found: Vec<u32> = found.iter().map(|record| record.get("n").parse().unwrap()).collect();
    found.sort_unstable();
    assert_eq!(found, all);
    assert_eq!(engine.count(&Search::default()).unwrap(), all.len() as u64);
    all
}

fn numbers(ranges: &[std::ops::Range<u32>]) -> Vec<u32> {
    ranges.iter().cloned().flatten().collect()
}

fn span(numbers: std::ops::Range<u32>) -> Vec<u32> {
    numbers.collect()
}

fn ttl(days: i32) -> ServiceConfig {
    ServiceConfig { ttl_days: days, ..ServiceConfig::default() }
}

fn kind(kind: &str) -> Search {
    Search { filter: Filter::Field("kind".into(), Test::exact(kind)), ..Search::default() }
}

fn segment_files(env: &SimEnv) -> Vec<std::path::PathBuf> {
    env.files().into_iter().map(|(path, _)| path).filter(|path| path.extension().is_some_and(|e| e == "seg")).collect()
}

/// What is in segment files, whatever is hidden.
fn on_disk(env: &SimEnv) -> u64 {
    let rows =
        |path: &std::path::PathBuf| crate::segment::Segment::open(env, path, &Arc::default()).unwrap().footer.rows();
    segment_files(env).iter().map(rows).sum()
}
