//! Keys that end while somebody uses them: what is open ends with them, and nothing more is given or stored.
use crate::access::make;
use crate::harness::{KEY, Server, encoded, until};
use crate::socket::Socket;
use crate::tail::Tail;
use serde_json::{Value, json};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tungstenite::Message;

/// A server that would not look at connections again by itself.
fn server() -> (Server, tempfile::TempDir) {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start_with(data.path(), |command| {
        command.env("LOGYARD_ADMIN_KEY", KEY).env("LOGYARD_SERVER_IDLE_TIMEOUT", "1h");
    });
    (server, data)
}

fn revoke(server: &Server, id: &str) {
    assert_eq!(server.ask("DELETE", &format!("/api/v1/keys/{id}")).status, 200);
}

fn count(server: &Server, word: &str) -> u64 {
    server.get(&format!("/api/v1/logs/search?q={word}")).json()["count"].as_u64().unwrap()
}

fn store(server: &Server, message: &str) {
    assert_eq!(server.post("/insert/jsonline", json!({ "_msg": message }).to_string()).status, 200);
}

/// A request whose body comes in pieces.
struct Sending(TcpStream);

impl Sending {
    fn begin(server: &Server, key: &str, path: &str) -> Self {
        let mut stream = TcpStream::connect(server.address.strip_prefix("http://").unwrap()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {key}\r\n");
        stream.write_all(format!("{head}transfer-encoding: chunked\r\n\r\n").as_bytes()).unwrap();
        Self(stream)
    }

    fn send(&mut self, text: &str) {
        self.0.write_all(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes()).unwrap();
    }

    /// The status and the body of the answer, after the end.
    fn answer(mut self) -> (u16, Value) {
        self.0.write_all(b"0\r\n\r\n").unwrap();
        let mut text = String::new();
        self.0.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), serde_json::from_str(body).unwrap())
    }
}

/// Whatever stays open with a key.
struct Open {
    lines: Tail,
    events: Tail,
    /// One that follows, and one that has not begun to.
    sockets: [Socket; 2],
    sending: Sending,
}

fn opened(server: &Server, key: &str) -> Open {
    let tail = |headers: &[(&str, &str)]| {
        let mut tail = Tail::open_as(server, key, &[("query", "begun or later"), ("start_offset", "0")], headers);
        assert_eq!(tail.status, 200, "{}", tail.head);
        store(server, "begun");
        assert!(tail.line().unwrap().contains(if headers.is_empty() { "begun" } else { "id: " }));
        tail
    };
    let (lines, events) = (tail(&[]), tail(&[("accept", "text/event-stream")]));
    let mut socket = Socket::open_with(server, key);
    socket.subscribe(None, json!({"query": "later"}));
    let quiet = Socket::open_with(server, key);
    let before = count(server, "early");
    let mut sending = Sending::begin(server, key, "/insert/jsonline");
    sending.send("{\"_msg\":\"early\"}\n");
    until("a line that is stored", || count(server, "early") == before + 1);
    Open { lines, events, sockets: [socket, quiet], sending }
}

/// Sees that all of it ends now that the key has.
fn all_ends(server: &Server, open: Open, why: &str) {
    let Open { lines, events, sockets: [socket, mut quiet], mut sending } = open;
    store(server, "later");
    // It may have been closed already.
    let _is_sent = quiet.0.send(Message::text(json!({"type": "subscribe"}).to_string()));
    sending.send("{\"_msg\":\"late\"}\n");
    let (status, body) = sending.answer();
    assert_eq!((status, &body["error"], &body["message"]), (403, &json!("Invalid API key"), &json!(why)), "{body}");
    assert_eq!((&body["ingested"], count(server, "late")), (&json!(1), 0), "{body}");
    let rest = lines.rest();
    assert!(!rest.contains("later"), "{rest}");
    let rest = events.rest();
    assert!(!rest.contains("later") && rest.ends_with(&format!("data: {{\"error\":\"{why}\"}}\n\n")), "{rest}");
    for socket in [socket, quiet] {
        assert_eq!(socket.closed_without_a_word(), (1_008, why.to_owned()));
    }
}

