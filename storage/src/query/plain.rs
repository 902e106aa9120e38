//! What somebody types into a search box, as a filter.
//!
//! It is LogsQL without pipes, with four differences: words, phrases and prefixes are found in any case; `word~1` is a word
//! that is nearly this one; a colon makes a field's name of what is before it only where it looks like one, and a value
//! follows it at once; and what is no LogsQL at all is searched for word by word.
//!
//! Invariants
//! * Any text is a filter, unless it has pipes, or is too large.
use super::budget::Memory;
use super::fault::Fault;
use super::filter::prepare::Matcher;
use super::filter::{FieldTest, Filter, Test, Values};
use super::memory_source::Rows;
use super::parse::{parse, quote_if_needed};
use super::run::{Clock, Context};
use super::source::MADE;
use super::value::quote::quote;
use super::{QUERY_BYTES_MAX, Stop};
use crate::error::{Error, Result};
use crate::scan::filter::Filter as Scanned;
use crate::text::words::words;

/// Memory of what a filter is made of.
const MEMORY_BYTES: usize = 64 << 20;

/// What a scan has to look for.
#[derive(Debug)]
pub struct Sought {
    /// Which rows.
    pub filter: Scanned,
    /// The only services that can have some, where that is known.
    pub services: Option<Vec<String>>,
    /// The first and the last nanosecond of such rows.
    pub times: (i64, i64),
    /// How the text was read, as LogsQL.
    pub read_as: String,
}

/// A text as a filter.
pub fn plain(text: &str) -> std::result::Result<Filter, Fault> {
    if text.len() > QUERY_BYTES_MAX {
        return Err(Fault::new(QUERY_BYTES_MAX, format!("a search of more than {QUERY_BYTES_MAX} bytes")));
    }
    if text.trim().is_empty() {
        return Ok(Filter::All);
    }
    match parse(&rewritten(text)) {
        Ok(query) if query.pipes.is_empty() => Ok(in_any_case(query.filter)),
        Ok(_) => {
            let at = text.find('|').unwrap_or_default();
            Err(Fault::new(at, "a search has no pipes; ask /select/logsql/query"))
        }
        Err(_) => {
            let phrase = |text: &str| Filter::Field(message(Test::AnyCasePhrase(text.into())));
            let phrases: Vec<Filter> = words(text).filter_map(|word| text.get(word.span)).map(phrase).collect();
            Ok(if phrases.is_empty() { Filter::All } else { Filter::and(phrases) })
        }
    }
}

fn message(test: Test) -> FieldTest {
    FieldTest { at: Default::default(), field: "_msg".into(), test }
}

/// A filter as a scan looks for it.
pub fn sought(filter: &Filter, clock: Clock) -> Result<Sought> {
    if has_subquery(filter) {
        return Err(Error::invalid("a search has no queries in it; ask /select/logsql/query"));
    }
    let (rows, memory) = (Rows::default(), Memory::new(MEMORY_BYTES));
    let context = Context::new(&rows, clock, memory, Stop::default());
    let matcher = Matcher::prepare(filter, &context)?;
    let pushed = matcher.pushed(&MADE);
    if !pushed.is_exact() {
        let what = "a search compares no fields with each other, and no ids; ask /select/logsql/query";
        return Err(Error::invalid(what));
    }
    let (services, times) = (pushed.services.clone(), pushed.times);
    Ok(Sought { filter: pushed.filter, services, times, read_as: filter.to_string() })
}

fn has_subquery(filter: &Filter) -> bool {
    let mut found = false;
    filter.visit(&mut |part| {
        if let Filter::Field(FieldTest { test: Test::In(v) | Test::ContainsAll(v) | Test::ContainsAny(v), .. }) = part {
            found |= matches!(v, Values::Query(_));
        }
        found |= matches!(part, Filter::StreamId(_));
    });
    found
}

/// The same for words in any case, and for the message by the name that it is sent under.
fn in_any_case(filter: Filter) -> Filter {
    let all = |parts: Vec<Filter>| parts.into_iter().map(in_any_case).collect();
    match filter {
        Filter::And(parts) => Filter::And(all(parts)),
        Filter::Or(parts) => Filter::Or(all(parts)),
        Filter::Not(part) => Filter::Not(Box::new(in_any_case(*part))),
        Filter::Field(FieldTest { at, field, test }) => {
            let field = if field == "message" { "_msg".into() } else { field };
            let test = match test {
                Test::Phrase(text) => Test::AnyCasePhrase(text),
                Test::Prefix(text) if !text.is_empty() => Test::AnyCasePrefix(text),
                test => test,
            };
            Filter::Field(FieldTest { at, field, test })
        }
        other => other,
    }
}

/// The text as LogsQL means it.
fn rewritten(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let is_token = !is_quote(c) && !c.is_whitespace();
        let len = match is_token {
            true => rest.find(|c: char| c.is_whitespace() || is_quote(c)).unwrap_or(rest.len()),
            false if is_quote(c) => quoted_len(rest, c),
            false => c.len_utf8(),
        };
        let (piece, after) = rest.split_at_checked(len).unwrap_or((rest, ""));
        match is_token {
            true => push_token(&mut out, piece, after.starts_with(is_quote)),
            false => out.push_str(piece),
        }
        rest = after;
    }
    out
}

