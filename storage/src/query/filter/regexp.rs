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

#[cfg(test)]
mod tests {
    use crate::query::testing::{check_faults, check_filters};

    const ROWS: &str = r#"
        {"row":"a","_msg":"error: cannot read data","event.original":"warned"}
        {"row":"b","_msg":"2 warnings have been raised","event:original":"err"}
        {"row":"c","_msg":"data transferring finished"}
        {"row":"d","_msg":"ERROR: cannot open file foo.bar"}
        {"row":"e","_msg":"it is warmer than usual, fooxbar","event.original":""}
        {"row":"f","_msg":"ПРИВЕТ \"foo\":\"baz\"\nnext","n":"12.5"}
        {"row":"g","n":"125"}
    "#;

    #[test]
    fn expressions_match_anywhere_in_a_text() {
        check_filters(
            ROWS,
            &[
                ("~\"err|warn\"", "abc"),
                ("re(\"err|warn\")", "abc"),
                ("~\"(?i)(err|warn)\"", "abcd"),
                ("~err", "ac"),
                ("~\"ampl\"", ""),
                ("~\"foo.bar\"", "de"),
                ("~\"foo\\\\.bar\"", "d"),
                ("~`foo\\.bar`", "d"),
                ("~\"^data\"", "c"),
                ("~\"^it.*bar$\"", "e"),
                ("~'\"foo\":\"(bar|baz)\"'", "f"),
                ("~\"(?i)привет\"", "f"),
                ("~\"привет\"", ""),
                ("~\"(?s)baz.*next\"", "f"),
                ("~\"^$\"", "g"),
                ("event.original:~\"err|warn\"", "a"),
                ("\"event:original\":~\"err|warn\"", "b"),
                ("event.original:!~warn", "bcdefg"),
                ("event.original:(~warn or ~none)", "a"),
                ("event.original:~\"^$\"", "bcdefg"),
                ("n:~\"^12[.]\"", "f"),
                ("n:~5$", "fg"),
                ("none:~x", ""),
                ("!~\"err|warn\"", "defg"),
                // As those who ask for what was chosen from a list write them.
                ("event.original:~\"\"", "abcdefg"),
                ("event.original:~\".*\"", "abcdefg"),
                ("event.original:~\".+\"", "a"),
                ("re", ""),
            ],
        );
    }

    #[test]
    fn wrong_expressions_are_told_where() {
        check_faults(&[
            ("~\"(\"", 1, "regular expression"),
            ("a:re('[')", 4, "regular expression"),
            ("a:~", 3, "ends"),
            ("re(a, b)", 2, "one argument"),
        ]);
    }
}
