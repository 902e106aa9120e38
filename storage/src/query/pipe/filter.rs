//! `filter ...`: rows that pass a filter.
//!
//! Invariants
//! * Rows that pass keep their order.
//! * A filter that stands before all other pipes never runs here: it is part of the query's own (`run.rs`).
use super::Step;
use super::update::PerBlock;
use crate::error::Result;
use crate::query::block::Block;
use crate::query::fault::Parsed;
use crate::query::filter::Filter;
use crate::query::filter::prepare::Matcher;
use crate::query::needed::Needed;
use crate::query::parse::Parser;
use crate::query::run::{Context, Stage};
use std::fmt;

/// The pipe.
#[derive(Clone, Debug, PartialEq)]
pub struct Where {
    /// The filter.
    pub filter: Filter,
}

impl Where {
    pub(super) fn parse(parser: &mut Parser<'_>) -> Parsed<Self> {
        Ok(Self { filter: Filter::parse(parser)? })
    }
}

impl fmt::Display for Where {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "filter {}", self.filter)
    }
}

impl Step for Where {
    fn needed(&self, needed: &mut Needed) {
        needed.add_all(self.filter.fields());
    }

    fn stage<'c>(&self, context: &Context<'c>) -> Result<Box<dyn Stage + 'c>> {
        let matcher = Matcher::prepare(&self.filter, context)?;
        Ok(Box::new(PerBlock(move |block: Block| Ok(matcher.filtered(block)))))
    }
}

#[cfg(test)]
mod tests {
    use crate::query::testing::check;

    #[test]
    fn rows_pass_or_not() {
        check(
            "filter a:>1 b:x",
            r#"{"a":"1","b":"x","_msg":"m one"}
{"a":"2","b":"x"}
{"a":"2","c":"y","_msg":"two"}"#,
            r#"{"a":"2","b":"x"}"#,
        );
        check(
            "c:* or _msg:one | fields a",
            r#"{"a":"1","b":"x","_msg":"m one"}
{"a":"2","b":"x"}
{"a":"2","c":"y","_msg":"two"}"#,
            r#"{"a":"1"}
{"a":"2"}"#,
        );
        check(
            "where a:in(a:2 | fields a) | count() n",
            r#"{"a":"1","b":"x","_msg":"m one"}
{"a":"2","b":"x"}
{"a":"2","c":"y","_msg":"two"}"#,
            r#"{"n":"2"}"#,
        );
        check(
            "where !b:contains_any(c:* | fields b) | count() n",
            r#"{"b":"q w","c":""}
{"b":"w","c":"1"}"#,
            r#"{"n":"0"}"#,
        );
    }
}
