//! `sample N`: one of N rows, by chance.
//!
//! Invariants
//! * The generator has a fixed seed: the same rows in the same order give the same sample.
use super::Step;
use super::update::PerBlock;
use crate::error::Result;
use crate::query::bits::Bits;
use crate::query::block::Block;
use crate::query::fault::Parsed;
use crate::query::needed::Needed;
use crate::query::parse::Parser;
use crate::query::run::{Context, Stage};
use crate::query::value::number::count;
use std::fmt;

/// The pipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// One of how many.
    pub of: u64,
}

impl Sample {
    pub(super) fn parse(parser: &mut Parser<'_>) -> Parsed<Self> {
        let of = count(parser.text()).filter(|of| *of > 0).ok_or_else(|| parser.unexpected("a number above 0"))?;
        parser.advance();
        Ok(Self { of })
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sample {}", self.of)
    }
}

impl Step for Sample {
    fn needed(&self, _: &mut Needed) {}

    fn stage<'c>(&self, _: &Context<'c>) -> Result<Box<dyn Stage + 'c>> {
        let of = self.of;
        let mut random = 0x9E37_79B9_7F4A_7C15u64;
        Ok(Box::new(PerBlock(move |block: Block| {
            let mut keep = Bits::new(block.rows(), true);
            keep.retain(|_| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                random.is_multiple_of(of)
            });
            Ok(block.filtered(&keep))
        })))
    }
}

#[cfg(test)]
mod tests {
    use crate::query::testing::check;

    #[test]
    fn one_of_one_is_every_row() {
        check(
            "sample 1 | count() n",
            r#"{"a":"1","b":"x","_msg":"m one"}
{"a":"2","b":"x"}
{"a":"2","c":"y","_msg":"two"}"#,
            r#"{"n":"3"}"#,
        );
    }
}
