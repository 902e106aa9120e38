//! A query cut into tokens: words, quoted strings, operators and single characters.
//!
//! Invariants
//! * Tokens do not depend on what is parsed, so that a parser can go back.
//! * Looking for the ends of strings that have none takes a bounded part of the time; beyond it no more strings are seen.
//! * A quote that opens no string is a token of one character; the parser says what is wrong with it.
use crate::query::value::quote::unquote;
use crate::text::words::is_word;
use std::borrow::Cow;

/// A token.
#[derive(Clone, Debug)]
pub(crate) struct Token<'a> {
    /// As it was written.
    pub(crate) raw: &'a str,
    /// What it means: the content of a string, else the same.
    pub(crate) text: Cow<'a, str>,
    /// Its first byte in the query.
    pub(crate) at: usize,
    /// Whether spaces or a comment stand before it.
    pub(crate) spaced: bool,
    /// Whether it was a quoted string.
    pub(crate) quoted: bool,
}

/// How often, for each byte, the end of a string may be looked for in vain.
const VAIN_LOOKS_MAX: usize = 64;

/// The tokens of a query; the last one is the empty token at its end.
pub(crate) fn tokens(query: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut at = 0;
    let mut looks_left = query.len().saturating_mul(VAIN_LOOKS_MAX);
    loop {
        let start = skip_space(query, at);
        let rest = query.get(start..).unwrap_or_default();
        let spaced = start > at;
        let (len, content) = token(rest, &mut looks_left);
        let raw = rest.get(..len).unwrap_or_default();
        let quoted = content.is_some();
        tokens.push(Token { raw, text: content.map_or(Cow::Borrowed(raw), Cow::Owned), at: start, spaced, quoted });
        if raw.is_empty() {
            return tokens;
        }
        at = start + len;
    }
}

/// Where the next token begins, after spaces and comments.
fn skip_space(query: &str, from: usize) -> usize {
    let mut at = from;
    loop {
        let rest = query.get(at..).unwrap_or_default();
        let trimmed = rest.trim_start();
        at += rest.len() - trimmed.len();
        if !trimmed.starts_with('#') {
            return at;
        }
        at += trimmed.find('\n').map_or(trimmed.len(), |newline| newline + 1);
    }
}

/// The length of the token that a text begins with, and its content if it is a string.
fn token(rest: &str, looks_left: &mut usize) -> (usize, Option<String>) {
    let word = rest.find(|c| !is_word(c) && c != '.').unwrap_or(rest.len());
    if word > 0 {
        return (word, None);
    }
    let Some(first) = rest.chars().next() else { return (0, None) };
    match first {
        '"' | '\'' | '`' if *looks_left > 0 => match unquote(rest) {
            Some((content, len)) => (len, Some(content)),
            None => {
                *looks_left = looks_left.saturating_sub(rest.len());
                (1, None)
            }
        },
        '=' if rest.starts_with("=~") => (2, None),
        '!' if rest.starts_with("!~") || rest.starts_with("!=") => (2, None),
        _ => (first.len_utf8(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(query: &str) -> Vec<&str> {
        tokens(query).iter().map(|t| t.raw).collect()
    }

    #[test]
    fn words_strings_and_operators_are_told_apart() {
        assert_eq!(raw("foo.bar:\"a b\"* !=x"), ["foo.bar", ":", "\"a b\"", "*", "!=", "x", ""]);
        assert_eq!(raw("a=~'b' # c \" d\n|e#f"), ["a", "=~", "'b'", "|", "e", ""]);
        assert_eq!(raw("'open"), ["'", "open", ""]);
        assert_eq!(raw(""), [""]);
        assert_eq!(raw("სფერო:τιμή →"), ["სფერო", ":", "τιμή", "→", ""]);
    }

    #[test]
    fn tokens_know_their_place() {
        let all = tokens("a  'b'");
        let b = all.get(1).unwrap();
        assert_eq!((b.at, b.spaced, b.quoted, b.text.as_ref()), (3, true, true, "b"));
        assert!(!all.first().unwrap().spaced);
    }
}
