//! Queries that mean harm: each ends with an answer or is refused, others are answered beside them, and the memory of the
//! server stays bounded. And what bounds them: turns, memory, time, and clients that go or do not read.
mod queries;

use crate::harness::{Answer, KEY, Server, encoded};
use queries::{Hostile, hostile_queries};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Rows that are asked.
const ROWS: usize = 12_000;
/// Clients that mean harm.
const CLIENTS: usize = 5;
/// What the server may have taken at the end, whatever it was asked: queries 256 MiB, rows and caches, and much more.
const HIGH_WATER_KIB: u64 = 1 << 20;

pub(crate) struct Started {
    pub(crate) server: Server,
    _directory: tempfile::TempDir,
}

/// A server with some settings and rows, half of them sealed.
pub(crate) fn filled(settings: &[(&str, &str)], rows: usize) -> Started {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start_with(directory.path(), |command| {
        command.env("LOGYARD_ADMIN_KEY", KEY);
        for (name, value) in settings {
            command.env(name, value);
        }
    });
    for half in 0..2 {
        let lines: String = (half * rows / 2..(half + 1) * rows / 2).map(|at| row(at).to_string() + "\n").collect();
        let answer = server.post("/insert/jsonline", lines);
        assert_eq!(answer.status, 200, "{}", answer.text);
        if half == 0 {
            assert_eq!(server.post("/api/v1/admin/seal", "").status, 200);
        }
    }
    Started { server, _directory: directory }
}

fn row(at: usize) -> Value {
    let mixed = (at as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let service = ["web", "db", "mail"][at % 3];
    let mut row = json!({
        "_time": format!("2026-05-01T{:02}:{:02}:{:02}Z", at / 3_600 % 24, at / 60 % 60, at % 60),
        "_msg": format!("request {at} of 10.0.{}.{} took {} ms, path=/v1/items/{mixed:x} ok", at % 256, at % 7, at % 911),
        "service_name": service,
        "k": "1",
        "id": format!("{mixed:016x}"),
        "n": at,
        "ratio": format!("{}.5", at % 97),
        "list": [at, {"a": null}, "x y"],
        "took": {"ms": at % 911, "of": {"db": at % 13}},
    });
    if at.is_multiple_of(1_500) {
        row["big"] = Value::String(format!("{at} {}", "long words and 1 ".repeat(6_000)));
    }
    row
}

/// How a query ended.
struct Ended {
    status: u16,
    /// The first of its answer.
    text: String,
    /// Whether its answer broke off.
    broke_off: bool,
}

fn ask(server: &Server, form: &[u8]) -> Ended {
    let mut stream = send(server, form);
    let mut answer = Vec::new();
    let mut piece = vec![0; 1 << 16];
    let mut last = Vec::new();
    loop {
        let len = stream.read(&mut piece).expect("a query ends");
        if len == 0 {
            break;
        }
        last.extend_from_slice(&piece[..len]);
        last.drain(..last.len().saturating_sub(8));
        answer.extend_from_slice(&piece[..len]);
        answer.truncate(4_096);
    }
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status = text.get(9..12).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("no answer: {text}"));
    let is_chunked = text.to_ascii_lowercase().contains("transfer-encoding: chunked");
    Ended { status, broke_off: is_chunked && !last.ends_with(b"0\r\n\r\n"), text }
}

