//! Runs arithmetic, a column at a time.
//!
//! Invariants
//! * What is no number is NaN, and a result of NaN is shown as that; `default` puts another value in its place.
//! * `rand` of a stage begins with the query's time, and goes on row by row.
use super::math::{Callee, Expression, Operator};
use crate::error::Result;
use crate::query::block::{Block, Column, Texts};
use crate::query::budget::{Memory, Stop};
use crate::query::value::number::{arithmetic, fraction_digits, show};

/// What expressions are calculated with.
pub(super) struct Calculator {
    now: f64,
    random: u64,
    stop: Stop,
    memory: Memory,
}

impl Calculator {
    pub(super) fn new(now: i64, stop: Stop, memory: Memory) -> Self {
        Self { now: now as f64, random: (now as u64) | 1, stop, memory }
    }

    /// The results of an expression, one for each row.
    pub(super) fn column(&mut self, expression: &Expression, name: &str, block: &Block) -> Result<Column> {
        let mut texts = Texts::default();
        for value in self.values(expression, block)? {
            texts.push(&show(value));
        }
        self.memory.check(block.bytes().saturating_add(texts.bytes()), "a block of results")?;
        Ok(Column::new(name, texts))
    }

    fn values(&mut self, expression: &Expression, block: &Block) -> Result<Vec<f64>> {
        let rows = block.rows();
        self.stop.check()?;
        // Operands within each other wait for one another.
        let mut held = self.memory.hold("math");
        held.add(rows * size_of::<f64>())?;
        Ok(match expression {
            Expression::Constant(text) => vec![arithmetic(text); rows],
            Expression::Field(name) => field(block.column(name), rows),
            Expression::Minus(inner) => self.values(inner, block)?.into_iter().map(|value| -value).collect(),
            Expression::Binary(operator, left, right) => {
                let (left, right) = (self.values(left, block)?, self.values(right, block)?);
                left.into_iter().zip(right).map(|(a, b)| binary(*operator, a, b)).collect()
            }
            Expression::Call(Callee::Now, _) => vec![self.now; rows],
            Expression::Call(Callee::Rand, _) => (0..rows).map(|_| self.random()).collect(),
            Expression::Call(callee, arguments) => {
                let Some((first, rest)) = arguments.split_first() else { return Ok(vec![f64::NAN; rows]) };
                let mut values = self.values(first, block)?;
                if rest.is_empty() {
                    values.iter_mut().for_each(|value| *value = of_one(*callee, *value));
                }
                for argument in rest {
                    let others = self.values(argument, block)?;
                    values.iter_mut().zip(others).for_each(|(value, other)| *value = of_two(*callee, *value, other));
                }
                values
            }
        })
    }

    /// A number from 0 to below 1.
    fn random(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) as f64 / (1u64 << 53) as f64
    }
}

fn field(column: &Column, rows: usize) -> Vec<f64> {
    if let Some(value) = column.constant_value() {
        return vec![arithmetic(value); rows];
    }
    let mut last: Option<(&str, f64)> = None;
    let value = |row| {
        let text = column.value(row);
        let number = last.filter(|(known, _)| *known == text).map_or_else(|| arithmetic(text), |(_, number)| number);
        last = Some((text, number));
        number
    };
    (0..rows).map(value).collect()
}

fn bitwise(a: f64, b: f64, operation: fn(u64, u64) -> u64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { operation(a as i64 as u64, b as i64 as u64) as f64 }
}

fn binary(operator: Operator, a: f64, b: f64) -> f64 {
    match operator {
        Operator::Power => a.powf(b),
        Operator::Times => a * b,
        Operator::Over => a / b,
        Operator::Modulo => a % b,
        Operator::Plus => a + b,
        Operator::Minus => a - b,
        Operator::And => bitwise(a, b, |a, b| a & b),
        Operator::Xor => bitwise(a, b, |a, b| a ^ b),
        Operator::Or => bitwise(a, b, |a, b| a | b),
        Operator::Default => {
            if a.is_nan() {
                b
            } else {
                a
            }
        }
    }
}

fn of_one(callee: Callee, value: f64) -> f64 {
    match callee {
        Callee::Abs => value.abs(),
        Callee::Ceil => value.ceil(),
        Callee::Exp => value.exp(),
        Callee::Floor => value.floor(),
        Callee::Ln => value.ln(),
        Callee::Round => value.round(),
        Callee::Max | Callee::Min | Callee::Now | Callee::Rand => f64::NAN,
    }
}

/// What a function makes of what it has so far and one more argument.
fn of_two(callee: Callee, so_far: f64, value: f64) -> f64 {
    let is_better = match callee {
        Callee::Max => value > so_far,
        Callee::Min => value < so_far,
        Callee::Round => return round_to(so_far, value),
        _ => return f64::NAN,
    };
    if so_far.is_nan() || is_better { value } else { so_far }
}

/// The multiple of a step that is nearest, in the digits of the step.
fn round_to(value: f64, nearest: f64) -> f64 {
    let moved = value + 0.5 * nearest.copysign(value);
    let multiple = moved - moved % nearest;
    let scale = 10f64.powi(fraction_digits(nearest));
    let scaled = multiple * scale;
    if scaled.is_finite() { scaled.round() / scale } else { multiple }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_keeps_the_digits_of_the_step() {
        for (value, nearest, shown) in [
            (2.678, 0.01, "2.68"),
            (0.57, 0.01, "0.57"),
            (-1.26, 0.1, "-1.3"),
            (1_234_567_890.0, 1e9, "1000000000"),
            (17.0, 5.0, "15"),
            (18.0, 5.0, "20"),
        ] {
            assert_eq!(show(round_to(value, nearest)), shown);
        }
        assert!(round_to(1.0, 0.0).is_nan() && round_to(f64::NAN, 1.0).is_nan());
    }

    #[test]
    fn operations_know_nan() {
        assert_eq!(binary(Operator::Default, f64::NAN, 2.0), 2.0);
        assert_eq!(binary(Operator::Xor, 6.0, 3.0), 5.0);
        assert!(binary(Operator::And, f64::NAN, 1.0).is_nan() && binary(Operator::Modulo, 1.0, 0.0).is_nan());
        let greatest =
            [1.0, 3.0, 2.0, f64::NAN].into_iter().fold(f64::NAN, |max, value| of_two(Callee::Max, max, value));
        assert_eq!(greatest, 3.0);
    }
}
