//! Ranges of numbers: `range(a, b]`, and `>`, `>=`, `<`, `<=`, which compare texts where no number follows.
//!
//! Invariants
//! * Timestamps and IPv4 addresses count as numbers, in bounds as in fields.
//! * Bounds that were excluded were moved by one step of a float: what runs compares with `>=` and `<=` only.
use super::parse::{Scope, function};
use super::text_range::TextRange;
use super::{Filter, Test};
use crate::query::fault::Parsed;
use crate::query::parse::{Parser, quote_operand};
use std::fmt;

/// A range of numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct NumberRange {
    /// The least number.
    pub min: f64,
    /// The greatest number.
    pub max: f64,
    /// How it was written.
    shown: String,
}

impl NumberRange {
    /// Whether a number is in it.
    pub(crate) fn has(&self, number: f64) -> bool {
        number >= self.min && number <= self.max
    }
}

impl fmt::Display for NumberRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

fn above(number: f64) -> f64 {
    if number.is_finite() { number.next_up() } else { number }
}

fn below(number: f64) -> f64 {
    if number.is_finite() { number.next_down() } else { number }
}

/// `range` and its bounds.
pub(super) fn parse(parser: &mut Parser<'_>, scope: Scope<'_>) -> Parsed<Filter> {
    if let Some(word) = function(parser, scope, &["(", "["])? {
        return Ok(word);
    }
    let from_included = parser.is("[");
    parser.advance_to("the lower bound of 'range'")?;
    let (from, from_text) = parser.number("the lower bound of 'range'")?;
    parser.expect(",")?;
    let (to, to_text) = parser.number("the upper bound of 'range'")?;
    let to_included = parser.is("]");
    if !to_included && !parser.is(")") {
        return Err(parser.unexpected("')' or ']'"));
    }
    parser.advance();
    let (open, close) = (if from_included { '[' } else { '(' }, if to_included { ']' } else { ')' });
    let shown = format!("range{open}{}, {}{close}", quote_operand(&from_text), quote_operand(&to_text));
    let min = if from_included { from } else { above(from) };
    let max = if to_included { to } else { below(to) };
    Ok(scope.test(Test::Number(NumberRange { min, max, shown })))
}

/// `>`, `>=`, `<` or `<=` and what follows.
pub(super) fn parse_comparison(parser: &mut Parser<'_>, scope: Scope<'_>) -> Parsed<Filter> {
    let greater = parser.is(">");
    parser.advance();
    let included = parser.takes("=");
    let sign = match (greater, included) {
        (true, true) => ">=",
        (true, false) => ">",
        (false, true) => "<=",
        (false, false) => "<",
    };
    let mark = parser.mark();
    let Ok((number, text)) = parser.number("a number or a text") else {
        parser.back(mark);
        let text = parser.word("a number or a text")?;
        return Ok(scope.test(Test::Text(TextRange::compared(greater, included, text))));
    };
    let shown = format!("{sign}{}", quote_operand(&text));
    let (min, max) = match (greater, included) {
        (true, true) => (number, f64::INFINITY),
        (true, false) => (above(number), f64::INFINITY),
        (false, true) => (f64::NEG_INFINITY, number),
        (false, false) => (f64::NEG_INFINITY, below(number)),
    };
    Ok(scope.test(Test::Number(NumberRange { min, max, shown })))
}

#[cfg(test)]
mod tests {
    use crate::query::testing::{check_faults, check_filters};

    const ROWS: &str = r#"
        {"row":"a","n":"1","took":"4.2","size":"10KiB","user:n":"5","_msg":"7"}
        {"row":"b","n":"10","took":"4.3","size":"10241","_msg":"the request took 4.2 seconds"}
        {"row":"c","n":"-3","took":"1h33m55s","size":"1MB"}
        {"row":"d","n":"5.5","took":"1.5d","size":"1_000"}
        {"row":"e","n":"","took":"John"}
        {"row":"f","n":"abc","took":"250ms"}
        {"row":"g","n":"0x0a","took":"2024-06-10T12:00:00Z"}
        {"row":"h","n":"1e1","took":"10.0.0.7"}
        {"row":"i","n":"9007199254740993"}
        {"row":"j","n":"٣"}
    "#;

    #[test]
    fn round_brackets_leave_bounds_out() {
        check_filters(
            ROWS,
            &[
                ("n:range(1, 10)", "d"),
                ("n:range[1, 10)", "ad"),
                ("n:range(1, 10]", "bdgh"),
                ("n:range[1, 10]", "abdgh"),
                ("n:RANGE[1, 10]", "abdgh"),
                ("n:range[-inf, 0]", "c"),
                ("n:range(-Inf, +Inf)", "abcdghi"),
                ("n:range[10, 1]", ""),
                ("n:range[0b1010, 0xa]", "bgh"),
                ("n:range[9_007_199_254_740_992, 9007199254740993]", "i"),
                ("took:range(4.2, Inf)", "bcdfgh"),
                ("took:range[4.2, 4.3]", "ab"),
                ("took:range[1h33m55s, 1.5d]", "cd"),
                ("took:range[2024-06-10T12:00:00Z, 2024-06-10T12:00:00Z]", "g"),
                ("took:range[10.0.0.0, 10.0.0.255]", "h"),
                ("size:range(1K, 10KiB]", "a"),
                ("size:range[1K, 1M]", "abcd"),
                ("\"user:n\":range(4, 6)", "a"),
                ("range(1, 10)", "a"),
                ("none:range(-inf, inf)", ""),
                ("n:!range[1, 10]", "cefij"),
                ("n:(range[1, 1] or range(5, 6))", "ad"),
                ("range", ""),
            ],
        );
    }

    #[test]
    fn signs_compare_numbers_or_else_texts() {
        check_filters(
            ROWS,
            &[
                ("took:>4.2", "bcdfgh"),
                ("took:>=4.2", "abcdfgh"),
                ("took:<4.3", "a"),
                ("took:<=4.3", "ab"),
                ("took:> 4.2", "bcdfgh"),
                ("size:>10KiB", "bc"),
                ("size:>\"10KiB\"", "bc"),
                ("n:>=0 n:<6", "ad"),
                ("n:(>=0 <6)", "ad"),
                ("n:-(>=0 <6)", "bcefghij"),
                ("n:<-2.5", "c"),
                ("n:>=9007199254740992", "i"),
                // Numbers are floats, which have no other one above that.
                ("n:>9007199254740992", ""),
                ("n:<\"John\"", "abcdeghi"),
                ("took:<\"John\"", "abcdfghij"),
                ("took:<=\"John\"", "abcdefghij"),
                ("took:>=John", "e"),
                ("took:>John", ""),
                ("none:<1", ""),
                ("none:<a", "abcdefghij"),
                (">6", "a"),
                ("_msg:>6", "a"),
            ],
        );
    }

    #[test]
    fn what_is_no_number_is_refused() {
        check_faults(&[
            ("a:range(x, 2)", 8, "no number"),
            ("a:range(1 2)", 10, "','"),
            ("a:range(1, 2", 12, "ends"),
            ("a:range(1, )", 11, "upper bound"),
            ("a:>", 3, "ends"),
        ]);
    }
}
