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

#[cfg(test)]
mod tests {
    use crate::query::testing::{check_faults, check_filters};

    const ROWS: &str = r#"
        {"row":"a","_msg":"fatal error: cannot find /foo/bar","log.level":"error","log:level":"err"}
        {"row":"b","_msg":"fatal error: cannot find /foo/bar/baz","log.level":"errors"}
        {"row":"c","_msg":"FATAL ERROR: cannot find /foo/bar","log.level":"ERROR","log.დონე":"შეცდომა"}
        {"row":"d","_msg":"Processing requests from x","log.level":"","n":"10"}
        {"row":"e","n":"10.0","log.დონე":"შეცდომა!"}
        {"row":"f","_msg":"or","log.level":"an error","n":"010"}
    "#;

    #[test]
    fn a_value_is_the_whole_text_or_begins_so() {
        check_filters(
            ROWS,
            &[
                ("=\"fatal error: cannot find /foo/bar\"", "a"),
                ("exact(\"fatal error: cannot find /foo/bar\")", "a"),
                ("_msg:=\"fatal error: cannot find /foo/bar\"", "a"),
                ("=fatal", ""),
                ("=fatal*", "ab"),
                ("exact(fatal*)", "ab"),
                ("=\"Processing request\"*", "d"),
                ("=\"processing request\"*", ""),
                ("=\"requests\"*", ""),
                ("log.level:=error", "a"),
                ("log.level:=\"error\"", "a"),
                ("log.level:=err*", "ab"),
                ("log.level:=\"err\"*", "ab"),
                ("\"log:level\":=\"err\"", "a"),
                ("\"log:level\":=\"er\"*", "a"),
                ("log.level:!=error", "bcdef"),
                ("log.level:!=err*", "cdef"),
                ("log.level:(=error or =ERROR)", "ac"),
                ("log.level:(=\"error\" OR =errors)", "ab"),
                ("log.level:!(=error or =ERROR)", "bdef"),
                ("log.level:=\"\"", "de"),
                ("log.level:=*", "abcdef"),
                ("none:=\"\"", "abcdef"),
                ("none:=x", ""),
                ("none:=x*", ""),
                ("log.დონე:=\"შეცდომა\"", "c"),
                ("log.დონე:=შეცდომა*", "ce"),
                ("n:=10", "d"),
                ("n:=1*", "de"),
                ("=\"or\"", "f"),
                ("exact", ""),
            ],
        );
    }

    #[test]
    fn what_is_no_text_is_refused() {
        check_faults(&[
            ("a:=(", 3, "argument"),
            ("a:= | limit 1", 4, "argument"),
            ("exact(a b)", 8, "')'"),
            ("exact(a", 7, "ends"),
            ("=\"a", 1, "closing"),
        ]);
    }
}
