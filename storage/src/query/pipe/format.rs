//! `format "text <field> text" as result`: a text made of fields.
//!
//! Invariants
//! * What is made of a block is checked against the query's memory at every field that is put in.
//! * A field that a row lacks is the empty text; a row that the condition leaves out keeps its value.
use super::Step;
use super::condition::{Condition, add_needed, show};
use super::unpack::Keep;
use super::update::PerBlock;
use crate::error::Result;
use crate::query::block::{Block, Column, Texts};
use crate::query::fault::{Fault, Parsed};
use crate::query::filter::Filter;
use crate::query::needed::Needed;
use crate::query::parse::{Parser, quote_if_needed};
use crate::query::run::{Context, Stage};
use crate::query::value::coding::shown_as;
use crate::query::value::pattern::{Step as PatternStep, steps};
use std::fmt;

/// The pipe.
#[derive(Clone, Debug, PartialEq)]
pub struct Format {
    /// Which rows it is for.
    pub condition: Option<Filter>,
    /// The pattern as written.
    pub pattern: String,
    /// The field of the result.
    pub result: String,
    /// Which value stays.
    pub keep: Keep,
    steps: Vec<PatternStep>,
}

impl Format {
    pub(super) fn parse(parser: &mut Parser<'_>) -> Parsed<Self> {
        let condition = Filter::parse_condition(parser)?;
        let at = parser.at();
        let pattern = parser.word("a pattern")?;
        let steps = steps(&pattern).map_err(|reason| Fault::new(at.0, reason))?;
        let result = if parser.takes("as") { parser.field_name()? } else { "_msg".into() };
        Ok(Self { condition, pattern, result, keep: Keep::parse(parser), steps })
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "format{} {}", show(self.condition.as_ref()), quote_if_needed(&self.pattern))?;
        if self.result != "_msg" {
            write!(f, " as {}", quote_if_needed(&self.result))?;
        }
        self.keep.fmt(f)
    }
}

impl Step for Format {
    fn needed(&self, needed: &mut Needed) {
        if !needed.has(&self.result) {
            return;
        }
        if self.condition.is_none() && self.keep == Keep::New {
            needed.remove(&self.result);
        }
        needed.add_all(self.steps.iter().map(|step| &step.field).filter(|field| !field.is_empty()));
        add_needed(self.condition.as_ref(), needed);
    }

    fn stage<'c>(&self, context: &Context<'c>) -> Result<Box<dyn Stage + 'c>> {
        let condition = Condition::prepare(self.condition.as_ref(), context)?;
        let (steps, result, keep) = (self.steps.clone(), self.result.clone(), self.keep);
        let (memory, stop) = (context.memory.clone(), context.stop.clone());
        Ok(Box::new(PerBlock(move |mut block: Block| {
            let rows = condition.rows(&block);
            let columns: Vec<&Column> = steps.iter().map(|step| block.column(&step.field)).collect();
            let old = block.column(&result);
            let mut texts = Texts::default();
            for row in 0..block.rows() {
                if !rows.has(row) {
                    texts.push(old.value(row));
                    memory.check(texts.bytes(), "a block of formatted values")?;
                    continue;
                }
                stop.check()?;
                let mut text = String::new();
                for (step, column) in steps.iter().zip(&columns) {
                    text.push_str(&step.text);
                    if !step.field.is_empty() {
                        text.push_str(&shown_as(&step.option, column.value(row)));
                        memory.check(text.len() + texts.bytes(), "a block of formatted values")?;
                    }
                }
                texts.push(keep.choose(old.value(row), &text));
                memory.check(texts.bytes(), "a block of formatted values")?;
            }
            block.put(Column::new(&result, texts));
            Ok(block)
        })))
    }
}

#[cfg(test)]
mod tests {
    use crate::query::testing::check;
    use crate::query::testing::check_field;

    #[test]
    fn fields_are_put_in() {
        check(
            r#"format "<a>:<q:b>" as x"#,
            r#"{"a":"1","b":"<'"}"#,
            r#"{"a":"1","b":"<'","x":"1:\"\\u003c\\u0027\""}"#,
        );
        check(
            r#"format if (a:1) "new" as b keep_original_fields"#,
            r#"{"a":"1"}
{"a":"1","b":"old"}
{"a":"2"}"#,
            r#"{"a":"1","b":"new"}
{"a":"1","b":"old"}
{"a":"2"}"#,
        );
    }

    #[test]
    fn values_are_written_in_ways() {
        for (way, row, wanted) in [
            ("<a>", r#"{"a":"x"}"#, "x"),
            ("<a>-<none>.", r#"{"a":"é"}"#, "é-."),
            ("request from <ip>:<port>", r#"{"ip":"1.2.3.4","port":"80"}"#, "request from 1.2.3.4:80"),
            ("<uc:a> <lc:a>", r#"{"a":"aÉß"}"#, "AÉß aéß"),
            ("<q:a>", r#"{"a":"x\n\"y\""}"#, r#""x\n\"y\"""#),
            ("<q:none>", "{}", "\"\""),
            ("<duration_seconds:a>", r#"{"a":"1m2.5s"}"#, "62.5"),
            ("<duration:a>", r#"{"a":"62500000000"}"#, "1m2.5s"),
            ("<duration:a>", r#"{"a":"x"}"#, "x"),
            ("<time:a>", r#"{"a":"1717328141"}"#, "2024-06-02T11:35:41Z"),
            ("<time:a>", r#"{"a":"1717328141123"}"#, "2024-06-02T11:35:41.123Z"),
            ("<ipv4:a>", r#"{"a":"16909060"}"#, "1.2.3.4"),
            ("<urlencode:a>", r#"{"a":"a b/é?"}"#, "a+b%2F%C3%A9%3F"),
            ("<urldecode:a>", r#"{"a":"a+b%2F%C3%A9%3F"}"#, "a b/é?"),
            ("<hexencode:a>", r#"{"a":"é1"}"#, "C3A931"),
            ("<hexdecode:a>", r#"{"a":"C3A931"}"#, "é1"),
            ("<base64encode:a>", r#"{"a":"pass word"}"#, "cGFzcyB3b3Jk"),
            ("<base64decode:a>", r#"{"a":"cGFzcyB3b3Jk"}"#, "pass word"),
            ("<hexnumencode:a>", r#"{"a":"255"}"#, "00000000000000FF"),
            ("<hexnumdecode:a>", r#"{"a":"ff"}"#, "255"),
        ] {
            check_field(&format!("format '{way}' as x"), "x", &[(row, wanted)]);
        }
        check_field("format 'n<a>'", "_msg", &[(r#"{"_msg":"m","a":"1"}"#, "n1"), (r#"{"_msg":"m"}"#, "n")]);
        check_field(
            "format '<a><b>' as x skip_empty_results",
            "x",
            &[(r#"{"x":"old"}"#, "old"), (r#"{"x":"old","b":"1"}"#, "1"), ("{}", "")],
        );
    }
}
