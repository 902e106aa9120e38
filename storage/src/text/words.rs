//! Words as LogsQL has them: maximal runs of characters of Unicode category L or Nd, and `_`.
//!
//! Invariants
//! * ASCII is decided by a table, everything else by character, never by byte.
//! * Folding maps one character to one character, so that word boundaries survive it.
use std::ops::Range;
use std::sync::LazyLock;

/// What a byte below 128 is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    Separator = 0,
    Letter = 1,
    Digit = 2,
    /// Part of a character beyond ASCII, which has to be looked up.
    Wide = 4,
}

#[expect(clippy::indexing_slicing, reason = "worked out by the compiler")]
pub(crate) static CLASS: [Class; 256] = {
    let mut table = [Class::Separator; 256];
    let mut i = 0;
    while i < 256 {
        let c = i as u8;
        table[i] = if c.is_ascii_digit() {
            Class::Digit
        } else if c.is_ascii_alphabetic() || c == b'_' {
            Class::Letter
        } else if c >= 128 {
            Class::Wide
        } else {
            Class::Separator
        };
        i += 1;
    }
    table
};

/// The class of a byte.
pub(crate) fn class(byte: u8) -> Class {
    CLASS.get(usize::from(byte)).copied().unwrap_or(Class::Separator)
}

/// One bit for each code point.
static WIDE: LazyLock<Box<[u64]>> = LazyLock::new(|| {
    let mut bits = vec![0u64; 0x11_0000 / 64].into_boxed_slice();
    // The pattern is a constant and its tables are compiled in, so parsing cannot fail; were it to, no character beyond
    // ASCII would be a word character, and the test below would say so.
    if let Ok(hir) = regex_syntax::parse(r"[\p{L}\p{Nd}]")
        && let regex_syntax::hir::HirKind::Class(regex_syntax::hir::Class::Unicode(class)) = hir.kind()
    {
        for range in class.ranges() {
            for c in u32::from(range.start())..=u32::from(range.end()) {
                if let Some(word) = bits.get_mut(c as usize / 64) {
                    *word |= 1 << (c % 64);
                }
            }
        }
    }
    bits
});

/// Whether a character belongs to words.
pub fn is_word(c: char) -> bool {
    match u8::try_from(c) {
        Ok(byte) if byte < 128 => class(byte) != Class::Separator,
        _ => is_wide_word(c),
    }
}

fn is_wide_word(c: char) -> bool {
    let c = u32::from(c);
    WIDE.get(c as usize / 64).is_some_and(|word| word >> (c % 64) & 1 == 1)
}

/// A word found in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// Where it stands, in bytes.
    pub span: Range<usize>,
    /// Whether it has an ASCII digit, which makes it a variable.
    pub has_digit: bool,
}

/// The words of a text from left to right.
pub struct Words<'a> {
    text: &'a str,
    at: usize,
}

/// The words of `text` from left to right.
pub fn words(text: &str) -> Words<'_> {
    Words { text, at: 0 }
}

impl Iterator for Words<'_> {
    type Item = Word;

    fn next(&mut self) -> Option<Word> {
        let bytes = self.text.as_bytes();
        loop {
            let start = self.at;
            let (is_word, len, _) = step(self.text, bytes, start)?;
            self.at += len;
            if is_word {
                break;
            }
        }
        // The first character was taken; go back to see whether it was a digit.
        let first_len = self.text.get(..self.at).and_then(|head| head.chars().next_back()).map_or(1, char::len_utf8);
        let start = self.at - first_len;
        self.at = start;
        let mut has_digit = false;
        while let Some((true, len, digit)) = step(self.text, bytes, self.at) {
            has_digit |= digit;
            self.at += len;
        }
        Some(Word { span: start..self.at, has_digit })
    }
}

/// Whether the character at `at` belongs to a word, its length, and whether it is an ASCII digit.
#[inline]
pub(crate) fn step(text: &str, bytes: &[u8], at: usize) -> Option<(bool, usize, bool)> {
    let class = class(*bytes.get(at)?);
    if class != Class::Wide {
        return Some((class != Class::Separator, 1, class == Class::Digit));
    }
    let c = text.get(at..)?.chars().next()?;
    Some((is_wide_word(c), c.len_utf8(), false))
}

/// A character in lower case, one for one.
pub fn fold(c: char) -> char {
    if c.is_ascii() { c.to_ascii_lowercase() } else { c.to_lowercase().next().unwrap_or(c) }
}

/// A text in lower case, character by character.
pub fn fold_text(text: &str) -> String {
    text.chars().map(fold).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<(&str, bool)> {
        words(text).map(|w| (&text[w.span], w.has_digit)).collect()
    }

    #[test]
    fn words_are_letters_digits_and_underscores() {
        assert_eq!(split("«42» m² a_b-c9"), [("42", true), ("m", false), ("a_b", false), ("c9", true)]);
        assert_eq!(split("日本語のログ, İx"), [("日本語のログ", false), ("İx", false)]);
        // Vowel signs are category M and part words, as in LogsQL.
        assert_eq!(split("हिन्दी"), [("ह", false), ("न", false), ("द", false)]);
        assert_eq!(split("a\u{FFFD}b ٣"), [("a", false), ("b", false), ("٣", false)]);
        assert_eq!(split(""), []);
        let long = "x".repeat(70_000);
        assert_eq!(split(&long), [(long.as_str(), false)]);
    }

    #[test]
    fn the_wide_table_is_filled() {
        assert!(is_word('é') && is_word('字') && is_word('٣') && !is_word('²') && !is_word('→'));
    }

    #[test]
    fn folding_is_one_for_one() {
        assert_eq!(fold_text("İÀx_9"), "iàx_9");
    }
}
