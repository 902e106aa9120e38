//! `join by (a) (query)`: rows with the fields of the rows of another query that have the same values.
//!
//! Invariants
//! * A row with several matches comes once for each; one without any comes once, unless the join is inner.
//! * A field that a row has keeps its value.
use super::Step;
use super::show_names;
use super::unpack::{Keep, RowWriter};
use crate::error::Result;
use crate::query::block::Block;
use crate::query::budget::{Held, Stop};
use crate::query::fault::Parsed;
use crate::query::needed::Needed;
use crate::query::parse::{Parser, quote_if_needed};
use crate::query::run::{Context, Flow, Sink, Stage};
use crate::query::tree::Query;
use rustc_hash::FxHashMap;
use std::fmt;

/// The pipe.
#[derive(Clone, Debug, PartialEq)]
pub struct Join {
    /// The fields that have to be the same.
    pub by: Vec<String>,
    /// The other query.
    pub query: Box<Query>,
    /// Whether rows without a match are left out.
    pub inner: bool,
    /// What stands before the names of the other query's fields.
    pub prefix: String,
}

impl Join {
    pub(super) fn parse(parser: &mut Parser<'_>) -> Parsed<Self> {
        if !parser.takes("by") {
            parser.takes("on");
        }
        let fault = parser.unexpected("the names of fields in parentheses");
        let by = parser.field_names_in_parens()?;
        if by.is_empty() {
            return Err(fault);
        }
        let query = Box::new(Query::parse_in_parens(parser)?);
        let inner = parser.takes("inner");
        let prefix = if parser.takes("prefix") { parser.name_prefix("the prefix")? } else { String::new() };
        Ok(Self { by, query, inner, prefix })
    }
}

impl fmt::Display for Join {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "join by ({}) ({})", show_names(&self.by), self.query)?;
        if self.inner {
            f.write_str(" inner")?;
        }
        if self.prefix.is_empty() { Ok(()) } else { write!(f, " prefix {}", quote_if_needed(&self.prefix)) }
    }
}

impl Step for Join {
    fn needed(&self, needed: &mut Needed) {
        needed.add_all(&self.by);
    }

    fn stage<'c>(&self, context: &Context<'c>) -> Result<Box<dyn Stage + 'c>> {
        let mut held = context.memory.hold("join");
        let mut matches: FxHashMap<String, Vec<Fields>> = FxHashMap::default();
        context.run_within(&self.query, &Needed::all(), &mut |block: Block| {
            for row in 0..block.rows() {
                let others = block.row(row).filter(|(name, _)| !self.by.iter().any(|by| by == name));
                let fields: Fields =
                    others.map(|(name, value)| (format!("{}{name}", self.prefix), value.to_string())).collect();
                let key = key(&block, &self.by, row);
                let bytes = |(name, value): &(String, String)| name.len() + value.len() + 2 * size_of::<String>();
                held.add(key.len() + 64 + fields.iter().map(bytes).sum::<usize>())?;
                matches.entry(key).or_default().push(fields);
            }
            Ok(Flow::More)
        })?;
        let stop = context.stop.clone();
        Ok(Box::new(Joiner { by: self.by.clone(), inner: self.inner, matches, stop, _held: held }))
    }
}

type Fields = Vec<(String, String)>;

fn key(block: &Block, by: &[String], row: usize) -> String {
    let mut key = String::new();
    for name in by {
        let value = block.column(name).value(row);
        key.push_str(&format!("{}:", value.len()));
        key.push_str(value);
    }
    key
}

struct Joiner {
    by: Vec<String>,
    inner: bool,
    matches: FxHashMap<String, Vec<Fields>>,
    stop: Stop,
    _held: Held,
}

impl Stage for Joiner {
    fn push(&mut self, block: Block, next: &mut dyn Sink) -> Result<Flow> {
        let mut writer = RowWriter::new(&block, Keep::Original);
        for row in 0..block.rows() {
            self.stop.check()?;
            let none = vec![Vec::new()];
            let found = self.matches.get(&key(&block, &self.by, row));
            for fields in found.or((!self.inner).then_some(&none)).into_iter().flatten() {
                if writer.write(row, fields, next)? == Flow::Enough {
                    return Ok(Flow::Enough);
                }
            }
        }
        writer.finish(next)
    }
}

#[cfg(test)]
mod tests {
    use crate::query::testing::check;

    #[test]
    fn rows_find_their_matches() {
        check(
            "filter b:x | fields a, b | join by (a) (c:y | fields a, c)",
            r#"{"a":"1","b":"x","_msg":"m one"}
{"a":"2","b":"x"}
{"a":"2","c":"y","_msg":"two"}"#,
            r#"{"a":"1","b":"x"}
{"a":"2","b":"x","c":"y"}"#,
        );
        check(
            "filter b:x | fields a, b | join by (a) (* | fields a, b, c) inner prefix p.",
            r#"{"a":"1","b":"x","_msg":"m one"}
{"a":"2","b":"x"}
{"a":"2","c":"y","_msg":"two"}"#,
            r#"{"a":"1","b":"x","p.b":"x"}
{"a":"2","b":"x","p.b":"x"}
{"a":"2","b":"x","p.c":"y"}"#,
        );
    }
}