fn is_quote(c: char) -> bool {
    matches!(c, '"' | '\'' | '`')
}

/// A quoted text with its quotes; all of it where it does not end.
fn quoted_len(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' if quote != '`' => escaped = true,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

/// What is said in so many words, and is no operator in small letters.
const NOT: &str = "not";

/// What stands between white space and quotes, with what encloses it.
fn push_token(out: &mut String, token: &str, before_quote: bool) {
    let core = token.trim_start_matches(['(', '-', '!']);
    let (open, _) = token.split_at_checked(token.len() - core.len()).unwrap_or_default();
    let (core, close) = core.split_at_checked(core.trim_end_matches(')').len()).unwrap_or((core, ""));
    out.push_str(open);
    // A pipe stands by itself.
    let is_word =
        core.contains('|') && !core.starts_with('|') || core == NOT || core.contains("::") || core.contains(":\\");
    match core.split_once(':').filter(|_| !is_word) {
        Some((name, value)) if is_name(name) && !value.starts_with('/') && (before_quote || !value.is_empty()) => {
            // A name and a number are as well a host and its port.
            let is_port = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
            if is_port {
                out.push_str(&format!("({} or {name}:{value})", quote(core)));
            } else {
                out.push_str(name);
                out.push(':');
                push_value(out, value);
            }
        }
        Some(_) => out.push_str(&quote(core)),
        None if is_word => out.push_str(&quote(core)),
        None => push_value(out, core),
    }
    out.push_str(close);
}

fn push_value(out: &mut String, value: &str) {
    let fuzzy = value.rsplit_once('~').filter(|(word, distance)| {
        matches!(*distance, "1" | "2") && words(word).next().is_some_and(|only| only.span == (0..word.len()))
    });
    match fuzzy {
        Some((word, distance)) => out.push_str(&format!("fuzzy({},{distance})", quote_if_needed(word))),
        None => out.push_str(value),
    }
}

/// Whether it looks like the name of a field.
fn is_name(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|c| c.is_alphabetic() || matches!(c, '_' | '@'))
        && chars.all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '@'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        plain(text).unwrap().to_string()
    }

    #[test]
    fn words_mean_what_people_expect() {
        for (text, expected) in [
            ("", "*"),
            ("  ", "*"),
            ("Payment failed", "i(Payment) i(failed)"),
            ("\"payment failed\" -timeout", "i(\"payment failed\") !i(timeout)"),
            ("level:ERROR", "level:i(ERROR)"),
            ("message:\"disk full\"", "i(\"disk full\")"),
            ("conn*", "i(conn*)"),
            ("a or (b -c)", "i(a) or i(b) !i(c)"),
            ("conection~1 host:wb~2", "fuzzy(conection,1) host:fuzzy(wb,2)"),
            ("status:>=500 level:in(ERROR,WARN)", "status:>=500 level:in(ERROR,WARN)"),
            ("~\"a+b\"", "~\"a+b\""),
            ("file not found NOT here", "i(file) i(\"not\") i(found) !i(here)"),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn a_colon_is_a_fields_only_where_it_looks_like_one() {
        for (text, expected) in [
            ("error: disk full", "i(\"error:\") i(disk) i(full)"),
            ("12:30:45", "i(\"12:30:45\")"),
            ("http://example.com/a", "i(\"http://example.com/a\")"),
            ("user.id:7", "i(\"user.id:7\") or user.id:i(7)"),
            ("-localhost:8080 up", "!(i(\"localhost:8080\") or localhost:i(8080)) i(up)"),
            ("std::vector", "i(\"std::vector\")"),
            ("C:\\Users", "i(\"C:\\\\Users\")"),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_logsql_is_words() {
        assert_eq!(read("GET /api (timeout"), "i(GET) i(api) i(timeout)");
        assert_eq!(read("f(x) = \"open"), "i(f) i(x) i(open)");
        assert_eq!(read("a|b~~"), "i(\"a|b~~\")");
        assert_eq!(read("!!!"), "*");
    }

    #[test]
    fn pipes_and_queries_within_are_refused() {
        let fault = plain("error | stats count()").unwrap_err();
        assert!(fault.at() == 6 && fault.reason().contains("/select/logsql/query"), "{fault}");
        assert!(plain(&"a ".repeat(QUERY_BYTES_MAX)).is_err());
        let clock = Clock { now: 0, zone: 0 };
        for text in ["a:in(b | fields a)", "_id:x", "a:eq_field(b)"] {
            assert!(
                sought(&plain(text).unwrap(), clock).unwrap_err().to_string().contains("/select/logsql/query"),
                "{text}"
            );
        }
    }

    #[test]
    fn times_and_services_narrow_what_is_read() {
        let clock = Clock { now: 1_000_000_000_000, zone: 0 };
        let found = sought(&plain("_time:1m service_name:=shop error").unwrap(), clock).unwrap();
        assert_eq!(found.services, Some(vec!["shop".to_owned()]));
        assert!(found.times.0 > i64::MIN && found.times.1 <= clock.now, "{:?}", found.times);
        assert_eq!(found.read_as, "_time:1m service_name:=shop i(error)");
    }
}
