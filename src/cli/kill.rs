//! `logyard bench kill`: appends for ever and says what is acknowledged, so that whoever kills it can check.
//!
//! Invariants
//! * `acked <first_key> <rows>` is printed and flushed after the engine acknowledged the batch, never before.
//! * Each record has a `key` of its own, counted up from `--start`; the keys of a batch follow each other.
use super::{Failure, KillArgs};
use logyard_storage::batch::BatchBuilder;
use logyard_storage::engine::{Ack, Append, Engine, Options};
use logyard_storage::env::{Env, RealEnv};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// Rows of the batches, in turn.
const ROWS: [u64; 6] = [1, 1_000, 7, 1, 3_000, 50];
/// Every so many batches of one thread it seals.
const SEAL_EVERY: u64 = 40;

/// Runs until killed, or until the engine fails.
pub(super) fn run(args: &KillArgs) -> Result<(), Failure> {
    let env: Arc<dyn Env> = Arc::new(RealEnv::new());
    let engine = Engine::open(Arc::clone(&env), Options::new(args.data.clone()))?;
    let next_key = AtomicU64::new(args.start);
    thread::scope(|scope| {
        let append = || append(&engine, &*env, &next_key);
        let workers: Vec<_> = (0..args.threads.max(1)).map(|_| scope.spawn(append)).collect();
        for worker in workers {
            worker.join().map_err(|_| Failure::Failed("a thread panicked".into()))??;
        }
        Ok(())
    })
}

fn append(engine: &Engine, env: &dyn Env, next_key: &AtomicU64) -> Result<(), Failure> {
    let mut batch = BatchBuilder::new();
    let mut turn = env.random() % ROWS.len() as u64;
    loop {
        turn += 1;
        let rows = ROWS.get((turn % ROWS.len() as u64) as usize).copied().unwrap_or(1);
        let first_key = next_key.fetch_add(rows, Ordering::Relaxed);
        for key in first_key..first_key + rows {
            push_row(&mut batch, key);
        }
        engine.append(Append::new(batch.finish()?, Ack::Wal))?;
        let mut out = std::io::stdout().lock();
        writeln!(out, "acked {first_key} {rows}")?;
        out.flush()?;
        drop(out);
        if turn.is_multiple_of(SEAL_EVERY) {
            engine.seal()?;
        }
    }
}

fn push_row(batch: &mut BatchBuilder, key: u64) {
    let levels = ["DEBUG", "INFO", "WARN", "ERROR"];
    batch.begin_row();
    batch.string("service_name", if key.is_multiple_of(3) { "kill-a" } else { "kill-b" });
    batch.string("level", levels.get((key % 4) as usize).copied().unwrap_or("INFO"));
    batch.string("_msg", &format!("request {key} took {} ms at 10.0.{}.{}:8080", key % 977, key % 251, key % 13));
    batch.number("key", &key.to_string());
    // Some rows are large, so that frames of all sizes are cut.
    if key.is_multiple_of(97) {
        batch.string("payload", &format!("{key:016x} ").repeat(300));
    }
    batch.commit_row();
}
