//! `collapse_nums`: numbers in a text become `<N>`, so that texts that differ in them only become the same.
//!
//! Invariants
//! * A number is a run of decimal or hexadecimal digits that begins and ends where words do, or beside a letter that units
//!   and times have there. A run with letters has to be of an even length of at least 4.
use super::Step;
use super::condition::{add_needed, show};
use super::update::in_place;
use crate::error::Result;
use crate::query::fault::Parsed;
use crate::query::filter::Filter;
use crate::query::needed::Needed;
use crate::query::parse::{Parser, quote_if_needed};
use crate::query::run::{Context, Stage};
use crate::text::words::is_word;
use std::fmt;

/// The pipe.
#[derive(Clone, Debug, PartialEq)]
pub struct CollapseNums {
    /// Which rows it is for.
    pub condition: Option<Filter>,
    /// The field.
    pub field: String,
    /// Whether groups of numbers become `<IP4>`, `<UUID>` and so on.
    pub prettify: bool,
}

impl CollapseNums {
    pub(super) fn parse(parser: &mut Parser<'_>) -> Parsed<Self> {
        let condition = Filter::parse_condition(parser)?;
        let field = if parser.takes("at") { parser.field_name()? } else { "_msg".into() };
        Ok(Self { condition, field, prettify: parser.takes("prettify") })
    }
}

impl fmt::Display for CollapseNums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "collapse_nums{}", show(self.condition.as_ref()))?;
        if self.field != "_msg" {
            write!(f, " at {}", quote_if_needed(&self.field))?;
        }
        if self.prettify { f.write_str(" prettify") } else { Ok(()) }
    }
}

impl Step for CollapseNums {
    fn needed(&self, needed: &mut Needed) {
        if needed.has(&self.field) {
            add_needed(self.condition.as_ref(), needed);
        }
    }

    fn stage<'c>(&self, context: &Context<'c>) -> Result<Box<dyn Stage + 'c>> {
        let prettify = self.prettify;
        in_place(&self.field, self.condition.as_ref(), context, move |text| {
            let collapsed = collapse(text);
            Ok(if prettify { prettified(&collapsed) } else { collapsed })
        })
    }
}

fn may_stand_before(c: char) -> bool {
    matches!(c, 'T' | 'X' | 'x' | 'v' | 's' | 'h' | 'm') || !is_word(c)
}

fn may_stand_after(c: char) -> bool {
    matches!(c, 'T' | 'Z' | 's' | 'm' | 'h' | 'μ' | 'u' | 'n') || !is_word(c)
}

fn is_number(run: &str) -> bool {
    run.bytes().all(|b| b.is_ascii_digit()) || (run.len() >= 4 && run.len().is_multiple_of(2))
}

fn collapse(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut before = None;
    while let Some(c) = rest.chars().next() {
        let run_len = if c.is_ascii_hexdigit() && before.is_none_or(may_stand_before) {
            rest.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(rest.len())
        } else {
            0
        };
        let taken = if run_len == 0 { c.len_utf8() } else { run_len };
        let (head, tail) = rest.split_at_checked(taken).unwrap_or((rest, ""));
        let ends = tail.chars().next().is_none_or(may_stand_after);
        out.push_str(if run_len > 0 && ends && is_number(head) { "<N>" } else { head });
        before = head.chars().next_back();
        rest = tail;
    }
    out
}

fn prettified(text: &str) -> String {
    let text = text.replace("<N>-<N>-<N>-<N>-<N>", "<UUID>").replace("<N>.<N>.<N>.<N>", "<IP4>");
    let text = replace_with_tail(&text, "<N>:<N>:<N>", "<TIME>", &[".<N>", ",<N>"]);
    let text = text.replace("<N>-<N>-<N>", "<DATE>").replace("<N>/<N>/<N>", "<DATE>");
    let zones = ["Z", "-<N>:<N>", "+<N>:<N>"];
    let text = replace_with_tail(&text, "<DATE>T<TIME>", "<DATETIME>", &zones);
    replace_with_tail(&text, "<DATE> <TIME>", "<DATETIME>", &zones)
}

/// Replaces a text together with what may follow it.
fn replace_with_tail(text: &str, old: &str, new: &str, tails: &[&str]) -> String {
    let mut parts = text.split(old);
    let mut out = String::from(parts.next().unwrap_or_default());
    for part in parts {
        out.push_str(new);
        out.push_str(tails.iter().find_map(|tail| part.strip_prefix(tail)).unwrap_or(part));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::testing::check;
    use crate::query::testing::check_field;

    #[test]
    fn numbers_become_placeholders() {
        assert_eq!(
            collapse("2024-10-20T12:34:56Z request duration 1.34s"),
            "<N>-<N>-<N>T<N>:<N>:<N>Z request duration <N>.<N>s"
        );
        assert_eq!(
            collapse("abc be 12ab deadbeef v1 foo123 0x1f2E 5ms 10μs 1é"),
            "abc be <N> <N> v<N> foo123 0x<N> <N>ms <N>μs 1é"
        );
        assert_eq!(collapse(""), "");
    }

    #[test]
    fn groups_of_numbers_are_named() {
        let pretty = |text: &str| prettified(&collapse(text));
        assert_eq!(
            pretty("2edfed59-3e98-4073-bbb2-28d321ca71a7 - [2024/12/08 15:21:02] 10.71.20.32 GET /foo 200"),
            "<UUID> - [<DATETIME>] <IP4> GET /foo <N>"
        );
        assert_eq!(pretty("2024-12-08T15:21:02.123+02:00 12:00:00,5 x"), "<DATETIME> <TIME> x");
    }

    #[test]
    fn only_the_rows_of_the_condition_change() {
        check(
            "collapse_nums if (b:x) at a",
            r#"{"a":"r 12","b":"x"}
{"a":"r 12"}"#,
            r#"{"a":"r <N>","b":"x"}
{"a":"r 12"}"#,
        );
    }

    #[test]
    fn a_field_that_is_empty_or_missing_stays_so() {
        check_field(
            "collapse_nums",
            "_msg",
            &[
                (r#"{"_msg":"took 12ms, 0x1F2e of 9"}"#, "took <N>ms, 0x<N> of <N>"),
                (r#"{"_msg":"número 7"}"#, "número <N>"),
                (r#"{"_msg":""}"#, ""),
                ("{}", ""),
            ],
        );
        check_field(
            "collapse_nums if (user:=admin) at a prettify",
            "a",
            &[
                (r#"{"a":"10.0.0.7 at 12:00:01","user":"admin"}"#, "<IP4> at <TIME>"),
                (r#"{"a":"10.0.0.7","user":"Admin"}"#, "10.0.0.7"),
                (r#"{"a":"10.0.0.7"}"#, "10.0.0.7"),
            ],
        );
    }
}
