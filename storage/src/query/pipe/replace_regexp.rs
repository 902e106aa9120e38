//! `replace_regexp ("expression", "$1") at field`: what an expression matches by another text.
//!
//! Invariants
//! * In the replacement `$1`, `${1}`, `$name` and `${name}` stand for groups, and `$$` for a dollar.
use super::Step;
use super::condition::{add_needed, show};
use super::replace::show_at_and_limit;
use super::update::in_place;
use crate::error::{Error, Result};
use crate::query::fault::Parsed;
use crate::query::filter::Filter;
use crate::query::needed::Needed;
use crate::query::parse::{Parser, quote_if_needed};
use crate::query::run::{Context, Stage};
use crate::query::value::regexp::{self, compile};
use std::fmt;

/// The pipe.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplaceRegexp {
    /// Which rows it is for.
    pub condition: Option<Filter>,
    /// The expression.
    pub expression: String,
    /// By what its matches are replaced.
    pub replacement: String,
    /// The field.
    pub field: String,
    /// How often at most in a value; 0 is without a limit.
    pub limit: u64,
}

impl ReplaceRegexp {
    pub(super) fn parse(parser: &mut Parser<'_>) -> Parsed<Self> {
        let condition = Filter::parse_condition(parser)?;
        parser.expect("(")?;
        let at = parser.at();
        let expression = parser.word("a regular expression")?;
        parser.regexp(&expression, false, at)?;
        parser.expect(",")?;
        let replacement = parser.word("the replacement")?;
        parser.expect(")")?;
        let field = if parser.takes("at") { parser.field_name()? } else { "_msg".into() };
        Ok(Self { condition, expression, replacement, field, limit: parser.limit()? })
    }
}

impl fmt::Display for ReplaceRegexp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (expression, replacement) = (quote_if_needed(&self.expression), quote_if_needed(&self.replacement));
        let tail = show_at_and_limit(&self.field, self.limit);
        write!(f, "replace_regexp{} ({expression}, {replacement}){tail}", show(self.condition.as_ref()))
    }
}

impl Step for ReplaceRegexp {
    fn needed(&self, needed: &mut Needed) {
        if needed.has(&self.field) {
            add_needed(self.condition.as_ref(), needed);
        }
    }

    fn stage<'c>(&self, context: &Context<'c>) -> Result<Box<dyn Stage + 'c>> {
        let mut held = context.memory.hold("a regular expression");
        held.add(regexp::MEMORY_BYTES)?;
        let regex = compile(&self.expression).map_err(Error::invalid)?;
        let replacement = self.replacement.clone();
        let limit = if self.limit == 0 { usize::MAX } else { usize::try_from(self.limit).unwrap_or(usize::MAX) };
        let memory = context.memory.clone();
        in_place(&self.field, self.condition.as_ref(), context, move |text| {
            let _as_long = &held;
            let (mut out, mut from) = (String::new(), 0);
            for found in regex.captures_iter(text).take(if text.is_empty() { 0 } else { limit }) {
                let Some(whole) = found.get(0) else { continue };
                out.push_str(text.get(from..whole.start()).unwrap_or_default());
                found.expand(&replacement, &mut out);
                memory.check(out.len(), "a replaced value")?;
                from = whole.end();
            }
            out.push_str(text.get(from..).unwrap_or_default());
            Ok(out)
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::query::testing::check;

    #[test]
    fn groups_are_put_in() {
        check(r#"replace_regexp ("host-(.+?)-foo", "$1") at x"#, r#"{"x":"host-a-foo host-b-foo"}"#, r#"{"x":"a b"}"#);
        check("replace_regexp ('([a-z])([0-9])', '${2}$1_') at x limit 1", r#"{"x":"a1b2"}"#, r#"{"x":"1b2"}"#);
    }
}
