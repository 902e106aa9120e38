//! The values of `in(...)`, `contains_all(...)` and `contains_any(...)`: a list, or what another query gives.
//!
//! Invariants
//! * What can be read as a list is one; only what cannot is read as a query.
//! * `*` alone, and the query of every row, is no filter.
use super::parse::{Scope, arguments, function};
use super::{Filter, Test};
use crate::query::fault::{Fault, Parsed};
use crate::query::parse::{Parser, quote_if_needed};
use crate::query::tree::Query;
use std::fmt;

/// Values to compare with.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// These.
    List(Vec<String>),
    /// Those that a query gives.
    Query(Subquery),
}

/// A query in a filter.
#[derive(Clone, Debug, PartialEq)]
pub struct Subquery {
    /// The query.
    pub query: Box<Query>,
    /// The field whose values count.
    pub field: String,
}

/// `name(...)`, with the test that the values are for.
pub(super) fn parse(parser: &mut Parser<'_>, scope: Scope<'_>, test: fn(Values) -> Test) -> Parsed<Filter> {
    if let Some(word) = function(parser, scope, &["("])? {
        return Ok(word);
    }
    let mark = parser.mark();
    match arguments(parser) {
        Ok(list) if list == ["*"] => Ok(Filter::All),
        Ok(list) => Ok(scope.test(test(Values::List(list)))),
        Err(list_fault) => {
            parser.back(mark);
            match parse_subquery(parser, list_fault)? {
                Some(subquery) => Ok(scope.test(test(Values::Query(subquery)))),
                None => Ok(Filter::All),
            }
        }
    }
}

/// `(query)`, where it turned out not to be a list. The query of every row gives no filter.
pub(super) fn parse_subquery(parser: &mut Parser<'_>, list_fault: Fault) -> Parsed<Option<Subquery>> {
    let at = parser.at();
    let query = match Query::parse_in_parens(parser) {
        Ok(query) => query,
        // The fault that was seen later is the one of the reading that came further.
        Err(fault) => return Err(if fault.at() >= list_fault.at() { fault } else { list_fault }),
    };
    if query.pipes.is_empty() && query.filter == Filter::All {
        return Ok(None);
    }
    let Some(field) = query.only_field().map(str::to_string) else {
        return Err(Fault::new(
            at.0,
            "a subquery has to end with 'fields' or 'uniq by' of a single field; a list needs commas",
        ));
    };
    Ok(Some(Subquery { query: Box::new(query), field }))
}

impl fmt::Display for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List(list) => {
                let shown: Vec<String> = list.iter().map(|text| quote_if_needed(text)).collect();
                f.write_str(&shown.join(","))
            }
            Self::Query(subquery) => subquery.query.fmt(f),
        }
    }
}
