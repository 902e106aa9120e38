//! `offset N`: all rows but so many.
//!
//! Invariants
//! * Those are left out that come first; the others keep their order.
use super::Step;
use crate::error::Result;
use crate::query::block::Block;
use crate::query::fault::Parsed;
use crate::query::needed::Needed;
use crate::query::parse::Parser;
use crate::query::run::{Context, Flow, Sink, Stage};
use crate::query::value::number::count;
use std::fmt;

/// The pipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offset {
    /// How many are left out.
    pub rows: u64,
}

impl Offset {
    pub(super) fn parse(parser: &mut Parser<'_>) -> Parsed<Self> {
        let rows = count(parser.text()).ok_or_else(|| parser.unexpected("a number of rows"))?;
        parser.advance();
        Ok(Self { rows })
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "offset {}", self.rows)
    }
}

impl Step for Offset {
    fn needed(&self, _: &mut Needed) {}

    fn stage<'c>(&self, _: &Context<'c>) -> Result<Box<dyn Stage + 'c>> {
        Ok(Box::new(Skipper { left: self.rows }))
    }
}

struct Skipper {
    left: u64,
}

impl Stage for Skipper {
    fn push(&mut self, block: Block, next: &mut dyn Sink) -> Result<Flow> {
        let skipped = usize::try_from(self.left).unwrap_or(usize::MAX).min(block.rows());
        self.left -= skipped as u64;
        let rows = block.rows();
        next.take(block.range(skipped, rows))
    }
}

#[cfg(test)]
mod tests {
    use crate::query::testing::check;

    #[test]
    fn so_many_rows_go() {
        check(
            "fields a | offset 1 | limit 1",
            r#"{"a":"1","b":"x","_msg":"m one"}
{"a":"2","b":"x"}
{"a":"2","c":"y","_msg":"two"}"#,
            r#"{"a":"2"}"#,
        );
        check(
            "skip 5",
            r#"{"a":"1","b":"x","_msg":"m one"}
{"a":"2","b":"x"}
{"a":"2","c":"y","_msg":"two"}"#,
            "",
        );
    }
}
