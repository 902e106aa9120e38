//! What can be seen in a line of plain text without knowing its program: the time that it begins with, and its level.
//!
//! Invariants
//! * Nothing is taken out of a line; what is found is said beside it.
//! * A time without an offset is UTC. What could be something else is not found.
use super::time;

/// How far into a line is looked.
const LOOKED_AT: usize = 160;
/// The words of it that can be a level.
const WORDS: usize = 10;
const LEVELS: [&str; 16] = [
    "TRACE", "DEBUG", "INFO", "NOTICE", "WARN", "WARNING", "ERROR", "ERR", "CRITICAL", "CRIT", "FATAL", "PANIC",
    "ALERT", "EMERG", "SEVERE", "VERBOSE",
];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The time of a line, in nanoseconds: at its beginning, in brackets or not, or in brackets as web servers write it.
pub(super) fn time_of(line: &str) -> Option<i64> {
    at_start(line.trim_start_matches(['[', '(', ' '])).or_else(|| of_web_server(line))
}

/// The level of a line, in capitals: a word in capitals, or in brackets in any, among the first of the line.
pub(super) fn level_of(line: &str) -> Option<&'static str> {
    let head = head(line.lines().next().unwrap_or_default());
    head.split_ascii_whitespace().take(WORDS).find_map(|word| {
        let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let is_bracketed = word.starts_with(['[', '(', '<']) && word.ends_with([']', ')', '>', ':']);
        let wanted = |level: &&&str| bare == **level || (is_bracketed && bare.eq_ignore_ascii_case(level));
        LEVELS.iter().find(wanted).copied()
    })
}

/// The beginning of a line, as far as is looked.
fn head(line: &str) -> &str {
    let end = (0..=line.len().min(LOOKED_AT)).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0);
    line.get(..end).unwrap_or_default()
}

/// `2026-05-01T10:00:00.123Z`, with a space or slashes too, at the beginning of a text.
fn at_start(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let digits_from = |from: usize| (from..from + 12).take_while(|at| is_digit(*at)).count();
    let separators = (*bytes.get(4)?, *bytes.get(7)?);
    if !matches!(separators, (b'-', b'-') | (b'/', b'/')) || bytes.get(13)? != &b':' || bytes.get(16)? != &b':' {
        return None;
    }
    let mut end = 19;
    if matches!(bytes.get(end), Some(b'.' | b',')) && is_digit(end + 1) {
        end += 1 + digits_from(end + 1);
    }
    let (clock, behind) = (text.get(..end)?.replace('/', "-"), text.get(end..)?);
    let (offset, bytes) = offset(behind).unwrap_or_default();
    if behind.as_bytes().get(bytes).is_some_and(u8::is_ascii_alphanumeric) {
        return None;
    }
    time::from_text(&format!("{clock}{offset}"))
}

/// The offset that a text begins with, in full, and its length here: `Z`, `+02`, `+0200`, `+02:00`, or the longer ones after a space.
fn offset(text: &str) -> Option<(String, usize)> {
    if text.starts_with(['Z', 'z']) {
        return Some(("Z".into(), 1));
    }
    let bare = text.strip_prefix(' ').unwrap_or(text);
    let space = text.len() - bare.len();
    let sign = bare.get(..1).filter(|sign| matches!(*sign, "+" | "-"))?;
    let digits = |from: usize| bare.bytes().skip(from).take_while(u8::is_ascii_digit).count();
    let (minutes_at, len) = match (digits(1), bare.as_bytes().get(3)) {
        (4, _) => (3, 5),
        (2, Some(b':')) if digits(4) == 2 => (4, 6),
        // After a space two digits may be any number.
        (2, _) if space == 0 => return Some((format!("{sign}{}00", bare.get(1..3)?), 3)),
        _ => return None,
    };
    let (hours, minutes) = (bare.get(1..3)?, bare.get(minutes_at..len)?);
    // And four digits a number that is no offset of any place, or has a unit.
    let is_of_a_place = hours <= "14" && matches!(minutes, "00" | "15" | "30" | "45");
    let has_unit = bare.as_bytes().get(len).is_some_and(u8::is_ascii_alphanumeric);
    (space == 0 || (is_of_a_place && !has_unit)).then(|| (format!("{sign}{hours}{minutes}"), space + len))
}

/// `[10/Oct/2026:13:55:36 -0700]`.
fn of_web_server(line: &str) -> Option<i64> {
    let head = head(line);
    let (_, inner) = head.split_once('[')?;
    let (inner, _) = inner.split_once(']')?;
    let (stamp, offset) = inner.split_once(' ')?;
    let (date, clock) = stamp.split_once(':')?;
    let mut parts = date.split('/');
    let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    time::from_text(&format!("{year}-{month:02}-{day}T{clock}{offset}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: i64 = 1_777_629_600_000_000_000;

    #[test]
    fn a_time_is_found_where_a_line_begins_with_it() {
        for line in [
            "2026-05-01T10:00:00Z starting",
            "2026-05-01 10:00:00 starting",
            "2026-05-01 10:00:00,000 INFO starting",
            "[2026-05-01T12:00:00+02:00] starting",
            "2026/05/01 10:00:00 [error] 7#7: starting",
            "2026-05-01 10:00:00",
            "2026-05-01 12:00:00.000 +0200 starting",
            "[2026-05-01 12:00:00 +02:00] starting",
            "2026/05/01 04:30:00 -0530: starting",
            "2026-05-01 12:00:00+02 starting",
            "2026-05-01T05:00:00,000-05",
            "2026-05-01 10:00:00 +02 degrees",
            "2026-05-01 10:00:00 +2 degrees",
            "2026-05-01 10:00:00 -1234 bytes",
            "2026-05-01 10:00:00 +1500 bytes",
            "2026-05-01 10:00:00 -1200ms",
            "2026-05-01 10:00:00 - starting",
            "10.0.0.1 - - [01/May/2026:12:00:00 +0200] \"GET / HTTP/1.1\" 200 1",
        ] {
            assert_eq!(time_of(line), Some(AT), "{line}");
        }
        assert_eq!(time_of("2026-05-01 10:00:00.25|x"), Some(AT + 250_000_000));
        for line in [
            "",
            "starting at 2026-05-01T10:00:00Z",
            "2026-05-01",
            "2026-13-01T10:00:00Z x",
            "2026-05-01T10:00:00Zulu",
            "2026-05-01T10:00:00+02h",
            "[01/Mai/2026:12:00:00 +0200]",
            "[]",
            "2026-05-01T10:00:0",
        ] {
            assert_eq!(time_of(line), None, "{line}");
        }
    }

    #[test]
    fn a_level_is_a_word_in_capitals_or_in_brackets() {
        assert_eq!(level_of("2026-05-01 10:00:00 ERROR it failed"), Some("ERROR"));
        assert_eq!(level_of("2026/05/01 10:00:00 [error] 7#7: x"), Some("ERROR"));
        assert_eq!(level_of("WARN: low disk"), Some("WARN"));
        assert_eq!(level_of("[main] (info) up"), Some("INFO"));
        assert_eq!(level_of("INFO|boot"), None);
        for line in ["", "an error occurred", "information", "INFORMATION", "a b c d e f g h i j ERROR", "x\nERROR"] {
            assert_eq!(level_of(line), None, "{line}");
        }
    }
}
