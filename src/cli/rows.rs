//! Rows of an answer on standard output: a table, JSON lines, CSV, or the messages alone.
//!
//! Invariants
//! * JSON lines into a pipe are what the server sent, byte for byte. What goes to a terminal has no control bytes.
//! * A table waits for [`TABLE_ROWS`] rows, or [`TABLE_WAIT`], to know its widths; it then writes rows as they come.
//! * Columns of CSV are those that were named, and without rows there is their header; where none were, those of the first
//!   [`CSV_ROWS`] rows, and a field that first comes later fails the command, and says so.
use super::terminal::{Paint, is_shown, printable, printable_json, printable_lines};
use super::{Failure, cannot_write};
use clap::ValueEnum;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, BufWriter, Stdout, Write};
use std::time::{Duration, Instant};

const TABLE_ROWS: usize = 200;
const TABLE_WAIT: Duration = Duration::from_millis(300);
/// A column is padded up to here; longer values push the rest of their row to the right.
const WIDTH_MAX: usize = 36;
const CSV_ROWS: usize = 1_000;
/// Bytes of rows that wait to know the columns.
const WAITING_BYTES_MAX: usize = 8 << 20;
/// What a server adds to each record, and a table of whole records leaves out.
const ADDED: [&str; 3] = ["_stream", "_stream_id", "_id"];
const FIRST: [&str; 4] = ["_time", "level", "service_name", "service"];

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// Columns for people; what goes to a terminal unless something else is asked for.
    Table,
    /// One JSON object a line; what goes into a pipe unless something else is asked for.
    Ndjson,
    /// Comma-separated values, with the names in the first line.
    Csv,
    /// The message alone.
    Raw,
}

impl Output {
    /// What was asked for, or what suits who reads.
    pub(super) fn or_suited(asked: Option<Self>) -> Self {
        asked.unwrap_or(if is_shown() { Self::Table } else { Self::Ndjson })
    }
}

/// A row: its fields in their order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row(pub(super) Vec<(String, String)>);

impl Row {
    /// Reads a JSON line.
    pub(super) fn read(line: &str) -> Result<Self, Failure> {
        serde_json::from_str(line).map_err(|e| Failure::Failed(format!("the server sent what is no row: {e}")))
    }

    /// The value of a field; empty where it has none.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| key == name)
    }
}

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Row;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Row, A::Error> {
                let mut fields = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    let text = match value {
                        Value::String(text) => text,
                        Value::Null => String::new(),
                        other => other.to_string(),
                    };
                    fields.push((name, text));
                }
                Ok(Row(fields))
            }
        }
        from.deserialize_map(Fields)
    }
}

/// Writes rows.
pub(super) struct Printer<W: Write = BufWriter<Stdout>> {
    out: W,
    output: Output,
    is_shown: bool,
    paint: Paint,
    /// Rows that wait for the columns to be known, and their bytes.
    waiting: Vec<Row>,
    waiting_bytes: usize,
    since: Option<Instant>,
    /// The columns and their widths, once they are known.
    columns: Option<Vec<(String, usize)>>,
    /// The columns are those of whole records, without what a server adds to each.
    is_whole: bool,
    /// Names that come first, in this order; of CSV there are no others.
    named: Vec<String>,
    /// Names that CSV has no column for.
    surplus: BTreeSet<String>,
}

impl Printer {
    /// To standard output.
    pub(super) fn new(asked: Option<Output>) -> Self {
        let out = BufWriter::with_capacity(1 << 16, io::stdout());
        Self::to(out, Output::or_suited(asked), is_shown(), Paint::of_stdout())
    }
}

impl<W: Write> Printer<W> {
    fn to(out: W, output: Output, is_shown: bool, paint: Paint) -> Self {
        let (waiting, named, surplus) = (Vec::new(), Vec::new(), BTreeSet::new());
        Self {
            out,
            output,
            is_shown,
            paint,
            waiting,
            waiting_bytes: 0,
            since: None,
            columns: None,
            is_whole: false,
            named,
            surplus,
        }
    }

