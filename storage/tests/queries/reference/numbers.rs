//! Numbers in fields and queries: plain ones, sizes, durations in nanoseconds, and IPv4 addresses; and how texts are sorted.
use super::texts::natural;
use regex::Regex;
use std::cmp::Ordering;
use std::sync::LazyLock;

static PLAIN: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^[+-]?([0-9][0-9_]*(\.[0-9_]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$").unwrap());
static BINARY: LazyLock<Regex> = LazyLock::new(|| Regex::new("^-?0[bB][01]+$").unwrap());
/// A part of a size or duration; its number has no zero in front that it does not need.
static PART: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^((?:0|[1-9][0-9_]*)(?:\.[0-9]+)?)([A-Za-zµ]+)").unwrap());

const UNITS_OF_TIME: [(&str, f64); 9] = [
    ("ns", 1.0),
    ("µs", 1e3),
    ("ms", 1e6),
    ("s", 1e9),
    ("m", 60e9),
    ("h", 3_600e9),
    ("d", 86_400e9),
    ("w", 7.0 * 86_400e9),
    ("y", 365.0 * 86_400e9),
];
const UNITS_OF_SIZE: [(&str, f64); 17] = [
    ("B", 1.0),
    ("K", 1e3),
    ("KB", 1e3),
    ("M", 1e6),
    ("MB", 1e6),
    ("G", 1e9),
    ("GB", 1e9),
    ("T", 1e12),
    ("TB", 1e12),
    ("Ki", 1_024.0),
    ("KiB", 1_024.0),
    ("Mi", 1_048_576.0),
    ("MiB", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
    ("GiB", 1_073_741_824.0),
    ("Ti", 1_099_511_627_776.0),
    ("TiB", 1_099_511_627_776.0),
];

/// A sum of parts, each with a unit.
fn sum_of(text: &str, units: &[(&str, f64)]) -> Option<f64> {
    let (sign, mut rest) = text.strip_prefix('-').map_or((1.0, text), |rest| (-1.0, rest));
    let mut sum = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let part = PART.captures(rest)?;
        let (_, scale) = units.iter().find(|(unit, _)| *unit == &part[2])?;
        sum += (part[1].replace('_', "").parse::<f64>().ok()? * scale).trunc();
        rest = &rest[part[0].len()..];
    }
    Some(sign * sum)
}

/// The number that a text is.
pub(super) fn number(text: &str) -> Option<f64> {
    if PLAIN.is_match(text) {
        return text.replace('_', "").parse().ok().filter(|number: &f64| number.is_finite());
    }
    if BINARY.is_match(text) {
        let value = i64::from_str_radix(text.trim_start_matches('-').get(2..)?, 2).ok()? as f64;
        return Some(if text.starts_with('-') { -value } else { value });
    }
    sum_of(text, &UNITS_OF_TIME).or_else(|| sum_of(text, &UNITS_OF_SIZE))
}

/// An IPv4 address.
pub(super) fn address(text: &str) -> Option<u32> {
    let parts: Vec<&str> = text.split('.').collect();
    let is_part = |part: &&str| (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    if parts.len() != 4 || !parts.iter().all(is_part) {
        return None;
    }
    parts.iter().try_fold(0u32, |sum, part| Some(sum * 256 + u32::from(part.parse::<u8>().ok()?)))
}

/// What a text counts as where numbers are compared.
pub(super) fn amount(text: &str) -> Option<f64> {
    number(text).or_else(|| address(text).map(f64::from))
}

/// How texts are sorted: as numbers where both are.
pub(super) fn order(a: &str, b: &str) -> Ordering {
    if let (Ok(a), Ok(b)) = (a.parse::<i64>(), b.parse::<i64>()) {
        return a.cmp(&b);
    }
    match (number(a), number(b)) {
        (Some(a), Some(b)) => a.partial_cmp(&b).unwrap(),
        _ => natural(a, b),
    }
}

#[test]
fn numbers_are_those_of_the_language() {
    for (text, wanted) in [
        ("12345", 12_345.0),
        ("-12.34", -12.34),
        ("1_234_567", 1_234_567.0),
        ("1.234_567", 1.234_567),
        ("10KiB", 10_240.0),
        ("1.5K", 1_500.0),
        ("1h33m55s", 5_635e9),
        ("1.23456ms", 1_234_560.0),
        ("1.5y", 1.5 * 365.0 * 86_400e9),
    ] {
        assert_eq!(number(text), Some(wanted), "{text}");
    }
    assert_eq!([number(""), number("1x"), number("s"), number("1.2.3.4"), number("07d")], [None; 5]);
    assert_eq!((address("1.2.3.4"), address("1.2.3.256"), address("1.2.3")), (Some(0x0102_0304), None, None));
}
