//! Copying to an S3 server on this machine: how fast it goes, and what it costs who sends records meanwhile.
//!
//! `cargo bench --bench offload [-- ROWS]`: a store of so many records of the reference set, a million in each segment, is copied to a
//! server in this process. Then the program takes 50,000 rows a second over HTTP, in requests of 1,000, from a store of the same
//! segments, with and without such a target, in turns. Requests are sent when they are due, whether the ones before were answered or not,
//! and are measured from then on.
//!
//! Invariants
//! * The server checks signatures, and its own work is done by this process, on the same cores.
//! * What was copied was read back and compared, as always.
#![allow(missing_docs, clippy::indexing_slicing, reason = "a program for people, which fails by panicking")]
#[allow(dead_code, reason = "each program uses a part")]
mod support;
#[allow(dead_code, reason = "each program uses a part")]
mod workload;

use logyard_s3_rig::Server;
use logyard_storage::archive::{S3Access, Store, StoreLimits, Target, runtime};
use logyard_storage::batch::BatchBuilder;
use logyard_storage::engine::{Ack, Append, Engine, Options};
use logyard_storage::env::{Env, RealEnv};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use support::{Input, round};
use workload::{JsonLines, Reference, Source};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SEGMENT_ROWS: u64 = 1_000_000;
const BATCH_ROWS: usize = 1_000;
/// A request of so many rows, so often: 50,000 a second.
const EACH: Duration = Duration::from_millis(20);
/// Requests of a run, and others before that are not measured.
const REQUESTS: usize = 3_000;
const WARM: usize = 100;
/// Connections that requests wait for.
const SENDERS: usize = 16;
const ROUNDS: usize = 3;
const BODIES: usize = 50;

fn main() {
    let Input::Rows(rows) = support::input(10 * SEGMENT_ROWS) else { panic!("how many records?") };
    let directory = support::directory();
    let data = directory.path().join("data");
    fill(&data, rows);
    for at_once in [1, 2, 4] {
        idle(&data, &directory.path().join("copy"), at_once);
    }
    let bodies = bodies();
    for round in 1..=ROUNDS {
        for with in [false, true] {
            println!("{}", beside(&data, &directory.path().join("beside"), &bodies, round, with));
        }
    }
}

fn engine(data: &Path, archive: Vec<Target>) -> Arc<Engine> {
    let env: Arc<dyn Env> = Arc::new(RealEnv::new());
    Engine::open(env, Options { background: false, archive, default_ttl_days: None, ..Options::new(data) })
        .expect("a store")
}

fn fill(data: &Path, rows: u64) {
    let engine = engine(data, Vec::new());
    let (mut source, mut builder) = (Reference::new(42), BatchBuilder::new());
    for _segment in 0..rows.div_ceil(SEGMENT_ROWS) {
        for _ in 0..SEGMENT_ROWS.min(rows) as usize / BATCH_ROWS {
            (0..BATCH_ROWS).for_each(|_| source.next(&mut builder));
            engine.append(Append::new(builder.finish().expect("a batch"), Ack::Memory)).expect("an append");
        }
        engine.seal().expect("a segment");
    }
    engine.close().expect("an end in order");
}

fn copy(from: &Path, to: &Path) {
    let _gone = std::fs::remove_dir_all(to);
    let copied = Command::new("cp").arg("-r").arg(from).arg(to).status().expect("cp starts");
    assert!(copied.success(), "{copied}");
}

/// Copies everything while nothing comes in.
fn idle(data: &Path, own: &Path, at_once: usize) {
    copy(data, own);
    let server = Server::start();
    let access = S3Access {
        bucket: server.bucket().into(),
        prefix: "idle".into(),
        endpoint: Some(server.endpoint().into()),
        region: "auto".into(),
        access_key_id: Some(server.key().id.clone()),
        secret_access_key: Some(server.key().secret.clone()),
        storage_class: None,
    };
    let store = Store::s3(&access, StoreLimits::default(), &runtime().expect("threads")).expect("a bucket");
    let engine = engine(own, vec![Target { at_once, ..Target::new("main", Arc::new(store)) }]);
    let (began, before) = (Instant::now(), support::cpu_seconds());
    let report = engine.offload(false, &mut |_| Ok(())).expect("copies");
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    let seconds = began.elapsed().as_secs_f64();
    let line = json!({
        "what": "offload to S3, read back and compared",
        "at_once": at_once,
        "segments": report.segments,
        "mb": round(report.bytes as f64 / 1e6, 0),
        "mb_per_s": round(report.bytes as f64 / 1e6 / seconds, 0),
        "cpu_s_per_gb_with_the_server": round((support::cpu_seconds() - before) * 1e9 / report.bytes as f64, 2),
    });
    println!("{line}");
}