    /// Has columns in the order of these names, before those of others; as CSV just these.
    pub(super) fn with_columns(mut self, mut named: Vec<String>) -> Self {
        let mut seen = BTreeSet::new();
        named.retain(|name| seen.insert(name.clone()));
        self.named = named;
        self
    }

    /// Whether the columns are known before there are rows.
    fn is_known(&self) -> bool {
        self.output == Output::Csv && !self.named.is_empty()
    }

    /// Writes a row that came as a JSON line.
    pub(super) fn line(&mut self, line: &str) -> Result<(), Failure> {
        match self.output {
            Output::Ndjson => {
                let line = if self.is_shown { printable_json(line) } else { line.into() };
                writeln!(self.out, "{line}").map_err(cannot_write)
            }
            Output::Raw => self.raw(line),
            Output::Table | Output::Csv => {
                let row = Row::read(line)?;
                if self.columns.is_some() {
                    return self.row(&row).map_err(cannot_write);
                }
                self.waiting.push(row);
                self.waiting_bytes += line.len();
                let since = *self.since.get_or_insert_with(Instant::now);
                let is_table = self.output == Output::Table;
                let rows = if is_table { TABLE_ROWS } else { CSV_ROWS };
                let is_due = is_table && since.elapsed() >= TABLE_WAIT;
                let is_due = is_due || self.is_known();
                if self.waiting.len() >= rows || self.waiting_bytes >= WAITING_BYTES_MAX || is_due {
                    self.settle().map_err(cannot_write)?;
                }
                Ok(())
            }
        }
    }

