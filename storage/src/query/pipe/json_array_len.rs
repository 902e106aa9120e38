//! `json_array_len(field) as result`: how many items a JSON array has.
//!
//! Invariants
//! * What is no JSON array, and a field that is not there, has 0 items.
use super::Step;
use super::unpack::hold_parts;
use super::update::from_field;
use crate::error::Result;
use crate::query::fault::Parsed;
use crate::query::needed::Needed;
use crate::query::parse::{Parser, quote_if_needed};
use crate::query::run::{Context, Stage};
use crate::query::value::json::array_items;
use std::fmt;

/// The pipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonArrayLen {
    /// The field.
    pub field: String,
    /// The field of the result.
    pub result: String,
}

impl JsonArrayLen {
    pub(super) fn parse(parser: &mut Parser<'_>) -> Parsed<Self> {
        let field = parser.field_name_in_optional_parens()?;
        Ok(Self { field, result: parser.result_or_message()? })
    }
}

impl fmt::Display for JsonArrayLen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "json_array_len({})", quote_if_needed(&self.field))?;
        if self.result == "_msg" { Ok(()) } else { write!(f, " as {}", quote_if_needed(&self.result)) }
    }
}

impl Step for JsonArrayLen {
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
        let memory = context.memory.clone();
        Ok(from_field(&self.field, &self.result, context, move |value| {
            let _held = hold_parts(&memory, value, "an array that is counted")?;
            Ok(array_items(value).len().to_string())
        }))
    }
}

#[cfg(test)]
mod tests {
    use crate::query::testing::check_field;
    use crate::query::testing::{answer, check, rows};

    #[test]
    fn items_are_counted() {
        check(
            "json_array_len(a) as n",
            r#"{"a":"[1,[2],\"x\"]"}
{"a":"x"}"#,
            r#"{"a":"[1,[2],\"x\"]","n":"3"}
{"a":"x","n":"0"}"#,
        );
    }

    #[test]
    fn only_arrays_have_items() {
        check_field(
            "json_array_len(a) as n",
            "n",
            &[
                (r#"{"a":"[]"}"#, "0"),
                (r#"{"a":"[[1,2],{\"x\":[3]},null,\"é\"]"}"#, "4"),
                (r#"{"a":" [1, 2] "}"#, "0"),
                (r#"{"a":"[1,"}"#, "0"),
                (r#"{"a":"{\"a\":[1]}"}"#, "0"),
                (r#"{"a":""}"#, "0"),
                ("{}", "0"),
            ],
        );
        check_field(
            "unpack_words _msg as w | json_array_len (w) as n",
            "n",
            &[(r#"{"_msg":"a b, c"}"#, "3"), ("{}", "0")],
        );
    }

    #[test]
    fn a_large_array_is_counted_while_it_is_looked_at() {
        let rows = rows(&format!("{{\"a\":[{}]}}", vec!["1"; 200_000].join(",")));
        let query = "* | json_array_len(a) as n | fields n";
        let error = answer(query, &rows, 8 << 20).unwrap_err();
        assert!(error.to_string().contains("an array that is counted"), "{error}");
        assert_eq!(answer(query, &rows, 16 << 20).unwrap(), [r#"{"n":"200000"}"#]);
    }
}
