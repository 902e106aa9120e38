//! The names of pipes, for whoever nearly wrote one.
//!
//! Invariants
//! * A name is near if at most [`CHANGES_MAX`] letters differ, and no more than a third of its own. Words over
//!   [`WORD_BYTES_MAX`] are compared with none.

use crate::query::fault::Fault;
use crate::query::parse::{PIPES, Parser, begins_pipe};

/// Words that begin a filter or a function, and no pipe.
const JOINING: [&str; 4] = ["and", "by", "not", "or"];
/// Pipes of later versions of the language than the one that is spoken here. Read as words they would be filters, which give
/// something else than what was asked for.
const LATER: [&str; 9] = [
    "coalesce",
    "deduplicate",
    "generate_sequence",
    "query_stats",
    "running_stats",
    "set_stream_fields",
    "split",
    "time_add",
    "total_stats",
];
/// A pipe whose name is no reserved word: a filter can begin with it.
const UNRESERVED: &str = "pack_logfmt";
/// Letters that may differ, of a name that has three times as many.
const CHANGES_MAX: usize = 2;
/// Longer words are no pipe.
const WORD_BYTES_MAX: usize = 32;

/// All of them, those that mean the same included.
fn names() -> impl Iterator<Item = &'static str> {
    PIPES.into_iter().filter(|name| !JOINING.contains(name)).chain([UNRESERVED])
}

/// Whether a word in lower case begins what is known: a pipe, or a filter or function without its first word.
fn is_known(word: &str) -> bool {
    JOINING.contains(&word) || names().any(|name| name == word)
}

/// The name that is nearest to a word in lower case, where one is near.
fn nearest(word: &str) -> Option<&'static str> {
    if word.len() > WORD_BYTES_MAX {
        return None;
    }
    let (changes, name) = names().map(|name| (changes(word, name), name)).min()?;
    (changes <= CHANGES_MAX && changes * 3 <= name.len()).then_some(name)
}

