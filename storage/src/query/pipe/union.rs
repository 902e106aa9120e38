//! `union (query)`: the rows, and after them those of another query.
//!
//! Invariants
//! * The other query begins when the first rows are all there, and not at all where they were enough.
//! * It has the memory and the stop of the query around it.
use super::Step;
use crate::error::Result;
use crate::query::block::Block;
use crate::query::fault::Parsed;
use crate::query::needed::Needed;
use crate::query::parse::Parser;
use crate::query::run::{Context, Flow, Sink, Stage};
use crate::query::tree::Query;
use std::fmt;

/// The pipe.
#[derive(Clone, Debug, PartialEq)]
pub struct Union {
    /// The other query.
    pub query: Box<Query>,
}

impl Union {
    pub(super) fn parse(parser: &mut Parser<'_>) -> Parsed<Self> {
        Ok(Self { query: Box::new(Query::parse_in_parens(parser)?) })
    }
}

impl fmt::Display for Union {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "union ({})", self.query)
    }
}

impl Step for Union {
    fn needed(&self, _: &mut Needed) {}

    fn stage<'c>(&self, context: &Context<'c>) -> Result<Box<dyn Stage + 'c>> {
        Ok(Box::new(UnionStage { query: self.query.clone(), context: context.clone(), enough: false }))
    }
}

struct UnionStage<'c> {
    query: Box<Query>,
    context: Context<'c>,
    enough: bool,
}

impl Stage for UnionStage<'_> {
    fn push(&mut self, block: Block, next: &mut dyn Sink) -> Result<Flow> {
        let flow = next.take(block)?;
        self.enough |= flow == Flow::Enough;
        Ok(flow)
    }

    fn finish(&mut self, next: &mut dyn Sink) -> Result<()> {
        if self.enough {
            return Ok(());
        }
        self.context.run_within(&self.query, &Needed::all(), &mut |block: Block| next.take(block))
    }
}

#[cfg(test)]
mod tests {
    use crate::query::testing::check;

    #[test]
    fn the_other_rows_follow() {
        check(
            "fields c | filter c:* | union (a:1 | fields a)",
            r#"{"a":"1","b":"x","_msg":"m one"}
{"a":"2","b":"x"}
{"a":"2","c":"y","_msg":"two"}"#,
            r#"{"c":"y"}
{"a":"1"}"#,
        );
    }
}
