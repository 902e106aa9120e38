//! Strings and numbers for which an integer and the lane's spelling stand: decimals and times.
//!
//! | spelling | such as | the integer |
//! |---|---|---|
//! | decimal, padded | `12.50`, `0.03` | all digits; each value has as many behind the point |
//! | decimal, trimmed | `12.5`, `0.03`, `7.0` | the same, as if each had as many behind the point as the longest; none ends with a zero, but for a single one |
//! | time | `2026-06-01T12:30:00.250+02:00` | its place on the calendar, in units of its last digit; the zone is a part of the spelling |
//!
//! Head: `| 1 | digits behind the point u8 | trimmed u8 |` or `| 2 | separator u8 | digits of the fraction u8 | zone bytes |`.
//!
//! Invariants
//! * A text has a spelling only if its integer gives the same bytes back.
use crate::codec::{Reader, put_bytes};
use crate::error::{Error, Result};
use crate::retention::{civil, days_from_civil};

const DECIMAL: u8 = 1;
const TIME: u8 = 2;

/// Digits of a decimal: as many as an `i64` always holds.
const DIGITS_MAX: usize = 18;
/// Digits of a second's fraction.
const FRACTION_MAX: usize = 9;
/// The longest text that has a spelling.
pub(super) const SPELLED_BYTES_MAX: usize = 40;
const DAY_SECONDS: i64 = 86_400;

/// How the integers of a lane are spelled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// A number with so many digits behind the point, fewer where zeros at the end are left out.
    Decimal { digits: usize, trimmed: bool },
    /// A date, this, and a time of day with so many digits behind the seconds.
    Time { separator: u8, digits: usize, zone: Box<[u8]> },
}

impl Spelling {
    pub(super) fn put(&self, head: &mut Vec<u8>) {
        match self {
            Self::Decimal { digits, trimmed } => head.extend_from_slice(&[DECIMAL, *digits as u8, u8::from(*trimmed)]),
            Self::Time { separator, digits, zone } => {
                head.extend_from_slice(&[TIME, *separator, *digits as u8]);
                put_bytes(head, zone);
            }
        }
    }

    /// Reads a spelling of that form.
    pub(super) fn read(form: u8, r: &mut Reader<'_>) -> Result<Self> {
        let bad = || Error::corrupt("a lane's spelling is damaged");
        Ok(match form {
            DECIMAL => {
                let (digits, trimmed) = (usize::from(r.u8()?), r.u8()? == 1);
                if digits == 0 || digits > DIGITS_MAX {
                    return Err(bad());
                }
                Self::Decimal { digits, trimmed }
            }
            TIME => {
                let (separator, digits, zone) = (r.u8()?, usize::from(r.u8()?), r.bytes()?);
                if !is_separator(separator) || digits > FRACTION_MAX || !is_zone(zone) {
                    return Err(bad());
                }
                Self::Time { separator, digits, zone: zone.into() }
            }
            _ => return Err(bad()),
        })
    }

    /// The integer of the text that is spelled so, where this one is.
    pub(crate) fn parse(&self, text: &str) -> Option<i64> {
        match self {
            Self::Decimal { digits, trimmed } => Decimal::parse(text.as_bytes())?.scaled(*digits, *trimmed),
            Self::Time { separator, digits, zone } => {
                let time = Time::parse(text.as_bytes())?;
                time.has(*separator, *digits, zone).then_some(time.value)
            }
        }
    }

    /// Whether a text that is spelled so may have this character.
    pub(crate) fn may_have(&self, c: char) -> bool {
        let Ok(byte) = u8::try_from(c) else { return false };
        let byte = byte.to_ascii_uppercase();
        byte.is_ascii_digit()
            || match self {
                Self::Decimal { .. } => matches!(byte, b'.' | b'-'),
                Self::Time { separator, zone, .. } => {
                    let own = separator.to_ascii_uppercase();
                    matches!(byte, b'-' | b':' | b'.') || byte == own || zone.to_ascii_uppercase().contains(&byte)
                }
            }
    }

