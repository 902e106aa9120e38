//! What a request asks for: its parameters, its query as it is meant, and the bounds of it.
//!
//! Invariants
//! * What is relative to now in a query is meant for the time that the request names: `time`, else `end`, else now.
//! * Extra filters are for the query and for all queries within it.
use super::{extra, moment};
use crate::server::Server;
use crate::server::body::read_whole;
use crate::server::error::ApiError;
use crate::server::params::Params;
use crate::server::room::Room;
use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::{HeaderMap, Method, StatusCode};
use logyard_storage::engine::{Partial, QueryControl};
use logyard_storage::limits::MIB;
use logyard_storage::query::{Held, Memory, QUERY_BYTES_MAX, Query, duration, parse_within, time_span};
use logyard_storage::scan::{Cancel, Control};
use std::sync::Arc;
use std::time::Duration;

/// A form with a query of the greatest length, every byte of it encoded.
const FORM_BYTES_MAX: usize = 3 * QUERY_BYTES_MAX + MIB;
/// Characters of a text that is wrong, as far as it is repeated.
const SHOWN_CHARS: usize = 40;

/// The parameters of a query string and of a form, and the room that the query takes.
pub(in crate::server) struct Form {
    pub(super) params: Params,
    pub(super) room: Room,
}

impl FromRequest<Arc<Server>> for Form {
    type Rejection = ApiError;

    async fn from_request(request: Request, server: &Arc<Server>) -> Result<Self, ApiError> {
        let (mut parts, body) = request.into_parts();
        let params = Params::from_request_parts(&mut parts, server).await?;
        let (params, room) = read_form(server, &parts.method, params, &parts.headers, body).await?;
        Ok(Self { params, room })
    }
}

/// The same of the pieces of a request.
pub(in crate::server) async fn read_form(
    server: &Server,
    method: &Method,
    params: Params,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Params, Room), ApiError> {
    let (mut params, mut room) = (params, server.queries.room());
    if method == Method::POST {
        let form = read_whole(headers, body, server.whole.of(FORM_BYTES_MAX), room).await?;
        params = params.and(Params::form(&form.bytes)?);
        room = form.room;
    }
    room.grow_to(params.get("query").map_or(0, str::len))?;
    Ok((params, room))
}

/// The query that the parameters ask for, and what its text takes.
pub(in crate::server) fn parsed(params: &Params, memory: &Memory) -> Result<(Query, Held), ApiError> {
    let (mut query, held) = parse_within(query_text(params)?, memory)??;
    extra::add(&mut query, params)?;
    Ok((query, held))
}

/// The text of the query.
pub(super) fn query_text(params: &Params) -> Result<&str, ApiError> {
    params.get("query").ok_or_else(|| ApiError::bad("query is missing: say what to look for in LogsQL"))
}

/// The answer to a query that ended without a word.
pub(in crate::server) fn broke_off() -> ApiError {
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error").with("message", "the query broke off")
}

/// A query as it is meant, and how it is run.
pub(super) struct Asked {
    pub(super) query: Query,
    pub(super) control: QueryControl,
    /// When it is asked for: the last nanosecond before `time` or `end`, or now.
    pub(super) moment: i64,
    /// What its text takes.
    pub(super) held: Held,
}

impl Asked {
    /// What the parameters ask for; the query ends when it is cancelled, and says there what it leaves out.
    pub(super) fn new(server: &Server, params: &Params, cancel: Cancel, partial: &Partial) -> Result<Self, ApiError> {
        let memory = server.engine.query_memory();
        let duration_max = duration_max(params, server.queries.duration)?;
        let now = server.env.now();
        let (start, end) = (span(params, "start", now)?, span(params, "end", now)?);
        let named = match (span(params, "time", now)?, end) {
            (Some((time, _)), _) => Some(time.saturating_sub(1)),
            (None, Some((first, last))) if first == last => Some(first.saturating_sub(1)),
            (None, Some((_, last))) => Some(last),
            (None, None) => None,
        };
        let (mut query, held) = parsed(params, &memory)?;
        if let Some(named) = named {
            moment::pin(&mut query, named);
        }
        let control = QueryControl {
            control: Control { cancel, partial: partial.clone(), ..Control::default() },
            memory: Some(memory),
            time: (start.map_or(i64::MIN, |span| span.0), end.map_or(i64::MAX, |span| span.1)),
            duration_max: Some(duration_max),
            ..QueryControl::default()
        };
        Ok(Self { query, control, moment: named.unwrap_or(now), held })
    }
}

/// The first and the last nanosecond of a time that is asked for.
fn span(params: &Params, name: &str, now: i64) -> Result<Option<(i64, i64)>, ApiError> {
    let Some(text) = params.get(name) else { return Ok(None) };
    let wrong =
        || ApiError::bad(format!("{name} must be a time such as 2026-05-28T10:00:00Z, not `{}`", shortened(text)));
    time_span(text, now).map(Some).ok_or_else(wrong)
}

/// How long a query may take: what `timeout` asks for, and no longer than any may.
fn duration_max(params: &Params, most: Duration) -> Result<Duration, ApiError> {
    let Some(text) = params.get("timeout") else { return Ok(most) };
    let nanos = duration(text).and_then(|nanos| u64::try_from(nanos).ok());
    let wrong = || ApiError::bad(format!("timeout must be a duration such as 5s, not `{}`", shortened(text)));
    Ok(Duration::from_nanos(nanos.ok_or_else(wrong)?).min(most))
}

/// A duration in nanoseconds, or a number of seconds.
pub(super) fn nanoseconds(params: &Params, name: &str, default: &str) -> Result<i64, ApiError> {
    let text = params.get(name).unwrap_or(default);
    let wrong = || ApiError::bad(format!("{name} must be a duration such as 5m, not `{}`", shortened(text)));
    duration(text).or_else(|| duration(&format!("{text}s"))).ok_or_else(wrong)
}

/// The width of the buckets of an answer over time.
pub(super) fn step(params: &Params) -> Result<i64, ApiError> {
    let step = nanoseconds(params, "step", "1d")?;
    if step > 0 { Ok(step) } else { Err(ApiError::bad("step must be more than nothing: 5m, 1h, 1d")) }
}

/// A text of a request as far as it is repeated.
fn shortened(text: &str) -> String {
    text.chars().take(SHOWN_CHARS).collect()
}
