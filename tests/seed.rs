//! The Python client that services had before: it works unchanged but for the address.
use crate::harness::{KEY, Server};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Command;

/// What it calls levels, and what they are kept as.
const LEVELS: [(&str, &str); 6] = [
    ("debug", "DEBUG"),
    ("info", "INFO"),
    ("warn", "WARN"),
    ("warning", "WARN"),
    ("error", "ERROR"),
    ("critical", "CRITICAL"),
];

/// All of a log's fields that its client gave, oldest first.
fn found(server: &Server) -> Vec<Value> {
    let answer = server.get("/api/v1/logs/search?service=checkout&order=asc").json();
    let logs = answer["logs"].as_array().unwrap().iter();
    logs.map(|log| json!([log["level"], log["message"], log["metadata"], log["timestamp"].is_i64()])).collect()
}

fn wanted() -> Vec<Value> {
    let said = LEVELS.iter().map(|(called, kept)| {
        json!([kept, format!("said as {called} \u{2713}"), {"order": 42, "nested": {"level": called}}, true])
    });
    said.chain([json!(["INFO", "said without metadata", {}, true])]).collect()
}

#[test]
fn the_python_client_works_with_another_address() {
    if Command::new("python3").arg("--version").output().is_err() {
        println!("left out: there is no python3");
        return;
    }
    let server = Server::start();
    let output = python(&server, KEY);
    assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
    assert_eq!(found(&server), wanted());
    // It tells of a refusal and goes on, as services rely on.
    let output = python(&server, "wrong");
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && told.contains("403") && told.contains("Invalid API key"), "{told}");
    assert_eq!(found(&server).len(), wanted().len());
}

fn python(server: &Server, key: &str) -> std::process::Output {
    let client = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/seed_client.py");
    Command::new("python3").args([client, &server.address, key]).output().unwrap()
}

/// Sends a log as Python's `requests` does, and reads the answer off the kept connection.
fn post(connection: &mut BufReader<TcpStream>, log: &Value) -> (String, Vec<String>, Value) {
    let body = log.to_string();
    let request = format!(
        "POST /api/v1/logs/ingest HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: python-requests/2.31.0\r\n\
         Accept-Encoding: gzip, deflate\r\nAccept: */*\r\nConnection: keep-alive\r\nAuthorization: Bearer {KEY}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    connection.get_mut().write_all(request.as_bytes()).unwrap();
    let mut head = connection.by_ref().lines().map(Result::unwrap).take_while(|line| !line.is_empty());
    let status = head.next().unwrap();
    let lines: Vec<String> = head.map(|line| line.to_ascii_lowercase()).collect();
    let len = lines.iter().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
    let mut body = vec![0; len];
    connection.read_exact(&mut body).unwrap();
    (status, lines, serde_json::from_slice(&body).unwrap())
}

#[test]
fn the_requests_of_the_python_client_are_taken_on_one_connection() {
    let server = Server::start();
    let stream = TcpStream::connect(server.address.strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
    let mut connection = BufReader::new(stream);
    let log = |level: &str, message: String, metadata: Value| json!({"service_name": "checkout", "level": level.to_uppercase(), "message": message, "metadata": metadata});
    let said = LEVELS.iter().map(|(called, _)| {
        log(called, format!("said as {called} \u{2713}"), json!({"order": 42, "nested": {"level": called}}))
    });
    for log in said.chain([log("info", "said without metadata".into(), json!({}))]) {
        let (status, lines, answer) = post(&mut connection, &log);
        assert_eq!(status, "HTTP/1.1 200 OK", "{answer}");
        assert!(!lines.iter().any(|line| line.starts_with("connection: close")), "{lines:?}");
        assert_eq!((&answer["success"], answer["id"].is_string()), (&json!(true), true), "{answer}");
    }
    assert_eq!(found(&server), wanted());
}
