//! Times by the calendar, and the filters of `_time`.
use super::rows::{NOW, SECOND};
use crate::chance::Rng;

pub(super) const DAY: i64 = 86_400 * SECOND;

/// Year, month and day of a day since 1970: by counting, which is slow and plain.
fn date(mut day: i64) -> (i64, usize, i64) {
    let leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let mut year = 1970;
    while day >= 365 + i64::from(leap(year)) {
        day -= 365 + i64::from(leap(year));
        year += 1;
    }
    let mut month = 0;
    loop {
        let days = match month {
            1 => 28 + i64::from(leap(year)),
            3 | 5 | 8 | 10 => 30,
            _ => 31,
        };
        if day < days {
            return (year, month + 1, day + 1);
        }
        day -= days;
        month += 1;
    }
}

/// A time with so much of it as was asked for: 3 is a day, 4 an hour, 5 a minute, 6 a second, 7 all of it.
fn spelled(time: i64, parts: usize) -> String {
    let (year, month, day) = date(time.div_euclid(DAY));
    let of_day = time.rem_euclid(DAY);
    let seconds = of_day / SECOND;
    let mut text = format!("{year:04}-{month:02}-{day:02}");
    if parts >= 4 {
        text += &format!("T{:02}", seconds / 3_600);
    }
    if parts >= 5 {
        text += &format!(":{:02}", seconds / 60 % 60);
    }
    if parts >= 6 {
        text += &format!(":{:02}", seconds % 60);
    }
    if parts >= 7 && of_day % SECOND > 0 {
        text += format!(".{:09}", of_day % SECOND).trim_end_matches('0');
    }
    text
}

/// A time as rows show it.
pub(super) fn shown(time: i64) -> String {
    spelled(time, 7) + "Z"
}

/// A time as a query may say it: in UTC or with an offset.
fn said(rng: &mut Rng, time: i64, parts: usize) -> String {
    let minutes = *rng.pick(&[0, 0, 0, 330, -420]);
    if minutes == 0 {
        return spelled(time, parts) + "Z";
    }
    let sign = if minutes > 0 { '+' } else { '-' };
    let offset = format!("{sign}{:02}:{:02}", i64::abs(minutes) / 60, i64::abs(minutes) % 60);
    spelled(time + minutes * 60 * SECOND, parts) + &offset
}

/// A filter of times: how it is written, and what passes.
#[derive(Clone, Debug)]
pub(super) struct TimeTest {
    pub(super) text: String,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    /// From the first to the last nanosecond.
    Span(i64, i64),
    /// Nanoseconds of each day, and how far east the day is.
    OfDay(i64, i64, i64),
    /// Days of each week.
    OfWeek(i64, i64, i64),
}

impl TimeTest {
    pub(super) fn passes(&self, time: i64) -> bool {
        match self.kind {
            Kind::Span(from, to) => (from..=to).contains(&time),
            Kind::OfDay(from, to, east) => (from..=to).contains(&(time - east).rem_euclid(DAY)),
            // The first of January 1970 was a Thursday.
            Kind::OfWeek(from, to, east) => (from..=to).contains(&((time - east).div_euclid(DAY) + 4).rem_euclid(7)),
        }
    }

    /// A filter that has to do with the time of a row.
    pub(super) fn any(rng: &mut Rng, time: i64, other: i64) -> Self {
        match rng.below(9) {
            0..=2 => Self::ago(rng, time),
            3 => Self::unit(rng, time),
            4 => Self::compared(rng, time),
            5 => Self::between(rng, time.min(other), time.max(other)),
            6 => Self::moved(rng, time),
            7 => Self::of_day(rng),
            _ => Self::of_week(rng),
        }
    }

    /// Half a second beside the row, and so beside every row: the clock goes on while a query runs.
    fn ago(rng: &mut Rng, time: i64) -> Self {
        let half = SECOND / 2;
        let ago = (NOW - time) / SECOND * SECOND + if rng.one_in(2) { half } else { -half };
        let ago = ago.max(half);
        let milliseconds = ago / (SECOND / 1_000);
        let duration = match rng.below(4) {
            0 => format!("{milliseconds}ms"),
            1 => format!("{}.5s", milliseconds / 1_000),
            2 => format!("{}h{}m{}ms", milliseconds / 3_600_000, milliseconds / 60_000 % 60, milliseconds % 60_000),
            _ => format!("{ago}ns"),
        };
        let (sign, kind) = match rng.below(5) {
            0 => (">", Kind::Span(i64::MIN, NOW - ago)),
            1 => (">=", Kind::Span(i64::MIN, NOW - ago)),
            2 => ("<", Kind::Span(NOW - ago, NOW)),
            3 => ("<=", Kind::Span(NOW - ago, NOW)),
            _ => ("", Kind::Span(NOW - ago, NOW)),
        };
        Self { text: format!("{sign}{duration}"), kind }
    }

