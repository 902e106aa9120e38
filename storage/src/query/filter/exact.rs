//! `=text` and `="prefix"*`.
//!
//! Invariants
//! * `=` with the empty text, or at the end of a query, asks for rows in which the field is empty or not there.
use super::parse::{Scope, operand};
use super::{Filter, Test};
use crate::query::fault::Parsed;
use crate::query::parse::Parser;

/// What stands after `=`.
pub(super) fn parse_operand(parser: &mut Parser<'_>, scope: Scope<'_>) -> Parsed<Filter> {
    let (text, star) = operand(parser)?;
    Ok(scope.test(if star { Test::ExactPrefix(text) } else { Test::Exact(text) }))
}
