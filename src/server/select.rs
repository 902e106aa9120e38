//! `/select/logsql/query`: LogsQL over HTTP, its rows as JSON lines while they are found.
//!
//! Invariants
//! * A query that fails before its first row is an answer with a status; one that fails later breaks the body off.
//! * When the client goes, the query ends. Of what it has found, [`CHUNKS`] chunks at most wait for the client.
use super::Server;
use super::body::read_whole;
use super::error::ApiError;
use super::params::Params;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::body::Frame;
use logyard_storage::engine::{Engine, QueryControl};
use logyard_storage::error::Error;
use logyard_storage::query::{Block, Flow, Query, duration, parse, time_span};
use logyard_storage::scan::Cancel;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, Sender, channel};

const CHUNK_BYTES: usize = 1 << 16;
const CHUNKS: usize = 4;
/// How long a query may take; `timeout` asks for less.
const DURATION_MAX: Duration = Duration::from_secs(30);

type Chunk = Result<Bytes, Error>;

/// `GET` or `POST /select/logsql/query`, the parameters in the query string or in a form.
pub(super) async fn query(
    State(server): State<Arc<Server>>,
    method: Method,
    params: Params,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let params = if method == Method::POST {
        params.and(Params::form(&read_whole(&headers, body, server.bodies.room()).await?.bytes)?)
    } else {
        params
    };
    let (query, control) = asked(&params, server.env.now())?;
    let gone = Gone(control.control.cancel.clone());
    let (sender, mut rest) = channel(CHUNKS);
    let engine = Arc::clone(&server.engine);
    tokio::task::spawn_blocking(move || answer(&engine, &query, &control, &sender));
    let first = rest.recv().await.transpose()?;
    let body = Body::new(Lines { first, rest, _gone: gone });
    Ok((StatusCode::OK, [(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"))], body)
        .into_response())
}

/// What is asked for, and within which bounds.
fn asked(params: &Params, now: i64) -> Result<(Query, QueryControl), ApiError> {
    let text = params.get("query").ok_or_else(|| ApiError::bad("query is missing: say what to look for in LogsQL"))?;
    let mut query = parse(text).map_err(Error::from)?;
    // None where it is 0, as in VictoriaLogs.
    let limit = params.count("limit", 0, usize::MAX)?;
    if limit > 0 {
        query = limited(&query, limit)?;
    }
    let time = |name: &str| {
        let wrong =
            |text: &str| ApiError::bad(format!("{name} must be a time such as 2026-05-28T10:00:00Z, not `{text}`"));
        params.get(name).map(|text| time_span(text, now).ok_or_else(|| wrong(text))).transpose()
    };
    let (first, last) = (time("start")?.map_or(i64::MIN, |span| span.0), time("end")?.map_or(i64::MAX, |span| span.1));
    let duration_max = match params.get("timeout") {
        None => DURATION_MAX,
        Some(text) => {
            let nanos = duration(text).and_then(|nanos| u64::try_from(nanos).ok());
            let wrong = || ApiError::bad(format!("timeout must be a duration such as 5s, not `{text}`"));
            Duration::from_nanos(nanos.ok_or_else(wrong)?).min(DURATION_MAX)
        }
    };
    let control = QueryControl { time: (first, last), duration_max: Some(duration_max), ..QueryControl::default() };
    Ok((query, control))
}

/// The newest rows of a query without pipes; of what pipes give, the first.
fn limited(query: &Query, limit: usize) -> Result<Query, ApiError> {
    let newest = if query.pipes.is_empty() { " | sort by (_time) desc" } else { "" };
    Ok(parse(&format!("{query}{newest} | limit {limit}")).map_err(Error::from)?)
}

/// Runs a query and sends its rows, or why there are none.
fn answer(engine: &Engine, query: &Query, control: &QueryControl, sender: &Sender<Chunk>) {
    let mut lines = String::new();
    let ran = engine.query(query, control, &mut |block: Block| {
        for row in 0..block.rows() {
            lines.push_str(&block.row_json(row));
            lines.push('\n');
            if lines.len() >= CHUNK_BYTES && !send(sender, &mut lines) {
                return Ok(Flow::Enough);
            }
        }
        Ok(if lines.is_empty() || send(sender, &mut lines) { Flow::More } else { Flow::Enough })
    });
    if let Err(error) = ran {
        // Nobody reads it where the client has gone.
        let _is_read = sender.blocking_send(Err(error));
    }
}

/// Sends lines and begins new ones; false where the client has gone.
fn send(sender: &Sender<Chunk>, lines: &mut String) -> bool {
    sender.blocking_send(Ok(std::mem::take(lines).into())).is_ok()
}

/// Ends a query when its answer is dropped.
struct Gone(Cancel);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// The body of an answer.
struct Lines {
    first: Option<Bytes>,
    rest: Receiver<Chunk>,
    _gone: Gone,
}

impl hyper::body::Body for Lines {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match self.first.take() {
            Some(first) => Poll::Ready(Some(Ok(Frame::data(first)))),
            None => self.rest.poll_recv(cx).map(|chunk| chunk.map(|chunk| chunk.map(Frame::data))),
        }
    }
}
