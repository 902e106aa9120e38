//! Deletion by predicate over HTTP: which records, by a filter in LogsQL and a time range; and with `dry_run` only how many.
//!
//! Invariants
//! * What is to be deleted is said: without a query nothing is.
//! * Records that arrive after it was asked for stay.
//! * What is written down of it says all that was asked for, as it was asked.
use super::access::{Caller, Changed, audit};
use super::body::read_whole;
use super::error::{ApiError, json_response};
use super::params::Params;
use super::{Server, blocking};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use logyard_storage::engine::{DeletionReceipt, Search};
use logyard_storage::limits::MIB;
use logyard_storage::query::plain::sought;
use logyard_storage::query::tree::Options;
use logyard_storage::query::{Clock, duration, parse, time_span};
use serde_json::{Map, Value, json};
use std::sync::Arc;

const MILLI: i64 = 1_000_000;

/// `POST /api/v1/admin/delete`, what is asked for in the query string or in a JSON object, which counts more.
pub(super) async fn delete(
    State(server): State<Arc<Server>>,
    caller: Caller,
    params: Params,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let body = read_whole(&headers, body, server.whole.of(MIB), server.bodies.room()).await?;
    let body = blocking(move || {
        let asked = Asked::new(&params, &body.bytes, server.env.now())?;
        let receipt = match &asked.search {
            Some(search) => server.engine.delete(search, asked.dry_run).map_err(explained)?,
            None => nothing(server.env.now()),
        };
        let shown = shown(&asked, &receipt);
        if !asked.dry_run {
            let after = asked.told(shown.clone());
            audit(
                &server,
                &caller,
                &Changed { action: "records.delete", target: &asked.query, before: Value::Null, after },
            );
        }
        Ok::<_, ApiError>(shown)
    });
    Ok(json_response(StatusCode::OK, body.await??.to_string()))
}

/// What is asked for.
struct Asked {
    query: String,
    /// The times, as they were given.
    since: Option<String>,
    until: Option<String>,
    /// None where no record can be meant.
    search: Option<Search>,
    dry_run: bool,
}

impl Asked {
    fn new(params: &Params, body: &[u8], now: i64) -> Result<Self, ApiError> {
        let object: Map<String, Value> = match body.trim_ascii() {
            b"" => Map::new(),
            text => serde_json::from_slice(text).map_err(|e| {
                ApiError::bad(format!("the body must be a JSON object with query, since, until, dry_run: {e}"))
            })?,
        };
        if let Some(key) = object.keys().find(|key| !["query", "since", "until", "dry_run"].contains(&key.as_str())) {
            let key: String = key.chars().take(40).collect();
            return Err(ApiError::bad(format!(
                "{key} is nothing that a deletion has; it has query, since, until, dry_run"
            )));
        }
        let text = |name: &str| -> Result<Option<String>, ApiError> {
            match object.get(name) {
                None | Some(Value::Null) => Ok(params.get(name).map(str::to_owned)),
                Some(Value::String(text)) => Ok(Some(text.clone())),
                Some(Value::Number(number)) if name != "query" => Ok(Some(number.to_string())),
                Some(_) => Err(ApiError::bad(format!("{name} must be a text"))),
            }
        };
        let dry_run = match object.get("dry_run") {
            None => params.says("dry_run"),
            Some(Value::Bool(dry_run)) => *dry_run,
            Some(_) => return Err(ApiError::bad("dry_run must be true or false")),
        };
        let missing = || ApiError::bad("query is missing: say in LogsQL which records to delete; * is all of them");
        let query = text("query")?.filter(|query| !query.trim().is_empty()).ok_or_else(missing)?;
        let (since, until) = (text("since")?, text("until")?);
        let from = since.as_ref().map(|text| time("since", text, now)).transpose()?.map(|(first, _)| first);
        let to = until.as_ref().map(|text| time("until", text, now)).transpose()?.map(|(_, last)| last);
        let search = search(&query, (from, to), now)?;
        Ok(Self { query, since, until, search, dry_run })
    }

    /// What a deletion came to, with the times that were asked for.
    fn told(&self, mut shown: Value) -> Value {
        if let Some(fields) = shown.as_object_mut() {
            fields.insert("since".into(), json!(self.since));
            fields.insert("until".into(), json!(self.until));
        }
        shown
    }
}

/// The first and the last nanosecond of a time, or of one so long ago.
pub(super) fn time(name: &str, text: &str, now: i64) -> Result<(i64, i64), ApiError> {
    if let Some(ago) = duration(text).filter(|ago| *ago >= 0 && text.parse::<f64>().is_err()) {
        let then = now.saturating_sub(ago);
        return Ok((then, then));
    }
    let shown: String = text.chars().take(40).collect();
    let wrong =
        || ApiError::bad(format!("{name} must be a time such as 2026-05-28T10:00:00Z, or 7d ago, not `{shown}`"));
    time_span(text, now).ok_or_else(wrong)
}

