//! What Logyard says of itself: on standard error, and as records of its own.
use crate::harness::{KEY, Server, encoded, logyard};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn server(directory: &tempfile::TempDir, settings: &[(&str, &str)]) -> Server {
    Server::start_with(directory.path(), |command: &mut Command| {
        command.env("LOGYARD_ADMIN_KEY", KEY).envs(settings.iter().copied());
    })
}

/// The records of the service `logyard` that a filter passes, once there are some.
fn records(server: &Server, filter: &str) -> Vec<Value> {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let query = encoded(&format!("service_name:=logyard {filter}"));
        let answer = server.get(&format!("/select/logsql/query?query={query}"));
        assert_eq!(answer.status, 200, "{}", answer.text);
        if !answer.text.is_empty() {
            return answer.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        }
        assert!(Instant::now() < until, "there are no such records: {filter}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn metric(server: &Server, name: &str) -> f64 {
    let text = server.get_with("/metrics", &[]).unwrap().text;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
}

#[test]
fn what_is_logged_becomes_records_with_the_environment() {
    let directory = tempfile::tempdir().unwrap();
    let server = server(&directory, &[("LOGYARD_LOG_LEVEL", "debug"), ("LOGYARD_LOG_ENVIRONMENT", "staging")]);
    assert_eq!(server.get("/api/v1/logs/search?service=a").status, 200);
    let found = records(&server, "metadata.event:=log metadata.route:=\"/api/v1/logs/search\"");
    assert_eq!(found.len(), 1);
    let of = |name: &str| found[0][name].as_str().unwrap();
    assert_eq!((of("level"), of("source_type"), of("environment")), ("DEBUG", "agent", "staging"));
    assert_eq!((of("metadata.method"), of("metadata.status"), of("metadata.event")), ("GET", "200", "log"));
    // The API's own reads leave them out unless they are asked for.
    assert_eq!(server.get("/api/v1/logs/services").json()["services"].as_array().unwrap().len(), 0);
}

#[test]
fn what_is_wrong_with_the_settings_of_a_server_becomes_records_too() {
    let directory = tempfile::tempdir().unwrap();
    let server = server(&directory, &[("LOGYARD_QUERY_MAX_WIAT", "1s")]);
    let found = records(&server, "LOGYARD_QUERY_MAX_WIAT");
    assert_eq!((found.len(), &found[0]["level"]), (1, &"WARN".into()));
}

#[test]
fn a_log_that_cannot_be_kept_does_not_log_that_for_ever() {
    let directory = tempfile::tempdir().unwrap();
    let server = server(&directory, &[("LOGYARD_RETENTION_DISK_BUDGET", "1")]);
    let log = r#"{"service_name":"shop","level":"INFO","message":"x"}"#;
    assert_eq!(server.post("/api/v1/logs/ingest", log).status, 507);
    let until = Instant::now() + Duration::from_secs(30);
    while metric(&server, "logyard_log_dropped_records_total") == 0.0 {
        assert!(Instant::now() < until, "nothing was dropped");
        std::thread::sleep(Duration::from_millis(50));
    }
    let lines = metric(&server, "logyard_log_lines_total{level=\"error\"}");
    // What it said of that is said once, and is no record that would have to be kept.
    std::thread::sleep(Duration::from_millis(2_500));
    assert_eq!(metric(&server, "logyard_log_lines_total{level=\"error\"}"), lines);
    assert_eq!(metric(&server, "logyard_log_dropped_records_total"), 1.0);
}

#[test]
fn lines_are_json_where_that_is_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = logyard();
    command.args(["serve", "--listen", "127.0.0.1:0", "--log-format", "json", "--log-environment", "prod", "--data"]);
    command.env("LOGYARD_QUERY_MAX_WIAT", "1s");
    let mut child = command.arg(directory.path()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut greeting: Vec<Value> = lines.take(4).map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    let warning = greeting.remove(0);
    assert_eq!((&warning["level"], &warning["environment"]), (&"warn".into(), &"prod".into()), "{warning}");
    assert!(warning["message"].as_str().unwrap().starts_with("LOGYARD_QUERY_MAX_WIAT "), "{warning}");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(greeting[0]["message"].as_str().unwrap().starts_with("listening on http://127.0.0.1:"), "{greeting:?}");
    for line in &greeting {
        assert_eq!((line["level"].as_str(), line["environment"].as_str()), (Some("info"), Some("prod")));
        assert!(line["time"].as_str().unwrap().ends_with('Z'));
    }
}

#[test]
fn a_level_that_is_none_is_refused() {
    let output = logyard().args(["serve", "--check-config", "--log-level", "loud"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("log.level") || said.contains("--log-level"), "{said}");
    assert!(said.contains("error, warn, info or debug"), "{said}");
}
