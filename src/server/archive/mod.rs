//! The archive over HTTP: what is where, and copying there and bringing back what is asked for.
//!
//! Invariants
//! * Offloading and restoring answer when they are done; with `Accept: application/x-ndjson` they say how far they are.
//! * Where nobody waits for the answer any more, they end before the next segment, or piece of one. What was done until then
//!   stays done, and asking again goes on.
//! * What could not be copied makes an error of the answer, with what was done all the same.
mod probe;
mod targets;

pub(crate) use probe::{Archives, watch_archive};
pub(crate) use targets::open_targets;

use super::access::{Caller, Changed, audit};
use super::body::read_whole;
use super::deletion::time;
use super::error::{ApiError, json_response};
use super::progress::{self, Form, Teller};
use super::{Server, blocking};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use logyard_storage::engine::{ArchiveStatus, CollectReport, OffloadReport, RestoreReport, Restoring};
use logyard_storage::error::{Error, ErrorKind};
use logyard_storage::limits::MIB;
use logyard_storage::query::duration;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;

const MILLI: i64 = 1_000_000;
const SECOND: i64 = 1_000_000_000;
/// How long what was brought back stays where nothing is said.
const TTL: &str = "2d";
/// What could not be copied, as far as it is told.
const FAILED_MAX: usize = 20;

/// `GET /api/v1/archive/status`
pub(super) async fn status(State(server): State<Arc<Server>>) -> Result<Response, ApiError> {
    let body = blocking(move || {
        let (status, troubles) = (server.engine.archive_status(), server.archives.troubles());
        let mut shown = shown(&status, server.env.now(), |name| troubles.get(name).cloned());
        server.transfers.add_to(&mut shown);
        shown
    });
    Ok(json_response(StatusCode::OK, body.await?.to_string()))
}

fn shown(status: &ArchiveStatus, now: i64, probed: impl Fn(&str) -> Option<String>) -> Value {
    let sum = |(segments, bytes): (u64, u64)| json!({ "segments": segments, "bytes": bytes });
    let targets = status.targets.iter().map(|target| {
        let oldest = target.oldest_waiting.map(|since| now.saturating_sub(since).max(0) / SECOND);
        json!({
            "name": target.name,
            "place": target.place,
            "segments": target.segments,
            "bytes": target.bytes,
            "waiting": target.waiting,
            "oldest_waiting_seconds": oldest,
            "manifest": target.manifest.map(|at| at.div_euclid(MILLI)),
            "trouble": probed(&target.name).or_else(|| target.trouble.clone()),
        })
    });
    json!({
        "targets": targets.collect::<Vec<_>>(),
        "here": sum(status.here),
        "away": sum(status.away),
        "restored": sum(status.restored),
        "index_bytes": status.index_bytes,
        "fetched": { "requests": status.fetched.0, "bytes": status.fetched.1 },
    })
}

/// `POST /api/v1/archive/offload`
pub(super) async fn offload(
    State(server): State<Arc<Server>>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let form = Form::of(&headers);
    let body = read_whole(&headers, body, server.whole.of(MIB), server.bodies.room()).await?;
    let evict = asked_to_evict(&body.bytes)?;
    progress::answer(form, move |teller| do_offload(&server, &caller, evict, teller)).await
}

fn asked_to_evict(body: &[u8]) -> Result<bool, ApiError> {
    match object(body, &["evict"])?.get("evict") {
        None => Ok(false),
        Some(Value::Bool(evict)) => Ok(*evict),
        Some(_) => Err(ApiError::bad("evict must be true or false")),
    }
}

/// The object of a body, which has nothing but these.
fn object(body: &[u8], names: &[&str]) -> Result<Map<String, Value>, ApiError> {
    let all = names.join(", ");
    let object: Map<String, Value> = match body.trim_ascii() {
        b"" => Map::new(),
        text => serde_json::from_slice(text)
            .map_err(|e| ApiError::bad(format!("the body must be a JSON object with {all}: {e}")))?,
    };
    match object.keys().find(|key| !names.contains(&key.as_str())) {
        Some(key) => {
            let key: String = key.chars().take(40).collect();
            Err(ApiError::bad(format!("{key} is nothing that can be asked for here; there is {all}")))
        }
        None => Ok(object),
    }
}

fn do_offload(server: &Server, caller: &Caller, evict: bool, mut teller: Teller) {
    let done = server.engine.offload(evict, &mut |at| teller.tell(|| json!({ "done": at.done, "total": at.total })));
    let last = done.map_err(ApiError::from).and_then(|report| offloaded(&report));
    let after = told(&last, json!({ "evict": evict }));
    audit(server, caller, &Changed { action: "archive.offload", target: "all services", before: Value::Null, after });
    teller.end(last);
}

