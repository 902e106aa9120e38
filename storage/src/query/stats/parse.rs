//! Functions of `stats` from tokens.
//!
//! Invariants
//! * Where no field is named, all are meant. `count_uniq`, `count_uniq_hash` and `histogram` need a name, and `rate` takes
//!   none.
use super::Function;
use crate::query::fault::{At, Fault, Parsed};
use crate::query::parse::Parser;
use crate::query::value::number::decimal;

impl Function {
    pub(crate) fn parse(parser: &mut Parser<'_>) -> Parsed<Self> {
        let name = parser.token().raw.to_ascii_lowercase();
        let at = parser.at();
        let (patterns, many): (fn(Vec<String>) -> Self, bool) = match name.as_str() {
            "avg" => (Self::Avg, true),
            "count" => (Self::Count, true),
            "count_empty" => (Self::CountEmpty, true),
            "max" => (Self::Max, true),
            "median" => (Self::Median, true),
            "min" => (Self::Min, true),
            "rate_sum" => (Self::RateSum, true),
            "row_any" => (Self::RowAny, true),
            "sum" => (Self::Sum, true),
            "sum_len" => (Self::SumLen, true),
            _ => (Self::Sum, false),
        };
        if many {
            parser.advance();
            return or_all(parser).map(patterns);
        }
        match name.as_str() {
            "quantile" | "row_max" | "row_min" => Self::parse_with_first(parser, &name, at),
            "json_values" | "uniq_values" | "values" => {
                parser.advance();
                let (fields, limit) = (or_all(parser)?, parser.limit()?);
                Ok(match name.as_str() {
                    "json_values" => Self::JsonValues(fields, limit),
                    "uniq_values" => Self::UniqValues(fields, limit),
                    _ => Self::Values(fields, limit),
                })
            }
            "count_uniq" | "count_uniq_hash" => {
                parser.advance();
                let fields = parser.field_names_in_parens()?;
                if fields.is_empty() {
                    return Err(Fault::new(at.0, format!("'{name}' needs a field")));
                }
                let limit = parser.limit()?;
                Ok(if name == "count_uniq" {
                    Self::CountUniq(fields, limit)
                } else {
                    Self::CountUniqHash(fields, limit)
                })
            }
            "histogram" => {
                parser.advance();
                match <[String; 1]>::try_from(parser.field_names_in_parens()?) {
                    Ok([field]) => Ok(Self::Histogram(field)),
                    Err(_) => Err(Fault::new(at.0, "'histogram' takes one field")),
                }
            }
            "rate" => {
                parser.advance();
                if !parser.field_names_in_parens()?.is_empty() {
                    return Err(Fault::new(at.0, "'rate' takes no fields"));
                }
                Ok(Self::Rate)
            }
            _ => Err(parser.unexpected("a function such as count()")),
        }
    }

    /// Functions whose first argument is not one of the fields.
    fn parse_with_first(parser: &mut Parser<'_>, name: &str, at: At) -> Parsed<Self> {
        parser.advance();
        let mut fields = parser.field_patterns_in_parens()?;
        if fields.is_empty() {
            return Err(Fault::new(at.0, format!("'{name}' needs an argument")));
        }
        let first = fields.remove(0);
        if fields.is_empty() {
            fields.push("*".into());
        }
        if name == "quantile" {
            if !decimal(&first).is_some_and(|part| (0.0..=1.0).contains(&part)) {
                return Err(Fault::new(
                    at.0,
                    format!("the first argument of 'quantile' is a number from 0 to 1, not '{first}'"),
                ));
            }
            return Ok(Self::Quantile(first, fields));
        }
        if first.ends_with('*') {
            return Err(Fault::new(at.0, format!("the first argument of '{name}' is a single field")));
        }
        Ok(if name == "row_max" { Self::RowMax(first, fields) } else { Self::RowMin(first, fields) })
    }
}

/// Fields in parentheses; no field is every field.
fn or_all(parser: &mut Parser<'_>) -> Parsed<Vec<String>> {
    let fields = parser.field_patterns_in_parens()?;
    Ok(if fields.is_empty() { vec!["*".into()] } else { fields })
}
