//! `extract_regexp "(?P<field>...)"`: fields from the named groups of a regular expression.
//!
//! Invariants
//! * The expression is counted as memory for as long as it is used.
//! * There is a named group. Each gives its field a value: the empty text where it takes no part, or nothing matches.
use super::Step;
use super::condition::{Condition, add_needed, show};
use super::unpack::{Keep, Unpacker, show_from};
use crate::error::{Error, Result};
use crate::query::fault::{Fault, Parsed};
use crate::query::filter::Filter;
use crate::query::needed::Needed;
use crate::query::parse::{Parser, quote_if_needed};
use crate::query::run::{Context, Stage};
use crate::query::value::regexp::{self, compile};
use std::fmt;

/// The pipe.
#[derive(Clone, Debug, PartialEq)]
pub struct ExtractRegexp {
    /// Which rows it is for.
    pub condition: Option<Filter>,
    /// The expression.
    pub expression: String,
    /// The field that is looked into.
    pub from: String,
    /// Which value stays.
    pub keep: Keep,
}

impl ExtractRegexp {
    pub(super) fn parse(parser: &mut Parser<'_>) -> Parsed<Self> {
        let condition = Filter::parse_condition(parser)?;
        let at = parser.at();
        let expression = parser.word("a regular expression")?;
        let regex = parser.regexp(&expression, false, at)?;
        if regex.capture_names().flatten().next().is_none() {
            return Err(Fault::new(at.0, "the expression has no named group such as (?P<name>...)"));
        }
        let from = if parser.takes("from") { parser.field_name()? } else { "_msg".into() };
        Ok(Self { condition, expression, from, keep: Keep::parse(parser) })
    }
}

impl fmt::Display for ExtractRegexp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let condition = show(self.condition.as_ref());
        let expression = quote_if_needed(&self.expression);
        write!(f, "extract_regexp{condition} {expression}{}{}", show_from(&self.from), self.keep)
    }
}

impl Step for ExtractRegexp {
    fn needed(&self, needed: &mut Needed) {
        needed.add(&self.from);
        add_needed(self.condition.as_ref(), needed);
    }

    fn stage<'c>(&self, context: &Context<'c>) -> Result<Box<dyn Stage + 'c>> {
        let mut held = context.memory.hold("a regular expression");
        held.add(regexp::MEMORY_BYTES)?;
        let regex = compile(&self.expression).map_err(Error::invalid)?;
        let names: Vec<(usize, String)> =
            regex.capture_names().enumerate().filter_map(|(i, name)| Some((i, name?.to_string()))).collect();
        let memory = context.memory.clone();
        Ok(Box::new(Unpacker {
            from: self.from.clone(),
            condition: Condition::prepare(self.condition.as_ref(), context)?,
            prefix: String::new(),
            keep: self.keep,
            bounds: (context.stop.clone(), context.memory.clone()),
            unpack: Box::new(move |text| {
                let _as_long = &held;
                let found = regex.captures(text);
                let group = |i: usize| found.as_ref().and_then(|found| found.get(i)).map_or("", |m| m.as_str());
                // Groups within each other can each have all of the text.
                memory.check(names.iter().map(|(i, _)| group(*i).len()).sum(), "what is extracted of a value")?;
                Ok(names.iter().map(|(i, name)| (name.clone(), group(*i).to_string())).collect())
            }),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::query::pipe::Pipe;
    use crate::query::testing::check_field;
    use crate::query::testing::{NOW, answer, check, rows};
    use crate::query::{Clock, Memory, Stop, parse};

    #[test]
    fn groups_are_fields() {
        check(
            r#"extract_regexp "(?P<ip>([0-9]+[.]){3}[0-9]+)" | fields ip"#,
            r#"{"_msg":"from 1.2.3.4 to"}
{"_msg":"x"}"#,
            r#"{"ip":"1.2.3.4"}"#,
        );
    }

    #[test]
    fn old_values_stay_where_that_is_said() {
        let ip = r#"(?P<ip>([0-9]+[.]){3}[0-9]+)"#;
        let rows =
            [r#"{"_msg":"ip=1.2.3.4","ip":"old"}"#, r#"{"_msg":"none","ip":"old"}"#, r#"{"_msg":"ip=9.9.9.9"}"#, "{}"];
        for (pipe, wanted) in [
            (format!("extract_regexp '{ip}'"), ["1.2.3.4", "", "9.9.9.9", ""]),
            (format!("extract_regexp '{ip}' keep_original_fields"), ["old", "old", "9.9.9.9", ""]),
            (format!("extract_regexp '{ip}' skip_empty_results"), ["1.2.3.4", "old", "9.9.9.9", ""]),
            (format!("extract_regexp if (ip:\"\") '{ip}'"), ["old", "old", "9.9.9.9", ""]),
            (format!("extract_regexp '{ip}' from none skip_empty_results"), ["old", "old", "", ""]),
        ] {
            let cases: Vec<(&str, &str)> = rows.into_iter().zip(wanted).collect();
            check_field(&pipe, "ip", &cases);
        }
    }

    #[test]
    fn the_expression_is_counted_while_it_is_used() {
        let memory = Memory::new(1 << 30);
        let rows = rows("");
        let context = Context::new(&rows, Clock { now: NOW, zone: 0 }, memory.clone(), Stop::default());
        let query = parse(r#"* | extract_regexp "(?P<a>x)""#).unwrap();
        let [Pipe::ExtractRegexp(pipe)] = query.pipes.as_slice() else { panic!("{query}") };
        let stage = pipe.stage(&context).unwrap();
        assert!(memory.used() >= regexp::MEMORY_BYTES, "{}", memory.used());
        drop(stage);
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn groups_that_each_have_all_of_a_text_are_bounded() {
        let row = format!(r#"{{"_msg":"{}"}}"#, "x".repeat(200_000));
        let groups: String = (0..50).map(|i| format!("(?P<g{i}>")).collect();
        let query = format!("* | extract_regexp \"{groups}.*{}\"", ")".repeat(50));
        let error = answer(&query, &rows(&row), regexp::MEMORY_BYTES + (20 << 20)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Budget);
        assert!(error.to_string().contains("extracted"), "{error}");
    }
}
