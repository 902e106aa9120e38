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

#[cfg(test)]
mod tests {
    use crate::query::testing::{check_faults, check_filters};

    /// From a Sunday on.
    const ROWS: &str = r#"
        {"row":"a","_time":"2024-06-09T00:00:00Z"}
        {"row":"b","_time":"2024-06-10T07:59:59.999999999Z"}
        {"row":"c","_time":"2024-06-10T08:00:00Z"}
        {"row":"d","_time":"2024-06-11T17:59:59.999999999Z"}
        {"row":"e","_time":"2024-06-12T18:00:00Z"}
        {"row":"f","_time":"2024-06-14T23:59:59.999999999Z"}
        {"row":"g","_time":"2024-06-15T00:30:00Z"}
        {"row":"h","_time":"1969-12-31T09:00:00Z"}
        {"row":"i","_time":""}
        {"row":"j"}
        {"row":"k","_time":"08:30"}
    "#;

    #[test]
    fn parts_of_days_have_their_ends_or_not() {
        check_filters(
            ROWS,
            &[
                ("_time:day_range[08:00, 18:00)", "cdh"),
                ("_time:day_range[08:00, 18:00]", "cdeh"),
                ("_time:day_range(08:00, 18:00]", "deh"),
                ("_time:day_range(08:00, 18:00)", "dh"),
                ("_time:DAY_RANGE[08:00,18:00)", "cdh"),
                ("_time:day_range[\"08:00\", \"18:00\")", "cdh"),
                ("_time:day_range[00:00, 24:00]", "abcdefgh"),
                ("_time:day_range[18:00, 08:00]", ""),
                ("!_time:day_range[08:00, 18:00)", "abefgijk"),
                ("_time:1w _time:day_range[00:00, 09:00)", "abc"),
                ("_time:week_range[Mon, Fri] _time:day_range[08:00, 18:00)", "cdh"),
            ],
        );
    }

    #[test]
    fn days_of_weeks_begin_with_sunday() {
        check_filters(
            ROWS,
            &[
                ("_time:week_range[Mon, Fri]", "bcdefh"),
                ("_time:week_range(Sun, Sat)", "bcdefh"),
                ("_time:week_range[monday, FRIDAY]", "bcdefh"),
                ("_time:week_range[Mon, Fri)", "bcdeh"),
                ("_time:week_range[Sunday, Sunday]", "a"),
                ("_time:week_range[sat, sat]", "g"),
                ("_time:week_range[Tue, Wed]", "deh"),
                ("_time:week_range[Thu, Thursday]", ""),
                ("_time:week_range[Sun, Sat]", "abcdefgh"),
                ("_time:week_range[Sat, Sun]", ""),
                ("!_time:week_range[Mon, Fri]", "agijk"),
            ],
        );
    }

    /// An offset is taken off the time before it is looked at, as servers of the language do it and not as its text says:
    /// `offset 2h` is for a place two hours west.
    #[test]
    fn offsets_are_taken_off() {
        check_filters(
            ROWS,
            &[
                ("_time:day_range[06:00, 07:00) offset 2h", "c"),
                ("_time:day_range[10:00, 10:00] offset -2h", "c"),
                ("_time:day_range[22:00, 24:00] offset 2h", "ag"),
                ("_time:day_range[06:00, 16:00) offset 2h", "cdh"),
                ("_time:week_range[Sat, Sat] offset 1h", "a"),
                ("_time:week_range[Sat, Sat] offset -1h", "fg"),
                ("_time:week_range[Fri, Fri] offset 1.5h", "fg"),
            ],
        );
    }

    #[test]
    fn what_is_no_part_of_a_day_is_refused() {
        check_faults(&[
            ("_time:day_range", 15, "ends"),
            ("_time:day_range 08:00", 16, "'['"),
            ("_time:day_range[8:00, 18:00]", 16, "08:30"),
            ("_time:day_range[08:00, 25:00]", 23, "08:30"),
            ("_time:day_range[08:00 18:00]", 22, "','"),
            ("_time:day_range[08:00, 18:00", 28, "ends"),
            ("_time:week_range[Mon, x]", 22, "Mon"),
            ("_time:week_range[Mon, Fri] offset x", 34, "no duration"),
        ]);
    }
}
