//! `~"expression"` and `re(expression)`: regular expressions, substrings among them.
use super::parse::{Scope, function, only_argument};
use super::{Filter, Test};
use crate::query::fault::{At, Fault, Parsed};
use crate::query::parse::Parser;
use crate::query::value::regexp::compile;

pub(super) fn parse(parser: &mut Parser<'_>, scope: Scope<'_>) -> Parsed<Filter> {
    if let Some(word) = function(parser, scope, &["("])? {
        return Ok(word);
    }
    let at = parser.at();
    let expression = only_argument(parser)?;
    filter(expression, scope, at)
}

/// What stands after `~`.
pub(super) fn parse_operand(parser: &mut Parser<'_>, scope: Scope<'_>) -> Parsed<Filter> {
    let at = parser.at();
    let expression = parser.word("a regular expression")?;
    filter(expression, scope, at)
}

fn filter(expression: String, scope: Scope<'_>, at: At) -> Parsed<Filter> {
    match expression.as_str() {
        "" | ".*" => return Ok(Filter::All),
        ".+" => return Ok(scope.test(Test::Prefix(String::new()))),
        _ => {}
    }
    compile(&expression).map_err(|reason| Fault::new(at.0, format!("wrong regular expression: {reason}")))?;
    Ok(scope.test(Test::Regexp(expression)))
}
