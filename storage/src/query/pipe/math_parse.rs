//! Arithmetic from tokens.
//!
//! Invariants
//! * Operations of the same priority go from left to right.
use super::math::{Callee, DEPTH_MAX, Expression, Math, Operator};
use crate::query::fault::{Fault, Parsed};
use crate::query::parse::{Parser, canonical};
use crate::query::value::number::{arithmetic, looks_like_number};

/// What ends the name of a field or a number.
const ENDS: [&str; 12] = ["=", "+", "-", "*", "/", "%", "^", ",", ")", "|", "!", ""];
/// The priority of what binds least.
const LEAST: u32 = 10;

impl Math {
    pub(super) fn parse(parser: &mut Parser<'_>) -> Parsed<Self> {
        let mut entries = Vec::new();
        loop {
            let (expression, _) = binary(parser, LEAST)?;
            let result = parser.result_or(|| expression.to_string())?;
            parser.has_room(entries.len())?;
            entries.push((expression, result));
            if parser.ends_pipe() {
                return Ok(Self { entries });
            }
            parser.expect(",")?;
        }
    }
}

/// An expression and how deep it is.
type Deep = (Expression, usize);

/// Something one deeper, if that is not too deep.
fn deeper(parser: &Parser<'_>, expression: Expression, depth: usize) -> Parsed<Deep> {
    if depth >= DEPTH_MAX {
        return Err(parser.fault(format!("more than {DEPTH_MAX} operations within each other")));
    }
    Ok((expression, depth + 1))
}

/// Operations that bind at least as tight as a priority.
fn binary(parser: &mut Parser<'_>, priority: u32) -> Parsed<Deep> {
    let (mut left, mut depth) = operand(parser)?;
    while let Some(operator) = operator(parser).filter(|operator| operator.priority() <= priority) {
        parser.advance();
        let (right, right_depth) = parser.nested(|parser| binary(parser, operator.priority() - 1))?;
        let both = Expression::Binary(operator, Box::new(left), Box::new(right));
        (left, depth) = deeper(parser, both, depth.max(right_depth))?;
    }
    Ok((left, depth))
}

fn operator(parser: &Parser<'_>) -> Option<Operator> {
    let token = parser.token();
    if token.quoted { None } else { Operator::of(&token.raw.to_ascii_lowercase()) }
}

fn operand(parser: &mut Parser<'_>) -> Parsed<Deep> {
    if parser.takes("(") {
        let inner = parser.nested(|parser| binary(parser, LEAST))?;
        parser.expect(")")?;
        return Ok(inner);
    }
    if parser.takes("-") {
        let (inner, depth) = parser.nested(operand)?;
        return deeper(parser, Expression::Minus(Box::new(inner)), depth);
    }
    if parser.takes("+") {
        return parser.nested(operand);
    }
    let token = parser.token();
    if let Some(callee) = Callee::of(token.raw).filter(|_| !token.quoted) {
        return call(parser, callee);
    }
    let (at, quoted) = (parser.at(), token.quoted);
    let number = looks_like_number(parser.text());
    let text = parser.word_until(&ENDS, "a number, the name of a field or a function")?;
    if let Some((name, _)) = text.split_once('(').filter(|_| !quoted && !number) {
        return Err(Fault::new(at.0, format!("there is no function '{name}'; the name of a field with '(' is quoted")));
    }
    if !number {
        return Ok((Expression::Field(canonical(text)), 1));
    }
    match arithmetic(&text).is_nan() {
        false => Ok((Expression::Constant(text), 1)),
        // A field whose name begins with a digit is quoted.
        true if quoted => Ok((Expression::Field(text), 1)),
        true => Err(Fault::new(at.0, format!("'{text}' is no number"))),
    }
}

fn call(parser: &mut Parser<'_>, callee: Callee) -> Parsed<Deep> {
    let at = parser.at();
    parser.advance();
    let arguments = parser.few_in_parens(|parser| parser.nested(|parser| binary(parser, LEAST)))?;
    let wanted = callee.arguments();
    if !wanted.contains(&arguments.len()) {
        let count = arguments.len();
        return Err(Fault::new(at.0, format!("the function takes {} arguments or more, not {count}", wanted.start())));
    }
    let depth = arguments.iter().map(|(_, depth)| *depth).max().unwrap_or(0);
    let arguments = arguments.into_iter().map(|(argument, _)| argument).collect();
    deeper(parser, Expression::Call(callee, arguments), depth)
}
