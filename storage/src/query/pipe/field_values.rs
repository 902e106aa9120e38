//! `field_values a`: the values of a field, and how often each came.
//!
//! Invariants
//! * It is `uniq by (field) with hits`: a row without the field counts with the empty text, and beyond the limit hits are 0.
use super::uniq::Uniq;
use super::{Partial, Step};
use crate::error::Result;
use crate::query::fault::Parsed;
use crate::query::needed::Needed;
use crate::query::parse::{Parser, quote_if_needed};
use crate::query::run::{Context, Stage};
use std::fmt;

/// The pipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldValues {
    /// The field.
    pub field: String,
    /// How many there are at most; 0 is without a limit.
    pub limit: u64,
}

impl FieldValues {
    pub(super) fn parse(parser: &mut Parser<'_>) -> Parsed<Self> {
        Ok(Self { field: parser.field_name_in_optional_parens()?, limit: parser.limit()? })
    }
}

impl FieldValues {
    fn as_uniq(&self) -> Uniq {
        Uniq { by: vec![self.field.clone()], hits: true, limit: self.limit }
    }
}

impl fmt::Display for FieldValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "field_values {}", quote_if_needed(&self.field))?;
        if self.limit > 0 { write!(f, " limit {}", self.limit) } else { Ok(()) }
    }
}

impl Step for FieldValues {
    fn needed(&self, needed: &mut Needed) {
        *needed = Needed::none();
        needed.add(&self.field);
    }

    fn stage<'c>(&self, context: &Context<'c>) -> Result<Box<dyn Stage + 'c>> {
        Ok(Box::new(self.as_uniq().tallying(context)))
    }

    fn partial(&self, context: &Context<'_>) -> Result<Option<Partial>> {
        Ok(Some(Partial::Uniq(Box::new(self.as_uniq().tallying(context)))))
    }
}

#[cfg(test)]
mod tests {
    use crate::query::testing::check;

    #[test]
    fn values_are_counted() {
        check(
            "field_values b",
            r#"{"a":"1","b":"x","_msg":"m one"}
{"a":"2","b":"x"}
{"a":"2","c":"y","_msg":"two"}"#,
            r#"{"b":"x","hits":"2"}
{"hits":"1"}"#,
        );
    }
}
