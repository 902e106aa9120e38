//! `value_type(kind)`: values that were sent as a kind.
//!
//! Invariants
//! * Each value is asked by itself: in which block it lies, and how that is stored, changes no answer.
use super::parse::{Scope, function, only_argument};
use super::{Filter, Test};
use crate::query::fault::Parsed;
use crate::query::parse::Parser;

pub(super) fn parse(parser: &mut Parser<'_>, scope: Scope<'_>) -> Parsed<Filter> {
    if let Some(word) = function(parser, scope, &["("])? {
        return Ok(word);
    }
    only_argument(parser).map(|kind| scope.test(Test::ValueType(kind)))
}

#[cfg(test)]
mod tests {
    use crate::query::testing::{check_faults, check_filters};

    #[test]
    fn what_has_only_texts_has_strings() {
        check_filters(
            r#"
            {"row":"a","n":"1","_msg":"x"}
            {"row":"b","n":"","a:b":"y"}
            {"row":"c","n":"ä"}
            {"row":"d"}
            "#,
            &[
                ("n:value_type(string)", "ac"),
                ("n:VALUE_TYPE(\"string\")", "ac"),
                ("n:!value_type(string)", "bd"),
                ("n:(value_type(string) or =\"\")", "abcd"),
                ("\"a:b\":value_type(string)", "b"),
                ("value_type(string)", "a"),
                ("n:value_type(number)", ""),
                ("n:value_type(String)", ""),
                ("n:value_type(uint64)", ""),
                ("none:value_type(string)", ""),
                ("none:value_type(null)", ""),
                ("value_type", ""),
            ],
        );
        check_faults(&[("a:value_type()", 12, "one argument"), ("a:value_type(", 13, "ends")]);
    }
}