fn bodies() -> Vec<String> {
    let mut source = Reference::new(7);
    let body = |_| {
        let mut lines = JsonLines::default();
        (0..BATCH_ROWS).for_each(|_| source.next(&mut lines));
        lines.text
    };
    (0..BODIES).map(body).collect()
}

/// Sends records while segments are copied, or are not.
fn beside(data: &Path, own: &Path, bodies: &[String], turn: usize, with: bool) -> Value {
    copy(data, own);
    let server = Server::start();
    let program = Program::start(own, with.then_some(&server));
    let (is_copying, is_over) = (AtomicBool::new(with), AtomicBool::new(false));
    let next = AtomicUsize::new(0);
    let began = Instant::now();
    let mut sent: Vec<(bool, f64)> = Vec::new();
    std::thread::scope(|scope| {
        let senders: Vec<_> =
            (0..SENDERS).map(|_| scope.spawn(|| send(&program, bodies, &next, began, &is_copying))).collect();
        let watcher = scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                is_copying.store(with && program.waiting() > 0, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        sent.extend(senders.into_iter().flat_map(|sender| sender.join().expect("answers")));
        is_over.store(true, Ordering::Relaxed);
        watcher.join().expect("an end");
    });
    let seconds = began.elapsed().as_secs_f64();
    let copied: usize = server.names(server.bucket()).iter().filter(|name| name.contains("segments/")).count();
    let of = |mut times: Vec<f64>| {
        times.sort_by(f64::total_cmp);
        let at = |share: f64| times.get((times.len() as f64 * share) as usize).map(|ms| round(*ms, 2));
        json!({"requests": times.len(), "p50_ms": at(0.5), "p90_ms": at(0.9), "p99_ms": at(0.99), "max_ms": times.last().map(|ms| round(*ms, 1))})
    };
    let busy = sent.iter().filter(|(is_copying, _)| *is_copying).map(|(_, ms)| *ms).collect();
    json!({
        "what": if with { "50,000 rows/s beside copying" } else { "50,000 rows/s" },
        "turn": turn,
        "rows_per_s": round((REQUESTS + WARM) as f64 * BATCH_ROWS as f64 / seconds, 0),
        "all": of(sent.iter().map(|(_, ms)| *ms).collect()),
        "while_copying": with.then(|| of(busy)),
        "segments_copied": copied,
    })
}

/// Sends what is due and not sent by another; gives how long each took from when it was due, and whether segments were copied then.
fn send(
    program: &Program,
    bodies: &[String],
    next: &AtomicUsize,
    began: Instant,
    is_copying: &AtomicBool,
) -> Vec<(bool, f64)> {
    let mut sent = Vec::new();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= WARM + REQUESTS {
            return sent;
        }
        let due = began + EACH * number as u32;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        program.insert(&bodies[number % bodies.len()]);
        if number >= WARM {
            sent.push((is_copying.load(Ordering::Relaxed), due.elapsed().as_secs_f64() * 1e3));
        }
    }
}

/// The program, until this is dropped.
struct Program {
    child: Child,
    address: String,
    agent: ureq::Agent,
}

impl Program {
    fn start(data: &Path, target: Option<&Server>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_logyard"));
        command.args(["serve", "--no-auth", "--listen", "127.0.0.1:0", "--data"]).arg(data);
        command.env("LOGYARD_RETENTION_DISK_BUDGET", "100%");
        if let Some(server) = target {
            command.env("LOGYARD_ARCHIVE_TARGET", format!("s3://{}/beside", server.bucket()));
            command.env("LOGYARD_ARCHIVE_ENDPOINT", server.endpoint()).env("LOGYARD_ARCHIVE_OFFLOAD_AFTER", "1s");
            command.env("LOGYARD_ARCHIVE_ACCESS_KEY_ID", &server.key().id);
            command.env("LOGYARD_ARCHIVE_SECRET_ACCESS_KEY", &server.key().secret);
        }
        let mut child = command.stderr(Stdio::piped()).stdin(Stdio::null()).spawn().expect("the program starts");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
        let address = lines.find_map(|line| line.strip_prefix("listening on ").map(str::to_owned));
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address: address.expect("an address"), agent: ureq::Agent::new_with_defaults() }
    }

    fn insert(&self, body: &str) {
        let path = "/insert/jsonline?_time_field=timestamp&_msg_field=message";
        self.agent.post(format!("{}{path}", self.address)).send(body).expect("rows that are taken");
    }

    /// How many segments wait to be copied.
    fn waiting(&self) -> u64 {
        let mut response = self.agent.get(format!("{}/api/v1/archive/status", self.address)).call().expect("an answer");
        let body = response.body_mut().read_to_vec().expect("all of it");
        let status: Value = serde_json::from_slice(&body).expect("JSON");
        status["targets"]
            .as_array()
            .map_or(0, |targets| targets.iter().filter_map(|target| target["waiting"].as_u64()).sum())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _waited = self.child.wait();
    }
}
