//! Filters as a tree of their own, and what each means for one row, by the text of the language.
use super::expressions::Expression;
use super::numbers::{address, amount};
use super::rows::{Row, World};
use super::texts::{has_phrase, has_prefix, has_sequence, small};
use super::times::TimeTest;

#[derive(Clone, Debug)]
pub(super) enum Filter {
    All,
    Not(Box<Filter>),
    And(Vec<Filter>),
    Or(Vec<Filter>),
    Field(String, Test),
    Fields(String, Relation, String),
    Time(TimeTest),
    /// Any of these, all labels of which pass.
    Stream(Vec<Vec<Label>>),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Relation {
    Equal,
    LessOrEqual,
    Less,
}

#[derive(Clone, Debug)]
pub(super) struct Label {
    pub(super) name: String,
    pub(super) negated: bool,
    pub(super) test: LabelTest,
}

#[derive(Clone, Debug)]
pub(super) enum LabelTest {
    Is(String),
    In(Vec<String>),
    Matches(Expression),
}

/// A bound as it is written, whether it is in the range, and what it counts as.
#[derive(Clone, Debug)]
pub(super) struct Limit {
    pub(super) text: String,
    pub(super) included: bool,
    pub(super) value: f64,
}

/// Values that are listed, or those of a field of some rows.
#[derive(Clone, Debug)]
pub(super) struct Values {
    pub(super) texts: Vec<String>,
    pub(super) asked: Option<(Box<Filter>, String)>,
}

#[derive(Clone, Debug)]
pub(super) enum Test {
    Phrase(String),
    Prefix(String),
    AnyCase(String),
    AnyCasePrefix(String),
    Exact(String),
    ExactPrefix(String),
    Empty,
    Some,
    In(Values),
    All(Vec<String>),
    Any(Vec<String>),
    Sequence(Vec<String>),
    Regexp(Expression),
    Range(Limit, Limit),
    /// `>`, `>=`, `<` or `<=`, and what with.
    Compared(&'static str, String),
    Texts(String, String),
    /// How it is written, and the first and the last length.
    Length(String, u64, u64),
    Ipv4(String, u32, u32),
}

impl Filter {
    pub(super) fn passes(&self, row: &Row, world: &World) -> bool {
        match self {
            Self::All => true,
            Self::Not(part) => !part.passes(row, world),
            Self::And(parts) => parts.iter().all(|part| part.passes(row, world)),
            Self::Or(parts) => parts.iter().any(|part| part.passes(row, world)),
            Self::Field(field, test) => test.passes(row.text(field)),
            Self::Fields(field, relation, other) => relation.holds(row.text(field), row.text(other)),
            Self::Time(test) => test.passes(row.time),
            Self::Stream(any) => {
                any.iter().any(|all| all.iter().all(|label| label.passes(world.label(row, &label.name))))
            }
        }
    }
}

impl Label {
    fn passes(&self, text: &str) -> bool {
        let passes = match &self.test {
            LabelTest::Is(value) => text == value,
            LabelTest::In(values) => values.iter().any(|value| text == value),
            LabelTest::Matches(expression) => expression.matches(text),
        };
        passes != self.negated
    }
}

impl Relation {
    fn holds(self, text: &str, other: &str) -> bool {
        match (self, amount(text), amount(other)) {
            (Self::Equal, ..) => text == other,
            (Self::LessOrEqual, Some(a), Some(b)) => a <= b,
            (Self::Less, Some(a), Some(b)) => a < b,
            (Self::LessOrEqual, ..) => text <= other,
            (Self::Less, ..) => text < other,
        }
    }
}

fn compares<T: PartialOrd + ?Sized>(sign: &str, a: &T, b: &T) -> bool {
    match sign {
        ">" => a > b,
        ">=" => a >= b,
        "<" => a < b,
        _ => a <= b,
    }
}

impl Test {
    fn passes(&self, text: &str) -> bool {
        match self {
            Self::Phrase(phrase) => has_phrase(text, phrase),
            Self::Prefix(prefix) => has_prefix(text, prefix),
            Self::AnyCase(phrase) => has_phrase(&small(text), &small(phrase)),
            Self::AnyCasePrefix(prefix) => has_prefix(&small(text), &small(prefix)),
            Self::Exact(value) => text == value,
            Self::ExactPrefix(prefix) => text.starts_with(prefix.as_str()),
            Self::Empty => text.is_empty(),
            Self::Some => !text.is_empty(),
            Self::In(values) => values.texts.iter().any(|value| value == text),
            // The empty phrase is in every text here, as the source has it and the text does not say.
            Self::All(phrases) => phrases.iter().all(|phrase| phrase.is_empty() || has_phrase(text, phrase)),
            Self::Any(phrases) => phrases.iter().any(|phrase| phrase.is_empty() || has_phrase(text, phrase)),
            Self::Sequence(phrases) => has_sequence(text, phrases),
            Self::Regexp(expression) => expression.matches(text),
            Self::Range(from, to) => amount(text).is_some_and(|number| {
                compares(if from.included { ">=" } else { ">" }, &number, &from.value)
                    && compares(if to.included { "<=" } else { "<" }, &number, &to.value)
            }),
            Self::Compared(sign, with) => match amount(with) {
                Some(with) => amount(text).is_some_and(|number| compares(sign, &number, &with)),
                None => compares(sign, text, with.as_str()),
            },
            Self::Texts(from, to) => text >= from.as_str() && text < to.as_str(),
            Self::Length(_, from, to) => (*from..=*to).contains(&(text.chars().count() as u64)),
            Self::Ipv4(_, from, to) => address(text).is_some_and(|address| (*from..=*to).contains(&address)),
        }
    }
}
