//! `POST /insert/jsonline`: JSON lines of any number, decoded and stored while they arrive.
//!
//! What has come is handed on once it is enough or has waited for `WAIT_MAX`. It is decoded into bounded batches on one thread
//! while the batch before is appended on another: a client that sends alone keeps two of them busy beside the log's own.
//!
//! Invariants
//! * Memory is bounded whatever the body's size: what has come and is not cut into lines, two batches, one line of at most
//!   `cut::LINE_BYTES_MAX`; all requests together stay within `BodyMemory`, in which there is room before anything is kept.
//! * Batches are appended in the order of the body, one after the other.
//! * An error ends the request and says how many lines were stored before it.
mod cut;
mod intake;

use super::access::Caller;
use super::body::Pieces;
use super::durable::Asked;
use super::encoding::Encoding;
use super::error::{ApiError, json_response};
use super::once;
use super::params::Params;
use super::{Server, storing};
use crate::ingest::lines::FieldNames;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use cut::Cutter;
use intake::{Claimed, Decoded, Intake};
use logyard_storage::limits::{KIB, MIB};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;

const PATH: &str = "/insert/jsonline";
const REJECTED: HeaderName = HeaderName::from_static("x-logyard-rejected");
/// What is waited for before it is handed on; of compressed bytes fewer, since they become more.
const CHUNK_BYTES: usize = MIB;
const CHUNK_COMPRESSED_BYTES: usize = 128 * KIB;
const WAIT_MAX: Duration = Duration::from_secs(1);
/// Fields that name a stream.
const STREAM_FIELDS_MAX: usize = 32;

/// The handler.
pub(super) async fn insert(
    State(server): State<Arc<Server>>,
    caller: Caller,
    params: Params,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let encoding = Encoding::of(&headers)?;
    let asked = Asked::of(&params, &server)?;
    let names = FieldNames::new(
        &named(&params, &headers, "_time_field", "vl-time-field"),
        &named(&params, &headers, "_msg_field", "vl-msg-field"),
    );
    let stream_fields = stream_fields(&named(&params, &headers, "_stream_fields", "vl-stream-fields"))?;
    let claimed = match once::claim(&server, PATH, &caller, &headers).await? {
        Some(claim) => Some(storing(Arc::clone(&server), move || Claimed::new(claim)).await??),
        None => None,
    };
    let cutter =
        Cutter::new(encoding.inflater()?, server.ingest.max_ratio as u64, server.bodies.room(), claimed.is_some());
    let intake = Intake::new(Arc::clone(&server), caller.clone(), names, stream_fields, asked.ack, cutter, claimed);
    let chunk_bytes = if encoding == Encoding::Identity { CHUNK_BYTES } else { CHUNK_COMPRESSED_BYTES };
    let mut pipe = Pipe { server: Arc::clone(&server), intake: Some(intake), appending: None };
    let mut feed = Feed { pieces: Pieces(body), waiting: Vec::new(), bytes: 0, since: None, chunk_bytes };
    pipe.run(&mut feed).await?;
    let Some(intake) = pipe.intake else { return Err(lost()) };
    let done = intake.done();
    let body = json!({ "ingested": done.ingested, "rejected": done.failed, "errors": done.errors });
    let mut response = json_response(StatusCode::OK, body.to_string());
    response.headers_mut().insert(REJECTED, HeaderValue::from(done.failed));
    asked.answer(&server, &caller, response).await
}

/// What a parameter says, or a header where there is no such parameter.
fn named(params: &Params, headers: &HeaderMap, param: &str, header: &str) -> String {
    let in_header = || headers.get(header).and_then(|value| value.to_str().ok());
    params.get(param).or_else(in_header).unwrap_or_default().to_owned()
}

/// Fields that name a stream, each once and in order, so that the same ones name the same streams.
pub(super) fn stream_fields(text: &str) -> Result<Vec<String>, ApiError> {
    let mut fields: Vec<String> =
        text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    fields.sort();
    fields.dedup();
    if fields.len() > STREAM_FIELDS_MAX {
        return Err(ApiError::bad(format!("_stream_fields has more than {STREAM_FIELDS_MAX} names")));
    }
    // That is what streams are named by anyway.
    if fields == ["service_name"] {
        fields.clear();
    }
    Ok(fields)
}

fn lost() -> ApiError {
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error")
}

