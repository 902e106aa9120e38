//! `top N by (a, b)`: the values that come most often.
//!
//! Invariants
//! * All values are kept, and counted to the query's memory, however few are asked for. A row without the fields counts with
//!   empty texts.
//! * Those with the most hits come first, of equal ones the least.
use super::show_names;
use super::sort::{parse_rank, show_rank};
use super::tally::{Tally, free_name};
use super::{Partial, Step};
use crate::error::Result;
use crate::query::block::{Block, BlockBuilder};
use crate::query::fault::Parsed;
use crate::query::needed::Needed;
use crate::query::parse::{Parser, quote_if_needed};
use crate::query::run::{Context, Flow, Sink, Stage};
use crate::query::value::number::looks_like_number;
use std::fmt;

/// Values where no number is said.
const LIMIT: u64 = 10;

/// The pipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Top {
    /// How many.
    pub limit: u64,
    /// The fields.
    pub by: Vec<String>,
    /// The field of the hits.
    pub hits: String,
    /// The field of the rank.
    pub rank: Option<String>,
}

/// `[by] (a, b)` or `[by] a, b`; without it, one of `ends` follows.
pub(super) fn parse_by(parser: &mut Parser<'_>, ends: &[&str]) -> Parsed<Vec<String>> {
    parser.takes("by");
    let fault = parser.unexpected("the names of fields");
    let fields = if parser.is("(") {
        parser.field_names_in_parens()?
    } else if parser.is_any(ends) {
        Vec::new()
    } else {
        parser.field_names()?
    };
    if fields.is_empty() { Err(fault) } else { Ok(fields) }
}

impl Top {
    pub(super) fn parse(parser: &mut Parser<'_>) -> Parsed<Self> {
        let limit =
            if looks_like_number(parser.text()) { parser.positive_number("the number of values")? } else { LIMIT };
        let by = parse_by(parser, &["hits", "with", "rank", ")", "|", ""])?;
        let (mut hits, mut rank) = ("hits".to_string(), None);
        loop {
            if parser.takes("with") && !parser.is("rank") {
                return Err(parser.unexpected("'rank'"));
            }
            if parser.takes("hits") {
                parser.takes("as");
                hits = parser.name_prefix("the name of the hits")?;
            } else if parser.takes("rank") {
                rank = Some(free_name(&parse_rank(parser)?, &by));
            } else {
                return Ok(Self { limit, hits: free_name(&hits, &by), by, rank });
            }
        }
    }
}

impl fmt::Display for Top {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("top")?;
        if self.limit != LIMIT {
            write!(f, " {}", self.limit)?;
        }
        write!(f, " by ({})", show_names(&self.by))?;
        if self.hits != "hits" {
            write!(f, " hits as {}", quote_if_needed(&self.hits))?;
        }
        f.write_str(&show_rank(self.rank.as_deref()))
    }
}

impl Step for Top {
    fn needed(&self, needed: &mut Needed) {
        *needed = Needed::none();
        needed.add_all(&self.by);
    }

    fn stage<'c>(&self, context: &Context<'c>) -> Result<Box<dyn Stage + 'c>> {
        Ok(Box::new(TopStage { pipe: self.clone(), tally: Tally::new(context.memory.hold("top")) }))
    }

    fn partial(&self, context: &Context<'_>) -> Result<Option<Partial>> {
        let tally = Tally::new(context.memory.hold("top"));
        Ok(Some(Partial::Tallied(Box::new(TopStage { pipe: self.clone(), tally }))))
    }
}

/// The stage.
pub(crate) struct TopStage {
    pipe: Top,
    tally: Tally,
}

impl TopStage {
    /// One that has seen nothing.
    pub(super) fn fork(&self, context: &Context<'_>) -> Self {
        Self { pipe: self.pipe.clone(), tally: Tally::new(context.memory.hold("top")) }
    }

    /// Takes what another one has seen.
    pub(super) fn merge(&mut self, other: Self) -> Result<()> {
        self.tally.merge(other.tally, 0).map(drop)
    }
}

impl Stage for TopStage {
    fn push(&mut self, block: Block, _: &mut dyn Sink) -> Result<Flow> {
        self.tally.add_block(&block, &self.pipe.by, 0)?;
        Ok(Flow::More)
    }

    fn finish(&mut self, next: &mut dyn Sink) -> Result<()> {
        let mut out = BlockBuilder::default();
        for (place, (values, hits)) in self.tally.take_top(self.pipe.limit).into_iter().enumerate() {
            self.pipe.by.iter().zip(&values).for_each(|(name, value)| out.set(name, value));
            out.set(&self.pipe.hits, &hits.to_string());
            if let Some(rank) = &self.pipe.rank {
                out.set(rank, &(place + 1).to_string());
            }
            out.end_row();
            if out.is_full() && next.take(out.take())? == Flow::Enough {
                return Ok(());
            }
        }
        next.take(out.take()).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use crate::query::testing::check;

    #[test]
    fn most_hits_come_first() {
        check(
            "top 1 by (a) hits as n rank",
            r#"{"a":"1","b":"x","_msg":"m one"}
{"a":"2","b":"x"}
{"a":"2","c":"y","_msg":"two"}"#,
            r#"{"a":"2","n":"2","rank":"1"}"#,
        );
        check(
            "top a, b",
            r#"{"a":"1","b":"x","_msg":"m one"}
{"a":"2","b":"x"}
{"a":"2","c":"y","_msg":"two"}"#,
            r#"{"a":"1","b":"x","hits":"1"}
{"a":"2","b":"x","hits":"1"}
{"a":"2","hits":"1"}"#,
        );
    }
}
