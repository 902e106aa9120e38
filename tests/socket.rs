//! `/api/v1/logs/ws`: what is said over a WebSocket, who may, what comes over it, and its bounds.
use crate::harness::{KEY, Server};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;
use tungstenite::client::IntoClientRequest;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Message, WebSocket};

const PATH: &str = "/api/v1/logs/ws";

/// A client.
pub(crate) struct Socket(pub(crate) WebSocket<TcpStream>);

impl Socket {
    /// Opened, greeted.
    pub(crate) fn open(server: &Server) -> Self {
        Self::open_at(server, &format!("{PATH}?token={KEY}"), &[])
    }

    /// The same with another key.
    pub(crate) fn open_with(server: &Server, key: &str) -> Self {
        Self::open_at(server, &format!("{PATH}?token={key}"), &[])
    }

    fn open_at(server: &Server, path: &str, headers: &[(&'static str, &str)]) -> Self {
        let address = server.address.strip_prefix("http://").unwrap();
        let mut request = format!("ws://{address}{path}").into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let stream = connect(server);
        let config = WebSocketConfig::default().read_buffer_size(4_096);
        let (socket, _) = tungstenite::client::client_with_config(request, stream, Some(config)).unwrap();
        let mut socket = Self(socket);
        let hello = socket.next();
        assert_eq!((&hello["type"], &hello["message"]), (&json!("connected"), &json!("Connected to logging service")));
        assert!(hello["timestamp"].as_u64().unwrap() > 1_700_000_000_000);
        socket
    }

    /// The next message that is no ping; those are answered while others are read.
    pub(crate) fn next(&mut self) -> Value {
        loop {
            match self.0.read().expect("a message in time") {
                Message::Text(text) => return serde_json::from_str(text.as_str()).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The answer to what is said.
    pub(crate) fn say(&mut self, message: Value) -> Value {
        self.0.send(Message::text(message.to_string())).unwrap();
        self.next()
    }

    pub(crate) fn subscribe(&mut self, service: Option<&str>, data: Value) -> Value {
        let answer = self.say(json!({"type": "subscribe", "service_name": service, "data": data}));
        assert_eq!(answer["type"], "subscribed", "{answer}");
        answer["subscription"].clone()
    }

    /// The next log.
    pub(crate) fn log(&mut self) -> Value {
        let message = self.next();
        assert_eq!(message["type"], "log", "{message}");
        message["data"].clone()
    }

    pub(crate) fn messages(&mut self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.log()["message"].as_str().unwrap().to_owned()).collect()
    }

    /// Sees that nothing else has come.
    fn is_quiet(&mut self) {
        assert_eq!(self.say(json!({"type": "ping"}))["type"], "pong");
    }

    /// The same, before anything else is said but that it is there.
    pub(crate) fn closed_without_a_word(mut self) -> (u16, String) {
        loop {
            match self.0.read() {
                Ok(Message::Close(Some(frame))) => return (frame.code.into(), frame.reason.to_string()),
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The code and the reason with which it is closed.
    pub(crate) fn closed(mut self) -> (u16, String) {
        loop {
            match self.0.read() {
                Ok(Message::Close(Some(frame))) => return (frame.code.into(), frame.reason.to_string()),
                Ok(Message::Close(None)) => panic!("closed without a word"),
                Ok(_) => {}
                Err(e) => panic!("{e}"),
            }
        }
    }
}

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.address.strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream
}

fn store(server: &Server, service: &str, level: &str, messages: &[&str]) {
    let log =
        |message: &&str| json!({"service_name": service, "level": level, "message": message, "metadata": {"n": 1.50}});
    let logs: Vec<Value> = messages.iter().map(log).collect();
    let answer = server.post("/api/v1/logs/ingest/batch", json!({ "logs": logs }).to_string());
    assert_eq!(answer.status, 200, "{}", answer.text);
}

/// The head and the body of the answer to a request for a WebSocket.
fn asked(server: &Server, path: &str, headers: &str) -> String {
    let mut stream = connect(server);
    let version = if headers.contains("version") { "" } else { "sec-websocket-version: 13\r\n" };
    let host = if headers.starts_with("host:") { "" } else { "host: h\r\n" };
    let handshake = format!(
        "connection: Upgrade, close\r\nupgrade: websocket\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{version}"
    );
    stream.write_all(format!("GET {path} HTTP/1.1\r\n{host}{handshake}{headers}\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn messages_are_those_of_the_service_that_came_before() {
    let server = Server::start();
    let mut socket = Socket::open(&server);
    let subscribed =
        socket.say(json!({"type": "subscribe", "service_name": "a", "data": {"level": "ERROR"}, "more": true}));
    assert_eq!(subscribed, json!({"type": "subscribed", "subscription": {"service_name": "a", "level": "ERROR"}}));
    store(&server, "a", "INFO", &["not this"]);
    store(&server, "b", "ERROR", &["nor this"]);
    store(&server, "a", "ERROR", &["this"]);
    let log = socket.log();
    assert_eq!(log["message"], "this");
    let read = server.get(&format!("/api/v1/logs/{}", log["id"].as_str().unwrap())).json();
    assert_eq!(read["log"], log);
    assert_eq!(log["metadata"].to_string(), "{\"n\":1.5}");
    let pong = socket.say(json!({"type": "ping"}));
    assert!(pong["type"] == "pong" && pong["timestamp"].is_u64(), "{pong}");
    let unknown = json!({"type": "error", "error": "Unknown message type"});
    assert_eq!(socket.say(json!({"type": "sing"})), unknown);
    assert_eq!(socket.say(json!([])), unknown);
    assert_eq!(socket.say(json!({"type": "unsubscribe"})), json!({"type": "unsubscribed"}));
    store(&server, "a", "ERROR", &["nobody hears"]);
    socket.is_quiet();
    // A subscription takes the place of the one before.
    assert_eq!(
        socket.subscribe(Some("b"), json!({"level": "WARNING"})),
        json!({"service_name": "b", "level": "WARNING"})
    );
    store(&server, "a", "ERROR", &["nobody hears"]);
    store(&server, "b", "WARN", &["in its usual spelling"]);
    assert_eq!(socket.messages(1), ["in its usual spelling"]);
}

#[test]
fn logs_are_selected_by_any_filter_and_come_once() {
    let server = Server::start();
    let (mut all, mut some) = (Socket::open(&server), Socket::open(&server));
    all.subscribe(None, Value::Null);
    some.subscribe(None, json!({"query": "metadata.n:>1 (disk or \"user left\")"}));
    some.subscribe(Some("b"), json!({"id": "of b"}));
    store(&server, "a", "INFO", &["disk full", "user came", "user left"]);
    store(&server, "logyard", "INFO", &["disk of our own"]);
    store(&server, "b", "INFO", &["disk of b", "user of b"]);
    assert_eq!(all.messages(5), ["disk full", "user came", "user left", "disk of b", "user of b"]);
    let wanted = ["disk full", "user left", "disk of our own", "disk of b", "user of b"];
    assert_eq!(some.messages(5), wanted);
    some.is_quiet();
    assert_eq!(some.say(json!({"type": "unsubscribe", "data": {"id": "of b"}})), json!({"type": "unsubscribed"}));
    store(&server, "b", "INFO", &["user of b", "disk again"]);
    assert_eq!(some.messages(1), ["disk again"]);
    some.is_quiet();
    all.messages(2);
    all.is_quiet();
}

#[test]
fn the_last_come_first_and_who_comes_back_misses_none() {
    let server = Server::start();
    store(&server, "a", "INFO", &["a 1", "a 2", "a 3"]);
    server.post("/api/v1/admin/seal", "");
    store(&server, "b", "INFO", &["b 1"]);
    store(&server, "a", "ERROR", &["a 4"]);
    let mut socket = Socket::open(&server);
    socket.subscribe(Some("a"), json!({"last": 3}));
    assert_eq!(socket.messages(2), ["a 2", "a 3"]);
    let last = socket.log();
    assert_eq!(last["message"], "a 4");
    store(&server, "a", "INFO", &["a 5"]);
    let after = socket.log();
    assert_eq!(after["message"], "a 5");
    // A second subscription begins with its own last ones, and what arrives comes once for both.
    socket.subscribe(None, json!({"id": "numbers", "query": "1", "last": 5}));
    assert_eq!(socket.messages(2), ["a 1", "b 1"]);
    // Also where they came for the first already.
    socket.subscribe(None, json!({"id": "again", "query": "5", "last": 5}));
    assert_eq!(socket.messages(1), ["a 5"]);
    store(&server, "a", "INFO", &["a 1 again"]);
    assert_eq!(socket.messages(1), ["a 1 again"]);
    socket.is_quiet();
    drop(socket);
    store(&server, "b", "INFO", &["b 2"]);
    let mut back = Socket::open(&server);
    back.subscribe(Some("a"), json!({"after": last["id"]}));
    assert_eq!(back.messages(2), ["a 5", "a 1 again"]);
    back.subscribe(Some("b"), json!({"id": "b", "after": after["id"]}));
    assert_eq!(back.messages(1), ["b 2"]);
    back.is_quiet();
}

#[test]
fn what_is_wrong_is_said_and_changes_nothing() {
    let server = Server::start();
    let mut socket = Socket::open(&server);
    socket.subscribe(Some("a"), Value::Null);
    let mut refused = |message: Value, part: &str| {
        let answer = socket.say(message);
        assert_eq!(answer["type"], "error", "{answer}");
        assert!(answer["error"].as_str().unwrap().contains(part), "{answer}");
        answer
    };
    let subscribe = |data: Value| json!({"type": "subscribe", "data": data});
    assert!(refused(subscribe(json!({"query": "a or ("})), "of the query")["position"].is_u64());
    refused(subscribe(json!({"query": "* | stats count()"})), "without pipes");
    refused(subscribe(json!({"last": 1_000_000})), "at most 10000 rows");
    refused(subscribe(json!({"after": "019a2b3c-4d5e-7abc-8def-000000000001"})), "start without it");
    refused(subscribe(json!({"level": 7})), "data.level must be a string");
    refused(subscribe(json!({"query": "x ".repeat(10_000)})), "16 KiB");
    for id in 0..31 {
        assert_eq!(socket.subscribe(Some("b"), json!({"id": id.to_string()}))["service_name"], "b");
    }
    let one_more = socket.say(json!({"type": "subscribe", "data": {"id": "one more"}}));
    assert!(one_more["error"].as_str().unwrap().contains("at most 32 subscriptions"), "{one_more}");
    store(&server, "a", "INFO", &["still here"]);
    assert_eq!(socket.messages(1), ["still here"]);
    socket.0.send(Message::text("{")).unwrap();
    assert!(socket.next()["error"].as_str().unwrap().contains("no JSON"));
    let mut long = Socket::open(&server);
    long.0.send(Message::text("x".repeat(40_000))).unwrap();
    assert_eq!(long.closed().0, 1_008);
    let mut binary = Socket::open(&server);
    binary.0.send(Message::binary("{}".as_bytes().to_vec())).unwrap();
    assert_eq!(binary.closed(), (1_008, "messages are texts of JSON".into()));
}

#[test]
fn only_who_has_the_key_is_let_in() {
    let server = Server::start();
    let with_token = format!("{PATH}?token={KEY}");
    for (path, headers) in [
        (PATH, String::new()),
        (&format!("{PATH}?token=wrong"), String::new()),
        (&format!("{PATH}?token="), String::new()),
        ("/?token=wrong", String::new()),
        (PATH, "authorization: Bearer wrong\r\n".into()),
        // The token counts, wherever it stands.
        (&format!("{PATH}?token=wrong"), format!("authorization: Bearer {KEY}\r\n")),
    ] {
        let answer = asked(&server, path, &headers);
        assert!(answer.starts_with("HTTP/1.1 401"), "{path} {headers}: {answer}");
        assert!(answer.ends_with("\r\n\r\nUnauthorized"), "{path}: {answer}");
    }
    let bearer = format!("Bearer {KEY}");
    for (path, headers) in [
        (with_token.as_str(), &[][..]),
        (&format!("/?token={KEY}"), &[]),
        (PATH, &[("authorization", bearer.as_str())]),
        (&with_token, &[("origin", "https://elsewhere.example")]),
    ] {
        let mut socket = Socket::open_at(&server, path, headers);
        socket.is_quiet();
    }
    let plain = server.get(PATH);
    assert_eq!((plain.status, plain.json()), (426, json!({"error": "Expected Upgrade: websocket"})));
    let old = asked(&server, &with_token, "sec-websocket-version: 8\r\n");
    assert!(old.starts_with("HTTP/1.1 400"), "{old}");
}

#[test]
fn without_keys_a_page_of_another_origin_gets_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start_with(directory.path(), |command| {
        command.arg("--no-auth").env("LOGYARD_CORS_ORIGINS", "https://logs.example");
    });
    let own = server.address.clone();
    let host = format!("host: {}\r\n", own.strip_prefix("http://").unwrap());
    for (host, origin) in [(host.as_str(), "https://elsewhere.example"), ("host: h\r\n", "http://h")] {
        let answer = asked(&server, PATH, &format!("{host}origin: {origin}\r\n"));
        assert!(answer.starts_with("HTTP/1.1 401"), "{origin}: {answer}");
    }
    for headers in [&[][..], &[("origin", own.as_str())], &[("origin", "https://logs.example")]] {
        Socket::open_at(&server, PATH, headers).is_quiet();
    }
}

#[test]
fn sockets_count_among_the_live_queries_and_end_with_the_server() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = Server::start_with(directory.path(), |command| {
        command.env("LOGYARD_ADMIN_KEY", KEY).env("LOGYARD_QUERY_MAX_TAILS", "2");
    });
    let first = Socket::open(&server);
    let mut second = Socket::open(&server);
    second.subscribe(None, Value::Null);
    let third = asked(&server, &format!("{PATH}?token={KEY}"), "");
    assert!(third.starts_with("HTTP/1.1 429") && third.contains("query.max_tails"), "{third}");
    server.signal("TERM");
    for socket in [first, second] {
        assert_eq!(socket.closed(), (1_001, "the server stops".into()));
    }
    assert!(server.wait().success());
}

#[test]
fn who_is_silent_is_asked_and_then_left() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start_with(directory.path(), |command| {
        command.env("LOGYARD_ADMIN_KEY", KEY).env("LOGYARD_SERVER_IDLE_TIMEOUT", "1s");
    });
    let mut there = Socket::open(&server);
    let mut silent = Socket::open(&server).0.into_inner();
    let mut pings = 0;
    while pings < 4 {
        pings += usize::from(matches!(there.0.read(), Ok(Message::Ping(_))));
        there.0.flush().unwrap();
    }
    let mut sent = Vec::new();
    silent.read_to_end(&mut sent).unwrap();
    // One ping, which was not answered.
    assert_eq!(sent, [0x89, 0]);
    there.subscribe(None, Value::Null);
    store(&server, "a", "INFO", &["still here"]);
    assert_eq!(there.messages(1), ["still here"]);
}
