//! `rename a as b, c* as d*`: fields under other names instead.
//!
//! Invariants
//! * Pairs are done in order, each on what those before it left.
//! * A field that is named and is not there is renamed all the same: the other name is empty then. Prefixes rename what a row
//!   has: what others of its block have changes nothing.
use super::Step;
use super::copy::{other_name, parse_pairs, show_pairs};
use super::update::PerBlock;
use crate::error::Result;
use crate::query::block::{Block, Column};
use crate::query::fault::Parsed;
use crate::query::needed::{Needed, fits};
use crate::query::parse::Parser;
use crate::query::run::{Context, Stage};
use std::fmt;

/// The pipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rename {
    /// What becomes what, in order; both may be prefixes with `*`.
    pub pairs: Vec<(String, String)>,
}

impl Rename {
    pub(super) fn parse(parser: &mut Parser<'_>) -> Parsed<Self> {
        Ok(Self { pairs: parse_pairs(parser)? })
    }
}

impl fmt::Display for Rename {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rename {}", show_pairs(&self.pairs))
    }
}

impl Step for Rename {
    fn needed(&self, needed: &mut Needed) {
        for (from, to) in self.pairs.iter().rev() {
            let wanted = needed.may_have(to);
            if !from.ends_with('*') && from != to {
                needed.remove(from);
            }
            // Rows without any field of a prefix keep what they have.
            if !to.ends_with('*') && !from.ends_with('*') {
                needed.remove(to);
            }
            if wanted {
                needed.add(from);
            }
        }
    }

    fn is_local(&self) -> bool {
        true
    }

    fn stage<'c>(&self, context: &Context<'c>) -> Result<Box<dyn Stage + 'c>> {
        let (pairs, memory) = (self.pairs.clone(), context.memory.clone());
        Ok(Box::new(PerBlock(move |mut block: Block| {
            for (from, to) in &pairs {
                let fitting = block.columns().iter().filter(|column| fits(from, column.name()));
                let mut renamed: Vec<Column> =
                    fitting.map(|column| column.renamed(&other_name(from, to, column.name()))).collect();
                block.retain_columns(|column| !fits(from, column.name()));
                if from.ends_with('*') {
                    renamed.into_iter().for_each(|column| block.put_over(column));
                    memory.check(block.bytes(), "a block of renamed fields")?;
                    continue;
                }
                if renamed.is_empty() {
                    renamed.push(Column::constant(to, ""));
                }
                renamed.into_iter().for_each(|column| block.put(column));
            }
            Ok(block)
        })))
    }
}

#[cfg(test)]
mod tests {
    use crate::query::testing::check;

    #[test]
    fn fields_are_renamed_in_order() {
        check("rename a as b, c as a", r#"{"a":"1","b":"2","c":"3"}"#, r#"{"b":"1","a":"3"}"#);
        check("mv x* *", r#"{"xa":"1","a":"0","z":"9"}"#, r#"{"a":"1","z":"9"}"#);
        check("rename * as p.*", r#"{"a":"1","b":"2"}"#, r#"{"p.a":"1","p.b":"2"}"#);
        check(
            "rename a* as b*",
            r#"{"ax":"1","bx":"2"}
{"bx":"3"}
{"ay":"4","bx":"5"}"#,
            r#"{"bx":"1"}
{"bx":"3"}
{"by":"4","bx":"5"}"#,
        );
        check(
            "rename a* as b | fields b",
            r#"{"ax":"1","b":"2"}
{"b":"3"}
{"ax":"4","ay":"5"}
{"ax":"6","z":"7"}"#,
            r#"{"b":"1"}
{"b":"3"}
{"b":"5"}
{"b":"6"}"#,
        );
        check("rename a as b | fields b", r#"{"a":"1","b":"2"}"#, r#"{"b":"1"}"#);
    }
}