    fn unit(rng: &mut Rng, time: i64) -> Self {
        let (parts, length) = *rng.pick(&[(3, DAY), (4, 3_600 * SECOND), (5, 60 * SECOND), (6, SECOND)]);
        let from = time - time.rem_euclid(length);
        // Days and hours by another clock begin at other times.
        let text = if parts < 5 { spelled(from, parts) + "Z" } else { said(rng, from, parts) };
        Self { text, kind: Kind::Span(from, from + length - 1) }
    }

    fn compared(rng: &mut Rng, time: i64) -> Self {
        let text = said(rng, time, 7);
        let (sign, kind) = match rng.below(4) {
            0 => (">", Kind::Span(time + 1, i64::MAX)),
            1 => (">=", Kind::Span(time, i64::MAX)),
            2 => ("<", Kind::Span(i64::MIN, time - 1)),
            _ => ("<=", Kind::Span(i64::MIN, time)),
        };
        Self { text: format!("{sign}{text}"), kind }
    }

    fn between(rng: &mut Rng, from: i64, to: i64) -> Self {
        let (open, close) = (*rng.pick(&['[', '(']), *rng.pick(&[']', ')']));
        let text = format!("{open}{}, {}{close}", said(rng, from, 7), said(rng, to, 7));
        Self { text, kind: Kind::Span(from + i64::from(open == '('), to - i64::from(close == ')')) }
    }

    fn moved(rng: &mut Rng, time: i64) -> Self {
        let hours = 1 + rng.below(5) as i64;
        let by = hours * 3_600 * SECOND;
        if rng.one_in(2) {
            return Self { text: format!("offset {hours}h"), kind: Kind::Span(i64::MIN, NOW - by) };
        }
        let from = time - time.rem_euclid(DAY);
        let text = format!("{} offset {hours}h", spelled(from, 3) + "Z");
        Self { text, kind: Kind::Span(from - by, from + DAY - 1 - by) }
    }

    fn of_day(rng: &mut Rng) -> Self {
        let (from, to) = (rng.below(16 * 60) as i64, 8 * 60 + rng.below(16 * 60) as i64);
        let (open, close) = (*rng.pick(&['[', '(']), *rng.pick(&[']', ')']));
        let hours = *rng.pick(&[0, 0, 2, -3]);
        let clock = |minutes: i64| format!("{:02}:{:02}", minutes / 60, minutes % 60);
        let offset = if hours == 0 { String::new() } else { format!(" offset {hours}h") };
        let text = format!("day_range{open}{}, {}{close}{offset}", clock(from), clock(to));
        let (first, last) = (from * 60 * SECOND + i64::from(open == '('), to * 60 * SECOND - i64::from(close == ')'));
        Self { text, kind: Kind::OfDay(first, last, hours * 3_600 * SECOND) }
    }

    fn of_week(rng: &mut Rng) -> Self {
        let (from, to) = (rng.below(4) as i64, 2 + rng.below(5) as i64);
        let (open, close) = (*rng.pick(&['[', '(']), *rng.pick(&[']', ')']));
        let hours = *rng.pick(&[0, 0, 5, -8]);
        let days = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
        let mut day = |at: i64| if rng.one_in(2) { days[at as usize] } else { &days[at as usize][..3] };
        let (first, last) = (day(from), day(to));
        let offset = if hours == 0 { String::new() } else { format!(" offset {hours}h") };
        let text = format!("week_range{open}{first}, {last}{close}{offset}");
        let kind = Kind::OfWeek(from + i64::from(open == '('), to - i64::from(close == ')'), hours * 3_600 * SECOND);
        Self { text, kind }
    }
}

#[test]
fn times_are_those_of_the_calendar() {
    assert_eq!((shown(NOW), shown(NOW - 1)), ("2024-06-10T12:00:00Z".into(), "2024-06-10T11:59:59.999999999Z".into()));
    assert_eq!((shown(0), spelled(951_782_400 * SECOND, 3)), ("1970-01-01T00:00:00Z".into(), "2000-02-29".into()));
    let monday = TimeTest { text: String::new(), kind: Kind::OfWeek(1, 1, 0) };
    assert!(monday.passes(NOW) && !monday.passes(NOW - DAY));
}
