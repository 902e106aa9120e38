//! What Logyard logs of its own accord: records of the service `logyard`, in its own store.
//!
//! Invariants
//! * A record says in its message what happened, and in its metadata the figures.
//! * Where it cannot be stored, the operator has still been told.
use crate::log::{self, Entry, Level};
use logyard_storage::batch::{Batch, BatchBuilder};
use logyard_storage::engine::{Ack, Append, Engine, Removed, RetentionReport};
use logyard_storage::error::Result;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Mutex;

/// The service of what Logyard writes itself, shown by the API's own reads only to who asks for it.
pub(super) const SERVICE: &str = "logyard";

/// Tells the operator what retention removed since the last call, and stores it. This blocks.
pub(crate) fn tell_retention(engine: &Engine) {
    let reports = engine.take_retention_summaries();
    if reports.is_empty() {
        return;
    }
    for line in reports.iter().flat_map(RetentionReport::lines) {
        log::aside(Level::Info, format_args!("{line}"));
    }
    let stored = retention_batch(&reports).and_then(|rows| engine.append(Append::new(rows, Ack::Wal)));
    if let Err(error) = stored {
        log::aside(Level::Error, format_args!("what retention removed could not be logged: {error}"));
    }
}

/// Makes records of what was logged since the last call. This blocks.
pub(crate) fn keep_log(engine: &Engine) {
    let entries = log::take();
    if entries.is_empty() {
        return;
    }
    let mut rows = BatchBuilder::new();
    entries.iter().for_each(|entry| push_entry(&mut rows, entry));
    // Nobody waits for it, and a machine that loses power loses the last second of it.
    let stored = rows.finish().and_then(|rows| engine.append(Append::new(rows, Ack::Memory)));
    if let Err(error) = stored {
        log::lose(entries.len());
        let lost = entries.len();
        log::aside(Level::Error, format_args!("{lost} entries of the log did not become records: {error}"));
    }
}

/// Logs what recovery or maintenance found wrong since the last call. This blocks.
pub(crate) fn tell_troubles(engine: &Engine, told: &Mutex<BTreeSet<String>>) {
    let troubles = engine.troubles();
    let mut told = told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    for trouble in troubles {
        if told.insert(trouble.clone()) {
            log::warn(format_args!("{trouble}"));
        }
    }
}

fn push_entry(rows: &mut BatchBuilder, entry: &Entry) {
    push_with(rows, entry.time, entry.level.of_records(), &entry.message, |rows| {
        rows.string("event", "log");
        entry.fields.iter().for_each(|(name, value)| rows.string(name, value));
    });
}

/// A record for each pass, and one for each service of it.
fn retention_batch(reports: &[RetentionReport]) -> Result<Batch> {
    let mut rows = BatchBuilder::new();
    for report in reports {
        for ((service, removed), line) in report.services.iter().zip(report.lines()) {
            push_service(&mut rows, report.at, service, removed, &line);
        }
        push_pass(&mut rows, report);
    }
    rows.finish()
}

fn push_service(rows: &mut BatchBuilder, at: i64, service: &str, removed: &Removed, line: &str) {
    push(rows, at, line, |rows| {
        rows.string("event", "retention");
        rows.string("service", service);
        put(rows, "records", removed.rows);
        put(rows, "bytes", removed.bytes);
        rows.int("oldest_days", removed.oldest_days);
    });
}

fn push_pass(rows: &mut BatchBuilder, report: &RetentionReport) {
    let records = report.services.values().map(|removed| removed.rows).sum();
    let bytes = report.services.values().map(|removed| removed.bytes).sum();
    let services = report.services.len();
    let message = format!("retention removed {records} records of {services} services, {bytes} bytes");
    push(rows, report.at, &message, |rows| {
        rows.string("event", "retention_pass");
        put(rows, "records", records);
        put(rows, "bytes", bytes);
        put(rows, "services", services as u64);
        put(rows, "segments_removed", report.segments_removed);
        put(rows, "segments_rewritten", report.segments_rewritten);
    });
}

/// Adds a record with what happened and its figures.
pub(super) fn push(rows: &mut BatchBuilder, time: i64, message: &str, metadata: impl FnOnce(&mut BatchBuilder)) {
    push_with(rows, time, "INFO", message, metadata);
}

fn push_with(rows: &mut BatchBuilder, time: i64, level: &str, message: &str, metadata: impl FnOnce(&mut BatchBuilder)) {
    rows.begin_row();
    rows.time(time);
    rows.string("service_name", SERVICE);
    rows.string("level", level);
    rows.string("_msg", message);
    rows.string("source_type", "agent");
    if !log::environment().is_empty() {
        rows.string("environment", log::environment());
    }
    rows.enter("metadata");
    metadata(rows);
    rows.leave();
    rows.commit_row();
}

/// Adds a count to the figures of a record.
pub(super) fn put(rows: &mut BatchBuilder, name: &str, count: u64) {
    rows.int(name, i64::try_from(count).unwrap_or(i64::MAX));
}

/// Adds a value to the figures of a record: objects as what is in them.
pub(super) fn put_value(rows: &mut BatchBuilder, name: &str, value: &Value) {
    match value {
        Value::Null => rows.null(name),
        Value::Bool(value) => rows.bool(name, *value),
        Value::Number(number) => rows.number(name, &number.to_string()),
        Value::String(text) => rows.string(name, text),
        Value::Array(_) => rows.json(name, &value.to_string()),
        Value::Object(fields) => {
            rows.enter(name);
            fields.iter().for_each(|(name, value)| put_value(rows, name, value));
            rows.leave();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use logyard_storage::engine::{Options, Search};
    use logyard_storage::env::RealEnv;
    use std::collections::BTreeMap;
    use std::sync::Arc;

    #[test]
    fn what_retention_removed_is_found_under_the_service_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::open(Arc::new(RealEnv::new()), Options::new(dir.path().to_path_buf())).unwrap();
        let removed = |rows, bytes, oldest_days| Removed { rows, bytes, oldest_days };
        let services =
            BTreeMap::from([("api".to_owned(), removed(7, 700, 31)), ("web".to_owned(), removed(5, 50, 40))]);
        let report =
            RetentionReport { at: 1_700_000_000_000_000_000, services, segments_removed: 2, ..Default::default() };
        engine.append(Append::new(retention_batch(&[report]).unwrap(), Ack::Wal)).unwrap();

        let search = Search { services: vec![SERVICE.into()], limit: 10, ..Search::default() };
        let found = engine.search(&search).unwrap();
        let mut told: Vec<_> = found.iter().map(|record| record.get("_msg").to_owned()).collect();
        told.sort();
        assert_eq!(
            told,
            [
                "retention removed 12 records of 2 services, 750 bytes",
                "retention removed 5 records of web, 50 bytes, the oldest 40 days old",
                "retention removed 7 records of api, 700 bytes, the oldest 31 days old",
            ]
        );
        assert!(found.iter().all(|record| record.time == 1_700_000_000_000_000_000));
        let web = found.iter().find(|record| record.get("metadata.service") == "web").unwrap();
        assert_eq!((web.get("metadata.records"), web.get("metadata.oldest_days")), ("5", "40"));
        engine.close().unwrap();
    }
}
