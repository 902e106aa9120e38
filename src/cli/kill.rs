//! `logyard bench kill`: appends, seals and merges for ever and says what it does, so that whoever kills it can check.
//!
//! Lines on standard output, each flushed as a whole: `ready`; `sent <thread> <first_key> <rows> <ack>` before an append
//! and `acked <first_key>` after it; `sealing`, `compacting` and `done` around maintenance.
//!
//! Invariants
//! * A batch is `sent` before the engine sees it, and `acked` after the engine acknowledged it.
//! * Each record has a `key` of its own, counted up from `--start`; the keys of a batch follow each other.
//! * A thread sends its next batch when the one before is acknowledged.
pub(crate) mod rows;

use super::{Failure, KillArgs};
use logyard_storage::Effect;
use logyard_storage::batch::{Batch, BatchBuilder};
use logyard_storage::engine::{Ack, Append, Engine, Options};
use logyard_storage::env::RealEnv;
use logyard_storage::record::ValueKind;
use rows::KillBatch;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// Rows of the batches, in turn.
const ROWS: [u64; 7] = [1, 100, 7, 1, 300, 50, 2];
/// Every so many batches one need not be durable.
const MEMORY_EVERY: u64 = 5;
/// Every so many seals of ours are followed by a merge.
const COMPACT_EVERY: u64 = 3;

/// Runs until killed, or until the engine fails.
pub(super) fn run(args: &KillArgs) -> Result<(), Failure> {
    let options = Options {
        seal_rows: args.seal_rows,
        wal_file_bytes: args.wal_file_bytes,
        flush_interval: Duration::from_millis(20),
        default_ttl_days: None,
        ..Options::new(args.data.clone())
    };
    let engine = Engine::open(Arc::new(RealEnv::new()), options)?;
    say("ready")?;
    let next_key = AtomicU64::new(args.start);
    thread::scope(|scope| {
        let (engine, next_key) = (&engine, &next_key);
        let append = |thread| move || append(engine, next_key, args.round, thread);
        let mut threads: Vec<_> = (0..args.threads.max(1)).map(|thread| scope.spawn(append(thread))).collect();
        if let Some(every) = args.seal_every_ms {
            threads.push(scope.spawn(move || maintain(engine, Duration::from_millis(every))));
        }
        for thread in threads {
            thread.join().map_err(|_| Failure::Failed("a thread panicked".into()))??;
        }
        Ok(())
    })
}

fn append(engine: &Engine, next_key: &AtomicU64, round: u64, thread: u64) -> Result<(), Failure> {
    let mut builder = BatchBuilder::new();
    for turn in thread.. {
        let rows = ROWS.get((turn % ROWS.len() as u64) as usize).copied().unwrap_or(1);
        let first_key = next_key.fetch_add(rows, Ordering::Relaxed);
        let sent = KillBatch { round, thread, first_key, rows };
        let (ack, name) = match turn.is_multiple_of(MEMORY_EVERY) {
            true => (Ack::Memory, "memory"),
            false => (Ack::Wal, "wal"),
        };
        let batch = encode(&sent, &mut builder)?;
        say(&format!("sent {thread} {first_key} {rows} {name}"))?;
        engine.append(Append { batch: Some(batch), effects: effects(&sent), ack })?;
        say(&format!("acked {first_key}"))?;
    }
    Ok(())
}

fn encode(batch: &KillBatch, builder: &mut BatchBuilder) -> Result<Batch, Failure> {
    for key in batch.keys() {
        builder.begin_row();
        builder.time(batch.time(key));
        for field in batch.fields(key) {
            let (object, name) = field.name.split_once('.').unwrap_or(("", field.name));
            if !object.is_empty() {
                builder.enter(object);
            }
            match field.kind {
                ValueKind::Number => builder.number(name, &field.text),
                ValueKind::Bool => builder.bool(name, field.text == "true"),
                _ => builder.string(name, &field.text),
            }
            if !object.is_empty() {
                builder.leave();
            }
        }
        builder.commit_row();
    }
    Ok(builder.finish()?)
}

fn effects(batch: &KillBatch) -> Vec<Effect> {
    let effect =
        |key: String, value: u64| Effect { key: key.into(), value: Some(value.to_string().into()), expires: None };
    vec![effect(batch.effect(), batch.rows), effect(batch.position(), batch.first_key)]
}

fn maintain(engine: &Engine, every: Duration) -> Result<(), Failure> {
    for turn in 1.. {
        thread::sleep(every);
        say("sealing")?;
        engine.seal()?;
        if turn % COMPACT_EVERY == 0 {
            say("compacting")?;
            engine.compact()?;
        }
        say("done")?;
    }
    Ok(())
}

/// Prints a line as a whole.
fn say(line: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes())?;
    Ok(out.flush()?)
}