#[test]
fn what_is_open_ends_when_its_key_is_revoked() {
    let (server, _data) = server();
    let (id, key) = make(&server, &json!({"name": "n", "scopes": ["read", "ingest"]}));
    // Of another key nothing ends.
    let (_, other) = make(&server, &json!({"name": "other", "scopes": ["read"]}));
    let mut stays = Tail::open_as(&server, &other, &[("query", "stays"), ("start_offset", "0")], &[]);
    let open = opened(&server, &key);
    revoke(&server, &id);
    all_ends(&server, open, "the key has been revoked");
    store(&server, "stays");
    assert!(stays.line().unwrap().contains("stays"));
}

#[test]
fn what_is_open_ends_when_its_key_expires() {
    let (server, _data) = server();
    // A machine that is slow may need longer than the key lives to open all.
    for seconds in [3, 12, 40] {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
        let wanted = json!({"name": "n", "scopes": ["read", "ingest"], "expires_at": now + seconds * 1_000});
        let (_, key) = make(&server, &wanted);
        let reads = || {
            let bearer = [("authorization", &*format!("Bearer {key}"))];
            server.get_with("/api/v1/logs/services", &bearer).unwrap().status == 200
        };
        let open = catch_unwind(AssertUnwindSafe(|| opened(&server, &key)));
        if let Some(open) = open.ok().filter(|_| reads()) {
            until("a key that expires", || !reads());
            return all_ends(&server, open, "the key has expired");
        }
    }
    panic!("nothing could be opened in time");
}

#[test]
fn a_request_that_was_begun_with_a_key_changes_nothing_once_it_is_revoked() {
    let (server, _data) = server();
    let (id, key) = make(&server, &json!({"name": "boss", "scopes": ["admin"]}));
    let mut sending: Vec<Sending> = ["/api/v1/keys", "/api/v1/admin/delete", "/api/v1/logs/ingest"]
        .map(|path| Sending::begin(&server, &key, path))
        .into();
    sending.iter_mut().for_each(|sending| sending.send("{"));
    store(&server, "kept");
    revoke(&server, &id);
    let rest = [
        r#""name":"another","scopes":["admin"]}"#,
        r#""query":"kept"}"#,
        r#""service_name":"a","level":"INFO","message":"late"}"#,
    ];
    for (mut sending, rest) in sending.into_iter().zip(rest) {
        sending.send(rest);
        let (status, body) = sending.answer();
        assert_eq!((status, &body["message"]), (403, &json!("the key has been revoked")), "{rest}: {body}");
    }
    assert_eq!(server.get("/api/v1/keys").json()["keys"], json!([]));
    assert_eq!((count(&server, "kept"), count(&server, "late")), (1, 0));
}

#[test]
fn an_answer_that_goes_on_breaks_off_when_its_key_is_revoked() {
    let (server, _data) = server();
    let (id, key) = make(&server, &json!({"name": "n", "scopes": ["read"]}));
    let line = format!("{{\"_msg\":\"{}\"}}\n", "word ".repeat(2_000));
    // More than lies on its way to a client that does not read.
    for _ in 0..4 {
        assert_eq!(server.post("/insert/jsonline", line.repeat(1_000)).status, 200);
    }
    let mut stream = TcpStream::connect(server.address.strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let path = format!("/select/logsql/query?query={}", encoded("*"));
    let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {key}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    revoke(&server, &id);
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => {}
        Err(e) => assert_eq!(e.kind(), ErrorKind::ConnectionReset, "{e}"),
    }
    assert!(!rest.ends_with(b"0\r\n\r\n"), "it is whole, with {} bytes", rest.len());
}
