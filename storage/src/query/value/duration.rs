//! Durations: `1h33m55s` read into nanoseconds, and nanoseconds shown so.
//!
//! Invariants
//! * Each part has a unit, and sums saturate.
//! * Below a second nothing is rounded when it is shown.
use super::number::{decimal_prefix, show};

/// A second.
pub(crate) const SECOND: i64 = 1_000_000_000;
/// A minute.
pub(crate) const MINUTE: i64 = 60 * SECOND;
/// An hour.
pub(crate) const HOUR: i64 = 60 * MINUTE;
/// A day.
pub(crate) const DAY: i64 = 24 * HOUR;
/// A week.
pub(crate) const WEEK: i64 = 7 * DAY;
/// A year of 365 days.
const YEAR: i64 = 365 * DAY;

/// Longer units first, so that `ms` is not read as `m`.
const UNITS: [(&str, i64); 10] = [
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("ns", 1),
    ("y", YEAR),
    ("w", WEEK),
    ("d", DAY),
    ("h", HOUR),
    ("m", MINUTE),
    ("s", SECOND),
];

/// A duration in nanoseconds; every part has a unit.
pub fn duration(text: &str) -> Option<i64> {
    let mut rest = text.strip_prefix('-').unwrap_or(text);
    if rest.is_empty() {
        return None;
    }
    let mut sum = 0i64;
    while !rest.is_empty() {
        let (number, tail) = decimal_prefix(rest)?;
        let (unit, scale) = UNITS.iter().find(|(unit, _)| tail.starts_with(unit))?;
        sum = sum.saturating_add((number * *scale as f64) as i64);
        rest = tail.get(unit.len()..)?;
    }
    Some(if text.starts_with('-') { -sum } else { sum })
}

/// Nanoseconds as a duration, in parts; below a second, whole milli-, micro- and nanoseconds.
pub(crate) fn show_duration(nanoseconds: i64) -> String {
    if nanoseconds == 0 {
        return "0".into();
    }
    let mut out = String::new();
    if nanoseconds < 0 {
        out.push('-');
    }
    let mut left = nanoseconds.unsigned_abs();
    let long = left >= SECOND.unsigned_abs();
    for (unit, scale) in [("w", WEEK), ("d", DAY), ("h", HOUR), ("m", MINUTE)] {
        let scale = scale.unsigned_abs();
        if left >= scale {
            out.push_str(&format!("{}{unit}", left / scale));
            left %= scale;
        }
    }
    if long && left >= SECOND.unsigned_abs() {
        out.push_str(&show(left as f64 / SECOND as f64));
        out.push('s');
        return out;
    }
    for (unit, scale) in [("ms", 1_000_000), ("µs", 1_000), ("ns", 1)] {
        if left >= scale {
            out.push_str(&format!("{}{unit}", left / scale));
            left %= scale;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_add_up() {
        assert_eq!(duration("1h33m55s"), Some(HOUR + 33 * MINUTE + 55 * SECOND));
        assert_eq!(duration("2.5d15m42.345s"), Some(60 * HOUR + 15 * MINUTE + 42_345_000_000));
        assert_eq!(duration("-1.5ms2µs3ns"), Some(-1_502_003));
        assert_eq!(duration("1y"), Some(YEAR));
        for wrong in ["", "-", "5", "5x", "h", "1.h"] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
        assert_eq!(duration("1000000000y"), Some(i64::MAX));
    }

    #[test]
    fn what_is_shown_reads_back() {
        for (ns, text) in [
            (0, "0"),
            (1, "1ns"),
            (1_502_003, "1ms502µs3ns"),
            (1_500_000_000, "1.5s"),
            (-(DAY + HOUR), "-1d1h"),
            (WEEK + 61 * SECOND, "1w1m1s"),
            (MINUTE + 5_000_000, "1m5ms"),
        ] {
            assert_eq!(show_duration(ns), text);
            assert_eq!(duration(text).unwrap_or(0), ns);
        }
    }
}
