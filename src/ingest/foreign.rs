//! Records of files as JSON lines for `/insert/jsonline`: JSON, logfmt, syslog and plain text.
//!
//! Invariants
//! * The same record gives the same line, whatever came before it: `now` is an argument, and is asked for years only.
//! * A line of JSON keeps its fields, their order and the spelling of their values; the names of its time and message change.
//! * Every record gives a line. One that is not of the format that was named is text.
use super::{logfmt, syslog, text, time};
use logyard_storage::query::time_text;
use logyard_storage::record::push_json_string;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// Names and values, in order.
pub(super) type Fields = Vec<(String, String)>;

const TIMES: [&str; 5] = ["_time", "@timestamp", "timestamp", "time", "ts"];
const MESSAGES: [&str; 4] = ["_msg", "message", "msg", "log"];

/// What the records of a file are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// What each looks like.
    Auto,
    Json,
    Logfmt,
    Syslog,
    Text,
}

/// How records become lines.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub(crate) format: Format,
    /// The service of records that do not name one.
    pub(crate) service: String,
}

impl Reading {
    /// Appends a record as a line, with its end.
    pub(crate) fn push_line(&self, out: &mut String, record: &str, now: i64) {
        let fields = match self.format {
            Format::Auto | Format::Json if record.trim_start().starts_with('{') && self.push_json(out, record) => {
                return;
            }
            Format::Logfmt => logfmt::fields(record),
            Format::Syslog => syslog::fields(record, now),
            Format::Auto if syslog::is_syslog(record, now) => syslog::fields(record, now),
            Format::Auto if logfmt::is_logfmt(record) => logfmt::fields(record),
            Format::Auto | Format::Text | Format::Json => None,
        };
        let fields = fields.unwrap_or_else(|| plain(record));
        self.push_fields(out, &fields);
    }

    fn push_fields(&self, out: &mut String, fields: &Fields) {
        out.push_str("{\"service_name\":");
        let own = fields.iter().find(|(name, value)| name == "service_name" && !value.is_empty());
        push_json_string(out, own.map_or(&self.service, |(_, value)| value));
        for (name, value) in fields.iter().filter(|(name, _)| name != "service_name") {
            push_name(out, name);
            push_json_string(out, value);
        }
        out.push_str("}\n");
    }

    /// Appends a line of JSON, and says whether it is an object.
    fn push_json(&self, out: &mut String, record: &str) -> bool {
        let Ok(Object(fields)) = serde_json::from_str::<Object<'_>>(record) else { return false };
        let has = |name: &str| fields.iter().any(|(key, _)| key == name);
        let first = |names: &[&str], is_right: fn(&RawValue) -> bool| {
            let of = |name: &&str| fields.iter().position(|(key, value)| key == *name && is_right(value));
            names.iter().find_map(of)
        };
        // What has its name already keeps it, right or wrong: the server says what is wrong with it.
        let time = if has("_time") { None } else { first(&TIMES, is_time) };
        let message = if has("_msg") { None } else { first(&MESSAGES, is_text) };
        out.push('{');
        let begin = out.len();
        if !has("service_name") {
            out.push_str("\"service_name\":");
            push_json_string(out, &self.service);
        }
        for (at, (name, value)) in fields.iter().enumerate() {
            let name = match at {
                _ if Some(at) == time => "_time",
                _ if Some(at) == message => "_msg",
                _ => name,
            };
            if out.len() == begin {
                push_json_string(out, name);
                out.push(':');
            } else {
                push_name(out, name);
            }
            push_flat(out, value.get());
        }
        out.push_str("}\n");
        true
    }
}

fn push_name(out: &mut String, name: &str) {
    out.push(',');
    push_json_string(out, name);
    out.push(':');
}

/// Appends JSON that may stand in several lines. A line's end stands between its pieces only, never in a text.
fn push_flat(out: &mut String, json: &str) {
    if json.contains(['\n', '\r']) {
        out.extend(json.chars().map(|c| if matches!(c, '\n' | '\r') { ' ' } else { c }));
    } else {
        out.push_str(json);
    }
}

