//! Escapes of half a character: what is left where a text was cut between the two UTF-16 units of one.
//!
//! `"\ud83d"` alone stands for no character, and strict JSON has no such text; yet JavaScript and Python send it for texts that
//! were cut. A record that cannot be read is looked at once more here.
//!
//! Invariants
//! * Only escapes that are whole and are halves without the other one are replaced, each by as many bytes: places stay the same.
//! * What comes out is read as strictly as what went in.

/// U+FFFD as an escape.
const REPLACEMENT: &[u8; 6] = br"\ufffd";

/// The text with U+FFFD for each half; nothing where it has none.
#[cold]
pub(super) fn replaced(text: &str) -> Option<String> {
    let mut out: Option<Vec<u8>> = None;
    let mut at = 0;
    while let Some(found) = text.as_bytes().get(at..).and_then(|rest| memchr::memchr(b'\\', rest)) {
        at += found;
        let is_half = match unit(text, at) {
            Some(0xD800..=0xDBFF) if matches!(unit(text, at + 6), Some(0xDC00..=0xDFFF)) => {
                at += 6;
                false
            }
            Some(0xD800..=0xDFFF) => true,
            _ => false,
        };
        if is_half && let Some(escape) = out.get_or_insert_with(|| text.as_bytes().to_vec()).get_mut(at..at + 6) {
            escape.copy_from_slice(REPLACEMENT);
        }
        // Behind the backslash and what it escapes, which may be another one.
        at += 2;
    }
    String::from_utf8(out?).ok()
}

/// The UTF-16 unit whose escape begins at `at`.
fn unit(text: &str, at: usize) -> Option<u16> {
    let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
    let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    u16::from_str_radix(digits, 16).ok().filter(|_| is_hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_without_the_other_one_are_replaced() {
        for (sent, read) in [
            (r"cut \ud83d", r"cut \ufffd"),
            (r"\uDE00 \ud83d\ude00\ud83d", r"\ufffd \ud83d\ude00\ufffd"),
            (r"\ud83d\ud83d\ude00", r"\ufffd\ud83d\ude00"),
            (r"\ud83d\n\\\ud83dé", r"\ufffd\n\\\ufffdé"),
            (r"\ude00\ud83d", r"\ufffd\ufffd"),
            (r"\ud83d\\ude00", r"\ufffd\\ude00"),
        ] {
            assert_eq!(replaced(sent).as_deref(), Some(read), "{sent}");
        }
        for whole in [
            "",
            "\\",
            r"\u",
            r"\ud83",
            r"\ud83x",
            r"\u+83d",
            r"\\ud83d",
            r"\ud83d\ude00",
            r"\u00e9",
            "ud83d",
            r"\ud83é",
        ] {
            assert_eq!(replaced(whole), None, "{whole}");
        }
    }
}
