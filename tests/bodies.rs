//! Bodies as they are sent: compressed in every way that is read, cut off, too large once they are decompressed.
use crate::harness::{Answer, KEY, Server, until};
use flate2::{Compress, Compression, FlushCompress};
use serde_json::json;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const ONE: &str = "/api/v1/logs/ingest";
const BATCH: &str = "/api/v1/logs/ingest/batch";
const LINES: &str = "/insert/jsonline";
const MIB: usize = 1 << 20;

/// Compressed as this Content-Encoding says; `raw` is deflate without a header.
fn compressed(encoding: &str, text: &[u8]) -> Vec<u8> {
    let mut compress = match encoding {
        "identity" => return text.to_vec(),
        "zstd" => return zstd::bulk::compress(text, 3).unwrap(),
        "gzip" | "x-gzip" => Compress::new_gzip(Compression::best(), 15),
        _ => Compress::new(Compression::best(), encoding != "raw"),
    };
    let mut out = Vec::with_capacity(text.len() + 1_024);
    compress.compress_vec(text, &mut out, FlushCompress::Finish).unwrap();
    out
}

fn post(server: &Server, path: &str, encoding: &str, body: &[u8]) -> Answer {
    let name = if encoding == "raw" { "deflate" } else { encoding };
    server.try_post(path, body, &[("content-encoding", name)]).unwrap()
}

/// The most memory that a process ever had, in bytes.
fn peak(server: &Server) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_ascii_whitespace().next().unwrap().parse::<usize>().unwrap() * 1_024
}

