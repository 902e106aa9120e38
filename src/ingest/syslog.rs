//! Syslog lines, RFC 5424 and RFC 3164, with their priority or, as in files, without.
use super::foreign::Fields;
use super::time;
use logyard_storage::query::syslog_fields;

/// The fields of a line: its message is `_msg`, its time `_time`, the others have the names that `unpack_syslog` gives. What is
/// written as `-` is not there.
pub(super) fn fields(line: &str, now: i64) -> Fields {
    let mut fields = Fields::new();
    let mut has_message = false;
    for (name, value) in syslog_fields(line, now) {
        if value.is_empty() || value == "-" {
            continue;
        }
        let name = match name.as_str() {
            "timestamp" if time::from_text(&value).is_some() => "_time".to_owned(),
            "message" => "_msg".to_owned(),
            _ => name,
        };
        has_message |= name == "_msg";
        fields.push((name, value));
    }
    if !has_message {
        fields.push(("_msg".into(), line.to_owned()));
    }
    fields
}

/// Whether a line begins as one of syslog does: with a priority, or with the time, host and program of RFC 3164.
pub(super) fn is_syslog(line: &str, now: i64) -> bool {
    if let Some(rest) = line.strip_prefix('<') {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let priority = rest.get(..digits).and_then(|digits| digits.parse::<u32>().ok());
        return priority.is_some_and(|priority| priority < 192) && rest.as_bytes().get(digits) == Some(&b'>');
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
        fields(line, NOW).iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("|")
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
    fn what_begins_otherwise_is_none() {
        for line in ["<34>Oct 11 22:14:15 mymachine su: failed", "<0>", "May  3 17:42:32 host sshd[7]: closed"] {
            assert!(is_syslog(line, NOW), "{line}");
        }
        for line in ["", "<>", "<192>x", "<a>", "<b>bold</b>", "May 3 is a day", "Mai  3 17:42:32 host a: b"] {
            assert!(!is_syslog(line, NOW), "{line}");
        }
    }
}
