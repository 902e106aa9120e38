//! `unroll (a, b)`: a row for each item of JSON arrays.
//!
//! Invariants
//! * A row gives as many rows as its longest array has items, and one if there is none.
use super::Step;
use super::condition::{Condition, add_needed, show};
use super::unpack::{Keep, RowWriter, hold_parts};
use crate::error::Result;
use crate::query::block::Block;
use crate::query::budget::{Memory, Stop};
use crate::query::fault::{Fault, Parsed};
use crate::query::filter::Filter;
use crate::query::needed::Needed;
use crate::query::parse::Parser;
use crate::query::run::{Context, Flow, Sink, Stage};
use crate::query::value::json::array_items;
use std::fmt;

/// The pipe.
#[derive(Clone, Debug, PartialEq)]
pub struct Unroll {
    /// Which rows it is for.
    pub condition: Option<Filter>,
    /// The fields that hold arrays.
    pub fields: Vec<String>,
}

impl Unroll {
    pub(super) fn parse(parser: &mut Parser<'_>) -> Parsed<Self> {
        let condition = Filter::parse_condition(parser)?;
        parser.takes("by");
        let at = parser.at();
        let fields = if parser.is("(") { parser.field_names_in_parens()? } else { parser.field_names()? };
        if fields.is_empty() {
            return Err(Fault::new(at.0, "'unroll' needs a field"));
        }
        Ok(Self { condition, fields })
    }
}

impl fmt::Display for Unroll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unroll{} by ({})", show(self.condition.as_ref()), super::show_names(&self.fields))
    }
}

impl Step for Unroll {
    fn needed(&self, needed: &mut Needed) {
        // How many rows there are depends on the arrays, whether they are looked at or not.
        needed.add_all(&self.fields);
        add_needed(self.condition.as_ref(), needed);
    }

    fn stage<'c>(&self, context: &Context<'c>) -> Result<Box<dyn Stage + 'c>> {
        let condition = Condition::prepare(self.condition.as_ref(), context)?;
        Ok(Box::new(Unroller {
            condition,
            fields: self.fields.clone(),
            stop: context.stop.clone(),
            memory: context.memory.clone(),
        }))
    }
}

struct Unroller {
    condition: Condition,
    fields: Vec<String>,
    stop: Stop,
    memory: Memory,
}

impl Stage for Unroller {
    fn push(&mut self, block: Block, next: &mut dyn Sink) -> Result<Flow> {
        let rows = self.condition.rows(&block);
        let mut writer = RowWriter::new(&block, Keep::New);
        for row in 0..block.rows() {
            self.stop.check()?;
            if !rows.has(row) {
                if writer.write(row, &[], next)? == Flow::Enough {
                    return Ok(Flow::Enough);
                }
                continue;
            }
            let hold =
                |field: &String| hold_parts(&self.memory, block.column(field).value(row), "an array that is unrolled");
            let _held = self.fields.iter().map(hold).collect::<Result<Vec<_>>>()?;
            let arrays = self.fields.iter().map(|field| array_items(block.column(field).value(row)).into_iter());
            let mut arrays: Vec<std::vec::IntoIter<String>> = arrays.collect();
            let count = arrays.iter().map(ExactSizeIterator::len).max().unwrap_or(0).max(1);
            for _ in 0..count {
                let items = arrays.iter_mut().map(|items| items.next().unwrap_or_default());
                let added: Vec<(String, String)> = self.fields.iter().cloned().zip(items).collect();
                if writer.write(row, &added, next)? == Flow::Enough {
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
    fn items_are_rows() {
        check(
            "unroll (a, b)",
            r#"{"a":"[1,2]","b":"[\"x\"]","c":"k"}
{"c":"n"}"#,
            r#"{"a":"1","b":"x","c":"k"}
{"a":"2","c":"k"}
{"c":"n"}"#,
        );
        check(
            "unroll a | count() n",
            r#"{"a":"[1,2]"}
{}"#,
            r#"{"n":"3"}"#,
        );
    }
}
