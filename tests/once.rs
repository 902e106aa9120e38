//! `Idempotency-Key`: a request that is sent again counts once, whatever happened meanwhile.
use crate::harness::{Answer, KEY, Server, until};
use serde_json::json;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const ONE: &str = "/api/v1/logs/ingest";
const BATCH: &str = "/api/v1/logs/ingest/batch";
const LINES: &str = "/insert/jsonline";

fn send(server: &Server, path: &str, key: &str, body: impl AsRef<[u8]>) -> Answer {
    server.try_post(path, body.as_ref(), &[("idempotency-key", key)]).unwrap()
}

fn log(message: &str) -> String {
    json!({"service_name": "once", "level": "INFO", "message": message}).to_string()
}

fn rows(server: &Server) -> u64 {
    server.get("/api/v1/admin/storage").json()["rows"].as_u64().unwrap()
}

#[test]
fn a_repeated_log_has_the_id_that_it_was_given() {
    let data = tempfile::tempdir().unwrap();
    let mut server = Server::start_on(data.path());
    let first = send(&server, ONE, "k-1", log("first"));
    assert_eq!(first.status, 200);
    let timed = json!({"service_name": "once", "level": "INFO", "message": "timed", "timestamp": 1_763_690_000_123u64});
    let second = send(&server, ONE, "k-2", timed.to_string());
    let id = |answer: &Answer| answer.json()["id"].as_str().unwrap().to_owned();
    assert_ne!(id(&first), id(&second));
    let again = |server: &Server| {
        assert_eq!(send(server, ONE, "k-1", log("first")).text, first.text);
        let repeated = send(server, ONE, "k-2", timed.to_string());
        assert_eq!((&repeated.text, repeated.header("x-logyard-ack")), (&second.text, Some("wal")));
        let other = send(server, ONE, "k-1", log("another"));
        assert_eq!(other.status, 409, "{}", other.text);
        assert!(other.json()["error"].as_str().unwrap().contains("another body"));
        assert_eq!(rows(server), 2);
        for id in [id(&first), id(&second)] {
            assert_eq!(server.get(&format!("/api/v1/logs/{id}")).status, 200);
        }
    };
    again(&server);
    server.kill();
    let mut server = Server::start_on(data.path());
    again(&server);
    server.post("/api/v1/admin/seal", "");
    server.kill();
    again(&Server::start_on(data.path()));
}

