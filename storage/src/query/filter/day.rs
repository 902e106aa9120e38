//! `_time:day_range[08:00, 18:00)` and `_time:week_range[Mon, Fri]`: a part of each day, some days of each week.
//!
//! Invariants
//! * A range that ends before it begins has no time: it does not go round midnight or the end of the week.
//! * A `_time` that is no time never passes.
use super::Filter;
use super::time::parse_offset;
use crate::query::fault::{At, Fault, Parsed};
use crate::query::parse::{Parser, quote_operand};
use crate::query::value::duration::{DAY, duration};
use crate::query::value::timestamp::{hours_minutes, weekday};
use std::fmt;

/// A part of each day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DayRange {
    /// Where it stands.
    pub at: At,
    /// The first nanosecond of the day.
    pub start: i64,
    /// The last nanosecond of the day.
    pub end: i64,
    /// How far east of UTC the days are.
    pub offset: i64,
    shown: String,
}

/// Some days of each week.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeekRange {
    /// Where it stands.
    pub at: At,
    /// The first day; Sunday is 0.
    pub start: i64,
    /// The last day.
    pub end: i64,
    /// How far east of UTC the days are.
    pub offset: i64,
    shown: String,
}

impl DayRange {
    /// Whether a time is in it.
    pub(crate) fn has(&self, time: i64) -> bool {
        let of_day = time.saturating_sub(self.offset).rem_euclid(DAY);
        of_day >= self.start && of_day <= self.end
    }
}

impl WeekRange {
    /// Whether a time is in it.
    pub(crate) fn has(&self, time: i64) -> bool {
        let day = weekday(time.saturating_sub(self.offset));
        day >= self.start && day <= self.end
    }
}

/// Two bounds in brackets and an offset.
struct Bounds {
    from: (String, bool, At),
    to: (String, bool, At),
    offset: Option<String>,
}

fn parse_bounds(parser: &mut Parser<'_>) -> Parsed<Bounds> {
    parser.advance();
    let from_in = parser.is("[");
    if !from_in && !parser.is("(") {
        return Err(parser.unexpected("'[' or '('"));
    }
    parser.advance();
    let at_from = parser.at();
    let from = parser.word("the first bound")?;
    parser.expect(",")?;
    let at_to = parser.at();
    let to = parser.word("the last bound")?;
    let to_in = parser.is("]");
    if !to_in && !parser.is(")") {
        return Err(parser.unexpected("']' or ')'"));
    }
    parser.advance();
    let offset = parse_offset(parser)?;
    Ok(Bounds { from: (from, from_in, at_from), to: (to, to_in, at_to), offset })
}

impl Bounds {
    fn shown(&self) -> String {
        let (open, close) = (if self.from.1 { '[' } else { '(' }, if self.to.1 { ']' } else { ')' });
        let offset = self.offset.as_ref().map(|offset| format!(" offset {offset}")).unwrap_or_default();
        format!("{open}{}, {}{close}{offset}", quote_operand(&self.from.0), quote_operand(&self.to.0))
    }

    fn offset(&self) -> i64 {
        self.offset.as_deref().and_then(duration).unwrap_or(0)
    }
}

pub(super) fn parse_day(parser: &mut Parser<'_>) -> Parsed<Filter> {
    let at = parser.at();
    let bounds = parse_bounds(parser)?;
    let time = |(text, _, at): &(String, bool, At)| {
        let time = hours_minutes(text).ok_or_else(|| Fault::new(at.0, format!("'{text}' is no time such as 08:30")))?;
        Parsed::Ok(time.min(DAY - 1))
    };
    let start = time(&bounds.from)? + i64::from(!bounds.from.1);
    let end = time(&bounds.to)? - i64::from(!bounds.to.1);
    Ok(Filter::Day(DayRange { at, start, end, offset: bounds.offset(), shown: bounds.shown() }))
}

const DAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];

pub(super) fn parse_week(parser: &mut Parser<'_>) -> Parsed<Filter> {
    let at = parser.at();
    let bounds = parse_bounds(parser)?;
    let day = |(text, _, at): &(String, bool, At)| {
        let lower = text.to_ascii_lowercase();
        let found = DAYS.iter().zip(0..).find(|(day, _)| **day == lower || day.get(..3) == Some(lower.as_str()));
        found.map(|(_, i)| i).ok_or_else(|| Fault::new(at.0, format!("'{text}' is no day such as Mon")))
    };
    let start: i64 = day(&bounds.from)? + i64::from(!bounds.from.1);
    let end: i64 = day(&bounds.to)? - i64::from(!bounds.to.1);
    Ok(Filter::Week(WeekRange { at, start, end, offset: bounds.offset(), shown: bounds.shown() }))
}

impl fmt::Display for DayRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "_time:day_range{}", self.shown)
    }
}

impl fmt::Display for WeekRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "_time:week_range{}", self.shown)
    }
}