    /// Writes what waits.
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        self.out.flush().map_err(cannot_write)
    }

    /// Ends the answer.
    pub(super) fn end(&mut self) -> Result<(), Failure> {
        if self.columns.is_none() && (!self.waiting.is_empty() || self.is_known()) {
            self.settle().map_err(cannot_write)?;
        }
        self.flush()?;
        if self.surplus.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = self.surplus.iter().map(|name| printable(name).into_owned()).collect();
        Err(Failure::Failed(format!(
            "the CSV lacks fields that first came after row {CSV_ROWS}: {}; name the columns with `| fields a, b`",
            names.join(", ")
        )))
    }

    /// Writes a row as a line that follows no other: for rows that come one by one.
    pub(super) fn live(&mut self, line: &str) -> Result<(), Failure> {
        if self.output != Output::Table {
            return self.line(line);
        }
        let row = Row::read(line)?;
        let level = row.get("level");
        let time = self.paint.dim(&printable(row.get("_time")));
        let padded = self.paint.level(level, &format!("{:<5}", printable(level)));
        let mut text = format!("{time} {padded} {}", printable(row.get("service_name")));
        if row.has("_msg") {
            text.push_str("  ");
            text.push_str(&printable_lines(row.get("_msg")));
        }
        let shown = ["_time", "level", "service_name", "_msg"];
        for (name, value) in &row.0 {
            if !shown.contains(&name.as_str()) && !ADDED.contains(&name.as_str()) {
                text.push_str(&self.paint.dim(&format!(" {}={}", printable(name), printable(value))));
            }
        }
        writeln!(self.out, "{}", text.trim_start()).map_err(cannot_write)
    }

    /// The message of a row, or all of it where it has none.
    fn raw(&mut self, line: &str) -> Result<(), Failure> {
        let row = Row::read(line)?;
        let text = if row.has("_msg") { row.get("_msg") } else { line };
        let text = if self.is_shown { printable_lines(text) } else { text.into() };
        writeln!(self.out, "{text}").map_err(cannot_write)
    }

    /// Settles the columns by the rows that wait, and writes these.
    fn settle(&mut self) -> io::Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        self.is_whole = has_added(&names(&waiting));
        let mut columns = match self.output {
            Output::Csv if self.is_known() => self.named.clone(),
            Output::Csv => names(&waiting),
            _ => in_order(names(&waiting)),
        };
        if !self.named.is_empty() {
            columns.sort_by_key(|name| self.named.iter().position(|named| named == name).unwrap_or(usize::MAX));
        }
        let width = |name: &String| {
            let values = waiting.iter().map(|row| chars(&printable(row.get(name))));
            values.chain([chars(name)]).max().unwrap_or(0).min(WIDTH_MAX)
        };
        let columns: Vec<(String, usize)> = columns.iter().map(|name| (name.clone(), width(name))).collect();
        let header = Row(columns.iter().map(|(name, _)| (name.clone(), name.clone())).collect());
        self.columns = Some(columns);
        match self.output {
            Output::Csv => self.row(&header)?,
            _ => {
                let line = self.table_line(&header, false);
                writeln!(self.out, "{}", self.paint.bold(&line))?;
            }
        }
        waiting.iter().try_for_each(|row| self.row(row))
    }

    fn row(&mut self, row: &Row) -> io::Result<()> {
        let line = match self.output {
            Output::Csv => self.csv_line(row),
            _ => self.table_line(row, true),
        };
        writeln!(self.out, "{line}")
    }

    fn table_line(&self, row: &Row, is_row: bool) -> String {
        let columns = self.columns.as_deref().unwrap_or_default();
        let mut line = String::new();
        for (at, (name, width)) in columns.iter().enumerate() {
            let value = printable(row.get(name));
            let padding = if at + 1 == columns.len() { 0 } else { width.saturating_sub(chars(&value)) + 2 };
            match name.as_str() {
                "level" if is_row => line.push_str(&self.paint.level(&value, &value)),
                "_time" if is_row => line.push_str(&self.paint.dim(&value)),
                _ => line.push_str(&value),
            }
            line.extend(std::iter::repeat_n(' ', padding));
        }
        // A row between groups of whole records is none itself.
        let is_whole = self.is_whole || ADDED.iter().all(|name| row.has(name));
        for (name, value) in &row.0 {
            let is_left_out = is_whole && ADDED.contains(&name.as_str());
            if !is_left_out && !value.is_empty() && !columns.iter().any(|(column, _)| column == name) {
                line.push_str(&format!("  {}={}", printable(name), printable(value)));
            }
        }
        line.truncate(line.trim_end().len());
        line
    }

    fn csv_line(&mut self, row: &Row) -> String {
        let columns = self.columns.as_deref().unwrap_or_default();
        for (name, _) in &row.0 {
            if !self.is_known() && self.surplus.len() < CSV_ROWS && !columns.iter().any(|(column, _)| column == name) {
                self.surplus.insert(name.clone());
            }
        }
        let cells: Vec<String> = columns.iter().map(|(name, _)| self.csv_cell(row.get(name))).collect();
        cells.join(",")
    }

    fn csv_cell(&self, value: &str) -> String {
        let value = if self.is_shown { printable(value) } else { value.into() };
        if value.contains([',', '"', '\n', '\r']) || value.starts_with(' ') || value.ends_with(' ') {
            format!("\"{}\"", value.replace('"', "\"\""))
        } else {
            value.into_owned()
        }
    }
}

/// The names of the fields of rows, in the order in which they first come.
fn names(rows: &[Row]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let all = rows.iter().flat_map(|row| row.0.iter().map(|(name, _)| name));
    all.filter(|name| seen.insert(*name)).cloned().collect()
}

/// The columns of a table: when, how bad and who first, the message last. Of whole records what a server adds is left out.
fn in_order(names: Vec<String>) -> Vec<String> {
    let is_whole = has_added(&names);
    let rank = |name: &str| match FIRST.iter().position(|first| *first == name) {
        Some(at) => at,
        None if name == "_msg" => usize::MAX,
        None => FIRST.len(),
    };
    let mut names: Vec<String> =
        names.into_iter().filter(|name| !is_whole || !ADDED.contains(&name.as_str())).collect();
    if names.iter().any(|name| name == "_msg") {
        names.sort_by_key(|name| rank(name));
    }
    names
}

/// Whether names are those of whole records.
fn has_added(names: &[String]) -> bool {
    ADDED.iter().all(|added| names.iter().any(|name| name == added))
}

fn chars(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
