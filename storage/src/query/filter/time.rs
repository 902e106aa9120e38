//! `_time:` filters, in all their forms.
//!
//! Invariants
//! * What is relative stays so until it runs: a filter holds no clock.
//! * Every time and duration in it was read once when it was parsed, and reads again.
use super::Filter;
use crate::query::fault::{At, Fault, Parsed};
use crate::query::parse::{Parser, quote_operand};
use crate::query::run::Clock;
use crate::query::value::duration::duration;
use crate::query::value::timestamp::{query_time, query_time_end};
use std::fmt;

/// A time range, moved back by an offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeFilter {
    /// Where it stands.
    pub at: At,
    /// The range.
    pub range: TimeRange,
    /// How far it is moved back, as written.
    pub offset: Option<String>,
}

/// A time range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimeRange {
    /// Up to now.
    UntilNow,
    /// The whole unit that a time names, or the last so long until now; with `=` before it or not.
    Within(Moment, bool),
    /// Before or after a time, or so long ago.
    Compared(Bound, Moment),
    /// Between two times: whether the first is in it, the first, the second, whether it is in it.
    Between(bool, Moment, Moment, bool),
}

/// A sign of comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// `>`
    Above,
    /// `>=`
    From,
    /// `<`
    Below,
    /// `<=`
    UpTo,
}

/// A time or a duration until now, as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moment {
    /// A time.
    Time(String),
    /// A duration.
    Ago(String),
}

/// What stands after `_time:`.
pub(super) fn parse(parser: &mut Parser<'_>, at: At) -> Parsed<Filter> {
    if parser.is("day_range") {
        return super::day::parse_day(parser);
    }
    if parser.is("week_range") {
        return super::day::parse_week(parser);
    }
    let range = if parser.is("offset") { TimeRange::UntilNow } else { parse_range(parser)? };
    let offset = parse_offset(parser)?;
    Ok(Filter::Time(TimeFilter { at, range, offset }))
}

/// `offset d`, if it is there.
pub(super) fn parse_offset(parser: &mut Parser<'_>) -> Parsed<Option<String>> {
    if parser.takes("offset") { parse_duration(parser).map(Some) } else { Ok(None) }
}

fn parse_range(parser: &mut Parser<'_>) -> Parsed<TimeRange> {
    if parser.is_any(&["[", "("]) {
        let from_in = parser.is("[");
        parser.advance();
        let from = parse_time(parser)?;
        parser.expect(",")?;
        let to = parse_time(parser)?;
        let to_in = parser.is("]");
        if !to_in && !parser.is(")") {
            return Err(parser.unexpected("']' or ')'"));
        }
        parser.advance();
        return Ok(TimeRange::Between(from_in, from, to, to_in));
    }
    for (sign, open, included) in [(">", Bound::Above, Bound::From), ("<", Bound::Below, Bound::UpTo)] {
        if parser.takes(sign) {
            let bound = if parser.takes("=") { included } else { open };
            return Ok(TimeRange::Compared(bound, parse_moment(parser)?));
        }
    }
    let equals = parser.takes("=");
    Ok(TimeRange::Within(parse_moment(parser)?, equals))
}

fn parse_moment(parser: &mut Parser<'_>) -> Parsed<Moment> {
    if parser.is("now") || begins_with_year(parser.text()) {
        parse_time(parser)
    } else {
        parse_duration(parser).map(Moment::Ago)
    }
}

fn begins_with_year(text: &str) -> bool {
    text.split_at_checked(4).is_some_and(|(year, rest)| {
        year.bytes().all(|b| b.is_ascii_digit()) && (rest.is_empty() || rest.starts_with(['-', '+', 'Z', 'z']))
    })
}

fn parse_time(parser: &mut Parser<'_>) -> Parsed<Moment> {
    let at = parser.at();
    let text = parser.word("a time")?;
    match query_time(&text, 0, 0) {
        Some(_) => Ok(Moment::Time(text)),
        None => Err(Fault::new(at.0, format!("'{text}' is no time"))),
    }
}

