//! Many slow clients at once, and honest ones beside them, which are answered as they are without.
use super::{GROWTH_KIB, connect, head, high_water_kib, start};
use crate::harness::{KEY, Server};
use serde_json::json;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Clients that are slow in every way, as many as that, and honest ones beside them; the open files of this process allow fewer on some
/// machines, which is said.
fn crowd(clients: usize, timeouts: &[(&str, &str)]) {
    let clients = clients.min(open_files_max() - 200);
    println!("{clients} slow clients");
    let started = start(timeouts);
    let server = &started.server;
    let rows: String =
        (0..2_000).map(|at| json!({"_msg": format!("{at} {}", "x".repeat(500))}).to_string() + "\n").collect();
    assert_eq!(server.post("/insert/jsonline", rows).status, 200);
    let before = high_water_kib(server);
    let one = |at| {
        let stream = connect(server);
        stream.set_nonblocking(true).unwrap();
        Some((stream, slow_one(at), at % 6 == READS_NOTHING))
    };
    let mut slow: Vec<_> = (0..clients).map(one).collect();
    let mut took = Vec::new();
    std::thread::scope(|scope| {
        let dripping = scope.spawn(|| {
            let since = Instant::now();
            // Those that read nothing do not see that they are given up, but the server does.
            while slow.iter().flatten().any(|(_, _, reads_nothing)| !reads_nothing) || under_way(server) > 8 {
                assert!(since.elapsed() < Duration::from_secs(300), "some are not given up");
                for place in &mut slow {
                    if place
                        .as_mut()
                        .is_some_and(|(stream, left, reads_nothing)| !is_open(stream, left, *reads_nothing))
                    {
                        *place = None;
                    }
                }
                std::thread::sleep(Duration::from_millis(200));
            }
        });
        let mut stored = 2_000;
        while !dripping.is_finished() {
            let since = Instant::now();
            let answer = server.post("/insert/jsonline", "{\"_msg\":\"honest\"}\n");
            assert_eq!(answer.status, 200, "{}", answer.text);
            stored += 1;
            let answer = server.get("/api/v1/logs/search?q=honest&limit=1");
            assert_eq!((answer.status, &answer.json()["count"]), (200, &json!(1)), "{}", answer.text);
            assert_eq!(server.get("/health").status, 200);
            took.push(since.elapsed());
        }
        dripping.join().unwrap();
        assert_eq!(server.get("/api/v1/admin/storage").json()["rows"], stored);
    });
    took.sort_unstable();
    let at = |part: usize| took[(took.len() - 1) * part / 100];
    let grown = high_water_kib(server) - before;
    println!("{} times three honest requests: p50 {:?}, p99 {:?}; {grown} KiB more", took.len(), at(50), at(99));
    // What is kept of each is 48 KiB at most, as measured with 5,000: a task, buffers, and of who does not read it an answer.
    assert!(grown < GROWTH_KIB + clients as u64 * 48, "{grown} KiB more for {clients}");
}

/// Requests that the server answers at once.
pub(super) fn under_way(server: &Server) -> u32 {
    let metrics = server.get("/metrics").text;
    let line = metrics.lines().find_map(|line| line.strip_prefix("logyard_http_requests_in_flight "));
    line.unwrap().parse().unwrap()
}

/// The kind of those whose answers wait for them.
const READS_NOTHING: usize = 5;

/// What one of them sends, byte by byte: a head, a body without a key and with one, nothing, a question whose answer it does not read.
fn slow_one(at: usize) -> Vec<u8> {
    let anonymous = "POST /api/v1/logs/ingest HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n".to_owned();
    let (begin, is_endless) = match at % 6 {
        0 => ("GET / HTTP/1.1\r\nhost: x\r\nx: ".to_owned(), true),
        1 | 2 => (anonymous, true),
        3 => (head("/insert/jsonline", "transfer-encoding: chunked\r\n") + "fffff\r\n", true),
        READS_NOTHING => (
            format!("GET /api/v1/logs/search?limit=100 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n\r\n"),
            false,
        ),
        _ => (String::new(), false),
    };
    let mut bytes = begin.into_bytes();
    bytes.extend(std::iter::repeat_n(b'a', if is_endless { 100_000 } else { 0 }));
    bytes
}

/// Sends its head at once and then a byte; whether the server has not closed it. Nothing is read but what says so.
fn is_open(stream: &mut TcpStream, left: &mut Vec<u8>, reads_nothing: bool) -> bool {
    if reads_nothing && left.is_empty() {
        return true;
    }
    let head = left.windows(4).position(|end| end == b"\r\n\r\n").map_or(1, |at| at + 4).min(left.len());
    match stream.write(&left[..head]) {
        Ok(sent) => {
            left.drain(..sent);
        }
        Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
        Err(_) => return false,
    }
    if !left.is_empty() {
        return true;
    }
    // One that has said all it says is read to see its end.
    match stream.read(&mut [0; 256]) {
        Ok(len) => len > 0,
        Err(e) => e.kind() == std::io::ErrorKind::WouldBlock,
    }
}

/// Files that this process may have open, once it has taken all that it is allowed.
fn open_files_max() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // Where it may not, the limit is what it was.
    let _is_raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    getrlimit(Resource::Nofile).current.map_or(usize::MAX, |files| files as usize)
}

#[test]
fn honest_clients_are_answered_beside_slow_ones() {
    crowd(600, &[("HEADER_TIMEOUT", "3s"), ("BODY_TIMEOUT", "3s"), ("IDLE_TIMEOUT", "3s"), ("WRITE_TIMEOUT", "3s")]);
}

#[test]
#[ignore = "takes a minute and more: 5,000 slow clients, by the server's own bounds"]
fn honest_clients_are_answered_beside_5000_slow_ones() {
    crowd(5_000, &[]);
}
