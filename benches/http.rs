//! The queries of the reference table over HTTP, asked of the program: warm, beside ingest, and after a restart with the page cache
//! dropped.
//!
//! `cargo bench --bench http [-- FILE | ROWS | STORE [QUERY]]`. A store that is given is copied first. Dropping the page cache takes
//! the right to write `/proc/sys/vm/drop_caches`; without it these figures are left out.
//!
//! Invariants
//! * An answer has as many rows over HTTP as in process, or nothing is printed.
//! * A store that is given is never written to.
#![allow(missing_docs, clippy::indexing_slicing, reason = "a program for people, which fails by panicking")]
mod asked;
#[allow(dead_code, reason = "each program uses a part")]
mod support;
#[allow(dead_code, reason = "each program uses a part")]
mod workload;

use logyard_storage::engine::{Engine, Options, QueryControl};
use logyard_storage::env::RealEnv;
use logyard_storage::query::{Block, Flow, parse};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use support::round;
use workload::{JsonLines, Reference, Source};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const TIMES: usize = 15;
/// What comes in beside: so many rows at once, so often.
const BODY_ROWS: usize = 5_000;
const BODY_EACH: Duration = Duration::from_millis(50);
/// How long rows come in before the first query: some hundred thousand are not sealed then.
const BESIDE_SINCE: Duration = Duration::from_secs(3);
/// Different bodies, which come again and again.
const BODIES: usize = 20;
const DROP_CACHES: &str = "/proc/sys/vm/drop_caches";

/// Best and median of some times, in milliseconds.
type Times = (f64, f64);

fn main() {
    let directory = support::directory();
    let (data, only) = (store(&directory), support::wanted());
    let (queries, expected): (Vec<(&str, String)>, Vec<usize>) = {
        let engine = Engine::open(Arc::new(RealEnv::new()), Options::new(&data)).expect("the store");
        let wanted = asked::queries(&engine).into_iter().filter(|(name, _)| name.contains(&only));
        let counted = wanted.map(|(name, query)| {
            let rows = rows_in_process(&engine, &query);
            ((name, query), rows)
        });
        let queries = counted.unzip();
        engine.close().expect("a clean end");
        queries
    };
    let warm: Vec<(usize, Times)> = {
        let server = Server::start(&data);
        queries.iter().map(|(_, query)| (server.ask(query).0, server.times(query))).collect()
    };
    for (((name, _), (rows, _)), expected) in queries.iter().zip(&warm).zip(expected) {
        assert_eq!(*rows, expected, "{name}: over HTTP and in process");
    }
    let cold: Option<Vec<f64>> = queries.iter().map(|(_, query)| cold(&data, query)).collect();
    if cold.is_none() {
        println!("{DROP_CACHES} may not be written: no figures after a restart");
    }
    let (beside, rate) = beside(&data, &queries);
    println!("beside: {rate} rows/s came in");
    println!(
        "{:<40} {:>7} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "query", "rows", "best ms", "median", "beside", "median", "cold"
    );
    for (at, (name, _)) in queries.iter().enumerate() {
        let (rows, (best, median)) = warm[at];
        let (best_beside, median_beside) = beside[at];
        let cold = cold.as_ref().map_or("-".into(), |cold| round(cold[at], 1).to_string());
        let (a, b) = (round(best, 2), round(median, 2));
        let (c, d) = (round(best_beside, 2), round(median_beside, 2));
        println!("{name:<40} {rows:>7} {a:>9} {b:>9} {c:>9} {d:>9} {cold:>9}");
    }
}

/// How many rows the engine answers with.
fn rows_in_process(engine: &Engine, text: &str) -> usize {
    let query = parse(text).unwrap_or_else(|fault| panic!("{text}: {fault}"));
    let mut rows = 0;
    let take = &mut |block: Block| {
        rows += block.rows();
        Ok(Flow::More)
    };
    engine.query(&query, &QueryControl::default(), take).expect("an answer");
    rows
}