pub(crate) fn send(server: &Server, form: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(server.address.strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
    let head = format!(
        "POST /select/logsql/query HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        form.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    // One that is refused at once is not read to its end.
    let _may_be_refused = stream.write_all(form);
    stream
}

pub(crate) fn form(query: &str) -> Vec<u8> {
    format!("query={}", encoded(query)).into_bytes()
}

fn high_water_kib(server: &Server) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Asks all of some queries by several clients, an ordinary query beside them.
fn stand(hostile: &[Hostile]) {
    let settings = [
        ("LOGYARD_QUERY_MAX_MEMORY", "64MiB"),
        ("LOGYARD_QUERY_MAX_TOTAL_MEMORY", "256MiB"),
        ("LOGYARD_QUERY_MAX_DURATION", "1s"),
        ("LOGYARD_QUERY_MAX_CONCURRENT", "8"),
        ("LOGYARD_QUERY_MAX_WAIT", "60s"),
    ];
    let started = filled(&settings, ROWS);
    let server = &started.server;
    let (next, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let told = Mutex::new(Vec::new());
    let ordinary = form("took service_name:web | stats by (service_name) count() n");
    let beside = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                scope.spawn(|| {
                    while let Some(query) = hostile.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let from = Instant::now();
                        let ended = ask(server, &query.form);
                        told.lock().unwrap().push((query.kind, from.elapsed(), ended));
                    }
                })
            })
            .collect();
        let beside = scope.spawn(|| {
            let (mut answered, mut late) = (0, 0);
            while !is_over.load(Ordering::Relaxed) {
                let ended = ask(server, &ordinary);
                // On a machine that is busy enough it takes longer than it may, and is told so.
                if ended.status == 503 && ended.text.contains("1000 ms") {
                    late += 1;
                    continue;
                }
                assert!(ended.status == 200 && !ended.broke_off, "an ordinary query: {}", ended.text);
                assert!(ended.text.contains(&format!("\"n\":\"{}\"", ROWS / 3)), "{}", ended.text);
                answered += 1;
                std::thread::sleep(Duration::from_millis(20));
            }
            (answered, late)
        });
        let ended: Vec<_> = clients.into_iter().map(|client| client.join()).collect();
        is_over.store(true, Ordering::Relaxed);
        ended.into_iter().for_each(|ended| ended.unwrap());
        beside.join().unwrap()
    });
    let mut told = told.into_inner().unwrap();
    told.sort_by_key(|(_, took, _)| std::cmp::Reverse(*took));
    let mut outcomes = BTreeMap::new();
    for (kind, took, ended) in &told {
        *outcomes.entry((ended.status, ended.broke_off)).or_insert(0) += 1;
        let is_well = match ended.status {
            200 => true,
            400 | 413 | 422 | 429 | 503 => ended.text.contains("{\"error\":\""),
            _ => false,
        };
        assert!(is_well, "{kind} after {took:?}: {}", ended.text);
        if ended.status == 503 {
            assert!(["1000 ms", "total_memory"].iter().any(|said| ended.text.contains(said)), "{kind}: {}", ended.text);
        }
    }
    for (kind, took, ended) in &told {
        println!("{took:>10.1?} {}{} {kind}", ended.status, if ended.broke_off { ", broke off" } else { "" });
    }
    let high_water = high_water_kib(server);
    println!(
        "{} queries: {outcomes:?} (status, broke off); {beside:?} beside (answered, late); VmHWM {high_water:?} KiB",
        told.len()
    );
    assert_eq!(told.len(), hostile.len());
    assert!(beside.0 > 0);
    // Where the system tells.
    assert!(high_water.is_none_or(|kib| kib < HIGH_WATER_KIB), "{high_water:?} KiB");
    let stays = ask(server, &form("* | count() n"));
    assert!(stays.text.contains(&format!("\"n\":\"{ROWS}\"")), "{}", stays.text);
}

#[test]
fn queries_that_mean_harm_end_within_their_bounds() {
    // One of each kind.
    stand(&hostile_queries(1, 1));
}

#[test]
#[ignore = "takes minutes"]
fn queries_that_mean_harm_in_full() {
    let number = |name: &str| std::env::var(name).ok().map(|value| value.parse::<u64>().unwrap());
    let queries = hostile_queries(number("LOGYARD_SEED").unwrap_or(7), number("LOGYARD_HOSTILE").unwrap_or(4) as usize);
    assert!(queries.len() >= 500, "{}", queries.len());
    stand(&queries);
}

/// Rows multiplied by themselves, and nothing to see of it.
pub(crate) const SLOW: &str = "* | join by (k) (* | fields k, n) | join by (k) (* | fields k, n) | count() n";