    /// Appends the text of an integer.
    pub(crate) fn push(&self, value: i64, out: &mut Vec<u8>) {
        match self {
            Self::Decimal { digits, trimmed } => {
                if value < 0 {
                    out.push(b'-');
                }
                let unit = 10u64.pow(*digits as u32);
                push_number(value.unsigned_abs() / unit, 1, out);
                out.push(b'.');
                let first = out.len();
                push_number(value.unsigned_abs() % unit, *digits, out);
                while *trimmed && out.len() > first + 1 && out.last() == Some(&b'0') {
                    out.pop();
                }
            }
            Self::Time { separator, digits, zone } => {
                let unit = 10i64.pow(*digits as u32);
                let (seconds, fraction) = (value.div_euclid(unit), value.rem_euclid(unit));
                let (year, month, day) = civil(seconds.div_euclid(DAY_SECONDS));
                let of_day = seconds.rem_euclid(DAY_SECONDS);
                let parts = [
                    (year, 4, b'-'),
                    (month, 2, b'-'),
                    (day, 2, *separator),
                    (of_day / 3_600, 2, b':'),
                    (of_day / 60 % 60, 2, b':'),
                ];
                for (number, width, after) in parts {
                    push_number(number.unsigned_abs(), width, out);
                    out.push(after);
                }
                push_number((of_day % 60).unsigned_abs(), 2, out);
                if *digits > 0 {
                    out.push(b'.');
                    push_number(fraction.unsigned_abs(), *digits, out);
                }
                out.extend_from_slice(zone);
            }
        }
    }
}

/// Appends a number of at least so many digits.
fn push_number(value: u64, width: usize, out: &mut Vec<u8>) {
    let mut digits = [b'0'; 20];
    let (mut at, mut rest) = (digits.len(), value);
    while rest > 0 {
        at -= 1;
        if let Some(digit) = digits.get_mut(at) {
            *digit = b'0' + (rest % 10) as u8;
        }
        rest /= 10;
    }
    let at = at.min(digits.len() - width);
    out.extend_from_slice(digits.get(at..).unwrap_or_default());
}

/// The number that some digits are.
fn number(digits: &[u8]) -> Option<i64> {
    if digits.len() > DIGITS_MAX || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0, |n, digit| n * 10 + i64::from(digit - b'0')))
}

/// A decimal as it is spelled: its digits, and how many are behind the point.
pub(super) struct Decimal {
    value: i64,
    digits: usize,
}

impl Decimal {
    fn parse(text: &[u8]) -> Option<Self> {
        let (is_negative, rest) = match text.split_first()? {
            (b'-', rest) => (true, rest),
            _ => (false, text),
        };
        let point = rest.iter().position(|byte| *byte == b'.')?;
        let (whole, behind) = (rest.get(..point)?, rest.get(point + 1..)?);
        let is_plain = whole.len() == 1 || whole.first().is_some_and(|first| *first != b'0');
        if !is_plain || behind.is_empty() || whole.len() + behind.len() > DIGITS_MAX {
            return None;
        }
        let value = number(whole)? * 10i64.pow(behind.len() as u32) + number(behind)?;
        // Minus zero is no integer.
        let value = if is_negative { (value > 0).then_some(-value)? } else { value };
        Some(Self { value, digits: behind.len() })
    }

    /// The integer that stands for it among decimals of so many digits.
    fn scaled(&self, digits: usize, trimmed: bool) -> Option<i64> {
        if !trimmed {
            return (self.digits == digits).then_some(self.value);
        }
        let is_trimmed = self.digits == 1 || self.value % 10 != 0;
        let scale = 10i64.checked_pow(digits.checked_sub(self.digits)? as u32)?;
        self.value.checked_mul(scale).filter(|_| is_trimmed)
    }
}

