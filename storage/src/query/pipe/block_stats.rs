//! `block_stats`: what the columns of each block are and take.
//!
//! What a value takes on disk is the engine's to know; here a column tells its kind and its length as text.
//!
//! Invariants
//! * A column that has one value in all rows counts its text once.
use super::Step;
use super::update::PerBlock;
use crate::error::Result;
use crate::query::block::{Block, BlockBuilder};
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
                let bytes = match column.constant_value() {
                    Some(value) => value.len(),
                    None => (0..block.rows()).map(|row| column.value(row).len()).sum(),
                };
                out.set("field", column.name());
                out.set("rows", &block.rows().to_string());
                out.set("type", column.kind());
                out.set("values_bytes", &bytes.to_string());
                for nothing in ["bloom_bytes", "dict_bytes", "dict_items"] {
                    out.set(nothing, "0");
                }
                out.set("part_path", "inmemory");
                out.end_row();
            }
            Ok(out.take())
        })))
    }
}

#[cfg(test)]
mod tests {
    use crate::query::testing::check;

    #[test]
    fn columns_tell_what_they_are() {
        check(
            "fields a | block_stats | fields field, rows, type",
            r#"{"a":"1"}
{"a":"22"}"#,
            r#"{"field":"a","rows":"2","type":"inmemory"}"#,
        );
    }
}
