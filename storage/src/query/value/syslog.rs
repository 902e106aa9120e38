//! Syslog lines, RFC 3164 and RFC 5424, into fields.
//!
//! Invariants
//! * A line that breaks off has the fields up to there.
//! * A time without a year is a day ahead of now at most.
use super::duration::{DAY, SECOND};
use super::logfmt::parse_logfmt;
use super::timestamp::{date_from_days, days_from_date, show_milliseconds};

const LEVELS: [&str; 8] = ["emerg", "alert", "critical", "error", "warning", "notice", "info", "debug"];

const FACILITIES: [&str; 24] = [
    "kern",
    "user",
    "mail",
    "daemon",
    "auth",
    "syslog",
    "lpr",
    "news",
    "uucp",
    "cron",
    "authpriv",
    "ftp",
    "ntp",
    "security",
    "console",
    "solaris-cron",
    "local0",
    "local1",
    "local2",
    "local3",
    "local4",
    "local5",
    "local6",
    "local7",
];

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// When and where lines without a year and an offset were written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Era {
    /// The current time.
    pub(crate) now: i64,
    /// How far east of UTC.
    pub(crate) zone: i64,
}

type Fields = Vec<(String, String)>;

fn add(fields: &mut Fields, name: &str, value: &str) {
    fields.push((name.into(), value.into()));
}

/// The fields of a line.
pub(crate) fn parse_syslog(line: &str, era: Era) -> Fields {
    let mut fields = Vec::new();
    let Some(rest) = line.strip_prefix('<') else {
        body(line, era, &mut fields);
        return fields;
    };
    let Some((priority, rest)) = rest.split_once('>') else { return fields };
    add(&mut fields, "priority", priority);
    let Some(number) = super::number::uint(priority) else { return fields };
    let (facility, severity) = (number / 8, number % 8);
    let keyword = usize::try_from(facility).ok().and_then(|i| FACILITIES.get(i)).unwrap_or(&"unknown");
    let level = usize::try_from(severity).ok().and_then(|i| LEVELS.get(i)).unwrap_or(&"unknown");
    add(&mut fields, "facility_keyword", keyword);
    add(&mut fields, "level", level);
    add(&mut fields, "facility", &facility.to_string());
    add(&mut fields, "severity", &severity.to_string());
    body(rest, era, &mut fields);
    fields
}

fn body(text: &str, era: Era, fields: &mut Fields) {
    if text.is_empty() {
        return;
    }
    match text.strip_prefix("1 ") {
        Some(rest) => rfc5424(rest, fields),
        None => rfc3164(text, era, fields),
    }
}

fn rfc5424(text: &str, fields: &mut Fields) {
    add(fields, "format", "rfc5424");
    let mut rest = text;
    for name in ["timestamp", "hostname", "app_name", "proc_id", "msg_id"] {
        if rest.is_empty() && name == "timestamp" {
            return;
        }
        match rest.split_once(' ') {
            Some((value, tail)) => {
                add(fields, name, value);
                rest = tail;
            }
            None => return add(fields, name, rest),
        }
    }
    if let Some(message) = structured_data(rest, fields) {
        add(fields, "message", message);
    }
}

/// `-` or any number of `[id name="value" ...]`; returns the message after them.
fn structured_data<'a>(text: &'a str, fields: &mut Fields) -> Option<&'a str> {
    if let Some(message) = text.strip_prefix("- ") {
        return Some(message);
    }
    let mut rest = text;
    loop {
        rest = element(rest, fields)?;
        if let Some(message) = rest.strip_prefix(' ') {
            return Some(message);
        }
    }
}

fn element<'a>(text: &'a str, fields: &mut Fields) -> Option<&'a str> {
    let inner = text.strip_prefix('[')?;
    let id_end = inner.find([' ', ']'])?;
    let (mut id, rest) = inner.split_at_checked(id_end)?;
    if let Some((name, value)) = id.split_once('=') {
        add(fields, name, value);
        id = "";
    }
    let end = element_end(rest)?;
    let pairs = parse_logfmt(&rest.get(..end)?.trim().replace("\\]", "]"));
    if pairs.is_empty() && !id.is_empty() {
        add(fields, id, "");
    }
    for (name, value) in pairs {
        let name = if id.is_empty() { name } else { format!("{id}.{name}") };
        fields.push((name, value));
    }
    rest.get(end + 1..)
}

/// Where the bracket is that closes an element: not within a quoted value, and not escaped.
fn element_end(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 0;
    let escaped = |at: usize| at > 0 && bytes.get(at - 1) == Some(&b'\\');
    loop {
        match bytes.get(at)? {
            b']' if !escaped(at) => return Some(at),
            b' ' => at += 1,
            _ => {
                at += bytes.get(at..)?.iter().position(|b| *b == b'=')? + 1;
                if bytes.get(at)? == &b'"' {
                    at += 1;
                    while bytes.get(at)? != &b'"' || escaped(at) {
                        at += 1;
                    }
                    at += 1;
                } else {
                    at += bytes.get(at..)?.iter().position(|b| matches!(b, b' ' | b']'))?;
                }
            }
        }
    }
}

