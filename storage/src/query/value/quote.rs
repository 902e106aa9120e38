//! Quoted strings: what stands between `"`, `'` or backticks, with their escapes, and texts put into quotes again.
//!
//! Invariants
//! * `unquote(quote(text))` is the text.
//! * Escapes that make no valid text (`"\xff"`) give U+FFFD.
use std::sync::LazyLock;

/// The content of the quoted string that a text begins with, and its length with the quotes.
pub(crate) fn unquote(text: &str) -> Option<(String, usize)> {
    let quote = text.chars().next()?;
    let body = text.get(1..)?;
    match quote {
        '`' => {
            let end = body.find('`')?;
            Some((body.get(..end)?.replace('\r', ""), end + 2))
        }
        '"' | '\'' => escaped(body, quote).map(|(content, len)| (content, len + 1)),
        _ => None,
    }
}

fn escaped(body: &str, quote: char) -> Option<(String, usize)> {
    let mut bytes = Vec::new();
    let mut rest = body;
    loop {
        let c = rest.chars().next()?;
        rest = rest.get(c.len_utf8()..)?;
        match c {
            _ if c == quote => {
                let content = String::from_utf8_lossy(&bytes).into_owned();
                return Some((content, body.len() - rest.len()));
            }
            '\n' if quote == '"' => return None,
            '\\' => rest = escape(rest, quote, &mut bytes)?,
            _ => push(&mut bytes, c),
        }
    }
}

fn push(bytes: &mut Vec<u8>, c: char) {
    bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

/// Reads what follows a backslash; returns what is left.
fn escape<'a>(text: &'a str, quote: char, bytes: &mut Vec<u8>) -> Option<&'a str> {
    let c = text.chars().next()?;
    let rest = text.get(c.len_utf8()..)?;
    let plain = match c {
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 11,
        '\\' => b'\\',
        '"' | '\'' if c == quote => c as u8,
        'x' => return coded(rest, 2, 16, quote, bytes),
        'u' => return coded(rest, 4, 16, '\0', bytes),
        'U' => return coded(rest, 8, 16, '\0', bytes),
        '0'..='7' => return coded(text, 3, 8, quote, bytes),
        _ => return None,
    };
    bytes.push(plain);
    Some(rest)
}

/// A character or byte by its number. In `"` quotes `\xHH` is a byte, in `'` quotes a character, as `\u` always is.
fn coded<'a>(text: &'a str, len: usize, base: u32, quote: char, bytes: &mut Vec<u8>) -> Option<&'a str> {
    let (digits, rest) = text.split_at_checked(len)?;
    if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let code = u32::from_str_radix(digits, base).ok()?;
    match quote {
        '"' => bytes.push(u8::try_from(code).ok()?),
        '\'' => push(bytes, char::from(u8::try_from(code).ok()?)),
        _ => push(bytes, char::from_u32(code)?),
    }
    Some(rest)
}

/// Characters that are shown as they are: letters, marks, numbers, punctuation, symbols and the plain space.
static SHOWN: LazyLock<Vec<(char, char)>> = LazyLock::new(|| {
    // The pattern is a constant; were it not to parse, everything would be escaped, and the test below would say so.
    match regex_syntax::parse(r"[\p{L}\p{M}\p{N}\p{P}\p{S} ]").map(|hir| hir.into_kind()) {
        Ok(regex_syntax::hir::HirKind::Class(regex_syntax::hir::Class::Unicode(class))) => {
            class.ranges().iter().map(|range| (range.start(), range.end())).collect()
        }
        _ => Vec::new(),
    }
});

fn is_shown(c: char) -> bool {
    let at = SHOWN.partition_point(|(_, end)| *end < c);
    SHOWN.get(at).is_some_and(|(start, _)| *start <= c)
}

/// A text in `"` quotes.
pub(crate) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0b' => out.push_str("\\v"),
            _ if is_shown(c) => out.push(c),
            _ if c < ' ' || c == '\x7f' => out.push_str(&format!("\\x{:02x}", c as u32)),
            _ if (c as u32) < 0x1_0000 => out.push_str(&format!("\\u{:04x}", c as u32)),
            _ => out.push_str(&format!("\\U{:08x}", c as u32)),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn content(text: &str) -> Option<String> {
        unquote(text).map(|(content, _)| content)
    }

    #[test]
    fn escapes_are_read() {
        assert_eq!(content(r#""a\"b\\c\n\x41\101\u0042\U00000043""#).unwrap(), "a\"b\\c\nAABC");
        assert_eq!(content(r"'it\'s \xe9'").unwrap(), "it's é");
        assert_eq!(content(r#""\xd0\xb9""#).unwrap(), "й");
        assert_eq!(content("`a\\\"b`").unwrap(), "a\\\"b");
        assert_eq!(unquote("\"a\" b").unwrap().1, 3);
        for wrong in ["\"a", "'a", "`a", r#""\q""#, "\"a\nb\"", r#""\'""#, "a", "", r#""\xg0""#, r#""\400""#] {
            assert_eq!(content(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_cannot_be_seen_is_escaped() {
        assert_eq!(quote("a\"\n\u{7f}\u{200b}é日"), r#""a\"\n\x7f\u200bé日""#);
    }

    proptest! {
        #[test]
        fn quoting_is_undone(text in ".{0,20}", odd in any::<String>()) {
            prop_assert_eq!(content(&quote(&text)).unwrap(), text);
            prop_assert_eq!(content(&quote(&odd)).unwrap(), odd);
        }
    }
}
