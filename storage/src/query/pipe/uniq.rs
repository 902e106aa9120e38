//! `uniq by (a, b)`: the different values of fields.
//!
//! Invariants
//! * A row without the fields counts with empty texts.
//! * Where there are more values than the limit, hits are 0: they were not counted to the end.
use super::show_names;
use super::tally::{Tally, free_name};
use super::top::parse_by;
use super::{Partial, Step};
use crate::error::Result;
use crate::query::block::{Block, BlockBuilder};
use crate::query::fault::Parsed;
use crate::query::needed::Needed;
use crate::query::parse::Parser;
use crate::query::run::{Context, Flow, Sink, Stage};
use std::fmt;

/// The pipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uniq {
    /// The fields.
    pub by: Vec<String>,
    /// Whether how often each came is given too.
    pub hits: bool,
    /// How many there are at most; 0 is without a limit.
    pub limit: u64,
}

impl Uniq {
    pub(super) fn parse(parser: &mut Parser<'_>) -> Parsed<Self> {
        let by = parse_by(parser, &["with", "hits", "limit", ")", "|", ""])?;
        let with = parser.takes("with");
        let hits = parser.takes("hits");
        if with && !hits {
            return Err(parser.unexpected("'hits'"));
        }
        Ok(Self { by, hits, limit: parser.limit()? })
    }

    /// A stage that gives the hits in a field of a name.
    pub(super) fn tallying(&self, context: &Context<'_>) -> UniqStage {
        let hits = self.hits.then(|| free_name("hits", &self.by));
        let tally = Tally::new(context.memory.hold("uniq"));
        UniqStage { by: self.by.clone(), hits, limit: self.limit, tally, over: false }
    }
}

impl fmt::Display for Uniq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "uniq by ({})", show_names(&self.by))?;
        if self.hits {
            f.write_str(" with hits")?;
        }
        if self.limit > 0 { write!(f, " limit {}", self.limit) } else { Ok(()) }
    }
}

impl Step for Uniq {
    fn needed(&self, needed: &mut Needed) {
        *needed = Needed::none();
        needed.add_all(&self.by);
    }

    fn stage<'c>(&self, context: &Context<'c>) -> Result<Box<dyn Stage + 'c>> {
        Ok(Box::new(self.tallying(context)))
    }

    fn partial(&self, context: &Context<'_>) -> Result<Option<Partial>> {
        Ok(Some(Partial::Uniq(Box::new(self.tallying(context)))))
    }
}

/// The stage.
pub(crate) struct UniqStage {
    by: Vec<String>,
    hits: Option<String>,
    limit: u64,
    tally: Tally,
    /// Whether there are more than the limit; then hits would mislead, and are 0.
    over: bool,
}

impl UniqStage {
    /// One that has seen nothing.
    pub(super) fn fork(&self, context: &Context<'_>) -> Self {
        let tally = Tally::new(context.memory.hold("uniq"));
        Self { by: self.by.clone(), hits: self.hits.clone(), limit: self.limit, tally, over: false }
    }

    /// Takes what another one has seen.
    pub(super) fn merge(&mut self, other: Self) -> Result<()> {
        self.over |= other.over;
        self.over |= !self.tally.merge(other.tally, self.limit)?;
        Ok(())
    }
}

impl Stage for UniqStage {
    fn push(&mut self, block: Block, _: &mut dyn Sink) -> Result<Flow> {
        self.over |= !self.tally.add_block(&block, &self.by, self.limit)?;
        Ok(if self.over { Flow::Enough } else { Flow::More })
    }

    fn finish(&mut self, next: &mut dyn Sink) -> Result<()> {
        let mut out = BlockBuilder::default();
        for (values, hits) in self.tally.take() {
            self.by.iter().zip(&values).for_each(|(name, value)| out.set(name, value));
            if let Some(name) = &self.hits {
                out.set(name, &if self.over { "0".to_string() } else { hits.to_string() });
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
    fn hits_are_zero_beyond_the_limit() {
        check(
            "uniq by (a, b) with hits",
            r#"{"a":"1","b":"x","_msg":"m one"}
{"a":"2","b":"x"}
{"a":"2","c":"y","_msg":"two"}"#,
            r#"{"a":"1","b":"x","hits":"1"}
{"a":"2","b":"x","hits":"1"}
{"a":"2","hits":"1"}"#,
        );
        check(
            "uniq a hits limit 1",
            r#"{"a":"1","b":"x","_msg":"m one"}
{"a":"2","b":"x"}
{"a":"2","c":"y","_msg":"two"}"#,
            r#"{"a":"1","hits":"0"}"#,
        );
        check("uniq by (hits) hits limit 9", r#"{"hits":"5"}"#, r#"{"hits":"5","hitss":"1"}"#);
    }
}
