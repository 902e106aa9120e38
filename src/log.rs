//! Logyard's own log: lines on standard error, and the same as records of the service `logyard`.
//!
//! Everything that the program says while it serves comes through here. A line is text, or JSON with `--log-format json`. What is to
//! become a record waits in a queue until the server stores it (`server/own.rs`).
//!
//! Invariants
//! * Nobody who logs waits: the queue has at most [`WAITING_MAX`] entries of [`MESSAGE_BYTES_MAX`], and what does not fit is counted.
//! * No more than [`LINES_MAX`] lines are logged a second, so that clients cannot fill the operator's disk; how many were left out is told.
//! * The log never feeds itself: what goes wrong while its records are stored is said by [`aside`], which makes no record.
use logyard_storage::query::time_text;
use serde_json::{Map, Value};
use std::collections::VecDeque;
use std::fmt;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// Entries that wait to become records.
const WAITING_MAX: usize = 1_000;
/// Bytes of a message; the rest is left out.
const MESSAGE_BYTES_MAX: usize = 8 << 10;
/// Lines of one second.
const LINES_MAX: u32 = 200;
const SECOND: i64 = 1_000_000_000;

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Somebody has to do something.
    Error,
    /// Somebody should look at it.
    Warn,
    /// What happened.
    Info,
    /// Each request, and what else is of use to who looks for a fault.
    Debug,
}

impl Level {
    /// All of them, the most important first.
    pub(crate) const ALL: [Self; 4] = [Self::Error, Self::Warn, Self::Info, Self::Debug];

    /// Its name in settings and counters.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }

    /// The level of its records.
    pub(crate) fn of_records(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Warn => "WARN",
            Self::Info => "INFO",
            Self::Debug => "DEBUG",
        }
    }
}

/// What lines look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// One JSON object each.
    Json,
}

/// What somebody said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Nanoseconds since 1970.
    pub(crate) time: i64,
    pub(crate) level: Level,
    pub(crate) message: String,
    pub(crate) fields: Vec<(&'static str, String)>,
}

/// The lines of the second that is now.
#[derive(Debug)]
struct Pace {
    second: i64,
    lines: u32,
    left_out: u64,
}

