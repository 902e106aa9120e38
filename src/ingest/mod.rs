//! Wire formats to rows: bytes in, rows pushed into a `BatchBuilder`.
//!
//! Invariants
//! * Pure: no I/O and no clock; the time of arrival is an argument.
//! * A record that is refused leaves no trace in the batch.
mod complaint;
pub(crate) mod foreign;
mod halves;
pub(crate) mod json;
pub(crate) mod lines;
pub(crate) mod log;
mod logfmt;
mod syslog;
mod text;
pub(crate) mod time;

use json::Scalar;
use logyard_storage::batch::BatchBuilder;
use logyard_storage::privacy::MASK;
use std::fmt;
use std::time::Duration;

/// When records arrive, and how late their times may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    at: i64,
    /// A record with a later time has its arrival as its time.
    latest: i64,
}

impl Arrival {
    /// Records that arrive now may be so far ahead.
    pub(crate) fn new(now: i64, max_future: Duration) -> Self {
        let ahead = i64::try_from(max_future.as_nanos()).unwrap_or(i64::MAX);
        Self { at: now, latest: now.saturating_add(ahead) }
    }

    /// Whether a time is not too far ahead to be a record's.
    pub(crate) fn takes(self, time: i64) -> bool {
        time <= self.latest
    }

    /// The time itself.
    pub(crate) fn at(self) -> i64 {
        self.at
    }
}

/// Who looks at each record once it is read, before it is kept.
pub(crate) trait Gate {
    /// Lets the row that is being collected in, changed where it has to be, or says why not.
    fn admit(&mut self, rows: &mut BatchBuilder) -> Result<(), Refused>;

    /// What is kept of a value of the row that was sent under a name and is kept under another. It is asked once all of the row is
    /// read, and before the row is admitted.
    fn renamed(&mut self, _rows: &BatchBuilder, _sent: &str, _is_array: bool) -> Kept {
        Kept::Whole
    }
}

/// What is kept of a value because of the name that it was sent under.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kept {
    #[default]
    Whole,
    /// That it was there.
    Masked,
    Nothing,
}

/// Lets everything in as it is.
pub(crate) struct Open;

impl Gate for Open {
    fn admit(&mut self, _: &mut BatchBuilder) -> Result<(), Refused> {
        Ok(())
    }
}

/// Why a record was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It is no JSON object: what is wrong, and the place.
    Malformed { what: String, line: usize, column: usize },
    /// It lacks a field that it has to have.
    Missing(&'static str),
    /// One of its fields is wrong.
    Wrong(String),
    /// It is right, and can be taken only after so many seconds.
    Later { what: String, seconds: u64 },
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { what, line, column } => {
                write!(f, "invalid JSON at line {line}, column {column}: {what}")
            }
            Self::Missing(field) => write!(f, "{field} is required"),
            Self::Wrong(what) | Self::Later { what, .. } => f.write_str(what),
        }
    }
}

impl From<serde_json::Error> for Refused {
    fn from(error: serde_json::Error) -> Self {
        Self::Malformed { what: json::what(&error), line: error.line(), column: error.column() }
    }
}

/// The text of a body or a line.
pub(crate) fn text(bytes: &[u8]) -> Result<&str, Refused> {
    simdutf8::compat::from_utf8(bytes).map_err(|e| {
        let valid = bytes.get(..e.valid_up_to()).unwrap_or_default();
        let line = valid.iter().filter(|byte| **byte == b'\n').count() + 1;
        let column = valid.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
        Refused::Malformed { what: "not UTF-8".into(), line, column }
    })
}

/// Reads a record's text into the row; where it is no JSON because characters in it were cut in half, once more without the halves.
fn with_halves<T>(
    text: &str,
    rows: &mut BatchBuilder,
    mut read: impl FnMut(&str, &mut BatchBuilder) -> Result<T, Refused>,
) -> Result<T, Refused> {
    let fault = match read(text, rows) {
        Err(fault @ Refused::Malformed { .. }) => fault,
        read => return read,
    };
    let text = halves::replaced(text).ok_or(fault)?;
    rows.begin_row();
    read(&text, rows)
}

/// A record's time while its fields are read.
#[derive(Default)]
struct EventTime {
    /// What was sent and lies too far ahead.
    sent: Option<String>,
}

impl EventTime {
    /// Takes a field's value as the row's time; `null`, an empty text and zero mean arrival.
    fn read(&mut self, value: Scalar<'_>, arrival: Arrival, rows: &mut BatchBuilder) -> Result<(), ()> {
        let (nanos, sent) = match value {
            Scalar::Null | Scalar::String("" | "0") | Scalar::Number("0") => return Ok(()),
            Scalar::String(text) => (time::from_text(text).ok_or(())?, text),
            Scalar::Number(spelling) => (time::from_number(spelling).ok_or(())?, spelling),
            Scalar::Bool(_) | Scalar::Json(_) => return Err(()),
        };
        if nanos > arrival.latest {
            self.sent = Some(sent.to_owned());
        } else {
            rows.time(nanos);
        }
        Ok(())
    }

    /// Keeps no more of the original than may be kept.
    fn keep(&mut self, kept: Kept) {
        match kept {
            Kept::Whole => {}
            Kept::Masked => self.sent = Some(MASK.to_owned()),
            Kept::Nothing => self.sent = None,
        }
    }

    /// Keeps the original of a time that was not taken.
    fn finish(self, rows: &mut BatchBuilder) {
        if let Some(sent) = self.sent {
            rows.string("_time_sent", &sent);
        }
    }
}

/// Pushes a value into the object that is open.
fn push(rows: &mut BatchBuilder, name: &str, value: Scalar<'_>) {
    match value {
        Scalar::String(text) => rows.string(name, text),
        Scalar::Number(spelling) => rows.number(name, spelling),
        Scalar::Bool(value) => rows.bool(name, value),
        Scalar::Null => rows.null(name),
        Scalar::Json(raw) => rows.json(name, raw),
    }
}

/// The rows of a builder as an engine gives them back, oldest first.
#[cfg(test)]
fn stored(rows: &mut BatchBuilder) -> Vec<logyard_storage::record::Record> {
    use logyard_storage::engine::{Ack, Append, Engine, Options, Search};
    let data = tempfile::tempdir().unwrap();
    let env = std::sync::Arc::new(logyard_storage::env::RealEnv::new());
    let engine = Engine::open(env, Options::new(data.path())).unwrap();
    engine.append(Append::new(rows.finish().unwrap(), Ack::Memory)).unwrap();
    let all = Search { limit: 1_000, ..Search::default() };
    let mut records = engine.search(&all).unwrap();
    records.sort_by_key(|record| record.seq);
    engine.close().unwrap();
    records
}
