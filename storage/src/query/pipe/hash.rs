//! `hash(field) as result`: a number that stands for a value: 53 bits of xxHash64.
//!
//! Invariants
//! * It has 53 bits, so that whoever reads numbers as floats has the same number.
use super::Step;
use super::update::from_field;
use crate::error::Result;
use crate::query::fault::Parsed;
use crate::query::needed::Needed;
use crate::query::parse::{Parser, quote_if_needed};
use crate::query::run::{Context, Stage};
use crate::query::value::hash::xxh64;
use std::fmt;

/// The pipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hash {
    /// The field.
    pub field: String,
    /// The field of the result.
    pub result: String,
}

impl Hash {
    pub(super) fn parse(parser: &mut Parser<'_>) -> Parsed<Self> {
        let field = parser.field_name_in_optional_parens()?;
        Ok(Self { field, result: parser.result_or_message()? })
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hash({})", quote_if_needed(&self.field))?;
        if self.result == "_msg" { Ok(()) } else { write!(f, " as {}", quote_if_needed(&self.result)) }
    }
}

impl Step for Hash {
    fn needed(&self, needed: &mut Needed) {
        if needed.has(&self.result) {
            needed.remove(&self.result);
            needed.add(&self.field);
        }
    }

    fn is_local(&self) -> bool {
        true
    }

    fn stage<'c>(&self, context: &Context<'c>) -> Result<Box<dyn Stage + 'c>> {
        Ok(from_field(&self.field, &self.result, context, |value| {
            Ok((xxh64(value.as_bytes()) & ((1 << 53) - 1)).to_string())
        }))
    }
}

#[cfg(test)]
mod tests {
    use crate::query::testing::check;
    use crate::query::testing::check_field;

    #[test]
    fn a_hash_fits_a_float() {
        check("hash(a) as h", r#"{"a":"abc"}"#, r#"{"a":"abc","h":"7930733036767641"}"#);
    }

    #[test]
    fn the_same_text_has_the_same_hash() {
        let same = "7930733036767641";
        check_field("hash(a) as h", "h", &[(r#"{"a":"abc","b":"x"}"#, same), (r#"{"b":"y","a":"abc"}"#, same)]);
    }
}