fn parse_duration(parser: &mut Parser<'_>) -> Parsed<String> {
    let at = parser.at();
    let text = parser.word("a duration")?;
    match duration(&text) {
        Some(_) => Ok(text),
        None => Err(Fault::new(at.0, format!("'{text}' is no duration such as 1h30m"))),
    }
}

impl Moment {
    /// The first and the last nanosecond of it.
    fn span(&self, clock: Clock) -> (i64, i64) {
        match self {
            Self::Time(text) => {
                let start = query_time(text, clock.now, clock.zone).unwrap_or(clock.now);
                (start, query_time_end(text, start))
            }
            Self::Ago(text) => {
                let at = clock.now.saturating_sub(duration(text).unwrap_or(0).saturating_abs());
                (at, at)
            }
        }
    }

    fn is_time(&self) -> bool {
        matches!(self, Self::Time(_))
    }
}

impl TimeFilter {
    /// The first and the last nanosecond that pass.
    pub(crate) fn resolve(&self, clock: Clock) -> (i64, i64) {
        let (min, max) = self.range.resolve(clock);
        let offset = self.offset.as_deref().and_then(duration).unwrap_or(0);
        let moved = |time: i64| if matches!(time, i64::MIN | i64::MAX) { time } else { time.saturating_sub(offset) };
        (moved(min), moved(max))
    }
}

impl TimeRange {
    fn resolve(&self, clock: Clock) -> (i64, i64) {
        match self {
            Self::UntilNow => (i64::MIN, clock.now),
            Self::Within(moment, _) => match moment.span(clock) {
                (start, end) if moment.is_time() => (start, end),
                (start, _) => (start, clock.now),
            },
            Self::Compared(bound, moment) => {
                let (start, end) = moment.span(clock);
                // A duration counts backwards: more than an hour ago is before that.
                match (bound, moment.is_time()) {
                    (Bound::Above, true) => (start.saturating_add(1), i64::MAX),
                    (Bound::From, true) => (start, i64::MAX),
                    (Bound::Below, true) => (i64::MIN, start.saturating_sub(1)),
                    (Bound::UpTo, true) => (i64::MIN, end),
                    (Bound::Above, false) => (i64::MIN, start.saturating_sub(1)),
                    (Bound::From, false) => (i64::MIN, start),
                    (Bound::Below, false) => (start.saturating_add(1), clock.now),
                    (Bound::UpTo, false) => (start, clock.now),
                }
            }
            Self::Between(from_in, from, to, to_in) => {
                let ((start, _), (to_start, to_end)) = (from.span(clock), to.span(clock));
                let min = if *from_in { start } else { start.saturating_add(1) };
                (min, if *to_in { to_end } else { to_start.saturating_sub(1) })
            }
        }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time(text) | Self::Ago(text) => f.write_str(&quote_operand(text)),
        }
    }
}

impl fmt::Display for TimeRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UntilNow => Ok(()),
            Self::Within(moment, equals) => write!(f, "{}{moment}", if *equals { "=" } else { "" }),
            Self::Compared(bound, moment) => {
                let sign = match bound {
                    Bound::Above => ">",
                    Bound::From => ">=",
                    Bound::Below => "<",
                    Bound::UpTo => "<=",
                };
                write!(f, "{sign}{moment}")
            }
            Self::Between(from_in, from, to, to_in) => {
                let (open, close) = (if *from_in { '[' } else { '(' }, if *to_in { ']' } else { ')' });
                write!(f, "{open}{from},{to}{close}")
            }
        }
    }
}

impl fmt::Display for TimeFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "_time:{}", self.range)?;
        match &self.offset {
            Some(offset) if self.range == TimeRange::UntilNow => write!(f, "offset {offset}"),
            Some(offset) => write!(f, " offset {offset}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
