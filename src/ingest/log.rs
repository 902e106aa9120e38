//! The API's own log record: `service_name`, `level`, `message`, and `timestamp`, `metadata` and others if sent.
//!
//! Invariants
//! * Names of services and levels are checked and levels brought to their usual spelling; nothing else is changed.
//! * A field that is missing is reported before one that is wrong, and then in the order service, level, message,
//!   metadata, timestamp, whatever the order of the fields.
//! * Metadata is at most `METADATA_CHARS_MAX` characters of compact JSON; only a record larger than that is measured.
use super::json::{self, Fields, Scalar};
use super::{Arrival, EventTime, Gate, Refused, push, with_halves};
use logyard_storage::batch::BatchBuilder;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// Metadata of one record, in characters of JSON text.
const METADATA_CHARS_MAX: usize = 50_000;

const LEVELS: [(&str, &str); 8] = [
    ("DEBUG", "DEBUG"),
    ("INFO", "INFO"),
    ("WARN", "WARN"),
    ("WARNING", "WARN"),
    ("ERROR", "ERROR"),
    ("CRITICAL", "CRITICAL"),
    ("FATAL", "CRITICAL"),
    ("TRACE", "DEBUG"),
];

/// A level in its usual spelling, if it is one.
pub(crate) fn usual_level(sent: &str) -> Option<&'static str> {
    LEVELS.iter().find(|(spelling, _)| sent.eq_ignore_ascii_case(spelling)).map(|(_, level)| *level)
}

/// Adds one log as a row.
pub(crate) fn read_log(
    text: &str,
    arrival: Arrival,
    rows: &mut BatchBuilder,
    gate: &mut impl Gate,
) -> Result<(), Refused> {
    rows.begin_row();
    let read = with_halves(text, rows, |text, rows| read_fields(text, arrival, rows, gate));
    let read = read.and_then(|()| gate.admit(rows));
    match read {
        Ok(()) => rows.commit_row(),
        Err(_) => rows.abort_row(),
    }
    read
}

fn read_fields(text: &str, arrival: Arrival, rows: &mut BatchBuilder, gate: &mut impl Gate) -> Result<(), Refused> {
    let mut log = LogFields {
        rows,
        arrival,
        depth: 0,
        service: Given::Missing,
        level: Given::Missing,
        message: Given::Missing,
        timestamp: Given::Missing,
        time: EventTime::default(),
        has_source: false,
    };
    json::read_object(text, &mut log)?;
    let checked = [(log.service, "service_name"), (log.level, "level"), (log.message, "message")];
    if let Some((_, name)) = checked.iter().find(|(given, _)| matches!(given, Given::Missing)) {
        return Err(Refused::Missing(name));
    }
    for (given, _) in checked {
        given.check()?;
    }
    if text.len() > METADATA_CHARS_MAX {
        check_metadata(text)?;
    }
    log.timestamp.check()?;
    if log.time.sent.is_some() {
        log.time.keep(gate.renamed(log.rows, "timestamp", false));
    }
    log.time.finish(log.rows);
    if !log.has_source {
        log.rows.string("source_type", "http");
    }
    Ok(())
}

/// What is known of a field that is checked.
enum Given {
    Missing,
    Right,
    Wrong(Refused),
}

impl Given {
    /// A text that has to be there; null and empty are the same as missing.
    fn text<'v>(name: &str, value: Scalar<'v>) -> Result<&'v str, Self> {
        match value {
            Scalar::String("") | Scalar::Null => Err(Self::Missing),
            Scalar::String(text) => Ok(text),
            _ => Err(Self::wrong(format!("{name} must be a string"))),
        }
    }

    fn wrong(what: impl Into<String>) -> Self {
        Self::Wrong(Refused::Wrong(what.into()))
    }

    fn check(self) -> Result<(), Refused> {
        match self {
            Self::Wrong(fault) => Err(fault),
            Self::Right | Self::Missing => Ok(()),
        }
    }
}

struct LogFields<'a> {
    rows: &'a mut BatchBuilder,
    arrival: Arrival,
    depth: usize,
    service: Given,
    level: Given,
    message: Given,
    timestamp: Given,
    time: EventTime,
    has_source: bool,
}

