//! `limit N`: so many rows.
//!
//! Invariants
//! * With the last row that is wanted it says that it has enough.
use super::Step;
use crate::error::Result;
use crate::query::block::Block;
use crate::query::fault::Parsed;
use crate::query::needed::Needed;
use crate::query::parse::Parser;
use crate::query::run::{Context, Flow, Sink, Stage};
use crate::query::value::number::count;
use std::fmt;

/// Rows where no number is said.
const ROWS: u64 = 10;

/// The pipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// How many.
    pub rows: u64,
}

impl Limit {
    pub(super) fn parse(parser: &mut Parser<'_>) -> Parsed<Self> {
        if parser.ends_pipe() {
            return Ok(Self { rows: ROWS });
        }
        let rows = count(parser.text()).ok_or_else(|| parser.unexpected("a number of rows"))?;
        parser.advance();
        Ok(Self { rows })
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "limit {}", self.rows)
    }
}

impl Step for Limit {
    fn needed(&self, _: &mut Needed) {}

    fn stage<'c>(&self, _: &Context<'c>) -> Result<Box<dyn Stage + 'c>> {
        Ok(Box::new(Taker { left: self.rows }))
    }
}

struct Taker {
    left: u64,
}

impl Stage for Taker {
    fn push(&mut self, block: Block, next: &mut dyn Sink) -> Result<Flow> {
        let rows = usize::try_from(self.left).unwrap_or(usize::MAX).min(block.rows());
        if rows == 0 {
            return Ok(Flow::Enough);
        }
        self.left -= rows as u64;
        let flow = next.take(block.range(0, rows))?;
        Ok(if self.left == 0 { Flow::Enough } else { flow })
    }
}

#[cfg(test)]
mod tests {
    use crate::query::testing::check;

    #[test]
    fn so_many_rows_stay() {
        check(
            "fields a | limit 2",
            r#"{"a":"1","b":"x","_msg":"m one"}
{"a":"2","b":"x"}
{"a":"2","c":"y","_msg":"two"}"#,
            r#"{"a":"1"}
{"a":"2"}"#,
        );
        check(
            "limit 0 | count() n",
            r#"{"a":"1","b":"x","_msg":"m one"}
{"a":"2","b":"x"}
{"a":"2","c":"y","_msg":"two"}"#,
            r#"{"n":"0"}"#,
        );
    }
}
