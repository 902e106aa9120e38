//! Buckets of `stats by (field:step offset off)`: which one a value falls into.
//!
//! Invariants
//! * A value that has no bucket stands for itself. Nothing wraps at the ends of numbers.
//! * A time falls into the bucket that its text falls into.
use super::duration::{DAY, HOUR, MINUTE, SECOND, WEEK, duration, show_duration};
use super::ipv4::{ipv4, show_ipv4};
use super::number::{decimal, fraction_digits, int, show, size, uint};
use super::timestamp::{date_from_days, days_from_date, show_timestamp, timestamp};

/// How wide a bucket is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Width {
    /// So many, or so many nanoseconds.
    Step(f64),
    /// A week that begins on a Monday.
    Week,
    /// A month of the calendar.
    Month,
    /// A year of the calendar.
    Year,
}

/// Width and offset of buckets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Buckets {
    /// How wide they are.
    pub(crate) width: Width,
    /// Where the first one begins.
    pub(crate) offset: f64,
}

/// A step as written after the field: a number, a duration, a size, `/24` or a word such as `hour`.
pub(crate) fn width(text: &str) -> Option<Width> {
    Some(Width::Step(match text {
        "week" => return Some(Width::Week),
        "month" => return Some(Width::Month),
        "year" => return Some(Width::Year),
        "nanosecond" => 1.0,
        "microsecond" => 1e3,
        "millisecond" => 1e6,
        "second" => SECOND as f64,
        "minute" => MINUTE as f64,
        "hour" => HOUR as f64,
        "day" => DAY as f64,
        _ => match offset(text) {
            Some(step) => step,
            None => {
                let bits = u32::try_from(uint(text.strip_prefix('/')?)?).ok().filter(|bits| *bits <= 32)?;
                2f64.powi(32 - bits as i32)
            }
        },
    }))
}

/// An offset as written.
pub(crate) fn offset(text: &str) -> Option<f64> {
    decimal(text).or_else(|| duration(text).map(|d| d as f64)).or_else(|| size(text).map(|s| s as f64))
}

impl Buckets {
    fn step(self) -> f64 {
        match self.width {
            Width::Step(step) if step > 0.0 => step,
            Width::Week => WEEK as f64,
            _ => 1.0,
        }
    }

    fn whole_step(self) -> i64 {
        (self.step() as i64).max(1)
    }

    /// Where the bucket of a value begins; a value that has no bucket stands for itself.
    pub(crate) fn place(self, value: &str) -> String {
        if !value.starts_with(|c: char| c.is_ascii_digit() || c == '-') {
            return value.into();
        }
        if let Some(number) = int(value) {
            return self.integer(number).to_string();
        }
        if let Some(number) = decimal(value) {
            return show(self.decimal(number));
        }
        if let Some(time) = timestamp(value) {
            return show_timestamp(self.time(time));
        }
        if let Some(address) = ipv4(value) {
            return show_ipv4(self.address(address));
        }
        if let Some(time) = duration(value) {
            return show_duration(self.integer(time));
        }
        value.into()
    }

    fn integer(self, number: i64) -> i64 {
        let (step, offset) = (self.whole_step(), self.offset as i64);
        let from = number.saturating_sub(offset);
        from.saturating_sub(from.rem_euclid(step)).saturating_add(offset)
    }

    fn decimal(self, number: f64) -> f64 {
        // Steps such as 0.1 are counted in their last digit, so that buckets begin at the digits that were written.
        let step = self.step();
        let scale = 10f64.powi(fraction_digits(step));
        let step = ((step * scale).round() as i64).max(1);
        let from = ((number - self.offset) * scale).floor() as i64;
        from.saturating_sub(from.rem_euclid(step)) as f64 / scale + self.offset
    }

    /// Where the bucket of a time begins.
    pub(crate) fn time(self, time: i64) -> i64 {
        let offset = self.offset as i64;
        let from = time.saturating_sub(offset);
        let start = match self.width {
            Width::Step(_) => from.saturating_sub(from.rem_euclid(self.whole_step())),
            // Day 0 was a Thursday.
            Width::Week => from.saturating_sub((from.rem_euclid(WEEK) - 4 * DAY).rem_euclid(WEEK)),
            Width::Month | Width::Year => {
                let (year, month, _) = date_from_days(from.div_euclid(DAY));
                let month = if self.width == Width::Year { 1 } else { month };
                days_from_date(year, month, 1).saturating_mul(DAY)
            }
        };
        start.saturating_add(offset)
    }

    /// Where the bucket of a time begins, and a time up to which it is known to go on.
    pub(crate) fn around(self, time: i64) -> (i64, i64) {
        let start = self.time(time);
        let next = match self.width {
            Width::Step(_) => start.saturating_add(self.whole_step()),
            // Weeks, months and years are whole days at least.
            Width::Week | Width::Month | Width::Year => time.saturating_add(1),
        };
        (start, next)
    }

    fn address(self, address: u32) -> u32 {
        let (step, offset) = (self.whole_step(), self.offset as i64);
        let from = i64::from(address).saturating_sub(offset);
        if from < 0 {
            return 0;
        }
        u32::try_from(from - from % step + offset).unwrap_or(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(value: &str, step: &str, off: &str) -> String {
        let offset = if off.is_empty() { 0.0 } else { offset(off).unwrap() };
        Buckets { width: width(step).unwrap(), offset }.place(value)
    }

    #[test]
    fn numbers_fall_into_steps() {
        assert_eq!(place("12345", "10KB", ""), "10000");
        assert_eq!(place("-5", "10", ""), "-10");
        assert_eq!(place("17", "10", "3"), "13");
        assert_eq!(place("1.27", "0.1", ""), "1.2");
        assert_eq!(place("12.7", "5", ""), "10");
        assert_eq!(place("1m30s", "1m", ""), "1m");
        assert_eq!(place("abc", "5", ""), "abc");
        assert_eq!(place("", "5", ""), "");
        assert_eq!(place("10.1.2.3", "/24", ""), "10.1.2.0");
        assert_eq!(place("1.2.3.4", "/0", ""), "0.0.0.0");
    }

    #[test]
    fn times_fall_into_calendar_units() {
        let time = "2024-06-06T11:35:41.5Z";
        assert_eq!(place(time, "1h", ""), "2024-06-06T11:00:00Z");
        assert_eq!(place(time, "day", "2h"), "2024-06-06T02:00:00Z");
        assert_eq!(place(time, "1d", "12h"), "2024-06-05T12:00:00Z");
        assert_eq!(place(time, "week", ""), "2024-06-03T00:00:00Z");
        assert_eq!(place(time, "1w", ""), "2024-06-06T00:00:00Z");
        assert_eq!(place(time, "month", ""), "2024-06-01T00:00:00Z");
        assert_eq!(place(time, "year", "6.5h"), "2024-01-01T06:30:00Z");
        assert_eq!(place("1969-12-31T23:59:59Z", "1d", ""), "1969-12-31T00:00:00Z");
    }

    #[test]
    fn steps_are_checked() {
        for wrong in ["/33", "/bar", "foo", "", "-"] {
            assert_eq!(width(wrong), None, "{wrong}");
        }
        assert_eq!(offset("-2.5h5m"), Some(-(2 * HOUR + 35 * MINUTE) as f64));
        assert_eq!(place("9223372036854775807", "1d", "-1d"), "9223200000000000000");
    }
}
