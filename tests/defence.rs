//! Clients that mean harm before anybody knows who they are: each is refused or given up, memory stays flat, and honest requests
//! are answered beside them.
mod bounds;

use crate::frames;
use crate::harness::{KEY, Server, until};
use serde_json::json;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// More than the server may have taken for what it refuses.
const GROWTH_KIB: u64 = 64 << 10;

struct Started {
    server: Server,
    _directory: tempfile::TempDir,
}

/// A server with some settings.
fn start(settings: &[(&str, &str)]) -> Started {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start_with(directory.path(), |command| {
        command.env("LOGYARD_ADMIN_KEY", KEY);
        for (name, value) in settings {
            command.env(format!("LOGYARD_SERVER_{name}"), value);
        }
    });
    Started { server, _directory: directory }
}

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.address.strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream
}

/// All that comes until the server closes; a reset ends it too.
fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let mut piece = [0; 4_096];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(len) => answer.extend_from_slice(&piece[..len]),
            Err(e) => {
                let is_reset = matches!(e.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe);
                assert!(is_reset, "the server does not close: {e}");
                break;
            }
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// Sends what it can and gives all that comes back.
fn answer(server: &Server, request: &[u8]) -> String {
    let mut stream = connect(server);
    // One that is refused at once is not read to its end.
    let _may_be_refused = stream.write_all(request);
    rest(&mut stream)
}

fn head(path: &str, lines: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n{lines}\r\n")
}

/// Sends byte after byte of something endless until the server closes.
fn drip(stream: &mut TcpStream, bytes: impl Iterator<Item = u8>) {
    for byte in bytes.take(2_000) {
        if stream.write_all(&[byte]).is_err() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("a slow client is not given up");
}

fn high_water_kib(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn slow_heads_are_given_up() {
    let started = start(&[("HEADER_TIMEOUT", "300ms")]);
    let server = &started.server;
    std::thread::scope(|scope| {
        let endless = || std::iter::repeat_n(b'a', 10_000);
        for beginning in ["", "P", "GET / HTTP/1.1\r\nhost: x\r\nx: ", "PRI * HTTP/2.0\r\n\r\nS"] {
            scope.spawn(move || drip(&mut connect(server), beginning.bytes().chain(endless())));
        }
        // Settings of HTTP/2 for ever, and no request.
        scope.spawn(move || {
            let mut stream = connect(server);
            stream.write_all(frames::PREFACE).unwrap();
            drip(&mut stream, frames::frame(4, 0, 0, &[]).into_iter().cycle());
        });
        // One that says nothing at all.
        scope.spawn(move || assert_eq!(rest(&mut connect(server)), ""));
        // And the next head of one that asked before.
        scope.spawn(move || {
            let mut stream = connect(server);
            stream.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
            assert!(stream.read(&mut [0; 4_096]).unwrap() > 0);
            drip(&mut stream, "GET / HTTP/1.1\r\nx: ".bytes().chain(endless()));
        });
        for _ in 0..20 {
            assert_eq!(server.get("/health").status, 200);
        }
    });
}

#[test]
fn slow_bodies_are_given_up_and_steady_ones_are_not() {
    let started = start(&[("BODY_TIMEOUT", "400ms"), ("HEADER_TIMEOUT", "300ms"), ("IDLE_TIMEOUT", "300ms")]);
    let server = &started.server;
    std::thread::scope(|scope| {
        for path in ["/api/v1/logs/ingest", "/api/v1/logs/ingest/batch", "/insert/jsonline"] {
            // One that stops, and one that goes on byte by byte.
            scope.spawn(move || {
                let stopped = answer(server, (head(path, "content-length: 1000\r\n") + "{").as_bytes());
                assert!(stopped.starts_with("HTTP/1.1 408 ") && stopped.contains("stopped coming"), "{stopped}");
            });
            scope.spawn(move || {
                let mut stream = connect(server);
                stream.write_all(head(path, "content-length: 100000\r\n").as_bytes()).unwrap();
                drip(&mut stream, std::iter::repeat_n(b' ', 100_000));
            });
        }
        scope.spawn(move || {
            // Longer in all than anything may be waited for, and steady.
            let mut stream = connect(server);
            let row = json!({"_msg": "x".repeat(2_000)}).to_string() + "\n";
            let lines = format!("connection: close\r\ncontent-length: {}\r\n", 12 * row.len());
            stream.write_all(head("/insert/jsonline", &lines).as_bytes()).unwrap();
            for _ in 0..12 {
                stream.write_all(row.as_bytes()).unwrap();
                std::thread::sleep(Duration::from_millis(100));
            }
            let told = rest(&mut stream);
            assert!(told.starts_with("HTTP/1.1 200 "), "{told}");
        });
    });
    assert_eq!(server.get("/api/v1/admin/storage").json()["rows"], 12);
}

#[test]
fn whole_bodies_come_at_a_pace_and_streams_take_their_time() {
    let started = start(&[("BODY_TIMEOUT", "1s")]);
    let server = &started.server;
    let piece = " ".repeat(1 << 10);
    // Each piece is progress, and there are fewer of them than a whole body has to come with.
    let slow = |path: &str, pieces: usize| {
        let mut stream = connect(server);
        let lines = format!("connection: close\r\ncontent-length: {}\r\n", 60 << 10);
        stream.write_all(head(path, &lines).as_bytes()).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        for _ in 0..pieces {
            // Until there is an answer.
            if stream.write_all(piece.as_bytes()).is_err() || stream.peek(&mut [0]).is_ok() {
                break;
            }
        }
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        rest(&mut stream)
    };
    std::thread::scope(|scope| {
        for path in ["/api/v1/logs/ingest", "/api/v1/logs/ingest/batch", "/api/v1/keys", "/select/logsql/query"] {
            scope.spawn(move || {
                let told = slow(path, 60);
                assert!(told.starts_with("HTTP/1.1 408 "), "{path}: {told}");
                assert!(told.contains("the body comes too slowly"), "{path}: {told}");
            });
        }
        scope.spawn(move || assert!(slow("/insert/jsonline", 60).starts_with("HTTP/1.1 200 ")));
    });
    // One that comes as it should is not held up by the others.
    assert_eq!(server.post("/insert/jsonline", "{\"_msg\":\"m\"}\n").status, 200);
}

#[test]
fn idle_connections_are_closed_and_those_with_a_request_are_not() {
    let started = start(&[("IDLE_TIMEOUT", "200ms"), ("HEADER_TIMEOUT", "200ms"), ("WRITE_TIMEOUT", "200ms")]);
    let server = &started.server;
    let mut live = connect(server);
    let tail = format!("GET /select/logsql/tail?query=* HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n\r\n");
    live.write_all(tail.as_bytes()).unwrap();
    let mut idle = connect(server);
    idle.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let told = rest(&mut idle);
    assert!(told.starts_with("HTTP/1.1 200 ") && told.matches("HTTP/1.1").count() == 1, "{told}");
    // The same for HTTP/2, whose settings and pings are no requests.
    let mut idle = connect(server);
    assert_eq!(frames::get_health(&mut idle), 200);
    rest(&mut idle);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(server.post("/insert/jsonline", "{\"_msg\":\"late\"}\n").status, 200);
    let mut lines = BufReader::new(live).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains("late")));
}

