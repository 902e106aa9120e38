//! `copy a as b, c* as d*`: fields under other names too.
//!
//! Invariants
//! * Pairs are done in order, each on what those before it left.
//! * A field that is named and is not there is copied all the same: the other one is empty then. Prefixes copy what a
//!   row has: what others of its block have changes nothing.
use super::Step;
use super::update::PerBlock;
use crate::error::Result;
use crate::query::block::{Block, Column};
use crate::query::fault::Parsed;
use crate::query::needed::{Needed, fits};
use crate::query::parse::{Parser, quote_pattern};
use crate::query::run::{Context, Stage};
use std::fmt;

/// The pipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// What is copied to what, in order; both may be prefixes with `*`.
    pub pairs: Vec<(String, String)>,
}

/// `a [as] b, ...`, of which there is one at least.
pub(super) fn parse_pairs(parser: &mut Parser<'_>) -> Parsed<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    loop {
        parser.has_room(pairs.len())?;
        let from = parser.field_pattern()?;
        parser.takes("as");
        pairs.push((from, parser.field_pattern()?));
        if !parser.takes(",") {
            return Ok(pairs);
        }
    }
}

/// The other name of a field that fits the first pattern.
pub(super) fn other_name(from: &str, to: &str, name: &str) -> String {
    match (from.strip_suffix('*'), to.strip_suffix('*')) {
        (Some(from), Some(to)) => format!("{to}{}", name.strip_prefix(from).unwrap_or(name)),
        _ => to.into(),
    }
}

/// The pairs as they are written.
pub(super) fn show_pairs(pairs: &[(String, String)]) -> String {
    let shown = |(from, to): &(String, String)| format!("{} as {}", quote_pattern(from), quote_pattern(to));
    pairs.iter().map(shown).collect::<Vec<_>>().join(", ")
}

impl Copy {
    pub(super) fn parse(parser: &mut Parser<'_>) -> Parsed<Self> {
        Ok(Self { pairs: parse_pairs(parser)? })
    }
}

impl fmt::Display for Copy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "copy {}", show_pairs(&self.pairs))
    }
}

impl Step for Copy {
    fn needed(&self, needed: &mut Needed) {
        for (from, to) in self.pairs.iter().rev() {
            let wanted = needed.may_have(to);
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
                let mut copies: Vec<Column> =
                    fitting.map(|column| column.renamed(&other_name(from, to, column.name()))).collect();
                if from.ends_with('*') {
                    copies.into_iter().for_each(|copy| block.put_over(copy));
                    memory.check(block.bytes(), "a block of copied fields")?;
                    continue;
                }
                if copies.is_empty() {
                    copies.push(Column::constant(to, ""));
                }
                copies.into_iter().for_each(|copy| block.put(copy));
            }
            Ok(block)
        })))
    }
}

#[cfg(test)]
mod tests {
    use crate::query::testing::check;

    #[test]
    fn fields_are_copied_in_order() {
        check("copy a as b, b as d", r#"{"a":"1","b":"2"}"#, r#"{"a":"1","b":"1","d":"1"}"#);
        check("cp x* y*", r#"{"xa":"1","xb":"2","ya":"3"}"#, r#"{"xa":"1","xb":"2","ya":"1","yb":"2"}"#);
        check(
            "copy a* as b*",
            r#"{"ax":"1","bx":"2"}
{"bx":"3"}"#,
            r#"{"ax":"1","bx":"1"}
{"bx":"3"}"#,
        );
        check("copy none as a | fields a, b", r#"{"a":"1","b":"2"}"#, r#"{"b":"2"}"#);
    }
}
