//! Ranges of texts (`string_range(a, b)`, `<text`) and of their lengths (`len_range(a, b)`).
//!
//! Invariants
//! * Texts compare by their bytes, and lengths are in characters. A field that is not there is the empty text, of length 0.
use super::parse::{Scope, arguments, function};
use super::{Filter, Test};
use crate::query::fault::{Fault, Parsed};
use crate::query::parse::{Parser, quote_if_needed, quote_operand, quote_text_operand};
use crate::query::value::number::count;
use std::fmt;

/// A range of texts, by their bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextRange {
    /// The least text.
    pub min: String,
    /// The least text above the range; without one it has no end.
    pub end: Option<String>,
    shown: String,
}

impl TextRange {
    /// Texts that are greater or less than one.
    pub(super) fn compared(greater: bool, included: bool, text: String) -> Self {
        let sign = if greater { ">" } else { "<" };
        let shown = format!("{sign}{}{}", if included { "=" } else { "" }, quote_text_operand(&text));
        // The text that follows another one is the same with a zero byte at its end.
        let bound = if greater == included { text } else { text + "\0" };
        if greater {
            Self { min: bound, end: None, shown }
        } else {
            Self { min: String::new(), end: Some(bound), shown }
        }
    }

    /// Whether a text is in it.
    pub(crate) fn has(&self, text: &str) -> bool {
        text >= self.min.as_str() && self.end.as_ref().is_none_or(|end| text < end.as_str())
    }
}

impl fmt::Display for TextRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// A range of lengths in characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LengthRange {
    /// The least length.
    pub min: u64,
    /// The greatest length.
    pub max: u64,
    shown: String,
}

impl LengthRange {
    /// Whether a text is as long.
    pub(crate) fn has(&self, text: &str) -> bool {
        let length = text.chars().count() as u64;
        length >= self.min && length <= self.max
    }
}

impl fmt::Display for LengthRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

fn two_arguments(parser: &mut Parser<'_>) -> Parsed<[String; 2]> {
    let at = parser.at();
    <[String; 2]>::try_from(arguments(parser)?).map_err(|_| Fault::new(at.0, "two arguments are wanted"))
}

/// `string_range`: the lower bound is in it, the upper one is not.
pub(super) fn parse(parser: &mut Parser<'_>, scope: Scope<'_>) -> Parsed<Filter> {
    if let Some(word) = function(parser, scope, &["("])? {
        return Ok(word);
    }
    let [min, end] = two_arguments(parser)?;
    let shown = format!("string_range({}, {})", quote_if_needed(&min), quote_if_needed(&end));
    Ok(scope.test(Test::Text(TextRange { min, end: Some(end), shown })))
}

/// `len_range`: both bounds are in it.
pub(super) fn parse_length(parser: &mut Parser<'_>, scope: Scope<'_>) -> Parsed<Filter> {
    if let Some(word) = function(parser, scope, &["("])? {
        return Ok(word);
    }
    let at = parser.at();
    let [from, to] = two_arguments(parser)?;
    let length = |text: &str| count(text).ok_or_else(|| Fault::new(at.0, format!("'{text}' is no length")));
    let (min, max) = (length(&from)?, length(&to)?);
    let shown = format!("len_range({}, {})", quote_operand(&from), quote_operand(&to));
    Ok(scope.test(Test::Length(LengthRange { min, max, shown })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::testing::check_faults;
    use crate::query::testing::check_filters;

    #[test]
    fn bounds_are_in_or_out() {
        let has = |greater, included, text: &str| TextRange::compared(greater, included, "b".into()).has(text);
        assert!(has(true, true, "b") && !has(true, false, "b") && has(true, false, "b\0") && has(true, false, "c"));
        assert!(has(false, true, "b") && !has(false, false, "b") && has(false, false, "a") && !has(false, true, "b\0"));
    }

    #[test]
    fn lengths_are_in_characters() {
        let range = LengthRange { min: 2, max: 3, shown: String::new() };
        assert!(range.has("éé") && range.has("日本語") && !range.has("a") && !range.has("abcd"));
    }

    const ROWS: &str = r#"
        {"row":"a","user.name":"Alice","_msg":"foobar","foo":"éééééééééé"}
        {"row":"b","user.name":"Bob","_msg":"foo bar"}
        {"row":"c","user.name":"C","_msg":"foo","user:name":"Ann"}
        {"row":"d","user.name":"alice","_msg":"foo bar baz abc"}
        {"row":"e","user.name":"","_msg":"日本語日本"}
        {"row":"f","user.name":"Érik","foo":"12345"}
        {"row":"g","user.name":"A"}
    "#;

    #[test]
    fn texts_are_from_one_up_to_another() {
        check_filters(
            ROWS,
            &[
                ("user.name:string_range(A, C)", "abg"),
                ("user.name:STRING_RANGE(A, C)", "abg"),
                ("user.name:string_range(Alice, Bob)", "a"),
                ("user.name:string_range(C, E)", "c"),
                ("user.name:string_range(C, A)", ""),
                ("user.name:string_range(\"\", B)", "aeg"),
                ("user.name:string_range(É, Ö)", "f"),
                ("\"user:name\":string_range(A, B)", "c"),
                ("user.name:!string_range(A, C)", "cdef"),
                ("user.name:(string_range(A, B) or string_range(a, b))", "adg"),
                ("none:string_range(a, b)", ""),
                ("none:string_range(\"\", b)", "abcdefg"),
                ("string_range(foo, \"foo c\")", "bcd"),
                ("string_range", ""),
            ],
        );
        check_faults(&[("string_range(a)", 12, "two arguments"), ("string_range(a, b, c)", 12, "two arguments")]);
    }

    #[test]
    fn texts_are_as_long() {
        check_filters(
            ROWS,
            &[
                ("len_range(5, 10)", "abe"),
                ("len_range(5, inf)", "abde"),
                ("len_range(0x5, 0b1010)", "abe"),
                ("LEN_RANGE(5, 1_0)", "abe"),
                ("foo:len_range(10, 20)", "a"),
                ("foo:len_range(5, 5)", "f"),
                ("foo:len_range(0, 0)", "bcdeg"),
                ("foo:len_range(10, 5)", ""),
                ("none:len_range(0, 10)", "abcdefg"),
                ("none:len_range(1, 10)", ""),
                ("foo:!len_range(0, 0)", "af"),
                ("len_range", ""),
            ],
        );
        check_faults(&[
            ("len_range(a, 5)", 9, "no length"),
            ("len_range(-1, 5)", 9, "no length"),
            ("len_range(5)", 9, "two"),
        ]);
    }
}