#[test]
fn what_is_oversized_is_refused_and_memory_stays_flat() {
    let started = start(&[]);
    let server = &started.server;
    assert_eq!(server.get("/api/v1/logs/services").status, 200);
    let before = high_water_kib(server);
    let statuses = |request: &[u8], wanted: &[&str]| {
        let told = answer(server, request);
        // The answer can be lost where the server closes while more is on its way.
        let is_well = told.is_empty() || wanted.iter().any(|status| told.starts_with(&format!("HTTP/1.1 {status} ")));
        assert!(is_well, "{wanted:?}: {told}");
    };
    let many: String = (0..10_000).map(|at| format!("x-{at}: y\r\n")).collect();
    statuses(head("/insert/jsonline", &many).as_bytes(), &["431"]);
    let some: String = (0..200).map(|at| format!("x-{at}: y\r\n")).collect();
    let told = answer(server, head("/insert/jsonline", &some).as_bytes());
    assert!(told.starts_with("HTTP/1.1 431 "), "{told}");
    statuses(head("/insert/jsonline", &format!("x: {}\r\n", "y".repeat(1 << 20))).as_bytes(), &["431"]);
    statuses(format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "y".repeat(1 << 20)).as_bytes(), &["414", "431"]);
    statuses(format!("{} / HTTP/1.1\r\nhost: x\r\n\r\n", "Y".repeat(1 << 20)).as_bytes(), &["400", "414", "431"]);
    for path in ["/api/v1/logs/ingest", "/api/v1/logs/ingest/batch"] {
        let told = answer(server, head(path, "connection: close\r\ncontent-length: 1073741824\r\n").as_bytes());
        assert!(told.starts_with("HTTP/1.1 413 "), "{told}");
    }
    for open in ["[", "{\"a\":"] {
        let deep = open.repeat(1 << 20);
        let lines = format!("connection: close\r\ncontent-length: {}\r\n", deep.len());
        statuses((head("/api/v1/logs/ingest", &lines) + &deep).as_bytes(), &["400"]);
        let line = server.post("/insert/jsonline", deep + "\n{\"_msg\":\"m\"}\n");
        assert_eq!(line.status, 200, "{}", line.text);
    }
    assert_eq!(server.get("/api/v1/admin/storage").json()["rows"], 2);
    let after = high_water_kib(server);
    assert!(after < before + GROWTH_KIB, "{before} KiB before, {after} KiB after");
}

