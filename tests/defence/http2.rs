//! HTTP/2 as nobody honest speaks it: floods, resets, bombs, and answers that are not taken. The connection ends, memory stays flat.
use super::slow::by_some_bound;
use super::{GROWTH_KIB, answer, connect, high_water_kib, start};
use crate::frames::{self, frame};
use crate::harness::{KEY, Server, until};
use serde_json::json;
use std::io::{ErrorKind, Write};
use std::net::TcpStream;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const ACK: u8 = 1;

fn begin(server: &Server) -> TcpStream {
    let mut stream = connect(server);
    stream.write_all(frames::PREFACE).unwrap();
    stream
}

/// Sends pieces until the server closes, which it has to; the statuses that it answered with, and the reason that it gave, if it could.
fn until_closed(server: &Server, pieces: impl Iterator<Item = Vec<u8>>) -> (usize, Option<u32>) {
    let mut stream = begin(server);
    let mut reading = stream.try_clone().unwrap();
    let read = std::thread::spawn(move || {
        let (mut answers, mut reason) = (0, None);
        loop {
            match frames::read_frame(&mut reading) {
                Ok((HEADERS, _, _)) => answers += 1,
                Ok((GOAWAY, _, payload)) => reason = Some(u32::from_be_bytes(payload[4..8].try_into().unwrap())),
                Ok(_) => {}
                Err(e) => {
                    let is_closed = matches!(
                        e.kind(),
                        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
                    );
                    assert!(is_closed, "the server does not close: {e}");
                    return (answers, reason);
                }
            }
        }
    });
    for piece in pieces {
        if stream.write_all(&piece).is_err() {
            break;
        }
    }
    read.join().unwrap()
}

