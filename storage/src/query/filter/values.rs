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

#[cfg(test)]
mod tests {
    use crate::query::testing::{check_faults, check_filters};

    const ROWS: &str = r#"
        {"row":"a","log.level":"error","_msg":"foo and bar baz","user_id":"7","path":"/admin/x"}
        {"row":"b","log.level":"fatal","_msg":"foo","user_id":"7"}
        {"row":"c","log.level":"ERROR","_msg":"bar baz","user_id":"8"}
        {"row":"d","log.level":"","_msg":"barbaz 7 x","log:level":"error"}
        {"row":"e","log.level":"errors","_msg":"Привет, мир"}
        {"row":"f","user_id":"70"}
        {"row":"g","log.level":"*","_msg":"*"}
    "#;

    #[test]
    fn whole_values_are_listed() {
        check_filters(
            ROWS,
            &[
                ("log.level:in(\"error\", \"fatal\")", "ab"),
                ("log.level:(=\"error\" OR =\"fatal\")", "ab"),
                ("log.level:in(error, fatal,)", "ab"),
                ("log.level:IN(error)", "a"),
                ("\"log:level\":in(error)", "d"),
                ("log.level:in(\"\")", "df"),
                ("log.level:in(\"\", error)", "adf"),
                ("log.level:in()", ""),
                ("log.level:in(*)", "abcdefg"),
                ("log.level:in(*, error)", "ag"),
                ("log.level:in(\"*\")", "abcdefg"),
                ("in(\"Привет, мир\")", "e"),
                ("in(foo)", "b"),
                ("log.level:!in(error, fatal)", "cdefg"),
                ("log.level:(in(error) or in(fatal))", "ab"),
                ("none:in(x)", ""),
                ("none:in(\"\")", "abcdefg"),
                ("user_id:in(1,2,3,4,5,6,7,9,10)", "ab"),
                ("in", ""),
            ],
        );
    }

    #[test]
    fn words_and_phrases_are_listed() {
        check_filters(
            ROWS,
            &[
                ("contains_all(foo, \"bar baz\")", "a"),
                ("foo AND \"bar baz\"", "a"),
                ("contains_any(foo, \"bar baz\")", "abc"),
                ("foo OR \"bar baz\"", "abc"),
                ("contains_all(foo)", "ab"),
                ("contains_all(foo, \"\")", "ab"),
                ("contains_all()", "abcdefg"),
                ("contains_any()", ""),
                ("contains_any(x, \"\")", "abcdefg"),
                ("contains_all(*)", "abcdefg"),
                ("contains_any(*)", "abcdefg"),
                ("contains_any(мир)", "e"),
                ("contains_any(FOO)", ""),
                ("log.level:contains_any(error, ERROR)", "ac"),
                ("log.level:!contains_any(error, ERROR)", "bdefg"),
                ("\"log:level\":contains_all(error)", "d"),
                ("path:contains_all(x, admin)", "a"),
                ("none:contains_any(x)", ""),
            ],
        );
    }

    #[test]
    fn values_come_from_other_queries() {
        check_filters(
            ROWS,
            &[
                ("user_id:in(path:admin | fields user_id)", "ab"),
                ("user_id:in(path:admin | uniq by (user_id))", "ab"),
                ("user_id:!in(path:admin | fields user_id)", "cdefg"),
                ("user_id:in(log.level:nowhere | fields user_id)", ""),
                ("user_id:in(row:d | fields user_id)", "deg"),
                ("_msg:contains_any(path:admin | fields user_id)", "d"),
                ("_msg:contains_all(path:admin | fields user_id)", "d"),
                ("_msg:contains_all(nowhere | fields user_id)", "abcdefg"),
                ("_msg:contains_any(nowhere | fields user_id)", ""),
                ("user_id:in(options(concurrency=1) path:admin | keep user_id)", "ab"),
                ("user_id:in(user_id:in(path:admin | fields user_id) log.level:fatal | fields user_id)", "ab"),
            ],
        );
    }

    #[test]
    fn a_query_for_values_gives_one_field() {
        check_faults(&[
            ("a:in(x | fields b, c)", 4, "single field"),
            ("a:in(x | fields b*)", 4, "single field"),
            ("a:in(x | limit 1)", 4, "single field"),
            ("a:in(x y)", 4, "commas"),
            ("a:in(x", 6, "ends"),
        ]);
    }
}
