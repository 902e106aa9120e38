//! `GET /metrics`: what an operator graphs, as Prometheus reads it.
//!
//! [`table`] names every metric, [`page`] writes the text, [`requests`] counts requests, [`process`] asks the kernel; what the engine
//! counts it says itself.
//!
//! Invariants
//! * A counter costs a batch or a request a few additions, and a record nothing.
//! * Looking changes nothing, and waits for nobody: an engine that takes no appends is graphed all the same.
mod page;
mod process;
#[cfg(test)]
mod reference;
pub(super) mod requests;
mod table;

pub(crate) use requests::Requests;

use super::counters::Counters;
use super::error::ApiError;
use super::{Server, blocking};
use crate::log;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use logyard_storage::engine::{ActivityReport, StorageStats, TargetStatus};
use logyard_storage::error::ErrorKind;
use page::Page;
use process::Process;
use std::fmt::Display;
use std::sync::Arc;
use table::Metric;

/// The version of the text's form.
const TYPE: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// The handler.
pub(super) async fn metrics(State(server): State<Arc<Server>>) -> Result<Response, ApiError> {
    let text = blocking(move || text(&server)).await?;
    Ok((StatusCode::OK, [(header::CONTENT_TYPE, TYPE)], text).into_response())
}

fn text(server: &Server) -> String {
    let mut page = Page::default();
    page.begin(&table::BUILD).put(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    page.put(&table::UPTIME, server.began.elapsed().as_secs_f64());
    put_process(&mut page, &Process::now());
    put_requests(&mut page, &server.requests_seen);
    let activity = server.engine.activity();
    put_appends(&mut page, &activity);
    put_ingest(&mut page, &server.counters);
    put_storage(&mut page, server, &activity);
    put_archive(&mut page, server);
    put_maintenance(&mut page, &activity);
    put_queries(&mut page, server, &activity);
    put_log(&mut page);
    page.into_text()
}

/// A metric whose sample may not be known.
fn put_known(page: &mut Page, metric: &Metric, value: Option<impl Display>) {
    let mut samples = page.begin(metric);
    if let Some(value) = value {
        samples.put(&[], value);
    }
}

fn put_process(page: &mut Page, process: &Process) {
    put_known(page, &table::PROCESS_CPU, process.cpu_seconds);
    put_known(page, &table::PROCESS_MEMORY, process.resident_bytes);
    put_known(page, &table::PROCESS_VIRTUAL, process.virtual_bytes);
    put_known(page, &table::PROCESS_FILES, process.open_files);
    put_known(page, &table::PROCESS_FILES_MAX, process.open_files_max);
    put_known(page, &table::PROCESS_THREADS, process.threads);
}

fn put_requests(page: &mut Page, requests: &Requests) {
    let routes = requests.routes();
    let mut samples = page.begin(&table::REQUESTS);
    for ((route, method), counts) in &routes {
        for (status, count) in counts.answers() {
            samples.put(&[("route", route), ("method", method), ("status", &status.to_string())], count);
        }
    }
    let mut samples = page.begin(&table::REQUEST_DURATION);
    for ((route, method), counts) in &routes {
        samples.put_durations(&[("route", route), ("method", method)], &counts.durations());
    }
    let mut samples = page.begin(&table::REQUEST_BYTES);
    for ((route, method), counts) in &routes {
        samples.put(&[("route", route), ("method", method)], counts.body_bytes());
    }
    page.put(&table::REQUESTS_IN_FLIGHT, requests.in_flight());
    let mut samples = page.begin(&table::ERRORS);
    for (reason, count) in requests.reasons() {
        samples.put(&[("reason", reason)], count);
    }
}

fn put_kinds(page: &mut Page, metric: &Metric, kinds: &[(ErrorKind, u64)]) {
    let mut samples = page.begin(metric);
    for (kind, count) in kinds {
        samples.put(&[("reason", kind.name())], count);
    }
}

fn put_appends(page: &mut Page, activity: &ActivityReport) {
    page.put(&table::APPENDS, activity.appends);
    page.put(&table::APPENDED_ROWS, activity.rows);
    page.put(&table::APPENDED_BYTES, activity.bytes);
    put_kinds(page, &table::APPEND_ERRORS, &activity.append_errors);
}

fn put_ingest(page: &mut Page, counters: &Counters) {
    page.put(&table::INGESTED, counters.rows_ingested.get());
    let mut samples = page.begin(&table::INGEST_REFUSED);
    samples.put(&[("reason", "wrong")], counters.rows_rejected.get());
    samples.put(&[("reason", "daily_limit")], counters.rows_over_daily_limit.get());
    page.put(&table::MASKED, counters.values_masked.get());
    page.put(&table::DROPPED, counters.values_dropped.get());
    page.put(&table::REPEATED, counters.requests_repeated.get());
}

/// Sizes; without samples where the catalog cannot be measured.
fn put_storage(page: &mut Page, server: &Server, activity: &ActivityReport) {
    page.put(&table::WAL_FILES, activity.wal_files);
    page.put(&table::WAL_WRITTEN, activity.wal_bytes_written);
    page.put_durations(&table::WAL_SYNC, &activity.wal_syncs);
    page.put(&table::GENERATIONS, activity.generations);
    let stats = server.engine.stats().ok();
    let mut put = |metric: &Metric, size: fn(&StorageStats) -> u64| put_known(page, metric, stats.as_ref().map(size));
    put(&table::WAL_BYTES, |stats| stats.wal_bytes);
    put(&table::ROWS, |stats| stats.rows);
    put(&table::HOT_ROWS, |stats| stats.hot_rows);
    put(&table::HOT_BYTES, |stats| stats.hot_bytes);
    put(&table::SEGMENTS, |stats| stats.segments);
    put(&table::SEGMENT_ROWS, |stats| stats.rows - stats.hot_rows);
    put(&table::SEGMENT_BYTES, |stats| stats.segment_bytes);
    put(&table::CATALOG_BYTES, |stats| stats.catalog_bytes);
    put_known(page, &table::DISK_AVAILABLE, activity.disk.map(|disk| disk.available));
    put_known(page, &table::DISK_TOTAL, activity.disk.map(|disk| disk.total));
}

fn put_archive(page: &mut Page, server: &Server) {
    let (status, troubles) = (server.engine.archive_status(), server.archives.troubles());
    let places = [("here", status.here), ("away", status.away), ("restored", status.restored)];
    let mut samples = page.begin(&table::ARCHIVE_SEGMENTS);
    places.iter().for_each(|(files, (segments, _))| samples.put(&[("files", files)], segments));
    let mut samples = page.begin(&table::ARCHIVE_BYTES);
    places.iter().for_each(|(files, (_, bytes))| samples.put(&[("files", files)], bytes));
    let age = |since: i64| server.env.now().saturating_sub(since).max(0) / 1_000_000_000;
    let mut put = |metric: &Metric, value: &dyn Fn(&TargetStatus) -> i64| {
        let mut samples = page.begin(metric);
        status.targets.iter().for_each(|target| samples.put(&[("target", &target.name)], value(target)));
    };
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    put(&table::ARCHIVE_UP, &|of| i64::from(of.trouble.is_none() && !troubles.contains_key(&of.name)));
    put(&table::ARCHIVE_WAITING, &|of| count(of.waiting));
    put(&table::ARCHIVE_OLDEST, &|of| of.oldest_waiting.map_or(0, age));
    put(&table::ARCHIVE_UPLOADS, &|of| count(of.uploads));
    put(&table::ARCHIVE_FAILURES, &|of| count(of.failures));
    page.put(&table::ARCHIVE_GETS, status.fetched.0);
    page.put(&table::ARCHIVE_FETCHED, status.fetched.1);
    page.put(&table::ARCHIVE_INDEX, status.index_bytes);
}

fn put_maintenance(page: &mut Page, activity: &ActivityReport) {
    page.put_durations(&table::SEAL, &activity.seals);
    page.put(&table::SEALED_ROWS, activity.sealed_rows);
    page.put(&table::SEALED_BYTES, activity.sealed_bytes);
    page.put_durations(&table::REWRITE, &activity.rewrites);
    page.put(&table::REWRITTEN_SEGMENTS, activity.rewritten_segments);
    page.put(&table::REWRITTEN_BYTES, activity.rewritten_bytes);
    page.put(&table::REMOVED_ROWS, activity.removed_rows);
    page.put(&table::REMOVED_BYTES, activity.removed_bytes);
    page.put(&table::PENDING_DELETIONS, activity.pending_deletions);
    page.put(&table::SCRUBBED_BYTES, activity.scrubbed_bytes);
    page.put(&table::TROUBLES, activity.troubles);
    page.put(&table::CACHE_BYTES, activity.cache_bytes);
    page.put(&table::CACHE_BYTES_MAX, activity.cache_bytes_max);
    page.put(&table::CACHE_HITS, activity.cache_hits);
    page.put(&table::CACHE_MISSES, activity.cache_misses);
}

fn put_queries(page: &mut Page, server: &Server, activity: &ActivityReport) {
    page.put(&table::QUERIES_RUNNING, server.queries.running());
    page.put(&table::QUERIES_WAITING, server.queries.waiting());
    page.put_durations(&table::QUERY_DURATION, &server.queries.durations());
    let failed = |kind| activity.query_errors.iter().find(|(of, _)| *of == kind).map_or(0, |(_, count)| *count);
    let mut samples = page.begin(&table::QUERIES_REFUSED);
    for (bound, count) in [
        ("max_concurrent", server.queries.refused()),
        ("max_tails", server.tails.refused()),
        ("max_memory", failed(ErrorKind::Budget)),
        ("max_total_memory", failed(ErrorKind::Busy)),
        ("max_duration", failed(ErrorKind::OverTime)),
    ] {
        samples.put(&[("bound", bound)], count);
    }
    put_kinds(page, &table::QUERY_ERRORS, &activity.query_errors);
    page.put(&table::QUERY_MEMORY, activity.query_bytes);
    page.put(&table::QUERY_BLOCKS, activity.blocks_read);
    page.put(&table::QUERY_BYTES, activity.bytes_read);
    page.put(&table::FOLLOWERS, activity.followers);
    page.put(&table::MISSED, activity.missed_rows);
}

fn put_log(page: &mut Page) {
    let log::Counts { lines, left_out, dropped } = log::counts();
    let mut samples = page.begin(&table::LOG_LINES);
    for (level, count) in lines {
        samples.put(&[("level", level.name())], count);
    }
    page.put(&table::LOG_LEFT_OUT, left_out);
    page.put(&table::LOG_DROPPED, dropped);
}
