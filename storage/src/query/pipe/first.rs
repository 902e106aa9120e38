//! `first N by (a)` and `last N by (a)`: the rows that a sort would have first or last.
//!
//! Invariants
//! * It gives what a sort with this limit gives, `last` in the opposite order; fewer than one row cannot be asked for.
use super::Step;
use super::sort::{Sort, parse_by, parse_partition, parse_rank};
use super::topk::TopRows;
use crate::error::Result;
use crate::query::fault::Parsed;
use crate::query::needed::Needed;
use crate::query::parse::Parser;
use crate::query::run::{Context, Stage};
use std::fmt;

/// The pipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct First {
    /// Whether the last rows are meant.
    pub last: bool,
    /// The sort; it has a limit.
    pub sort: Sort,
}

impl First {
    pub(super) fn parse(parser: &mut Parser<'_>, last: bool) -> Parsed<Self> {
        let mut limit = 1;
        if !parser.ends_pipe() && !parser.is_any(&["by", "partition", "rank", "("]) {
            let fault = parser.fault("the number of rows is below 1");
            limit = parser.integer("a number of rows")?;
            if limit == 0 {
                return Err(fault);
            }
        }
        let by = parse_by(parser)?;
        let partition_by = if parser.takes("partition") { parse_partition(parser)? } else { Vec::new() };
        let rank = if parser.takes("rank") { Some(parse_rank(parser)?) } else { None };
        Ok(Self { last, sort: Sort { by, falling: last, partition_by, offset: 0, limit, rank } })
    }
}

impl fmt::Display for First {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.last { "last" } else { "first" })?;
        if self.sort.limit != 1 {
            write!(f, " {}", self.sort.limit)?;
        }
        write!(f, "{}{}{}", self.sort.show_by(), self.sort.show_partition(), self.sort.show_rank())
    }
}

impl Step for First {
    fn needed(&self, needed: &mut Needed) {
        self.sort.needed(needed);
    }

    fn stage<'c>(&self, context: &Context<'c>) -> Result<Box<dyn Stage + 'c>> {
        Ok(Box::new(TopRows::new(&self.sort, context)))
    }
}

#[cfg(test)]
mod tests {
    use crate::query::testing::check_order;

    #[test]
    fn first_and_last_are_ends_of_a_sort() {
        check_order(
            "first 2 by (a) rank",
            r#"{"a":"3"}
{"a":"1"}
{"a":"2"}"#,
            "a",
            &["1", "2"],
        );
        check_order(
            "last by (a)",
            r#"{"a":"3"}
{"a":"11"}
{"a":"2"}"#,
            "a",
            &["11"],
        );
        check_order(
            "last 2 by (a desc)",
            r#"{"a":"3"}
{"a":"1"}
{"a":"2"}"#,
            "a",
            &["1", "2"],
        );
    }
}
