//! A record as the API's log row: the fixed fields first, then what else was sent.
//!
//! Invariants
//! * Everything that was sent comes back as it was sent. A field that has the name of a fixed one stands before that one: who
//!   takes the last of a name, as nearly everybody does, reads the fixed one.
//! * `message` is a text: the record's message, or where it has none an ordinary field of that name, of an object its JSON.
use logyard_storage::record::{FieldPath, Record, Value, push_json_string};
use std::borrow::Cow;
use std::fmt::Write;

const FIXED: [&str; 7] = ["id", "service_name", "level", "message", "timestamp", "source_type", "r2_key"];

type Field = (FieldPath, Value);

/// Appends the row's JSON, with the object in the archive that it is in too.
pub(crate) fn push_row(out: &mut String, record: &Record, stored: Option<&str>) {
    let [service, level, source] = ["service_name", "level", "source_type"].map(|name| last(record, name));
    let message = message(record);
    let object = if message.is_none() { fields(record, |path| outermost(path) == "message") } else { None };
    let is_fixed = |path: &FieldPath| FIXED.contains(&outermost(path));
    let is_shown = |path: &FieldPath| {
        let shown = [service, level, source, message].into_iter().flatten();
        shown.into_iter().any(|(of, _)| std::ptr::eq(of, path)) || (object.is_some() && outermost(path) == "message")
    };
    out.push('{');
    if let Some(hidden) = fields(record, |path| is_fixed(path) && !is_shown(path)) {
        out.push_str(&hidden);
        out.push(',');
    }
    // Writing to a string cannot fail.
    let _infallible = write!(out, "\"id\":\"{}\"", record.id());
    push_text(out, "service_name", text(service));
    push_text(out, "level", text(level));
    let object = object.as_deref().and_then(|fields| fields.strip_prefix("\"message\":"));
    push_text(out, "message", object.unwrap_or_else(|| text(message)));
    let _infallible = write!(out, ",\"timestamp\":{}", record.time.div_euclid(1_000_000));
    let metadata = fields(record, |path| outermost(path) == "metadata").map_or("\"metadata\":{}".into(), Cow::Owned);
    let _infallible = write!(out, ",{metadata}");
    push_text(out, "source_type", text(source));
    match stored {
        Some(object) => push_text(out, "r2_key", object),
        None => out.push_str(",\"r2_key\":null"),
    }
    if let Some(others) = fields(record, |path| outermost(path) != "metadata" && !is_fixed(path) && !is_shown(path)) {
        out.push(',');
        out.push_str(&others);
    }
    out.push('}');
}

/// The field that a name means: the last of that name.
fn last<'a>(record: &'a Record, name: &str) -> Option<&'a Field> {
    record.fields.iter().rev().find(|(path, _)| &*path.name == name)
}

fn text(field: Option<&Field>) -> &str {
    field.map_or("", |(_, value)| &value.text)
}

/// The field that is shown as the message: nothing of the first name is as if it were missing.
fn message(record: &Record) -> Option<&Field> {
    let all = ["_msg", "message"].map(|name| last(record, name));
    let mut some = all.into_iter().filter(|field| !text(*field).is_empty());
    some.next().flatten().or_else(|| all.into_iter().flatten().next())
}

fn outermost(path: &FieldPath) -> &str {
    path.parts().next().unwrap_or_default()
}

fn push_text(out: &mut String, name: &str, text: &str) {
    let _infallible = write!(out, ",\"{name}\":");
    push_json_string(out, text);
}

