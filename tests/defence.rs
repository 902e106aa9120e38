//! Clients that mean harm before anybody knows who they are: each is refused or given up, memory stays flat, and honest requests
//! are answered beside them.
mod bounds;
mod crowd;
mod framing;
mod http2;
mod large;
mod overload;
mod slow;

use crate::harness::{KEY, Server};
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
    for byte in bytes.take(10_000) {
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
