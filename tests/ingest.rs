//! Logs as they are sent by every way in, and what is answered.
use crate::harness::Server;
use serde_json::{Value, json};
use std::fmt::Write;

const ONE: &str = "/api/v1/logs/ingest";
const BATCH: &str = "/api/v1/logs/ingest/batch";
const LINES: &str = "/insert/jsonline";

#[test]
fn one_log_comes_back_as_it_was_sent() {
    let server = Server::start();
    let sent = r#"{"service_name":"payments-api","level":"warning","message":"card declined","timestamp":1763690000123,
        "metadata":{"order":1.50,"deep":{"list":[1, null],"none":null},"e":{}},"region":"eu"}"#;
    let answer = server.post(ONE, sent);
    assert_eq!((answer.status, answer.header("x-logyard-ack")), (200, Some("wal")));
    assert_eq!(answer.json()["success"], true);
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    let log = format!(
        r#"{{"id":"{id}","service_name":"payments-api","level":"WARN","message":"card declined","timestamp":1763690000123,"metadata":{{"order":1.50,"deep":{{"list":[1,null],"none":null}},"e":{{}}}},"source_type":"http","r2_key":null,"region":"eu"}}"#
    );
    for path in ["/api/v1/logs/", "/api/v1/logs/logs/"] {
        assert_eq!(server.get(&format!("{path}{id}")).text, format!("{{\"log\":{log}}}"));
    }
    let found = server.get("/api/v1/logs/search?q=declined");
    assert_eq!(found.text, format!("{{\"logs\":[{log}],\"count\":1,\"has_more\":false,\"next_cursor\":null}}"));
}

