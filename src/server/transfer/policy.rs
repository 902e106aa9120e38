//! The policy `parquet` of a target: hours that are over are written there by the server itself, as an export writes them.
//!
//! A pass notes the hours of the records that came since the last one, which are known by their sequence numbers, and writes those
//! that are over. Both are kept in memory only: the first pass of a process looks back for [`LOOK_BACK`]; what is older and is not there
//! yet, an export brings.
//!
//! Invariants
//! * An hour is noted until it was written. A pass that fails is tried again.
//! * It waits for no export that somebody asked for: the next pass does what this one did not.
use super::super::{Server, blocking};
use crate::log;
use crate::transfer::export::{self, Export, Form, Wanted};
use logyard_storage::archive::Bucket;
use logyard_storage::engine::{Control, Engine, Numbers, Search};
use logyard_storage::error::Result;
use logyard_storage::scan::Cancel;
use logyard_storage::scan::filter::Filter;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::time::Duration;

/// How often there is a pass.
const EVERY: Duration = Duration::from_secs(60);
/// How far the first pass looks back, in nanoseconds: a week.
const LOOK_BACK: i64 = 7 * 24 * 3_600_000_000_000;
/// Nanoseconds of an hour, and of a millisecond.
const HOUR: i64 = 3_600_000_000_000;
const MILLI: i64 = 1_000_000;

/// A target that wants it, and how long after an hour is over.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) target: String,
    pub(crate) after: Duration,
}

/// The wishes, and what became of them.
#[derive(Default)]
pub(super) struct Policies {
    wishes: Vec<Wish>,
    done: Mutex<BTreeMap<String, Done>>,
}

/// What became of the last pass, and all before.
#[derive(Clone, Debug, Default)]
struct Done {
    /// The epoch and the first number of the records that were not looked at.
    next: Option<(u32, u64)>,
    /// Hours since 1970 of records that are still to be written.
    hours: BTreeSet<i64>,
    at: i64,
    rows: u64,
    parts: u64,
    trouble: Option<String>,
}

impl Policies {
    pub(super) fn new(wishes: Vec<Wish>) -> Self {
        Self { wishes, ..Self::default() }
    }

    /// What is said of a target; null where it has no such wish.
    pub(super) fn shown(&self, target: &str) -> Value {
        if !self.wishes.iter().any(|wish| wish.target == target) {
            return Value::Null;
        }
        let done = self.of(target);
        let at = (done.at != 0).then(|| done.at.div_euclid(MILLI));
        json!({ "last": at, "rows": done.rows, "parts": done.parts, "trouble": done.trouble })
    }

    fn of(&self, target: &str) -> Done {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).get(target).cloned().unwrap_or_default()
    }

    fn put(&self, target: &str, done: Done) {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).insert(target.to_owned(), done);
    }
}

/// Writes what is over, while the server runs.
pub(crate) async fn watch_parquet(server: Arc<Server>) {
    while !server.transfers.policies.wishes.is_empty() {
        let of = Arc::clone(&server);
        // It fails only by a panic, of which the panic itself has told.
        let _is_done = blocking(move || of.transfers.policies.wishes.iter().for_each(|wish| pass(&of, wish))).await;
        tokio::time::sleep(EVERY).await;
    }
}

fn pass(server: &Server, wish: &Wish) {
    let Some(target) = server.archives.target(&wish.target) else { return };
    let _one_at_a_time = match server.transfers.exporting.try_lock() {
        Ok(held) => held,
        Err(TryLockError::Poisoned(held)) => held.into_inner(),
        Err(TryLockError::WouldBlock) => return,
    };
    let policies = &server.transfers.policies;
    let before = policies.of(&wish.target);
    let now = server.env.now();
    let mut done = Done { at: now, ..before.clone() };
    let over = export::over(now, wish.after).div_euclid(HOUR);
    let written = note(&server.engine, &mut done, now).and_then(|()| write(server, &*target.bucket, &mut done, over));
    done.trouble = written.err().map(|e| e.to_string());
    if let Some(trouble) = done.trouble.as_ref().filter(|trouble| before.trouble.as_ref() != Some(*trouble)) {
        log::error(format_args!("Parquet for the archive target {}: {trouble}; it is tried again", wish.target));
    }
    policies.put(&wish.target, done);
}

/// Notes the hours of what came since the last pass.
fn note(engine: &Engine, done: &mut Done, now: i64) -> Result<()> {
    let epoch = engine.epoch();
    let search = match done.next {
        None => Search { from: Some(now.saturating_sub(LOOK_BACK)), ..Search::default() },
        // Another epoch begins with another process, or an engine that was opened again.
        Some((of, first)) => {
            let first = if of == epoch { first } else { 0 };
            Search { filter: Filter::Numbers(Numbers { epoch, first, last: u64::MAX }), ..Search::default() }
        }
    };
    let search = Search { exclude_services: vec![export::OWN.to_owned()], ..search };
    let pieces = engine.spread(&search, &Control::default())?;
    let last = pieces.iter().filter(|piece| piece.numbers.epoch == epoch).map(|piece| piece.numbers.last).max();
    let first = done.next.filter(|(of, _)| *of == epoch).map_or(0, |(_, first)| first);
    done.next = Some((epoch, last.map_or(first, |last| last + 1)));
    done.hours.extend(pieces.into_iter().map(|piece| piece.hour));
    Ok(())
}

/// Writes the hours that are over, the oldest first.
fn write(server: &Server, bucket: &dyn Bucket, done: &mut Done, over: i64) -> Result<()> {
    let engine = &*server.engine;
    while let Some(hour) = done.hours.first().copied().filter(|hour| *hour < over) {
        let wanted = Wanted {
            form: Form::Parquet,
            services: Vec::new(),
            since: Some(hour.saturating_mul(HOUR)),
            before: hour.saturating_add(1).saturating_mul(HOUR),
            repack: false,
        };
        let export = Export { engine, bucket, spool: engine.data(), cancel: Cancel::default() };
        let found = export.run(&wanted, &mut |_, _| Ok(()))?;
        (done.rows, done.parts) = (done.rows + found.rows, done.parts + found.parts);
        done.hours.remove(&hour);
    }
    Ok(())
}
