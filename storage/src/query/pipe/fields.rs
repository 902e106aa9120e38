//! `fields a, b*`: rows with some fields only.
//!
//! Invariants
//! * A field that is named is there behind it, empty where no row has it. Prefixes leave what is there.
use super::Step;
use super::show_names;
use super::update::PerBlock;
use crate::error::Result;
use crate::query::block::{Block, Column};
use crate::query::fault::Parsed;
use crate::query::needed::{Needed, fits_any};
use crate::query::parse::Parser;
use crate::query::run::{Context, Stage};
use std::fmt;

/// The pipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fields {
    /// The fields.
    pub patterns: Vec<String>,
}

impl Fields {
    pub(super) fn parse(parser: &mut Parser<'_>) -> Parsed<Self> {
        Ok(Self { patterns: parser.field_patterns()? })
    }
}

impl fmt::Display for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fields {}", show_names(&self.patterns))
    }
}

impl Step for Fields {
    fn needed(&self, needed: &mut Needed) {
        let mut kept = Needed::none();
        kept.add_all(self.patterns.iter().filter(|pattern| needed.may_have(pattern)));
        *needed = kept;
    }

    fn is_local(&self) -> bool {
        true
    }

    fn stage<'c>(&self, _: &Context<'c>) -> Result<Box<dyn Stage + 'c>> {
        let patterns = self.patterns.clone();
        Ok(Box::new(PerBlock(move |mut block: Block| {
            block.retain_columns(|column| fits_any(&patterns, column.name()));
            for name in patterns.iter().filter(|pattern| !pattern.ends_with('*')) {
                if block.find(name).is_none() {
                    block.put(Column::constant(name, ""));
                }
            }
            Ok(block)
        })))
    }
}

#[cfg(test)]
mod tests {
    use crate::query::testing::check;

    #[test]
    fn other_fields_go() {
        check("fields a, x*", r#"{"a":"1","b":"2","xy":"4"}"#, r#"{"a":"1","xy":"4"}"#);
        check("keep * | fields b", r#"{"a":"1","b":"2"}"#, r#"{"b":"2"}"#);
    }
}
