//! `value_type(kind)`: fields that are stored as a kind of column.
//!
//! Invariants
//! * Columns are asked, not values: of a block all rows pass or none does, those without a value too.
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
