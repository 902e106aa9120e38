//! `/api/v1/logs/ws`: logs as they arrive, over a WebSocket.
//!
//! * [`said`] is what clients say, [`wanted`] what their subscriptions mean, [`following`] the live query for all of them.
//!
//! Invariants
//! * A connection has its place among the live queries that may be open, and no memory that grows: messages, subscriptions and
//!   their queries have bounds.
//! * Nothing is looked at for a client before it has taken what it was sent. One that is too slow is told how many logs it
//!   missed; one that takes nothing for `server.write_timeout`, or says nothing for `server.idle_timeout` though it is asked whether
//!   it is there, is left.
//! * Nothing is sent or begun for a key that does not count any more: the connection ends with 1008.
//! * What a client says is answered in its order, and a subscription's first logs come before what is said after it is heard.
mod following;
mod said;
mod wanted;

use super::access::Caller;
use super::error::ApiError;
use super::tails::Place;
use super::{Server, blocking};
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use following::{Followed, Looked};
use futures_util::SinkExt;
use logyard_storage::error::ErrorKind;
use logyard_storage::limits::KIB;
use said::{Asked, Said};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

/// Where it is.
pub(super) const PATH: &str = "/api/v1/logs/ws";
/// A message of a client.
const MESSAGE_BYTES_MAX: usize = 32 * KIB;
/// What is read at once, and what is written at once where there is much: each connection keeps as much.
const READ_BYTES: usize = 4 * KIB;
const WRITE_BYTES: usize = 16 * KIB;
/// How long a client has to take the word that the connection ends.
const FAREWELL: Duration = Duration::from_secs(1);
const MILLI: i64 = 1_000_000;

/// `GET /api/v1/logs/ws`, upgraded.
pub(super) async fn socket(
    State(server): State<Arc<Server>>,
    caller: Caller,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(e) if wants_upgrade(&headers) => return Err(ApiError::new(e.status(), e.body_text())),
        Err(_) => {
            let error = "Expected Upgrade: websocket";
            return Err(ApiError::new(StatusCode::UPGRADE_REQUIRED, error));
        }
    };
    let place = server.tails.place()?;
    let upgrade = upgrade.max_message_size(MESSAGE_BYTES_MAX).max_frame_size(MESSAGE_BYTES_MAX);
    let upgrade = upgrade.read_buffer_size(READ_BYTES).write_buffer_size(WRITE_BYTES);
    Ok(upgrade.on_upgrade(move |socket| Session::new(server, socket, caller, place).run()))
}

