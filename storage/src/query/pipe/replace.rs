//! `replace ("old", "new") at field`: a text in a field by another one.
//!
//! Invariants
//! * A replaced value is checked against the query's memory before it is made.
//! * To replace the empty text changes nothing.
use super::Step;
use super::condition::{add_needed, show};
use super::update::in_place;
use crate::error::Result;
use crate::query::fault::Parsed;
use crate::query::filter::Filter;
use crate::query::needed::Needed;
use crate::query::parse::{Parser, quote_if_needed};
use crate::query::run::{Context, Stage};
use std::fmt;

/// The pipe.
#[derive(Clone, Debug, PartialEq)]
pub struct Replace {
    /// Which rows it is for.
    pub condition: Option<Filter>,
    /// What is replaced.
    pub old: String,
    /// By what.
    pub new: String,
    /// The field.
    pub field: String,
    /// How often at most in a value; 0 is without a limit.
    pub limit: u64,
}

impl Replace {
    pub(super) fn parse(parser: &mut Parser<'_>) -> Parsed<Self> {
        let condition = Filter::parse_condition(parser)?;
        parser.expect("(")?;
        let old = parser.word("the text to replace")?;
        parser.expect(",")?;
        let new = parser.word("the text to replace it by")?;
        parser.expect(")")?;
        let field = if parser.takes("at") { parser.field_name()? } else { "_msg".into() };
        Ok(Self { condition, old, new, field, limit: parser.limit()? })
    }
}

/// ` at field` and ` limit N` as they are written.
pub(super) fn show_at_and_limit(field: &str, limit: u64) -> String {
    let at = if field == "_msg" { String::new() } else { format!(" at {}", quote_if_needed(field)) };
    if limit == 0 { at } else { format!("{at} limit {limit}") }
}

impl fmt::Display for Replace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (old, new) = (quote_if_needed(&self.old), quote_if_needed(&self.new));
        let tail = show_at_and_limit(&self.field, self.limit);
        write!(f, "replace{} ({old}, {new}){tail}", show(self.condition.as_ref()))
    }
}

impl Step for Replace {
    fn needed(&self, needed: &mut Needed) {
        if needed.has(&self.field) {
            add_needed(self.condition.as_ref(), needed);
        }
    }

    fn stage<'c>(&self, context: &Context<'c>) -> Result<Box<dyn Stage + 'c>> {
        let (old, new, memory) = (self.old.clone(), self.new.clone(), context.memory.clone());
        let limit = if self.limit == 0 { usize::MAX } else { usize::try_from(self.limit).unwrap_or(usize::MAX) };
        in_place(&self.field, self.condition.as_ref(), context, move |text| {
            if old.is_empty() {
                return Ok(text.into());
            }
            let found = text.matches(&old).take(limit).count();
            memory.check(text.len().saturating_add(found.saturating_mul(new.len())), "a replaced value")?;
            Ok(text.replacen(&old, &new, limit))
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::query::testing::check;

    #[test]
    fn a_limit_is_for_each_value() {
        check(
            r#"replace ("a", "bb") at x limit 1"#,
            r#"{"x":"aa"}
{"x":"ca"}"#,
            r#"{"x":"bba"}
{"x":"cbb"}"#,
        );
        check(
            r#"replace if (y:1) ("a", "") at x"#,
            r#"{"x":"aa","y":"1"}
{"x":"a"}"#,
            r#"{"y":"1"}
{"x":"a"}"#,
        );
    }
}
