//! What is larger, deeper or longer than anybody needs, from a client that has a key: it is refused, and takes no memory.
use super::{GROWTH_KIB, connect, head, high_water_kib, start};
use crate::harness::{KEY, Server};
use serde_json::json;
use std::io::{Read, Write};
use std::net::TcpStream;

const ONE: &str = "/api/v1/logs/ingest";
const BATCH: &str = "/api/v1/logs/ingest/batch";
const LINES: &str = "/insert/jsonline";

/// Sees that something takes no memory to speak of, and that the server is well afterwards.
fn flat(server: &Server, what: &str, harm: impl FnOnce()) {
    grows_by_at_most(GROWTH_KIB, server, what, harm);
}

fn grows_by_at_most(most_kib: u64, server: &Server, what: &str, harm: impl FnOnce()) {
    assert_eq!(server.get("/api/v1/logs/services").status, 200);
    let before = high_water_kib(server);
    harm();
    let grown = high_water_kib(server) - before;
    println!("{what}: {grown} KiB more");
    assert!(grown < most_kib, "{what}: {grown} KiB more");
    assert_eq!(server.get("/api/v1/logs/services").status, 200, "{what}");
}

/// An object with so many keys, after some fields of its own.
fn keys(own: &str, count: usize) -> String {
    let keys: Vec<String> = (0..count).map(|at| format!("\"k{at}\":1")).collect();
    format!("{{{own}{}}}", keys.join(","))
}

const LOG: &str = r#""service_name":"a","level":"INFO","message":"m","#;

#[test]
fn an_object_of_a_million_keys_takes_bounded_memory_and_spoils_nothing_behind_it() {
    // What a builder knows of names, the bodies of 13 MB, and what is made of them.
    const MOST_KIB: u64 = 256 << 10;
    let started = start(&[]);
    let server = &started.server;
    grows_by_at_most(MOST_KIB, server, "a million keys", || {
        // As fields of its own they are kept: so many as fields, and what is beyond together.
        let one = server.post(ONE, keys(LOG, 1_000_000));
        assert_eq!(one.status, 200, "{}", one.text);
        let log = format!("{{{LOG}\"metadata\":{}}}", keys("", 1_000_000));
        let one = server.post(ONE, &log);
        assert!(one.status == 400 && one.text.contains("Metadata is too large"), "{}", one.text);
        let batch = server.post(BATCH, format!("{{\"logs\":[{log}]}}"));
        assert_eq!((batch.status, &batch.json()["failed"]), (400, &json!(1)), "{}", batch.text);
        // What comes behind it, in its batch and after it, is stored as ever.
        let batch = server.post(BATCH, format!("{{\"logs\":[{log},{{{LOG}\"metadata\":{{}}}}]}}"));
        assert_eq!((batch.status, &batch.json()["ingested"], &batch.json()["failed"]), (200, &json!(1), &json!(1)));
        let batch = server.post(BATCH, format!("{{\"logs\":[{{{LOG}\"metadata\":{{}}}}]}}"));
        assert_eq!((batch.status, &batch.json()["ingested"]), (200, &json!(1)), "{}", batch.text);
        let whole = server.post(BATCH, keys("", 1_000_000));
        assert_eq!(whole.status, 400, "{}", whole.text);
        let lines = server.post(LINES, keys("\"_msg\":\"m\",", 1_000_000) + "\n{\"_msg\":\"m\"}\n");
        assert_eq!((lines.status, &lines.json()["ingested"]), (200, &json!(2)), "{}", lines.text);
        for path in ["/api/v1/keys", "/api/v1/admin/delete"] {
            let answer = server.post(path, keys("", 1_000_000));
            assert!(matches!(answer.status, 400 | 413), "{path}: {} {}", answer.status, answer.text);
        }
        let config = server.put("/api/v1/logs/config/a", keys("", 1_000_000));
        assert!(matches!(config.status, 400 | 413), "{} {}", config.status, config.text);
    });
    assert_eq!(server.get("/api/v1/admin/storage").json()["rows"], 5);
}

#[test]
fn what_is_nested_100_000_deep_is_refused() {
    const DEPTH: usize = 100_000;
    let started = start(&[]);
    let server = &started.server;
    flat(server, "100,000 deep", || {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            for is_closed in [true, false] {
                let end = if is_closed { close } else { "" };
                let deep = format!("{}1{}", open.repeat(DEPTH), end.repeat(DEPTH));
                let log = format!("{{{LOG}\"metadata\":{deep}}}");
                let logs = format!("{{\"logs\":[{log}]}}");
                for (path, body) in [(ONE, &deep), (ONE, &log), (BATCH, &deep), (BATCH, &logs), ("/api/v1/keys", &deep)]
                {
                    let answer = server.post(path, body);
                    assert_eq!(answer.status, 400, "{path} {is_closed}: {}", answer.text);
                    assert!(answer.json()["error"].as_str().is_some_and(|error| !error.is_empty()), "{}", answer.text);
                }
                let config = server.put("/api/v1/logs/config/a", &deep);
                assert_eq!(config.status, 400, "{}", config.text);
                // An object is a record however deep it is; what lies too deep is kept as the text that it is.
                let taken = if is_closed && open == "{\"a\":" { 2 } else { 1 };
                let lines = server.post(LINES, deep + "\n{\"_msg\":\"m\"}\n");
                assert_eq!((lines.status, &lines.json()["ingested"]), (200, &json!(taken)), "{}", lines.text);
            }
        }
    });
    let all = server.get("/select/logsql/query?query=*");
    assert_eq!((all.status, all.text.lines().count()), (200, 5));
}

