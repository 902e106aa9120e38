//! `stats by (a, b:step) f(x) as y, ...`: functions over all rows, or over each group of them.
//!
//! Invariants
//! * No two results have the same name, and none has that of a field of `by`.
//! * A function whose result nobody looks at needs no fields.
use super::condition::{add_needed, show};
use super::stats_run::Grouper;
use super::{Partial, Step};
use crate::error::Result;
use crate::query::fault::{Fault, Parsed};
use crate::query::filter::Filter;
use crate::query::needed::Needed;
use crate::query::parse::{Parser, quote_if_needed};
use crate::query::run::{Context, Stage};
use crate::query::stats::Function;
use crate::query::value::bucket::{Buckets, Width, offset, width};
use std::fmt;

/// Functions of one pipe.
const FUNCTIONS_MAX: usize = 1_000;

/// The pipe.
#[derive(Clone, Debug, PartialEq)]
pub struct Stats {
    /// What makes the groups.
    pub by: Vec<By>,
    /// The functions.
    pub functions: Vec<Named>,
    /// How long the time range of the query is, which rates are for; known when it runs.
    seconds: Option<f64>,
}

/// A field that makes groups.
#[derive(Clone, Debug, PartialEq)]
pub struct By {
    /// The field.
    pub field: String,
    /// Step and offset of the buckets that its values fall into, as written.
    pub bucket: Option<(String, Option<String>)>,
}

/// A function, the rows that it is for, and the field of its result.
#[derive(Clone, Debug, PartialEq)]
pub struct Named {
    /// The function.
    pub function: Function,
    /// Which rows it is for.
    pub condition: Option<Filter>,
    /// The field of the result.
    pub result: String,
}

impl By {
    fn parse(parser: &mut Parser<'_>) -> Parsed<Self> {
        const ENDS: [&str; 9] = ["*", ",", "(", ")", "[", "]", "|", "", ":"];
        let field = parser.name_until(&ENDS)?;
        if !parser.takes(":") {
            return Ok(Self { field, bucket: None });
        }
        let at = parser.at();
        let mut step = parser.text().to_string();
        parser.advance();
        if step == "/" {
            step.push_str(parser.text());
            parser.advance();
        }
        if width(&step).is_none() {
            return Err(Fault::new(at.0, format!("'{step}' is no step of buckets such as 5m, 10KB or /24")));
        }
        let mut off = None;
        if parser.takes("offset") {
            let at = parser.at();
            let mut text = parser.text().to_string();
            parser.advance();
            if text == "-" {
                text.push_str(parser.text());
                parser.advance();
            }
            if offset(&text).is_none() {
                return Err(Fault::new(at.0, format!("'{text}' is no offset of buckets such as 2h")));
            }
            off = Some(text);
        }
        Ok(Self { field, bucket: Some((step, off)) })
    }

    /// The buckets, if there are any.
    pub(super) fn buckets(&self) -> Option<Buckets> {
        let (step, off) = self.bucket.as_ref()?;
        let width = width(step).unwrap_or(Width::Step(1.0));
        Some(Buckets { width, offset: off.as_deref().and_then(offset).unwrap_or(0.0) })
    }
}

impl Stats {
    pub(super) fn parse(parser: &mut Parser<'_>) -> Parsed<Self> {
        let mut by = Vec::new();
        let said = parser.takes("by");
        if said || parser.is("(") {
            by = parser.few_in_parens(By::parse)?;
        }
        let mut functions: Vec<Named> = Vec::new();
        loop {
            let at = parser.at();
            let function = Function::parse(parser)?;
            let condition = Filter::parse_condition(parser)?;
            let result = parser.result_or(|| format!("{function}{}", show(condition.as_ref())))?;
            if by.iter().any(|by| by.field == result) {
                return Err(Fault::new(at.0, format!("the result '{result}' has the name of a field of 'by'")));
            }
            if functions.iter().any(|known| known.result == result) {
                return Err(Fault::new(at.0, format!("two results have the name '{result}'")));
            }
            if functions.len() == FUNCTIONS_MAX {
                return Err(parser.fault(format!("more than {FUNCTIONS_MAX} functions")));
            }
            functions.push(Named { function, condition, result });
            if parser.ends_pipe() {
                return Ok(Self { by, functions, seconds: None });
            }
            parser.expect(",")?;
        }
    }

