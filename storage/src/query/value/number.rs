//! Numbers as they stand in queries and in fields: integers, decimals, sizes, durations, and what else looks like a number.
//!
//! Invariants
//! * A number that begins with a superfluous zero is no number: it would not be written so again.
//! * Sums of parts saturate; nothing wraps.
use super::duration::duration;
use super::ipv4::ipv4;
use super::timestamp::timestamp;

/// Longer texts are no numbers; it is the longest integer with every third digit set apart.
const NUMBER_BYTES_MAX: usize = 26;

/// An unsigned integer; `_` may stand between digits.
pub(crate) fn uint(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    let first = *bytes.first()?;
    if !first.is_ascii_digit() || bytes.len() > NUMBER_BYTES_MAX || (bytes.len() > 1 && first == b'0') {
        return None;
    }
    let mut number = 0u64;
    for byte in bytes {
        match byte {
            b'_' => {}
            b'0'..=b'9' => number = number.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?,
            _ => return None,
        }
    }
    Some(number)
}

/// A signed integer.
pub(crate) fn int(text: &str) -> Option<i64> {
    match text.strip_prefix('-') {
        Some(digits) => 0i64.checked_sub_unsigned(uint(digits)?),
        None => i64::try_from(uint(text)?).ok(),
    }
}

/// A decimal number without an exponent.
pub(crate) fn decimal(text: &str) -> Option<f64> {
    if text.len() > NUMBER_BYTES_MAX + 1 {
        return None;
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    let size = match digits.split_once('.') {
        None => uint(digits)? as f64,
        Some((whole, fraction)) => {
            uint(whole)?;
            let fraction_ok = fraction.starts_with(|c: char| c.is_ascii_digit())
                && fraction.bytes().all(|b| b.is_ascii_digit() || b == b'_');
            if !fraction_ok {
                return None;
            }
            if digits.contains('_') { digits.replace('_', "").parse().ok()? } else { digits.parse().ok()? }
        }
    };
    Some(if text.starts_with('-') { -size } else { size })
}

/// The decimal number that a text begins with, and what follows it.
pub(crate) fn decimal_prefix(text: &str) -> Option<(f64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_').unwrap_or(text.len());
    let (number, rest) = text.split_at_checked(end)?;
    Some((decimal(number)?, rest))
}

const SIZES: [(&str, f64); 17] = [
    ("KiB", 1024.0),
    ("MiB", 1_048_576.0),
    ("GiB", 1_073_741_824.0),
    ("TiB", 1_099_511_627_776.0),
    ("Ki", 1024.0),
    ("Mi", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
    ("Ti", 1_099_511_627_776.0),
    ("KB", 1e3),
    ("MB", 1e6),
    ("GB", 1e9),
    ("TB", 1e12),
    ("B", 1.0),
    ("K", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
];

/// A number of bytes: parts with `K`, `KB`, `Ki`, `KiB` and so on; a whole number may stand last without one.
pub fn size(text: &str) -> Option<i64> {
    let mut rest = text.strip_prefix('-').unwrap_or(text);
    if rest.is_empty() {
        return None;
    }
    let mut sum = 0i64;
    while !rest.is_empty() {
        let (number, tail) = decimal_prefix(rest)?;
        if tail.is_empty() {
            if number.fract() != 0.0 {
                return None;
            }
            sum = sum.saturating_add(number as i64);
            break;
        }
        let (unit, scale) = SIZES.iter().find(|(unit, _)| tail.starts_with(unit))?;
        sum = sum.saturating_add((number * scale) as i64);
        rest = tail.get(unit.len()..)?;
    }
    Some(if text.starts_with('-') { -sum } else { sum })
}

/// Whether a text begins as numbers do.
pub(crate) fn looks_like_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if unsigned.eq_ignore_ascii_case("inf") {
        return true;
    }
    unsigned.strip_prefix('.').unwrap_or(unsigned).starts_with(|c: char| c.is_ascii_digit())
}

/// An integer with an optional base: `0x1f`, `0b101`, `0o17`, `017`, `1_000`.
pub(crate) fn based_uint(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let (digits, base) = match (lower.get(..2), lower.get(2..)) {
        (Some("0x"), Some(rest)) => (rest, 16),
        (Some("0b"), Some(rest)) => (rest, 2),
        (Some("0o"), Some(rest)) => (rest, 8),
        _ if lower.len() > 1 && lower.starts_with('0') => (lower.get(1..)?, 8),
        _ => (lower.as_str(), 10),
    };
    let well_set = !digits.ends_with('_') && !digits.contains("__") && (base != 10 || !digits.starts_with('_'));
    if !well_set || digits.starts_with('+') {
        return None;
    }
    u64::from_str_radix(&digits.replace('_', ""), base).ok()
}

/// A count as options take it: an integer of any base, a size, a duration, or `inf`.
pub(crate) fn count(text: &str) -> Option<u64> {
    if text.eq_ignore_ascii_case("inf") || text.eq_ignore_ascii_case("+inf") {
        return Some(u64::MAX);
    }
    based_uint(text).or_else(|| u64::try_from(size(text).or_else(|| duration(text))?).ok())
}

/// A number in any of its forms, durations (in nanoseconds) and sizes among them.
pub(crate) fn number(text: &str) -> Option<f64> {
    let first = *text.as_bytes().first()?;
    if !first.is_ascii_digit() && !matches!(first, b'-' | b'+' | b'.' | b'i' | b'I') {
        return None;
    }
    decimal(text)
        .or_else(|| duration(text).map(|d| d as f64))
        .or_else(|| size(text).map(|s| s as f64))
        .or_else(|| scientific(text))
}

/// What is left: exponents, signs, infinities and other bases.
fn scientific(text: &str) -> Option<f64> {
    let dots = text.bytes().filter(|b| *b == b'.').count();
    let dashes = text.bytes().filter(|b| *b == b'-').count();
    if !looks_like_number(text) || dots > 1 || dashes > 2 || text.contains(':') {
        return None;
    }
    if let Ok(value) = text.parse::<f64>() {
        let said_so = text.to_ascii_lowercase().contains("inf");
        return (value.is_finite() || said_so).then_some(value);
    }
    match text.strip_prefix('-') {
        Some(digits) => Some(-(i64::try_from(based_uint(digits)?).ok()? as f64)),
        None => Some(i64::try_from(based_uint(text.strip_prefix('+').unwrap_or(text))?).ok()? as f64),
    }
}

/// What arithmetic makes of a text: a number, a timestamp in nanoseconds, an IPv4 address; NaN where it is none of them.
pub(crate) fn arithmetic(text: &str) -> f64 {
    number(text).or_else(|| timestamp(text).map(|t| t as f64)).or_else(|| ipv4(text).map(f64::from)).unwrap_or(f64::NAN)
}

/// A number as results show it: shortest digits that give it back, never an exponent.
pub(crate) fn show(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "+Inf".into() } else { "-Inf".into() };
    }
    value.to_string()
}