/// The records that a filter and a time range mean; none where there can be none.
fn search(query: &str, (since, until): (Option<i64>, Option<i64>), now: i64) -> Result<Option<Search>, ApiError> {
    let parsed = parse(query)?;
    if !parsed.pipes.is_empty() || parsed.options != Options::default() {
        return Err(ApiError::bad("a deletion takes a filter, without pipes and options"));
    }
    let sought = sought(&parsed.filter, Clock { now, zone: 0 }).map_err(explained)?;
    let later = |one: i64, other: Option<i64>| Some(other.map_or(one, |other| one.max(other)));
    let earlier = |one: i64, other: Option<i64>| Some(other.map_or(one, |other| one.min(other)));
    let (first, last) = sought.times;
    let from = if first > i64::MIN { later(first, since) } else { since };
    let until = if last < i64::MAX { earlier(last, until) } else { until };
    let services = match sought.services {
        Some(services) if services.is_empty() => return Ok(None),
        services => services.unwrap_or_default(),
    };
    if from.zip(until).is_some_and(|(from, until)| from > until) {
        return Ok(None);
    }
    Ok(Some(Search { services, from, until, filter: sought.filter, ..Search::default() }))
}

/// A filter that cannot be kept is refused with what can be.
fn explained(error: logyard_storage::error::Error) -> ApiError {
    match error.kind() {
        logyard_storage::error::ErrorKind::Invalid => ApiError::bad(format!(
            "this filter cannot delete: {error}; use words, phrases, prefixes, field:=\"exact\", field:in(a,b), _time, and, or, not"
        )),
        _ => error.into(),
    }
}

fn nothing(at: i64) -> DeletionReceipt {
    DeletionReceipt { id: None, rows: 0, by_service: Default::default(), from: None, until: None, at }
}

fn shown(asked: &Asked, receipt: &DeletionReceipt) -> Value {
    let millis = |at: Option<i64>| at.map(|at| at.div_euclid(MILLI));
    json!({
        "success": true,
        "dry_run": asked.dry_run,
        // Greater than what numbers of some readers hold.
        "id": receipt.id.map(|id| id.to_string()),
        "rows": receipt.rows,
        "by_service": receipt.by_service,
        "oldest_timestamp": millis(receipt.from),
        "newest_timestamp": millis(receipt.until),
        "at": receipt.at.div_euclid(MILLI),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_780_000_000_000_000_000;

    fn asked(body: &str) -> Result<Asked, ApiError> {
        Asked::new(&Params::form(b"").unwrap(), body.as_bytes(), NOW)
    }

    #[test]
    fn a_filter_and_two_times_say_what_is_meant() {
        let body = r#"{"query":"service_name:=shop card _time:1h","since":"2d","until":"2026-05","dry_run":true}"#;
        let asked = asked(body).unwrap();
        let search = asked.search.unwrap();
        assert_eq!((search.services, asked.dry_run), (vec!["shop".to_owned()], true));
        let hour = 3_600_000_000_000;
        assert!(search.from.unwrap() > NOW - 2 * hour && search.until.unwrap() <= NOW);
        let none = Asked::new(&Params::form(b"query=*&since=now&until=1d").unwrap(), b"", NOW).unwrap();
        assert!(none.search.is_none() && !none.dry_run);
        let params = Params::form(b"query=a&dry_run=1").unwrap();
        assert!(Asked::new(&params, br#"{"query":"b"}"#, NOW).is_ok_and(|asked| asked.query == "b" && asked.dry_run));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (wrong, said) in [
            ("", "query is missing"),
            (r#"{"query":" "}"#, "query is missing"),
            ("[]", "JSON object"),
            (r#"{"query":5}"#, "query must be a text"),
            (r#"{"query":"a | limit 1"}"#, "without pipes"),
            (r#"{"query":"("}"#, ""),
            (r#"{"query":"a:eq_field(b)"}"#, "cannot delete"),
            (r#"{"query":"a:in(b | fields a)"}"#, "cannot delete"),
            (r#"{"query":"*","since":"soon"}"#, "since"),
            (r#"{"query":"*","dry_run":"yes"}"#, "dry_run"),
            (r#"{"query":"*","dryrun":true}"#, "dryrun"),
        ] {
            let error = asked(wrong).err().unwrap().to_string();
            assert!(error.starts_with("400") && error.contains(said), "{wrong}: {error}");
        }
    }
}
