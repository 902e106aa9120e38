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
    use crate::query::testing::check_filters;

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

    const ROWS: &str = r#"
        {"row":"a","_msg":"an error happened","log.level":"error","ip:remote":"1.2.3.45"}
        {"row":"b","_msg":"error: cannot open file","log.level":"errors","log:level":"err7"}
        {"row":"c","_msg":"ERROR: ssh: login fail for user \"foobar\"","log.level":"ERROR"}
        {"row":"d","_msg":"multiple errors occurred","სფერო":"ერთი τιμή"}
        {"row":"e","_msg":"ssh: login failed","log.level":""}
        {"row":"f","_msg":"ssh login fail","n":"12"}
        {"row":"g","_msg":"{\"foo\":\"bar\"}","n":"120"}
        {"row":"h","_msg":"An ErRoR occurred, FooError","n":"-12.5"}
        {"row":"i","_msg":"unexpected failure","x":"ÄRGER"}
        {"row":"j","_msg":"unexpectedly failed","x":"ärgern"}
        {"row":"k"}
    "#;

    #[test]
    fn words_and_phrases_are_whole() {
        check_filters(
            ROWS,
            &[
                ("error", "ab"),
                ("_msg:error", "ab"),
                ("ERROR", "c"),
                ("\"ssh: login fail\"", "c"),
                ("'\"foo\":\"bar\"'", "g"),
                ("\"\\\"foo\\\":\\\"bar\\\"\"", "g"),
                ("log.level:error", "a"),
                ("\"ip:remote\":\"1.2.3.45\"", "a"),
                ("\"ip:remote\":1.2.3.45", "a"),
                ("\"ip:remote\":2.3", "a"),
                ("\"ip:remote\":2.3.4", ""),
                ("სფერო:τιμή", "d"),
                ("სფერო:τιμ", ""),
                ("n:12", "fh"),
                ("log.level:(error or ERROR)", "ac"),
                ("log.level:-error", "bcdefghijk"),
                ("\"\"", "k"),
                ("log.level:\"\"", "defghijk"),
                ("none:error", ""),
                ("NOT error OR file", "bcdefghijk"),
                ("NOT (error OR file)", "cdefghijk"),
                ("ssh AND login AND fail", "cf"),
                ("error file or failed", "bej"),
                ("error (file or happened)", "ab"),
            ],
        );
    }

    #[test]
    fn the_last_word_of_a_prefix_goes_on() {
        check_filters(
            ROWS,
            &[
                ("err*", "abd"),
                ("\"ssh: login fail\"*", "ce"),
                ("\"unexpected fail\"*", "i"),
                ("unexpected* AND fail*", "ij"),
                ("unexpected AND fail*", "i"),
                ("'\"foo\":\"ba'*", "g"),
                ("log.level:err*", "ab"),
                ("\"log:level\":err*", "b"),
                ("log.level:*", "abc"),
                ("_msg:*", "abcdefghij"),
                ("n:12*", "fgh"),
                ("n:1*", "fgh"),
                ("none:*", ""),
                ("*", "abcdefghijk"),
                ("log.level:(err* or ERR*)", "abc"),
                ("log.level:!*", "defghijk"),
            ],
        );
    }

    #[test]
    fn letters_of_either_case_pass() {
        check_filters(
            ROWS,
            &[
                ("i(error)", "abch"),
                ("I(ERROR)", "abch"),
                ("i(error*)", "abcdh"),
                ("i(\"SSH: LOGIN FAIL\")", "c"),
                ("i(\"SSH: LOGIN FAIL\"*)", "ce"),
                ("log.level:i(error)", "ac"),
                ("\"log:level\":i(\"ERR7\")", "b"),
                ("x:i(ärger)", "i"),
                ("x:i(ÄRGER*)", "ij"),
                ("x:i(arger*)", ""),
                ("log.level:i(\"\")", "defghijk"),
                ("log.level:i(*)", "abc"),
                ("log.level:!i(error)", "bdefghijk"),
                ("none:i(x)", ""),
                ("i", ""),
            ],
        );
    }
}