/// A line of text: all of it is the message, and what can be seen in it stands beside it.
fn plain(record: &str) -> Fields {
    let mut fields = Fields::new();
    fields.extend(text::time_of(record).map(|time| ("_time".to_owned(), time_text(time))));
    fields.extend(text::level_of(record).map(|level| ("level".to_owned(), level.to_owned())));
    fields.push(("_msg".into(), record.to_owned()));
    fields
}

fn is_time(value: &RawValue) -> bool {
    let json = value.get();
    match serde_json::from_str::<String>(json) {
        Ok(text) => time::from_text(&text).is_some(),
        Err(_) => json != "0" && time::from_number(json).is_some(),
    }
}

fn is_text(value: &RawValue) -> bool {
    value.get().starts_with('"') && value.get() != "\"\""
}

/// The fields of an object, in order, their values as they are spelled.
struct Object<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some(entry) = map.next_entry::<String, &'de RawValue>()? {
                    fields.push(entry);
                }
                Ok(Object(fields))
            }
        }
        from.deserialize_map(Entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(format: Format, record: &str) -> String {
        let reading = Reading { format, service: "shop".into() };
        let mut out = String::new();
        reading.push_line(&mut out, record, 1_780_056_000_000_000_000);
        out.strip_suffix('\n').unwrap().to_owned()
    }

    #[test]
    fn json_keeps_what_it_says() {
        let record = r#"{"time":"2026-05-01T10:00:00Z","msg":"a","n":1.50,"deep":{"x":[1, null]},"n":2}"#;
        let wanted = r#"{"service_name":"shop","_time":"2026-05-01T10:00:00Z","_msg":"a","n":1.50,"deep":{"x":[1, null]},"n":2}"#;
        assert_eq!(line(Format::Auto, record), wanted);
        let named = r#"{"service_name":"mail","_time":"x","time":1763690000,"_msg":"","message":"b"}"#;
        assert_eq!(line(Format::Json, named), named);
        assert_eq!(
            line(Format::Auto, r#"{"time":"12:30","message":{"a":1},"log":"c"}"#),
            r#"{"service_name":"shop","time":"12:30","message":{"a":1},"_msg":"c"}"#
        );
        assert_eq!(line(Format::Auto, "{}"), r#"{"service_name":"shop"}"#);
        assert_eq!(line(Format::Auto, "{\"a\":\n 1,\"b\":[\n2]}"), r#"{"service_name":"shop","a":1,"b":[ 2]}"#);
    }

    #[test]
    fn each_record_is_what_it_looks_like() {
        assert_eq!(line(Format::Auto, "level=warn msg=low"), r#"{"service_name":"shop","level":"warn","_msg":"low"}"#);
        assert_eq!(line(Format::Logfmt, "service_name=mail msg=a"), r#"{"service_name":"mail","_msg":"a"}"#);
        assert_eq!(line(Format::Logfmt, "service_name= msg=a"), r#"{"service_name":"shop","_msg":"a"}"#);
        assert!(line(Format::Auto, "<13>May  1 10:00:00 h app: x").contains(r#""app_name":"app","_msg":"x""#));
        assert_eq!(
            line(Format::Auto, "2026-05-01 10:00:00 ERROR {\"not\": json"),
            r#"{"service_name":"shop","_time":"2026-05-01T10:00:00Z","level":"ERROR","_msg":"2026-05-01 10:00:00 ERROR {\"not\": json"}"#
        );
        for format in [Format::Logfmt, Format::Syslog, Format::Json, Format::Auto] {
            let text = "2026-05-01 10:00:00 WARN half of it=this msg=low";
            let wanted =
                format!(r#"{{"service_name":"shop","_time":"2026-05-01T10:00:00Z","level":"WARN","_msg":"{text}"}}"#);
            assert_eq!(line(format, text), wanted, "{format:?}");
        }
        assert_eq!(line(Format::Json, "{broken"), r#"{"service_name":"shop","_msg":"{broken"}"#);
        assert_eq!(line(Format::Text, r#"{"a":1}"#), r#"{"service_name":"shop","_msg":"{\"a\":1}"}"#);
    }
}
