//! `a:eq_field(b)`, `a:le_field(b)` and `a:lt_field(b)`: one field against another.
//!
//! Invariants
//! * Values compare as numbers where both are, else as texts. A field that is not there is the empty text.
use super::Filter;
use super::parse::{Scope, function, only_argument};
use crate::query::fault::{At, Fault, Parsed};
use crate::query::parse::{NAME_BYTES_MAX, Parser, canonical, quote_field, quote_if_needed};
use crate::query::value::number::arithmetic;
use std::fmt;

/// How two values relate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// They are the same text.
    Equal,
    /// The first is less, as a number where both are, else as text, or they are equal.
    LessOrEqual,
    /// The first is less.
    Less,
}

/// Two fields that relate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldPair {
    /// Where it stands.
    pub at: At,
    /// The first field.
    pub field: String,
    /// How.
    pub relation: Relation,
    /// The second field.
    pub other: String,
}

impl Relation {
    /// Whether two values relate so.
    pub(crate) fn holds(self, a: &str, b: &str) -> bool {
        if self == Self::Equal {
            return a == b;
        }
        let (x, y) = (arithmetic(a), arithmetic(b));
        let numbers = !x.is_nan() && !y.is_nan();
        match self {
            Self::Less if numbers => x < y,
            Self::Less => a < b,
            _ if numbers => x <= y,
            _ => a <= b,
        }
    }
}

impl fmt::Display for FieldPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.relation {
            Relation::Equal => "eq_field",
            Relation::LessOrEqual => "le_field",
            Relation::Less => "lt_field",
        };
        write!(f, "{}{name}({})", quote_field(&self.field), quote_if_needed(&self.other))
    }
}

pub(super) fn parse(parser: &mut Parser<'_>, scope: Scope<'_>) -> Parsed<Filter> {
    let relation = match parser.token().raw.to_ascii_lowercase().as_str() {
        "eq_field" => Relation::Equal,
        "le_field" => Relation::LessOrEqual,
        _ => Relation::Less,
    };
    if let Some(word) = function(parser, scope, &["("])? {
        return Ok(word);
    }
    let at = parser.at();
    let other = canonical(only_argument(parser)?);
    if other.len() > NAME_BYTES_MAX {
        return Err(Fault::new(at.0, format!("the name of a field is longer than {NAME_BYTES_MAX} bytes")));
    }
    Ok(Filter::Fields(FieldPair { at: scope.at, field: scope.field(), relation, other }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::testing::check_faults;
    use crate::query::testing::check_filters;

    #[test]
    fn numbers_compare_as_numbers_and_texts_as_texts() {
        assert!(
            Relation::Less.holds("9", "10") && Relation::Less.holds("10a", "9a") && !Relation::Less.holds("a", "a")
        );
        assert!(Relation::LessOrEqual.holds("1KiB", "1024") && Relation::LessOrEqual.holds("", "a"));
        assert!(Relation::Equal.holds("1", "1") && !Relation::Equal.holds("1", "1.0"));
    }

    #[test]
    fn fields_of_a_row_are_compared() {
        check_filters(
            r#"
            {"row":"a","user_id":"7","customer_id":"7","_msg":"7"}
            {"row":"b","user_id":"7","customer_id":"07"}
            {"row":"c","user_id":"9","customer_id":"10"}
            {"row":"d","user_id":"10","customer_id":"9"}
            {"row":"e","user_id":"Bob","customer_id":"bob","a:b":"Bob"}
            {"row":"f","user_id":"","customer_id":"x"}
            {"row":"g","customer_id":"1h"}
            {"row":"h"}
            {"row":"i","user_id":"ä","customer_id":"ä"}
            {"row":"j","user_id":"59m","customer_id":"1h"}
            "#,
            &[
                ("user_id:eq_field(customer_id)", "ahi"),
                ("user_id:EQ_FIELD(customer_id)", "ahi"),
                ("NOT user_id:eq_field(customer_id)", "bcdefgj"),
                ("user_id:eq_field(\"a:b\")", "efgh"),
                ("\"a:b\":eq_field(user_id)", "efgh"),
                ("user_id:eq_field(none)", "fgh"),
                ("user_id:eq_field(_msg)", "afgh"),
                ("eq_field(user_id)", "afgh"),
                ("user_id:lt_field(customer_id)", "cefgj"),
                ("user_id:le_field(customer_id)", "abcefghij"),
                ("customer_id:lt_field(user_id)", "d"),
                ("user_id:!le_field(customer_id)", "d"),
                ("none:le_field(user_id)", "abcdefghij"),
                ("le_field", ""),
            ],
        );
        check_faults(&[("a:eq_field()", 10, "one argument"), ("a:lt_field(b, c)", 10, "one argument")]);
    }
}
