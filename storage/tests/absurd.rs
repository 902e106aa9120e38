//! Lengths that are far too large, in every kind of file, under checksums that are right: believed by nobody, so that
//! nothing is allocated by them.
mod catalogs;
mod logs;
mod segments;

use crate::allocations::take_largest;
use crate::chance::from_env;
use crate::power::client::everything;
use crate::power::life::options;
use crate::rows;
use logyard_storage::Effect;
use logyard_storage::batch::BatchBuilder;
use logyard_storage::catalog::{KeyRecord, ServiceConfig};
use logyard_storage::codec::put_varint;
use logyard_storage::engine::{Ack, Append, Engine, Search};
use logyard_storage::env::sim::{SimEnv, SimSnapshot};
use logyard_storage::fuzzing;
use logyard_storage::scan::filter::{Filter, Test};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// What may be allocated at once, whatever a file says.
const ALLOCATION_BYTES_MAX: usize = 4 << 20;
/// What the process that reads absurd lengths may have, in KiB: libraries in C allocate beside what is watched.
const MEMORY_KIB: u64 = 512 << 10;
const ABSURD: u64 = 1 << 60;
const THREADS: usize = 2;
/// Rows of the store, few so that every byte can be tried.
const ROWS: u64 = 12;
/// Rows of the segment that is taken apart.
const SEGMENT_ROWS: u64 = 24;
/// Bytes of a value's envelope.
const ENVELOPE_BYTES: usize = 16;
/// At every how many places an engine is started, where all tests are run.
const STRIDE: u64 = 23;

fn open(env: &SimEnv) -> Option<Arc<Engine>> {
    Engine::open(Arc::new(env.process()), options()).ok()
}

/// A store with a row of every table of the catalog that is read at a start, a segment, and a log with rows.
fn prepare() -> SimSnapshot {
    let env = SimEnv::new(12);
    let engine = open(&env).unwrap();
    engine.set_config("web", config()).unwrap();
    engine.add_key("k-absurd", key()).unwrap();
    let append = |keys: std::ops::Range<u64>| {
        let batch = rows::batch(&mut BatchBuilder::new(), &keys.map(rows::row).collect::<Vec<_>>());
        let effects = vec![Effect { key: b"effect".to_vec(), value: Some(b"of a length".to_vec()), expires: None }];
        engine.append(Append { effects, ..Append::new(batch, Ack::Wal) }).unwrap();
    };
    append(1..ROWS / 2);
    engine.seal().unwrap();
    append(ROWS / 2..ROWS);
    let filter = Filter::Field("level".into(), Test::exact("ERROR"));
    engine.delete(&Search { filter, ..Search::default() }, false).unwrap();
    drop(engine);
    env.kill();
    env.snapshot()
}

fn config() -> ServiceConfig {
    let policy = Some("extended".into());
    ServiceConfig { ttl_days: 3_650, retention_policy: policy, size_budget: Some(1 << 40), ..ServiceConfig::default() }
}

fn key() -> KeyRecord {
    KeyRecord {
        name: "with a length".into(),
        hash: [9; 32],
        scopes: vec!["read".into(), "ingest".into()],
        services: vec!["web".into()],
        created_at: 1,
        expires_at: Some(2),
        last_used_at: Some(3),
    }
}

/// Which places are tried.
struct Places {
    /// At every how many of them an engine is started.
    stride: usize,
}

impl Places {
    /// Tries places below `end` that each take the start of an engine.
    fn some(&self, what: &str, end: usize, attempt: impl Fn(usize) + Sync) -> Result<(), String> {
        try_places(what, end, self.stride, attempt)
    }

    /// Tries every place below `end`.
    fn each(&self, what: &str, end: usize, attempt: impl Fn(usize) + Sync) -> Result<(), String> {
        try_places(what, end, 1, attempt)
    }
}

/// Tries places on several threads: none may panic, nor allocate much at once.
fn try_places(what: &str, end: usize, stride: usize, attempt: impl Fn(usize) + Sync) -> Result<(), String> {
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    take_largest();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(at) = Some(next.fetch_add(stride, Ordering::Relaxed)).filter(|at| *at < end) {
                    if catch_unwind(AssertUnwindSafe(|| attempt(at))).is_err() {
                        wrong.lock().unwrap().push(at);
                    }
                }
            });
        }
    });
    let (wrong, largest) = (wrong.into_inner().unwrap(), take_largest());
    println!("{what}: {} places, {largest} bytes at once at most", end.div_ceil(stride));
    if end == 0 || !wrong.is_empty() {
        return Err(format!("{what}: it panics at {wrong:?} of {end}"));
    }
    if largest > ALLOCATION_BYTES_MAX {
        return Err(format!("{what}: {largest} bytes are allocated at once"));
    }
    Ok(())
}

/// The bytes with the length in place of the one byte at `at`, as numbers are written that take as few as they need.
fn with_varint(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut absurd = bytes[..at].to_vec();
    put_varint(&mut absurd, ABSURD);
    absurd.extend_from_slice(&bytes[at + 1..]);
    absurd
}

/// The bytes with the length over eight of them, as numbers are written that always take as many.
fn with_number(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut absurd = bytes.to_vec();
    absurd[at..at + 8].copy_from_slice(&ABSURD.to_le_bytes());
    absurd
}

/// Whatever it answers, it answers.
fn read_through(env: &SimEnv) {
    if let Some(engine) = open(env) {
        everything(&engine).ok();
        engine.seal().ok();
        engine.compact().ok();
    }
}

fn try_all(places: &Places) {
    let (disk, file) = (prepare(), fuzzing::sample_segment_of(SEGMENT_ROWS).unwrap());
    let all = [
        logs::in_the_log(&disk, places),
        segments::in_a_footer(&disk, places),
        segments::in_a_block(&file, places),
        segments::in_indexes(&file, places),
        segments::in_pieces(&file, places),
        catalogs::in_rows(&disk, places),
        catalogs::in_the_file(&disk, places),
        catalogs::in_copies(&disk, places),
    ];
    let wrong: Vec<_> = all.into_iter().filter_map(Result::err).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
#[ignore = "started by a_length_of_2_60_allocates_nothing, with little memory"]
fn lengths_with_little_memory() {
    try_all(&Places { stride: from_env("LOGYARD_STRIDE", STRIDE) as usize });
}

/// In a process of its own that may not allocate much: one that tried would abort. `LOGYARD_STRIDE=1` tries every place.
#[test]
fn a_length_of_2_60_allocates_nothing() {
    let mut child = Command::new("sh");
    child.args(["-c", &format!("ulimit -d {MEMORY_KIB} && exec \"$0\" \"$@\"")]).arg(std::env::current_exe().unwrap());
    child.args(["--exact", "absurd::lengths_with_little_memory", "--ignored", "--nocapture"]);
    let output = child.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}
