//! `seq(a, b, ...)`: words and phrases, one after another.
//!
//! Invariants
//! * Phrases do not overlap. Empty ones say nothing, and without others every text passes.
use super::parse::{Scope, arguments, function};
use super::phrase::Needle;
use super::{Filter, Test};
use crate::query::fault::Parsed;
use crate::query::parse::Parser;

pub(super) fn parse(parser: &mut Parser<'_>, scope: Scope<'_>) -> Parsed<Filter> {
    if let Some(word) = function(parser, scope, &["("])? {
        return Ok(word);
    }
    arguments(parser).map(|phrases| scope.test(Test::Sequence(phrases)))
}

/// Whether a text has these phrases in this order; each is looked for after the end of the one before, as if the text began
/// there.
pub(crate) fn in_order(needles: &[Needle], text: &str) -> bool {
    let mut rest = text;
    for needle in needles {
        match needle.end_in(rest).and_then(|end| rest.get(end..)) {
            Some(tail) => rest = tail,
            None => return false,
        }
    }
    true
}

/// The phrases made ready; empty ones say nothing.
pub(crate) fn needles(phrases: &[String]) -> Vec<Needle> {
    phrases.iter().filter(|phrase| !phrase.is_empty()).map(|phrase| Needle::phrase(phrase, false)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::testing::check_filters;

    #[test]
    fn order_counts() {
        let has = |phrases: &[&str], text: &str| {
            let phrases: Vec<String> = phrases.iter().map(|p| (*p).to_string()).collect();
            in_order(&needles(&phrases), text)
        };
        assert!(has(&["error", "open file"], "some error: cannot open file /foo"));
        assert!(!has(&["error", "open file"], "cannot open file: error"));
        assert!(has(&[], "") && has(&["", "a"], "a") && !has(&["a", "a"], "a"));
    }

    #[test]
    fn phrases_follow_each_other() {
        check_filters(
            r#"
            {"row":"a","_msg":"some error: cannot open file /foo/bar","event.original":"error 1, open file 2"}
            {"row":"b","_msg":"cannot open file: error","event:original":"error open file"}
            {"row":"c","_msg":"Error open file","event.original":""}
            {"row":"d","_msg":"error error"}
            {"row":"e","_msg":"日本 42 ΤΙΜΉ"}
            {"row":"f"}
            "#,
            &[
                ("seq(\"error\", \"open file\")", "a"),
                ("seq(error, 'open file')", "a"),
                ("SEQ(open, error)", "b"),
                ("error AND \"open file\"", "ab"),
                ("event.original:seq(error, \"open file\")", "a"),
                ("\"event:original\":seq(error, \"open file\")", "b"),
                ("seq(error, error)", "d"),
                ("seq(error, error, error)", ""),
                ("seq(open, file)", "abc"),
                ("seq(ope, file)", ""),
                ("seq(日本, 42, ΤΙΜΉ)", "e"),
                ("seq(42, 日本)", ""),
                ("seq(error)", "abd"),
                ("seq(error, \"\")", "abd"),
                ("seq(\"\")", "abcdef"),
                ("seq()", "abcdef"),
                ("event.original:!seq(error, open)", "bcdef"),
                ("none:seq(a)", ""),
                ("seq", ""),
            ],
        );
    }
}