fn rfc3164(text: &str, era: Era, fields: &mut Fields) {
    add(fields, "format", "rfc3164");
    let stamp = text.split_at_checked(15).and_then(|(stamp, rest)| Some((stamp_time(stamp, era)?, rest)));
    let Some((time, rest)) = stamp else { return add(fields, "message", text) };
    add(fields, "timestamp", &show_milliseconds(time));
    let Some(rest) = rest.strip_prefix(' ') else {
        if !rest.is_empty() {
            add(fields, "message", rest);
        }
        return;
    };
    let Some((hostname, rest)) = rest.split_once(' ') else { return add(fields, "hostname", rest) };
    add(fields, "hostname", hostname);
    let Some(tag) = rest.find(['[', ':', ' ']) else { return add(fields, "app_name", rest) };
    let (app, mut rest) = rest.split_at_checked(tag).unwrap_or((rest, ""));
    add(fields, "app_name", app);
    if let Some(tail) = rest.strip_prefix('[') {
        let Some((process, tail)) = tail.split_once(']') else { return };
        add(fields, "proc_id", process);
        rest = tail;
    }
    rest = rest.strip_prefix(':').unwrap_or(rest);
    rest = rest.strip_prefix(' ').unwrap_or(rest);
    if !rest.is_empty() {
        add(fields, "message", rest);
    }
}

/// `Jan _2 15:04:05` of the last twelve months.
fn stamp_time(stamp: &str, era: Era) -> Option<i64> {
    let month = MONTHS.iter().position(|month| stamp.get(..3).is_some_and(|m| m.eq_ignore_ascii_case(month)))?;
    let number = |from: usize, to: usize| stamp.get(from..to)?.parse::<i64>().ok().filter(|n| *n >= 0);
    let separators = [(3, ' '), (6, ' '), (9, ':'), (12, ':')];
    if separators.iter().any(|(at, c)| stamp.as_bytes().get(*at).copied() != u8::try_from(*c).ok()) {
        return None;
    }
    let day = stamp.get(4..6)?.trim_start().parse::<i64>().ok()?;
    let (hour, minute, second) = (number(7, 9)?, number(10, 12)?, number(13, 15)?);
    if !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (year, _, _) = date_from_days(era.now.div_euclid(DAY));
    let of_day = (hour * 3_600 + minute * 60 + second) * SECOND;
    let in_year = |year: i64| days_from_date(year, month as i64 + 1, day) * DAY + of_day - era.zone;
    let time = in_year(year);
    // A day ahead of now can be a day of the next year.
    let is_near = |time: &i64| time - DAY <= era.now;
    Some(Some(in_year(year + 1)).filter(is_near).or(Some(time).filter(is_near)).unwrap_or_else(|| in_year(year - 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &str) -> Vec<String> {
        let now = days_from_date(2024, 12, 20) * DAY;
        parse_syslog(line, Era { now, zone: 0 }).iter().map(|(n, v)| format!("{n}={v}")).collect()
    }

    #[test]
    fn the_newer_format_has_structured_data() {
        let line = r#"<165>1 2023-06-03T17:42:32.123Z host app 12 ID47 [exam@32 iut="3" src="a [x\] \"b" n=5][e2] the message"#;
        let fields = shown(line).join("|");
        assert!(
            fields.starts_with(
                "priority=165|facility_keyword=local4|level=notice|facility=20|severity=5|format=rfc5424|"
            )
        );
        assert!(
            fields.ends_with("msg_id=ID47|exam@32.iut=3|exam@32.src=a [x] \"b|exam@32.n=5|e2=|message=the message"),
            "{fields}"
        );
        assert_eq!(shown("1 t h a p m - x").last().unwrap(), "message=x");
        assert_eq!(shown("1 t").last().unwrap(), "timestamp=t");
    }

    #[test]
    fn a_line_a_day_ahead_can_be_of_the_next_year() {
        let at = |now: i64, zone: i64, stamp: &str| stamp_time(stamp, Era { now, zone }).map(show_milliseconds);
        let new_year = days_from_date(2025, 1, 1) * DAY;
        let minute = 60 * SECOND;
        for (now, zone, stamp, time) in [
            (new_year - minute, 0, "Jan  1 00:04:00", "2025-01-01T00:04:00.000Z"),
            (new_year - minute, 0, "Jan  1 23:59:00", "2025-01-01T23:59:00.000Z"),
            (new_year - minute, 0, "Jan  2 00:04:00", "2024-01-02T00:04:00.000Z"),
            (new_year - minute, 0, "Dec 31 23:59:00", "2024-12-31T23:59:00.000Z"),
            (new_year + minute, 0, "Dec 31 23:59:00", "2024-12-31T23:59:00.000Z"),
            (new_year - 60 * minute, 120 * minute, "Jan  1 01:00:00", "2024-12-31T23:00:00.000Z"),
            (new_year + 60 * minute, -120 * minute, "Dec 31 23:00:00", "2025-01-01T01:00:00.000Z"),
        ] {
            assert_eq!(at(now, zone, stamp).as_deref(), Some(time), "{stamp}");
        }
    }

    #[test]
    fn the_older_format_lacks_the_year() {
        let fields = shown("<163>Dec 13 18:21:43 host app[345]: foobar").join("|");
        assert!(fields.ends_with(
            "format=rfc3164|timestamp=2024-12-13T18:21:43.000Z|hostname=host|app_name=app|proc_id=345|message=foobar"
        ));
        assert!(shown("Dec 31 18:21:43 h a: b").join("|").contains("2023-12-31"));
        assert_eq!(
            shown("Jun  3 12:08:33 h").join("|"),
            "format=rfc3164|timestamp=2024-06-03T12:08:33.000Z|hostname=h"
        );
        assert_eq!(shown("foo=bar"), ["format=rfc3164", "message=foo=bar"]);
        assert_eq!(shown("<x>foo"), ["priority=x"]);
        assert!(shown("").is_empty() && shown("<12").is_empty());
    }
}
