//! JSON text to fields, in one pass that allocates nothing for usual records.
//!
//! Strings, numbers and objects are read here; texts with escapes are unescaped, arrays and what lies too deep are passed
//! over, by `serde_json`, which also finds the words for what is wrong with a text (`complaint.rs`). Its visitors take 1.6
//! to 1.7 times as long for the same records: docs/decisions/0014-json-in-one-pass.md has the figures.
//!
//! Invariants
//! * Strict: what `serde_json` refuses is refused, but for numbers that are too large for a float, which are kept.
//! * Fields arrive in the order sent, repeated names too; numbers in their spelling; arrays, empty objects and objects
//!   deeper than `RECORD_DEPTH_MAX` as compact text.
//! * After an error the fields seen so far are of no worth: the caller aborts the row.
use super::complaint;
use logyard_storage::limits::RECORD_DEPTH_MAX;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// A value that is no object with fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scalar<'a> {
    /// A string, unescaped.
    String(&'a str),
    /// A number, by its spelling.
    Number(&'a str),
    /// `true` or `false`.
    Bool(bool),
    /// `null`.
    Null,
    /// An array, an empty object or what lies too deep, as compact JSON text.
    Json(&'a str),
}

/// Where fields go.
pub(crate) trait Fields {
    /// A nested object begins; it has at least one field.
    fn enter(&mut self, name: &str);
    /// It ends.
    fn leave(&mut self);
    /// A field of the object that is open.
    fn value(&mut self, name: &str, value: Scalar<'_>);
}

/// Reads `text`, which has to be one JSON object.
pub(crate) fn read_object(text: &str, fields: &mut impl Fields) -> Result<(), serde_json::Error> {
    match (Scanner { text, at: 0 }).record(fields) {
        Some(()) => Ok(()),
        None => Err(complaint::about(text)),
    }
}

/// An array's or object's text without the white space between its tokens.
pub(crate) fn compact(raw: &str) -> Cow<'_, str> {
    let is_space = |c: char| matches!(c, ' ' | '\t' | '\n' | '\r');
    if !raw.contains(is_space) {
        return Cow::Borrowed(raw);
    }
    let mut text = String::with_capacity(raw.len());
    let (mut in_string, mut escaped) = (false, false);
    for c in raw.chars() {
        if in_string || !is_space(c) {
            text.push(c);
        }
        in_string ^= c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
    }
    Cow::Owned(text)
}

/// A parser's complaint without its position.
pub(crate) fn what(error: &serde_json::Error) -> String {
    let mut text = error.to_string();
    if let Some(at) = text.rfind(" at line ") {
        text.truncate(at);
    }
    text
}

/// A place in a text. Nothing is given where the text is not as it should be.
struct Scanner<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Scanner<'t> {
    fn record(&mut self, fields: &mut impl Fields) -> Option<()> {
        self.skip_space();
        self.eat(b'{')?;
        self.object(1, None, fields)?;
        self.skip_space();
        (self.at == self.text.len()).then_some(())
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// The fields of an object of this nesting, whose brace was taken; the record itself has no name.
    fn object(&mut self, depth: usize, name: Option<&str>, fields: &mut impl Fields) -> Option<()> {
        self.skip_space();
        if self.eat(b'}').is_some() {
            if let Some(name) = name {
                fields.value(name, Scalar::Json("{}"));
            }
            return Some(());
        }
        if let Some(name) = name {
            fields.enter(name);
        }
        loop {
            self.eat(b'"')?;
            let key = self.string()?;
            self.skip_space();
            self.eat(b':')?;
            self.skip_space();
            self.value(depth, &key, fields)?;
            self.skip_space();
            if self.eat(b',').is_some() {
                self.skip_space();
                continue;
            }
            self.eat(b'}')?;
            if name.is_some() {
                fields.leave();
            }
            return Some(());
        }
    }

    /// The value of a field of an object of this nesting.
    fn value(&mut self, depth: usize, key: &str, fields: &mut impl Fields) -> Option<()> {
        match self.peek()? {
            b'"' => {
                self.at += 1;
                let text = self.string()?;
                fields.value(key, Scalar::String(&text));
            }
            b'-' | b'0'..=b'9' => {
                let spelling = self.number()?;
                fields.value(key, Scalar::Number(spelling));
            }
            b'{' if depth < RECORD_DEPTH_MAX => {
                self.at += 1;
                self.object(depth + 1, Some(key), fields)?;
            }
            b'{' | b'[' => {
                let raw = self.raw()?;
                fields.value(key, Scalar::Json(&compact(raw)));
            }
            b't' => {
                self.word("true")?;
                fields.value(key, Scalar::Bool(true));
            }
            b'f' => {
                self.word("false")?;
                fields.value(key, Scalar::Bool(false));
            }
            b'n' => {
                self.word("null")?;
                fields.value(key, Scalar::Null);
            }
            _ => return None,
        }
        Some(())
    }

    fn word(&mut self, word: &str) -> Option<()> {
        self.text.get(self.at..)?.starts_with(word).then(|| self.at += word.len())
    }

    /// The text of a string whose opening quote was taken.
    #[inline]
    fn string(&mut self) -> Option<Cow<'t, str>> {
        let start = self.at;
        let end = next_special(self.text.as_bytes(), start);
        if self.text.as_bytes().get(end) != Some(&b'"') {
            return self.escaped(start, end).map(Cow::Owned);
        }
        self.at = end + 1;
        self.text.get(start..end).map(Cow::Borrowed)
    }

    /// The same where what is special at `at` is not the closing quote.
    #[cold]
    fn escaped(&mut self, start: usize, mut at: usize) -> Option<String> {
        let bytes = self.text.as_bytes();
        while *bytes.get(at)? == b'\\' {
            at = next_special(bytes, at + 2);
        }
        if *bytes.get(at)? != b'"' {
            return None;
        }
        self.at = at + 1;
        serde_json::from_str(self.text.get(start - 1..=at)?).ok()
    }

    fn number(&mut self) -> Option<&'t str> {
        let start = self.at;
        // Where it is not there, that is fine.
        let _negative = self.eat(b'-');
        if self.eat(b'0').is_none() {
            self.digits()?;
        }
        if self.eat(b'.').is_some() {
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        self.text.get(start..self.at)
    }

    /// One digit or more.
    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    /// An array or object as it is spelled.
    fn raw(&mut self) -> Option<&'t str> {
        let rest = self.text.get(self.at..)?;
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<&RawValue>();
        let raw = values.next()?.ok()?;
        self.at += values.byte_offset();
        Some(raw.get())
    }
}

/// Where the next quote, backslash or control character is, eight bytes at a time; the end where there is none.
#[inline]
fn next_special(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    while let Some(eight) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*eight);
        // The high bit of each byte below `n`; above the first such byte others may have it too.
        let below = |word: u64, n: u8| word.wrapping_sub(ONES * u64::from(n)) & !word & (ONES << 7);
        let is = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
        let found = is(b'"') | is(b'\\') | below(word, b' ');
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..b' ')).unwrap_or(rest.len())
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
