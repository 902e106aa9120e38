//! Access records: of each read and each request of an administrator one, among the records of the service `logyard`.
//!
//! Invariants
//! * They slow no request: what is told goes into a short queue, and is stored from there once in a while, with `ack=memory`.
//! * At most [`A_SECOND_MAX`] are told of a second, and [`WAITING_MAX`] wait. The others are counted, and the next one says how
//!   many there were.
//! * Of a request's parameters none is told that could be a secret.
use crate::server::{complain, own};
use logyard_storage::batch::BatchBuilder;
use logyard_storage::engine::{Ack, Append, Engine};
use logyard_storage::error::Result;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const A_SECOND_MAX: u32 = 100;
const WAITING_MAX: usize = 1_000;
/// Characters of a path, or of parameters.
const TEXT_CHARS_MAX: usize = 1_000;
/// How often those that wait are stored.
pub(super) const STORE_EVERY: Duration = Duration::from_millis(500);
const SECOND: i64 = 1_000_000_000;

/// A request that was answered.
pub(super) struct Record {
    pub(super) at: i64,
    pub(super) method: &'static str,
    pub(super) path: String,
    pub(super) parameters: String,
    pub(super) status: u16,
    /// Until its answer began, or its client went.
    pub(super) took: Duration,
    /// The id of its key, where it had a right one.
    pub(super) key: Option<Arc<str>>,
    pub(super) address: IpAddr,
    pub(super) request_id: Arc<str>,
}

#[derive(Default)]
struct Waiting {
    records: Vec<Record>,
    /// Requests that are not told.
    untold: u64,
    second: i64,
    in_second: u32,
}

/// Those that wait to be stored.
pub(super) struct AccessRecords {
    is_on: bool,
    waiting: Mutex<Waiting>,
}

impl AccessRecords {
    pub(super) fn new(is_on: bool) -> Self {
        Self { is_on, waiting: Mutex::default() }
    }

    /// Tells of a request, or counts it; `record` is only asked for one that is told.
    pub(super) fn tell(&self, now: i64, record: impl FnOnce() -> Record) {
        if !self.is_on {
            return;
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let second = now.div_euclid(SECOND);
        if waiting.second != second {
            (waiting.second, waiting.in_second) = (second, 0);
        }
        if waiting.in_second >= A_SECOND_MAX || waiting.records.len() >= WAITING_MAX {
            waiting.untold += 1;
            return;
        }
        waiting.in_second += 1;
        waiting.records.push(record());
    }

    /// Stores those that wait. This blocks.
    pub(super) fn store(&self, engine: &Engine) {
        let (records, untold) = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.records.is_empty() {
                return;
            }
            (std::mem::take(&mut waiting.records), std::mem::take(&mut waiting.untold))
        };
        if let Err(error) = append(engine, &records, untold) {
            self.waiting.lock().unwrap_or_else(PoisonError::into_inner).untold += untold + records.len() as u64;
            complain(format_args!("{} access records could not be stored: {error}", records.len()));
        }
    }
}

fn append(engine: &Engine, records: &[Record], untold: u64) -> Result<()> {
    let mut rows = BatchBuilder::new();
    for (at, record) in records.iter().enumerate() {
        push(&mut rows, record, if at == 0 { untold } else { 0 });
    }
    engine.append(Append::new(rows.finish()?, Ack::Memory)).map(drop)
}

fn push(rows: &mut BatchBuilder, record: &Record, untold: u64) {
    let message = format!("{} {} was answered with {}", record.method, record.path, record.status);
    own::push(rows, record.at, &message, |rows| {
        rows.string("event", "access");
        rows.string("method", record.method);
        rows.string("path", &record.path);
        if !record.parameters.is_empty() {
            rows.string("parameters", &record.parameters);
        }
        rows.int("status", record.status.into());
        rows.int("duration_us", i64::try_from(record.took.as_micros()).unwrap_or(i64::MAX));
        if let Some(key) = &record.key {
            rows.string("key", key);
        }
        rows.string("address", &record.address.to_string());
        rows.string("request_id", &record.request_id);
        if untold > 0 {
            own::put(rows, "not_recorded_before", untold);
        }
    });
}

/// A path as it is told.
pub(super) fn told_path(path: &str) -> String {
    path.chars().take(TEXT_CHARS_MAX).collect()
}

/// Parameters as they are told: without those that could be credentials.
pub(super) fn told_parameters(query: &str) -> String {
    let is_told = |pair: &&str| {
        let name = pair.split('=').next().unwrap_or_default().to_ascii_lowercase();
        // What is encoded could be anything.
        !name.contains('%') && !["token", "key", "secret", "password", "auth"].iter().any(|word| name.contains(word))
    };
    let told: Vec<&str> = query.split('&').filter(is_told).collect();
    told.join("&").chars().take(TEXT_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::own::SERVICE;
    use logyard_storage::engine::{Options, Search};
    use logyard_storage::env::RealEnv;

    fn record(at: i64) -> Record {
        Record {
            at,
            method: "GET",
            path: "/x".into(),
            parameters: String::new(),
            status: 200,
            took: Duration::from_micros(1_500),
            key: Some("admin".into()),
            address: "10.0.0.1".parse().unwrap(),
            request_id: "r".into(),
        }
    }

    #[test]
    fn what_is_too_much_is_counted_and_told_with_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::open(Arc::new(RealEnv::new()), Options::new(dir.path())).unwrap();
        let records = AccessRecords::new(true);
        let begin = 1_700_000_000 * SECOND;
        (0..150).for_each(|n| records.tell(begin + n, || record(begin + n)));
        records.store(&engine);
        records.tell(begin + SECOND, || record(begin + SECOND));
        records.store(&engine);
        let search = Search { services: vec![SERVICE.into()], limit: 1_000, ..Search::default() };
        let found = engine.search(&search).unwrap();
        assert_eq!(found.len(), 101);
        assert_eq!((found[0].get("metadata.key"), found[0].get("metadata.duration_us")), ("admin", "1500"));
        let counts: Vec<&str> = found.iter().map(|record| record.get("metadata.not_recorded_before")).collect();
        let told: Vec<_> = counts.iter().filter(|count| !count.is_empty()).collect();
        // Those of the first second are stored with its own, which came before them.
        assert_eq!(told, [&"50"]);
        engine.close().unwrap();
    }

    #[test]
    fn nothing_waits_without_bounds_or_where_it_is_off() {
        let records = AccessRecords::new(true);
        (0..20 * SECOND).step_by(5_000_000).for_each(|at| records.tell(at, || record(at)));
        let waiting = records.waiting.lock().unwrap();
        assert_eq!((waiting.records.len(), waiting.untold), (WAITING_MAX, 3_000));
        let off = AccessRecords::new(false);
        off.tell(0, || unreachable!());
        assert_eq!(off.waiting.lock().unwrap().untold, 0);
    }

    #[test]
    fn credentials_are_not_told() {
        assert_eq!(told_parameters("query=a%20b&token=x&API_KEY=y&limit=5&%74oken=z"), "query=a%20b&limit=5");
        assert_eq!(told_path(&"x".repeat(5_000)).len(), TEXT_CHARS_MAX);
    }
}
