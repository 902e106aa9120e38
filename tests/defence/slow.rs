//! Slow clients are given up, steady ones are not. What is judged is the server: a client that was itself held up between two steps for
//! longer than it may be knows nothing, so such a run counts for nothing and is done again with longer bounds.
use super::crowd::under_way;
use super::{Started, answer, connect, drip, head, rest, start};
use crate::frames;
use crate::harness::{KEY, Server, until};
use serde_json::json;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const HEALTH: &[u8] = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n";

/// Judges by longer and longer bounds, until a client kept within half of one, as `judge` says.
pub(super) fn by_some_bound(judge: impl Fn(Duration) -> bool) {
    let mut bounds = (0..7).map(|doublings| Duration::from_millis(500 << doublings));
    assert!(bounds.any(judge), "this machine holds its clients up for longer than any bound");
}

/// The longest that a client let its server wait.
struct Pace {
    since: Instant,
    longest: Duration,
}

impl Pace {
    /// Opens a connection, and begins to count.
    fn connect(server: &Server) -> (Self, TcpStream) {
        let since = Instant::now();
        (Self { since, longest: Duration::ZERO }, connect(server))
    }

    /// Something has been sent.
    fn step(&mut self) {
        self.longest = self.longest.max(self.since.elapsed());
        self.since = Instant::now();
    }

    fn is_within(&self, bound: Duration) -> bool {
        self.longest < bound / 2
    }
}

fn start_within(names: &[&str], bound: Duration) -> Started {
    let bound = format!("{}ms", bound.as_millis());
    start(&names.iter().map(|name| (*name, bound.as_str())).collect::<Vec<_>>())
}

#[test]
fn slow_heads_are_given_up() {
    let bound = Duration::from_millis(500);
    let started = start_within(&["HEADER_TIMEOUT"], bound);
    let server = &started.server;
    std::thread::scope(|scope| {
        let endless = || std::iter::repeat_n(b'a', 10_000);
        for beginning in ["", "P", "GET / HTTP/1.1\r\nhost: x\r\nx: ", "PRI * HTTP/2.0\r\n\r\nS"] {
            scope.spawn(move || drip(&mut connect(server), beginning.bytes().chain(endless())));
        }
        // Settings of HTTP/2 for ever, and no request.
        scope.spawn(move || {
            let mut stream = connect(server);
            // It may have been given up already where this client was held up.
            if stream.write_all(frames::PREFACE).is_ok() {
                drip(&mut stream, frames::frame(4, 0, 0, &[]).into_iter().cycle());
            }
        });
        // One that says nothing at all.
        scope.spawn(move || assert_eq!(rest(&mut connect(server)), ""));
        // And the next head of one that asked before.
        scope.spawn(move || {
            by_some_bound(|_| {
                let mut stream = connect(server);
                let is_answered =
                    stream.write_all(HEALTH).is_ok() && stream.read(&mut [0; 4_096]).is_ok_and(|len| len > 0);
                if is_answered {
                    drip(&mut stream, "GET / HTTP/1.1\r\nx: ".bytes().chain(endless()));
                }
                is_answered
            });
        });
        let mut honest = 0;
        while honest < 20 {
            let (mut pace, mut stream) = Pace::connect(server);
            let _may_be_late = stream.write_all(&[&HEALTH[..HEALTH.len() - 2], b"connection: close\r\n\r\n"].concat());
            pace.step();
            if pace.is_within(bound) {
                let told = rest(&mut stream);
                assert!(told.starts_with("HTTP/1.1 200 "), "{told}");
                honest += 1;
            }
        }
    });
}

#[test]
fn slow_bodies_are_given_up() {
    let started = start(&[("BODY_TIMEOUT", "400ms")]);
    let server = &started.server;
    std::thread::scope(|scope| {
        for path in ["/api/v1/logs/ingest", "/api/v1/logs/ingest/batch", "/insert/jsonline"] {
            // One that stops, and one that goes on byte by byte.
            scope.spawn(move || {
                let stopped = answer(server, (head(path, "content-length: 1000\r\n") + "{").as_bytes());
                let is_told = stopped.contains("stopped coming") || stopped.contains("comes too slowly");
                assert!(stopped.starts_with("HTTP/1.1 408 ") && is_told, "{stopped}");
            });
            scope.spawn(move || {
                let mut stream = connect(server);
                stream.write_all(head(path, "content-length: 100000\r\n").as_bytes()).unwrap();
                drip(&mut stream, std::iter::repeat_n(b' ', 100_000));
            });
        }
    });
    assert_eq!(server.get("/api/v1/admin/storage").json()["rows"], 0);
}

