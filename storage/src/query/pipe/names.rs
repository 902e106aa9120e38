//! The names of pipes, for whoever nearly wrote one.
//!
//! Invariants
//! * A name is near if at most [`CHANGES_MAX`] letters differ, and no more than a third of its own. Words over
//!   [`WORD_BYTES_MAX`] are compared with none.

use crate::query::parse::PIPES;

/// Words that begin a filter or a function, and no pipe.
const JOINING: [&str; 4] = ["and", "by", "not", "or"];
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
pub(super) fn is_known(word: &str) -> bool {
    JOINING.contains(&word) || names().any(|name| name == word)
}

/// The name that is nearest to a word in lower case, where one is near.
pub(super) fn nearest(word: &str) -> Option<&'static str> {
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
        // A filter by itself is a pipe, and a fault in one is told as such.
        assert!(parse("* | stat").is_ok() && parse("* | stat or b").is_ok());
        assert!(!parse("* | a:~'('").unwrap_err().reason().contains("no pipe"));
        assert!(!parse("* | stats count(").unwrap_err().reason().contains("no pipe"));
    }
}
