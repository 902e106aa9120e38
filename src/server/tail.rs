//! `/select/logsql/tail`: the rows that a query selects, as they arrive, as JSON lines or as server-sent events.
//!
//! Invariants
//! * Rows come in the order in which they arrived, each once; an event's id is its record's, and who comes back with it goes on
//!   behind it.
//! * Nothing is looked at for a client before it has taken what it was sent. One that is too slow is told how many rows it missed,
//!   where they would have come; one that takes nothing for long is left.
//! * It ends when the client goes, its key does not count any more, or the server stops.
use super::Server;
use super::access::Caller;
use super::error::ApiError;
use super::follow::begin;
use super::params::Params;
use super::select::{Gone, broke_off, parsed, read_form};
use super::tails::Place;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::body::Frame;
use logyard_storage::engine::{Given, Polled, Subscription};
use logyard_storage::error::{Error, ErrorKind};
use logyard_storage::limits::KIB;
use logyard_storage::query::{Block, Flow, Memory, Start, duration, time_text};
use logyard_storage::record::{RecordId, push_json_string};
use logyard_storage::scan::Cancel;
use std::fmt::Write;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, Sender, channel};

const CHUNK_BYTES: usize = 64 * KIB;
/// Chunks that wait for the client, beside what its connection holds.
const CHUNKS: usize = 1;
/// How long an event stream is silent.
const SILENCE: Duration = Duration::from_secs(15);
/// How far back a live query begins where nothing is said, as in VictoriaLogs.
const START_OFFSET: Duration = Duration::from_secs(5);
/// How long rows may be gathered for a client.
const REFRESH_MAX: Duration = Duration::from_secs(10);

type Chunk = Result<Bytes, ApiError>;

/// `GET` or `POST /select/logsql/tail`, the parameters in the query string or in a form.
pub(super) async fn tail(
    State(server): State<Arc<Server>>,
    caller: Caller,
    method: Method,
    params: Params,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let (params, room) = read_form(&server, &method, params, &headers, body).await?;
    let form = Form::of(&headers);
    let refresh = span(&params, "refresh_interval")?.unwrap_or_default().min(REFRESH_MAX);
    // Rows come in the order in which they arrived, so that none has to be waited for.
    let _not_needed = span(&params, "offset")?;
    let start = start(&params, &headers, server.env.now())?;
    let place = server.tails.place()?;
    let cancel = Cancel::default();
    let gone = Gone::of(cancel.clone());
    let make = move |memory: &Memory| parsed(&params, memory).map(|(query, held)| (query, (held, room)));
    let subscription = begin(&server, start, false, cancel, make).await?;
    let (sender, rest) = channel(CHUNKS);
    let follower = Follower { server, subscription, form, refresh, _place: place };
    tokio::spawn(follower.follow(caller, sender));
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(form.content_type())),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        // Asks proxies to hand on what they have.
        (header::HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    Ok((StatusCode::OK, headers, Body::new(Stream { rest, _gone: gone })).into_response())
}

/// With which rows to begin: those behind the last that the client has, so many, or those of the last while.
fn start(params: &Params, headers: &HeaderMap, now: i64) -> Result<Start, ApiError> {
    let last_event = headers.get("last-event-id").map(|id| String::from_utf8_lossy(id.as_bytes()).into_owned());
    if let Some(id) = last_event.as_deref().filter(|id| !id.is_empty()).or_else(|| params.get("cursor")) {
        let wrong = || ApiError::bad("the cursor, or the header Last-Event-ID, must be the `_id` of a record");
        return RecordId::parse(id).map(Start::After).ok_or_else(wrong);
    }
    if params.get("last").is_some() {
        return params.count("last", 0, usize::MAX).map(Start::Last);
    }
    let offset = span(params, "start_offset")?.unwrap_or(START_OFFSET);
    if offset.is_zero() {
        return Ok(Start::Now);
    }
    Ok(Start::Since(now.saturating_sub(i64::try_from(offset.as_nanos()).unwrap_or(i64::MAX))))
}

/// A duration, or a number of seconds.
fn span(params: &Params, name: &str) -> Result<Option<Duration>, ApiError> {
    let Some(text) = params.get(name) else { return Ok(None) };
    let nanos = duration(text).or_else(|| duration(&format!("{text}s"))).and_then(|nanos| u64::try_from(nanos).ok());
    let wrong = || {
        let text: String = text.chars().take(40).collect();
        ApiError::bad(format!("{name} must be a duration such as 5s, not `{text}`"))
    };
    nanos.map(Duration::from_nanos).map(Some).ok_or_else(wrong)
}

/// How rows are written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Lines,
    Events,
}

