//! `field_names`: the names of fields, and how many rows have each.
//!
//! Invariants
//! * A field counts in the rows in which it is not empty; one that is empty in all has no name here.
//! * A name is counted to the query's memory before it is kept. Names come in their order.
use super::Step;
use crate::error::Result;
use crate::query::block::{Block, BlockBuilder};
use crate::query::budget::Held;
use crate::query::fault::Parsed;
use crate::query::needed::Needed;
use crate::query::parse::{Parser, quote_if_needed};
use crate::query::run::{Context, Flow, Sink, Stage};
use std::collections::BTreeMap;
use std::fmt;

/// The pipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldNames {
    /// The field of the names.
    pub result: String,
}

impl FieldNames {
    pub(super) fn parse(parser: &mut Parser<'_>) -> Parsed<Self> {
        let named = parser.takes("as") || !parser.ends_pipe();
        Ok(Self { result: if named { parser.field_name()? } else { "name".into() } })
    }
}

impl fmt::Display for FieldNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.result.as_str() {
            "name" => f.write_str("field_names"),
            name => write!(f, "field_names as {}", quote_if_needed(name)),
        }
    }
}

impl Step for FieldNames {
    fn needed(&self, needed: &mut Needed) {
        *needed = Needed::all();
    }

    fn stage<'c>(&self, context: &Context<'c>) -> Result<Box<dyn Stage + 'c>> {
        let held = context.memory.hold("field_names");
        Ok(Box::new(Names { result: self.result.clone(), hits: BTreeMap::new(), held }))
    }
}

struct Names {
    result: String,
    hits: BTreeMap<String, u64>,
    held: Held,
}

impl Stage for Names {
    fn push(&mut self, block: Block, _: &mut dyn Sink) -> Result<Flow> {
        for column in block.columns() {
            let rows = match column.constant_value() {
                Some("") => 0,
                Some(_) => block.rows(),
                None => (0..block.rows()).filter(|row| !column.value(*row).is_empty()).count(),
            };
            if rows == 0 {
                continue;
            }
            if !self.hits.contains_key(column.name()) {
                self.held.add(column.name().len() + 64)?;
            }
            *self.hits.entry(column.name().to_string()).or_default() += rows as u64;
        }
        Ok(Flow::More)
    }

    fn finish(&mut self, next: &mut dyn Sink) -> Result<()> {
        let mut out = BlockBuilder::default();
        for (name, hits) in &self.hits {
            out.set(&self.result, name);
            out.set("hits", &hits.to_string());
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
    fn rows_that_have_a_field_count() {
        check(
            "field_names",
            r#"{"a":"1","b":"x","_msg":"m one"}
{"a":"2","b":"x"}
{"a":"2","c":"y","_msg":"two"}"#,
            r#"{"name":"a","hits":"3"}
{"name":"b","hits":"2"}
{"name":"c","hits":"1"}
{"name":"_msg","hits":"2"}"#,
        );
    }
}
