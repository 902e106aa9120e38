//! `math expression as field, ...`: arithmetic over fields.
//!
//! Invariants
//! * An expression is at most [`DEPTH_MAX`] operations deep, however it is written.
use super::Step;
use super::math_run::Calculator;
use super::update::PerBlock;
use crate::error::Result;
use crate::query::block::Block;
use crate::query::needed::Needed;
use crate::query::parse::quote_if_needed;
use crate::query::run::{Context, Stage};
use crate::query::value::number::looks_like_number;
use crate::query::value::quote::quote;
use crate::text::words::is_word;
use std::fmt;

/// Operations within each other.
pub(super) const DEPTH_MAX: usize = 256;

/// The pipe.
#[derive(Clone, Debug, PartialEq)]
pub struct Math {
    /// The expressions and the fields of their results, in order; a later one sees the results of earlier ones.
    pub entries: Vec<(Expression, String)>,
}

/// An expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    /// A number, as written.
    Constant(String),
    /// The value of a field.
    Field(String),
    /// The opposite.
    Minus(Box<Expression>),
    /// An operation on two.
    Binary(Operator, Box<Expression>, Box<Expression>),
    /// A function.
    Call(Callee, Vec<Expression>),
}

/// An operation on two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    Power,
    Times,
    Over,
    Modulo,
    Plus,
    Minus,
    And,
    Xor,
    Or,
    Default,
}

impl Operator {
    const ALL: [(&'static str, Self, u32); 10] = [
        ("^", Self::Power, 1),
        ("*", Self::Times, 2),
        ("/", Self::Over, 2),
        ("%", Self::Modulo, 2),
        ("+", Self::Plus, 3),
        ("-", Self::Minus, 3),
        ("&", Self::And, 4),
        ("xor", Self::Xor, 5),
        ("or", Self::Or, 6),
        ("default", Self::Default, 10),
    ];

    /// The operator of a word.
    pub(super) fn of(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, ..)| *known == word).map(|(_, operator, _)| *operator)
    }

    fn entry(self) -> (&'static str, Self, u32) {
        Self::ALL.iter().find(|(_, operator, _)| *operator == self).copied().unwrap_or(("?", self, 0))
    }

    /// Less binds tighter.
    pub(super) fn priority(self) -> u32 {
        self.entry().2
    }
}

/// A function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Callee {
    Abs,
    Ceil,
    Exp,
    Floor,
    Ln,
    Max,
    Min,
    Now,
    Rand,
    Round,
}

impl Callee {
    const ALL: [(&'static str, Self); 10] = [
        ("abs", Self::Abs),
        ("ceil", Self::Ceil),
        ("exp", Self::Exp),
        ("floor", Self::Floor),
        ("ln", Self::Ln),
        ("max", Self::Max),
        ("min", Self::Min),
        ("now", Self::Now),
        ("rand", Self::Rand),
        ("round", Self::Round),
    ];

    /// The function of a name.
    pub(super) fn of(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, callee)| *callee)
    }

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, callee)| *callee == self).map_or("?", |(name, _)| name)
    }

    /// How many arguments it takes.
    pub(super) fn arguments(self) -> std::ops::RangeInclusive<usize> {
        match self {
            Self::Now | Self::Rand => 0..=0,
            Self::Max | Self::Min => 2..=usize::MAX,
            Self::Round => 1..=2,
            _ => 1..=1,
        }
    }
}

impl Expression {
    fn fields<'e>(&'e self, found: &mut Vec<&'e str>) {
        match self {
            Self::Constant(_) => {}
            Self::Field(name) => found.push(name),
            Self::Minus(inner) => inner.fields(found),
            Self::Binary(_, left, right) => {
                left.fields(found);
                right.fields(found);
            }
            Self::Call(_, arguments) => arguments.iter().for_each(|argument| argument.fields(found)),
        }
    }

    fn binds(&self) -> u32 {
        match self {
            Self::Binary(operator, ..) => operator.priority(),
            _ => 0,
        }
    }
}

/// Whether a name would read as something else.
fn is_taken(name: &str) -> bool {
    Callee::of(name).is_some() || Operator::of(&name.to_ascii_lowercase()).is_some() || looks_like_number(name)
}

fn in_parens(expression: &Expression, parens: bool) -> String {
    if parens { format!("({expression})") } else { expression.to_string() }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant(text) if text.chars().all(|c| is_word(c) || c == '.') => f.write_str(text),
            Self::Constant(text) => f.write_str(&quote(text)),
            Self::Field(name) if is_taken(name) => f.write_str(&quote(name)),
            Self::Field(name) => f.write_str(&quote_if_needed(name)),
            Self::Minus(inner) => write!(f, "-{}", in_parens(inner, inner.binds() > 0)),
            Self::Binary(operator, left, right) => {
                let (sign, _, priority) = operator.entry();
                let (left, right) =
                    (in_parens(left, left.binds() > priority), in_parens(right, right.binds() >= priority));
                write!(f, "{left} {sign} {right}")
            }
            Self::Call(callee, arguments) => {
                let shown: Vec<String> = arguments.iter().map(Self::to_string).collect();
                write!(f, "{}({})", callee.name(), shown.join(", "))
            }
        }
    }
}

impl fmt::Display for Math {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("math")?;
        for (i, (expression, result)) in self.entries.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            let shown = in_parens(expression, expression.binds() > 0);
            write!(f, "{comma} {shown} as {}", quote_if_needed(result))?;
        }
        Ok(())
    }
}

impl Step for Math {
    fn needed(&self, needed: &mut Needed) {
        for (expression, result) in self.entries.iter().rev() {
            if needed.has(result) {
                needed.remove(result);
                let mut fields = Vec::new();
                expression.fields(&mut fields);
                needed.add_all(fields);
            }
        }
    }

    fn is_local(&self) -> bool {
        true
    }

    fn stage<'c>(&self, context: &Context<'c>) -> Result<Box<dyn Stage + 'c>> {
        let pipe = self.clone();
        let mut calculator = Calculator::new(context.clock.now, context.stop.clone(), context.memory.clone());
        Ok(Box::new(PerBlock(move |mut block: Block| {
            for (expression, result) in &pipe.entries {
                let column = calculator.column(expression, result, &block)?;
                block.put(column);
            }
            Ok(block)
        })))
    }
}

#[cfg(test)]
mod tests {
    use crate::query::testing::check;

    #[test]
    fn expressions_are_calculated() {
        check("math a + b * 2 ^ 2 as x, x - 1", r#"{"a":"1","b":"2"}"#, r#"{"a":"1","b":"2","x":"9","x - 1":"8"}"#);
        check(
            "math (a + b) * -c as x, a % 3 as y, a / 0 as z, none default 7 as d | fields x, y, z, d",
            r#"{"a":"10","b":"1KB","c":"2"}"#,
            r#"{"x":"-2020","y":"1","z":"+Inf","d":"7"}"#,
        );
        check(
            r#"eval min(a, b, 5) as x, round(b / 3) as y, "2024-06-10T12:00:00Z" - now() as z | fields x, y, z"#,
            r#"{"a":"7","b":"8"}"#,
            r#"{"x":"5","y":"3","z":"0"}"#,
        );
    }
}