fn offloaded(report: &OffloadReport) -> Result<Value, ApiError> {
    let OffloadReport { segments, bytes, evicted, failed } = report;
    if failed.is_empty() {
        return Ok(json!({ "success": true, "segments": segments, "bytes": bytes, "evicted": evicted }));
    }
    let first = failed.first().map(String::as_str).unwrap_or_default();
    let error = format!("not everything could be copied: {first}");
    let shown: Vec<&String> = failed.iter().take(FAILED_MAX).collect();
    let answer = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, error).with("failed", json!(shown));
    Err(answer.with("segments", *segments).with("bytes", *bytes).with("evicted", *evicted))
}

/// What is written down of it: what was asked for, and what came of it.
fn told(last: &Result<Value, ApiError>, mut asked: Value) -> Value {
    let came = match last {
        Ok(done) => done.clone(),
        Err(error) => json!({ "error": error.to_string() }),
    };
    if let (Some(asked), Value::Object(came)) = (asked.as_object_mut(), came) {
        asked.extend(came);
    }
    asked
}

/// `POST /api/v1/archive/restore`
pub(super) async fn restore(
    State(server): State<Arc<Server>>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let form = Form::of(&headers);
    let body = read_whole(&headers, body, server.whole.of(MIB), server.bodies.room()).await?;
    let (wanted, asked) = asked_to_restore(&body.bytes, server.env.now())?;
    progress::answer(form, move |teller| do_restore(&server, &caller, &wanted, asked, teller)).await
}

/// What is to be brought back, and how that was said.
fn asked_to_restore(body: &[u8], now: i64) -> Result<(Restoring, Value), ApiError> {
    let object = object(body, &["since", "before", "service", "ttl"])?;
    let text = |name: &str| match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(Value::Number(number)) if name != "service" => Ok(Some(number.to_string())),
        Some(_) => Err(ApiError::bad(format!("{name} must be a text"))),
    };
    let moment = |name: &str| {
        let missing = || ApiError::bad(format!("{name} is missing: say of which time records are to be brought back"));
        text(name)?.ok_or_else(missing).and_then(|text| time(name, &text, now)).map(|(first, _)| first)
    };
    let (since, before) = (moment("since")?, moment("before")?);
    if since >= before {
        return Err(ApiError::bad("since must be earlier than before"));
    }
    let ttl = text("ttl")?.unwrap_or_else(|| TTL.into());
    let nanos = duration(&ttl).and_then(|nanos| u64::try_from(nanos).ok()).map(Duration::from_nanos);
    let shown: String = ttl.chars().take(40).collect();
    let ttl = nanos
        .filter(|ttl| *ttl >= Duration::from_secs(1))
        .ok_or_else(|| ApiError::bad(format!("ttl must be a duration of at least 1s, such as 2d, not `{shown}`")))?;
    let service = text("service")?.filter(|service| !service.is_empty());
    let asked = json!({ "since": object.get("since"), "before": object.get("before"), "ttl": shown });
    Ok((Restoring { since, before, service, ttl }, asked))
}

fn do_restore(server: &Server, caller: &Caller, wanted: &Restoring, asked: Value, mut teller: Teller) {
    let done =
        server.engine.restore(wanted, &mut |done, total| teller.tell(|| json!({ "done": done, "total": total })));
    let last = done.map(|report| restored(&report)).map_err(|e| ApiError::from(of_archive(e)));
    let after = told(&last, asked);
    let target = wanted.service.as_deref().unwrap_or("all services");
    audit(server, caller, &Changed { action: "archive.restore", target, before: Value::Null, after });
    teller.end(last);
}

/// `POST /api/v1/archive/collect`
pub(super) async fn collect(
    State(server): State<Arc<Server>>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let body = read_whole(&headers, body, server.whole.of(MIB), server.bodies.room()).await?;
    let dry_run = match object(&body.bytes, &["dry_run"])?.get("dry_run") {
        None => false,
        Some(Value::Bool(dry_run)) => *dry_run,
        Some(_) => return Err(ApiError::bad("dry_run must be true or false")),
    };
    let done = blocking(move || {
        let done = server.engine.collect(dry_run).map_err(|e| ApiError::from(of_archive(e)));
        let last = done.and_then(|report| collected(&report));
        if !dry_run {
            let after = told(&last, json!({}));
            audit(
                &server,
                &caller,
                &Changed { action: "archive.collect", target: "all targets", before: Value::Null, after },
            );
        }
        last
    });
    Ok(json_response(StatusCode::OK, done.await??.to_string()))
}

