//! `=text` and `="prefix"*`.
use super::parse::{Scope, operand};
use super::{Filter, Test};
use crate::query::fault::Parsed;
use crate::query::parse::Parser;

/// What stands after `=`.
pub(super) fn parse_operand(parser: &mut Parser<'_>, scope: Scope<'_>) -> Parsed<Filter> {
    let (text, star) = operand(parser)?;
    Ok(scope.test(if star { Test::ExactPrefix(text) } else { Test::Exact(text) }))
}
