//! Filters: what a row has to be to be selected.
//!
//! A filter is a tree of simple, closed kinds, so that a planner can look into it; [`prepare::Matcher`] is the same tree made
//! ready to run.
//!
//! Invariants
//! * No `And` stands in an `And`, no `Or` in an `Or`, no `Not` in a `Not`; each has at least two, two, and one part.
//! * What is shown parses to the same filter.
mod common_case;
pub(crate) mod contains;
pub(crate) mod day;
pub(crate) mod exact;
pub(crate) mod fields;
pub(crate) mod fuzzy;
pub(crate) mod ipv4;
mod parse;
pub(crate) mod phrase;
pub(crate) mod prepare;
pub(crate) mod push;
pub(crate) mod range;
pub(crate) mod regexp;
pub(crate) mod sequence;
pub(crate) mod stream;
pub(crate) mod stream_id;
pub(crate) mod text_range;
pub(crate) mod time;
pub(crate) mod value_type;
pub(crate) mod values;
pub(crate) mod word_set;

use super::fault::At;
use super::parse::{quote_field, quote_if_needed};
pub use day::{DayRange, WeekRange};
pub use fields::{FieldPair, Relation};
pub use fuzzy::Fuzzy;
pub use ipv4::Ipv4Range;
pub use range::NumberRange;
use std::fmt;
pub use stream::{Label, LabelTest, StreamSelector};
pub use stream_id::StreamIds;
pub use text_range::{LengthRange, TextRange};
pub use time::{Bound, Moment, TimeFilter, TimeRange};
pub use values::{Subquery, Values};

/// Which rows are selected.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// Every row.
    All,
    /// Rows that pass all of these.
    And(Vec<Filter>),
    /// Rows that pass any of these.
    Or(Vec<Filter>),
    /// Rows that do not pass.
    Not(Box<Filter>),
    /// Rows one field of which passes a test.
    Field(FieldTest),
    /// Rows two fields of which relate.
    Fields(FieldPair),
    /// Rows of a time range.
    Time(TimeFilter),
    /// Rows of a part of each day.
    Day(DayRange),
    /// Rows of some days of each week.
    Week(WeekRange),
    /// Rows of streams with some labels.
    Stream(StreamSelector),
    /// Rows of some streams.
    StreamId(StreamIds),
}

/// A test of one field; a field that a row does not have is the empty text.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldTest {
    /// Where it stands.
    pub at: At,
    /// The field.
    pub field: String,
    /// The test.
    pub test: Test,
}

/// A test of a text.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// The text has this word or phrase.
    Phrase(String),
    /// The text has a word or phrase that begins so; with nothing, the text is not empty.
    Prefix(String),
    /// The text has this word or phrase in any case.
    AnyCasePhrase(String),
    /// The text has a word or phrase that begins so in any case.
    AnyCasePrefix(String),
    /// The text is this one.
    Exact(String),
    /// The text begins so.
    ExactPrefix(String),
    /// The text is one of these.
    In(Values),
    /// The text has all of these words and phrases.
    ContainsAll(Values),
    /// The text has one of these words and phrases.
    ContainsAny(Values),
    /// The text has these words and phrases, one after another.
    Sequence(Vec<String>),
    /// The text has a word that is nearly this one.
    Fuzzy(Fuzzy),
    /// A regular expression matches somewhere in the text.
    Regexp(String),
    /// The text is a number in a range.
    Number(NumberRange),
    /// The text is in a range of texts.
    Text(TextRange),
    /// The text has so many characters.
    Length(LengthRange),
    /// The text is an IPv4 address in a range.
    Ipv4(Ipv4Range),
    /// The value was sent as this kind.
    ValueType(String),
}

impl Filter {
    /// All of these.
    pub(crate) fn and(parts: Vec<Self>) -> Self {
        Self::joined(parts, Self::And, |part| match part {
            Self::And(inner) => Ok(inner),
            other => Err(other),
        })
    }

    /// Any of these.
    pub(crate) fn or(parts: Vec<Self>) -> Self {
        Self::joined(parts, Self::Or, |part| match part {
            Self::Or(inner) => Ok(inner),
            other => Err(other),
        })
    }

