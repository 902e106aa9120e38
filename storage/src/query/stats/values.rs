//! `values` and `json_values`: all values, or all rows as JSON.
//!
//! Invariants
//! * A row without the field gives the empty text. In a row as JSON, fields stand in the order of their names, and empty ones
//!   are left out.
//! * A text is counted before it is kept, and with a limit no more than that are kept.
use super::{COPIES, Input};
use crate::error::Result;
use crate::query::budget::Held;
use crate::query::value::json::{show_array, show_object};

/// Texts in the order they came, up to a limit; 0 is none.
pub(crate) struct List {
    texts: Vec<String>,
    limit: u64,
}

impl List {
    pub(super) fn new(limit: u64) -> Self {
        Self { texts: Vec::new(), limit }
    }

    pub(super) fn add(&mut self, text: &str, held: &mut Held) -> Result<()> {
        if self.limit == 0 || (self.texts.len() as u64) < self.limit {
            held.add(COPIES * text.len() + 2 * size_of::<String>())?;
            self.texts.push(text.into());
        }
        Ok(())
    }

    pub(super) fn add_row(&mut self, input: &Input<'_>, row: usize, held: &mut Held) -> Result<()> {
        let mut fields: Vec<(&str, &str)> = input.columns.iter().map(|c| (c.name(), c.value(row))).collect();
        fields.sort_unstable();
        self.add(&show_object(fields), held)
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.texts.extend(other.texts);
        if self.limit > 0 {
            self.texts.truncate(usize::try_from(self.limit).unwrap_or(usize::MAX));
        }
    }

    pub(super) fn result(&self) -> String {
        show_array(self.texts.iter().map(String::as_str))
    }
}

#[cfg(test)]
mod tests {
    use crate::query::testing::check;

    #[test]
    fn values_keep_their_order() {
        check(
            "values(a) x, values(a) limit 1 y, json_values(b, a) limit 1 z",
            r#"{"a":"2","b":"q"}
{"b":"w"}
{"a":"1"}"#,
            r#"{"x":"[\"2\",\"\",\"1\"]","y":"[\"2\"]","z":"[\"{\\\"a\\\":\\\"2\\\",\\\"b\\\":\\\"q\\\"}\"]"}"#,
        );
    }
}