/// A store that is ours to write into.
fn store(directory: &tempfile::TempDir) -> PathBuf {
    if let support::Input::File(store) = support::input(4_000_000)
        && store.is_dir()
    {
        let copy = directory.path().join("copy");
        let copied = Command::new("cp").arg("-r").arg(&store).arg(&copy).status().expect("cp starts");
        assert!(copied.success(), "{copied}");
        return copy;
    }
    let engine = support::sealed_store(directory);
    engine.close().expect("a clean end");
    directory.path().join("data")
}

/// How long a query takes as the first one after a restart, with no page of any file in memory; nothing where that cannot be had.
fn cold(data: &Path, query: &str) -> Option<f64> {
    drop_caches()?;
    let server = Server::start(data);
    drop_caches()?;
    Some(server.ask(query).1)
}

fn drop_caches() -> Option<()> {
    let synced = Command::new("sync").status().expect("sync starts");
    assert!(synced.success(), "{synced}");
    std::fs::write(DROP_CACHES, "3").ok()
}

/// The times of queries while rows come in, and how many rows a second did.
fn beside(data: &Path, queries: &[(&str, String)]) -> (Vec<Times>, u64) {
    let mut source = Reference::new(7);
    let bodies: Vec<String> = (0..BODIES)
        .map(|_| {
            let mut lines = JsonLines::default();
            (0..BODY_ROWS).for_each(|_| source.next(&mut lines));
            lines.text
        })
        .collect();
    let server = Server::start(data);
    let (is_over, sent, started) = (AtomicBool::new(false), AtomicU64::new(0), Instant::now());
    let times = std::thread::scope(|scope| {
        scope.spawn(|| {
            for (turn, body) in (0u32..).zip(bodies.iter().cycle()) {
                let due = started + BODY_EACH * turn;
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                server.insert(body);
                sent.fetch_add(BODY_ROWS as u64, Ordering::Relaxed);
            }
        });
        std::thread::sleep(BESIDE_SINCE);
        let times = queries.iter().map(|(_, query)| server.times(query)).collect();
        is_over.store(true, Ordering::Relaxed);
        times
    });
    (times, (sent.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64()) as u64)
}

/// The program, until this is dropped.
struct Server {
    child: Child,
    address: String,
    agent: ureq::Agent,
}

impl Server {
    fn start(data: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_logyard"));
        command.args(["serve", "--no-auth", "--listen", "127.0.0.1:0", "--data"]).arg(data);
        command.env("LOGYARD_RETENTION_DISK_BUDGET", "100%");
        let mut child = command.stderr(Stdio::piped()).stdin(Stdio::null()).spawn().expect("the program starts");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
        let address = lines.find_map(|line| line.strip_prefix("listening on ").map(str::to_owned));
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address: address.expect("an address"), agent: ureq::Agent::new_with_defaults() }
    }

    /// How many rows a query has, and how long it took in milliseconds.
    fn ask(&self, query: &str) -> (usize, f64) {
        let started = Instant::now();
        let request = self.agent.post(format!("{}/select/logsql/query", self.address));
        let mut response = request.send_form([("query", query)]).expect("an answer");
        let body = response.body_mut().with_config().limit(u64::MAX).read_to_vec().expect("all of it");
        let ms = started.elapsed().as_secs_f64() * 1e3;
        (body.iter().filter(|byte| **byte == b'\n').count(), ms)
    }

    /// Best and median of many.
    fn times(&self, query: &str) -> Times {
        let mut times: Vec<f64> = (0..TIMES).map(|_| self.ask(query).1).collect();
        times.sort_by(f64::total_cmp);
        (times[0], times[TIMES / 2])
    }

    fn insert(&self, body: &str) {
        let path = "/insert/jsonline?_time_field=timestamp&_msg_field=message";
        self.agent.post(format!("{}{path}", self.address)).send(body).expect("rows that are taken");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A clean end: what is measured is no recovery. The shell's own `kill` is there on every machine.
        let kill = format!("kill {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().is_ok_and(|status| status.success()), "kill");
        self.child.wait().expect("an end");
    }
}