#[test]
fn wrong_logs_are_refused_with_a_reason() {
    let server = Server::start();
    let missing = json!({"error": "Missing required fields", "required": ["service_name", "level", "message"]});
    let refused = |body: &str| {
        let answer = server.post(ONE, body);
        assert_eq!(answer.status, 400, "{body}");
        answer.json()
    };
    assert_eq!(refused("{}"), missing);
    assert_eq!(refused(r#"{"service_name":"a","level":"INFO","message":""}"#), missing);
    let reason = |body: &str| refused(body)["error"].as_str().unwrap().to_owned();
    let log = |service: &str, level: &str, message: &str, more: &str| {
        format!(r#"{{"service_name":"{service}","level":"{level}","message":"{message}"{more}}}"#)
    };
    assert_eq!(
        reason(&log("a b", "INFO", "m", "")),
        "service_name must contain only alphanumeric characters, dashes, and underscores"
    );
    assert_eq!(
        reason(&log("a", "LOUD", "m", "")),
        "Invalid log level: LOUD. Must be one of: DEBUG, INFO, WARN, WARNING, ERROR, CRITICAL"
    );
    assert_eq!(reason(&log("a", "INFO", "  ", "")), "message is required");
    let metadata = format!(r#","metadata":{{"a":"{}"}}"#, "x".repeat(50_000));
    assert_eq!(reason(&log("a", "INFO", "m", &metadata)), "Metadata is too large (50008 bytes). Maximum is 50KB.");
    assert!(reason("{\"a\":").starts_with("invalid JSON at line 1, column 5"));
    assert!(reason("").starts_with("invalid JSON"));
    assert_eq!(server.post(&format!("{ONE}?ack=archive"), log("a", "INFO", "m", "")).status, 400);
    assert_eq!(server.post(&format!("{ONE}?ack=never"), log("a", "INFO", "m", "")).status, 400);
    assert_eq!(server.get("/api/v1/logs/search").json()["count"], 0);
}

#[test]
fn of_a_batch_each_log_is_taken_or_refused_alone() {
    let server = Server::start();
    let log = |n: usize| json!({"service_name": "a", "level": "INFO", "message": format!("m{n}")});
    let send = |logs: Value| {
        let answer = server.post(BATCH, json!({ "logs": logs }).to_string());
        (answer.status, answer.json())
    };
    assert_eq!(send(json!([log(1), log(2)])), (200, json!({"success": true, "ingested": 2, "failed": 0})));
    let errors = [
        "logs[0]: level is required",
        "logs[2]: invalid JSON at line 1, column 1: invalid type: integer `5`, expected a JSON object",
    ];
    assert_eq!(
        send(json!([{"service_name": "a", "message": "m"}, log(3), 5])),
        (200, json!({"success": true, "ingested": 1, "failed": 2, "errors": errors}))
    );
    let (status, none) = send(json!([5]));
    assert_eq!((status, &none["ingested"], &none["failed"]), (400, &json!(0), &json!(1)));
    assert_eq!(send(json!([])), (400, json!({"error": "logs array cannot be empty"})));
    assert_eq!(send(json!("x")), (400, json!({"error": "logs must be an array"})));
    assert_eq!(send((0..1_001).map(log).collect()), (400, json!({"error": "Maximum 1000 logs per batch"})));
    assert_eq!(send((0..1_000).map(log).collect()).1["ingested"], 1_000);
    assert_eq!(server.get("/api/v1/admin/storage").json()["rows"], 1_003);
}

#[test]
fn lines_are_kept_as_sent_and_bad_ones_counted() {
    let server = Server::start();
    let body = "{\"_time\":\"2025-11-21T01:53:20.5Z\",\"_msg\":\"hello world\",\"level\":\"odd level\",\"n\":1.0}\n\n\
        {\"_msg\":\n{\"_msg\":\"two\",\"service_name\":\"s p\"}\r\n[1]\n{\"_msg\":\"last\"}";
    let answer = server.post(&format!("{LINES}?ack=memory"), body);
    assert_eq!((answer.status, answer.header("x-logyard-rejected")), (200, Some("2")));
    assert_eq!(answer.header("x-logyard-ack"), Some("memory"));
    let reasons = [
        "invalid JSON at line 3, column 8: EOF while parsing a value",
        "invalid JSON at line 5, column 0: invalid type: sequence, expected a JSON object",
    ];
    assert_eq!(answer.json(), json!({"ingested": 3, "rejected": 2, "errors": reasons}));
    let found = server.get("/api/v1/logs/search?q=hello").json();
    let log = &found["logs"][0];
    assert_eq!((&log["timestamp"], &log["level"]), (&json!(1_763_690_000_500u64), &json!("odd level")));
    assert!(server.get("/api/v1/logs/search?q=hello").text.contains("\"n\":1.0"));
    assert_eq!(server.get("/api/v1/logs/services").json(), json!({"services": ["s p"]}));
}

#[test]
fn fields_are_named_in_the_query_or_in_headers() {
    let server = Server::start();
    let line = br#"{"ts":1763690000,"log":{"text":"in the query"},"x":1}"#;
    let path = format!("{LINES}?_time_field=ts&_msg_field=log.text&_stream_fields=x");
    assert_eq!(server.post(&path, line).json()["ingested"], 1);
    let line = br#"{"when":"1763690001","m":"in headers"}"#;
    let headers = [("vl-time-field", "when"), ("vl-msg-field", "m"), ("vl-stream-fields", "m")];
    assert_eq!(server.try_post(LINES, line, &headers).unwrap().json()["ingested"], 1);
    let found = server.get("/api/v1/logs/search").json();
    let seen: Vec<_> = found["logs"].as_array().unwrap().iter().map(|l| (&l["message"], &l["timestamp"])).collect();
    let (later, earlier) = (json!(1_763_690_001_000u64), json!(1_763_690_000_000u64));
    assert_eq!(seen, [(&json!("in headers"), &later), (&json!("in the query"), &earlier)]);
}

#[test]
fn times_far_ahead_are_told_by_their_unit() {
    let server = Server::start();
    let year_2100 = [
        json!(4_102_444_800_000u64),
        json!(4_102_444_800_000_000u64),
        json!("4102444800000"),
        json!(253_402_300_799_999u64),
    ];
    let log = |time: &Value| json!({"service_name": "a", "level": "INFO", "message": "m", "timestamp": time});
    let logs: Vec<Value> = year_2100.iter().map(log).collect();
    assert_eq!(server.post(BATCH, json!({ "logs": logs }).to_string()).json()["ingested"], 4);
    assert_eq!(
        server.post(&format!("{LINES}?_time_field=t"), r#"{"t":4102444800000,"service_name":"a"}"#).json()["ingested"],
        1
    );
    let found = server.get("/api/v1/logs/recent/a").json()["logs"].as_array().unwrap().clone();
    let mut sent: Vec<&str> = found.iter().map(|row| row["_time_sent"].as_str().unwrap()).collect();
    sent.sort_unstable();
    assert_eq!(sent, ["253402300799999", "4102444800000", "4102444800000", "4102444800000", "4102444800000000"]);
    assert!(found.iter().all(|row| row["timestamp"].as_u64().unwrap() > 1_700_000_000_000));
}

#[test]
fn a_text_that_was_cut_within_a_character_is_taken() {
    let server = Server::start();
    let log = |message: &str| {
        format!(r#"{{"service_name":"cut","level":"INFO","message":"{message}","\udc00":{{"list":["\ud83d"]}}}}"#)
    };
    let answer = server.post(ONE, log(r"one \ud83d"));
    assert_eq!(answer.status, 200, "{}", answer.text);
    let row = server.get(&format!("/api/v1/logs/{}", answer.json()["id"].as_str().unwrap())).json()["log"].clone();
    assert_eq!((&row["message"], &row["\u{fffd}"]), (&json!("one \u{fffd}"), &json!({"list": ["\u{fffd}"]})));
    let batch = format!(r#"{{"logs":[{},{},{}]}}"#, log(r"two \uDE00!"), log(r"bad \ud83"), log(r"whole \ud83d\ude00"));
    let answer = server.post(BATCH, batch).json();
    // An escape that is not whole ends the body that it is in.
    assert!(answer["error"].as_str().unwrap().starts_with("invalid JSON"), "{answer}");
    let batch = format!(r#"{{"logs":[{},{}]}}"#, log(r"two \uDE00!"), log(r"whole \ud83d\ude00"));
    assert_eq!(server.post(BATCH, batch).json()["ingested"], 2);
    let lines = [log(r"three \ud83d\ud83d\ude00"), log(r"bad \ud83"), format!("{}x", log(r"\ud83d"))].join("\n");
    let answer = server.post(LINES, lines);
    assert_eq!(answer.json()["ingested"], 1, "{}", answer.text);
    let errors = answer.json()["errors"].clone();
    let one = |at: usize| errors[at].as_str().unwrap().to_owned();
    assert!(one(0).contains("line 2") && one(1).contains("line 3") && one(1).contains("trailing"), "{errors}");
    let mut messages: Vec<String> = server.get("/api/v1/logs/recent/cut").json()["logs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["message"].as_str().unwrap().to_owned())
        .collect();
    messages.sort();
    assert_eq!(messages, ["one \u{fffd}", "three \u{fffd}\u{1f600}", "two \u{fffd}!", "whole \u{1f600}"]);
}

#[test]
fn a_source_that_says_nothing_is_the_usual_one() {
    let server = Server::start();
    for source in ["null", "\"\"", "\"tail\""] {
        let log = format!(r#"{{"source_type":{source},"service_name":"a","level":"INFO","message":"m"}}"#);
        let id = server.post(ONE, log).json()["id"].as_str().unwrap().to_owned();
        let row = server.get(&format!("/api/v1/logs/{id}")).text;
        let wanted = if source == "\"tail\"" { "tail" } else { "http" };
        assert!(
            row.contains(&format!(r#""source_type":"{wanted}""#)) && row.matches("source_type").count() == 1,
            "{row}"
        );
    }
}

#[test]
fn what_is_bounded_is_a_setting() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start_with(directory.path(), |command| {
        command.env("LOGYARD_ADMIN_KEY", crate::harness::KEY);
        command.args(["--ingest-batch-max", "2", "--ingest-max-future", "1h"]);
        command.env("LOGYARD_INGEST_MAX_IDEMPOTENCY_KEYS", "1");
    });
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64;
    let log = |time: u64| json!({"service_name": "a", "level": "INFO", "message": "m", "timestamp": time});
    let answer = server.post(BATCH, json!({"logs": [log(0), log(0), log(0)]}).to_string());
    assert_eq!((answer.status, answer.json()), (400, json!({"error": "Maximum 2 logs per batch"})));
    let times = [now + 30 * 60_000, now + 90 * 60_000];
    assert_eq!(server.post(BATCH, json!({"logs": times.map(log)}).to_string()).json()["ingested"], 2);
    let found = server.get("/api/v1/logs/recent/a").json();
    let sent: Vec<_> = found["logs"].as_array().unwrap().iter().map(|log| &log["_time_sent"]).collect();
    assert_eq!(sent, [&Value::Null, &json!(times[1].to_string())]);
    let keyed = |key: &str| server.try_post(ONE, log(1).to_string().as_bytes(), &[("idempotency-key", key)]).unwrap();
    assert_eq!([keyed("first").status, keyed("first").status], [200, 200]);
    let refused = keyed("second");
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("600")), "{}", refused.text);
}

#[test]
fn streams_are_named_by_the_fields_that_are_asked_for() {
    let server = Server::start();
    let line = |host: &str, pod: &str| json!({"_msg": "m", "host": host, "k8s": {"pod": pod}, "service_name": "s"});
    let lines = format!("{}\n{}\n{}\n", line("a", "p1"), line("b", "p1"), json!({"_msg": "none of them"}));
    server.post(&format!("{LINES}?_stream_fields=k8s.pod,host"), &lines);
    server.try_post(LINES, line("a", "p2").to_string().as_bytes(), &[("vl-stream-fields", "host")]).unwrap();
    server.post(LINES, line("a", "p3").to_string());
    let check = || {
        let streams = server
            .post("/select/logsql/query", format!("query={}", crate::harness::encoded("* | uniq by (_stream)")))
            .text;
        let named: Vec<String> = streams
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["_stream"].as_str().unwrap().to_owned())
            .collect();
        let pods =
            [r#"{host="a",k8s.pod="p1"}"#, r#"{host="a"}"#, r#"{host="b",k8s.pod="p1"}"#, r#"{service_name="s"}"#];
        let mut all: Vec<&str> = pods.into_iter().chain(["{}"]).collect();
        all.sort_unstable();
        let mut found: Vec<&str> = named.iter().map(String::as_str).collect();
        found.sort_unstable();
        assert_eq!(found, all);
        for (selector, count) in [(r#"{host="a"}"#, 2), (r#"{host=~"a|b"}"#, 3), (r#"{k8s.pod="p1"}"#, 2)] {
            let query = crate::harness::encoded(selector);
            let found = server.post("/select/logsql/query", format!("query={query}")).text;
            assert_eq!(found.lines().count(), count, "{selector}: {found}");
        }
    };
    check();
    server.post("/api/v1/admin/seal", "");
    check();
    let many: Vec<String> = (0..40).map(|n| n.to_string()).collect();
    assert_eq!(server.post(&format!("{LINES}?_stream_fields={}", many.join(",")), &lines).status, 400);
}

#[test]
fn a_long_stream_is_stored_whole() {
    let server = Server::start();
    let mut body = String::new();
    for n in 0..20_000 {
        let size = if n % 5_000 == 0 { 300_000 } else { n % 300 };
        writeln!(body, r#"{{"_msg":"line {n}","service_name":"long","pad":"{}"}}"#, "x".repeat(size)).unwrap();
    }
    let answer = server.stream(LINES, body.as_bytes());
    assert_eq!(answer.json(), json!({"ingested": 20_000, "rejected": 0, "errors": []}));
    assert_eq!(server.get("/api/v1/admin/storage").json()["rows"], 20_000);
}

#[test]
fn a_line_that_is_too_long_is_passed_over() {
    let server = Server::start();
    let body = format!("{{\"_msg\":\"first\"}}\n{{\"_msg\":\"{}\"}}\n{{\"_msg\":\"last\"}}\n", "x".repeat(20 << 20));
    let answer = server.stream(LINES, body.as_bytes());
    assert_eq!(answer.json(), json!({"ingested": 2, "rejected": 1, "errors": ["line 2: longer than 16 MiB"]}));
}