#[test]
fn a_steady_body_takes_longer_than_anything_may_be_waited_for() {
    const ROWS: u32 = 14;
    by_some_bound(|bound| {
        let started = start_within(&["BODY_TIMEOUT", "HEADER_TIMEOUT", "IDLE_TIMEOUT"], bound);
        let row = json!({"_msg": "x".repeat(2_000)}).to_string() + "\n";
        let lines = format!("connection: close\r\ncontent-length: {}\r\n", ROWS as usize * row.len());
        let head = head("/insert/jsonline", &lines);
        let (mut pace, mut stream) = Pace::connect(&started.server);
        let mut is_sent = stream.write_all(head.as_bytes()).is_ok();
        for _ in 0..ROWS {
            pace.step();
            std::thread::sleep(bound / 8);
            is_sent &= stream.write_all(row.as_bytes()).is_ok();
        }
        pace.step();
        if pace.is_within(bound) {
            let told = rest(&mut stream);
            assert!(is_sent && told.starts_with("HTTP/1.1 200 ") && told.contains("\"ingested\":14"), "{told}");
        }
        pace.is_within(bound)
    });
}

#[test]
fn whole_bodies_come_at_a_pace_and_streams_take_their_time() {
    by_some_bound(|bound| {
        let started = start_within(&["BODY_TIMEOUT"], bound);
        let piece = " ".repeat(1 << 10);
        // Each piece is progress, and there are fewer of them than a whole body has to come with.
        let pieces = 60 * bound.as_millis() as usize / 1_000;
        let slow = |path: &str| {
            let lines = format!("connection: close\r\ncontent-length: {}\r\n", pieces << 10);
            let head = head(path, &lines);
            let (mut pace, mut stream) = Pace::connect(&started.server);
            let mut is_sent = stream.write_all(head.as_bytes()).is_ok();
            stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
            for _ in 0..pieces {
                // Until there is an answer.
                is_sent = is_sent && stream.write_all(piece.as_bytes()).is_ok() && stream.peek(&mut [0]).is_err();
                if !is_sent {
                    break;
                }
                pace.step();
            }
            stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
            pace.is_within(bound).then(|| rest(&mut stream))
        };
        std::thread::scope(|scope| {
            let paths = ["/api/v1/logs/ingest", "/api/v1/logs/ingest/batch", "/api/v1/keys", "/select/logsql/query"];
            let whole = paths.map(|path| (path, scope.spawn(move || slow(path))));
            let streamed = scope.spawn(|| slow("/insert/jsonline"));
            let mut is_judged = true;
            for (path, told) in whole {
                let Some(told) = told.join().unwrap() else {
                    is_judged = false;
                    continue;
                };
                assert!(told.starts_with("HTTP/1.1 408 "), "{path}: {told}");
                assert!(told.contains("the body comes too slowly"), "{path}: {told}");
            }
            let streamed = streamed.join().unwrap();
            assert!(streamed.as_ref().is_none_or(|told| told.starts_with("HTTP/1.1 200 ")), "{streamed:?}");
            is_judged && streamed.is_some()
        })
    });
}

#[test]
fn idle_connections_are_closed_and_those_with_a_request_are_not() {
    by_some_bound(|bound| {
        let started = start_within(&["IDLE_TIMEOUT", "HEADER_TIMEOUT", "WRITE_TIMEOUT"], bound);
        let server = &started.server;
        // Opened, with all that is asked.
        let asked = |request: &[u8]| {
            let (mut pace, mut stream) = Pace::connect(server);
            let _may_be_late = stream.write_all(request);
            pace.step();
            pace.is_within(bound).then_some(stream)
        };
        let tail =
            format!("GET /select/logsql/tail?query=* HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n\r\n");
        let Some(live) = asked(tail.as_bytes()) else { return false };
        let Some(mut idle) = asked(HEALTH) else { return false };
        let told = rest(&mut idle);
        assert!(told.starts_with("HTTP/1.1 200 ") && told.matches("HTTP/1.1").count() == 1, "{told}");
        // The same for HTTP/2, whose settings and pings are no requests.
        let Some(mut idle) = asked(&[frames::PREFACE, &frames::health(1)].concat()) else { return false };
        assert_eq!(frames::read_answer(&mut idle, 1).0, Some(200));
        rest(&mut idle);
        std::thread::sleep(bound * 2);
        let row = "{\"_msg\":\"late\"}\n";
        let lines = format!("connection: close\r\ncontent-length: {}\r\n", row.len());
        let Some(mut late) = asked((head("/insert/jsonline", &lines) + row).as_bytes()) else { return false };
        let told = rest(&mut late);
        assert!(told.starts_with("HTTP/1.1 200 "), "{told}");
        let mut lines = BufReader::new(live).lines().map(Result::unwrap);
        assert!(lines.any(|line| line.contains("late")));
        true
    });
}

