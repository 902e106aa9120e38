//! `~"expression"` and `re(expression)`: regular expressions, substrings among them.
//!
//! Invariants
//! * A wrong expression is a fault of the query, with its place, before anything runs.
//! * `.*` and the empty expression are no filter: rows without the field pass.
use super::parse::{Scope, function, only_argument};
use super::{Filter, Test};
use crate::query::fault::{At, Parsed};
use crate::query::parse::Parser;

pub(super) fn parse(parser: &mut Parser<'_>, scope: Scope<'_>) -> Parsed<Filter> {
    if let Some(word) = function(parser, scope, &["("])? {
        return Ok(word);
    }
    let at = parser.at();
    let expression = only_argument(parser)?;
    filter(parser, expression, scope, at)
}

/// What stands after `~`.
pub(super) fn parse_operand(parser: &mut Parser<'_>, scope: Scope<'_>) -> Parsed<Filter> {
    let at = parser.at();
    let expression = parser.word("a regular expression")?;
    filter(parser, expression, scope, at)
}

fn filter(parser: &mut Parser<'_>, expression: String, scope: Scope<'_>, at: At) -> Parsed<Filter> {
    match expression.as_str() {
        "" | ".*" => return Ok(Filter::All),
        ".+" => return Ok(scope.test(Test::Prefix(String::new()))),
        _ => {}
    }
    parser.regexp(&expression, false, at)?;
    Ok(scope.test(Test::Regexp(expression)))
}