/// How many letters have to be put in, left out or replaced to make one of the other.
fn changes(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, own) in a.chars().enumerate() {
        let mut next = vec![i + 1];
        for (other, pair) in b.iter().zip(row.windows(2)) {
            let [before, above] = pair else { continue };
            let left = next.last().copied().unwrap_or(0);
            next.push((before + usize::from(own != *other)).min(above + 1).min(left + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

/// The fault of a word in lower case that the parser stands at, where it is meant as a pipe and read as a filter would be
/// silently wrong.
pub(super) fn refused(parser: &mut Parser<'_>, word: &str) -> Option<Fault> {
    let mark = parser.mark();
    if LATER.contains(&word) && is_called(parser, mark) {
        return Some(parser.fault(format!(
            "the pipe '{word}' is of a later version of the language and is not done; \
             write 'filter {word}' where the word is looked for"
        )));
    }
    if is_known(word) || begins_pipe(word) || !is_grouped(parser, mark) {
        return None;
    }
    let fault = parser.fault("'by' has to be quoted where it is a word");
    no_pipe(parser, mark, &fault)
}

/// Whether the word here stands as the name of a pipe does: nothing that makes another filter of it follows.
fn is_called(parser: &mut Parser<'_>, mark: usize) -> bool {
    parser.advance();
    let is_called = !parser.is(":") && (parser.token().spaced || parser.ends_pipe() || parser.is("("));
    parser.back(mark);
    is_called
}

/// Whether `by (` follows the word here.
fn is_grouped(parser: &mut Parser<'_>, mark: usize) -> bool {
    parser.advance();
    let is_grouped = parser.takes("by") && parser.is("(");
    parser.back(mark);
    is_grouped
}

/// Where a mark stands in the query.
pub(super) fn parser_at(parser: &mut Parser<'_>, mark: usize) -> usize {
    parser.back(mark);
    parser.at().0
}

/// The fault where a word is followed by what follows the name of a pipe or a function, and is the name of none.
pub(super) fn no_pipe(parser: &mut Parser<'_>, mark: usize, fault: &Fault) -> Option<Fault> {
    parser.back(mark);
    let (word, is_quoted, at) = (parser.token().raw.to_ascii_lowercase(), parser.token().quoted, parser.at().0);
    let is_name = word.starts_with(|c: char| c.is_ascii_alphabetic())
        && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if is_quoted || !is_name || is_known(&word) {
        return None;
    }
    parser.advance();
    // Two words one after another are a filter as well, whose fault is then a later one.
    let is_call = parser.is("(") && !parser.token().spaced;
    let has_words =
        is_call || parser.token().spaced && parser.token().raw.starts_with(|c: char| c.is_ascii_alphabetic());
    parser.back(mark);
    let meant = nearest(&word);
    if meant.is_none() && !has_words {
        return None;
    }
    let meant = meant.map_or_else(String::new, |name| format!("; did you mean '{name}'?"));
    let why = fault.reason();
    Some(Fault::new(at, format!("there is no pipe '{word}'{meant} (read as a filter: {why})")))
}

/// The fault of what is nothing that a pipe can be.
pub(super) fn unknown(parser: &mut Parser<'_>, mark: usize) -> Fault {
    parser.back(mark);
    parser.unexpected("a pipe, a function or a filter")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::parse;

    #[test]
    fn a_name_that_is_nearly_right_is_known() {
        for (word, name) in [
            ("stat", Some("stats")),
            ("sorts", Some("sort")),
            ("unpack_jsn", Some("unpack_json")),
            ("feilds", Some("fields")),
            ("summarize", None),
            ("x", None),
            ("ops", None),
        ] {
            assert_eq!(nearest(word), name, "{word}");
        }
    }

    #[test]
    fn every_pipe_is_listed() {
        // A name that is none is read as a filter, which a bracket cannot be in.
        for name in names() {
            let reason =
                parse(&format!("* | {name} )(")).map_or_else(|fault| fault.reason().to_owned(), |_| String::new());
            assert!(!reason.contains("no pipe"), "{name}: {reason}");
        }
        assert_eq!(names().count(), 53);
    }

    #[test]
    fn a_wrong_pipe_is_named_with_the_one_that_was_meant() {
        for (query, name, meant) in [
            ("* | stat count()", "stat", Some("stats")),
            ("* | stat by (level) count()", "stat", Some("stats")),
            ("* | feilds a,", "feilds", Some("fields")),
            ("* | summarize count() by (a)", "summarize", None),
        ] {
            let fault = parse(query).unwrap_err();
            assert_eq!(fault.at(), 4, "{query}: {fault}");
            assert!(fault.reason().contains(&format!("there is no pipe '{name}'")), "{query}: {fault}");
            let says = fault.reason().split("did you mean '").nth(1).and_then(|rest| rest.split('\'').next());
            assert_eq!(says, meant, "{query}: {fault}");
        }
        for (query, part) in [
            ("* | summarize(a)", "there is no pipe 'summarize' "),
            ("* | sorts by (a)", "there is no pipe 'sorts'; did you mean 'sort'?"),
            ("* | group by (a) count()", "there is no pipe 'group' "),
        ] {
            let fault = parse(query).unwrap_err();
            assert!(fault.at() == 4 && fault.reason().starts_with(part), "{query}: {fault}");
        }
        // A filter by itself is a pipe, and a fault in one is told as such.
        assert!(parse("* | stat").is_ok() && parse("* | stat or b").is_ok());
        assert!(!parse("* | a:~'('").unwrap_err().reason().contains("no pipe"));
        assert!(!parse("* | stats count(").unwrap_err().reason().contains("no pipe"));
    }
    #[test]
    fn pipes_of_later_versions_are_refused_by_name() {
        for name in LATER {
            let upper = name.to_uppercase();
            for call in [name.to_string(), format!("{name} x"), format!("{name}(a, b)"), format!("{upper} or b")] {
                for query in [format!("* | {call}"), format!("* | {call} | limit 1"), format!("a:in(b | {call})")] {
                    let fault = parse(&query).unwrap_err();
                    assert_eq!(
                        query.get(fault.at()..fault.at() + name.len()),
                        call.get(..name.len()),
                        "{query}: {fault}"
                    );
                    let wanted = format!("the pipe '{name}' is of a later version");
                    assert!(fault.reason().starts_with(&wanted), "{query}: {fault}");
                }
            }
            // What cannot be that pipe is the filter that it was, and so is what says so.
            for filter in [format!("{name}:x"), format!("{name}*"), format!("{name}.x"), format!("{name}-x y")] {
                assert!(parse(&format!("* | {filter}")).is_ok(), "{filter}");
            }
            for query in [format!("{name} x"), format!("* | filter {name}"), format!("* | \"{name}\" x")] {
                let query = parse(&query).unwrap();
                assert_eq!(parse(&query.to_string()).unwrap(), query);
            }
        }
    }
}
