//! `len(field) as result`: the length of a value in bytes.
//!
//! Invariants
//! * Bytes are counted, not characters. A field that is not there has none.
use super::Step;
use super::update::from_field;
use crate::error::Result;
use crate::query::fault::Parsed;
use crate::query::needed::Needed;
use crate::query::parse::{Parser, quote_if_needed};
use crate::query::run::{Context, Stage};
use std::fmt;

/// The pipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Len {
    /// The field.
    pub field: String,
    /// The field of the result.
    pub result: String,
}

impl Len {
    pub(super) fn parse(parser: &mut Parser<'_>) -> Parsed<Self> {
        let field = parser.field_name_in_optional_parens()?;
        Ok(Self { field, result: parser.result_or_message()? })
    }
}

impl fmt::Display for Len {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "len({})", quote_if_needed(&self.field))?;
        if self.result == "_msg" { Ok(()) } else { write!(f, " as {}", quote_if_needed(&self.result)) }
    }
}

impl Step for Len {
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
        Ok(from_field(&self.field, &self.result, context, |value| Ok(value.len().to_string())))
    }
}

#[cfg(test)]
mod tests {
    use crate::query::testing::check;
    use crate::query::testing::check_field;

    #[test]
    fn bytes_are_counted() {
        check(
            "len(a) as n",
            r#"{"a":"é"}
{"b":"x"}"#,
            r#"{"a":"é","n":"2"}
{"b":"x","n":"0"}"#,
        );
    }

    #[test]
    fn a_missing_field_has_no_bytes() {
        let rows = [
            (r#"{"a":"12345678901","_msg":"x"}"#, "11"),
            (r#"{"a":"日本"}"#, "6"),
            (r#"{"a":""}"#, "0"),
            ("{}", "0"),
            (r#"{"n":"7","a":"7"}"#, "1"),
        ];
        check_field("len(a) as n", "n", &rows);
        check_field("len(a) n", "n", &rows);
        check_field("len a as n", "n", &rows);
        check_field("len(a)", "_msg", &rows);
    }
}
