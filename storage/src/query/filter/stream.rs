//! `{label="value", ...}`: rows of streams whose labels pass.
//!
//! Invariants
//! * A label that a stream lacks is the empty text.
use super::Filter;
use super::parse::arguments;
use crate::query::fault::{At, Parsed};
use crate::query::parse::{Parser, quote_if_needed};
use crate::query::value::quote::{quote, unquote};
use crate::query::value::regexp::{Regex, compile_whole, escape};
use std::fmt;

/// Streams, by their labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamSelector {
    /// Where it stands.
    pub at: At,
    /// Any of these, of each of which all have to pass.
    pub any: Vec<Vec<Label>>,
}

/// A test of a label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The label.
    pub name: String,
    /// Whether it must not pass.
    pub negated: bool,
    /// The test.
    pub test: LabelTest,
}

/// A test of the value of a label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LabelTest {
    /// It is this one.
    Is(String),
    /// A regular expression matches all of it.
    Matches(String),
    /// It is one of these.
    In(Vec<String>),
}

pub(super) fn parse(parser: &mut Parser<'_>) -> Parsed<Filter> {
    let at = parser.at();
    parser.expect("{")?;
    let mut any = vec![parse_labels(parser)?];
    while parser.is("or") {
        parser.advance();
        if parser.is("}") {
            return Err(parser.unexpected("a label after 'or'"));
        }
        any.push(parse_labels(parser)?);
    }
    parser.expect("}")?;
    Ok(Filter::Stream(StreamSelector { at, any }))
}

fn parse_labels(parser: &mut Parser<'_>) -> Parsed<Vec<Label>> {
    let mut labels = Vec::new();
    while !parser.is("}") {
        labels.push(parse_label(parser)?);
        if parser.is_any(&["or", "}"]) {
            break;
        }
        if !parser.is(",") {
            return Err(parser.unexpected("',', 'or' or '}'"));
        }
        parser.advance_to("a label after ','")?;
    }
    Ok(labels)
}

fn parse_label(parser: &mut Parser<'_>) -> Parsed<Label> {
    const NAME_ENDS: [&str; 8] = ["=", "!=", "=~", "!~", ",", "{", "}", ""];
    const VALUE_ENDS: [&str; 5] = [",", "{", "}", "(", ""];
    let name = parser.word_until(&NAME_ENDS, "the name of a label")?;
    let sign = parser.token().raw.to_ascii_lowercase();
    if !parser.is_any(&["=", "!=", "=~", "!~", "in", "not_in"]) {
        return Err(parser.unexpected("=, !=, =~, !~, in or not_in"));
    }
    parser.advance();
    let negated = matches!(sign.as_str(), "!=" | "!~" | "not_in");
    if matches!(sign.as_str(), "in" | "not_in") {
        let values = arguments(parser)?;
        let test = if values == ["*"] { LabelTest::Matches(".*".into()) } else { LabelTest::In(values) };
        return Ok(Label { name, negated, test });
    }
    let at = parser.at();
    let value = parser.word_until(&VALUE_ENDS, "the value of a label")?;
    if matches!(sign.as_str(), "=" | "!=") {
        return Ok(Label { name, negated, test: LabelTest::Is(value) });
    }
    parser.regexp(&value, true, at)?;
    Ok(Label { name, negated, test: LabelTest::Matches(value) })
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = quote_if_needed(&self.name);
        match (&self.test, self.negated) {
            (LabelTest::Is(value), false) => write!(f, "{name}={}", quote(value)),
            (LabelTest::Is(value), true) => write!(f, "{name}!={}", quote(value)),
            (LabelTest::Matches(value), false) => write!(f, "{name}=~{}", quote(value)),
            (LabelTest::Matches(value), true) => write!(f, "{name}!~{}", quote(value)),
            (LabelTest::In(values), negated) => {
                let shown: Vec<String> = values.iter().map(|value| quote(value)).collect();
                write!(f, "{name} {}({})", if negated { "not_in" } else { "in" }, shown.join(","))
            }
        }
    }
}

impl fmt::Display for StreamSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = |labels: &Vec<Label>| labels.iter().map(Label::to_string).collect::<Vec<_>>().join(",");
        let any: Vec<String> = self.any.iter().map(all).collect();
        write!(f, "{{{}}}", any.join(" or "))
    }
}

