//! What is wrong with a query, and where.
//!
//! Invariants
//! * Any place can be drawn, also one within a character or behind the end.
//! * Where something stands makes no two things different.
use crate::error::Error;
use std::fmt;

/// A fault in a query: the byte it was seen at, and the reason in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    at: usize,
    reason: String,
}

/// What parsing gives.
pub(crate) type Parsed<T> = Result<T, Fault>;

impl Fault {
    pub(crate) fn new(at: usize, reason: impl Into<String>) -> Self {
        Self { at, reason: reason.into() }
    }

    /// The byte of the query that it was seen at.
    pub fn at(&self) -> usize {
        self.at
    }

    /// The reason, in words.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The line of the query with a caret under the place, and the reason.
    pub fn drawn(&self, query: &str) -> String {
        let at = (0..=self.at.min(query.len())).rev().find(|at| query.is_char_boundary(*at)).unwrap_or(0);
        let (before, after) = query.split_at_checked(at).unwrap_or((query, ""));
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let head = before.get(line_start..).unwrap_or_default();
        let tail = after.split('\n').next().unwrap_or_default();
        let shown = |text: &str| text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
        format!("{}{}\n{}^ {}", shown(head), shown(tail), " ".repeat(head.chars().count()), self.reason)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (at byte {} of the query)", self.reason, self.at)
    }
}

impl std::error::Error for Fault {}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::invalid(fault.to_string())
    }
}

/// Where in a query something stands. It is no part of what it is: any two places are equal.
#[derive(Clone, Copy, Debug, Default)]
pub struct At(pub usize);

impl PartialEq for At {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for At {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_under_the_place() {
        assert_eq!(Fault::new(6, "no").drawn("foo\n\tbär"), " bär\n  ^ no");
        assert_eq!(Fault::new(99, "no").drawn("foo"), "foo\n   ^ no");
    }
}
