//! Requests that a proxy in front and this server could take for different ones: two ends of one body, lines that are none, sizes beyond
//! every number. Each is refused or answered as one request, and what comes behind it on its connection is answered as what it is, or not
//! at all. Every request of a case has an id of its own, so that each answer says what it answers.
mod cases;

use super::{answer, head, start};
use crate::harness::Server;
use cases::{Case, Told};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What is hidden in another request, and must never be taken for one.
const INNER: &str = "GET /health HTTP/1.1\r\nhost: x\r\nx-request-id: inner\r\n\r\n";
/// What comes behind on the same connection.
const PROBE: &str = "GET /health HTTP/1.1\r\nhost: x\r\nx-request-id: probe\r\nconnection: close\r\n\r\n";
const LINES: &str = "/insert/jsonline";
/// Clients at once.
const CLIENTS: usize = 8;

/// Every answer on a connection: its status and the id of what it answers, if it has one.
fn answers(told: &str) -> Vec<(u16, Option<&str>)> {
    let all = told.split("HTTP/1.1 ").skip(1).map(|head| {
        let id = head.lines().find_map(|line| line.strip_prefix("x-request-id: "));
        (head.get(..3).and_then(|status| status.parse().ok()).unwrap_or(0), id)
    });
    all.filter(|(status, _)| *status != 100).collect()
}

/// Puts a case, and what comes behind it.
fn put(server: &Server, case: &Case) {
    let bytes = [case.bytes.as_slice(), PROBE.as_bytes()].concat();
    let told = answer(server, &bytes).replace("HTTP/1.0 ", "HTTP/1.1 ");
    let all = answers(&told);
    let of = |id: &str| all.iter().filter(|(_, of)| *of == Some(id)).count();
    let say = format!("{:?} is {:?}: {all:?}\n{told}", case.what, case.told);
    assert!(of("inner") == 0 && of("outer") <= 1 && of("probe") <= 1, "{say}");
    let is_probe_last = all.last().is_some_and(|(_, id)| *id == Some("probe"));
    let own = all.len() - usize::from(is_probe_last);
    assert!(is_probe_last || of("probe") == 0, "{say}");
    assert!(own <= 1, "{say}");
    let status = all.first().filter(|_| own == 1).map(|(status, _)| *status);
    let is_fault = |status: u16| matches!(status, 400..=499 | 501 | 505);
    match case.told {
        Told::Refused => assert!(!is_probe_last && status.is_some_and(is_fault), "{say}"),
        Told::Answered => assert!(is_probe_last && status == Some(200), "{say}"),
        Told::One => {
            assert!(status.is_none_or(|status| status < 500 || is_fault(status)), "{say}");
            assert!(is_probe_last || status.is_some(), "nothing is answered: {say}");
        }
    }
    if is_probe_last {
        assert_eq!(all.last().map(|(status, _)| *status), Some(200), "{say}");
    }
}

#[test]
fn no_request_is_taken_for_two_or_two_for_one() {
    // What waits for more than will come ends by this; everything that comes comes at once.
    let started = start(&[("BODY_TIMEOUT", "1s")]);
    let server = &started.server;
    let cases = cases::all();
    println!("{} cases", cases.len());
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(e) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| put(server, case))) {
                        wrong.lock().unwrap().push(e.downcast_ref::<String>().cloned().unwrap_or_default());
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n---\n"));
    assert_eq!(server.get("/health").status, 200);
    // Those that are well, and nothing that was hidden.
    let rows = server.get("/api/v1/logs/search").json();
    assert_eq!(rows["count"], 4, "{rows}");
}

#[test]
fn who_says_two_ends_is_told_so() {
    let started = start(&[]);
    let both = head(LINES, "content-length: 5\r\ntransfer-encoding: chunked\r\n") + "0\r\n\r\n" + INNER;
    let told = answer(&started.server, both.as_bytes());
    assert!(told.contains("{\"error\":\"the request has Content-Length and Transfer-Encoding"), "{told}");
    assert!(told.to_ascii_lowercase().contains("x-request-id: "), "{told}");
}

#[test]
fn behind_another_request_a_head_with_two_ends_is_the_last() {
    let started = start(&[]);
    for first in ["GET /health", "GET /no/such/route", "POST /insert/jsonline"] {
        let first = format!("{first} HTTP/1.1\r\nhost: x\r\nx-request-id: first\r\n\r\n");
        let lines = "x-request-id: outer\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n";
        let both = head(LINES, lines) + "0\r\n\r\n" + INNER + PROBE;
        let told = answer(&started.server, (first + &both).as_bytes());
        let ids: Vec<_> = answers(&told).into_iter().map(|(_, id)| id).collect();
        assert!(ids == [Some("first"), Some("outer")] || ids == [Some("first"), None], "{told}");
    }
    // And one that is refused has nothing behind it.
    let wrong = format!("GET /health HTTP/1.1\r\nx : y\r\n\r\n{INNER}{PROBE}");
    assert_eq!(answers(&answer(&started.server, wrong.as_bytes())).len(), 1);
}
