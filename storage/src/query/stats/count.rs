//! `count` and `count_empty`: rows that have any, or none, of some fields.
//!
//! Invariants
//! * `count(*)` counts every row, one without fields too. Otherwise a row counts if any of the fields is not empty, and for
//!   `count_empty` if none is.
use super::Input;

/// A count of rows.
pub(crate) struct Count {
    rows: u64,
    /// Whether rows count that have a value, or those that have none.
    of_any: bool,
}

impl Count {
    pub(super) fn of_any() -> Self {
        Self { rows: 0, of_any: true }
    }

    pub(super) fn of_none() -> Self {
        Self { rows: 0, of_any: false }
    }

    pub(super) fn add(&mut self, input: &Input<'_>, row: usize) {
        let has_any = input.columns.iter().any(|column| !column.value(row).is_empty());
        let counts = if self.of_any { has_any || input.every_row } else { !has_any };
        self.rows += u64::from(counts);
    }

    /// No integer is empty.
    pub(super) fn add_int(&mut self) {
        self.rows += u64::from(self.of_any);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.rows += other.rows;
    }

    pub(super) fn add_rows(&mut self, rows: u64) {
        if self.of_any {
            self.rows += rows;
        }
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows
    }
}

#[cfg(test)]
mod tests {
    use crate::query::testing::check;

    #[test]
    fn rows_are_counted_by_what_they_have() {
        check(
            "count(b, c) x, count_empty(b, c) y, count(z*) z, count_empty(c) w",
            r#"{"b":"1"}
{"c":"1"}
{"zz":"1"}
{"a":"1"}"#,
            r#"{"x":"2","y":"2","z":"1","w":"3"}"#,
        );
    }

    #[test]
    fn conditions_and_groups_are_counted_apart() {
        let rows = r#"{"a":"1","g":"x"}
{"a":"","g":"x"}
{"a":"2","g":"é"}
{"g":""}"#;
        check(
            "count() n, count(a) a, count_empty(a) e, count() if (g:=x) x",
            rows,
            r#"{"n":"4","a":"2","e":"2","x":"2"}"#,
        );
        check(
            "stats by (g) count() n, count(a) a",
            rows,
            r#"{"g":"x","n":"2","a":"1"}
{"g":"é","n":"1","a":"1"}
{"n":"1","a":"0"}"#,
        );
        check("filter g:none | count() n", rows, r#"{"n":"0"}"#);
        check("count()", rows, r#"{"count(*)":"4"}"#);
    }
}
