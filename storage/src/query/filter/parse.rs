//! Filters from tokens: how they combine, and which kind one is.
//!
//! Invariants
//! * Nesting and going back are bounded by the parser.
//! * The name of a function without `(` behind it is a word to search for.
use super::{FieldTest, Filter, Test, common_case, exact, fields, fuzzy, ipv4, phrase, range, regexp, sequence};
use super::{stream, stream_id, text_range, time, value_type, values};
use crate::query::fault::{At, Fault, Parsed};
use crate::query::parse::{NAME_BYTES_MAX, Parser, begins_pipe, canonical};

/// What ends a phrase that a field stands before, and one that could be a field itself.
const PHRASE_ENDS: [&str; 8] = ["*", ",", "(", ")", "[", "]", "|", ""];
const NAME_ENDS: [&str; 9] = ["*", ",", "(", ")", "[", "]", "|", "", ":"];
/// What ends an argument of a function.
const ARGUMENT_ENDS: [&str; 6] = ["*", ",", "(", ")", "|", ""];

/// Characters of a word that a fault shows.
const SHOWN_MAX: usize = 40;

/// The field that a filter is for: none was named, or this one.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'s> {
    field: Option<&'s str>,
    /// Where the filter begins.
    pub(crate) at: At,
}

impl Scope<'_> {
    /// A test of the field; the message where none was named.
    pub(crate) fn test(self, test: Test) -> Filter {
        let field = canonical(self.field.unwrap_or_default().into());
        Filter::Field(FieldTest { at: self.at, field, test })
    }

    /// The name of the field.
    pub(crate) fn field(self) -> String {
        canonical(self.field.unwrap_or_default().into())
    }

    /// Whether no field was named.
    pub(super) fn is_open(self) -> bool {
        self.field.is_none()
    }

    fn ends(self) -> &'static [&'static str] {
        if self.field.is_some() { &PHRASE_ENDS } else { &NAME_ENDS }
    }
}

impl Filter {
    /// The filter of a query or pipe.
    pub(crate) fn parse(parser: &mut Parser<'_>) -> Parsed<Self> {
        if parser.ends_pipe() {
            return Err(parser.unexpected("a filter"));
        }
        if begins_pipe(parser.token().raw) {
            let word = parser.token().raw.to_string();
            return Err(parser
                .fault(format!("a filter cannot begin with '{word}', which begins a pipe; quote it if it is a word")));
        }
        any(parser, None)
    }

    /// `(filter)` after `if`; nothing in it is every row.
    pub(crate) fn parse_condition(parser: &mut Parser<'_>) -> Parsed<Option<Self>> {
        if !parser.takes("if") {
            return Ok(None);
        }
        parser.expect("(")?;
        if parser.takes(")") {
            return Ok(Some(Self::All));
        }
        let filter = Self::parse(parser)?;
        parser.expect(")")?;
        Ok(Some(filter))
    }
}

fn any(parser: &mut Parser<'_>, field: Option<&str>) -> Parsed<Filter> {
    let mut parts = vec![all(parser, field)?];
    while parser.is("or") {
        parser.advance_to("a filter after 'or'")?;
        parts.push(all(parser, field)?);
    }
    if parser.ends_pipe() { Ok(Filter::or(parts)) } else { Err(parser.unexpected("a filter, '|' or ')'")) }
}

fn all(parser: &mut Parser<'_>, field: Option<&str>) -> Parsed<Filter> {
    let mut parts = vec![one(parser, field)?];
    while !parser.is("or") && !parser.ends_pipe() {
        if parser.is("and") {
            parser.advance_to("a filter after 'and'")?;
        }
        parts.push(one(parser, field)?);
    }
    Ok(Filter::and(parts))
}

fn one(parser: &mut Parser<'_>, field: Option<&str>) -> Parsed<Filter> {
    parser.repeats(field)?;
    parser.nested(|parser| generic(parser, field))
}

fn generic(parser: &mut Parser<'_>, field: Option<&str>) -> Parsed<Filter> {
    let scope = Scope { field, at: parser.at() };
    let token = parser.token();
    let (raw, quoted) = (token.raw, token.quoted);
    if quoted {
        return phrase_or_field(parser, scope);
    }
    match raw {
        "{" => match field {
            None | Some("_stream") => stream::parse(parser),
            Some(other) => Err(parser.fault(format!("streams are selected by '_stream', not by '{other}'"))),
        },
        ":" => {
            parser.advance_to("a filter after ':'")?;
            one(parser, field)
        }
        "*" => star(parser, scope),
        "(" => group(parser, field),
        "!" | "-" => negation(parser, field),
        ">" | "<" => range::parse_comparison(parser, scope),
        "=" => {
            parser.advance();
            exact::parse_operand(parser, scope)
        }
        "!=" => {
            parser.advance();
            exact::parse_operand(parser, scope).map(Filter::negated)
        }
        "~" => {
            parser.advance();
            regexp::parse_operand(parser, scope)
        }
        "!~" => {
            parser.advance();
            regexp::parse_operand(parser, scope).map(Filter::negated)
        }
        _ => named(parser, scope, raw),
    }
}

