//! logfmt: `key=value` pairs, the values quoted where they need it.
//!
//! Invariants
//! * Pairs come in the order of the text, a name that comes twice included; a word by itself is a name without a value.
//! * Behind a closing quote without a space, nothing more is read.
use super::quote::unquote;

/// A quoted string (`"` or backticks) at the start of a text, and its length.
pub(crate) fn quoted(text: &str) -> Option<(String, usize)> {
    if text.starts_with(['"', '`']) { unquote(text) } else { None }
}

/// The pairs of a text, in order.
pub(crate) fn parse_logfmt(text: &str) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let mut add = |name: &str, value: String| {
        let name = name.trim();
        if !name.is_empty() || !value.is_empty() {
            pairs.push((name.to_string(), value));
        }
    };
    let mut rest = text;
    while let Some(at) = rest.find(['=', ' ']) {
        let (name, tail) = rest.split_at_checked(at).unwrap_or((rest, ""));
        let lone = tail.starts_with(' ');
        rest = tail.get(1..).unwrap_or("");
        if lone {
            add(name, String::new());
            continue;
        }
        if let Some((value, len)) = quoted(rest) {
            add(name, value);
            // What follows the closing quote without a space is not logfmt any more.
            match rest.get(len..).and_then(|tail| tail.strip_prefix(' ')) {
                Some(tail) => rest = tail,
                None => return pairs,
            }
        } else {
            let (value, tail) = rest.split_once(' ').unwrap_or((rest, ""));
            add(name, value.to_string());
            rest = tail;
        }
    }
    add(rest, String::new());
    pairs
}

/// Whether a value has to stand in quotes.
pub(crate) fn needs_quotes(value: &str) -> bool {
    value.chars().any(|c| c <= ' ' || matches!(c, '"' | '\\'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        parse_logfmt(text)
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.into(), value.into())
    }

    #[test]
    fn pairs_are_split() {
        assert_eq!(pairs("a=b c=\"d e\" f"), [pair("a", "b"), pair("c", "d e"), pair("f", "")]);
        assert_eq!(pairs("a= b=`x\"y`"), [pair("a", ""), pair("b", "x\"y")]);
        assert_eq!(pairs("a=\"b\"c d=e"), [pair("a", "b")]);
        assert_eq!(pairs("=v"), [pair("", "v")]);
        assert!(pairs("").is_empty() && pairs("  ").is_empty());
    }
}
