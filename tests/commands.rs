//! Commands run as processes: what they end with, and what they say.
use crate::harness::{Server, logyard};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

fn run(args: &[&str]) -> (i32, String, String) {
    let output = logyard().args(args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn wrong_usage_is_2_and_failure_is_1() {
    assert_eq!(run(&["--help"]).0, 0);
    assert!(run(&["serve", "--help"]).1.contains("Examples:"));
    assert_eq!(run(&[]).0, 2);
    assert_eq!(run(&["nonsense"]).0, 2);
    assert_eq!(run(&["serve", "--wrong"]).0, 2);
    let (code, _, error) = run(&["serve", "--no-auth", "--listen", "0.0.0.0:0"]);
    assert_eq!(code, 2);
    assert!(error.contains("loopback"), "{error}");
    let (code, _, error) = run(&["check", "--data", "/nonexistent"]);
    assert_eq!(
        (code, error.as_str()),
        (1, "logyard: there is no directory /nonexistent; name the data directory with --data\n")
    );
}

#[test]
fn a_stopped_server_ends_well() {
    let mut server = Server::start();
    assert_eq!(server.get("/health").status, 200);
    server.signal("TERM");
    assert!(server.wait().success());
}

#[test]
fn a_check_fails_until_a_repair_is_done() {
    let data = tempfile::tempdir().unwrap();
    let mut server = Server::start_on(data.path());
    for message in ["first", "second"] {
        let body = format!(r#"{{"service_name":"web","level":"INFO","message":"{message}"}}"#);
        assert_eq!(server.post("/api/v1/logs/ingest", body).status, 200);
    }
    server.signal("TERM");
    assert!(server.wait().success());
    let check = |more: &[&str]| run(&[&["check", "--data", data.path().to_str().unwrap()], more].concat());
    assert_eq!(check(&[]).0, 0);
    assert_eq!(check(&["--repair"]).0, 0, "there is nothing to repair");
    let catalog = data.path().join("catalog.redb");
    let mut bytes = std::fs::read(&catalog).unwrap();
    bytes.iter_mut().take(512).for_each(|byte| *byte ^= 8);
    std::fs::write(&catalog, bytes).unwrap();
    let (code, out, error) = check(&[]);
    assert!(code == 1 && out.contains("sets it aside and rebuilds it"), "{out}");
    assert_eq!(
        error,
        format!("logyard: {} is not right; with --repair, what can be mended is\n", data.path().display())
    );
    let (code, out, error) = check(&["--repair"]);
    assert!((code, error.as_str()) == (0, "") && out.contains("\nrepaired: "), "{out}{error}");
    assert_eq!(check(&[]).0, 0);
    let server = Server::start_on(data.path());
    let found = server.get("/api/v1/logs/search?service=web").json();
    assert_eq!(found["count"], 2, "{found}");
}

#[test]
fn the_engine_is_measured_on_a_file() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    for n in 0..5_000 {
        let (trace, time) = (n * 7_919, 1_763_690_000_000u64 + n);
        writeln!(
            file,
            r#"{{"timestamp":{time},"service_name":"s{}","level":"INFO","message":"request {n} done","metadata":{{"trace":"{trace:032x}","ms":1.50}}}}"#,
            n % 3
        )
        .unwrap();
    }
    let (code, out, error) = run(&["bench", "engine", file.path().to_str().unwrap()]);
    assert_eq!((code, error.as_str()), (0, ""));
    let figures: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(figures["rows"], 5_000);
    assert!(figures["rss_mb"].as_f64().unwrap() > 1.0);
    assert!(figures["cpu_sealed_s"].as_f64() <= figures["cpu_s"].as_f64());
    assert!(figures["bytes"]["segments"].is_u64());
}

#[test]
fn what_is_to_be_killed_counts_on() {
    let data = tempfile::tempdir().unwrap();
    let mut command = logyard();
    command.args(["bench", "kill", "--start", "500", "--threads", "2", "--data"]).arg(data.path());
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut batches: Vec<(u64, u64)> = Vec::new();
    let mut acked = 0;
    for line in lines.take(60) {
        let words: Vec<&str> = line.split(' ').collect();
        match words[0] {
            "sent" => batches.push((words[2].parse().unwrap(), words[3].parse().unwrap())),
            "acked" => acked += 1,
            _ => assert_eq!(line, "ready"),
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    batches.sort_unstable();
    assert!(batches[0].0 >= 500 && acked <= batches.len() && acked > 10);
    assert!(batches.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0), "{batches:?}");
}
