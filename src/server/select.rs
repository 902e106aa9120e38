//! `/select/logsql/query`: LogsQL over HTTP, its rows as JSON lines while they are found.
//!
//! Invariants
//! * A query that fails before its first row is an answer with a status; one that fails later breaks the body off. An
//!   answer that ends was whole.
//! * When the client goes, the query ends; when it does not read, the query ends with its time. Of what was found,
//!   [`CHUNKS`] chunks at most wait for the client.
//! * A query is parsed and run in its turn, on a thread that may block, and the turn is over when that is.
use super::Server;
use super::body::read_whole;
use super::error::ApiError;
use super::params::Params;
use super::room::Room;
use super::turns::Turn;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::body::Frame;
use logyard_storage::engine::QueryControl;
use logyard_storage::error::{Error, ErrorKind};
use logyard_storage::limits::{KIB, MIB};
use logyard_storage::query::{Block, Flow, QUERY_BYTES_MAX, Query, duration, parse_within, time_span};
use logyard_storage::scan::{Cancel, Control};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::Instant;

const CHUNK_BYTES: usize = 64 * KIB;
const CHUNKS: usize = 4;
/// A query that is shown as it was understood where it is explained.
const SHOWN_BYTES_MAX: usize = 4 * KIB;
/// A form with a query of the greatest length, every byte of it encoded.
const FORM_BYTES_MAX: usize = 3 * QUERY_BYTES_MAX + MIB;

/// A piece of an answer. The last one is empty, so that one that broke off is told from a whole one.
type Chunk = Result<Bytes, ApiError>;

/// `GET` or `POST /select/logsql/query`, the parameters in the query string or in a form.
pub(super) async fn query(
    State(server): State<Arc<Server>>,
    method: Method,
    params: Params,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let (params, room) = read_form(&server, &method, params, &headers, body).await?;
    let explains = params.get("explain").is_some_and(|explain| explain != "0");
    let cancel = Cancel::default();
    let gone = Gone(cancel.clone());
    let turn = server.queries.turn().await?;
    let (sender, mut rest) = channel(CHUNKS);
    let asked = Asked { params, cancel, explains, _turn: turn, _room: room };
    tokio::task::spawn_blocking(move || asked.answer(&server, sender));
    let first = rest.recv().await.ok_or_else(broke_off)??;
    let kind = if explains { "text/plain; charset=utf-8" } else { "application/x-ndjson" };
    let is_over = first.is_empty();
    let body = Body::new(Lines { first: Some(first), is_over, rest, _gone: gone });
    Ok((StatusCode::OK, [(header::CONTENT_TYPE, HeaderValue::from_static(kind))], body).into_response())
}

/// The parameters of a query string and of a form, and the room that the query takes.
pub(super) async fn read_form(
    server: &Server,
    method: &Method,
    params: Params,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Params, Room), ApiError> {
    let (mut params, mut room) = (params, server.queries.room());
    if method == Method::POST {
        let form = read_whole(headers, body, FORM_BYTES_MAX, room).await?;
        params = params.and(Params::form(&form.bytes)?);
        room = form.room;
    }
    room.grow_to(params.get("query").map_or(0, str::len))?;
    Ok((params, room))
}

/// The text of the query.
pub(super) fn query_text(params: &Params) -> Result<&str, ApiError> {
    params.get("query").ok_or_else(|| ApiError::bad("query is missing: say what to look for in LogsQL"))
}

/// The answer to a query that ended without a word.
pub(super) fn broke_off() -> ApiError {
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error").with("message", "the query broke off")
}

/// A query whose turn it is.
struct Asked {
    params: Params,
    cancel: Cancel,
    /// Whether how it is answered is wanted, and not its rows.
    explains: bool,
    _turn: Turn,
    _room: Room,
}

impl Asked {
    /// Runs it and sends its rows, or why there are none.
    fn answer(self, server: &Server, sender: Sender<Chunk>) {
        let mut out = Out { sender, lines: String::new(), until: Instant::now() };
        let last = self.run(server, &mut out).map(|()| Bytes::new());
        // Where the client has gone nobody reads it, and where it does not read the answer breaks off.
        let _is_read = out.put(last);
    }

    fn run(&self, server: &Server, out: &mut Out) -> Result<(), ApiError> {
        let duration_max = self.duration_max(server.queries.duration)?;
        out.until = Instant::now().checked_add(duration_max).unwrap_or(out.until);
        let memory = server.engine.query_memory();
        let text = query_text(&self.params)?;
        let (mut query, _held) = parse_within(text, &memory)??;
        // None where it is 0, as in VictoriaLogs.
        let limit = self.params.count("limit", 0, usize::MAX)?;
        if limit > 0 {
            query = query.limited(limit as u64);
        }
        let control = QueryControl {
            control: Control { cancel: self.cancel.clone(), ..Control::default() },
            memory: Some(memory),
            time: self.time(server.env.now())?,
            duration_max: Some(duration_max),
            explain: self.explains,
            ..QueryControl::default()
        };
        if self.explains {
            self.explain(server, text, &query, &control, out)
        } else {
            rows(server, &query, &control, out)
        }
    }

