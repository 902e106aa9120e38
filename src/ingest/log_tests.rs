//! The API's log record: what is checked, what is kept.
use super::*;
use crate::ingest::{Open, stored};
use std::time::Duration;

const ARRIVAL: i64 = 1_763_690_000_000_000_000;

fn arrival() -> Arrival {
    Arrival::new(ARRIVAL, Duration::from_secs(86_400))
}

fn refused(text: &str) -> String {
    let mut rows = BatchBuilder::new();
    let fault = read_log(text, arrival(), &mut rows, &mut Open).unwrap_err().to_string();
    assert_eq!(rows.rows(), 0);
    fault
}

fn kept(text: &str) -> (i64, String) {
    let mut rows = BatchBuilder::new();
    read_log(text, arrival(), &mut rows, &mut Open).unwrap();
    let record = stored(&mut rows).remove(0);
    (record.time, record.to_json(|_| true))
}

#[test]
fn a_log_keeps_its_fields_in_their_spelling() {
    let (time, json) = kept(
        r#"{"metadata":{"n":1.50,"l":[1, 2],"deep":{"x":null}},"level":"warning","service_name":"a-b_C","message":" m ","timestamp":1763690000123,"extra":{"e":true}}"#,
    );
    assert_eq!(time, ARRIVAL - ARRIVAL % 1_000_000 + 123_000_000);
    assert_eq!(
        json,
        r#"{"metadata":{"n":1.50,"l":[1,2],"deep":{"x":null}},"level":"WARN","service_name":"a-b_C","_msg":" m ","extra":{"e":true},"source_type":"http"}"#
    );
}

#[test]
fn levels_come_in_their_usual_spelling() {
    for (sent, level) in [("fatal", "CRITICAL"), ("Trace", "DEBUG"), ("ERROR", "ERROR"), ("warn", "WARN")] {
        let (_, json) = kept(&format!(r#"{{"service_name":"a","message":"m","level":"{sent}","source_type":"tail"}}"#));
        assert_eq!(json, format!(r#"{{"service_name":"a","_msg":"m","level":"{level}","source_type":"tail"}}"#));
    }
}

#[test]
fn a_time_far_ahead_becomes_arrival_and_is_kept() {
    let log = |time: &str| format!(r#"{{"service_name":"a","level":"INFO","message":"m","timestamp":{time}}}"#);
    let (_, json) = kept(&log("1863690000000"));
    assert!(json.contains(r#""_time_sent":"1863690000000""#), "{json}");
    assert_eq!(kept(&log("1763776400000")).0, ARRIVAL + 86_400_000_000_000);
    assert_eq!(kept(&log(r#""2025-11-21T01:53:20.5Z""#)).0, ARRIVAL + 500_000_000);
    assert_eq!(refused(&log("true")), "timestamp must be milliseconds since 1970");
    assert_eq!(refused(&log(r#""noon""#)), "timestamp must be milliseconds since 1970");
    assert_eq!(refused(&log(r#"{"a":1}"#)), "timestamp must be milliseconds since 1970");
}

#[test]
fn what_is_wrong_is_said_in_the_order_of_the_checks() {
    let characters = "service_name must contain only alphanumeric characters, dashes, and underscores";
    let levels = "Must be one of: DEBUG, INFO, WARN, WARNING, ERROR, CRITICAL";
    for (text, fault) in [
        ("{}", "service_name is required"),
        (r#"{"service_name":"","message":"m","level":"INFO"}"#, "service_name is required"),
        (r#"{"service_name":"a","message":"m","level":null}"#, "level is required"),
        (r#"{"message":" \t","level":"INFO","service_name":"a"}"#, "message is required"),
        (r#"{"message":{"a":1},"level":"INFO","service_name":"a"}"#, "message must be a string"),
        (r#"{"message":5,"level":"INFO","service_name":"a"}"#, "message must be a string"),
        (r#"{"level":"loud","service_name":"a b"}"#, "message is required"),
        (r#"{"level":"loud","service_name":"a b","message":"m"}"#, characters),
        ("{", "invalid JSON at line 1, column 1: EOF while parsing an object"),
        ("[]", "invalid JSON at line 1, column 0: invalid type: sequence, expected a JSON object"),
    ] {
        assert_eq!(refused(text), fault);
    }
    let fault = refused(r#"{"level":"loud","service_name":"a","message":"m"}"#);
    assert_eq!(fault, format!("Invalid log level: loud. {levels}"));
}

#[test]
fn metadata_has_a_limit_and_nothing_else_has() {
    let log = |metadata: &str, message: &str| {
        format!(r#"{{"service_name":"a","level":"INFO","message":"{message}","metadata":{metadata}}}"#)
    };
    let of_chars = |chars: usize| format!(r#"{{ "a" : "{}" }}"#, "é".repeat(chars - 8));
    kept(&log(&of_chars(50_000), "m"));
    assert_eq!(refused(&log(&of_chars(50_001), "m")), "Metadata is too large (50001 bytes). Maximum is 50KB.");
    kept(&log("{}", &"m".repeat(200_000)));
}

#[test]
fn a_batch_is_taken_apart_or_refused_as_a_whole() {
    let split_logs =
        |body: &str| split_logs(body, 1_000).map(|logs| logs.into_iter().map(str::to_owned).collect::<Vec<_>>());
    let wrong = |body: &str| split_logs(body).unwrap_err().to_string();
    assert_eq!(split_logs(r#"{"x":1,"logs":[{"a":1}, 5 ,"s"]}"#).unwrap(), [r#"{"a":1}"#, "5", "\"s\""]);
    assert_eq!(wrong(r#"{"logs":{}}"#), "logs must be an array");
    assert_eq!(wrong("{}"), "logs must be an array");
    assert_eq!(wrong(r#"{"logs":[]}"#), "logs array cannot be empty");
    let many = |n: usize| format!(r#"{{"logs":[{}1]}}"#, "1,".repeat(n - 1));
    assert_eq!(split_logs(&many(1_000)).unwrap().len(), 1_000);
    assert_eq!(wrong(&many(1_001)), "Maximum 1000 logs per batch");
    assert_eq!(wrong(&many(5_000)), "Maximum 1000 logs per batch");
    assert!(wrong(r#"{"logs":[1,]}"#).starts_with("invalid JSON at line 1, column "));
}