/// A function, or else a phrase.
fn named(parser: &mut Parser<'_>, scope: Scope<'_>, raw: &str) -> Parsed<Filter> {
    match raw.to_ascii_lowercase().as_str() {
        "not" => negation(parser, scope.field),
        "contains_all" => values::parse(parser, scope, Test::ContainsAll),
        "contains_any" => values::parse(parser, scope, Test::ContainsAny),
        "contains_common_case" => common_case::parse(parser, scope, Test::ContainsAny),
        "equals_common_case" => common_case::parse(parser, scope, Test::In),
        "in" => values::parse(parser, scope, Test::In),
        "eq_field" | "le_field" | "lt_field" => fields::parse(parser, scope),
        "exact" => maybe_prefix(parser, scope, Test::Exact, Test::ExactPrefix),
        "fuzzy" => fuzzy::parse(parser, scope),
        "i" => maybe_prefix(parser, scope, Test::AnyCasePhrase, Test::AnyCasePrefix),
        "ipv4_range" => ipv4::parse(parser, scope),
        "len_range" => text_range::parse_length(parser, scope),
        "string_range" => text_range::parse(parser, scope),
        "range" => range::parse(parser, scope),
        "re" => regexp::parse(parser, scope),
        "seq" => sequence::parse(parser, scope),
        "value_type" => value_type::parse(parser, scope),
        _ => phrase_or_field(parser, scope),
    }
}

fn star(parser: &mut Parser<'_>, scope: Scope<'_>) -> Parsed<Filter> {
    parser.advance();
    if parser.is(":") {
        return Err(parser.fault("fields cannot be named by '*' in a filter"));
    }
    Ok(if scope.field.is_none() { Filter::All } else { scope.test(Test::Prefix(String::new())) })
}

fn group(parser: &mut Parser<'_>, field: Option<&str>) -> Parsed<Filter> {
    let opens = |text: &str| matches!(text, ":" | "(" | "!" | "-") || text.eq_ignore_ascii_case("not");
    let before = parser.previous().filter(|token| !opens(token.raw) && !parser.token().spaced);
    if let Some(before) = before {
        let word: String = before.raw.chars().take(SHOWN_MAX).collect();
        return Err(parser.fault(format!("there is no filter '{word}(...)'; a space is missing if '{word}' is a word")));
    }
    parser.advance_to("a filter after '('")?;
    let filter = any(parser, field)?;
    parser.expect(")")?;
    Ok(filter)
}

fn negation(parser: &mut Parser<'_>, field: Option<&str>) -> Parsed<Filter> {
    parser.advance_to("a filter after the negation")?;
    one(parser, field).map(Filter::negated)
}

/// A phrase, or the name of a field and its filter.
fn phrase_or_field(parser: &mut Parser<'_>, scope: Scope<'_>) -> Parsed<Filter> {
    let text = parser.word_until(scope.ends(), "a filter")?;
    after_phrase(parser, text, scope)
}

fn after_phrase(parser: &mut Parser<'_>, text: String, scope: Scope<'_>) -> Parsed<Filter> {
    if scope.field.is_some() || !parser.is(":") {
        return phrase::after_text(parser, text, scope);
    }
    if text.len() > NAME_BYTES_MAX {
        return Err(Fault::new(scope.at.0, format!("the name of a field is longer than {NAME_BYTES_MAX} bytes")));
    }
    parser.advance_to("a filter after the name of a field")?;
    match text.as_str() {
        "_time" => time::parse(parser, scope.at),
        "_stream_id" => stream_id::parse(parser, scope.at),
        "_stream" => stream::parse(parser),
        _ => one(parser, Some(&text)),
    }
}

/// The name of a function that turned out to be a word, with what follows it.
fn word_after_all(parser: &mut Parser<'_>, name: String, scope: Scope<'_>) -> Parsed<Filter> {
    let text = name + &parser.suffix(scope.ends());
    after_phrase(parser, text, scope)
}

/// Takes the name of a function. Without a bracket after it, it is a word to search for: its filter is returned.
pub(crate) fn function(parser: &mut Parser<'_>, scope: Scope<'_>, opens: &[&str]) -> Parsed<Option<Filter>> {
    let name = parser.token().raw.to_string();
    parser.advance();
    if parser.is_any(opens) {
        return Ok(None);
    }
    word_after_all(parser, name, scope).map(Some)
}

/// One argument of a function; nothing before a `*`.
fn argument(parser: &mut Parser<'_>) -> Parsed<String> {
    if parser.is("*") {
        return Ok(String::new());
    }
    parser.word_until(&ARGUMENT_ENDS, "an argument")
}

/// `f(text)` or `f(text*)`.
fn maybe_prefix(
    parser: &mut Parser<'_>,
    scope: Scope<'_>,
    whole: fn(String) -> Test,
    prefix: fn(String) -> Test,
) -> Parsed<Filter> {
    if let Some(word) = function(parser, scope, &["("])? {
        return Ok(word);
    }
    parser.advance();
    let text = argument(parser)?;
    let test = if parser.is("*") && !parser.token().spaced {
        parser.advance();
        prefix(text)
    } else {
        whole(text)
    };
    parser.expect(")")?;
    Ok(scope.test(test))
}

/// What stands after `=`: a text, and whether a `*` follows it.
pub(crate) fn operand(parser: &mut Parser<'_>) -> Parsed<(String, bool)> {
    let text = if parser.is_end() { String::new() } else { argument(parser)? };
    let star = parser.is("*") && !parser.token().spaced;
    if star {
        parser.advance();
    }
    Ok((text, star))
}

/// `(a, b, ...)`, where `*` stands for itself; a comma may stand last.
pub(crate) fn arguments(parser: &mut Parser<'_>) -> Parsed<Vec<String>> {
    parser.in_parens(|parser| {
        let text = argument(parser)?;
        let lone_star = text.is_empty() && parser.is("*") && parser.takes("*");
        Ok(if lone_star { "*".into() } else { text })
    })
}

/// `(a)`.
pub(crate) fn only_argument(parser: &mut Parser<'_>) -> Parsed<String> {
    let at = parser.at();
    match <[String; 1]>::try_from(arguments(parser)?) {
        Ok([only]) => Ok(only),
        Err(_) => Err(Fault::new(at.0, "one argument is wanted")),
    }
}