impl LogFields<'_> {
    /// A field of the record itself.
    fn top(&mut self, name: &str, value: Scalar<'_>) {
        match name {
            "service_name" => self.service = self.service_name(value),
            "level" => self.level = self.level(value),
            "message" => self.message = self.message(value),
            "timestamp" => {
                self.timestamp = match self.time.read(value, self.arrival, self.rows) {
                    Ok(()) => Given::Right,
                    Err(()) => Given::wrong("timestamp must be milliseconds since 1970"),
                };
            }
            // Nothing says as much as a source that is missing.
            "source_type" if matches!(value, Scalar::Null | Scalar::String("")) => {}
            _ => {
                self.has_source |= name == "source_type";
                push(self.rows, name, value);
            }
        }
    }

    fn service_name(&mut self, value: Scalar<'_>) -> Given {
        let name = match Given::text("service_name", value) {
            Ok(name) => name,
            Err(given) => return given,
        };
        if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
            return Given::wrong("service_name must contain only alphanumeric characters, dashes, and underscores");
        }
        self.rows.string("service_name", name);
        Given::Right
    }

    fn level(&mut self, value: Scalar<'_>) -> Given {
        let sent = match Given::text("level", value) {
            Ok(sent) => sent,
            Err(given) => return given,
        };
        let Some(level) = usual_level(sent) else {
            let sent: String = sent.chars().take(100).collect();
            let allowed = "DEBUG, INFO, WARN, WARNING, ERROR, CRITICAL";
            return Given::wrong(format!("Invalid log level: {sent}. Must be one of: {allowed}"));
        };
        self.rows.string("level", level);
        Given::Right
    }

    fn message(&mut self, value: Scalar<'_>) -> Given {
        match Given::text("message", value) {
            Ok(message) if message.trim().is_empty() => Given::wrong("message is required"),
            Ok(message) => {
                self.rows.string("_msg", message);
                Given::Right
            }
            Err(given) => given,
        }
    }
}

impl Fields for LogFields<'_> {
    fn enter(&mut self, name: &str) {
        if self.depth == 0 && matches!(name, "service_name" | "level" | "message" | "timestamp") {
            // The row will be refused, so it does not matter that the object's fields are pushed.
            self.top(name, Scalar::Json("{}"));
        }
        self.depth += 1;
        self.rows.enter(name);
    }

    fn leave(&mut self) {
        self.depth -= 1;
        self.rows.leave();
    }

    fn value(&mut self, name: &str, value: Scalar<'_>) {
        if self.depth == 0 { self.top(name, value) } else { push(self.rows, name, value) }
    }
}

/// Measures the metadata of a record that is large enough to exceed its limit.
fn check_metadata(text: &str) -> Result<(), Refused> {
    let fields = serde_json::Deserializer::from_str(text).deserialize_map(TopFields)?;
    let metadata = fields.into_iter().filter(|(name, _)| name == "metadata");
    let chars = metadata.map(|(_, raw)| json::compact(raw).chars().count()).max().unwrap_or(0);
    if chars > METADATA_CHARS_MAX {
        return Err(Refused::Wrong(format!("Metadata is too large ({chars} bytes). Maximum is 50KB.")));
    }
    Ok(())
}

/// Takes an object apart into names and the text of their values.
struct TopFields;

impl<'de> Visitor<'de> for TopFields {
    type Value = Vec<(String, &'de str)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::new();
        while let Some((name, raw)) = object.next_entry::<String, &'de RawValue>()? {
            fields.push((name, raw.get()));
        }
        Ok(fields)
    }
}

/// The texts of the records in `{"logs":[...]}`, of which there may be so many.
pub(crate) fn split_logs(body: &str, most: usize) -> Result<Vec<&str>, Refused> {
    let mut input = serde_json::Deserializer::from_str(body);
    let fields = input.deserialize_map(TopFields)?;
    input.end()?;
    let wrong = |what: &str| Refused::Wrong(what.to_owned());
    let logs = fields.into_iter().rev().find(|(name, _)| name == "logs").map(|(_, raw)| raw);
    let Some(logs) = logs.filter(|raw| raw.starts_with('[')) else {
        return Err(wrong("logs must be an array"));
    };
    let logs = serde_json::Deserializer::from_str(logs).deserialize_seq(Items { most })?;
    match logs.len() {
        0 => Err(wrong("logs array cannot be empty")),
        count if count <= most => Ok(logs),
        _ => Err(Refused::Wrong(format!("Maximum {most} logs per batch"))),
    }
}

/// Takes an array apart into the texts of its items, and stops keeping them after one too many.
struct Items {
    most: usize,
}

impl<'de> Visitor<'de> for Items {
    type Value = Vec<&'de str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of logs")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(raw) = array.next_element::<&'de RawValue>()? {
            items.push(raw.get());
            if items.len() > self.most {
                while array.next_element::<IgnoredAny>()?.is_some() {}
            }
        }
        Ok(items)
    }
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
