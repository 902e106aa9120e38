//! Timestamps: nanoseconds since 1970 from RFC 3339 text and back, the forms that `_time` filters take, and the calendar.
//!
//! Invariants
//! * A text in a field that names no offset is read as UTC; only what stands in a query takes the query's time zone.
//! * Nothing outside the years 1678 to 2262 is a timestamp, so that nanoseconds fit 64 bits.
use super::duration::{DAY, HOUR, MINUTE, SECOND, duration};

/// Days since 1970 of a day of the Gregorian calendar; months and days beyond their range carry over.
pub(crate) fn days_from_date(year: i64, month: i64, day: i64) -> i64 {
    let months = month - 1;
    let year = year + months.div_euclid(12);
    let month = months.rem_euclid(12) + 1;
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Year, month and day of a day since 1970.
pub(crate) fn date_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, of_year - (153 * shifted + 2) / 5 + 1)
}

fn digits(text: &str) -> Option<i64> {
    (!text.is_empty() && text.len() <= 9 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

/// `hh:mm` in nanoseconds.
pub(crate) fn hours_minutes(text: &str) -> Option<i64> {
    let (hours, minutes) = text.split_once(':')?;
    if hours.len() != 2 || minutes.len() != 2 {
        return None;
    }
    let (hours, minutes) = (digits(hours)?, digits(minutes)?);
    (hours <= 24 && minutes <= 60).then_some(hours * HOUR + minutes * MINUTE)
}

/// A timestamp of a field: `YYYY-MM-DDThh:mm:ss` (or with a space), a fraction, and `Z` or an offset.
pub(crate) fn timestamp(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    // A cheap look first: most texts are no timestamps.
    if bytes.len() < 19 || bytes.get(4) != Some(&b'-') || bytes.get(7) != Some(&b'-') {
        return None;
    }
    if !matches!(bytes.get(10), Some(b'T' | b' ')) || bytes.get(13) != Some(&b':') || bytes.get(16) != Some(&b':') {
        return None;
    }
    let part = |from: usize, to: usize| digits(text.get(from..to)?);
    let (year, month, day) = (part(0, 4)?, part(5, 7)?, part(8, 10)?);
    let (hour, minute, second) = (part(11, 13)?, part(14, 16)?, part(17, 19)?);
    if !(1677..=2262).contains(&year) {
        return None;
    }
    let seconds = days_from_date(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
    let tail = text.get(19..)?;
    let (fraction, offset) = match tail.strip_suffix('Z') {
        Some(fraction) => (fraction, 0),
        None => match tail.rfind(['+', '-']) {
            None => (tail, 0),
            Some(at) => {
                let (fraction, zone) = tail.split_at_checked(at)?;
                let offset = hours_minutes(zone.get(1..)?)?;
                (fraction, if zone.starts_with('-') { -offset } else { offset })
            }
        },
    };
    let nanoseconds = match fraction.strip_prefix('.') {
        Some(fraction) => digits(fraction)? * 10i64.checked_pow(9u32.checked_sub(fraction.len() as u32)?)?,
        None if fraction.is_empty() => 0,
        None => return None,
    };
    seconds.checked_mul(SECOND)?.checked_sub(offset)?.checked_add(nanoseconds)
}

fn show_seconds(nanoseconds: i64) -> String {
    let (days, rest) = (nanoseconds.div_euclid(DAY), nanoseconds.rem_euclid(DAY));
    let (year, month, day) = date_from_days(days);
    let (hour, minute, second) = (rest / HOUR, rest % HOUR / MINUTE, rest % MINUTE / SECOND);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}

/// RFC 3339 in UTC with as many digits of the fraction as it needs.
pub(crate) fn show_timestamp(nanoseconds: i64) -> String {
    let mut out = show_seconds(nanoseconds);
    let fraction = nanoseconds.rem_euclid(SECOND);
    if fraction != 0 {
        let digits = format!("{fraction:09}");
        out.push('.');
        out.push_str(digits.trim_end_matches('0'));
    }
    out.push('Z');
    out
}

/// The same with milliseconds, always.
pub(crate) fn show_milliseconds(nanoseconds: i64) -> String {
    format!("{}.{:03}Z", show_seconds(nanoseconds), nanoseconds.rem_euclid(SECOND) / 1_000_000)
}

/// A number of seconds, milliseconds, microseconds or nanoseconds since 1970, told apart by size, in nanoseconds.
pub(crate) fn unix_timestamp(text: &str) -> Option<i64> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if mantissa.contains('.') && digits_any(fraction).is_none() {
        return None;
    }
    let scientific = text.contains(['e', 'E']);
    let places = i32::try_from(fraction.len()).ok()?;
    if scientific && exponent < places {
        return None;
    }
    // A fraction is brought to a multiple of three places, so that the size tells the unit.
    let scale = if scientific { exponent } else { (places + 2) / 3 * 3 };
    let scale = u32::try_from(scale).ok()?;
    let whole_number = whole.parse::<i64>().ok()?;
    let mut number = whole_number.checked_mul(10i64.checked_pow(scale)?)?;
    if places > 0 {
        let part = fraction.parse::<i64>().ok()?.checked_mul(10i64.checked_pow(scale - places as u32)?)?;
        number = if whole_number < 0 { number.checked_sub(part)? } else { number.checked_add(part)? };
    }
    let seconds_max = 1i64 << 31;
    let within = |unit: i64| number < unit * seconds_max && number >= -unit * seconds_max;
    Some(if within(1) {
        number * SECOND
    } else if within(1_000) {
        number * 1_000_000
    } else if within(1_000_000) {
        number * 1_000
    } else {
        number
    })
}

fn digits_any(text: &str) -> Option<&str> {
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then_some(text)
}

/// Splits `+hh:mm` or `-hh:mm` off a time; the offset is how far east of UTC it is.
fn split_zone(text: &str) -> Option<(&str, Option<i64>)> {
    let at = text.len().checked_sub(6).filter(|at| *at > 0);
    let Some((head, zone)) = at.and_then(|at| text.split_at_checked(at)) else { return Some((text, None)) };
    if !zone.starts_with(['+', '-']) || zone.as_bytes().get(3) != Some(&b':') {
        return Some((text, None));
    }
    let offset = digits(zone.get(1..3)?)? * HOUR + digits(zone.get(4..6)?)? * MINUTE;
    Some((head, Some(if zone.starts_with('-') { -offset } else { offset })))
}

/// A time as queries write it: `now`, `now-5m`, `-5m`, a number, or a calendar time from the year down to the nanosecond.
/// `zone` is how far east of UTC times without an offset are meant.
pub(crate) fn query_time(text: &str, now: i64, zone: i64) -> Option<i64> {
    if text == "now" {
        return Some(now);
    }
    let (head, offset) = split_zone(text)?;
    let (time, offset) = match (head.strip_suffix('Z'), offset) {
        (Some(time), None) => (time, 0),
        (None, None) => (head, if text.len() > 6 { zone } else { 0 }),
        (_, Some(offset)) => (head, offset),
    };
    let relative = time.strip_prefix("now").unwrap_or(time);
    if relative.len() < time.len() || time.starts_with('-') || time.ends_with(|c: char| !c.is_ascii_digit()) {
        return now.checked_sub(duration(relative)?.checked_abs()?);
    }
    if time.len() != 4 && !text.contains('-') {
        return unix_timestamp(text);
    }
    calendar_time(time, if time.len() == 4 && text.len() == 4 { zone } else { offset })
}

/// `YYYY`, `YYYY-MM` and so on.
fn calendar_time(time: &str, offset: i64) -> Option<i64> {
    const FULL: &str = "1970-01-01T00:00:00";
    let whole = match time.len() {
        4 | 7 | 10 | 13 | 16 => format!("{time}{}", FULL.get(time.len()..)?),
        _ => time.to_string(),
    };
    if time.len() > 10 && time.as_bytes().get(10) != Some(&b'T') {
        return None;
    }
    let part = |from: usize, to: usize| digits(whole.get(from..to)?);
    let (year, month, day) = (part(0, 4)?, part(5, 7)?, part(8, 10)?);
    let in_range = (1..=12).contains(&month) && day >= 1 && day <= month_days(year, month);
    if !in_range || part(11, 13)? > 23 || part(14, 16)? > 59 || part(17, 19)? > 59 || whole.contains(['+', 'Z']) {
        return None;
    }
    timestamp(&format!("{whole}Z"))?.checked_sub(offset)
}

/// How many days a month has.
fn month_days(year: i64, month: i64) -> i64 {
    days_from_date(year, month + 1, 1) - days_from_date(year, month, 1)
}

/// The last nanosecond that a time of a query means: of the whole year for `2024`, of the minute for `2024-01-02T10:20`.
pub(crate) fn query_time_end(text: &str, start: i64) -> i64 {
    let time = match split_zone(text) {
        Some((head, Some(_))) => head,
        _ => text.strip_suffix('Z').unwrap_or(text),
    };
    let begins_with_year = time.get(..4).is_some_and(|year| year.bytes().all(|b| b.is_ascii_digit()));
    if !begins_with_year {
        return start;
    }
    let dashed = time.as_bytes().get(4) == Some(&b'-');
    let (days, of_day) = (start.div_euclid(DAY), start.rem_euclid(DAY));
    let (year, month, day) = date_from_days(days);
    let end = match time.len() {
        4 => days_from_date(year + 1, month, day).saturating_mul(DAY).saturating_add(of_day),
        // A month that does not begin on a first, by its offset from UTC, ends as many days before the next one does.
        7 if dashed && day == 1 => days_from_date(year, month + 1, 1).saturating_mul(DAY).saturating_add(of_day),
        7 if dashed => days_from_date(year, month + 2, 0).saturating_mul(DAY).saturating_add(of_day),
        10 if dashed => start.saturating_add(DAY),
        13 if dashed => start.saturating_add(HOUR),
        16 if dashed => start.saturating_add(MINUTE),
        19 if dashed => start.saturating_add(SECOND),
        23 if dashed => start.saturating_add(1_000_000),
        _ => start.saturating_add(1),
    };
    end.saturating_sub(1)
}

/// Sunday is 0.
pub(crate) fn weekday(nanoseconds: i64) -> i64 {
    (nanoseconds.div_euclid(DAY) + 4).rem_euclid(7)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        timestamp(text).unwrap()
    }

    #[test]
    fn days_and_dates_are_inverse() {
        for days in (-200_000..200_000).step_by(37) {
            let (year, month, day) = date_from_days(days);
            assert_eq!(days_from_date(year, month, day), days);
        }
        assert_eq!(days_from_date(2024, 14, 0), days_from_date(2025, 1, 31));
    }

    #[test]
    fn timestamps_read_offsets_and_fractions() {
        assert_eq!(at("1970-01-01T00:00:01.5Z"), 1_500_000_000);
        assert_eq!(at("2024-06-02T11:35:41.123456789Z"), 1_717_328_141_123_456_789);
        assert_eq!(at("2024-01-02T03:04:05+02:30"), at("2024-01-02T00:34:05Z"));
        assert_eq!(at("2024-01-02 03:04:05"), at("2024-01-02T03:04:05Z"));
        for wrong in ["2024-01-02", "2024-01-02T03:04:05x", "1500-01-01T00:00:00Z", "2024-01-02T03:04:05.1234567890Z"] {
            assert_eq!(timestamp(wrong), None, "{wrong}");
        }
        assert_eq!(show_timestamp(-1), "1969-12-31T23:59:59.999999999Z");
        assert_eq!(show_timestamp(at("2024-06-02T11:35:41.120Z")), "2024-06-02T11:35:41.12Z");
        assert_eq!(show_milliseconds(at("2024-06-02T11:35:41Z")), "2024-06-02T11:35:41.000Z");
    }

    #[test]
    fn the_size_of_a_number_tells_its_unit() {
        assert_eq!(unix_timestamp("1717328141"), Some(1_717_328_141 * SECOND));
        assert_eq!(unix_timestamp("1717328141.123456789"), Some(1_717_328_141_123_456_789));
        assert_eq!(unix_timestamp("-1717328141.123"), Some(-1_717_328_141_123_000_000));
        assert_eq!(unix_timestamp("1717328141123"), Some(1_717_328_141_123_000_000));
        assert_eq!(unix_timestamp("1.717328141e9"), Some(1_717_328_141 * SECOND));
        assert_eq!((unix_timestamp("1.5e0"), unix_timestamp("x"), unix_timestamp("")), (None, None, None));
    }

    #[test]
    fn times_of_queries_have_a_width() {
        let end = |text: &str| show_timestamp(query_time_end(text, query_time(text, 0, 0).unwrap()));
        assert_eq!(end("2024"), "2024-12-31T23:59:59.999999999Z");
        assert_eq!(end("2024-02Z"), "2024-02-29T23:59:59.999999999Z");
        assert_eq!(end("2024-02+02:00"), "2024-02-29T21:59:59.999999999Z");
        assert_eq!(end("2023-04-25Z"), "2023-04-25T23:59:59.999999999Z");
        assert_eq!(end("2023-04-25T22:45-02:00"), "2023-04-26T00:45:59.999999999Z");
        assert_eq!(end("2023-04-25T22:45:59.123Z"), "2023-04-25T22:45:59.123999999Z");
        assert_eq!(query_time("2023-04-25", 0, 2 * HOUR), Some(at("2023-04-24T22:00:00Z")));
        assert_eq!(query_time("2023", 0, 2 * HOUR), Some(at("2022-12-31T22:00:00Z")));
        assert_eq!(query_time("now-5m", HOUR, 0), Some(55 * MINUTE));
        assert_eq!(query_time("-5m", HOUR, 0), Some(55 * MINUTE));
        assert_eq!(query_time("1717328141", 0, 0), Some(1_717_328_141 * SECOND));
        for wrong in ["2023-ab", "fooo-02", "2023-01-02T04:05:06+12", "2023-02-30", "2023-13", "foo"] {
            assert_eq!(query_time(wrong, 0, 0), None, "{wrong}");
        }
    }

    #[test]
    fn weeks_begin_on_sunday() {
        assert_eq!(weekday(at("2024-06-02T11:35:41Z")), 0);
        assert_eq!(weekday(0), 4);
    }
}