/// A WebSocket, opened and greeted.
fn open(server: &Server) -> TcpStream {
    let mut stream = connect(server);
    let head = format!(
        "GET /api/v1/logs/ws?token={KEY} HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut told = Vec::new();
    while !String::from_utf8_lossy(&told).contains("Connected to logging service") {
        let mut piece = [0; 1_024];
        let len = stream.read(&mut piece).unwrap();
        assert!(len > 0, "{}", String::from_utf8_lossy(&told));
        told.extend_from_slice(&piece[..len]);
    }
    stream
}

/// A frame of a client: the first byte as it is, a length that may be another than that of what it has, and a mask that changes nothing.
fn ws_frame(first: u8, len: u64, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first, 0x80 | 127];
    frame.extend(len.to_be_bytes());
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// Sends until the server has closed; the code that it closed with, if that arrived.
fn until_closed(mut stream: TcpStream, pieces: impl Iterator<Item = Vec<u8>>) -> Option<u16> {
    for piece in pieces {
        if stream.write_all(&piece).is_err() {
            break;
        }
    }
    let mut told = Vec::new();
    let mut piece = [0; 1_024];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(len) => told.extend_from_slice(&piece[..len]),
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => break,
            Err(e) => panic!("the server does not close: {e}"),
        }
    }
    let close = told.windows(4).find(|window| window[0] == 0x88);
    close.map(|close| u16::from_be_bytes([close[2], close[3]]))
}

#[test]
fn messages_without_end_close_their_websocket() {
    const TEXT: u8 = 1;
    const FINAL: u8 = 0x80;
    const MIB: usize = 1 << 20;
    let started = start(&[("IDLE_TIMEOUT", "1s")]);
    let server = &started.server;
    let block = vec![b'x'; MIB];
    flat(server, "a message of 64 MiB", || {
        let pieces =
            std::iter::once(ws_frame(FINAL | TEXT, 64 * MIB as u64, &[])).chain((0..64).map(|_| block.clone()));
        println!("closed with {:?}", until_closed(open(server), pieces));
    });
    flat(server, "lengths beyond every memory", || {
        for len in [1 << 40, u64::MAX >> 1, u64::MAX] {
            let pieces = std::iter::once(ws_frame(FINAL | TEXT, len, b"x"));
            println!("closed with {:?}", until_closed(open(server), pieces));
        }
    });
    flat(server, "a message in pieces without end", || {
        let piece = ws_frame(0, 1_000, &[b'x'; 1_000]);
        let pieces = std::iter::once(ws_frame(TEXT, 1, b"x")).chain(std::iter::repeat_n(piece, 300_000));
        println!("closed with {:?}", until_closed(open(server), pieces));
    });
    flat(server, "a message in pieces with nothing in them", || {
        let pieces = std::iter::once(ws_frame(TEXT, 1, b"x")).chain(std::iter::repeat(ws_frame(0, 0, &[]).repeat(100)));
        println!("closed with {:?}", until_closed(open(server), pieces));
    });
    flat(
        server,
        "a piece of no message, a mask that is missing, a kind that nobody knows, a control frame of 1,000 bytes",
        || {
            let unmasked = vec![FINAL | TEXT, 1, b'x'];
            for wrong in [
                ws_frame(0, 1, b"x"),
                unmasked,
                ws_frame(FINAL | 3, 1, b"x"),
                ws_frame(FINAL | 9, 1_000, &block[..1_000]),
            ] {
                println!("closed with {:?}", until_closed(open(server), std::iter::once(wrong)));
            }
        },
    );
    // Compressed bits that were not agreed on, and a text that is none.
    for wrong in [ws_frame(FINAL | 0x40 | TEXT, 1, b"x"), ws_frame(FINAL | TEXT, 2, b"\xff\xfe")] {
        println!("closed with {:?}", until_closed(open(server), std::iter::once(wrong)));
    }
    let chunked = head(LINES, "content-length: 2\r\nconnection: close\r\n") + "{}";
    assert!(super::answer(server, chunked.as_bytes()).starts_with("HTTP/1.1 200 "));
}
