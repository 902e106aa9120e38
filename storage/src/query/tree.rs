//! A parsed query: options, a filter, and the pipes that its rows go through.
//!
//! Invariants
//! * A text has at most `PIPES_MAX` pipes in each of its queries, of which only the first can be `stream_context`.
//! * A subquery has the options of the query around it where it says nothing itself.
use super::fault::{At, Fault, Parsed};
use super::filter::Filter;
use super::parse::Parser;
use super::pipe::{Limit, Pipe, Sort};
use super::value::number::uint;
use std::fmt;

/// Pipes of one query.
const PIPES_MAX: usize = 256;

/// A query.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// How to run it.
    pub options: Options,
    /// Which rows it selects.
    pub filter: Filter,
    /// What is done with them, in order.
    pub pipes: Vec<Pipe>,
}

/// What `options(...)` says. Subqueries take what they do not say themselves from the query around them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// On how many cores it may run.
    pub concurrency: Option<u32>,
    /// Whether the time range that a request gives beside the query is not for it.
    pub ignore_global_time_filter: Option<bool>,
}

/// More cores than anyone has.
const CONCURRENCY_MAX: u64 = 1_024;

impl Query {
    pub(crate) fn parse(parser: &mut Parser<'_>) -> Parsed<Self> {
        parser.query_within(|parser| {
            let options = Options::parse(parser)?;
            let filter = Filter::parse(parser)?;
            let mut pipes = Vec::new();
            while parser.takes("|") {
                if pipes.len() == PIPES_MAX {
                    return Err(parser.fault(format!("more than {PIPES_MAX} pipes")));
                }
                let at = parser.at();
                let pipe = Pipe::parse(parser)?;
                if matches!(pipe, Pipe::StreamContext(_)) && !pipes.is_empty() {
                    return Err(Fault::new(at.0, "'stream_context' has to be the first pipe of a query"));
                }
                pipes.push(pipe);
                if !parser.ends_pipe() {
                    return Err(parser.unexpected("'|' or the end of the query"));
                }
            }
            Ok(Self { options, filter, pipes })
        })
    }

    /// The same query, of the rows of which only so many are wanted: the newest where it has no pipes, else the first.
    #[must_use]
    pub fn limited(mut self, rows: u64) -> Self {
        if self.pipes.is_empty() {
            self.pipes.push(Pipe::Sort(Sort { by: vec![("_time".into(), true)], ..Sort::default() }));
        }
        self.pipes.push(Pipe::Limit(Limit { rows }));
        self
    }

    /// `(query)`.
    pub(crate) fn parse_in_parens(parser: &mut Parser<'_>) -> Parsed<Self> {
        parser.expect("(")?;
        let query = Self::parse(parser)?;
        parser.expect(")")?;
        Ok(query)
    }

    /// The one field that a subquery of `in(...)` gives the values of: its last pipe says which.
    pub(crate) fn only_field(&self) -> Option<&str> {
        match self.pipes.last()? {
            Pipe::Fields(fields) => match fields.patterns.as_slice() {
                [only] if !only.ends_with('*') => Some(only),
                _ => None,
            },
            Pipe::Uniq(uniq) => match uniq.by.as_slice() {
                [only] => Some(only),
                _ => None,
            },
            _ => None,
        }
    }
}

impl Options {
    fn parse(parser: &mut Parser<'_>) -> Parsed<Self> {
        let mut options = Self::default();
        if !parser.takes("options") {
            return Ok(options);
        }
        if !parser.is("(") {
            return Err(parser.fault("missing '(' after 'options'; quote it if it is a word to search for"));
        }
        parser.in_parens(|parser| {
            const ENDS: [&str; 8] = ["=", ",", "(", ")", "[", "]", "|", ""];
            let at = parser.at();
            let key = parser.word_until(&ENDS, "the name of an option")?;
            parser.expect("=")?;
            let value = parser.word_until(&ENDS, "the value of an option")?;
            options.set(&key, &value, at)
        })?;
        Ok(options)
    }

    fn set(&mut self, key: &str, value: &str, at: At) -> Parsed<()> {
        let wrong = |wanted: &str| Fault::new(at.0, format!("the option '{key}' takes {wanted}, not '{value}'"));
        match key {
            "concurrency" => {
                let number = uint(value).ok_or_else(|| wrong("a number"))?;
                self.concurrency = u32::try_from(number.min(CONCURRENCY_MAX)).ok();
            }
            "ignore_global_time_filter" => {
                let yes = match value {
                    "1" | "t" | "T" | "true" | "True" | "TRUE" => true,
                    "0" | "f" | "F" | "false" | "False" | "FALSE" => false,
                    _ => return Err(wrong("true or false")),
                };
                self.ignore_global_time_filter = Some(yes);
            }
            _ => return Err(Fault::new(at.0, format!("unknown option '{key}'"))),
        }
        Ok(())
    }

    /// These options, with what they leave open taken from the query around.
    pub(crate) fn within(&self, outer: &Self) -> Self {
        Self {
            concurrency: self.concurrency.or(outer.concurrency),
            ignore_global_time_filter: self.ignore_global_time_filter.or(outer.ignore_global_time_filter),
        }
    }
}

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let concurrency = self.concurrency.map(|n| format!("concurrency={n}"));
        let ignore = self.ignore_global_time_filter.map(|yes| format!("ignore_global_time_filter={yes}"));
        let shown: Vec<String> = concurrency.into_iter().chain(ignore).collect();
        write!(f, "options({}) ", shown.join(", "))
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.options != Options::default() {
            write!(f, "{}", self.options)?;
        }
        write!(f, "{}", self.filter)?;
        for pipe in &self.pipes {
            write!(f, " | {pipe}")?;
        }
        Ok(())
    }
}