/// Some of the record's fields with commas between them, where there are any.
fn fields(record: &Record, keep: impl Fn(&FieldPath) -> bool) -> Option<String> {
    let mut object = record.to_json(keep);
    object.pop();
    let fields = object.split_off(1);
    (!fields.is_empty()).then_some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use logyard_storage::record::ValueKind;

    fn row(fields: &[(&str, &[u16], ValueKind, &str)]) -> String {
        let field = |(name, nesting, kind, text): &(&str, &[u16], ValueKind, &str)| {
            let path = FieldPath { name: (*name).into(), nesting: (*nesting).into(), occurrence: 0 };
            (path, Value { kind: *kind, text: (*text).into() })
        };
        let fields = fields.iter().map(field).collect();
        let mut out = String::new();
        let record = Record { seq: 1, epoch: 2, time: 3_999_999, arrival: 4, fields };
        push_row(&mut out, &record, None);
        out.replacen(&record.id().to_string(), "#", 1)
    }

    #[test]
    fn a_row_has_all_of_its_fields_whatever_was_sent() {
        assert_eq!(
            row(&[]),
            r##"{"id":"#","service_name":"","level":"","message":"","timestamp":3,"metadata":{},"source_type":"","r2_key":null}"##
        );
        let sent = row(&[
            ("x", &[], ValueKind::Number, "1.50"),
            ("metadata.a.b", &[8, 10], ValueKind::Json, "[1,{\"c\":null}]"),
            ("_msg", &[], ValueKind::String, "m\n"),
            ("metadata.c", &[8], ValueKind::Null, ""),
            ("metadata.d", &[], ValueKind::Bool, "true"),
            ("service_name", &[], ValueKind::String, "s"),
        ]);
        assert_eq!(
            sent,
            r##"{"id":"#","service_name":"s","level":"","message":"m\n","timestamp":3,"metadata":{"a":{"b":[1,{"c":null}]},"c":null},"source_type":"","r2_key":null,"x":1.50,"metadata.d":true}"##
        );
        assert!(row(&[("metadata", &[], ValueKind::Null, "")]).contains(r#""metadata":null,"#));
    }

    #[test]
    fn a_row_says_in_which_object_it_is_too() {
        let mut out = String::new();
        push_row(
            &mut out,
            &Record { seq: 1, epoch: 2, time: 3, arrival: 4, fields: Vec::new() },
            Some("segments/a.seg"),
        );
        assert!(out.ends_with(r#","r2_key":"segments/a.seg"}"#), "{out}");
    }

    #[test]
    fn what_has_the_name_of_a_fixed_field_stands_before_it() {
        let sent = row(&[
            ("timestamp", &[], ValueKind::Number, "5"),
            ("level.a", &[5], ValueKind::Number, "1"),
            ("_msg", &[], ValueKind::String, "first"),
            ("id", &[], ValueKind::String, "mine"),
            ("_msg", &[], ValueKind::String, "last"),
            ("message", &[], ValueKind::String, "other"),
            ("service_name", &[], ValueKind::String, "a"),
            ("service_name", &[], ValueKind::String, "b"),
            ("r2_key", &[], ValueKind::String, "k"),
        ]);
        assert_eq!(
            sent,
            r##"{"timestamp":5,"level":{"a":1},"id":"mine","message":"other","service_name":"a","r2_key":"k","id":"#","service_name":"b","level":"","message":"last","timestamp":3,"metadata":{},"source_type":"","r2_key":null,"_msg":"first"}"##
        );
    }

    #[test]
    fn an_ordinary_message_is_shown_where_there_is_no_other() {
        let shown = |fields: &[(&str, &[u16], ValueKind, &str)]| {
            let row = row(fields);
            let (_, behind) = row.split_once("\"level\":\"\",").unwrap();
            let (message, others) = behind.split_once(",\"timestamp\":3,").unwrap();
            let (_, others) = others.split_once("\"r2_key\":null").unwrap();
            assert!(row.starts_with("{\"id\":\"#\""), "{row}");
            (message.to_owned(), others.to_owned())
        };
        let pair = |message: &str, others: &str| (message.to_owned(), others.to_owned());
        let plain = ("message", &[][..], ValueKind::String, "m");
        assert_eq!(shown(&[plain]), pair(r#""message":"m""#, "}"));
        assert_eq!(shown(&[("_msg", &[], ValueKind::Null, ""), plain]), pair(r#""message":"m""#, r#","_msg":null}"#));
        assert_eq!(shown(&[("message", &[], ValueKind::Null, "")]), pair(r#""message":"""#, "}"));
        assert_eq!(shown(&[("message", &[], ValueKind::Json, "[1]")]), pair(r#""message":"[1]""#, "}"));
        let nested = ("message.a", &[7][..], ValueKind::String, "\"");
        let beside = ("message.b", &[][..], ValueKind::Number, "1");
        assert_eq!(shown(&[nested, beside]), pair(r#""message":"{\"a\":\"\\\"\"}""#, r#","message.b":1}"#));
        assert_eq!(shown(&[("_msg.a", &[4], ValueKind::Number, "1")]), pair(r#""message":"""#, r#","_msg":{"a":1}}"#));
    }
}
