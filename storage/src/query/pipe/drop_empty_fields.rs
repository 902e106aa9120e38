//! `drop_empty_fields`: rows without empty fields; rows that have no other are left out.
//!
//! Invariants
//! * Every field is asked for: whether a row stays depends on all of them.
//! * The other rows keep their order, and columns the form that they have: nothing is written out row by row.
use super::Step;
use crate::error::Result;
use crate::query::bits::Bits;
use crate::query::block::Block;
use crate::query::needed::Needed;
use crate::query::run::{Context, Flow, Sink, Stage};
use std::fmt;

/// The pipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropEmptyFields;

impl fmt::Display for DropEmptyFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("drop_empty_fields")
    }
}

impl Step for DropEmptyFields {
    fn needed(&self, needed: &mut Needed) {
        // Whether a row has a field at all depends on all of them.
        *needed = Needed::all();
    }

    fn is_local(&self) -> bool {
        true
    }

    fn stage<'c>(&self, _: &Context<'c>) -> Result<Box<dyn Stage + 'c>> {
        Ok(Box::new(Dropper))
    }
}

struct Dropper;

impl Stage for Dropper {
    fn push(&mut self, mut block: Block, next: &mut dyn Sink) -> Result<Flow> {
        // An empty field is a missing one, and so is null: no more is left to do than to drop rows, and columns that none has.
        block.retain_columns(|column| column.constant_value() != Some(""));
        let mut rows = Bits::new(block.rows(), true);
        rows.retain(|row| block.row(row).next().is_some());
        next.take(block.filtered(&rows).without_nulls())
    }
}

#[cfg(test)]
mod tests {
    use crate::query::testing::{Alike, answer, check};

    #[test]
    fn rows_without_fields_go() {
        check(
            "fields a | drop_empty_fields | count() n",
            r#"{"a":"1"}
{"b":"1"}
{"a":""}"#,
            r#"{"n":"1"}"#,
        );
        check(
            "drop_empty_fields",
            r#"{"a":"1","b":""}
{"b":"1"}
{"a":""}"#,
            r#"{"a":"1"}
{"b":"1"}"#,
        );
    }

    #[test]
    fn what_rows_have_in_common_stays_there_once() {
        let rows = answer("* | drop_empty_fields | stats count(a) n, count(b) m", &Alike, 1 << 20).unwrap();
        assert_eq!(rows, [r#"{"n":"65536","m":"0"}"#]);
    }
}
