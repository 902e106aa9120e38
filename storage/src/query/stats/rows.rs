//! `row_any`, `row_min` and `row_max`: a row, as JSON.
//!
//! Invariants
//! * `row_min` and `row_max` pass over rows in which the field that they compare by is empty; of equal rows the one that is
//!   kept stays.
//! * One row is kept, and counted.
use super::Input;
use crate::error::Result;
use crate::query::budget::Held;
use crate::query::value::json::show_object;
use crate::query::value::order::Ranked;

fn row(input: &Input<'_>, row: usize) -> String {
    show_object(input.columns.iter().map(|column| (column.name(), column.value(row))))
}

/// The first row that came.
#[derive(Default)]
pub(crate) struct AnyRow {
    row: Option<String>,
}

impl AnyRow {
    pub(super) fn add(&mut self, input: &Input<'_>, at: usize, held: &mut Held) -> Result<()> {
        if self.row.is_none() {
            let mut fields: Vec<(&str, &str)> = input.columns.iter().map(|c| (c.name(), c.value(at))).collect();
            fields.sort_unstable();
            let row = show_object(fields);
            held.add(row.len())?;
            self.row = Some(row);
        }
        Ok(())
    }

    pub(super) fn merge(&mut self, other: Self, held: &mut Held) {
        match self.row {
            None => self.row = other.row,
            Some(_) => held.give_back(other.row.map_or(0, |row| row.len())),
        }
    }

    pub(super) fn result(&mut self) -> String {
        self.row.take().unwrap_or_else(|| "{}".into())
    }
}

/// The row with the least or the greatest value that is not empty.
pub(crate) struct ExtremeRow {
    value: Option<Ranked<String>>,
    row: String,
    greatest: bool,
}

impl ExtremeRow {
    pub(super) fn least() -> Self {
        Self { value: None, row: String::new(), greatest: false }
    }

    pub(super) fn greatest() -> Self {
        Self { greatest: true, ..Self::least() }
    }

    pub(super) fn add(&mut self, input: &Input<'_>, at: usize, held: &mut Held) -> Result<()> {
        let value = input.by.map_or("", |column| column.value(at));
        if value.is_empty() {
            return Ok(());
        }
        let new = Ranked::new(value);
        let better =
            self.value.as_ref().is_none_or(|known| if self.greatest { known.less(&new) } else { new.less(known) });
        if better {
            let row = row(input, at);
            held.add(row.len() + value.len())?;
            held.give_back(self.bytes());
            self.value = Some(Ranked::new(value.to_string()));
            self.row = row;
        }
        Ok(())
    }

    /// What it holds.
    fn bytes(&self) -> usize {
        self.row.len() + self.value.as_ref().map_or(0, |known| known.text.len())
    }

    pub(super) fn merge(&mut self, other: Self, held: &mut Held) {
        let is_better = match (&self.value, &other.value) {
            (_, None) => false,
            (None, _) => true,
            (Some(own), Some(other)) => {
                if self.greatest {
                    own.less(other)
                } else {
                    other.less(own)
                }
            }
        };
        let dropped = if is_better { std::mem::replace(self, other) } else { other };
        held.give_back(dropped.bytes());
    }

    pub(super) fn result(&mut self) -> String {
        if self.row.is_empty() { "{}".into() } else { std::mem::take(&mut self.row) }
    }
}

#[cfg(test)]
mod tests {
    use crate::query::testing::check;

    #[test]
    fn a_row_is_json() {
        check(
            "row_any(b, a) x, row_max(a) y, row_min(a, b) z",
            r#"{"b":"x","a":"1"}
{"b":"y","a":"10"}"#,
            r#"{"x":"{\"a\":\"1\",\"b\":\"x\"}","y":"{\"b\":\"y\",\"a\":\"10\"}","z":"{\"b\":\"x\"}"}"#,
        );
        check("row_max(none) y", r#"{"a":"1"}"#, r#"{"y":"{}"}"#);
    }
}