#[test]
fn compressed_bodies_are_read_on_every_way_in() {
    let server = Server::start();
    for (n, encoding) in ["identity", "gzip", "x-gzip", "deflate", "raw", "zstd"].into_iter().enumerate() {
        let log = json!({"service_name": "enc", "level": "INFO", "message": format!("by {encoding}")}).to_string();
        let answer = post(&server, ONE, encoding, &compressed(encoding, log.as_bytes()));
        assert_eq!(answer.status, 200, "{encoding}: {}", answer.text);
        let batch = format!("{{\"logs\":[{log},{log}]}}");
        assert_eq!(post(&server, BATCH, encoding, &compressed(encoding, batch.as_bytes())).json()["ingested"], 2);
        let mut lines = String::new();
        for line in 0..30_000 {
            writeln!(lines, r#"{{"_msg":"line {line} by {encoding}","service_name":"lines","n":{line}}}"#).unwrap();
        }
        let answer = post(&server, LINES, encoding, &compressed(encoding, lines.as_bytes()));
        assert_eq!(answer.json(), json!({"ingested": 30_000, "rejected": 0, "errors": []}), "{encoding}");
        assert_eq!(server.get("/api/v1/admin/storage").json()["rows"], 30_003 * (n + 1));
    }
    // A configuration can be compressed, too.
    let config = compressed("gzip", br#"{"ttl_days":3}"#);
    let put = server.put_with("/api/v1/logs/config/enc", &config, &[("content-encoding", "gzip")]);
    assert_eq!(put.json()["config"]["ttl_days"], 3);
}

#[test]
fn what_cannot_be_decompressed_is_refused() {
    let server = Server::start();
    let log = br#"{"service_name":"a","level":"INFO","message":"m","_msg":"m"}"#;
    for path in [ONE, BATCH, LINES] {
        for encoding in ["br", "gzip, zstd", "gzip,gzip", "aws-chunked"] {
            let answer = post(&server, path, encoding, log);
            assert_eq!(answer.status, 415, "{path} {encoding}");
            assert!(answer.json()["error"].as_str().unwrap().contains("use one of gzip, zstd, deflate"));
        }
        for encoding in ["gzip", "deflate", "zstd"] {
            let answer = post(&server, path, encoding, log);
            assert_eq!(answer.status, 400, "{path} {encoding}: {}", answer.text);
            let whole = compressed(encoding, log);
            let answer = post(&server, path, encoding, &whole[..whole.len() - 3]);
            assert_eq!(answer.status, 400, "{path} {encoding}: {}", answer.text);
            assert!(answer.json()["error"].as_str().unwrap().contains("cut off"), "{}", answer.text);
        }
    }
    assert_eq!(server.get("/api/v1/admin/storage").json()["rows"], 0);
    // What came before the fault is stored, and the answer says how much.
    let mut lines = compressed("gzip", "{\"_msg\":\"a\"}\n{\"_msg\":\"b\"}\n".repeat(10).as_bytes());
    lines.extend_from_slice(b"rubbish behind the end");
    let answer = post(&server, LINES, "gzip", &lines);
    assert_eq!((answer.status, &answer.json()["ingested"]), (400, &json!(20)), "{}", answer.text);
    assert_eq!(server.get("/api/v1/admin/storage").json()["rows"], 20);
}

/// One answer, head and body, from a connection that may stay open.
fn read_answer(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    loop {
        let mut piece = [0; 4_096];
        let count = stream.read(&mut piece).unwrap();
        assert!(count > 0, "closed after {:?}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&piece[..count]);
        let text = String::from_utf8_lossy(&answer);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let len = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        if body.len() == len.parse::<usize>().unwrap() {
            return text.into_owned();
        }
    }
}

#[test]
fn who_is_refused_before_its_body_comes_keeps_its_connection() {
    let server = Server::start();
    let key = format!("authorization: Bearer {KEY}\r\n");
    let br = format!("{key}content-encoding: br\r\n");
    let (log, large) = (r#"{"service_name":"a","level":"INFO","message":"m"}"#.to_owned(), " ".repeat(65 * MIB / 2));
    let chunked = format!("{:x}\r\n{large}\r\n{:x}\r\n{large}\r\n0\r\n\r\n", large.len(), large.len());
    for (path, more, body, status) in [
        (ONE, "", &log, 401),
        (LINES, &br, &log, 415),
        (BATCH, &br, &log, 415),
        ("/no/such/route", &key, &log, 404),
        ("/api/v1/logs/search", &key, &log, 405),
        (ONE, &format!("{key}transfer-encoding: chunked\r\n"), &chunked, 413),
    ] {
        let mut stream = TcpStream::connect(server.address.strip_prefix("http://").unwrap()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let len = if more.contains("chunked") { String::new() } else { format!("content-length: {}\r\n", body.len()) };
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\n{more}{len}\r\n");
        for again in 0..2 {
            stream.write_all(head.as_bytes()).unwrap();
            // Long enough that whoever does not wait for the body has answered.
            std::thread::sleep(Duration::from_millis(100));
            stream.write_all(body.as_bytes()).unwrap();
            let answer = read_answer(&mut stream);
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path} {again}: {answer}");
            assert!(!answer.contains("connection: close"), "{path} {again}: {answer}");
        }
    }
}

#[test]
fn who_asks_before_it_sends_is_refused_at_once_and_disconnected() {
    let server = Server::start();
    let announced = format!("content-length: {}\r\n", 65 * MIB);
    for (key, more, status) in [
        (None, "content-length: 10\r\nexpect: 100-continue\r\n", 401),
        (None, announced.as_str(), 401),
        (Some(KEY), announced.as_str(), 413),
    ] {
        let mut stream = TcpStream::connect(server.address.strip_prefix("http://").unwrap()).unwrap();
        let key = key.map_or_else(String::new, |key| format!("authorization: Bearer {key}\r\n"));
        stream.write_all(format!("POST {ONE} HTTP/1.1\r\nhost: x\r\n{key}{more}\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
    }
}

/// 10 GiB of blanks in 10 MiB and less: the same 64 MiB again and again, in frames where they may follow each other, and else in blocks
/// that look at nothing before them.
fn bomb(encoding: &str) -> Vec<u8> {
    const TIMES: usize = 160;
    let blanks = vec![b' '; 64 * MIB];
    if !matches!(encoding, "deflate" | "raw") {
        return compressed(encoding, &blanks).repeat(TIMES);
    }
    let mut compress = Compress::new(Compression::best(), false);
    let mut blocks = Vec::with_capacity(MIB);
    compress.compress_vec(&blanks, &mut blocks, FlushCompress::Full).unwrap();
    assert!(blocks.ends_with(&[0, 0, 0xff, 0xff]), "not all is there");
    let head: &[u8] = if encoding == "deflate" { &[0x78, 0xda] } else { &[] };
    // Its end is of no account: nobody gets there.
    [head, &blocks.repeat(TIMES)].concat()
}

#[test]
fn bombs_are_refused_and_take_no_memory() {
    let server = Server::start();
    for encoding in ["zstd", "gzip", "deflate", "raw"] {
        let bomb = bomb(encoding);
        let before = peak(&server);
        for path in [ONE, BATCH, LINES] {
            let answer = post(&server, path, encoding, &bomb);
            assert_eq!(answer.status, 413, "{path} {encoding}: {}", answer.text);
        }
        let grown = peak(&server).saturating_sub(before);
        // A whole body of 64 MiB is within its bounds.
        assert!(grown < 80 * MIB, "{encoding}: {grown} bytes more");
    }
    assert_eq!(server.get("/api/v1/admin/storage").json()["rows"], 0);
}

#[test]
fn what_becomes_a_byte_too_much_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start_with(data.path(), |command| {
        command.env("LOGYARD_ADMIN_KEY", KEY).env("LOGYARD_SERVER_MAX_BODY", "1MiB");
    });
    let log = r#"{"service_name":"a","level":"INFO","message":"m"}"#;
    for encoding in ["identity", "gzip", "x-gzip", "deflate", "raw", "zstd"] {
        for (path, body) in [(ONE, log.to_owned()), (BATCH, format!("{{\"logs\":[{log}]}}"))] {
            for (len, status) in [(MIB, 200), (MIB + 1, 413)] {
                let padded = format!("{body}{}", " ".repeat(len - body.len()));
                let answer = post(&server, path, encoding, &compressed(encoding, padded.as_bytes()));
                assert_eq!(answer.status, status, "{path} {encoding} {len}: {}", answer.text);
            }
        }
    }
    assert_eq!(server.get("/api/v1/admin/storage").json()["rows"], 12);
}

#[test]
fn a_window_that_is_too_large_is_refused() {
    let server = Server::start();
    let packed = |window: u32| {
        let mut encoder = zstd::stream::Encoder::new(Vec::new(), 3).unwrap();
        encoder.window_log(window).unwrap();
        // With it, a short text would need no window at all.
        encoder.include_contentsize(false).unwrap();
        encoder.write_all(br#"{"service_name":"a","level":"INFO","message":"m"}"#).unwrap();
        encoder.finish().unwrap()
    };
    for (window, status) in [(23, 200), (24, 400), (27, 400)] {
        let answer = post(&server, ONE, "zstd", &packed(window));
        assert_eq!(answer.status, status, "{window}: {}", answer.text);
        assert_eq!(post(&server, LINES, "zstd", &packed(window)).status, status, "{window}");
    }
    assert_eq!(server.get("/api/v1/admin/storage").json()["rows"], 2);
}

/// Sends so many MiB in chunks of one, until the server closes; the status and what else it says.
fn send_chunks(server: &Server, path: &str, mebibytes: usize) -> String {
    let mut stream = TcpStream::connect(server.address.strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {KEY}\r\n");
    stream.write_all(format!("{head}transfer-encoding: chunked\r\n\r\n").as_bytes()).unwrap();
    let chunk = [format!("{MIB:x}\r\n").as_bytes(), &vec![b'x'; MIB], b"\r\n"].concat();
    let is_sent = (0..mebibytes).all(|_| stream.write_all(&chunk).is_ok()) && stream.write_all(b"0\r\n\r\n").is_ok();
    let mut answer = Vec::new();
    // What was on its way when the server closed can take the answer with it.
    let is_read = stream.read_to_end(&mut answer).is_ok();
    assert!(is_read || !is_sent);
    String::from_utf8(answer).unwrap()
}

/// Has so many MiB refused by each way in, and looks what that takes of a server that has done nothing else.
fn refuse_chunks(mebibytes: usize) {
    for path in [ONE, BATCH, LINES] {
        let server = Server::start();
        let before = peak(&server);
        let answer = send_chunks(&server, path, mebibytes);
        match path {
            // As one line it is passed over, and the request goes on.
            LINES => assert!(answer.contains(r#""ingested":0,"rejected":1"#), "{answer}"),
            _ => assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 413 "), "{path}: {answer}"),
        }
        let grown = peak(&server).saturating_sub(before);
        // What may be kept of a whole body, and what is beside it.
        assert!(grown < (64 + 64) * MIB, "{path}: {grown} bytes more");
        assert_eq!(server.get("/api/v1/admin/storage").json()["rows"], 0);
    }
}

#[test]
fn what_comes_in_chunks_without_end_is_refused_and_takes_little_memory() {
    refuse_chunks(256);
}

#[test]
#[ignore = "takes some seconds: 1 GiB by each way in"]
fn a_gibibyte_in_chunks_is_refused_and_takes_little_memory() {
    refuse_chunks(1_024);
}

/// A server that has so much memory for bodies.
fn server_with(memory: &str) -> (Server, tempfile::TempDir) {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start_with(data.path(), |command| {
        command.env("LOGYARD_ADMIN_KEY", KEY).env("LOGYARD_SERVER_MAX_BODIES_MEMORY", memory);
    });
    (server, data)
}

#[test]
fn what_a_line_becomes_is_counted() {
    let (server, _data) = server_with("4MiB");
    let line = format!("{{\"_msg\":\"{}\"}}\n", "x".repeat(10 * MIB));
    for encoding in ["gzip", "zstd", "identity"] {
        let body = compressed(encoding, format!("{{\"_msg\":\"short\"}}\n{line}").as_bytes());
        let answer = post(&server, LINES, encoding, &body);
        assert_eq!((answer.status, &answer.json()["ingested"]), (503, &json!(1)), "{encoding}: {}", answer.text);
        let lines = "{\"_msg\":\"short\"}\n".repeat(500_000);
        let answer = post(&server, LINES, encoding, &compressed(encoding, lines.as_bytes()));
        assert_eq!((answer.status, &answer.json()["ingested"]), (200, &json!(500_000)), "{encoding}: {}", answer.text);
    }
}

#[test]
fn what_is_refused_says_what_is_stored_by_then() {
    let (server, _data) = server_with("4MiB");
    let wanted = json!({"name": "of a test", "scopes": ["ingest"], "services": ["own"]});
    let key = crate::access::make(&server, &wanted).1;
    let line = "{\"_msg\":\"m\",\"service_name\":\"other\"}\n";
    // There is no room for the long line once the others are on their way into the engine, where they are refused.
    let answer = server.post_as(&key, LINES, format!("{}{}", line.repeat(10), "x".repeat(10 * MIB)));
    assert_eq!((answer.status, &answer.json()["ingested"]), (403, &json!(0)), "{}", answer.text);
}

/// Lines without an end, as they are asked for; the second half once some of the first were seen.
struct Endless {
    line: Vec<u8>,
    at: usize,
    left: usize,
    half: usize,
    is_seen: Arc<AtomicBool>,
}

impl Read for Endless {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        if self.left <= self.half {
            until("some of it is seen", || self.is_seen.load(Ordering::SeqCst));
        }
        let rest = &self.line[self.at..];
        let count = rest.len().min(out.len()).min(self.left);
        out[..count].copy_from_slice(&rest[..count]);
        self.at = (self.at + count) % self.line.len();
        self.left -= count;
        Ok(count)
    }
}

#[test]
fn a_stream_is_searchable_while_it_runs_and_takes_little_memory() {
    stream(100_000_000);
}

#[test]
#[ignore = "takes minutes: 10 GB on one connection, with LOGYARD_STREAM_BYTES set to 10000000000"]
fn an_endless_stream_is_searchable_while_it_runs_and_takes_little_memory() {
    stream(std::env::var("LOGYARD_STREAM_BYTES").ok().and_then(|n| n.parse().ok()).unwrap_or(300_000_000));
}

/// Sends so many bytes on one connection, and looks meanwhile.
fn stream(bytes: usize) {
    let server = Server::start();
    let line = format!(
        "{{\"_msg\":\"request served in 15 ms\",\"service_name\":\"web\",\"pad\":\"{}\"}}\n",
        "x y ".repeat(200)
    );
    let left = bytes / line.len() * line.len();
    let count = left / line.len();
    let is_seen = Arc::new(AtomicBool::new(false));
    let body = Endless { line: line.into_bytes(), at: 0, left, half: left / 2, is_seen: Arc::clone(&is_seen) };
    std::thread::scope(|scope| {
        let sending = scope.spawn(|| server.stream(LINES, body));
        while !sending.is_finished() {
            let rows = server.get("/api/v1/admin/storage").json()["rows"].as_u64().unwrap() as usize;
            assert!(rows <= count);
            is_seen.fetch_or(rows > 0 && rows < count, Ordering::SeqCst);
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        assert_eq!(sending.join().unwrap().json()["ingested"], count);
    });
    assert!(is_seen.load(Ordering::SeqCst), "nothing was seen while it ran");
    assert!(peak(&server) < 450_000_000, "{} bytes", peak(&server));
}