    /// Tells rates how long the time range is.
    pub(crate) fn set_rate_seconds(&mut self, seconds: f64) {
        self.seconds = Some(seconds);
    }

    pub(super) fn seconds(&self) -> Option<f64> {
        self.seconds
    }
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&quote_if_needed(&self.field))?;
        if let Some((step, off)) = &self.bucket {
            write!(f, ":{step}")?;
            if let Some(off) = off {
                write!(f, " offset {off}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("stats")?;
        if !self.by.is_empty() {
            let by: Vec<String> = self.by.iter().map(By::to_string).collect();
            write!(f, " by ({})", by.join(", "))?;
        }
        for (i, named) in self.functions.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            let condition = show(named.condition.as_ref());
            write!(f, "{comma} {}{condition} as {}", named.function, quote_if_needed(&named.result))?;
        }
        Ok(())
    }
}

impl Step for Stats {
    fn needed(&self, needed: &mut Needed) {
        let wanted = std::mem::replace(needed, Needed::none());
        needed.add_all(self.by.iter().map(|by| &by.field));
        for named in self.functions.iter().filter(|named| wanted.has(&named.result)) {
            named.function.needed(needed);
            add_needed(named.condition.as_ref(), needed);
        }
    }

    fn stage<'c>(&self, context: &Context<'c>) -> Result<Box<dyn Stage + 'c>> {
        Ok(Box::new(Grouper::new(self, context)?))
    }

    fn partial(&self, context: &Context<'_>) -> Result<Option<Partial>> {
        Ok(Some(Partial::Groups(Box::new(Grouper::new(self, context)?))))
    }
}

#[cfg(test)]
mod tests {
    use crate::query::testing::check;

    #[test]
    fn groups_buckets_and_conditions() {
        check(
            "stats by (a) count() n, count(b) m, count() if (c:y) k",
            r#"{"a":"1","b":"x","_msg":"m one"}
{"a":"2","b":"x"}
{"a":"2","c":"y","_msg":"two"}"#,
            r#"{"a":"1","n":"1","m":"1","k":"0"}
{"a":"2","n":"2","m":"1","k":"1"}"#,
        );
        check(
            "stats by (t:1m offset 30s, n:10) count() x",
            r#"{"t":"2024-06-10T12:00:10Z","n":"7"}
{"t":"2024-06-10T12:00:29.9Z","n":"3"}
{"t":"2024-06-10T12:00:31Z","n":"13"}"#,
            r#"{"t":"2024-06-10T11:59:30Z","n":"0","x":"2"}
{"t":"2024-06-10T12:00:30Z","n":"10","x":"1"}"#,
        );
        check(
            "filter a:9 | count() n, sum(a) s, avg(a) v, min(a) m, values(a) l",
            r#"{"a":"1","b":"x","_msg":"m one"}
{"a":"2","b":"x"}
{"a":"2","c":"y","_msg":"two"}"#,
            r#"{"n":"0","s":"NaN","v":"NaN","l":"[]"}"#,
        );
        check(
            "filter a:9 | by (a) count() n",
            r#"{"a":"1","b":"x","_msg":"m one"}
{"a":"2","b":"x"}
{"a":"2","c":"y","_msg":"two"}"#,
            "",
        );
        check(
            "count(), sum(a)",
            r#"{"a":"1","b":"x","_msg":"m one"}
{"a":"2","b":"x"}
{"a":"2","c":"y","_msg":"two"}"#,
            r#"{"count(*)":"3","sum(a)":"5"}"#,
        );
    }
}
