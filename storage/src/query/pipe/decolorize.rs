//! `decolorize`: a text without the sequences that colour it on a terminal.
//!
//! Invariants
//! * Only what begins with `ESC [` is left out, up to its final byte, or as far as it goes where it has none.
use super::Step;
use super::update::in_place;
use crate::error::Result;
use crate::query::fault::Parsed;
use crate::query::needed::Needed;
use crate::query::parse::{Parser, quote_if_needed};
use crate::query::run::{Context, Stage};
use std::fmt;

/// The pipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decolorize {
    /// The field.
    pub field: String,
}

impl Decolorize {
    pub(super) fn parse(parser: &mut Parser<'_>) -> Parsed<Self> {
        Ok(Self { field: if parser.ends_pipe() { "_msg".into() } else { parser.field_name()? } })
    }
}

impl fmt::Display for Decolorize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field.as_str() {
            "_msg" => f.write_str("decolorize"),
            field => write!(f, "decolorize {}", quote_if_needed(field)),
        }
    }
}

impl Step for Decolorize {
    fn needed(&self, _: &mut Needed) {}

    fn stage<'c>(&self, context: &Context<'c>) -> Result<Box<dyn Stage + 'c>> {
        in_place(&self.field, None, context, |text| Ok(decolorized(text)))
    }
}

/// Leaves out control sequences: `ESC [`, parameters, intermediate bytes and a final one.
fn decolorized(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let mut out = String::from(parts.next().unwrap_or_default());
    for part in parts {
        let part = part.trim_start_matches(|c: char| ('0'..='?').contains(&c));
        let part = part.trim_start_matches(|c: char| (' '..='/').contains(&c));
        out.push_str(part.strip_prefix(|c: char| ('0'..='~').contains(&c)).unwrap_or(part));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::testing::check;
    use crate::query::testing::check_field;

    #[test]
    fn sequences_are_left_out() {
        assert_eq!(decolorized("\u{1b}[1;31mred\u{1b}[0m plain \u{1b}[ qx é"), "red plain x é");
        assert_eq!(decolorized("\u{1b}["), "");
    }

    #[test]
    fn the_message_is_meant() {
        check("decolorize", r#"{"_msg":"\u001b[1mx\u001b[0m"}"#, r#"{"_msg":"x"}"#);
    }

    #[test]
    fn only_the_named_field_changes() {
        let rows = [
            (r#"{"a":"\u001b[31mred\u001b[0m é","b":"\u001b[1mx"}"#, "red é"),
            (r#"{"a":"plain"}"#, "plain"),
            ("{}", ""),
        ];
        check_field("decolorize a", "a", &rows);
        check_field("decolorize a", "b", &[(rows[0].0, "\u{1b}[1mx")]);
    }
}