    fn joined(parts: Vec<Self>, join: fn(Vec<Self>) -> Self, inner: fn(Self) -> Result<Vec<Self>, Self>) -> Self {
        let mut flat = Vec::with_capacity(parts.len());
        for part in parts {
            match inner(part) {
                Ok(parts) => flat.extend(parts),
                Err(part) => flat.push(part),
            }
        }
        if flat.len() == 1 { flat.pop().unwrap_or(Self::All) } else { join(flat) }
    }

    /// The opposite.
    pub(crate) fn negated(self) -> Self {
        match self {
            Self::Not(inner) => *inner,
            other => Self::Not(Box::new(other)),
        }
    }

    /// Looks at every part, and at the filters of no subquery.
    pub(crate) fn visit(&self, look: &mut dyn FnMut(&Self)) {
        look(self);
        match self {
            Self::And(parts) | Self::Or(parts) => parts.iter().for_each(|part| part.visit(look)),
            Self::Not(part) => part.visit(look),
            _ => {}
        }
    }

    /// The fields that it looks at.
    pub(crate) fn fields(&self) -> Vec<String> {
        let mut fields = Vec::new();
        self.visit(&mut |part| match part {
            Self::Field(test) => fields.push(test.field.clone()),
            Self::Fields(pair) => fields.extend([pair.field.clone(), pair.other.clone()]),
            Self::Time(_) | Self::Day(_) | Self::Week(_) => fields.push("_time".into()),
            Self::Stream(_) => fields.push("_stream".into()),
            Self::StreamId(_) => fields.push("_stream_id".into()),
            _ => {}
        });
        fields
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::And(parts) => {
                for (i, part) in parts.iter().enumerate() {
                    let space = if i > 0 { " " } else { "" };
                    match part {
                        Self::Or(_) => write!(f, "{space}({part})")?,
                        _ => write!(f, "{space}{part}")?,
                    }
                }
                Ok(())
            }
            Self::Or(parts) => {
                for (i, part) in parts.iter().enumerate() {
                    write!(f, "{}{part}", if i > 0 { " or " } else { "" })?;
                }
                Ok(())
            }
            Self::Not(part) => match part.as_ref() {
                Self::And(_) | Self::Or(_) => write!(f, "!({part})"),
                _ => write!(f, "!{part}"),
            },
            Self::Field(test) => test.fmt(f),
            Self::Fields(pair) => pair.fmt(f),
            Self::Time(time) => time.fmt(f),
            Self::Day(day) => day.fmt(f),
            Self::Week(week) => week.fmt(f),
            Self::Stream(stream) => stream.fmt(f),
            Self::StreamId(ids) => ids.fmt(f),
        }
    }
}

impl fmt::Display for FieldTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without its name, any message would read as any row.
        if self.field == "_msg" && self.test == Test::Prefix(String::new()) {
            return f.write_str("_msg:*");
        }
        write!(f, "{}{}", quote_field(&self.field), self.test)
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = |text: &str| if text.is_empty() { "*".into() } else { format!("{}*", quote_if_needed(text)) };
        match self {
            Self::Phrase(text) => f.write_str(&quote_if_needed(text)),
            Self::Prefix(text) => f.write_str(&prefix(text)),
            Self::AnyCasePhrase(text) => write!(f, "i({})", quote_if_needed(text)),
            Self::AnyCasePrefix(text) => write!(f, "i({})", prefix(text)),
            Self::Exact(text) => write!(f, "={}", quote_if_needed(text)),
            Self::ExactPrefix(text) => write!(f, "={}*", quote_if_needed(text)),
            Self::In(values) => write!(f, "in({values})"),
            Self::ContainsAll(values) => write!(f, "contains_all({values})"),
            Self::ContainsAny(values) => write!(f, "contains_any({values})"),
            Self::Sequence(texts) => {
                let shown: Vec<String> = texts.iter().map(|text| quote_if_needed(text)).collect();
                write!(f, "seq({})", shown.join(","))
            }
            Self::Fuzzy(fuzzy) => fuzzy.fmt(f),
            Self::Regexp(text) => write!(f, "~{}", quote_if_needed(text)),
            Self::Number(range) => range.fmt(f),
            Self::Text(range) => range.fmt(f),
            Self::Length(range) => range.fmt(f),
            Self::Ipv4(range) => range.fmt(f),
            Self::ValueType(name) => write!(f, "value_type({})", quote_if_needed(name)),
        }
    }
}