#[test]
fn too_many_header_lines_are_refused_over_http2_too() {
    let started = start(&[("MAX_HEADERS", "20")]);
    let mut stream = connect(&started.server);
    stream.write_all(frames::PREFACE).unwrap();
    stream.write_all(&frames::health_with(1, 20)).unwrap();
    let (status, body) = frames::read_answer(&mut stream, 1);
    assert_eq!(status, Some(200), "{body}");
    stream.write_all(&frames::health_with(3, 21)).unwrap();
    let (status, body) = frames::read_answer(&mut stream, 3);
    assert_eq!((status, body.contains("server.max_headers")), (Some(431), true), "{body}");
    // Over HTTP/1 as many are too many.
    let lines = |count: usize| "x: y\r\n".repeat(count);
    let asked = |count| answer(&started.server, format!("GET /health HTTP/1.1\r\n{}\r\n", lines(count)).as_bytes());
    assert!(asked(21).starts_with("HTTP/1.1 431 "));
    let with_close = format!("GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{}\r\n", lines(18));
    assert!(answer(&started.server, with_close.as_bytes()).starts_with("HTTP/1.1 200 "));
}

#[test]
fn a_request_that_ends_in_two_places_is_refused() {
    let started = start(&[]);
    let server = &started.server;
    let inner = "GET /health HTTP/1.1\r\nhost: x\r\n\r\n";
    let chunked = format!("0\r\n\r\n{inner}");
    let refused = [
        ("content-length: 5\r\ntransfer-encoding: chunked\r\n", chunked.as_str()),
        ("transfer-encoding: chunked\r\ncontent-length: 5\r\n", &chunked),
        ("Transfer-Encoding: chunked\r\nX: y\r\nContent-Length: 0\r\n", &chunked),
        ("content-length: 5\r\ntransfer-encoding: identity\r\n", &chunked),
        ("content-length: 5\r\ncontent-length: 6\r\n", inner),
        ("content-length: 5, 6\r\n", inner),
        ("content-length: +5\r\n", inner),
        ("content-length: -5\r\n", inner),
        ("content-length: 0x5\r\n", inner),
        ("content-length: 5 5\r\n", inner),
        ("content-length: 99999999999999999999\r\n", inner),
        ("content-length : 5\r\n", inner),
        ("content-length\r\n: 5\r\n", inner),
        ("transfer-encoding: identity\r\n", inner),
        ("transfer-encoding: chunked, identity\r\n", &chunked),
        ("transfer-encoding: xchunked\r\n", &chunked),
        ("transfer-encoding : chunked\r\n", &chunked),
        ("transfer-encoding:\r\n chunked\r\n", &chunked),
        ("x: y\r\n transfer-encoding: chunked\r\n", &chunked),
        ("x: a\0b\r\n", inner),
        ("x: a\rtransfer-encoding: chunked\r\n", &chunked),
        ("transfer-encoding: chunked\r\n", "5x\r\nhello\r\n0\r\n\r\n"),
        ("transfer-encoding: chunked\r\n", "-5\r\nhello\r\n0\r\n\r\n"),
        ("transfer-encoding: chunked\r\n", "fffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
        ("transfer-encoding: chunked\r\n", "5\r\nhelloXX0\r\n\r\n"),
    ];
    for (lines, body) in refused {
        let told = answer(server, (head("/insert/jsonline", lines) + body).as_bytes());
        let first = told.lines().next().unwrap_or_default();
        assert!(first.starts_with("HTTP/1.1 400 "), "{lines:?}: {told}");
        assert_eq!(told.matches("HTTP/1.1 ").count(), 1, "{lines:?} smuggles: {told}");
    }
    let old = "POST /insert/jsonline HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n";
    assert!(answer(server, format!("{old}{chunked}").as_bytes()).starts_with("HTTP/1.1 400 "));
    let both = answer(server, (head("/insert/jsonline", refused[0].0) + refused[0].1).as_bytes());
    assert!(both.contains("{\"error\":\"the request has Content-Length and Transfer-Encoding"), "{both}");
    assert!(both.to_ascii_lowercase().contains("x-request-id: "), "{both}");
    // The same length twice is one length, and what only looks like it is let through.
    let row = "{\"_msg\":\"content-length: 3\\ntransfer-encoding: chunked\"}";
    let lines = format!("connection: close\r\ncontent-length: {0}\r\ncontent-length: {0}\r\n", row.len());
    assert!(answer(server, (head("/insert/jsonline", &lines) + row).as_bytes()).starts_with("HTTP/1.1 200 "));
    assert_eq!(server.get("/api/v1/admin/storage").json()["rows"], 1);
}

#[test]
fn a_client_that_takes_nothing_is_given_up() {
    let started = start(&[("WRITE_TIMEOUT", "300ms")]);
    let server = &started.server;
    let rows: String =
        (0..3_000).map(|at| json!({"_msg": format!("{at} {}", "x".repeat(1_000))}).to_string() + "\n").collect();
    assert_eq!(server.post("/insert/jsonline", rows).status, 200);
    let mut stream = connect(server);
    let query = format!("query=*{}", "%20|%20union%20(*)".repeat(20));
    let lines = format!("content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n", query.len());
    stream.write_all((head("/select/logsql/query", &lines) + &query).as_bytes()).unwrap();
    let mut head = [0; 13];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 200 ");
    // Nothing is read until the query has been given up.
    let is_running = || server.get("/metrics").text.contains("\nlogyard_queries_running 1\n");
    let waited = (0..600).find(|_| {
        std::thread::sleep(Duration::from_millis(50));
        !is_running()
    });
    assert!(waited.is_some(), "the query still runs");
    // What was sent before is there, and then it ends in the middle.
    let told = rest(&mut stream);
    assert!(!told.ends_with("0\r\n\r\n"), "{} bytes", told.len());
}

#[test]
fn who_takes_nothing_of_its_answers_over_http2_gives_their_places_back() {
    let started = start(&[("WRITE_TIMEOUT", "300ms"), ("MAX_REQUESTS", "2"), ("IDLE_TIMEOUT", "1h")]);
    let server = &started.server;
    let mut stream = connect(server);
    stream.write_all(&[frames::PREFACE, &frames::takes_nothing()].concat()).unwrap();
    for at in [1, 3] {
        stream.write_all(&frames::get(at, "/api/v1/logs/services", KEY)).unwrap();
    }
    // Both are answered, and hold their places.
    let mut answered = 0;
    while answered < 2 {
        let (kind, _, payload) = frames::read_frame(&mut stream).unwrap();
        if kind == 1 {
            assert_eq!(payload.first(), Some(&0x88), "{payload:02x?}");
            answered += 1;
        }
    }
    // It says that it is there whenever it is asked, until its connection ends.
    let alive = std::thread::spawn(move || {
        while let Ok((kind, _, payload)) = frames::read_frame(&mut stream) {
            if kind == 6 && stream.write_all(&frames::frame(6, 1, 0, &payload)).is_err() {
                break;
            }
        }
    });
    until("the places are given back", || server.get("/api/v1/logs/services").status == 200);
    alive.join().unwrap();
}

#[test]
fn streams_that_are_reset_at_once_cost_their_client_the_connection() {
    let started = start(&[]);
    let mut stream = connect(&started.server);
    stream.write_all(frames::PREFACE).unwrap();
    for at in 0..20_000 {
        let reset = frames::frame(3, 0, 2 * at + 1, &8u32.to_be_bytes());
        if stream.write_all(&[frames::health(2 * at + 1), reset].concat()).is_err() {
            break;
        }
    }
    let mut goes_away = false;
    while let Ok((kind, _, _)) = frames::read_frame(&mut stream) {
        goes_away |= kind == 7;
    }
    // The farewell may be lost with what was still on its way, the connection is gone in any case.
    println!("told to go away: {goes_away}");
    assert_eq!(started.server.get("/health").status, 200);
}

#[test]
fn as_many_files_may_be_open_as_are_allowed() {
    let directory = tempfile::tempdir().unwrap();
    // The program is the shell's own process by then, with the limit that the shell had.
    let mut server = std::process::Command::new("sh")
        .args(["-c", r#"ulimit -S -n 200 && exec "$0" serve --listen 127.0.0.1:0 --data "$1""#])
        .args([env!("CARGO_BIN_EXE_logyard").as_ref(), directory.path()])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(server.stderr.take().unwrap()).lines().map(Result::unwrap);
    let listens = lines.any(|line| line.starts_with("listening on "));
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.id())).unwrap();
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(listens);
    let limit = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let [soft, hard, ..] = limit.split_whitespace().collect::<Vec<_>>()[..] else { panic!("{limit}") };
    assert!(soft == hard && soft != "200", "{limit}");
}
