//! logfmt lines: `level=info msg="order placed" took_ms=12`.
//!
//! Invariants
//! * A line is logfmt as a whole or not at all: with a word that is no pair, or a `_time` that is none, it has no fields.
//! * A pair with an empty value is left out: it would be as if it were not there.
use super::foreign::Fields;
use super::time;
use logyard_storage::query::logfmt_pairs;

const MESSAGES: [&str; 3] = ["_msg", "msg", "message"];
const TIMES: [&str; 5] = ["_time", "time", "timestamp", "ts", "t"];

/// The fields of a line: the pair that is the message becomes `_msg`, the one that is a time `_time`; a line that has no such
/// message is its message as a whole. Nothing where it has words that are no pairs, or a `_time` that is no time.
pub(super) fn fields(line: &str) -> Option<Fields> {
    let (count, pairs) = (count(line, is_any_name)?, logfmt_pairs(line));
    if count != pairs.len() || pairs.is_empty() {
        return None;
    }
    let named = |names: &[&str], is_right: fn(&str) -> bool| {
        let of = |name: &&str| pairs.iter().position(|(key, value)| key == name && is_right(value));
        names.iter().find_map(of)
    };
    let message = named(&MESSAGES, |value| !value.is_empty());
    let found = named(&TIMES, |value| time::from_text(value).is_some());
    let mut fields = Fields::new();
    for (at, (name, value)) in pairs.into_iter().enumerate() {
        let name = match at {
            _ if Some(at) == found => "_time".to_owned(),
            _ if Some(at) == message => "_msg".to_owned(),
            _ if name == "_time" => return None,
            _ => name,
        };
        if !value.is_empty() {
            fields.push((name, value));
        }
    }
    if message.is_none() {
        fields.push(("_msg".into(), line.to_owned()));
    }
    Some(fields)
}

/// Whether a line is nothing but pairs, and at least two of them.
pub(super) fn is_logfmt(line: &str) -> bool {
    // A cheap look first: most lines are not.
    let first = line.split([' ', '=']).next().unwrap_or_default();
    is_usual_name(first)
        && line.as_bytes().get(first.len()) == Some(&b'=')
        && count(line, is_usual_name).is_some_and(|pairs| pairs >= 2)
}

fn is_usual_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-' | b'@' | b'/'))
}

/// Whether it can be the name of a pair at all.
pub(super) fn is_any_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c == '"')
}

/// The pairs of a line; nothing where it has something else too.
fn count(line: &str, is_name: fn(&str) -> bool) -> Option<usize> {
    let (mut pairs, mut rest) = (0, line.trim());
    while !rest.is_empty() {
        let after = behind_pair(rest, is_name)?;
        if !after.is_empty() && !after.starts_with(' ') {
            return None;
        }
        rest = after.trim_start_matches(' ');
        pairs += 1;
    }
    Some(pairs)
}

/// What is behind the pair that a text begins with.
pub(super) fn behind_pair(text: &str, is_name: fn(&str) -> bool) -> Option<&str> {
    let (name, tail) = text.split_once('=')?;
    if !is_name(name) {
        return None;
    }
    let end = match tail.as_bytes().first() {
        Some(b'"') => closing(tail.get(1..)?)? + 2,
        Some(b'`') => tail.get(1..)?.find('`')? + 2,
        _ => tail.find(' ').unwrap_or(tail.len()),
    };
    tail.get(end..)
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
        fields(line).unwrap().iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("|")
    }

    #[test]
    fn the_message_and_the_time_get_their_names() {
        let line = r#"ts=2026-05-01T10:00:00Z level=info msg="order \"17\" placed" took_ms=12 empty="#;
        assert_eq!(shown(line), r#"_time=2026-05-01T10:00:00Z|level=info|_msg=order "17" placed|took_ms=12"#);
        assert_eq!(shown("at=info path=/x"), "at=info|path=/x|_msg=at=info path=/x");
        assert_eq!(shown("time=soon msg=x"), "time=soon|_msg=x");
        assert_eq!(shown("time=soon ts=1777629600 msg=x"), "time=soon|_time=1777629600|_msg=x");
        assert_eq!(shown("msg= a=1"), "a=1|_msg=msg= a=1");
    }

    #[test]
    fn what_would_be_left_out_or_is_a_wrong_time_is_no_fields() {
        for line in [
            "",
            "hello",
            "started a=1 msg=up",
            "a=1 msg=up again",
            r#"msg="up"x a=1"#,
            r#"msg="up a=1"#,
            r#"msg="no \q escape" a=1"#,
            "msg=`up`x=1",
            "=v msg=up",
            "_time=soon msg=up",
            "_time=soon ts=1777629600 msg=up",
        ] {
            assert_eq!(fields(line), None, "{line}");
        }
        assert_eq!(shown(" ü/ber=1  msg=up "), "ü/ber=1|_msg=up");
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