/// The part of the body that has come and is not handed on.
struct Feed {
    pieces: Pieces,
    waiting: Vec<Bytes>,
    bytes: usize,
    /// When the oldest of it came; none where nothing waits.
    since: Option<Instant>,
    chunk_bytes: usize,
}

impl Feed {
    /// Waits until there is enough, or it has waited long enough. After the end nothing waits. There is room for all of it.
    async fn next(&mut self, cutter: &mut Cutter) -> Result<(), ApiError> {
        while self.bytes < self.chunk_bytes {
            let next = self.pieces.next();
            let piece = match self.since {
                None => next.await?,
                Some(since) => match tokio::time::timeout_at(since + WAIT_MAX, next).await {
                    Ok(piece) => piece?,
                    Err(_) => return Ok(()),
                },
            };
            let Some(piece) = piece else {
                self.since = None;
                return Ok(());
            };
            cutter.make_room(self.bytes + piece.len())?;
            self.bytes += piece.len();
            self.waiting.push(piece);
            self.since.get_or_insert_with(Instant::now);
        }
        Ok(())
    }

    fn take(&mut self) -> Vec<Bytes> {
        self.bytes = 0;
        self.since = None;
        std::mem::take(&mut self.waiting)
    }
}

/// Takes what has come through decoding and into the engine.
struct Pipe {
    server: Arc<Server>,
    /// Away while it decodes.
    intake: Option<Intake>,
    /// The batch before.
    appending: Option<JoinHandle<Result<usize, ApiError>>>,
}

impl Pipe {
    /// Takes a body through, to its end.
    async fn run(&mut self, feed: &mut Feed) -> Result<(), ApiError> {
        let mut is_ended = false;
        while !is_ended {
            let Some(intake) = &mut self.intake else { return Err(lost()) };
            let come = feed.next(&mut intake.cutter).await;
            is_ended = come.is_ok() && feed.since.is_none();
            self.take(feed.take(), is_ended).await?;
            if let Err(e) = come {
                let stored = self.settle().await?;
                return Err(e.with("ingested", stored));
            }
        }
        self.settle().await.map(|_| ())
    }

    /// Decodes all of it, and appends what that gives.
    async fn take(&mut self, pieces: Vec<Bytes>, is_ended: bool) -> Result<(), ApiError> {
        let Some(intake) = &mut self.intake else { return Err(lost()) };
        intake.cutter.give(pieces, is_ended);
        loop {
            let turn = match self.server.storing.turn().await {
                Ok(turn) => turn,
                Err(e) => {
                    let stored = self.settle().await?;
                    return Err(e.with("ingested", stored));
                }
            };
            let Some(mut intake) = self.intake.take() else { return Err(lost()) };
            let decoding = turn.run(move || {
                let decoded = intake.decode();
                (intake, decoded)
            });
            let (intake, decoded) = decoding.await?;
            let intake = self.intake.insert(intake);
            let Decoded { append, is_hungry, fault } = decoded;
            if let Some(append) = append {
                let before = self.appending.take();
                settled(before).await?;
                let (server, stored) = (Arc::clone(&self.server), append.before());
                self.appending = Some(tokio::spawn(async move {
                    storing(server, || append.run()).await.map_err(|e| e.with("ingested", stored))?
                }));
            }
            if let Some(fault) = fault {
                let stored = intake.done().ingested;
                self.settle().await?;
                return Err(fault.with("ingested", stored));
            }
            if is_hungry {
                return Ok(());
            }
        }
    }

    /// Waits until everything that was decoded is stored, and says how much that is.
    async fn settle(&mut self) -> Result<usize, ApiError> {
        settled(self.appending.take()).await?;
        Ok(self.intake.as_ref().map_or(0, |intake| intake.done().ingested))
    }
}

async fn settled(appending: Option<JoinHandle<Result<usize, ApiError>>>) -> Result<(), ApiError> {
    match appending {
        None => Ok(()),
        Some(appending) => appending.await.map_err(|_| lost())?.map(|_| ()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stream_fields_are_the_same_in_any_order() {
        assert_eq!(stream_fields(" b, a,,b").unwrap(), ["a", "b"]);
        assert!(stream_fields("service_name").unwrap().is_empty());
        assert!(stream_fields("").unwrap().is_empty());
        let many: Vec<String> = (0..=STREAM_FIELDS_MAX).map(|n| n.to_string()).collect();
        assert!(stream_fields(&many.join(",")).is_err());
    }
}