    /// Runs it and says how it was answered.
    fn explain(
        &self,
        server: &Server,
        text: &str,
        query: &Query,
        control: &QueryControl,
        out: &mut Out,
    ) -> Result<(), ApiError> {
        let mut given = 0;
        let answered = server.engine.query(query, control, &mut |block: Block| {
            given += block.rows();
            Ok(Flow::More)
        })?;
        // How it was understood, where that is no longer than anybody reads.
        let shown = if text.len() <= SHOWN_BYTES_MAX { query.to_string() } else { text.into() };
        out.lines.push_str(&answered.explained(&shown, given));
        out.send().map(drop).map_err(ApiError::from)
    }

    /// The first and the last nanosecond that are asked for.
    fn time(&self, now: i64) -> Result<(i64, i64), ApiError> {
        let wrong = |name: &str, text: &str| {
            ApiError::bad(format!("{name} must be a time such as 2026-05-28T10:00:00Z, not `{}`", shortened(text)))
        };
        let time = |name: &str| {
            let text = self.params.get(name);
            text.map(|text| time_span(text, now).ok_or_else(|| wrong(name, text))).transpose()
        };
        Ok((time("start")?.map_or(i64::MIN, |span| span.0), time("end")?.map_or(i64::MAX, |span| span.1)))
    }

    /// How long it may take: what `timeout` asks for, and no longer than any may.
    fn duration_max(&self, most: Duration) -> Result<Duration, ApiError> {
        let Some(text) = self.params.get("timeout") else { return Ok(most) };
        let nanos = duration(text).and_then(|nanos| u64::try_from(nanos).ok());
        let wrong = || ApiError::bad(format!("timeout must be a duration such as 5s, not `{}`", shortened(text)));
        Ok(Duration::from_nanos(nanos.ok_or_else(wrong)?).min(most))
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}

/// Runs a query and sends its rows.
fn rows(server: &Server, query: &Query, control: &QueryControl, out: &mut Out) -> Result<(), ApiError> {
    server.engine.query(query, control, &mut |block: Block| {
        for row in 0..block.rows() {
            out.lines.push_str(&block.row_json(row));
            out.lines.push('\n');
            if out.lines.len() >= CHUNK_BYTES && out.send()? == Flow::Enough {
                return Ok(Flow::Enough);
            }
        }
        out.send()
    })?;
    Ok(())
}

/// Where an answer goes.
struct Out {
    sender: Sender<Chunk>,
    /// What is found and not sent yet.
    lines: String,
    /// When whoever reads has had enough time.
    until: Instant,
}

impl Out {
    /// Sends what is found, in pieces; there is enough where the client has gone.
    fn send(&mut self) -> Result<Flow, Error> {
        let lines = std::mem::take(&mut self.lines);
        for piece in lines.as_bytes().chunks(CHUNK_BYTES) {
            if self.put(Ok(Bytes::copy_from_slice(piece)))? == Flow::Enough {
                return Ok(Flow::Enough);
            }
        }
        Ok(Flow::More)
    }

    fn put(&self, chunk: Chunk) -> Result<Flow, Error> {
        let chunk = match self.sender.try_send(chunk) {
            Ok(()) => return Ok(Flow::More),
            Err(tokio::sync::mpsc::error::TrySendError::Full(chunk)) => chunk,
            Err(tokio::sync::mpsc::error::TrySendError::Closed(_)) => return Ok(Flow::Enough),
        };
        match Handle::current().block_on(tokio::time::timeout_at(self.until, self.sender.send(chunk))) {
            Ok(Ok(())) => Ok(Flow::More),
            Ok(Err(_has_gone)) => Ok(Flow::Enough),
            Err(_) => Err(Error::new(
                ErrorKind::OverTime,
                "the client did not read the answer in the time that a query may take",
            )),
        }
    }
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
    is_over: bool,
    rest: Receiver<Chunk>,
    _gone: Gone,
}

impl hyper::body::Body for Lines {
    type Data = Bytes;
    type Error = ApiError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ApiError>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        let chunk = match self.rest.poll_recv(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(chunk) => chunk.unwrap_or_else(|| Err(broke_off())),
        };
        self.is_over = chunk.as_ref().map_or(true, Bytes::is_empty);
        Poll::Ready(if chunk.as_ref().is_ok_and(Bytes::is_empty) { None } else { Some(chunk.map(Frame::data)) })
    }
}
