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