fn is_separator(byte: u8) -> bool {
    matches!(byte, b'T' | b't' | b' ')
}

fn is_zone(zone: &[u8]) -> bool {
    match *zone {
        [] | [b'Z' | b'z'] => true,
        [b'+' | b'-', a, b, b':', c, d] => [a, b, c, d].iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

/// A time as it is spelled.
struct Time<'a> {
    value: i64,
    separator: u8,
    digits: usize,
    zone: &'a [u8],
}

impl<'a> Time<'a> {
    fn parse(text: &'a [u8]) -> Option<Self> {
        let (date, mut rest) = text.split_at_checked(19)?;
        let [y @ .., b'-', m0, m1, b'-', d0, d1, separator, h0, h1, b':', n0, n1, b':', s0, s1] = date else {
            return None;
        };
        let two = |a: &u8, b: &u8| number(&[*a, *b]);
        let (year, month, day) = (number(y)?, two(m0, m1)?, two(d0, d1)?);
        let (hour, minute, second) = (two(h0, h1)?, two(n0, n1)?, two(s0, s1)?);
        let mut fraction: &[u8] = &[];
        if let Some((b'.', behind)) = rest.split_first() {
            let digits = behind.iter().take_while(|byte| byte.is_ascii_digit()).count();
            (fraction, rest) = behind.split_at_checked(digits)?;
            if digits == 0 || digits > FRACTION_MAX {
                return None;
            }
        }
        if hour > 23 || minute > 59 || second > 59 || !is_separator(*separator) || !is_zone(rest) {
            return None;
        }
        let days = days_from_civil(year, month, day);
        if civil(days) != (year, month, day) {
            return None;
        }
        let seconds = days * DAY_SECONDS + hour * 3_600 + minute * 60 + second;
        let value = seconds.checked_mul(10i64.pow(fraction.len() as u32))?.checked_add(number(fraction)?)?;
        Some(Self { value, separator: *separator, digits: fraction.len(), zone: rest })
    }

    fn has(&self, separator: u8, digits: usize, zone: &[u8]) -> bool {
        (self.separator, self.digits, self.zone) == (separator, digits, zone)
    }
}

/// Texts that have had one spelling so far.
pub(super) enum Fit {
    Decimals(Vec<Decimal>),
    Times { separator: u8, digits: usize, zone: Box<[u8]>, values: Vec<i64> },
}

impl Fit {
    /// What the first text of a lane has.
    pub(super) fn of(text: &[u8]) -> Option<Self> {
        let mut fit = match Time::parse(text) {
            Some(Time { separator, digits, zone, .. }) => {
                Self::Times { separator, digits, zone: zone.into(), values: Vec::new() }
            }
            None => Self::Decimals(Vec::new()),
        };
        fit.add(text).then_some(fit)
    }

    /// Adds a text; false where it does not have the spelling of those before.
    pub(super) fn add(&mut self, text: &[u8]) -> bool {
        match self {
            Self::Decimals(values) => Decimal::parse(text).map(|decimal| values.push(decimal)).is_some(),
            Self::Times { separator, digits, zone, values } => Time::parse(text)
                .filter(|time| time.has(*separator, *digits, zone))
                .map(|time| values.push(time.value))
                .is_some(),
        }
    }

    /// The spelling that all have, and the integer of each.
    pub(super) fn finish(self) -> Option<(Spelling, Vec<i64>)> {
        match self {
            Self::Decimals(values) => {
                let digits = values.iter().map(|value| value.digits).max()?;
                let trimmed = values.iter().any(|value| value.digits != digits);
                let scaled = values.iter().map(|value| value.scaled(digits, trimmed)).collect::<Option<_>>()?;
                Some((Spelling::Decimal { digits, trimmed }, scaled))
            }
            Self::Times { separator, digits, zone, values } => {
                Some((Spelling::Time { separator, digits, zone }, values))
            }
        }
    }
}
