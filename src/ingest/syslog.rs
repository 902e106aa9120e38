//! Syslog lines, RFC 5424 and RFC 3164, with their priority or, as in files, without.
//!
//! Invariants
//! * Where a line has no message, or its fields do not tell all of its structured data, `_msg` is the whole line.
//! * A line whose time is none, or is of a day that its month does not have, is no syslog.
use super::foreign::Fields;
use super::{logfmt, time};
use logyard_storage::query::{logfmt_pairs, syslog_fields};

/// The fields of a line: its message is `_msg`, its time `_time`, the others have the names that `unpack_syslog` gives. What is
/// written as `-` is not there. Where there is no message, or structured data has more than its fields tell, `_msg` is the whole
/// line. Nothing where a line has neither a priority nor a time, or a time that is none.
pub(super) fn fields(line: &str, now: i64) -> Option<Fields> {
    let (mut fields, mut is_whole, mut is_syslog) = (Fields::new(), false, priority(line).is_some());
    let told = syslog_fields(line, now);
    let is_new = told.iter().any(|(name, value)| name == "format" && value == "rfc5424");
    let is_told = !is_new || structured_data(line).is_none_or(is_told);
    for (name, value) in told {
        if value.is_empty() || value == "-" {
            continue;
        }
        let name = match name.as_str() {
            "timestamp" if is_time(&value, line, is_new) => {
                is_syslog = true;
                "_time".to_owned()
            }
            "timestamp" | "_time" => return None,
            "message" if is_told => {
                is_whole = true;
                "_msg".to_owned()
            }
            "message" => continue,
            _ => name,
        };
        fields.push((name, value));
    }
    if !is_whole {
        fields.push(("_msg".into(), line.to_owned()));
    }
    is_syslog.then_some(fields)
}

/// Whether the time of a line is one. The older format has no year: a day that its month does not have would be one of the next.
fn is_time(value: &str, line: &str, is_new: bool) -> bool {
    let stamp = line.split_once('>').filter(|_| line.starts_with('<')).map_or(line, |(_, rest)| rest);
    let day = |text: Option<&str>| text.and_then(|text| text.trim_start().parse::<u8>().ok());
    let is_date = value.as_bytes().get(4) == Some(&b'-') && time::from_text(value).is_some();
    is_date && (is_new || day(stamp.get(4..6)) == day(value.get(8..10)))
}

/// The structured data of a line of the newer format, and what is behind it.
fn structured_data(line: &str) -> Option<&str> {
    line.splitn(7, ' ').nth(6)
}

/// Whether structured data is nothing but names with values.
fn is_told(data: &str) -> bool {
    let mut rest = data;
    if rest.starts_with('-') {
        return true;
    }
    while let Some(element) = rest.strip_prefix('[') {
        let Some((id, mut pairs)) = element.find([' ', ']']).and_then(|end| element.split_at_checked(end)) else {
            return false;
        };
        if id.contains(['=', '"']) || pairs.starts_with(']') {
            return false;
        }
        while let Some(pair) = pairs.strip_prefix(' ') {
            let is_quoted = pair.split_once('=').is_some_and(|(_, value)| value.starts_with('"'));
            let behind = logfmt::behind_pair(pair, logfmt::is_any_name).filter(|_| is_quoted);
            let Some((behind, pair)) = behind.and_then(|behind| Some((behind, pair.strip_suffix(behind)?))) else {
                return false;
            };
            // Quotes that are not read as such end at the first space.
            if logfmt_pairs(&pair.replace("\\]", "]")).len() != 1 {
                return false;
            }
            pairs = behind;
        }
        let Some(behind) = pairs.strip_prefix(']') else { return false };
        rest = behind;
    }
    rest.is_empty() || rest.starts_with(' ')
}

/// What a line says of its priority.
fn priority(line: &str) -> Option<u32> {
    let rest = line.strip_prefix('<')?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let priority = rest.get(..digits)?.parse::<u32>().ok()?;
    (priority < 192 && rest.as_bytes().get(digits) == Some(&b'>')).then_some(priority)
}

/// Whether a line begins as one of syslog does: with a priority, or with the time, host and program of RFC 3164.
pub(super) fn is_syslog(line: &str, now: i64) -> bool {
    if line.starts_with('<') {
        return priority(line).is_some();
    }
    // `Jan  2 15:04:05 host program: ...`, looked at cheaply first.
    let bytes = line.as_bytes();
    let is_alike = bytes.get(3) == Some(&b' ') && bytes.get(9) == Some(&b':') && bytes.get(12) == Some(&b':');
    is_alike && syslog_fields(line, now).iter().any(|(name, _)| name == "app_name")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_780_056_000_000_000_000;

    fn shown(line: &str) -> String {
        fields(line, NOW).unwrap().iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("|")
    }

    #[test]
    fn both_formats_have_a_time_and_a_message() {
        let new = r#"<165>1 2026-05-03T17:42:32.123Z host app 12 - [a@1 x="y"] the message"#;
        assert!(shown(new).ends_with(
            "format=rfc5424|_time=2026-05-03T17:42:32.123Z|hostname=host|app_name=app|proc_id=12|a@1.x=y|_msg=the message"
        ));
        let old = "May  3 17:42:32 host sshd[7]: closed";
        assert_eq!(
            shown(old),
            "format=rfc3164|_time=2026-05-03T17:42:32.000Z|hostname=host|app_name=sshd|proc_id=7|_msg=closed"
        );
        assert!(shown("<13>1 - - - - - -").ends_with("_msg=<13>1 - - - - - -"));
    }

    #[test]
    fn what_structured_data_has_beside_its_fields_is_not_left_out() {
        for data in [r#"[a@1 x="y"z w="1"]"#, "[a@1]", r#"[a@1 x="y" lone]"#, "[a@1 x=y]", r#"[a@1 x="\q z"]"#] {
            let line = format!("<165>1 2026-05-03T17:42:32Z host app 12 - {data} up");
            assert!(shown(&line).ends_with(&format!("|_msg={line}")), "{}", shown(&line));
        }
        let two = r#"<165>1 2026-05-03T17:42:32Z host app 12 - [a@1 x="y\"] "][b@1 z="1" w="2"] up"#;
        assert!(shown(two).ends_with("|b@1.z=1|b@1.w=2|_msg=up"), "{}", shown(two));
    }

    #[test]
    fn what_has_another_form_or_a_wrong_time_is_no_fields() {
        for line in [
            "",
            "hello there",
            "2026-05-03 17:42:32 INFO up",
            "<192>x",
            "<165>1 soon host app 12 - - up",
            "<165>1 12 host app 12 - - up",
            "Feb 31 17:42:32 host sshd[7]: closed",
            "<13>Apr 31 17:42:32 host sshd[7]: closed",
            "<13>May  3 17:42:32 host app: [x]",
        ] {
            let is_right = line.contains("May  3");
            assert_eq!(fields(line, NOW).is_some(), is_right, "{line}");
        }
    }

    #[test]
    fn what_begins_otherwise_is_none() {
        for line in ["<34>Oct 11 22:14:15 mymachine su: failed", "<0>", "May  3 17:42:32 host sshd[7]: closed"] {
            assert!(is_syslog(line, NOW), "{line}");
        }
        for line in ["", "<>", "<192>x", "<a>", "<b>bold</b>", "May 3 is a day", "Mai  3 17:42:32 host a: b"] {
            assert!(!is_syslog(line, NOW), "{line}");
        }
    }
}
