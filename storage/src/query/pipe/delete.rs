//! `delete a, b*`: rows without some fields.
//!
//! Invariants
//! * What is deleted is not read, unless a pipe before it looks at it.
use super::Step;
use super::show_names;
use super::update::PerBlock;
use crate::error::Result;
use crate::query::block::Block;
use crate::query::fault::Parsed;
use crate::query::needed::{Needed, fits_any};
use crate::query::parse::Parser;
use crate::query::run::{Context, Stage};
use std::fmt;

/// The pipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delete {
    /// The fields.
    pub patterns: Vec<String>,
}

impl Delete {
    pub(super) fn parse(parser: &mut Parser<'_>) -> Parsed<Self> {
        Ok(Self { patterns: parser.field_patterns()? })
    }
}

impl fmt::Display for Delete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "delete {}", show_names(&self.patterns))
    }
}

impl Step for Delete {
    fn needed(&self, needed: &mut Needed) {
        self.patterns.iter().for_each(|pattern| needed.remove(pattern));
    }

    fn is_local(&self) -> bool {
        true
    }

    fn stage<'c>(&self, _: &Context<'c>) -> Result<Box<dyn Stage + 'c>> {
        let patterns = self.patterns.clone();
        Ok(Box::new(PerBlock(move |mut block: Block| {
            block.retain_columns(|column| !fits_any(&patterns, column.name()));
            Ok(block)
        })))
    }
}

#[cfg(test)]
mod tests {
    use crate::query::testing::check;

    #[test]
    fn fields_are_deleted() {
        check("delete a, x*", r#"{"a":"1","b":"2","x":"3","xy":"4"}"#, r#"{"b":"2"}"#);
        check("rm a | fields a, b", r#"{"a":"1","b":"2"}"#, r#"{"b":"2"}"#);
    }
}
