//! `extract "text<field>text"`: fields from what stands between texts.
//!
//! Invariants
//! * Any two fields of the pattern have text between them.
//! * Each field has a value: the empty text from where a text does not fit the pattern any more.
use super::Step;
use super::condition::{Condition, add_needed, show};
use super::unpack::{Keep, Unpacker, show_from};
use crate::error::Result;
use crate::query::fault::{Fault, Parsed};
use crate::query::filter::Filter;
use crate::query::needed::Needed;
use crate::query::parse::{Parser, quote_if_needed};
use crate::query::run::{Context, Stage};
use crate::query::value::pattern::{Step as PatternStep, check_extract, extract, steps};
use std::fmt;

/// The pipe.
#[derive(Clone, Debug, PartialEq)]
pub struct Extract {
    /// Which rows it is for.
    pub condition: Option<Filter>,
    /// The pattern as written.
    pub pattern: String,
    /// The field that is looked into.
    pub from: String,
    /// Which value stays.
    pub keep: Keep,
    steps: Vec<PatternStep>,
}

impl Extract {
    pub(super) fn parse(parser: &mut Parser<'_>) -> Parsed<Self> {
        let condition = Filter::parse_condition(parser)?;
        let at = parser.at();
        let pattern = parser.word("a pattern")?;
        let steps = steps(&pattern).and_then(|steps| check_extract(&steps).map(|()| steps));
        let steps = steps.map_err(|reason| Fault::new(at.0, reason))?;
        let from = if parser.takes("from") { parser.field_name()? } else { "_msg".into() };
        Ok(Self { condition, pattern, from, keep: Keep::parse(parser), steps })
    }
}

impl fmt::Display for Extract {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let condition = show(self.condition.as_ref());
        write!(f, "extract{condition} {}{}{}", quote_if_needed(&self.pattern), show_from(&self.from), self.keep)
    }
}

impl Step for Extract {
    fn needed(&self, needed: &mut Needed) {
        needed.add(&self.from);
        add_needed(self.condition.as_ref(), needed);
    }

    fn stage<'c>(&self, context: &Context<'c>) -> Result<Box<dyn Stage + 'c>> {
        let steps = self.steps.clone();
        Ok(Box::new(Unpacker {
            from: self.from.clone(),
            condition: Condition::prepare(self.condition.as_ref(), context)?,
            prefix: String::new(),
            keep: self.keep,
            bounds: (context.stop.clone(), context.memory.clone()),
            unpack: Box::new(move |text| {
                let values = steps.iter().zip(extract(&steps, text));
                let named = values.filter(|(step, _)| !step.field.is_empty());
                Ok(named.map(|(step, value)| (step.field.clone(), value)).collect())
            }),
        }))
    }
}

#[cfg(test)]
mod tests {
    use crate::query::testing::check;

    #[test]
    fn which_value_stays_is_an_option() {
        check(
            r#"extract "x=<x>," from a"#,
            r#"{"a":"x=1,","x":"0"}
{"a":"y","x":"0"}"#,
            r#"{"a":"x=1,","x":"1"}
{"a":"y"}"#,
        );
        check(
            r#"extract "x=<x>," from a keep_original_fields"#,
            r#"{"a":"x=1,","x":"0"}
{"a":"x=2,"}"#,
            r#"{"a":"x=1,","x":"0"}
{"a":"x=2,","x":"2"}"#,
        );
        check(
            r#"extract "x=<x>," from a skip_empty_results"#,
            r#"{"a":"x=1,","x":"0"}
{"a":"y","x":"0"}"#,
            r#"{"a":"x=1,","x":"1"}
{"a":"y","x":"0"}"#,
        );
        check(
            r#"extract if (b:1) "x=<x>," from a | fields x"#,
            r#"{"a":"x=1,","b":"1"}
{"a":"x=2,","x":"7"}"#,
            r#"{"x":"1"}
{"x":"7"}"#,
        );
    }
}
