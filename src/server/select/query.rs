//! `/select/logsql/query`: LogsQL over HTTP, its rows as JSON lines while they are found.
//!
//! Invariants
//! * A query that fails before its first row is an answer with a status; one that fails later breaks the body off. An
//!   answer that ends was whole.
//! * What it leaves out is known before its head is made, and said there; where more had to be left out behind the first rows, it
//!   breaks off.
//! * It ends when its client goes, or the client's key does not count any more; what was given of it then breaks off.
//! * When the client does not read, the query ends with its time. Of what was found, [`CHUNKS`] chunks at most wait for it.
use super::asked::{Asked, Form, broke_off, query_text};
use super::whole::Gone;
use crate::server::Server;
use crate::server::access::Caller;
use crate::server::error::ApiError;
use crate::server::params::Params;
use crate::server::partial::noted;
use crate::server::room::Room;
use crate::server::turns::Turn;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::body::Frame;
use logyard_storage::engine::{Partial, QueryControl};
use logyard_storage::error::{Error, ErrorKind};
use logyard_storage::limits::KIB;
use logyard_storage::query::{Block, Flow, Query};
use logyard_storage::scan::Cancel;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::Instant;

const CHUNK_BYTES: usize = 64 * KIB;
const CHUNKS: usize = 4;
/// A query that is shown as it was understood where it is explained.
const SHOWN_BYTES_MAX: usize = 4 * KIB;

/// A piece of an answer. The last one is empty, so that one that broke off is told from a whole one.
type Chunk = Result<Bytes, ApiError>;

/// `GET` or `POST /select/logsql/query`, the parameters in the query string or in a form.
pub(in crate::server) async fn query(
    State(server): State<Arc<Server>>,
    caller: Caller,
    form: Form,
) -> Result<Response, ApiError> {
    let (Form { params, room }, env) = (form, Arc::clone(&server.env));
    let explains = params.says("explain");
    let cancel = Cancel::default();
    let gone = Gone::of(cancel.clone());
    let turn = server.queries.turn().await?;
    let (sender, mut rest) = channel(CHUNKS);
    let partial = params.partial();
    let running = Running { params, cancel, explains, partial: partial.clone(), _turn: turn, _room: room };
    tokio::task::spawn_blocking(move || running.answer(&server, sender));
    let first = rest.recv().await.ok_or_else(broke_off)??;
    let kind = if explains { "text/plain; charset=utf-8" } else { "application/x-ndjson" };
    let is_over = first.is_empty();
    let lines = Body::new(Lines { first: Some(first), is_over, rest, _gone: gone });
    let body = caller.guarded(lines, &env);
    let answer = (StatusCode::OK, [(header::CONTENT_TYPE, HeaderValue::from_static(kind))], body).into_response();
    Ok(noted(answer, &partial))
}

/// A query whose turn it is.
struct Running {
    params: Params,
    cancel: Cancel,
    /// Whether how it is answered is wanted, and not its rows.
    explains: bool,
    /// What it leaves out, where it may.
    partial: Partial,
    _turn: Turn,
    _room: Room,
}

impl Running {
    /// Runs it and sends its rows, or why there are none.
    fn answer(self, server: &Server, sender: Sender<Chunk>) {
        let partial = self.partial.clone();
        let mut out = Out { sender, lines: String::new(), until: Instant::now(), partial, noted: None };
        let last = self.run(server, &mut out).and_then(|()| Ok(out.is_as_said()?)).map(|()| Bytes::new());
        // Where the client has gone nobody reads it, and where it does not read the answer breaks off.
        let _is_read = out.put(last);
    }

    fn run(&self, server: &Server, out: &mut Out) -> Result<(), ApiError> {
        let Asked { mut query, mut control, held: _held, .. } =
            Asked::new(server, &self.params, self.cancel.clone(), &self.partial)?;
        out.until = control.duration_max.and_then(|most| Instant::now().checked_add(most)).unwrap_or(out.until);
        // None where it is 0, as in VictoriaLogs.
        let limit = self.params.count("limit", 0, usize::MAX)?;
        if limit > 0 {
            query = query.limited(limit as u64);
        }
        control.explain = self.explains;
        if self.explains { self.explain(server, &query, &control, out) } else { rows(server, &query, &control, out) }
    }

    /// Runs it and says how it was answered.
    fn explain(&self, server: &Server, query: &Query, control: &QueryControl, out: &mut Out) -> Result<(), ApiError> {
        let mut given = 0;
        let answered = server.engine.query(query, control, &mut |block: Block| {
            given += block.rows();
            Ok(Flow::More)
        })?;
        let text = query_text(&self.params)?;
        // How it was understood, where that is no longer than anybody reads.
        let shown = if text.len() <= SHOWN_BYTES_MAX { query.to_string() } else { text.into() };
        out.lines.push_str(&answered.explained(&shown, given));
        out.send().map(drop).map_err(ApiError::from)
    }
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
    partial: Partial,
    /// What was left out when the answer's head was made.
    noted: Option<Option<String>>,
}

impl Out {
    /// Sends what is found, in pieces; there is enough where the client has gone.
    fn send(&mut self) -> Result<Flow, Error> {
        let lines = std::mem::take(&mut self.lines);
        if !lines.is_empty() && self.noted.is_none() {
            self.noted = Some(self.partial.note());
        }
        for piece in lines.as_bytes().chunks(CHUNK_BYTES) {
            if self.put(Ok(Bytes::copy_from_slice(piece)))? == Flow::Enough {
                return Ok(Flow::Enough);
            }
        }
        Ok(Flow::More)
    }

    /// Fails where something was left out that the answer's head does not say.
    fn is_as_said(&self) -> Result<(), Error> {
        match (&self.noted, self.partial.note()) {
            (Some(said), Some(note)) if said.as_ref() != Some(&note) => Err(Error::new(ErrorKind::Unavailable, note)),
            _ => Ok(()),
        }
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
