//! `pack_json` and `pack_logfmt`: the fields of a row as one text.
//!
//! Invariants
//! * An empty field is a missing one, and is left out.
use super::Step;
use super::show_names;
use super::update::PerBlock;
use crate::error::Result;
use crate::query::block::{Block, Column, Texts};
use crate::query::fault::Parsed;
use crate::query::needed::{Needed, fits_any};
use crate::query::parse::{Parser, quote_if_needed};
use crate::query::run::{Context, Stage};
use crate::query::value::json::{push_json_string, show_object};
use crate::query::value::logfmt::needs_quotes;
use std::fmt;

/// The pipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pack {
    /// Whether it makes logfmt, not JSON.
    pub logfmt: bool,
    /// The fields; none is every one.
    pub patterns: Vec<String>,
    /// The field of the result.
    pub result: String,
}

impl Pack {
    pub(super) fn parse(parser: &mut Parser<'_>, logfmt: bool) -> Parsed<Self> {
        let mut patterns = if parser.takes("fields") { parser.field_patterns_in_parens()? } else { Vec::new() };
        if patterns.iter().any(|pattern| pattern == "*") {
            patterns.clear();
        }
        Ok(Self { logfmt, patterns, result: parser.result_or_message()? })
    }
}

impl fmt::Display for Pack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.logfmt { "pack_logfmt" } else { "pack_json" })?;
        if !self.patterns.is_empty() {
            write!(f, " fields ({})", show_names(&self.patterns))?;
        }
        if self.result == "_msg" { Ok(()) } else { write!(f, " as {}", quote_if_needed(&self.result)) }
    }
}

impl Step for Pack {
    fn needed(&self, needed: &mut Needed) {
        if !needed.has(&self.result) {
            return;
        }
        needed.remove(&self.result);
        if self.patterns.is_empty() { needed.add("*") } else { needed.add_all(&self.patterns) }
    }

    fn stage<'c>(&self, context: &Context<'c>) -> Result<Box<dyn Stage + 'c>> {
        let (pipe, memory) = (self.clone(), context.memory.clone());
        Ok(Box::new(PerBlock(move |mut block: Block| {
            let mut texts = Texts::default();
            for row in 0..block.rows() {
                let wanted = |name: &str| pipe.patterns.is_empty() || fits_any(&pipe.patterns, name);
                let fields = block.row(row).filter(|(name, _)| wanted(name));
                texts.push(&if pipe.logfmt { logfmt(fields) } else { show_object(fields) });
                memory.check(texts.bytes(), "a block of packed rows")?;
            }
            block.put(Column::new(&pipe.result, texts));
            Ok(block)
        })))
    }
}

fn logfmt<'a>(fields: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut out = String::new();
    for (name, value) in fields {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(name);
        out.push('=');
        if needs_quotes(value) {
            push_json_string(&mut out, value, true);
        } else {
            out.push_str(value);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use crate::query::testing::check;
    use crate::query::testing::check_field;

    #[test]
    fn a_row_is_one_text() {
        check(
            "pack_json fields (b*, a) as x",
            r#"{"a":"1","b":"","bc":"q\"q","z":"0"}"#,
            r#"{"a":"1","bc":"q\"q","z":"0","x":"{\"a\":\"1\",\"bc\":\"q\\\"q\"}"}"#,
        );
        check("pack_logfmt as x | fields x", r#"{"a":"1","b":"x y"}"#, r#"{"x":"a=1 b=\"x y\""}"#);
    }

    #[test]
    fn fields_stand_in_their_order() {
        let row = r#"{"foo.b":"1","foo.a":"","x":"é \"q\"","bar.c":"2","foo":"3","_msg":"m"}"#;
        check_field(
            "pack_json fields (foo.*, bar.*) as p",
            "p",
            &[(row, r#"{"foo.b":"1","bar.c":"2"}"#), ("{}", "{}")],
        );
        check_field("pack_json fields (bar.*, foo.*) as p", "p", &[(row, r#"{"foo.b":"1","bar.c":"2"}"#)]);
        check_field("pack_json fields (foo, none) p", "p", &[(row, r#"{"foo":"3"}"#)]);
        check_field("pack_json fields (x*, x) p", "p", &[(row, r#"{"x":"é \"q\""}"#)]);
        check_field("pack_json fields (_msg)", "_msg", &[(row, r#"{"_msg":"m"}"#), ("{}", "{}")]);
        check_field(
            "pack_logfmt fields (foo*, x) as p",
            "p",
            &[(row, r#"foo.b=1 x="é \"q\"" foo=3"#), (r#"{"x":"a=b"}"#, "x=a=b"), ("{}", "")],
        );
        let all = r#"{"row":"0","foo.b":"1","x":"é \"q\"","bar.c":"2","foo":"3","_msg":"m"}"#;
        check_field("pack_json as p", "p", &[(row, all)]);
        check_field("pack_json fields (*) as p", "p", &[(row, all)]);
    }
}