fn collected(report: &CollectReport) -> Result<Value, ApiError> {
    let CollectReport { dry_run, condemned, orphans, orphan_bytes, waiting, objects, failed } = report;
    let answer = json!({
        "success": failed.is_empty(),
        "dry_run": dry_run,
        "condemned": condemned,
        "orphans": orphans,
        "orphan_bytes": orphan_bytes,
        "waiting": waiting,
        "objects": objects,
    });
    let Some(first) = failed.first() else { return Ok(answer) };
    let error = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, format!("not everything could be removed: {first}"));
    let shown: Vec<&String> = failed.iter().take(FAILED_MAX).collect();
    Err(error.with("failed", json!(shown)).with("condemned", *condemned).with("orphans", *orphans))
}

/// `POST /api/v1/archive/take-over`
pub(super) async fn take_over(
    State(server): State<Arc<Server>>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let body = read_whole(&headers, body, server.whole.of(MIB), server.bodies.room()).await?;
    let target = match object(&body.bytes, &["target"])?.get("target") {
        Some(Value::String(target)) => target.clone(),
        _ => return Err(ApiError::bad("target is missing: say which target of the archive this server takes over")),
    };
    let done = blocking(move || {
        let before = server.engine.take_over(&target).map_err(ApiError::from)?;
        let after = json!({ "before": before });
        audit(&server, &caller, &Changed { action: "archive.take-over", target: &target, before: Value::Null, after });
        Ok::<_, ApiError>(json!({ "success": true, "target": target, "before": before }))
    });
    Ok(json_response(StatusCode::OK, done.await??.to_string()))
}

/// An object that is missing is no fault of who asked.
pub(super) fn of_archive(error: Error) -> Error {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::Corrupt => Error::new(ErrorKind::Unavailable, error.to_string()),
        _ => error,
    }
}

fn restored(report: &RestoreReport) -> Value {
    json!({
        "success": true,
        "segments": report.segments,
        "rows": report.rows,
        "bytes": report.bytes,
        "here": report.here,
        "until": report.until.div_euclid(MILLI),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_780_000_000_000_000_000;

    #[test]
    fn a_range_is_asked_for_by_its_times() {
        let body = br#"{"since":"2026-05-01","before":"2026-05","service":"shop","ttl":"1h"}"#;
        let refused = asked_to_restore(body, NOW).unwrap_err().to_string();
        assert!(refused.contains("since must be earlier"), "{refused}");
        let body = br#"{"since":"2026-05","before":"2026-06","service":"shop","ttl":"1h"}"#;
        let (wanted, asked) = asked_to_restore(body, NOW).unwrap();
        assert_eq!((wanted.before - wanted.since) / SECOND, 31 * 86_400);
        assert_eq!((wanted.service.as_deref(), wanted.ttl), (Some("shop"), Duration::from_secs(3_600)));
        assert_eq!(asked["since"], "2026-05");
        let (ago, _) = asked_to_restore(br#"{"since":"7d","before":1779999999}"#, NOW).unwrap();
        assert_eq!((ago.since, ago.ttl), (NOW - 7 * 86_400 * SECOND, Duration::from_secs(2 * 86_400)));
        for (wrong, said) in [
            ("", "since is missing"),
            (r#"{"since":"1d"}"#, "before is missing"),
            (r#"{"since":"soon","before":"now"}"#, "since must be a time"),
            (r#"{"since":"1d","before":"now","ttl":"0s"}"#, "ttl must be"),
            (r#"{"since":"1d","before":"now","ttl":"2"}"#, "ttl must be"),
            (r#"{"since":"1d","before":"now","service":5}"#, "service must be a text"),
            (r#"{"since":"1d","until":"now"}"#, "until is nothing"),
            ("[]", "JSON object"),
        ] {
            let error = asked_to_restore(wrong.as_bytes(), NOW).unwrap_err().to_string();
            assert!(error.starts_with("400") && error.contains(said), "{wrong}: {error}");
        }
        assert!(asked_to_evict(b"").is_ok_and(|evict| !evict) && asked_to_evict(b"{\"evict\":true}").unwrap());
        assert!(asked_to_evict(b"{\"evict\":1}").is_err() && asked_to_evict(b"{\"x\":1}").is_err());
    }
}
