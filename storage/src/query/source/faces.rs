//! Fields that are made of what a row is.
//!
//! Invariants
//! * They stand before the fields that were sent, and in the place of sent ones of the same name.
use super::columns::text_column;
use crate::error::Result;
use crate::query::block::{Column, Texts};
use crate::query::needed::Needed;
use crate::query::value::hash::xxh64;
use crate::scan::columns::View;
use rustc_hash::FxHashMap;

/// All of them. The last is made of `level`, and given only to who names it.
pub(in crate::query) const MADE: [&str; 5] = ["_time", "_stream_id", "_stream", "_id", SEVERITY];

pub(super) const SEVERITY: &str = "_severity";

/// The columns of those that are wanted.
pub(super) fn made(view: &View<'_>, wanted: &Needed) -> Result<Vec<Column>> {
    let mut columns = Vec::new();
    if wanted.has("_time") {
        columns.push(Column::times("_time", view.times()?).of_kind("time"));
    }
    if wanted.has("_stream_id") {
        columns.push(of_streams(view, "_stream_id", &stream_id)?);
    }
    if wanted.has("_stream") {
        columns.push(of_streams(view, "_stream", &str::to_string)?);
    }
    if wanted.has("_id") {
        let mut texts = Texts::default();
        view.ids()?.iter().for_each(|id| texts.push(&id.to_string()));
        columns.push(Column::new("_id", texts).of_kind("uuid"));
    }
    if wanted.names_it(SEVERITY) {
        let levels = text_column(view, "level")?;
        let mut texts = Texts::default();
        (0..view.len()).for_each(|row| texts.push(severity(levels.value(row))));
        columns.push(Column::new(SEVERITY, texts));
    }
    Ok(columns)
}

/// A column made of each row's stream.
fn of_streams(view: &View<'_>, name: &str, make: &dyn Fn(&str) -> String) -> Result<Column> {
    if let Some(only) = view.only_stream() {
        return Ok(Column::constant(name, &make(view.tags(only))));
    }
    let (mut places, mut texts) = (FxHashMap::default(), Texts::default());
    let place = |stream: &u32| {
        *places.entry(*stream).or_insert_with(|| {
            texts.push(&make(view.tags(*stream)));
            texts.len() as u32 - 1
        })
    };
    let rows = view.streams()?.iter().map(place).collect();
    Ok(Column::listed(name, texts, rows))
}

/// The number of a stream: as many digits as clients of the language expect.
pub(in crate::query) fn stream_id(tags: &str) -> String {
    let more = format!("{tags}\0");
    format!("{:016x}{:016x}{:016x}", 0, xxh64(tags.as_bytes()), xxh64(more.as_bytes()))
}

/// The severity that a level stands for, by its usual spellings.
fn severity(level: &str) -> &'static str {
    match level.to_ascii_uppercase().as_str() {
        "TRACE" | "DEBUG" | "VERBOSE" | "FINE" | "FINER" | "FINEST" | "DBG" | "D" | "T" | "7" => "DEBUG",
        "INFO" | "INFORMATION" | "INFORMATIONAL" | "NOTICE" | "LOG" | "I" | "N" | "5" | "6" => "INFO",
        "WARN" | "WARNING" | "W" | "4" => "WARN",
        "ERROR" | "ERR" | "SEVERE" | "E" | "3" => "ERROR",
        "CRITICAL" | "CRIT" | "FATAL" | "ALERT" | "EMERG" | "EMERGENCY" | "PANIC" | "C" | "F" | "0" | "1" | "2" => {
            "CRITICAL"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_spellings_have_a_severity() {
        for (level, wanted) in [("warning", "WARN"), ("Fatal", "CRITICAL"), ("err", "ERROR"), ("", ""), ("odd", "")] {
            assert_eq!(severity(level), wanted, "{level}");
        }
    }

    #[test]
    fn streams_have_numbers_of_their_own() {
        let (a, b) = (stream_id("{a=\"1\"}"), stream_id("{a=\"2\"}"));
        assert!(a.len() == 48 && a != b);
    }
}
