//! `drop_empty_fields`: rows without empty fields; rows that have no other are left out.
//!
//! Invariants
//! * Every field is asked for: whether a row stays depends on all of them.
//! * The other rows keep their order.
use super::Step;
use crate::error::Result;
use crate::query::block::{Block, BlockBuilder};
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
    fn push(&mut self, block: Block, next: &mut dyn Sink) -> Result<Flow> {
        let mut out = BlockBuilder::default();
        for row in 0..block.rows() {
            for (name, value) in block.row(row) {
                out.set(name, value);
            }
            if block.row(row).next().is_some() {
                out.end_row();
            }
        }
        next.take(out.take())
    }
}

#[cfg(test)]
mod tests {
    use crate::query::testing::check;

    #[test]
    fn rows_without_fields_go() {
        check(
            "fields a | drop_empty_fields | count() n",
            r#"{"a":"1"}
{"b":"1"}
{"a":""}"#,
            r#"{"n":"1"}"#,
        );
    }
}