fn wants_upgrade(headers: &HeaderMap) -> bool {
    headers.get(header::UPGRADE).is_some_and(|kind| kind.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// A WebSocket that is asked for at the root is the same one.
pub(super) fn find_at_root(request: &mut Request) {
    if request.uri().path() != "/" || !wants_upgrade(request.headers()) {
        return;
    }
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    if let Ok(uri) = Uri::try_from(format!("{PATH}{query}")) {
        *request.uri_mut() = uri;
    }
}

/// The middleware before the door: browsers can send no header with a WebSocket, so `?token=` stands for it, and the answer to
/// who has no right key is a text. A page of another origin that brings no key and is not named gets nothing, also where none is asked for.
pub(super) async fn token_as_header(State(server): State<Arc<Server>>, mut request: Request, next: Next) -> Response {
    if !wants_upgrade(request.headers()) {
        return next.run(request).await;
    }
    let refused = || (StatusCode::UNAUTHORIZED, "Unauthorized").into_response();
    let token = request.uri().query().and_then(token);
    if let Some(token) = token {
        let Ok(value) = HeaderValue::try_from(format!("Bearer {token}")) else { return refused() };
        request.headers_mut().insert(header::AUTHORIZATION, value);
    }
    if !request.headers().contains_key(header::AUTHORIZATION) && server.gate.is_strange_page(&request) {
        return refused();
    }
    let response = next.run(request).await;
    match response.status() {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => refused(),
        _ => response,
    }
}

/// The token of a query string; of several the last.
fn token(query: &str) -> Option<String> {
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query).ok()?;
    pairs.into_iter().rev().find(|(name, _)| name == "token").map(|(_, token)| token)
}

/// Why a connection ends.
enum End {
    /// The client has gone, or does not take what it is sent.
    Gone,
    /// It said something that is no message.
    Wrong(String),
}

/// What happens next.
enum Event {
    Said(String),
    /// There may be logs to send.
    Look,
    /// The client said nothing for a while.
    Silence,
    /// Only that it is there.
    Heard,
}

/// A connection.
struct Session {
    server: Arc<Server>,
    socket: WebSocket,
    caller: Caller,
    arrivals: watch::Receiver<u64>,
    followed: Followed,
    /// Whether there may be logs to send that arrived already.
    has_more: bool,
    /// Until when others look.
    rests: Instant,
    heard: Instant,
    asked: Instant,
    _place: Place,
}

impl Session {
    fn new(server: Arc<Server>, socket: WebSocket, caller: Caller, place: Place) -> Self {
        let (arrivals, now) = (server.tails.arrivals(), Instant::now());
        Self {
            server,
            socket,
            followed: Followed::of(caller.services.clone()),
            caller,
            arrivals,
            has_more: false,
            rests: now,
            heard: now,
            asked: now,
            _place: place,
        }
    }

    /// Speaks with the client until it goes or the server stops.
    async fn run(mut self) {
        let (server, caller) = (Arc::clone(&self.server), self.caller.clone());
        // The key is asked first, so that nothing is answered once it has ended.
        let end = tokio::select! {
            biased;
            end = caller.end(&*server.env) => Some(End::Wrong(end.to_string())),
            () = server.tails.stopped() => None,
            end = self.converse() => end,
        };
        let frame = match end {
            Some(End::Gone) => None,
            Some(End::Wrong(what)) => Some((close_code::POLICY, what)),
            None => Some((close_code::AWAY, "the server stops".to_owned())),
        };
        let farewell = async {
            if let Some((code, reason)) = frame {
                let reason: String = reason.chars().take(100).collect();
                let frame = CloseFrame { code, reason: reason.into() };
                // Where the client has gone there is nobody to tell.
                let _is_told = self.socket.send(Message::Close(Some(frame))).await;
            }
            let _is_told = self.socket.flush().await;
        };
        let _is_taken = timeout(FAREWELL, farewell).await;
    }

    /// Gives why it ends.
    async fn converse(&mut self) -> Option<End> {
        let hello = "Connected to logging service";
        let mut done =
            self.send(vec![json!({"type": "connected", "message": hello, "timestamp": self.now()}).to_string()]).await;
        while done.is_ok() {
            let next = self.next().await;
            if let Err(end) = self.caller.stays(self.server.env.now()) {
                return Some(End::Wrong(end.to_string()));
            }
            done = match next {
                Ok(Event::Said(text)) => self.answer(&text).await,
                Ok(Event::Look) => self.look().await,
                Ok(Event::Silence) => self.ask().await,
                Ok(Event::Heard) => Ok(()),
                Err(end) => Err(end),
            };
        }
        done.err()
    }

    /// Milliseconds since 1970.
    fn now(&self) -> i64 {
        self.server.env.now().div_euclid(MILLI)
    }

    async fn next(&mut self) -> Result<Event, End> {
        if self.followed.is_beginning() {
            return Ok(Event::Look);
        }
        let (rests, arrivals) = (self.rests, &mut self.arrivals);
        let arrived = async {
            sleep_until(rests).await;
            // It fails only where nobody can say so any more.
            let _arrived = arrivals.changed().await;
        };
        // As a timeout it is seen however much comes that is no message: pieces of one without end take all turns of the task.
        let silent = self.heard.max(self.asked) + self.server.tails.silence_max / 2;
        let said = tokio::select! {
            biased;
            said = timeout_at(silent, self.socket.recv()) => match said {
                Ok(said) => said,
                Err(_) => return Ok(Event::Silence),
            },
            () = std::future::ready(()), if self.has_more => return Ok(Event::Look),
            () = arrived, if self.followed.is_some() => return Ok(Event::Look),
        };
        self.heard = Instant::now();
        match said {
            Some(Ok(Message::Text(text))) => Ok(Event::Said(text.as_str().to_owned())),
            Some(Ok(Message::Binary(_))) => Err(End::Wrong("messages are texts of JSON".into())),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(Event::Heard),
            Some(Ok(Message::Close(_))) | None => Err(End::Gone),
            Some(Err(e)) => Err(End::Wrong(e.to_string())),
        }
    }

    /// Asks the client whether it is there; it has gone where it did not answer the last time.
    async fn ask(&mut self) -> Result<(), End> {
        if self.asked > self.heard {
            return Err(End::Gone);
        }
        self.asked = Instant::now();
        self.send_all([Message::Ping(Vec::new().into())]).await
    }

    /// Answers what the client said.
    async fn answer(&mut self, text: &str) -> Result<(), End> {
        let answer = match said::read(text) {
            Ok(Said::Subscribe(asked)) => self.subscribe(asked).await,
            Ok(Said::Unsubscribe(name)) => {
                let unsubscribed = self.followed.unsubscribe(&self.server, name.as_deref()).await;
                unsubscribed.map(|()| json!({"type": "unsubscribed"}))
            }
            Ok(Said::Ping) => Ok(json!({"type": "pong", "timestamp": self.now()})),
            Ok(Said::Unknown) => Ok(json!({"type": "error", "error": "Unknown message type"})),
            Err(e) => Err(e),
        };
        let answer = answer.unwrap_or_else(|e| e.with("type", "error").into_body());
        self.send(vec![answer.to_string()]).await
    }

    async fn subscribe(&mut self, asked: Asked) -> Result<Value, ApiError> {
        asked.service.as_ref().map_or(Ok(()), |service| self.caller.check(service))?;
        let wanted = self.followed.wanted().with(&asked)?;
        self.followed.subscribe(&self.server, wanted, asked.start).await?;
        self.has_more = true;
        Ok(json!({"type": "subscribed", "subscription": asked.shown()}))
    }

    /// Sends what there is.
    async fn look(&mut self) -> Result<(), End> {
        self.arrivals.borrow_and_update();
        let Some(following) = self.followed.take() else { return Ok(()) };
        let turn = self.server.tails.turn().await;
        let (following, Looked { mut messages, polled }) =
            blocking(move || following.look()).await.map_err(|_| End::Gone)?;
        drop(turn);
        match polled {
            Ok(polled) => self.has_more = self.followed.put_back(following, polled),
            Err(e) if matches!(e.kind(), ErrorKind::Closed | ErrorKind::Cancelled) => return Err(End::Gone),
            Err(e) => {
                self.followed.end();
                self.has_more = false;
                let error = format!("{e}; nothing is subscribed to any more");
                messages.push(json!({"type": "error", "error": error}).to_string());
            }
        }
        self.rests = Instant::now() + self.server.tails.rest();
        self.send(messages).await
    }

    async fn send(&mut self, messages: Vec<String>) -> Result<(), End> {
        self.send_all(messages.into_iter().map(|text| Message::Text(text.into()))).await
    }

    /// Sends messages, and waits until the client has taken them.
    async fn send_all(&mut self, messages: impl IntoIterator<Item = Message>) -> Result<(), End> {
        let sending = async {
            for message in messages {
                self.socket.feed(message).await?;
            }
            self.socket.flush().await
        };
        match timeout(self.server.tails.stalled, sending).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(End::Gone),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_where_the_table_has_it() {
        use crate::server::access::table::{Name, TABLE};
        assert!(TABLE.iter().any(|route| route.name == Name::LogsSocket && route.path == PATH));
    }

    #[test]
    fn the_token_of_a_query_string_is_decoded() {
        assert_eq!(token("a=1&token=x%2By&b"), Some("x+y".into()));
        assert_eq!(token("token=a&token="), Some(String::new()));
        assert_eq!(token("tokens=a"), None);
    }

    #[test]
    fn a_socket_at_the_root_is_found() {
        let found = |path: &str, upgrade: bool| {
            let builder = Request::builder().uri(path);
            let builder = if upgrade { builder.header("upgrade", "WebSocket") } else { builder };
            let mut request = builder.body(axum::body::Body::empty()).unwrap();
            find_at_root(&mut request);
            request.uri().to_string()
        };
        assert_eq!(found("/?token=a%20b", true), "/api/v1/logs/ws?token=a%20b");
        assert_eq!(found("/", true), PATH);
        assert_eq!((found("/", false), found("/x", true)), ("/".into(), "/x".into()));
    }
}