/// Asks again until an answer has a status.
fn until(server: &Server, query: &str, status: u16) -> Answer {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let answer = server.post("/select/logsql/query", form(query));
        if answer.status == status {
            return answer;
        }
        assert!(Instant::now() < until, "{} instead of {status}: {}", answer.status, answer.text);
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_query_waits_for_its_turn_and_ends_when_its_client_goes() {
    let settings =
        [("LOGYARD_QUERY_MAX_CONCURRENT", "1"), ("LOGYARD_QUERY_MAX_WAIT", "1s"), ("LOGYARD_QUERY_MAX_DURATION", "1h")];
    let started = filled(&settings, 4_000);
    let slow = send(&started.server, &form(SLOW));
    let refused = until(&started.server, "*", 429);
    assert!(refused.header("retry-after").is_some());
    let error = refused.json()["error"].as_str().unwrap().to_owned();
    assert!(error.contains("1 queries") && error.contains("LOGYARD_QUERY_MAX_CONCURRENT"), "{error}");
    // Searches of the API take turns with queries.
    for path in ["/api/v1/logs/search?q=took", "/api/v1/logs/recent/s", "/api/v1/logs/stats/s"] {
        let refused = started.server.get(path);
        assert_eq!((refused.status, refused.header("retry-after").is_some()), (429, true), "{path}: {}", refused.text);
    }
    drop(slow);
    let answer = until(&started.server, "* | count() n", 200);
    assert_eq!(answer.json(), json!({"n": "4000"}));
    assert_eq!(started.server.get("/api/v1/logs/search?q=took").status, 200);
}

#[test]
fn a_client_that_does_not_read_holds_its_turn_no_longer_than_a_query_may_take() {
    let settings = [
        ("LOGYARD_QUERY_MAX_CONCURRENT", "1"),
        ("LOGYARD_QUERY_MAX_WAIT", "50ms"),
        ("LOGYARD_QUERY_MAX_DURATION", "3s"),
    ];
    let started = filled(&settings, 4_000);
    let everything = send(&started.server, &form(&format!("*{}", " | union (*)".repeat(200))));
    crate::harness::until("it has its turn", || {
        started.server.get("/metrics").text.contains("\nlogyard_queries_running 1\n")
    });
    until(&started.server, "*", 429);
    let answer = until(&started.server, "* | count() n", 200);
    assert_eq!(answer.json(), json!({"n": "4000"}));
    drop(everything);
}

#[test]
fn a_query_says_which_bound_it_hit_and_how_to_raise_it() {
    const MEMORY: (&str, &str) = ("LOGYARD_QUERY_MAX_MEMORY", "1MiB");
    const TIME: (&str, &str) = ("LOGYARD_QUERY_MAX_DURATION", "1s");
    for (bound, query, status) in [
        (MEMORY, "* | sort by (_msg) | count()", 422),
        (MEMORY, &*format!("{}a", "a or ".repeat(50_000)), 422),
        (TIME, "* | join by (k) (* | limit 2000 | fields k) | join by (k) (* | limit 2000 | fields k) | count()", 503),
    ] {
        let started = filled(&[bound], 4_000);
        let answer = started.server.post("/select/logsql/query", form(query));
        assert_eq!(answer.status, status, "{}", answer.text);
        let error = answer.json()["error"].as_str().unwrap().to_owned();
        assert!(error.contains(bound.0), "{error}");
        assert_eq!(answer.header("retry-after").is_some(), status == 503);
    }
}

#[test]
fn a_search_ends_with_the_time_that_a_query_may_take() {
    let started = filled(&[("LOGYARD_QUERY_MAX_DURATION", "1ms")], 60_000);
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let answer = started.server.get("/api/v1/logs/search?q=took&order=relevance&limit=1000");
        if answer.status == 503 {
            assert!(answer.text.contains("LOGYARD_QUERY_MAX_DURATION"), "{}", answer.text);
            return;
        }
        assert!(answer.status == 200 && Instant::now() < until, "{}", answer.status);
    }
}
