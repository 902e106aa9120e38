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