impl Form {
    fn of(headers: &HeaderMap) -> Self {
        let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let wants_events = |value: &str| {
            value.split(',').any(|kind| kind.split(';').next().is_some_and(|kind| kind.trim() == "text/event-stream"))
        };
        if accepted.into_iter().any(wants_events) { Self::Events } else { Self::Lines }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Lines => "application/x-ndjson",
            Self::Events => "text/event-stream",
        }
    }

    /// Appends rows. Of several that were made of one record the last has its id.
    fn push_rows(self, out: &mut String, ids: &[RecordId], block: &Block) {
        for row in 0..block.rows() {
            if self == Self::Events {
                if let Some(id) = ids.get(row).filter(|id| ids.get(row + 1) != Some(id)) {
                    // Writing to a string cannot fail.
                    let _infallible = writeln!(out, "id: {id}");
                }
                out.push_str("data: ");
            }
            out.push_str(&block.row_json(row));
            out.push_str(if self == Self::Events { "\n\n" } else { "\n" });
        }
    }

    /// Appends that rows were missed: as an event of its own, or as a row that says so.
    fn push_missed(self, out: &mut String, rows: u64, now: i64) {
        let _infallible = match self {
            Self::Events => writeln!(out, "event: missed\ndata: {{\"missed\":{rows}}}\n"),
            Self::Lines => writeln!(
                out,
                "{{\"_time\":\"{}\",\"_msg\":\"{rows} rows arrived faster than they were read, and were not looked \
                 at\",\"_missed\":\"{rows}\"}}",
                time_text(now)
            ),
        };
    }

    /// Appends why there is no more.
    fn push_fault(self, out: &mut String, fault: &str) {
        if self == Self::Events {
            out.push_str("event: fault\ndata: {\"error\":");
            push_json_string(out, fault);
            out.push_str("}\n\n");
        }
    }
}

/// Somebody who follows.
struct Follower {
    server: Arc<Server>,
    subscription: Subscription,
    form: Form,
    refresh: Duration,
    _place: Place,
}

impl Follower {
    /// Sends rows until the client has gone, its key does not count any more, the server stops, or something is wrong.
    async fn follow(self, caller: Caller, sender: Sender<Chunk>) {
        let (server, form) = (Arc::clone(&self.server), self.form);
        // The key is asked first, so that nothing is looked for once it has ended.
        tokio::select! {
            biased;
            end = caller.end(&*server.env) => {
                let mut why = String::new();
                form.push_fault(&mut why, &end.to_string());
                // Where others wait before it, the end says enough.
                let _is_told = !why.is_empty() && sender.try_send(Ok(why.into())).is_ok();
            }
            () = server.tails.stopped() => {}
            () = sender.closed() => {}
            () = self.send_all(&sender) => {}
        }
    }

    async fn send_all(mut self, sender: &Sender<Chunk>) {
        let server = Arc::clone(&self.server);
        let mut arrivals = server.tails.arrivals();
        loop {
            let Ok(Ok(room)) = tokio::time::timeout(server.tails.stalled, sender.reserve()).await else { return };
            arrivals.borrow_and_update();
            let turn = server.tails.turn().await;
            let Ok((follower, chunk, polled)) = super::blocking(move || self.look()).await else { return };
            drop(turn);
            self = follower;
            let Ok(polled) = polled else { return room.send(Err(broke_off())) };
            if chunk.is_empty() {
                drop(room);
            } else {
                room.send(Ok(chunk));
            }
            match polled {
                None => return,
                Some(Polled::More) => {}
                Some(Polled::Nothing) => {
                    tokio::time::sleep(self.refresh.max(server.tails.rest())).await;
                    while tokio::time::timeout(SILENCE, arrivals.changed()).await.is_err() {
                        if self.form == Form::Events && sender.try_send(Ok(self.sign_of_life())).is_err() {
                            break;
                        }
                    }
                }
            }
        }
    }

    /// What there is to send, and whether there may be more: nothing more once the engine has ended.
    fn look(mut self) -> (Self, Bytes, Result<Option<Polled>, Error>) {
        let (mut out, form, now) = (String::new(), self.form, self.server.env.now());
        let polled = self.subscription.poll(&mut |given| {
            match given {
                Given::Rows(ids, block) => form.push_rows(&mut out, &ids, &block),
                Given::Missed(rows) => form.push_missed(&mut out, rows, now),
                // They are what WebSockets ask for.
                Given::Records(_) => {}
            }
            Ok(if out.len() >= CHUNK_BYTES { Flow::Enough } else { Flow::More })
        });
        let polled = match polled {
            Ok(polled) => Ok(Some(polled)),
            Err(e) if matches!(e.kind(), ErrorKind::Closed | ErrorKind::Cancelled) => Ok(None),
            Err(e) => {
                form.push_fault(&mut out, &e.to_string());
                // Lines have no way to say it: they break off.
                if form == Form::Events { Ok(None) } else { Err(e) }
            }
        };
        (self, Bytes::from(out), polled)
    }

    /// Says how far it is, so that who comes back does not begin before that.
    fn sign_of_life(&self) -> Bytes {
        let id = self.subscription.cursor().map(|id| format!("id: {id}\n")).unwrap_or_default();
        Bytes::from(format!(": nothing new\n{id}\n"))
    }
}

/// The body of an answer.
struct Stream {
    rest: Receiver<Chunk>,
    _gone: Gone,
}

impl hyper::body::Body for Stream {
    type Data = Bytes;
    type Error = ApiError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ApiError>>> {
        self.rest.poll_recv(cx).map(|chunk| chunk.map(|chunk| chunk.map(Frame::data)))
    }
}
