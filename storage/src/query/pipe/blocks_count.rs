//! `blocks_count`: how many blocks of rows came here.
//!
//! Invariants
//! * Blocks without rows do not count. Rows that a scan has only counted are in as many blocks as they were found in.
use super::Step;
use crate::error::Result;
use crate::query::block::{Block, Column};
use crate::query::fault::Parsed;
use crate::query::needed::Needed;
use crate::query::parse::{Parser, quote_if_needed};
use crate::query::run::{Context, Flow, Sink, Stage};
use std::fmt;

/// The pipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlocksCount {
    /// The field of the result.
    pub result: String,
}

impl BlocksCount {
    pub(super) fn parse(parser: &mut Parser<'_>) -> Parsed<Self> {
        let named = parser.takes("as") || !parser.ends_pipe();
        let result = if named { parser.field_name()? } else { "blocks_count".into() };
        Ok(Self { result })
    }
}

impl fmt::Display for BlocksCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.result.as_str() {
            "blocks_count" => f.write_str("blocks_count"),
            name => write!(f, "blocks_count as {}", quote_if_needed(name)),
        }
    }
}

impl Step for BlocksCount {
    fn needed(&self, needed: &mut Needed) {
        *needed = Needed::none();
    }

    fn stage<'c>(&self, _: &Context<'c>) -> Result<Box<dyn Stage + 'c>> {
        Ok(Box::new(Counter { result: self.result.clone(), blocks: 0 }))
    }
}

struct Counter {
    result: String,
    blocks: u64,
}

impl Stage for Counter {
    fn push(&mut self, _: Block, _: &mut dyn Sink) -> Result<Flow> {
        self.blocks += 1;
        Ok(Flow::More)
    }

    fn finish(&mut self, next: &mut dyn Sink) -> Result<()> {
        let block = Block::new(1, vec![Column::constant(&self.result, &self.blocks.to_string())]);
        next.take(block).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use crate::query::testing::check;

    #[test]
    fn blocks_are_counted() {
        check(
            "blocks_count as n",
            r#"{"a":"1","b":"x","_msg":"m one"}
{"a":"2","b":"x"}
{"a":"2","c":"y","_msg":"two"}"#,
            r#"{"n":"1"}"#,
        );
    }
}