impl Pace {
    /// Whether there may be another line, and how many were left out since the last that there was.
    fn admit(&mut self, time: i64) -> Option<u64> {
        let second = time.div_euclid(SECOND);
        if second != self.second {
            (self.second, self.lines) = (second, 0);
        }
        if self.lines >= LINES_MAX {
            self.left_out += 1;
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

/// The log of this process.
struct Log {
    level: Level,
    format: Format,
    /// Where this server runs, as the operator calls it; empty where nothing is said.
    environment: String,
    waiting: Mutex<VecDeque<Entry>>,
    counts: [AtomicU64; Level::ALL.len()],
    dropped: AtomicU64,
    left_out: AtomicU64,
    pace: Mutex<Pace>,
}

impl Log {
    const fn new(level: Level, format: Format, environment: String) -> Self {
        Self {
            level,
            format,
            environment,
            waiting: Mutex::new(VecDeque::new()),
            counts: [const { AtomicU64::new(0) }; Level::ALL.len()],
            dropped: AtomicU64::new(0),
            left_out: AtomicU64::new(0),
            pace: Mutex::new(Pace { second: 0, lines: 0, left_out: 0 }),
        }
    }

    /// Counts an entry and gives the line that says it, where it matters enough.
    fn line(&self, entry: &Entry) -> Option<String> {
        if entry.level > self.level {
            return None;
        }
        if let Some(count) = self.counts.get(entry.level as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        Some(match self.format {
            Format::Text => text_line(entry),
            Format::Json => json_line(entry, &self.environment),
        })
    }

    /// Keeps an entry until somebody makes a record of it.
    fn keep(&self, entry: Entry) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < WAITING_MAX {
            waiting.push_back(entry);
        } else {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// One line, whatever is in the message: what would end it or move the cursor is escaped.
fn text_line(entry: &Entry) -> String {
    let mut line = format!("{} {:<5} {}", time_text(entry.time), entry.level.of_records(), escaped(&entry.message));
    for (name, value) in &entry.fields {
        line.push_str(&format!(" {name}={}", escaped(value)));
    }
    line
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

fn json_line(entry: &Entry, environment: &str) -> String {
    let mut object = Map::new();
    let mut put = |name: &str, value: &str| object.insert(name.to_owned(), Value::from(value));
    put("time", &time_text(entry.time));
    put("level", entry.level.name());
    put("message", &entry.message);
    if !environment.is_empty() {
        put("environment", environment);
    }
    for (name, value) in &entry.fields {
        put(name, value);
    }
    Value::Object(object).to_string()
}

static LOG: OnceLock<Log> = OnceLock::new();
static BEFORE: Log = Log::new(Level::Info, Format::Text, String::new());

fn log() -> &'static Log {
    LOG.get().unwrap_or(&BEFORE)
}

/// Says how to log from now on; once, at the start of a server.
pub(crate) fn set_up(level: Level, format: Format, environment: &str) {
    // Who comes second is right as well: there is one server in a process.
    let _is_first = LOG.set(Log::new(level, format, environment.to_owned()));
}

/// Whether what matters so much is logged.
pub(crate) fn is_on(level: Level) -> bool {
    level <= log().level
}

/// The name of the environment.
pub(crate) fn environment() -> &'static str {
    &log().environment
}

/// Something that somebody has to see to.
pub(crate) fn error(what: fmt::Arguments<'_>) {
    say(Level::Error, what, Vec::new());
}

/// Something that somebody should look at.
pub(crate) fn warn(what: fmt::Arguments<'_>) {
    say(Level::Warn, what, Vec::new());
}

/// Logs it, and has it made a record.
pub(crate) fn say(level: Level, what: fmt::Arguments<'_>, fields: Vec<(&'static str, String)>) {
    if !is_on(level) {
        return;
    }
    let log = log();
    let entry = entry(level, what, fields);
    let admitted = log.pace.lock().unwrap_or_else(PoisonError::into_inner).admit(entry.time);
    let Some(left_out) = admitted else {
        log.left_out.fetch_add(1, Ordering::Relaxed);
        return;
    };
    if left_out > 0 {
        aside(Level::Warn, format_args!("{left_out} lines were left out, being more than {LINES_MAX} a second"));
    }
    write(&entry);
    log.keep(entry);
}

/// Logs it without a record: of the storing of records, and of what is a record by other means.
pub(crate) fn aside(level: Level, what: fmt::Arguments<'_>) {
    if is_on(level) {
        write(&entry(level, what, Vec::new()));
    }
}

/// Says it where people look who start a server by hand: bare as text, as any other line as JSON.
pub(crate) fn greet(what: fmt::Arguments<'_>) {
    match log().format {
        Format::Json => aside(Level::Info, what),
        Format::Text => put(&what.to_string()),
    }
}

/// What waits to become records.
pub(crate) fn take() -> Vec<Entry> {
    std::mem::take(&mut *log().waiting.lock().unwrap_or_else(PoisonError::into_inner)).into()
}

/// Says that so many entries that were taken did not become records.
pub(crate) fn lose(entries: usize) {
    log().dropped.fetch_add(entries as u64, Ordering::Relaxed);
}

/// What was logged so far.
pub(crate) struct Counts {
    /// Lines of each level.
    pub(crate) lines: Vec<(Level, u64)>,
    /// Lines that were too many.
    pub(crate) left_out: u64,
    /// Lines that did not become records.
    pub(crate) dropped: u64,
}

/// What was logged so far.
pub(crate) fn counts() -> Counts {
    let log = log();
    let lines = Level::ALL.into_iter().zip(log.counts.iter().map(|count| count.load(Ordering::Relaxed)));
    let (left_out, dropped) = (log.left_out.load(Ordering::Relaxed), log.dropped.load(Ordering::Relaxed));
    Counts { lines: lines.collect(), left_out, dropped }
}

fn entry(level: Level, what: fmt::Arguments<'_>, fields: Vec<(&'static str, String)>) -> Entry {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let mut message = what.to_string();
    if message.len() > MESSAGE_BYTES_MAX {
        message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
        message.push_str("...");
    }
    Entry { time: i64::try_from(now).unwrap_or(i64::MAX), level, message, fields }
}

fn write(entry: &Entry) {
    if let Some(line) = log().line(entry) {
        put(&line);
    }
}

fn put(line: &str) {
    // In one piece, so that lines of several threads do not mix. Where nobody reads it there is nobody to tell.
    let _is_read = std::io::stderr().lock().write_all(format!("{line}\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(level: Level, message: &str) -> Entry {
        Entry {
            time: 1_700_000_000_000_000_000,
            level,
            message: message.into(),
            fields: vec![("status", "200".into())],
        }
    }

    #[test]
    fn a_line_is_one_line_whatever_is_said() {
        let log = Log::new(Level::Info, Format::Text, "prod".into());
        let line = log.line(&some(Level::Warn, "a\nb\u{1b}[2J")).unwrap();
        assert_eq!(line, r"2023-11-14T22:13:20Z WARN  a\nb\u{1b}[2J status=200");
        assert!(log.line(&some(Level::Debug, "x")).is_none());
        let log = Log::new(Level::Debug, Format::Json, "prod".into());
        let line = log.line(&some(Level::Debug, "a\n\"b\"")).unwrap();
        let read: Value = serde_json::from_str(&line).unwrap();
        assert!(!line.contains('\n'));
        assert_eq!((read["message"].as_str(), read["environment"].as_str()), (Some("a\n\"b\""), Some("prod")));
        assert_eq!((read["level"].as_str(), read["status"].as_str()), (Some("debug"), Some("200")));
    }

    #[test]
    fn a_second_has_so_many_lines() {
        let mut pace = Pace { second: 0, lines: 0, left_out: 0 };
        let admitted = (0..LINES_MAX + 3).filter(|_| pace.admit(5 * SECOND).is_some()).count();
        assert_eq!(admitted, LINES_MAX as usize);
        assert_eq!((pace.admit(6 * SECOND), pace.admit(6 * SECOND)), (Some(3), Some(0)));
    }

    #[test]
    fn what_waits_is_bounded_and_the_rest_counted() {
        let log = Log::new(Level::Info, Format::Text, String::new());
        for _ in 0..WAITING_MAX + 7 {
            log.keep(some(Level::Info, "x"));
        }
        assert_eq!(log.waiting.lock().unwrap().len(), WAITING_MAX);
        assert_eq!(log.dropped.load(Ordering::Relaxed), 7);
        let long = entry(Level::Info, format_args!("{}", "ä".repeat(MESSAGE_BYTES_MAX)), Vec::new());
        assert!(long.message.len() <= MESSAGE_BYTES_MAX + 3 && long.message.ends_with("ä..."));
    }
}
