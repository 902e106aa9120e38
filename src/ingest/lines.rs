//! JSON lines: one record a line, each field kept as sent, with names for the time and the message.
//!
//! Invariants
//! * A blank line is no record. A bad line is refused alone, and says its line and column.
//! * The field that is the time becomes the row's `_time`, the field that is the message its `_msg`; nothing else is
//!   renamed. Of several candidates the first one in the record that has a value is taken.
//! * What becomes the time or the message is hidden as its own name asks for, too: another name is no way around that. A line of
//!   which something is hidden so is read twice.
use super::json::{self, Fields, Scalar};
use super::{Arrival, EventTime, Gate, Kept, Refused, push, with_halves};
use logyard_storage::batch::BatchBuilder;
use logyard_storage::privacy::MASK;

/// Which fields mean what; nested ones by their dotted name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FieldNames {
    time: Vec<String>,
    message: Vec<String>,
    /// Whether any name can be nested.
    has_dots: bool,
}

impl FieldNames {
    /// From comma-separated names; empty ones stand for `_time` and `_msg`.
    pub(crate) fn new(time: &str, message: &str) -> Self {
        let split = |names: &str, default: &str| -> Vec<String> {
            let names: Vec<_> = names.split(',').map(str::trim).filter(|n| !n.is_empty()).map(str::to_owned).collect();
            if names.is_empty() { vec![default.to_owned()] } else { names }
        };
        let (time, message) = (split(time, "_time"), split(message, "_msg"));
        let has_dots = time.iter().chain(&message).any(|name| name.contains('.'));
        Self { time, message, has_dots }
    }
}

/// Adds one line as a row and says whether it was one.
pub(crate) fn read_line(
    line: &[u8],
    number: usize,
    names: &FieldNames,
    arrival: Arrival,
    rows: &mut BatchBuilder,
    gate: &mut impl Gate,
) -> Result<bool, Refused> {
    if line.trim_ascii().is_empty() {
        return Ok(false);
    }
    rows.begin_row();
    let read = super::text(line).and_then(|text| {
        with_halves(text, rows, |text, rows| read_fields(text, names, arrival, rows, gate))?;
        gate.admit(rows)
    });
    match read {
        Ok(()) => {
            rows.commit_row();
            Ok(true)
        }
        Err(fault) => {
            rows.abort_row();
            Err(match fault {
                Refused::Malformed { what, column, .. } => Refused::Malformed { what, line: number, column },
                Refused::Later { what, seconds } => Refused::Later { what: format!("line {number}: {what}"), seconds },
                other => Refused::Wrong(format!("line {number}: {other}")),
            })
        }
    }
}

fn read_fields(
    text: &str,
    names: &FieldNames,
    arrival: Arrival,
    rows: &mut BatchBuilder,
    gate: &mut impl Gate,
) -> Result<(), Refused> {
    let renamed = read_once(text, names, arrival, rows, Hidden::default())?;
    let time = renamed.time.map_or(Kept::Whole, |name| gate.renamed(rows, name, false));
    let message = renamed.message.map_or(Kept::Whole, |(name, is_array)| gate.renamed(rows, name, is_array));
    let hidden = Hidden { time, message };
    if hidden != Hidden::default() {
        rows.begin_row();
        read_once(text, names, arrival, rows, hidden)?;
    }
    Ok(())
}

/// What is kept of a line's time and message.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Hidden {
    time: Kept,
    message: Kept,
}

/// The names under which a line's time and message were sent, where these are others than theirs.
#[derive(Default)]
struct Renamed<'a> {
    time: Option<&'a str>,
    /// With whether it is an array.
    message: Option<(&'a str, bool)>,
}

fn read_once<'a>(
    text: &str,
    names: &'a FieldNames,
    arrival: Arrival,
    rows: &mut BatchBuilder,
    hidden: Hidden,
) -> Result<Renamed<'a>, Refused> {
    let mut fields = LineFields {
        rows,
        names,
        arrival,
        hidden,
        path: Vec::new(),
        depth: 0,
        has_time: false,
        has_message: false,
        renamed: Renamed::default(),
        time: EventTime::default(),
        wrong_time: None,
    };
    json::read_object(text, &mut fields)?;
    if let Some(fault) = fields.wrong_time {
        return Err(fault);
    }
    fields.time.finish(fields.rows);
    Ok(fields.renamed)
}

struct LineFields<'r, 'a> {
    rows: &'r mut BatchBuilder,
    names: &'a FieldNames,
    arrival: Arrival,
    hidden: Hidden,
    /// Names of the open objects, kept only if a wanted name may lie in them.
    path: Vec<String>,
    depth: usize,
    has_time: bool,
    has_message: bool,
    renamed: Renamed<'a>,
    time: EventTime,
    wrong_time: Option<Refused>,
}

impl<'a> LineFields<'_, 'a> {
    /// The one of `wanted` that the field `name` of the open object is.
    fn which(&self, wanted: &'a [String], name: &str) -> Option<&'a str> {
        if self.depth == 0 {
            return wanted.iter().find(|wanted| *wanted == name).map(String::as_str);
        }
        if !self.names.has_dots {
            return None;
        }
        let matches = |wanted: &&String| {
            let rest =
                self.path.iter().try_fold(wanted.as_str(), |rest, part| rest.strip_prefix(part)?.strip_prefix('.'));
            rest == Some(name)
        };
        wanted.iter().find(matches).map(String::as_str)
    }

    /// Takes a field as the time, as far as that may be kept.
    fn take_time(&mut self, sent: &'a str, name: &str, value: Scalar<'_>) {
        if self.hidden.time != Kept::Whole {
            return self.time.keep(self.hidden.time);
        }
        self.renamed.time = (sent != "_time").then_some(sent);
        if self.time.read(value, self.arrival, self.rows).is_err() {
            self.wrong_time = Some(Refused::Wrong(format!("{name} is no time that can be read")));
        }
    }

    /// Takes a field as the message, as far as that may be kept.
    fn take_message(&mut self, sent: &'a str, value: Scalar<'_>) {
        match self.hidden.message {
            Kept::Whole => self.push_at_top("_msg", value),
            Kept::Masked => self.push_at_top("_msg", Scalar::String(MASK)),
            Kept::Nothing => {}
        }
        self.renamed.message = (sent != "_msg").then_some((sent, matches!(value, Scalar::Json(_))));
    }

    /// Pushes a field of the record itself from within its open objects.
    fn push_at_top(&mut self, name: &str, value: Scalar<'_>) {
        for _ in 0..self.depth {
            self.rows.leave();
        }
        push(self.rows, name, value);
        for part in &self.path {
            self.rows.enter(part);
        }
    }
}

impl Fields for LineFields<'_, '_> {
    fn enter(&mut self, name: &str) {
        if self.names.has_dots {
            self.path.push(name.to_owned());
        }
        self.depth += 1;
        self.rows.enter(name);
    }

    fn leave(&mut self) {
        self.path.pop();
        self.depth -= 1;
        self.rows.leave();
    }

    fn value(&mut self, name: &str, value: Scalar<'_>) {
        let is_empty = matches!(value, Scalar::Null | Scalar::String(""));
        let names = self.names;
        if !self.has_time
            && let Some(sent) = self.which(&names.time, name)
        {
            self.has_time = !is_empty;
            self.take_time(sent, name, value);
        } else if !self.has_message
            && !is_empty
            && let Some(sent) = self.which(&names.message, name)
        {
            self.has_message = true;
            self.take_message(sent, value);
        } else {
            push(self.rows, name, value);
        }
    }
}

#[cfg(test)]
#[path = "lines_tests.rs"]
mod tests;