#[test]
fn a_repeated_batch_is_answered_as_before() {
    let data = tempfile::tempdir().unwrap();
    let mut server = Server::start_on(data.path());
    let batch = format!(r#"{{"logs":[{},{{"level":"INFO"}},{}]}}"#, log("a"), log("b"));
    let first = send(&server, BATCH, "key", &batch);
    let errors = ["logs[1]: service_name is required"];
    assert_eq!(first.json(), json!({"success": true, "ingested": 2, "failed": 1, "errors": errors}));
    assert_eq!(send(&server, BATCH, "key", &batch).text, first.text);
    // The same key elsewhere is another one.
    assert_eq!(send(&server, ONE, "key", log("c")).status, 200);
    // A refused request leaves no key behind.
    assert_eq!(send(&server, BATCH, "wrong", r#"{"logs":[5]}"#).status, 400);
    assert_eq!(send(&server, BATCH, "wrong", format!(r#"{{"logs":[{}]}}"#, log("d"))).status, 200);
    server.kill();
    let server = Server::start_on(data.path());
    assert_eq!(send(&server, BATCH, "key", &batch).text, first.text);
    assert_eq!(send(&server, BATCH, "key", batch.replace("\"b\"", "\"x\"")).status, 409);
    assert_eq!(rows(&server), 4);
    for key in ["", "a b", &"k".repeat(256)] {
        assert_eq!(send(&server, BATCH, key, &batch).status, 400, "{key}");
    }
}

#[test]
fn large_batches_are_stored_once_as_a_whole() {
    let server = Server::start();
    let logs: Vec<String> = (0..300).map(|n| log(&format!("{n} {}", "x".repeat(60_000)))).collect();
    let batch = format!(r#"{{"logs":[{}]}}"#, logs.join(","));
    let first = send(&server, BATCH, "large", &batch);
    assert_eq!(first.json()["ingested"], 300, "{}", first.text);
    assert_eq!(send(&server, BATCH, "large", &batch).text, first.text);
    assert_eq!(rows(&server), 300);
}

#[test]
fn of_requests_that_come_at_once_one_is_stored() {
    let server = Server::start();
    let server = &server;
    std::thread::scope(|scope| {
        for n in 0..10 {
            let senders: Vec<_> =
                (0..6).map(|_| scope.spawn(move || send(server, ONE, &format!("at-once-{n}"), log("same")))).collect();
            let answers: Vec<Answer> = senders.into_iter().map(|sender| sender.join().unwrap()).collect();
            assert!(answers.iter().all(|answer| answer.status == 200 && answer.text == answers[0].text));
        }
    });
    assert_eq!(rows(server), 10);
}

fn lines(from: usize, to: usize) -> String {
    let mut out = String::new();
    for n in from..to {
        match n % 1_000 {
            7 => out.push_str("{\"_msg\":\n"),
            8 => out.push('\n'),
            _ => writeln!(out, r#"{{"_msg":"line {n}","service_name":"once"}}"#).unwrap(),
        }
    }
    out
}

#[test]
fn a_repeated_stream_is_answered_as_before() {
    let data = tempfile::tempdir().unwrap();
    let mut server = Server::start_on(data.path());
    let body = lines(0, 20_000);
    let first = send(&server, LINES, "stream", &body);
    assert_eq!((&first.json()["ingested"], &first.json()["rejected"]), (&json!(19_960), &json!(20)));
    let again = |server: &Server| {
        let repeated = send(server, LINES, "stream", &body);
        assert_eq!((&repeated.text, repeated.header("x-logyard-rejected")), (&first.text, Some("20")));
        for other in [lines(0, 19_999), lines(0, 20_001), lines(0, 20_000).replace("line 9999\"", "line 999x\"")] {
            assert_eq!(send(server, LINES, "stream", other).status, 409);
        }
        assert_eq!(rows(server), 19_960);
    };
    again(&server);
    server.kill();
    again(&Server::start_on(data.path()));
}

#[test]
fn a_stream_that_was_killed_goes_on_where_it_was() {
    let data = tempfile::tempdir().unwrap();
    let mut server = Server::start_on(data.path());
    let (body, sent) = (lines(0, 30_000), lines(0, 17_000));
    let mut stream = TcpStream::connect(server.address.strip_prefix("http://").unwrap()).unwrap();
    let length = body.len();
    write!(
        stream,
        "POST {LINES} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nIdempotency-Key: cut\r\nContent-Length: {length}\r\n\r\n{sent}"
    )
    .unwrap();
    let until = Instant::now() + Duration::from_secs(30);
    while rows(&server) == 0 {
        assert!(Instant::now() < until, "nothing is stored while the body comes");
        std::thread::sleep(Duration::from_millis(20));
    }
    server.kill();
    let mut answer = String::new();
    // Whatever it says, it was cut.
    let _cut = stream.read_to_string(&mut answer);
    let server = Server::start_on(data.path());
    let stored = rows(&server);
    assert!(stored > 0 && stored < 29_940, "{stored}");
    // Another beginning is refused before anything of it is stored.
    let other = lines(0, 30_000).replacen("line 0\"", "line 0x\"", 1);
    assert_eq!(send(&server, LINES, "cut", &other).status, 409);
    assert_eq!(rows(&server), stored);
    let whole = send(&server, LINES, "cut", &body);
    assert_eq!((&whole.json()["ingested"], &whole.json()["rejected"]), (&json!(29_940), &json!(30)), "{}", whole.text);
    assert_eq!(rows(&server), 29_940);
    assert_eq!(send(&server, LINES, "cut", &body).text, whole.text);
}

#[test]
fn what_a_key_remembers_of_reasons_is_bounded() {
    const BYTES_MAX: usize = 2 << 10;
    let server = Server::start();
    let wrong = r#"{"service_name":"once","level":"INFO","message":"m","timestamp":"\u0001"}"#;
    let batch = format!(r#"{{"logs":[{}{}]}}"#, log("right"), format!(",{wrong}").repeat(300));
    let names = format!("{LINES}?_time_field={}", "t".repeat(290));
    let lines = format!("{{\"_msg\":\"right\"}}\n{}", format!("{{\"{}\":\"noon\"}}\n", "t".repeat(290)).repeat(300));
    for (path, body, failed) in [(BATCH, batch, "failed"), (&*names, lines, "rejected")] {
        let first = send(&server, path, "reasons", &body);
        assert_eq!((&first.json()["ingested"], &first.json()[failed]), (&json!(1), &json!(300)), "{}", first.text);
        let reasons = first.json()["errors"].clone();
        let bytes: usize = reasons.as_array().unwrap().iter().map(|reason| reason.to_string().len()).sum();
        assert!((BYTES_MAX / 2..=BYTES_MAX).contains(&bytes), "{bytes}");
        assert_eq!(send(&server, path, "reasons", &body).text, first.text);
        // Nobody has to remember these.
        let all = server.post(path, &body).json()["errors"].as_array().unwrap().len();
        assert!(all > reasons.as_array().unwrap().len());
    }
}

#[test]
fn a_refused_stream_gives_its_key_back_while_its_body_still_comes() {
    let server = Server::start();
    let lines = "{\"_msg\":\"a\"}\n".repeat(10);
    let mut compress = flate2::Compress::new_gzip(flate2::Compression::fast(), 15);
    let mut sent = Vec::with_capacity(1_024);
    compress.compress_vec(lines.as_bytes(), &mut sent, flate2::FlushCompress::Finish).unwrap();
    sent.resize(200_000, b'x');
    let rest = vec![b'x'; 100_000];
    let mut refused = TcpStream::connect(server.address.strip_prefix("http://").unwrap()).unwrap();
    let length = sent.len() + rest.len();
    write!(
        refused,
        "POST {LINES} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nIdempotency-Key: given\r\n\
         Content-Encoding: gzip\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    )
    .unwrap();
    refused.write_all(&sent).unwrap();
    until("the lines before the fault are stored", || rows(&server) == 10);
    let other = send(&server, LINES, "given", format!("{lines}{{\"_msg\":\"b\"}}\n"));
    assert_eq!((other.status, &other.json()["ingested"]), (200, &json!(11)), "{}", other.text);
    refused.set_nonblocking(true).unwrap();
    let answered = refused.peek(&mut [0]).map_err(|e| e.kind());
    assert_eq!(answered.unwrap_err(), std::io::ErrorKind::WouldBlock, "it was answered before its body had come");
    refused.set_nonblocking(false).unwrap();
    refused.write_all(&rest).unwrap();
    let mut answer = String::new();
    refused.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("\"ingested\":10"), "{answer}");
    assert_eq!(rows(&server), 11);
}

#[test]
fn a_stream_that_ends_within_an_overlong_line_can_be_sent_again() {
    let server = Server::start();
    let body = format!("{{\"_msg\":\"first\"}}\n{}\n{{\"_msg\":\"last\"}}\n", "x".repeat(17 << 20));
    let mut compress = flate2::Compress::new_gzip(flate2::Compression::best(), 15);
    let mut whole = Vec::with_capacity(body.len());
    compress.compress_vec(body.as_bytes(), &mut whole, flate2::FlushCompress::Finish).unwrap();
    let headers = [("idempotency-key", "overlong"), ("content-encoding", "gzip")];
    // Cut off in the middle of the long line.
    let cut = server.try_post(LINES, &whole[..whole.len() - 100], &headers).unwrap();
    assert_eq!((cut.status, &cut.json()["ingested"]), (400, &json!(1)), "{}", cut.text);
    let again = server.try_post(LINES, &whole, &headers).unwrap();
    assert_eq!(again.status, 200, "{}", again.text);
    assert_eq!((&again.json()["ingested"], &again.json()["rejected"]), (&json!(2), &json!(1)));
    assert_eq!(rows(&server), 2);
}

#[test]
fn keys_count_once_under_load_and_kills() {
    let data = tempfile::tempdir().unwrap();
    let mut sent = 0;
    for round in 0..2 {
        let mut server = Server::start_on(data.path());
        std::thread::scope(|scope| {
            let shared = &server;
            for thread in 0..4 {
                scope.spawn(move || {
                    for n in 0..10_000 {
                        let key = format!("{thread}-{round}-{n}");
                        if shared.try_post(ONE, log(&key).as_bytes(), &[("idempotency-key", &key)]).is_err() {
                            return;
                        }
                    }
                });
            }
            let until = Instant::now() + Duration::from_secs(30);
            while rows(shared) < sent + 20 {
                assert!(Instant::now() < until, "nothing is stored");
                std::thread::sleep(Duration::from_millis(5));
            }
            shared.signal("KILL");
        });
        server.wait();
        // Each is sent again, those that were answered and those that were not.
        let server = Server::start_on(data.path());
        let stored = rows(&server) - sent;
        let mut fresh = 0;
        for thread in 0..4 {
            for n in 0.. {
                let (before, key) = (rows(&server), format!("{thread}-{round}-{n}"));
                assert_eq!(send(&server, ONE, &key, log(&key)).status, 200);
                sent += 1;
                fresh += rows(&server) - before;
                if rows(&server) > before {
                    break;
                }
            }
        }
        // One new of each thread, and nothing twice.
        assert_eq!((fresh, sent, rows(&server)), (4, rows(&server), sent));
        assert!(stored >= 20);
    }
}
