//! What holds for requests of every route: ids, methods, paths, bodies.
use crate::harness::{KEY, Server};
use serde_json::json;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

#[test]
fn every_answer_has_a_request_id() {
    let server = Server::start();
    for path in ["/health", "/none", "/api/v1/logs/search", "/api/v1/logs/search?limit=x"] {
        let (first, second) = (server.get(path), server.get(path));
        let id = first.header("x-request-id").unwrap();
        assert_ne!(Some(id), second.header("x-request-id"));
        let own = server.get_with(path, &[("x-request-id", "mine-1")]).unwrap();
        assert_eq!(own.header("x-request-id"), Some("mine-1"));
        assert_eq!(own.header("content-type"), Some("application/json"));
    }
}

#[test]
fn heads_that_are_no_request_are_answered_like_others() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start_with(data.path(), |command| {
        command.env("LOGYARD_SERVER_MAX_HEADERS", "20").env("LOGYARD_SERVER_MAX_HEADER_BYTES", "8KiB");
    });
    let post = |lines: &str| format!("POST /insert/jsonline HTTP/1.1\r\nhost: x\r\n{lines}\r\n");
    let cases = [
        ("too many lines", post(&"a: b\r\n".repeat(20)), 431),
        ("too many bytes", post(&format!("a: {}\r\n", "b".repeat(9_000))), 431),
        ("a path that is too long", format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(70_000)), 431),
        ("garbage", "\x16\x03\x01 garbage\r\n\r\n".to_owned(), 400),
        ("a line that is none", post("a b\r\n"), 400),
        ("two lengths", post("content-length: 1\r\ncontent-length: 2\r\n"), 400),
        ("a negative length", post("content-length: -1\r\n"), 400),
        ("no number", post("content-length: 0x1\r\n"), 400),
        ("an unknown encoding", post("transfer-encoding: rot13\r\n"), 400),
    ];
    for (what, request, status) in cases {
        // By itself, and behind another one that was answered.
        for before in ["", "GET /health HTTP/1.1\r\nhost: x\r\nx-request-id: first\r\n\r\n"] {
            let answers = behind(&server, before, &request);
            let (head, body) = answers.rsplit_once("\r\n\r\n").unwrap();
            let head = head.rsplit_once("HTTP/1.1 ").unwrap().1;
            let of = |name: &str| head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
            assert!(head.starts_with(&status.to_string()), "{what}: {answers}");
            let error: serde_json::Value = serde_json::from_str(body).unwrap();
            assert!(error["error"].as_str().unwrap().starts_with("the request's "), "{what}: {body}");
            assert_eq!(of("content-length"), Some(&*body.len().to_string()), "{what}: {answers}");
            assert_eq!(of("content-type"), Some("application/json"), "{what}: {answers}");
            assert!(of("x-request-id").is_some_and(|id| id.len() == 16), "{what}: {answers}");
            assert_eq!(answers.matches("HTTP/1.1 ").count(), 1 + usize::from(!before.is_empty()), "{what}: {answers}");
        }
    }
}

/// What is answered to bytes that come once those before them were answered.
fn behind(server: &Server, before: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(server.address.strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut answers = Vec::new();
    if !before.is_empty() {
        stream.write_all(before.as_bytes()).unwrap();
        let mut byte = [0];
        while !answers.ends_with(b"}") {
            stream.read_exact(&mut byte).unwrap();
            answers.push(byte[0]);
        }
    }
    // Whoever refuses a head may close before it has all of it.
    let _is_taken = stream.write_all(request.as_bytes());
    match stream.read_to_end(&mut answers) {
        Ok(_) => {}
        Err(e) => assert_eq!(e.kind(), ErrorKind::ConnectionReset, "{e}"),
    }
    String::from_utf8(answers).unwrap()
}

#[test]
fn wrong_methods_and_paths_are_told_apart() {
    let server = Server::start();
    let answer = server.post("/api/v1/logs/search", "");
    assert_eq!((answer.status, answer.json()), (405, json!({"error": "Method not allowed"})));
    let answer = server.get("/api/v1/nothing/here");
    assert_eq!((answer.status, answer.json()), (404, json!({"error": "Not found", "path": "/api/v1/nothing/here"})));
}

#[test]
fn encoded_and_huge_bodies_are_refused() {
    let server = Server::start();
    for path in ["/api/v1/logs/ingest", "/api/v1/logs/ingest/batch", "/insert/jsonline"] {
        let answer = server.try_post(path, b"x", &[("content-encoding", "br")]).unwrap();
        assert_eq!(answer.status, 415);
        assert!(answer.json()["error"].as_str().unwrap().contains("br "));
    }
    // Only the head is sent, so the answer cannot come from reading the body.
    let answer = raw(
        &server,
        &format!(
            "POST /api/v1/logs/ingest HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {KEY}\r\nContent-Length: 67108865\r\n\r\n"
        ),
    );
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    let mut stream = TcpStream::connect(server.address.strip_prefix("http://").unwrap()).unwrap();
    write!(
        stream,
        "POST /api/v1/logs/ingest HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    .unwrap();
    let block = vec![b' '; 1 << 20];
    for _ in 0..70 {
        // The server answers and closes before it has everything.
        if write!(stream, "{:x}\r\n", block.len()).and_then(|()| stream.write_all(&block)).is_err() {
            break;
        }
        if stream.write_all(b"\r\n").is_err() {
            break;
        }
    }
    let mut head = [0; 12];
    match stream.read_exact(&mut head) {
        Ok(()) => assert_eq!(&head, b"HTTP/1.1 413"),
        // What was still on its way when the server closed can take the answer with it.
        Err(e) => assert!(matches!(e.kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof), "{e}"),
    }
    assert_eq!(server.get("/api/v1/admin/storage").json()["rows"], 0);
}

#[test]
fn a_slow_stream_is_stored_as_it_comes() {
    let server = Server::start();
    let mut stream = TcpStream::connect(server.address.strip_prefix("http://").unwrap()).unwrap();
    write!(
        stream,
        "POST /insert/jsonline HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nTransfer-Encoding: chunked\r\n\r\n\
         14\r\n{{\"_msg\":\"early\"}}\n{{\"a\r\n"
    )
    .unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    while server.get("/api/v1/logs/search?q=early").json()["count"] != 1 {
        assert!(Instant::now() < until, "a complete line is not stored");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(server.get("/api/v1/logs/search").json()["count"], 1);
}

/// Sends bytes and reads until the server closes.
fn raw(server: &Server, request: &str) -> String {
    let mut stream = TcpStream::connect(server.address.strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}
