//! logfmt lines: `level=info msg="order placed" took_ms=12`.
use super::foreign::Fields;
use super::time;
use logyard_storage::query::logfmt_pairs;

const MESSAGES: [&str; 3] = ["_msg", "msg", "message"];
const TIMES: [&str; 5] = ["_time", "time", "timestamp", "ts", "t"];

/// The fields of a line. The pair that is the message becomes `_msg`, the one that is a time `_time`; a line that has no such
/// message, or words beside its pairs, is its message as a whole.
pub(super) fn fields(line: &str) -> Fields {
    let pairs = logfmt_pairs(line);
    let named = |names: &[&str]| names.iter().find_map(|name| pairs.iter().position(|(key, _)| key == name));
    let message = named(&MESSAGES);
    let found = named(&TIMES).filter(|at| pairs.get(*at).is_some_and(|(_, value)| time::from_text(value).is_some()));
    let mut fields = Fields::new();
    for (at, (name, value)) in pairs.into_iter().enumerate() {
        let name = match at {
            _ if Some(at) == found => "_time".to_owned(),
            _ if Some(at) == message => "_msg".to_owned(),
            _ => name,
        };
        if !name.is_empty() && !value.is_empty() {
            fields.push((name, value));
        }
    }
    if message.is_none() {
        fields.push(("_msg".into(), line.to_owned()));
    }
    fields
}

/// Whether a line is nothing but pairs, and at least two of them.
pub(super) fn is_logfmt(line: &str) -> bool {
    // A cheap look first: most lines are not.
    let first = line.split([' ', '=']).next().unwrap_or_default();
    let is_name = |name: &str| {
        !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-' | b'@' | b'/'))
    };
    if !is_name(first) || line.as_bytes().get(first.len()) != Some(&b'=') {
        return false;
    }
    let (mut pairs, mut rest) = (0, line.trim_end());
    while !rest.is_empty() {
        let Some((name, tail)) = rest.split_once('=') else { return false };
        if !is_name(name) {
            return false;
        }
        let end = match tail.strip_prefix('"') {
            Some(quoted) => match closing(quoted) {
                Some(end) => end + 2,
                None => return false,
            },
            None => tail.find(' ').unwrap_or(tail.len()),
        };
        let Some(after) = tail.get(end..) else { return false };
        if !after.is_empty() && !after.starts_with(' ') {
            return false;
        }
        rest = after.trim_start_matches(' ');
        pairs += 1;
    }
    pairs >= 2
}

/// Where the quote is that ends a quoted text.
fn closing(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return Some(at),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &str) -> String {
        fields(line).iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("|")
    }

    #[test]
    fn the_message_and_the_time_get_their_names() {
        let line = r#"ts=2026-05-01T10:00:00Z level=info msg="order \"17\" placed" took_ms=12 empty="#;
        assert_eq!(shown(line), r#"_time=2026-05-01T10:00:00Z|level=info|_msg=order "17" placed|took_ms=12"#);
        assert_eq!(shown("at=info path=/x"), "at=info|path=/x|_msg=at=info path=/x");
        assert_eq!(shown("time=soon msg=x"), "time=soon|_msg=x");
    }

    #[test]
    fn only_lines_of_pairs_are_logfmt() {
        for line in ["a=b c=d", r#"level=info msg="a \" b" x="#, "at=info path=\"/a=b c\" ", "a.b=1 c-d=2"] {
            assert!(is_logfmt(line), "{line}");
        }
        for line in [
            "",
            "a=b",
            "hello a=b c=d",
            "a=b hello c=d",
            r#"a="b c=d"#,
            r#"a="b"c d=e"#,
            "x == y",
            "{\"a\":1}",
            "=a b=c",
        ] {
            assert!(!is_logfmt(line), "{line}");
        }
    }
}
