//! `block_stats`: what the columns of each block are.
//!
//! Invariants
//! * Nothing is told that is not known here: what a column takes on a disk, and where, is in no answer.
use super::Step;
use super::update::PerBlock;
use crate::error::Result;
use crate::query::block::{Block, BlockBuilder, Column};
use crate::query::needed::Needed;
use crate::query::run::{Context, Stage};
use std::fmt;

/// The pipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockStats;

impl fmt::Display for BlockStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("block_stats")
    }
}

impl Step for BlockStats {
    fn needed(&self, needed: &mut Needed) {
        *needed = Needed::all();
    }

    fn stage<'c>(&self, _: &Context<'c>) -> Result<Box<dyn Stage + 'c>> {
        Ok(Box::new(PerBlock(|block: Block| {
            let mut out = BlockBuilder::default();
            for column in block.columns() {
                let bytes: usize = (0..block.rows()).map(|row| column.value(row).len()).sum();
                out.set("field", column.name());
                out.set("rows", &block.rows().to_string());
                out.set("type", kind(column, block.rows()));
                out.set("values_bytes", &bytes.to_string());
                out.end_row();
            }
            Ok(out.take())
        })))
    }
}

/// As what the values were sent; nothing where there is none.
fn kind(column: &Column, rows: usize) -> &'static str {
    let mut kinds = (0..rows).filter_map(|row| column.kind(row));
    let first = kinds.next().unwrap_or_default();
    if kinds.all(|kind| kind == first) { first } else { "mixed" }
}

#[cfg(test)]
mod tests {
    use crate::query::testing::check;

    #[test]
    fn columns_tell_what_they_are() {
        check(
            "fields a, b | block_stats",
            r#"{"a":"1","b":""}
{"a":"22"}"#,
            r#"{"field":"a","rows":"2","type":"string","values_bytes":"3"}
{"field":"b","rows":"2","values_bytes":"0"}"#,
        );
        check(
            "format 'é' as a | fields a | block_stats",
            r#"{"x":"1"}
{"x":"2"}"#,
            r#"{"field":"a","rows":"2","type":"string","values_bytes":"4"}"#,
        );
    }
}
