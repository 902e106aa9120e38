//! `unpack_words`: the words of a text as a JSON array.
//!
//! Invariants
//! * Words come in the order of the text, with `drop_duplicates` where each stands first. A text without words gives an empty
//!   array.
use super::Step;
use super::update::from_field;
use crate::error::Result;
use crate::query::fault::Parsed;
use crate::query::needed::Needed;
use crate::query::parse::{Parser, quote_if_needed};
use crate::query::run::{Context, Stage};
use crate::query::value::json::show_array;
use crate::text::words::words;
use rustc_hash::FxHashSet;
use std::fmt;

/// The pipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnpackWords {
    /// The field.
    pub from: String,
    /// The field of the result.
    pub result: String,
    /// Whether each word is given once.
    pub drop_duplicates: bool,
}

impl UnpackWords {
    pub(super) fn parse(parser: &mut Parser<'_>) -> Parsed<Self> {
        let mut from = "_msg".to_string();
        if !parser.ends_pipe() && !parser.is_any(&["drop_duplicates", "as"]) {
            parser.takes("from");
            from = parser.field_name()?;
        }
        let mut result = from.clone();
        if !parser.ends_pipe() && !parser.is("drop_duplicates") {
            parser.takes("as");
            result = parser.field_name()?;
        }
        Ok(Self { from, result, drop_duplicates: parser.takes("drop_duplicates") })
    }
}

impl fmt::Display for UnpackWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unpack_words")?;
        if self.from != "_msg" {
            write!(f, " from {}", quote_if_needed(&self.from))?;
        }
        if self.result != self.from {
            write!(f, " as {}", quote_if_needed(&self.result))?;
        }
        if self.drop_duplicates { f.write_str(" drop_duplicates") } else { Ok(()) }
    }
}

impl Step for UnpackWords {
    fn needed(&self, needed: &mut Needed) {
        if needed.has(&self.result) {
            needed.remove(&self.result);
            needed.add(&self.from);
        }
    }

    fn stage<'c>(&self, context: &Context<'c>) -> Result<Box<dyn Stage + 'c>> {
        let once = self.drop_duplicates;
        Ok(from_field(&self.from, &self.result, context, move |text| {
            let mut seen = FxHashSet::default();
            let found = words(text).filter_map(|word| text.get(word.span));
            Ok(show_array(found.filter(|word| !once || seen.insert(*word))))
        }))
    }
}

#[cfg(test)]
mod tests {
    use crate::query::testing::check_field;
    use crate::query::testing::{answer, check, rows};

    #[test]
    fn words_are_an_array() {
        check(
            "unpack_words a as w drop_duplicates | fields w",
            r#"{"a":"foo: (bar,тест) foo"}"#,
            r#"{"w":"[\"foo\",\"bar\",\"тест\"]"}"#,
        );
    }

    #[test]
    fn words_come_as_often_as_they_stand_there() {
        check_field(
            "unpack_words from _msg as w",
            "w",
            &[
                (r#"{"_msg":"a b a"}"#, r#"["a","b","a"]"#),
                (r#"{"_msg":"foo_1: bar-2.5"}"#, r#"["foo_1","bar","2","5"]"#),
                (r#"{"_msg":"Ünï ünï"}"#, r#"["Ünï","ünï"]"#),
                (r#"{"_msg":"..."}"#, "[]"),
                ("{}", "[]"),
            ],
        );
        check_field("unpack_words from a as w drop_duplicates", "w", &[(r#"{"a":"a b a"}"#, r#"["a","b"]"#)]);
        check_field("unpack_words", "_msg", &[(r#"{"_msg":"x y"}"#, r#"["x","y"]"#)]);
    }

    #[test]
    fn a_block_of_many_words_is_refused() {
        let line = |i: usize| format!("{{\"a\":\"{}{i}\"}}\n", "x ".repeat(500));
        let rows = rows(&(0..900).map(line).collect::<String>());
        let query = "* | unpack_words a as w | len(w) as n | stats min(n) n";
        let error = answer(query, &rows, 4 << 20).unwrap_err();
        assert!(error.to_string().contains("a block of values that are made"), "{error}");
        assert_eq!(answer(query, &rows, 32 << 20).unwrap(), [r#"{"n":"2005"}"#]);
    }
}