/// A selector made ready.
#[derive(Clone, Debug)]
pub(crate) struct Streams {
    any: Vec<Vec<(String, bool, Check)>>,
}

#[derive(Clone, Debug)]
enum Check {
    Is(String),
    Matches(Regex),
}

impl Streams {
    pub(crate) fn new(selector: &StreamSelector) -> Result<Self, String> {
        let label = |label: &Label| {
            let check = match &label.test {
                LabelTest::Is(value) => Check::Is(value.clone()),
                LabelTest::Matches(expression) => Check::Matches(compile_whole(expression)?),
                LabelTest::In(values) => {
                    let expressions: Vec<String> = values.iter().map(|value| escape(value)).collect();
                    Check::Matches(compile_whole(&expressions.join("|"))?)
                }
            };
            Ok((label.name.clone(), label.negated, check))
        };
        let all = |labels: &Vec<Label>| labels.iter().map(label).collect::<Result<Vec<_>, String>>();
        Ok(Self { any: selector.any.iter().map(all).collect::<Result<_, String>>()? })
    }

    /// The only values that a label can have for a stream to pass, where that is known.
    pub(crate) fn only(&self, label: &str) -> Option<Vec<String>> {
        let value = |all: &Vec<(String, bool, Check)>| {
            all.iter().find_map(|(name, negated, check)| match check {
                Check::Is(value) if name == label && !negated && !value.is_empty() => Some(value.clone()),
                _ => None,
            })
        };
        if self.any.is_empty() { None } else { self.any.iter().map(value).collect() }
    }

    /// Whether every stream passes, those that cannot be read included.
    fn is_empty(&self) -> bool {
        self.any.iter().all(Vec::is_empty)
    }

    /// Whether a stream, as `{label="value",...}`, passes.
    pub(crate) fn has(&self, stream: &str) -> bool {
        if self.is_empty() {
            return true;
        }
        let Some(labels) = parse_stream(stream) else { return false };
        self.any.iter().any(|all| {
            all.iter().all(|(name, negated, check)| {
                let value = labels.iter().find(|(label, _)| label == name).map_or("", |(_, value)| value.as_str());
                let passes = match check {
                    Check::Is(wanted) => wanted == value,
                    Check::Matches(regex) => regex.is_match(value),
                };
                passes != *negated
            })
        })
    }
}

/// The labels of a stream.
fn parse_stream(stream: &str) -> Option<Vec<(String, String)>> {
    let mut rest = stream.strip_prefix('{')?.strip_suffix('}')?;
    let mut labels = Vec::new();
    while !rest.is_empty() {
        let (name, tail) = rest.split_once('=')?;
        if !tail.starts_with('"') {
            return None;
        }
        let (value, len) = unquote(tail)?;
        labels.push((name.to_string(), value));
        let tail = tail.get(len..)?;
        rest = if tail.is_empty() { tail } else { tail.strip_prefix(',')? };
    }
    Some(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(selector: &str, stream: &str) -> bool {
        let mut parser = Parser::new(selector);
        let Filter::Stream(selector) = parse(&mut parser).unwrap() else { panic!() };
        Streams::new(&selector).unwrap().has(stream)
    }

    #[test]
    fn labels_pass_or_not() {
        let stream = r#"{app="nginx",host="a.b"}"#;
        assert!(
            has("{}", stream)
                && has("{}", "x")
                && has("{app=nginx}", stream)
                && has("{app='nginx', host=~'a.*'}", stream)
        );
        assert!(!has("{app!=nginx}", stream) && has("{app=~'ng|nginx'}", stream) && !has("{app=~'ngin'}", stream));
        assert!(
            has("{app=x or host in ('a.b', c)}", stream)
                && !has("{host not_in ('a.b', c)}", stream)
                && has("{app in (*)}", stream)
        );
        assert!(!has("{host in ('axb')}", r#"{host="a.b"}"#) && has("{zone=''}", stream) && has("{zone!=x}", stream));
        assert!(!has("{app=nginx}", "nginx") && !has("{app=nginx}", "{app=nginx}"));
    }
}