/// A server that had no turn for longer than it would wait finds what came meanwhile: nobody is given up for that.
#[test]
fn a_server_that_was_held_up_looks_at_what_came_before_it_gives_anybody_up() {
    const EACH: usize = 20;
    by_some_bound(|bound| {
        let started = start_within(&["BODY_TIMEOUT", "HEADER_TIMEOUT", "IDLE_TIMEOUT"], bound);
        let server = &started.server;
        let row = "{\"_msg\":\"in pieces\"}\n";
        let began = Instant::now();
        let close = "connection: close\r\n";
        let body = head("/insert/jsonline", &format!("{close}transfer-encoding: chunked\r\n"));
        let mut bodies: Vec<_> = (0..EACH).map(|_| connect(server)).collect();
        let is_begun = bodies.iter_mut().all(|stream| stream.write_all(body.as_bytes()).is_ok());
        let mut over_http2: Vec<_> = (0..EACH).map(|_| connect(server)).collect();
        let begin = [frames::PREFACE, &frames::post(1, "/insert/jsonline", KEY)].concat();
        let is_begun = is_begun && over_http2.iter_mut().all(|stream| stream.write_all(&begin).is_ok());
        let mut heads: Vec<_> = (0..EACH).map(|_| connect(server)).collect();
        let is_answered = |stream: &mut TcpStream| {
            stream.write_all(HEALTH).is_ok() && stream.read(&mut [0; 4_096]).is_ok_and(|len| len > 0)
        };
        if !is_begun || !heads.iter_mut().all(is_answered) {
            return false;
        }
        server.signal("STOP");
        let is_in_time = began.elapsed() < bound;
        for stream in &mut bodies {
            let pieces: String = row.chars().map(|piece| format!("1\r\n{piece}\r\n")).collect();
            stream.write_all(format!("{pieces}0\r\n\r\n").as_bytes()).unwrap();
        }
        for stream in &mut over_http2 {
            let pieces: Vec<u8> = row.bytes().flat_map(|piece| frames::frame(0, 0, 1, &[piece])).collect();
            stream.write_all(&[pieces, frames::frame(0, 1, 1, &[])].concat()).unwrap();
        }
        for stream in &mut heads {
            stream.write_all(&[&HEALTH[..HEALTH.len() - 2], close.as_bytes(), b"\r\n"].concat()).unwrap();
        }
        std::thread::sleep(bound * 2);
        server.signal("CONT");
        if !is_in_time {
            return false;
        }
        for (at, stream) in bodies.iter_mut().enumerate() {
            let told = rest(stream);
            assert!(told.starts_with("HTTP/1.1 200 ") && told.contains("\"ingested\":1"), "body {at}: {told}");
        }
        for (at, stream) in over_http2.iter_mut().enumerate() {
            let (status, told) = frames::read_answer(stream, 1);
            assert!(status == Some(200) && told.contains("\"ingested\":1"), "HTTP/2 {at}: {status:?} {told}");
        }
        for (at, stream) in heads.iter_mut().enumerate() {
            let told = rest(stream);
            assert!(told.contains("HTTP/1.1 200 "), "head {at}: {told}");
        }
        true
    });
}

#[test]
fn slow_bodies_without_a_key_take_no_places_from_others() {
    let started = start(&[("MAX_REQUESTS", "4")]);
    let server = &started.server;
    let mut slow: Vec<_> = (0..20).map(|_| connect(server)).collect();
    for stream in &mut slow {
        stream.write_all(b"POST /insert/jsonline HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{").unwrap();
    }
    // They are refused, and still read on in.
    until("all have asked", || under_way(server) >= 20);
    assert_eq!(server.get("/api/v1/logs/services").status, 200);
}
