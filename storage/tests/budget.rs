//! The budget for what is not sealed yet: over it an append waits for sealing, or is refused in its own way, and nothing
//! that was acknowledged is lost or hidden meanwhile.
use crate::power::client::everything;
use crate::rows;
use logyard_storage::batch::{Batch, BatchBuilder};
use logyard_storage::engine::{Ack, Append, Appended, Engine, Options};
use logyard_storage::env::sim::SimEnv;
use logyard_storage::error::{ErrorKind, Result};
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{TryRecvError, channel};
use std::time::Duration;

const HOT_BYTES: usize = 128 << 10;
const ROWS: u64 = 20;
/// Longer than any test advances the clock by, but to let a wait run out.
const WAIT: Duration = Duration::from_secs(3_600);
/// What lets a thread that would not wait go on; nothing is asserted of how long anything takes.
const MOMENT: Duration = Duration::from_millis(50);

/// Nothing is sealed by itself, however old or large it is.
fn options(background: bool) -> Options {
    let never = Duration::from_secs(u64::from(u32::MAX));
    let options = Options { background, hot_bytes_max: HOT_BYTES, append_wait: WAIT, ..Options::new("/data") };
    Options { seal_age: never, seal_bytes: usize::MAX, wal_file_bytes: 64 << 10, default_ttl_days: None, ..options }
}

fn open(env: &SimEnv, options: Options) -> Arc<Engine> {
    Engine::open(Arc::new(env.process()), options).unwrap()
}

fn batch(keys: Range<u64>) -> Batch {
    rows::batch(&mut BatchBuilder::new(), &keys.map(rows::row).collect::<Vec<_>>())
}

fn append(engine: &Engine, keys: Range<u64>) -> Result<Appended> {
    engine.append(Append::new(batch(keys), Ack::Wal))
}

/// Appends batch after batch from `first` on for as long as they fit; gives the key of the first row that does not.
fn fill(engine: &Engine, first: u64) -> u64 {
    let mut next = first;
    loop {
        let used = engine.stats().unwrap().hot_bytes as usize;
        if used > 0 && used + batch(next..next + ROWS).bytes() > HOT_BYTES {
            return next;
        }
        append(engine, next..next + ROWS).unwrap();
        next += ROWS;
    }
}

/// Every row up to a key is there once, as it was sent.
fn has_rows(engine: &Engine, keys: u64) {
    let mut found: Vec<(u64, u64)> =
        everything(engine).unwrap().iter().map(|row| (rows::key_of(row).unwrap(), rows::content(row))).collect();
    found.sort_unstable();
    assert_eq!(found, (0..keys).map(|key| (key, rows::content(&rows::row(key)))).collect::<Vec<_>>());
}

#[test]
fn an_append_over_the_budget_is_refused_and_sealing_makes_room() {
    let env = SimEnv::new(41);
    let engine = open(&env, options(false));
    let mut next = 0;
    for _ in 0..3 {
        let first = next;
        next = fill(&engine, first);
        assert!(next > first + 2 * ROWS, "only {} rows fit", next - first);
        for _ in 0..2 {
            let e = append(&engine, next..next + ROWS).unwrap_err();
            assert_eq!(e.kind(), ErrorKind::Busy, "{e}");
            assert!(e.to_string().contains(&HOT_BYTES.to_string()), "{e}");
        }
        let hot = engine.stats().unwrap().hot_bytes as usize;
        // What a batch takes beside its columns is known only once it is in memory.
        assert!(hot > HOT_BYTES / 2 && hot < HOT_BYTES * 3 / 2, "{hot} bytes are hot");
        has_rows(&engine, next);
        engine.seal().unwrap();
        assert_eq!(engine.stats().unwrap().hot_bytes, 0, "sealed bytes are still counted");
        append(&engine, next..next + ROWS).unwrap();
        next += ROWS;
        has_rows(&engine, next);
    }
    drop(engine);
    env.power_cut();
    env.power_on();
    has_rows(&open(&env, options(false)), next);
}

#[test]
fn a_batch_larger_than_the_budget_is_let_in_alone() {
    let env = SimEnv::new(42);
    let engine = open(&env, Options { hot_bytes_max: 1, ..options(false) });
    append(&engine, 0..100).unwrap();
    assert_eq!(append(&engine, 100..101).unwrap_err().kind(), ErrorKind::Busy);
    engine.seal().unwrap();
    append(&engine, 100..200).unwrap();
    has_rows(&engine, 200);
}

#[test]
fn an_append_that_waits_is_answered_once_sealing_makes_room() {
    let env = SimEnv::new(43);
    let engine = open(&env, options(true));
    let next = fill(&engine, 0);
    std::thread::scope(|scope| {
        let (answer, answered) = channel();
        for part in 0..2 {
            let (engine, answer, first) = (&engine, answer.clone(), next + part * ROWS);
            scope.spawn(move || answer.send(append(engine, first..first + ROWS)));
        }
        std::thread::sleep(MOMENT);
        assert_eq!(answered.try_recv().map(drop), Err(TryRecvError::Empty), "an append over the budget did not wait");
        has_rows(&engine, next);
        engine.seal().unwrap();
        for _ in 0..2 {
            answered.recv().unwrap().unwrap();
        }
    });
    has_rows(&engine, next + 2 * ROWS);
}

#[test]
fn an_append_that_waited_long_enough_is_refused() {
    let env = SimEnv::new(44);
    let engine = open(&env, options(true));
    let next = fill(&engine, 0);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| append(&engine, next..next + ROWS));
        while !waiting.is_finished() {
            env.advance(WAIT);
            std::thread::sleep(MOMENT);
        }
        let e = waiting.join().unwrap().unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Busy, "{e}");
    });
    has_rows(&engine, next);
    engine.seal().unwrap();
    append(&engine, next..next + ROWS).unwrap();
    has_rows(&engine, next + ROWS);
}

#[test]
fn the_engine_seals_by_itself_what_appends_wait_for() {
    let env = SimEnv::new(45);
    let engine = open(&env, Options { seal_bytes: HOT_BYTES / 2, ..options(true) });
    let (mut next, mut bytes) = (0, 0);
    while bytes < 4 * HOT_BYTES {
        bytes += batch(next..next + ROWS).bytes();
        append(&engine, next..next + ROWS).unwrap();
        next += ROWS;
        assert!((engine.stats().unwrap().hot_bytes as usize) < HOT_BYTES * 3 / 2);
    }
    assert!(engine.stats().unwrap().segments > 0);
    has_rows(&engine, next);
    assert_eq!(engine.troubles(), Vec::<String>::new());
}