/// A number with three digits after the point and an exponent of at least two: `1.000e-09`.
pub(crate) fn show_exponent(value: f64) -> String {
    let short = format!("{value:.3e}");
    match short.split_once('e') {
        Some((digits, exponent)) => match exponent.strip_prefix('-') {
            Some(e) => format!("{digits}e-{e:0>2}"),
            None => format!("{digits}e+{exponent:0>2}"),
        },
        None => short,
    }
}

/// How many digits after the point a step such as `0.01` has, at most 17.
pub(crate) fn fraction_digits(step: f64) -> i32 {
    let text = step.abs().to_string();
    let digits = text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    i32::try_from(digits.min(17)).unwrap_or(17)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_have_no_leading_zero_and_do_not_overflow() {
        assert_eq!(uint("1_234"), Some(1234));
        assert_eq!(uint("18446744073709551615"), Some(u64::MAX));
        assert_eq!(uint("18446744073709551616"), None);
        assert_eq!((uint("01"), uint(""), uint("_"), uint("0")), (None, None, None, Some(0)));
        assert_eq!(int("-9223372036854775808"), Some(i64::MIN));
        assert_eq!(int("-9223372036854775809"), None);
        assert_eq!(int("9223372036854775808"), None);
    }

    #[test]
    fn decimals_round_once() {
        assert_eq!(decimal("0.3"), Some(0.3));
        assert_eq!(decimal("-1_234.50_1"), Some(-1234.501));
        for wrong in ["1.", ".5", "1.2.3", "1e5", "00.5", "1._5", "--1", "-"] {
            assert_eq!(decimal(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn sizes_and_odd_forms_are_numbers() {
        assert_eq!(size("1.5KiB"), Some(1536));
        assert_eq!(size("1MB500"), Some(1_000_500));
        assert_eq!(size("1.5"), None);
        assert_eq!(number("1KB"), Some(1000.0));
        assert_eq!(number("1m"), Some(60e9));
        assert_eq!(number("-0x1f"), Some(-31.0));
        assert_eq!(number("0o7532"), Some(3930.0));
        assert_eq!(number("-1.234e-5"), Some(-1.234e-5));
        assert_eq!(number("+inF"), Some(f64::INFINITY));
        assert_eq!(number("1e999"), None);
        for text in ["1.2.3.4", "2024-01-01T00:00:00Z", "abc", "", "-", "nan"] {
            assert_eq!(number(text), None, "{text}");
        }
    }

    #[test]
    fn counts_take_bases_and_units() {
        assert_eq!(count("0b100101"), Some(37));
        assert_eq!(count("1_000_000"), Some(1_000_000));
        assert_eq!(count("1_123_432"), Some(1_123_432));
        assert_eq!(count("1K"), Some(1000));
        assert_eq!(count("inf"), Some(u64::MAX));
        assert_eq!((count("foo"), count("-1"), count("")), (None, None, None));
    }

    #[test]
    fn numbers_are_shown_without_exponent() {
        assert_eq!(show(1e21), "1000000000000000000000");
        assert_eq!(show(1.5e-7), "0.00000015");
        assert_eq!(show(f64::NAN), "NaN");
        assert_eq!(show(f64::NEG_INFINITY), "-Inf");
        assert_eq!(show_exponent(1e-9), "1.000e-09");
        assert_eq!(show_exponent(1.136e18), "1.136e+18");
    }
}
