//! Timestamps as they are sent, to nanoseconds since 1970.
//!
//! Invariants
//! * Pure: no clock, no time zone data; a text without an offset is UTC.
//! * A number is seconds below 2^31, then milliseconds and microseconds to the end of the year 9999, then nanoseconds: so a time
//!   from 1979 on is never taken for one in another unit, but for seconds after January 2038.
//! * Decimal digits are exact: no floating point. Digits below a nanosecond are cut.
//! * Years before 1678 and after 2261 do not fit. A text that has one is refused; a number of a later one is the last time that fits,
//!   which is ahead of every arrival.

use logyard_storage::batch::canonical_int;

const SECOND: i128 = 1_000_000_000;

/// Where seconds end; in milliseconds that is a day in January 1970.
const SECONDS_END: u128 = 1 << 31;
/// Where the year 9999 ends, in milliseconds and in microseconds.
const MILLIS_END: u128 = 253_402_300_800_000;
const MICROS_END: u128 = 253_402_300_800_000_000;

/// Largest power of ten that is worth trying: past it no number is a time.
const EXPONENT_MAX: i32 = 30;

/// A timestamp as text: RFC 3339, the same with a space and without an offset, or a number in quotes.
pub(crate) fn from_text(text: &str) -> Option<i64> {
    match text.as_bytes() {
        [_, _, _, _, b'-', ..] => date_time(text.as_bytes()),
        _ => from_number(text),
    }
}

/// A timestamp as a JSON number, in the unit that its size says.
pub(crate) fn from_number(spelling: &str) -> Option<i64> {
    // Nearly every time is a plain integer: the way below gives the same, but slowly.
    if let Some(whole) = canonical_int(spelling.as_bytes()) {
        let unit = unit(whole.unsigned_abs().into());
        return whole.checked_mul(unit).or_else(|| (whole > 0).then_some(i64::MAX));
    }
    let (mantissa, scale) = decimal(spelling)?;
    let unit = unit(shift(mantissa, scale)?.unsigned_abs());
    let nanos = shift(mantissa.checked_mul(unit.into())?, scale)?;
    i64::try_from(nanos).ok().or_else(|| (nanos > 0 && unit > 1).then_some(i64::MAX))
}

/// The nanoseconds of the unit that a number of this size is in.
fn unit(whole: u128) -> i64 {
    match whole {
        0..SECONDS_END => 1_000_000_000,
        SECONDS_END..MILLIS_END => 1_000_000,
        MILLIS_END..MICROS_END => 1_000,
        _ => 1,
    }
}

/// `value * 10^scale`, cut towards zero.
fn shift(value: i128, scale: i32) -> Option<i128> {
    let power = 10i128.checked_pow(scale.unsigned_abs());
    if scale >= 0 { value.checked_mul(power?) } else { Some(power.map_or(0, |power| value / power)) }
}

/// The digits of a number without its point, and the power of ten that they are to be multiplied by.
fn decimal(spelling: &str) -> Option<(i128, i32)> {
    let mut input = Input(spelling.as_bytes());
    let negative = input.eat(b"-").is_some();
    let mut digits = 0;
    let mut mantissa = input.some_digits(&mut digits)?;
    let whole_digits = digits;
    let mut scale = 0;
    if input.eat(b".").is_some() {
        mantissa = input.more_digits(mantissa, &mut digits)?;
        scale = whole_digits - digits;
        if scale == 0 {
            return None;
        }
    }
    if input.eat(b"eE").is_some() {
        let down = input.eat(b"+-") == Some(b'-');
        let exponent = i32::try_from(input.some_digits(&mut 0)?).ok().filter(|n| *n <= EXPONENT_MAX)?;
        scale += if down { -exponent } else { exponent };
    }
    input.0.is_empty().then_some((if negative { -mantissa } else { mantissa }, scale))
}

/// `YYYY-MM-DD`, `T` or a space, `hh:mm:ss`, a fraction or none, and an offset or none.
fn date_time(text: &[u8]) -> Option<i64> {
    let mut input = Input(text);
    let year = input.number(4, 0, 9999)?;
    input.eat(b"-")?;
    let month = input.number(2, 1, 12)?;
    input.eat(b"-")?;
    let day = input.number(2, 1, days_of_month(year, month))?;
    input.eat(b"Tt ")?;
    let hour = input.number(2, 0, 23)?;
    input.eat(b":")?;
    let minute = input.number(2, 0, 59)?;
    input.eat(b":")?;
    // A leap second counts as the first of the next minute.
    let second = input.number(2, 0, 60)?;
    let nanos = if input.eat(b".,").is_some() { input.fraction()? } else { 0 };
    let offset = input.offset()?;
    if !input.0.is_empty() {
        return None;
    }
    let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3_600 + (minute - offset) * 60 + second;
    i64::try_from(i128::from(seconds) * SECOND + i128::from(nanos)).ok()
}

