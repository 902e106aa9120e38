//! Words, phrases and prefixes: texts that have a needle with word boundaries around it.
//!
//! Invariants
//! * A boundary is asked for only where the needle itself begins or ends with a character of words.
//! * Case is folded character by character, so that boundaries stay where they are.
use super::parse::Scope;
use super::{Filter, Test};
use crate::query::fault::Parsed;
use crate::query::parse::Parser;
use crate::text::words::{fold_text, is_word};
use memchr::memmem::Finder;

/// The rest of a phrase: it is a prefix if a `*` follows.
pub(super) fn after_text(parser: &mut Parser<'_>, text: String, scope: Scope<'_>) -> Parsed<Filter> {
    if !parser.is("*") || parser.token().spaced {
        return Ok(scope.test(Test::Phrase(text)));
    }
    parser.advance();
    if parser.is(":") {
        return Err(parser.fault("fields cannot be named by a prefix in a filter"));
    }
    Ok(if text.is_empty() && scope.is_open() { Filter::All } else { scope.test(Test::Prefix(text)) })
}

/// A needle made ready.
#[derive(Clone, Debug)]
pub(crate) struct Needle {
    finder: Finder<'static>,
    opens_with_word: bool,
    closes_with_word: bool,
    any_case: bool,
}

impl Needle {
    /// A phrase.
    pub(crate) fn phrase(text: &str, any_case: bool) -> Self {
        let text = if any_case { fold_text(text) } else { text.into() };
        Self {
            opens_with_word: text.chars().next().is_some_and(is_word),
            closes_with_word: text.chars().next_back().is_some_and(is_word),
            finder: Finder::new(text.as_bytes()).into_owned(),
            any_case,
        }
    }

    /// A prefix: its last word may go on.
    pub(crate) fn prefix(text: &str, any_case: bool) -> Self {
        Self { closes_with_word: false, ..Self::phrase(text, any_case) }
    }

    /// Whether a text has the phrase; the empty phrase is in the empty text only.
    pub(crate) fn is_in(&self, text: &str) -> bool {
        if self.is_empty() {
            return text.is_empty();
        }
        if self.any_case { self.end_in(&fold_text(text)).is_some() } else { self.end_in(text).is_some() }
    }

    /// What is looked for; folded where any case passes.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(self.finder.needle()).unwrap_or_default()
    }

    /// Whether letters of either case pass.
    pub(crate) fn any_case(&self) -> bool {
        self.any_case
    }

    /// Whether the last word may go on.
    pub(crate) fn goes_on(&self) -> bool {
        !self.closes_with_word
    }

    /// Whether nothing is looked for.
    pub(crate) fn is_empty(&self) -> bool {
        self.finder.needle().is_empty()
    }

    /// Where the first occurrence in a text ends.
    pub(crate) fn end_in(&self, text: &str) -> Option<usize> {
        let len = self.finder.needle().len();
        let mut from = 0;
        loop {
            let start = from + self.finder.find(text.as_bytes().get(from..)?)?;
            let end = start + len;
            if (!self.opens_with_word || opens(text, start)) && (!self.closes_with_word || closes(text, end)) {
                return Some(end);
            }
            from = start + text.get(start..)?.chars().next().map_or(1, char::len_utf8);
        }
    }
}

fn opens(text: &str, at: usize) -> bool {
    !text.get(..at).and_then(|head| head.chars().next_back()).is_some_and(is_word)
}

fn closes(text: &str, at: usize) -> bool {
    !text.get(at..).and_then(|tail| tail.chars().next()).is_some_and(is_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_stand_between_boundaries() {
        let has = |needle: &str, text: &str| Needle::phrase(needle, false).is_in(text);
        assert!(has("error", "error: cannot open") && has("error", "an error.") && has("a a", "xa a a"));
        assert!(!has("error", "errors") && !has("error", "ERROR") && !has("error", "terror") && !has("é", "éa"));
        assert!(has("login:", "ssh login:fail") && has(": f", "a: f") && !has(": f", "a: fa"));
        assert!(has("", "") && !has("", "a"));
    }

    #[test]
    fn prefixes_may_go_on() {
        let has = |needle: &str, text: &str| Needle::prefix(needle, false).is_in(text);
        assert!(has("err", "an error") && !has("err", "terror") && has("ssh: log", "ssh: login"));
    }

    #[test]
    fn case_is_folded_by_character() {
        assert!(Needle::phrase("ПриВЕТ", true).is_in("x привет y") && Needle::prefix("ERR", true).is_in("Errors"));
        assert!(!Needle::phrase("error", true).is_in("ERRORS"));
    }
}
