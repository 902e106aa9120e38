//! `unpack_logfmt`: the pairs of a logfmt text in a field.
//!
//! Invariants
//! * Every text has fields: where it is no logfmt its words are names without values, and wanted fields that it lacks are empty
//!   ones.
use super::Step;
use super::unpack::{Unpacker, Unpacking};
use crate::error::Result;
use crate::query::fault::Parsed;
use crate::query::needed::Needed;
use crate::query::parse::Parser;
use crate::query::run::{Context, Stage};
use crate::query::value::logfmt::parse_logfmt;
use std::fmt;

/// The pipe.
#[derive(Clone, Debug, PartialEq)]
pub struct UnpackLogfmt {
    /// What is unpacked, and how.
    pub unpacking: Unpacking,
}

impl UnpackLogfmt {
    pub(super) fn parse(parser: &mut Parser<'_>) -> Parsed<Self> {
        Ok(Self { unpacking: Unpacking::parse(parser)? })
    }
}

impl fmt::Display for UnpackLogfmt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unpack_logfmt{}", self.unpacking)
    }
}

impl Step for UnpackLogfmt {
    fn needed(&self, needed: &mut Needed) {
        self.unpacking.needed(needed);
    }

    fn stage<'c>(&self, context: &Context<'c>) -> Result<Box<dyn Stage + 'c>> {
        Unpacker::stage(&self.unpacking, context, |text| Some(parse_logfmt(text)))
    }
}

#[cfg(test)]
mod tests {
    use crate::query::testing::check;

    #[test]
    fn pairs_are_unpacked() {
        check(
            "unpack_logfmt from x keep_original_fields | delete x",
            r#"{"x":"a=b c=\"d e\"","a":"old"}"#,
            r#"{"a":"old","c":"d e"}"#,
        );
    }
}
