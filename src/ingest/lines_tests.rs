//! JSON lines: which field becomes what.
use super::*;
use crate::ingest::{Open, stored};
use std::time::Duration;

const ARRIVAL: i64 = 1_763_690_000_000_000_000;

fn arrival() -> Arrival {
    Arrival::new(ARRIVAL, Duration::from_secs(86_400))
}

fn kept(line: &str, names: &FieldNames) -> (i64, String) {
    let mut rows = BatchBuilder::new();
    assert!(read_line(line.as_bytes(), 1, names, arrival(), &mut rows, &mut Open).unwrap());
    let record = stored(&mut rows).remove(0);
    (record.time, record.to_json(|_| true))
}

#[test]
fn usual_names_need_no_naming() {
    let names = FieldNames::new("", " ");
    let line = r#"{"_time":"2025-11-21T01:53:20.25Z","_msg":"m","level":"weird","n":[1, 2]}"#;
    assert_eq!(kept(line, &names), (ARRIVAL + 250_000_000, r#"{"_msg":"m","level":"weird","n":[1,2]}"#.into()));
    assert_eq!(kept(r#"{"_time":null,"timestamp":5}"#, &names).1, r#"{"timestamp":5}"#);
}

#[test]
fn named_fields_become_time_and_message() {
    let names = FieldNames::new("ts", "log, message");
    let line = r#"{"log":"","ts":1763690000,"message":"m","other":"o"}"#;
    assert_eq!(kept(line, &names), (ARRIVAL, r#"{"log":"","_msg":"m","other":"o"}"#.into()));
}

#[test]
fn nested_fields_are_named_with_dots() {
    let names = FieldNames::new("event.at.t", "event.text");
    let line = r#"{"event":{"a":1,"text":"m","at":{"t":1763690000500,"z":2},"b":{"text":"x"}},"event.c":3}"#;
    let (time, json) = kept(line, &names);
    assert_eq!(time, ARRIVAL + 500_000_000);
    assert_eq!(json, r#"{"event":{"a":1,"at":{"z":2},"b":{"text":"x"}},"_msg":"m","event.c":3}"#);
}

/// Lets nothing in for five seconds.
struct Shut;

impl Gate for Shut {
    fn admit(&mut self, _: &mut BatchBuilder) -> Result<(), Refused> {
        Err(Refused::Later { what: "not today".into(), seconds: 5 })
    }
}

#[test]
fn a_bad_line_says_where_it_is() {
    let mut rows = BatchBuilder::new();
    let names = FieldNames::new("", "");
    let mut refused =
        |line: &[u8]| read_line(line, 17, &names, arrival(), &mut rows, &mut Open).unwrap_err().to_string();
    assert_eq!(refused(b"{\"a\":}"), "invalid JSON at line 17, column 6: expected value");
    assert_eq!(refused(b"{\"a\":\"\xff\"}"), "invalid JSON at line 17, column 7: not UTF-8");
    assert_eq!(refused(b"{\"_time\":\"noon\"}"), "line 17: _time is no time that can be read");
    assert_eq!(refused(b"{\"a\":1} {\"b\":2}"), "invalid JSON at line 17, column 9: trailing characters");
    let refused = read_line(b"{\"a\":1}", 18, &names, arrival(), &mut rows, &mut Shut).unwrap_err();
    assert_eq!(refused, Refused::Later { what: "line 18: not today".into(), seconds: 5 });
    assert!(!read_line(b" \r", 18, &names, arrival(), &mut rows, &mut Open).unwrap());
    assert_eq!(rows.rows(), 0);
}
