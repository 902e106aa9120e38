//! Rows as they are written: for eyes, for programs, and what is kept from a terminal.
use super::*;

fn printed(output: Output, is_shown: bool, lines: &[&str]) -> (String, bool) {
    printed_with(&[], output, is_shown, lines)
}

fn printed_with(named: &[&str], output: Output, is_shown: bool, lines: &[&str]) -> (String, bool) {
    let named = named.iter().map(|name| (*name).to_owned()).collect();
    let mut printer = Printer::to(Vec::new(), output, is_shown, Paint::plain()).with_columns(named);
    for line in lines {
        assert!(printer.line(line).is_ok());
    }
    let is_whole = printer.end().is_ok();
    (String::from_utf8(printer.out).unwrap(), is_whole)
}

#[test]
fn a_table_has_the_time_first_and_the_message_last() {
    let lines = [
        r#"{"_msg":"order placed","_time":"2026-05-01T10:00:00Z","_stream":"{}","_stream_id":"0","_id":"1","level":"INFO","n":"1"}"#,
        r#"{"_msg":"order failed","_time":"2026-05-01T10:00:05Z","_stream":"{}","_stream_id":"0","_id":"2","level":"ERROR","n":"22"}"#,
    ];
    let wanted = "_time                 level  n   _msg
2026-05-01T10:00:00Z  INFO   1   order placed
2026-05-01T10:00:05Z  ERROR  22  order failed
";
    assert_eq!(printed(Output::Table, true, &lines), (wanted.into(), true));
    let counted = [r#"{"n":"12","level":"INFO"}"#, r#"{"n":"3","level":"a longer one"}"#];
    assert_eq!(printed(Output::Table, true, &counted).0, "n   level\n12  INFO\n3   a longer one\n");
    assert_eq!(printed(Output::Table, true, &[r#"{"_id":"x"}"#]).0, "_id\nx\n");
    assert_eq!(printed(Output::Table, true, &[]).0, "");
}

#[test]
fn a_row_between_groups_has_none_of_what_a_table_leaves_out() {
    let row = |n: usize| format!(r#"{{"_msg":"{n}","_stream":"{{}}","_stream_id":"0","_id":"{n}"}}"#);
    let between = r#"{"_msg":"---","_stream":"{}","_stream_id":"0"}"#;
    let text = printed(Output::Table, true, &[&row(1), between, &row(2), between]).0;
    assert_eq!(text, "_msg\n1\n---\n2\n---\n");
}

#[test]
fn fields_that_come_late_stand_behind_their_row() {
    let mut lines = vec![r#"{"a":"1"}"#; TABLE_ROWS];
    lines.push(r#"{"a":"2","b":"3"}"#);
    assert!(printed(Output::Table, true, &lines).0.ends_with("\n1\n2  b=3\n"));
    let mut lines = vec![r#"{"a":"1"}"#; CSV_ROWS];
    assert!(printed(Output::Csv, false, &lines).1);
    lines.push(r#"{"a":"2","b":"3"}"#);
    let (text, is_whole) = printed(Output::Csv, false, &lines);
    assert!(text.ends_with("\n1\n2\n") && !is_whole);
}

#[test]
fn csv_has_the_columns_that_are_named_and_their_header() {
    let csv = |lines: &[&str]| printed_with(&["b", "a", "b"], Output::Csv, false, lines);
    assert_eq!(csv(&[]), ("b,a\n".into(), true));
    assert_eq!(csv(&[r#"{"a":"1"}"#, r#"{"c":"2","b":"3"}"#]), ("b,a\n,1\n3,\n".into(), true));
    assert_eq!(printed_with(&["b", "a"], Output::Table, true, &[]).0, "");
    assert_eq!(printed_with(&["b", "a"], Output::Table, true, &[r#"{"a":"1","c":"2"}"#]).0, "a  c\n1  2\n");
}

#[test]
fn values_of_csv_are_quoted_where_they_have_to_be() {
    let line = r#"{"_msg":"a \"b\", c","x":"two\nlines","y":" z","n":7}"#;
    let wanted = "_msg,x,y,n\n\"a \"\"b\"\", c\",\"two\nlines\",\" z\",7\n";
    assert_eq!(printed(Output::Csv, false, &[line]).0, wanted);
}

#[test]
fn the_message_alone_is_what_was_logged() {
    assert_eq!(printed(Output::Raw, false, &[r#"{"_msg":"a\u001b[2Jb","x":"1"}"#]).0, "a\u{1b}[2Jb\n");
    assert_eq!(printed(Output::Raw, false, &[r#"{"n":"1"}"#]).0, "{\"n\":\"1\"}\n");
}

#[test]
fn a_terminal_is_given_no_control_bytes_in_any_form() {
    let line = "{\"_msg\":\"a\\u001b[2Jb\u{9b}1m\\r\u{202e}c\",\"na\\u0007me\":\"\\u001b]0;x\\u0007\"}";
    for output in [Output::Table, Output::Ndjson, Output::Csv, Output::Raw] {
        let (text, _) = printed(output, true, &[line]);
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
        assert!(!text.contains('\u{202e}'), "{text:?}");
    }
    let mut printer = Printer::to(Vec::new(), Output::Table, true, Paint::plain());
    assert!(printer.live(line).is_ok());
    assert!(printer.out.iter().all(|byte| *byte == b'\n' || !byte.is_ascii_control()));
    let (text, _) = printed(Output::Ndjson, true, &[line]);
    assert_eq!(Row::read(&text).ok().unwrap(), Row::read(line).ok().unwrap());
    assert_eq!(printed(Output::Ndjson, false, &[line]).0, format!("{line}\n"));
}