fn days_of_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01, counted in years that begin in March so that a leap day ends one.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// What is left to read.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    /// Takes the next byte if it is one of `any`.
    fn eat(&mut self, any: &[u8]) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        any.contains(first).then(|| {
            self.0 = rest;
            *first
        })
    }

    fn digit(&mut self) -> Option<u8> {
        self.eat(b"0123456789").map(|byte| byte - b'0')
    }

    /// Exactly `digits` digits, within bounds.
    fn number(&mut self, digits: u32, least: i64, most: i64) -> Option<i64> {
        let mut number = 0;
        for _ in 0..digits {
            number = number * 10 + i64::from(self.digit()?);
        }
        (least..=most).contains(&number).then_some(number)
    }

    /// At least one digit; `count` grows by how many there were.
    fn some_digits(&mut self, count: &mut i32) -> Option<i128> {
        let before = *count;
        let number = self.more_digits(0, count)?;
        (*count > before).then_some(number)
    }

    fn more_digits(&mut self, mut number: i128, count: &mut i32) -> Option<i128> {
        while let Some(digit) = self.digit() {
            number = number.checked_mul(10)?.checked_add(i128::from(digit))?;
            *count += 1;
        }
        Some(number)
    }

    /// Digits after the point, as nanoseconds.
    fn fraction(&mut self) -> Option<i64> {
        let mut nanos = 0;
        let mut unit = 100_000_000;
        let mut count = 0;
        while let Some(digit) = self.digit() {
            nanos += i64::from(digit) * unit;
            unit /= 10;
            count += 1;
        }
        (count > 0).then_some(nanos)
    }

    /// Minutes east of UTC; nothing written is UTC.
    fn offset(&mut self) -> Option<i64> {
        if self.0.is_empty() || self.eat(b"Zz").is_some() {
            return Some(0);
        }
        let west = self.eat(b"+-")? == b'-';
        let hours = self.number(2, 0, 23)?;
        let _separator = self.eat(b":");
        let minutes = hours * 60 + self.number(2, 0, 59)?;
        Some(if west { -minutes } else { minutes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: i64 = 1_763_690_000_000_000_000;

    #[test]
    fn the_size_of_a_number_is_its_unit() {
        assert_eq!(from_number("1763690000"), Some(AT));
        assert_eq!(from_number("1763690000123"), Some(AT + 123_000_000));
        assert_eq!(from_number("1763690000123456"), Some(AT + 123_456_000));
        assert_eq!(from_number("1763690000123456789"), Some(AT + 123_456_789));
        assert_eq!(from_number("0"), Some(0));
        assert_eq!(from_number("-1"), Some(-1_000_000_000));
        assert_eq!(from_number("2147483647"), Some(2_147_483_647_000_000_000));
        assert_eq!(from_number("2147483648"), Some(2_147_483_648_000_000));
        assert_eq!(from_number("2147483648000"), Some(2_147_483_648_000_000_000));
        assert_eq!(from_number("4102444800000"), from_text("2100-01-01T00:00:00Z"));
        assert_eq!(from_number("4102444800000000"), from_text("2100-01-01T00:00:00Z"));
        assert_eq!(from_number("4102444800000000000"), from_text("2100-01-01T00:00:00Z"));
        assert_eq!(from_number("-2147483648000000"), Some(-2_147_483_648_000_000_000));
        assert_eq!(from_number("9223372036854775807"), Some(i64::MAX));
        assert_eq!(from_number("-9223372036854775808"), Some(i64::MIN));
    }

    #[test]
    fn milliseconds_and_microseconds_go_to_the_year_9999() {
        for late in
            ["9223372036855", "253402300799999", "253402300799999.5", "253402300799999999", "2.53402300799999999e17"]
        {
            assert_eq!(from_number(late), Some(i64::MAX), "{late}");
        }
        assert_eq!(from_number("253402300800000"), Some(253_402_300_800_000_000));
        assert_eq!(from_number("253402300800000.0"), Some(253_402_300_800_000_000));
        assert_eq!(from_number("253402300800000000"), Some(253_402_300_800_000_000));
        assert_eq!(from_number("-253402300799999"), None);
        assert_eq!(from_number("-253402300799999.5"), None);
    }

    #[test]
    fn fractions_and_exponents_are_exact() {
        assert_eq!(from_number("1763690000.123456789"), Some(AT + 123_456_789));
        assert_eq!(from_number("1763690000.1234567899"), Some(AT + 123_456_789));
        assert_eq!(from_number("1763690000123.5"), Some(AT + 123_500_000));
        assert_eq!(from_number("1763690000123456789.9"), Some(AT + 123_456_789));
        assert_eq!(from_number("1.76369e9"), Some(AT));
        assert_eq!(from_number("1.763690000123E+12"), Some(AT + 123_000_000));
        assert_eq!(from_number("17636900000e-1"), Some(AT));
        assert_eq!(from_number("-0.5"), Some(-500_000_000));
        assert_eq!(from_number("0.000000000000000000000000000000001"), Some(0));
    }

    #[test]
    fn what_is_no_number_or_too_large_is_refused() {
        for wrong in ["", "-", "abc", "1.", ".5", "1e", "1e+", "1e31", "9223372036854775808", "1 ", " 1", "+1", "0x10"]
        {
            assert_eq!(from_number(wrong), None, "{wrong}");
        }
        assert_eq!(from_number(&"9".repeat(60)), None);
        assert_eq!(from_number(&format!("1e{}", "9".repeat(60))), None);
        assert_eq!(from_number(&format!("0.{}", "1".repeat(60))), None);
    }

    #[test]
    fn texts_of_the_same_instant_agree() {
        for text in [
            "2025-11-21T01:53:20Z",
            "2025-11-21t01:53:20z",
            "2025-11-21 01:53:20",
            "2025-11-21T01:53:20",
            "2025-11-21 01:53:20.000Z",
            "2025-11-21T02:53:20+01:00",
            "2025-11-20T20:23:20-05:30",
            "2025-11-20T20:23:20-0530",
            "2025-11-21T01:53:20-00:00",
            "1763690000",
            "1763690000000",
        ] {
            assert_eq!(from_text(text), Some(AT), "{text}");
        }
        assert_eq!(from_text("2025-11-21T01:53:20.5Z"), Some(AT + 500_000_000));
        assert_eq!(from_text("2025-11-21 01:53:20,123456789"), Some(AT + 123_456_789));
        assert_eq!(from_text("2025-11-21 01:53:20.1234567891234"), Some(AT + 123_456_789));
    }

    #[test]
    fn the_calendar_is_right_at_its_corners() {
        assert_eq!(from_text("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(from_text("1969-12-31T23:59:59.5Z"), Some(-500_000_000));
        assert_eq!(from_text("2000-02-29T00:00:00Z"), Some(951_782_400 * 1_000_000_000));
        assert_eq!(from_text("2016-12-31T23:59:60Z"), from_text("2017-01-01T00:00:00Z"));
        assert_eq!(from_text("2024-12-31T23:59:59Z").map(|t| t + 1_000_000_000), from_text("2025-01-01T00:00:00Z"));
        assert_eq!(from_text("2262-04-11T23:47:16.854775807Z"), Some(i64::MAX));
        assert_eq!(from_text("2262-04-11T23:47:16.854775808Z"), None);
        assert_eq!(from_text("1677-09-21T00:12:43.145224192Z"), Some(i64::MIN));
        assert_eq!(from_text("1677-09-21T00:12:43.145224191Z"), None);
    }

    #[test]
    fn every_day_of_eight_centuries_follows_the_one_before() {
        let mut expected = days_since_1970(1600, 1, 1);
        for year in 1600..2400 {
            for month in 1..=12 {
                for day in 1..=days_of_month(year, month) {
                    assert_eq!(days_since_1970(year, month, day), expected, "{year}-{month}-{day}");
                    expected += 1;
                }
            }
        }
        assert_eq!(days_since_1970(1970, 1, 1), 0);
    }

    #[test]
    fn texts_that_are_no_time_are_refused() {
        for wrong in [
            "2025-11-21",
            "2025-11-21T01:53Z",
            "2025-11-21T01:53:20.Z",
            "2025-11-21T01:53:20+1",
            "2025-11-21T01:53:20 UTC",
            "2025-11-21T24:00:00Z",
            "2025-11-21T01:60:00Z",
            "2025-11-21T01:53:61Z",
            "2025-02-29T00:00:00Z",
            "1900-02-29T00:00:00Z",
            "2025-13-01T00:00:00Z",
            "2025-00-01T00:00:00Z",
            "2025-01-00T00:00:00Z",
            "2025-11-21T01:53:20Zx",
            "+025-11-21T01:53:20Z",
            "\u{0662}\u{0660}-11-21T01:53:20Z",
            "yesterday",
            "",
        ] {
            assert_eq!(from_text(wrong), None, "{wrong}");
        }
    }
}
