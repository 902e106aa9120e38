//! `POST /insert/jsonline`: JSON lines of any number, decoded and stored while they arrive.
//!
//! Invariants
//! * Memory is bounded whatever the body's size: a chunk of lines, or one line of at most `LINE_BYTES_MAX`; all
//!   requests together stay within `BodyMemory`.
//! * Complete lines wait at most `WAIT_MAX` for more of them, so a slow stream is stored as it comes.
//! * A storage error ends the request and says how many lines were stored before it.
use super::access::Caller;
use super::body::{Pieces, check_encoding};
use super::error::{ApiError, json_response};
use super::ingest::with_ack;
use super::params::Params;
use super::{Server, blocking};
use crate::ingest::lines::{FieldNames, read_line};
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use logyard_storage::batch::BatchBuilder;
use logyard_storage::engine::Ack;
use logyard_storage::limits::MIB;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const REJECTED: HeaderName = HeaderName::from_static("x-logyard-rejected");
const CHUNK_BYTES: usize = MIB;
const LINE_BYTES_MAX: usize = 16 * MIB;
const BATCH_ROWS: usize = 4_000;
const BATCH_BYTES: usize = 4 * MIB;
const WAIT_MAX: Duration = Duration::from_secs(1);
const REASONS_MAX: usize = 10;

/// The handler.
pub(super) async fn insert(
    State(server): State<Arc<Server>>,
    caller: Caller,
    params: Params,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    check_encoding(&headers)?;
    let ack = params.ack()?;
    let name = |param: &str, header: &str| {
        let in_header = || headers.get(header).and_then(|value| value.to_str().ok());
        params.get(param).or_else(in_header).unwrap_or_default().to_owned()
    };
    let names = FieldNames::new(&name("_time_field", "vl-time-field"), &name("_msg_field", "vl-msg-field"));
    let mut room = server.bodies.room();
    let mut intake = Intake { server, caller, names, ack, line: 0, ingested: 0, rejected: 0, reasons: Vec::new() };
    let mut pieces = Pieces(body);
    let mut lines = Lines::default();
    loop {
        match lines.wait(&mut pieces).await {
            Ok(Arrived::Piece(piece)) => lines.add(&piece),
            Ok(Arrived::Nothing) => {}
            Ok(Arrived::End) => break,
            Err(e) => {
                intake = intake.take(lines.complete()).await?;
                return Err(e.with("ingested", intake.ingested));
            }
        }
        room.grow_to(lines.buffer.len()).map_err(|e| e.with("ingested", intake.ingested))?;
        if lines.is_overlong() {
            intake = intake.take(lines.complete()).await?;
            intake.reject(format!("line {}: longer than {} MiB", intake.line + 1, LINE_BYTES_MAX / MIB));
            intake.line += 1;
            lines.skip();
        } else if lines.is_due() {
            intake = intake.take(lines.complete()).await?;
        }
    }
    intake = intake.take(lines.rest()).await?;
    Ok(with_ack(intake.answer(), ack))
}

/// What waiting for more of the body led to.
enum Arrived {
    Piece(Bytes),
    /// Complete lines have waited long enough.
    Nothing,
    End,
}

/// The part of the body that is not stored yet.
#[derive(Default)]
struct Lines {
    buffer: Vec<u8>,
    /// Bytes of the buffer that are complete lines.
    complete: usize,
    /// When the oldest complete line was complete.
    since: Option<Instant>,
    /// The rest of an overlong line is being passed over.
    is_skipping: bool,
}

impl Lines {
    async fn wait(&self, pieces: &mut Pieces) -> Result<Arrived, ApiError> {
        let next = async { Ok(pieces.next().await?.map_or(Arrived::End, Arrived::Piece)) };
        match self.since {
            Some(since) => tokio::time::timeout_at(since + WAIT_MAX, next).await.unwrap_or(Ok(Arrived::Nothing)),
            None => next.await,
        }
    }

    fn add(&mut self, mut piece: &[u8]) {
        if self.is_skipping {
            let Some(end) = memchr::memchr(b'\n', piece) else { return };
            piece = piece.get(end + 1..).unwrap_or_default();
            self.is_skipping = false;
        }
        if let Some(end) = memchr::memrchr(b'\n', piece) {
            self.complete = self.buffer.len() + end + 1;
            self.since.get_or_insert_with(Instant::now);
        }
        self.buffer.extend_from_slice(piece);
    }

    fn is_due(&self) -> bool {
        self.complete >= CHUNK_BYTES || self.since.is_some_and(|since| since.elapsed() >= WAIT_MAX)
    }

    fn is_overlong(&self) -> bool {
        self.buffer.len() - self.complete > LINE_BYTES_MAX
    }

    /// Takes the complete lines out.
    fn complete(&mut self) -> Vec<u8> {
        let rest = self.buffer.split_off(self.complete);
        self.complete = 0;
        self.since = None;
        std::mem::replace(&mut self.buffer, rest)
    }

    /// Takes everything out, the last line without its end too.
    fn rest(&mut self) -> Vec<u8> {
        self.complete = self.buffer.len();
        self.complete()
    }

    /// Drops the line that has begun.
    fn skip(&mut self) {
        self.buffer = Vec::new();
        self.is_skipping = true;
    }
}

/// Decodes and stores lines, and counts.
struct Intake {
    server: Arc<Server>,
    caller: Caller,
    names: FieldNames,
    ack: Ack,
    /// Lines so far.
    line: usize,
    ingested: usize,
    rejected: usize,
    reasons: Vec<String>,
}

impl Intake {
    /// Stores all lines of a chunk.
    async fn take(mut self, chunk: Vec<u8>) -> Result<Self, ApiError> {
        if chunk.is_empty() {
            return Ok(self);
        }
        blocking(move || match self.read(&chunk) {
            Ok(()) => Ok(self),
            Err(e) => Err(e.with("ingested", self.ingested)),
        })
        .await?
    }

    fn read(&mut self, chunk: &[u8]) -> Result<(), ApiError> {
        let server = Arc::clone(&self.server);
        server.builders.with(|rows| self.read_with(chunk, rows))
    }

    fn read_with(&mut self, mut chunk: &[u8], rows: &mut BatchBuilder) -> Result<(), ApiError> {
        let arrival = self.server.env.now();
        while !chunk.is_empty() {
            let end = memchr::memchr(b'\n', chunk).unwrap_or(chunk.len());
            let (line, rest) = chunk.split_at(end);
            chunk = rest.get(1..).unwrap_or_default();
            self.line += 1;
            if let Err(fault) = read_line(line, self.line, &self.names, arrival, rows) {
                self.reject(fault.to_string());
            }
            if rows.rows() >= BATCH_ROWS || rows.bytes() >= BATCH_BYTES || rows.is_full() {
                self.store(rows)?;
            }
        }
        self.store(rows)
    }

    fn store(&mut self, rows: &mut BatchBuilder) -> Result<(), ApiError> {
        let count = rows.rows();
        if count > 0 {
            self.server.append(&self.caller, rows.finish()?, self.ack)?;
            self.ingested += count;
        }
        Ok(())
    }

    fn reject(&mut self, reason: String) {
        self.rejected += 1;
        if self.reasons.len() < REASONS_MAX {
            self.reasons.push(reason);
        }
    }

    fn answer(self) -> Response {
        let body = json!({ "ingested": self.ingested, "rejected": self.rejected, "errors": self.reasons });
        let mut response = json_response(StatusCode::OK, body.to_string());
        response.headers_mut().insert(REJECTED, HeaderValue::from(self.rejected));
        response
    }
}
