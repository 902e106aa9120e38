//! `min` and `max`.
//!
//! Invariants
//! * A row without the field has the empty text there, which is less than any other, as in VictoriaLogs: `min` is empty then.
//! * Only the best so far is kept, and counted.
use crate::error::Result;
use crate::query::budget::Held;
use crate::query::value::order::Ranked;

/// The least or the greatest value.
pub(crate) struct Extreme {
    value: Option<Ranked<String>>,
    /// The least or the greatest of the integers that were not written out.
    integer: Option<i64>,
    greatest: bool,
}

impl Extreme {
    pub(super) fn least() -> Self {
        Self { value: None, integer: None, greatest: false }
    }

    pub(super) fn greatest() -> Self {
        Self { value: None, integer: None, greatest: true }
    }

    pub(super) fn add(&mut self, value: &str, held: &mut Held) -> Result<()> {
        if self.value.as_ref().is_some_and(|known| known.text == value) {
            return Ok(());
        }
        let new = Ranked::new(value);
        let better =
            self.value.as_ref().is_none_or(|known| if self.greatest { known.less(&new) } else { new.less(known) });
        if better {
            held.add(value.len())?;
            held.give_back(self.value.as_ref().map_or(0, |known| known.text.len()));
            self.value = Some(Ranked::new(value.to_string()));
        }
        Ok(())
    }

    pub(super) fn add_int(&mut self, value: i64) {
        let better = if self.greatest { i64::max } else { i64::min };
        self.integer = Some(self.integer.map_or(value, |known| better(known, value)));
    }

    pub(super) fn merge(&mut self, other: Self, held: &mut Held) {
        other.integer.into_iter().for_each(|value| self.add_int(value));
        let dropped = other.value.and_then(|value| self.put(value));
        held.give_back(dropped.map_or(0, |value| value.text.len()));
    }

    /// Puts a value in if it is better, and gives the one that is dropped.
    fn put(&mut self, new: Ranked<String>) -> Option<Ranked<String>> {
        let is_better =
            self.value.as_ref().is_none_or(|known| if self.greatest { known.less(&new) } else { new.less(known) });
        if is_better { self.value.replace(new) } else { Some(new) }
    }

    pub(super) fn result(&mut self) -> String {
        if let Some(integer) = self.integer.take() {
            self.put(Ranked::new(integer.to_string()));
        }
        self.value.take().map(|ranked| ranked.text).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use crate::query::testing::check;

    #[test]
    fn values_are_ordered_as_what_they_are() {
        check(
            "min(a) x, max(a) y",
            r#"{"a":"10"}
{"a":"9"}
{"a":"1e3"}"#,
            r#"{"x":"9","y":"1e3"}"#,
        );
        check(
            "max(a) y",
            r#"{"a":"2024-06-10T12:00:00.5Z"}
{"a":"2024-06-10T12:00:00Z"}"#,
            r#"{"y":"2024-06-10T12:00:00.5Z"}"#,
        );
        check(
            "min(b) x, max(b) y, min(a, b) z",
            r#"{"a":"2","b":"3"}
{"a":"1"}"#,
            r#"{"y":"3"}"#,
        );
    }

    #[test]
    fn an_empty_value_is_the_least() {
        let rows = r#"{"a":"b","n":"-3"}
{"a":"","n":"12"}
{"a":"B","n":"9"}
{"n":"1KiB"}"#;
        check("min(a) x, max(a) y, min(n) p, max(n) q", rows, r#"{"y":"b","p":"-3","q":"1KiB"}"#);
        check("min(none) x, max(none) y | format '<x>|<y>' as z | fields z", rows, r#"{"z":"|"}"#);
        check("min(a) if (a:*) x, max(n) if (a:*) y", rows, r#"{"x":"B","y":"9"}"#);
    }
}