/// Does something that means harm, and sees that it takes no memory and nobody's place.
fn flat(server: &Server, what: &str, harm: impl FnOnce()) {
    let is_answered =
        || answer(server, b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").starts_with("HTTP/1.1 200 ");
    until("others are answered before", is_answered);
    let before = high_water_kib(server);
    harm();
    let grown = high_water_kib(server) - before;
    println!("{what}: {grown} KiB more");
    assert!(grown < GROWTH_KIB, "{what}: {grown} KiB more");
    until("others are answered", is_answered);
}

/// The numbers of so many streams that a client opens.
fn streams(count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(|at| 2 * at + 1)
}

#[test]
fn streams_that_are_reset_at_once_cost_their_client_the_connection() {
    let started = start(&[]);
    let server = &started.server;
    let reset = |at| frame(RST_STREAM, 0, at, &8u32.to_be_bytes());
    // Reset by the client, and by the server for a fault that the client made in each.
    flat(server, "resets", || {
        let (answers, reason) =
            until_closed(server, streams(200_000).map(|at| [frames::health(at), reset(at)].concat()));
        println!("{answers} answers, reason {reason:?}");
        assert!(answers < 100_000, "all are answered");
    });
    flat(server, "resets that the server is made to send", || {
        let fault = |at| frame(WINDOW_UPDATE, 0, at, &0u32.to_be_bytes());
        let (answers, reason) =
            until_closed(server, streams(200_000).map(|at| [frames::health(at), fault(at)].concat()));
        println!("{answers} answers, reason {reason:?}");
        assert!(answers < 100_000, "all are answered");
    });
    flat(server, "bodies that are reset", || {
        let opened =
            |at| [frames::post(at, "/insert/jsonline", KEY), frame(DATA, 0, at, b"{\"_msg\":"), reset(at)].concat();
        let (_, reason) = until_closed(server, streams(200_000).map(opened));
        println!("reason {reason:?}");
    });
    assert_eq!(server.get("/api/v1/admin/storage").json()["rows"], 0);
}

#[test]
fn data_frames_without_data_end_their_connection() {
    let started = start(&[]);
    let server = &started.server;
    for path in ["/insert/jsonline", "/api/v1/logs/ingest", "/no/such/route"] {
        for (what, key) in [("with a key", KEY), ("without a right one", "wrong")] {
            flat(server, &format!("empty frames to {path} {what}"), || {
                let empty = frame(DATA, 0, 1, &[]).repeat(100);
                let (_, reason) =
                    until_closed(server, std::iter::once(frames::post(1, path, key)).chain(std::iter::repeat(empty)));
                println!("reason {reason:?}");
            });
        }
    }
}

#[test]
fn heads_without_end_and_heads_that_grow_are_refused() {
    let started = start(&[]);
    let server = &started.server;
    // A line that HPACK does not keep, so that each piece is one.
    let line = [&[0x00, 1][..], b"x", &[100], &[b'y'; 100]].concat();
    flat(server, "continuations without end", || {
        let first = frame(HEADERS, ACK, 1, &[0x82, 0x87, 0x84, 0x01, 1, b'x']);
        let more = std::iter::repeat_with(|| frame(CONTINUATION, 0, 1, &line.repeat(100)));
        let (answers, _) = until_closed(server, std::iter::once(first).chain(more));
        assert_eq!(answers, 0);
    });
    flat(server, "continuations with nothing in them", || {
        let first = frame(HEADERS, ACK, 1, &[0x82, 0x87, 0x84, 0x01, 1, b'x']);
        let (answers, _) = until_closed(
            server,
            std::iter::once(first).chain(std::iter::repeat(frame(CONTINUATION, 0, 1, &[]).repeat(100))),
        );
        assert_eq!(answers, 0);
    });
    flat(server, "a line that is kept once and asked for 16,000 times", || {
        // The first of the table that a client makes is 62, a byte each time; 4,000 bytes are what it may hold.
        let kept = [&[0x40, 1][..], b"k", &[0x7f, 0xa1, 0x1e], &[b'v'; 4_000]].concat();
        let begin = [0x82, 0x87, 0x04, 7].iter().copied().chain(*b"/health").chain([0x01, 1, b'x']);
        let mut block: Vec<u8> = begin.chain(kept).collect();
        block.resize(16_384, 0xbe);
        let mut stream = begin_with(server, &frame(HEADERS, 5, 1, &block));
        // Told that it is too much, or disconnected.
        let status = loop {
            match frames::read_frame(&mut stream) {
                Ok((HEADERS, 1, payload)) => break Some(payload),
                Ok((RST_STREAM, 1, _) | (GOAWAY, _, _)) | Err(_) => break None,
                Ok(_) => {}
            }
        };
        assert!(status.as_ref().is_none_or(|status| status.first() != Some(&0x88)), "it is answered");
    });
    flat(server, "a table larger than it may be", || {
        let resized = [&[0x3f, 0xe1, 0xff, 0xff, 0x7f][..], &[0x82, 0x87, 0x84]].concat();
        let (answers, _) = until_closed(server, std::iter::once(frame(HEADERS, 5, 1, &resized)));
        assert_eq!(answers, 0);
    });
}

fn begin_with(server: &Server, bytes: &[u8]) -> TcpStream {
    let mut stream = begin(server);
    stream.write_all(bytes).unwrap();
    stream
}

#[test]
fn floods_without_a_request_end_with_the_time_for_a_head() {
    let started = start(&[("HEADER_TIMEOUT", "500ms"), ("WRITE_TIMEOUT", "500ms")]);
    let server = &started.server;
    flat(server, "floods", || {
        std::thread::scope(|scope| {
            for (kind, stream, payload) in [
                (PING, 0, vec![7; 8]),
                (SETTINGS, 0, vec![]),
                (SETTINGS, 0, [0, 3, 0, 0, 0, 1].repeat(20)),
                (WINDOW_UPDATE, 0, vec![0, 0, 0, 1]),
                // A priority, a frame that nobody knows, and a stream that never was.
                (2, 1, vec![0, 0, 0, 0, 1]),
                (0x42, 0, vec![1; 100]),
                (DATA, 1, vec![]),
            ] {
                let flood = frame(kind, 0, stream, &payload).repeat(100);
                scope.spawn(move || {
                    let (answers, _) = until_closed(server, std::iter::repeat(flood));
                    assert_eq!(answers, 0);
                });
            }
        });
    });
}

#[test]
fn floods_whose_answers_are_not_read_end_with_the_time_for_taking_them() {
    let started = start(&[("WRITE_TIMEOUT", "500ms"), ("HEADER_TIMEOUT", "1h"), ("IDLE_TIMEOUT", "1h")]);
    let server = &started.server;
    flat(server, "floods that are not read", || {
        for (kind, payload) in [(PING, vec![7; 8]), (SETTINGS, vec![])] {
            let mut stream = begin(server);
            let flood = frame(kind, 0, 0, &payload).repeat(1_000);
            while stream.write_all(&flood).is_ok() {}
        }
    });
}

#[test]
fn large_answers_that_are_not_taken_are_not_kept() {
    let started = start(&[]);
    let server = &started.server;
    let rows: String =
        (0..3_000).map(|at| json!({"_msg": format!("{at} {}", "x".repeat(1_000))}).to_string() + "\n").collect();
    assert_eq!(server.post("/insert/jsonline", rows).status, 200);
    // What a query takes beside its answer is taken before.
    assert_eq!(server.get("/select/logsql/query?query=*").status, 200);
    flat(server, "answers that are not taken", || {
        let mut stream = begin_with(server, &frames::takes_nothing());
        for at in streams(100) {
            stream.write_all(&frames::get(at, "/select/logsql/query?query=*", KEY)).unwrap();
        }
        until("queries run", || server.get("/metrics").text.contains("\nlogyard_queries_running 1"));
        // Those that have a turn are answered as far as they are taken.
        for _ in 0..10 {
            assert_eq!(server.get("/health").status, 200);
        }
        drop(stream);
        until("queries end with their client", || {
            server.get("/metrics").text.contains("\nlogyard_queries_running 0\n")
        });
    });
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
fn who_takes_nothing_of_its_answers_over_http2_gives_their_places_back() {
    by_some_bound(|bound| {
        let bound = format!("{}ms", bound.as_millis());
        let started = start(&[("WRITE_TIMEOUT", &bound), ("MAX_REQUESTS", "2"), ("IDLE_TIMEOUT", "1h")]);
        let server = &started.server;
        let mut stream = begin_with(server, &frames::takes_nothing());
        for at in [1, 3] {
            stream.write_all(&frames::get(at, "/api/v1/logs/services", KEY)).unwrap();
        }
        // Both are answered, and hold their places.
        let mut answered = 0;
        while answered < 2 {
            // Where the second took the server longer than the first may lie there, it has ended already.
            let Ok((kind, _, payload)) = frames::read_frame(&mut stream) else { return false };
            if kind == HEADERS {
                assert_eq!(payload.first(), Some(&0x88), "{payload:02x?}");
                answered += 1;
            }
        }
        // It says that it is there whenever it is asked, until its connection ends.
        let alive = std::thread::spawn(move || {
            while let Ok((kind, _, payload)) = frames::read_frame(&mut stream) {
                if kind == PING && stream.write_all(&frame(PING, ACK, 0, &payload)).is_err() {
                    break;
                }
            }
        });
        until("the places are given back", || server.get("/api/v1/logs/services").status == 200);
        alive.join().unwrap();
        true
    });
}
