//! `values` and `json_values`: all values, or all rows as JSON.
//!
//! Invariants
//! * A row without the field gives the empty text. In a row as JSON, fields stand in the order of their names, and empty ones
//!   are left out.
//! * A text is counted before it is kept, and the result before it is made. With a limit no more than that are kept.
use super::{Input, array_within};
use crate::error::Result;
use crate::query::budget::Held;
use crate::query::value::json::show_object;

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
            held.add(text.len() + 2 * size_of::<String>())?;
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

    pub(super) fn result(&self, held: &mut Held) -> Result<String> {
        array_within(self.texts.iter().map(String::as_str), held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::query::budget::Memory;
    use crate::query::testing::check;

    #[test]
    fn a_result_is_counted_as_long_as_its_escapes_make_it() {
        let of = |bytes: usize| {
            let memory = Memory::new(bytes);
            let (mut held, mut list) = (memory.hold("test"), List::new(0));
            (0..100).for_each(|_| list.add(&"\u{1}".repeat(1_000), &mut held).unwrap());
            let before = memory.used();
            list.result(&mut held).map(|text| (text.len(), memory.used() - before))
        };
        assert_eq!(of(400_000).unwrap_err().kind(), ErrorKind::Budget);
        let (bytes, counted) = of(800_000).unwrap();
        assert!(bytes > 600_000 && counted >= bytes, "{bytes} {counted}");
    }

    #[test]
    fn prefixes_are_of_what_a_row_has() {
        check(
            "values(a*) v, min(a*) l, max(a*) m, values(ax, a*) w, quantile(0, a*) q",
            r#"{"ax":"2","z":"1"}
{"ay":"3","z":"1"}
{"ax":"4","ay":"1"}"#,
            r#"{"v":"[\"2\",\"3\",\"4\",\"1\"]","l":"1","m":"4","w":"[\"2\",\"\",\"3\",\"4\",\"1\"]","q":"1"}"#,
        );
    }

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
