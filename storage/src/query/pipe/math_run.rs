//! Runs arithmetic, a column at a time.
use super::math::{Callee, Expression, Operator};
use crate::query::block::{Block, Column, Texts};
use crate::query::value::number::{arithmetic, fraction_digits, show};

/// What expressions are calculated with.
pub(super) struct Calculator {
    now: f64,
    random: u64,
}

impl Calculator {
    pub(super) fn new(now: i64) -> Self {
        Self { now: now as f64, random: (now as u64) | 1 }
    }

    /// The results of an expression, one for each row.
    pub(super) fn column(&mut self, expression: &Expression, name: &str, block: &Block) -> Column {
        let mut texts = Texts::default();
        self.values(expression, block).into_iter().for_each(|value| texts.push(&show(value)));
        Column::new(name, texts)
    }

    fn values(&mut self, expression: &Expression, block: &Block) -> Vec<f64> {
        let rows = block.rows();
        match expression {
            Expression::Constant(text) => vec![arithmetic(text); rows],
            Expression::Field(name) => field(block.column(name), rows),
            Expression::Minus(inner) => self.values(inner, block).into_iter().map(|value| -value).collect(),
            Expression::Binary(operator, left, right) => {
                let (left, right) = (self.values(left, block), self.values(right, block));
                left.into_iter().zip(right).map(|(a, b)| binary(*operator, a, b)).collect()
            }
            Expression::Call(Callee::Now, _) => vec![self.now; rows],
            Expression::Call(Callee::Rand, _) => (0..rows).map(|_| self.random()).collect(),
            Expression::Call(callee, arguments) => {
                let mut all: Vec<_> = arguments.iter().map(|a| self.values(a, block).into_iter()).collect();
                let row = |_| {
                    let values: Vec<f64> = all.iter_mut().filter_map(Iterator::next).collect();
                    call(*callee, &values)
                };
                (0..rows).map(row).collect()
            }
        }
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

fn call(callee: Callee, values: &[f64]) -> f64 {
    let first = values.first().copied().unwrap_or(f64::NAN);
    match callee {
        Callee::Abs => first.abs(),
        Callee::Ceil => first.ceil(),
        Callee::Exp => first.exp(),
        Callee::Floor => first.floor(),
        Callee::Ln => first.ln(),
        Callee::Max => {
            values.iter().copied().fold(f64::NAN, |best, v| if best.is_nan() || v > best { v } else { best })
        }
        Callee::Min => {
            values.iter().copied().fold(f64::NAN, |best, v| if best.is_nan() || v < best { v } else { best })
        }
        Callee::Round => match values.get(1) {
            Some(nearest) => round_to(first, *nearest),
            None => first.round(),
        },
        Callee::Now | Callee::Rand => f64::NAN,
    }
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
        assert_eq!(call(Callee::Max, &[f64::NAN, 1.0, 3.0, 2.0]), 3.0);
    }
}
