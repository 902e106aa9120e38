//! From text to [`Query`]: the parser's position, look-ahead and the pieces that all parts of the language share.
//!
//! Invariants
//! * Text, tokens, nesting and the work of going back are bounded: hostile text costs no more than its length allows.
//! * Every fault names the byte that it was seen at.
mod lexer;
mod names;
mod words;

use super::budget::{Held, Memory};
use super::fault::{At, Fault, Parsed};
use super::tree::Query;
use super::value::number::{arithmetic, uint};
use super::value::regexp::{Regex, compile, compile_whole, states};
use crate::error::Error;
use lexer::{Token, tokens};
pub(crate) use names::{NAME_BYTES_MAX, canonical};
pub(crate) use words::{
    PIPES, begins_pipe, quote_field, quote_if_needed, quote_operand, quote_pattern, quote_text_operand,
};

/// The text of a query.
pub const QUERY_BYTES_MAX: usize = 1 << 20;
/// Groups, conditions, subqueries and operands within each other.
const NESTING_MAX: usize = 128;
/// Queries within each other.
const QUERIES_MAX: usize = 16;
/// Names, functions and the like of one pipe.
const LIST_MAX: usize = 2_000;
/// What names of fields before groups of filters may take, each counted for every filter of its group.
const NAMES_BYTES_MAX: usize = 64 << 20;
/// The states that all regular expressions of a query may compile to, about.
const STATES_MAX: usize = 1 << 16;
/// What each is counted for beside its own, as compiling one takes a while.
const STATES_EACH: usize = 64;
/// What a token may take while there are tokens, and about the most that may come of it.
const TOKEN_BYTES: usize = size_of::<Token<'_>>();
const TREE_BYTES: usize = 448;
/// Tokens that may be read, going back included, for each token that there is.
const READS_PER_TOKEN_MAX: usize = 32;

/// What ends a word of several tokens.
const WORD_ENDS: [&str; 7] = [",", "(", ")", "[", "]", "|", ""];

/// Parses a query.
pub fn parse(text: &str) -> Result<Query, Fault> {
    if text.len() > QUERY_BYTES_MAX {
        return Err(Fault::new(0, format!("the query is longer than {} MiB", QUERY_BYTES_MAX >> 20)));
    }
    whole(Parser::new(text))
}

/// The same, where the query is counted as memory for as long as the second value is there.
pub fn parse_within(text: &str, memory: &Memory) -> Result<Result<(Query, Held), Fault>, Error> {
    let mut held = memory.hold("the text of the query");
    let mut tokens = memory.hold("the text of the query");
    if text.len() <= QUERY_BYTES_MAX {
        tokens.add(text.len().saturating_mul(TOKEN_BYTES))?;
    }
    let parser = match text.len() {
        0..=QUERY_BYTES_MAX => Parser::new(text),
        _ => return Ok(parse(text).map(|query| (query, held))),
    };
    held.add(text.len() + parser.tokens.len().saturating_mul(TREE_BYTES))?;
    Ok(whole(parser).map(|query| (query, held)))
}

fn whole(mut parser: Parser<'_>) -> Parsed<Query> {
    let query = Query::parse(&mut parser)?;
    if parser.is_end() { Ok(query) } else { Err(parser.unexpected("'|' or the end of the query")) }
}

/// Where the parser stands.
pub(crate) struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    next: usize,
    nesting: usize,
    queries: usize,
    reads: usize,
    names_bytes: usize,
    states: usize,
    end: Token<'a>,
}

impl<'a> Parser<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        let end = Token { raw: "", text: "".into(), at: text.len(), spaced: false, quoted: false };
        Self { tokens: tokens(text), next: 0, nesting: 0, queries: 0, reads: 0, names_bytes: 0, states: 0, end }
    }

    /// The token that the parser stands at.
    pub(crate) fn token(&self) -> &Token<'a> {
        self.tokens.get(self.next).unwrap_or(&self.end)
    }

    /// The content of that token.
    pub(crate) fn text(&self) -> &str {
        &self.token().text
    }

    /// The place of that token.
    pub(crate) fn at(&self) -> At {
        At(self.token().at)
    }

    /// The token before it.
    pub(crate) fn previous(&self) -> Option<&Token<'a>> {
        self.tokens.get(self.next.checked_sub(1)?)
    }

    pub(crate) fn is_end(&self) -> bool {
        self.token().raw.is_empty()
    }

    /// Goes to the next token.
    pub(crate) fn advance(&mut self) {
        self.reads += 1;
        if !self.is_end() {
            self.next += 1;
        }
    }

    /// Goes to the next token, which must exist.
    pub(crate) fn advance_to(&mut self, what: &str) -> Parsed<()> {
        self.advance();
        if self.is_end() { Err(self.unexpected(what)) } else { Ok(()) }
    }

    /// Where the parser stands, to go back to.
    pub(crate) fn mark(&self) -> usize {
        self.next
    }

    /// Goes back.
    pub(crate) fn back(&mut self, mark: usize) {
        self.next = mark;
    }

    /// Whether the token is this word, in any case, unquoted; `""` is the end of the query.
    pub(crate) fn is(&self, word: &str) -> bool {
        let token = self.token();
        !token.quoted && token.raw.eq_ignore_ascii_case(word)
    }

    /// Whether the token is one of these words.
    pub(crate) fn is_any(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.is(word))
    }

    /// Takes the token if it is this word.
    pub(crate) fn takes(&mut self, word: &str) -> bool {
        let is = self.is(word);
        if is {
            self.advance();
        }
        is
    }

    /// Takes the token, which must be this word.
    pub(crate) fn expect(&mut self, word: &str) -> Parsed<()> {
        if self.takes(word) { Ok(()) } else { Err(self.unexpected(&format!("'{word}'"))) }
    }

    /// Whether a pipe ends here.
    pub(crate) fn ends_pipe(&self) -> bool {
        self.is_any(&["|", ")", ""])
    }

    /// A fault at the token.
    pub(crate) fn fault(&self, reason: impl Into<String>) -> Fault {
        Fault::new(self.token().at, reason)
    }

    /// The fault of a token where another one is wanted.
    pub(crate) fn unexpected(&self, wanted: &str) -> Fault {
        if let Some(fault) = self.bad_quote() {
            return fault;
        }
        match self.token().raw {
            "" => self.fault(format!("the query ends where {wanted} is wanted")),
            raw => {
                let shown: String = raw.chars().take(40).collect();
                self.fault(format!("unexpected '{shown}' where {wanted} is wanted"))
            }
        }
    }

    /// The fault of a quote that opens no string.
    pub(crate) fn bad_quote(&self) -> Option<Fault> {
        let token = self.token();
        if token.quoted || !matches!(token.raw, "\"" | "'" | "`") {
            return None;
        }
        let quote = token.raw;
        let closes = self.tokens.get(self.next + 1..).is_some_and(|rest| rest.iter().any(|t| t.raw.contains(quote)));
        Some(self.fault(if closes {
            format!(
                "wrong escape in a string that {quote} opens; a backslash is written \\\\, or not at all in `backticks`"
            )
        } else {
            format!("missing closing {quote}")
        }))
    }

    /// Parses something that can hold itself.
    pub(crate) fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.nesting >= NESTING_MAX {
            return Err(self.fault(format!("more than {NESTING_MAX} levels of nesting")));
        }
        if self.reads > 10_000 + READS_PER_TOKEN_MAX * self.tokens.len() {
            return Err(self.fault("the query is too ambiguous; write 'filter' or 'stats' before such pipes"));
        }
        self.nesting += 1;
        let parsed = parse(self);
        self.nesting -= 1;
        parsed
    }

    /// Parses a query within those that are being parsed.
    pub(crate) fn query_within<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.queries > QUERIES_MAX {
            return Err(self.fault(format!("more than {QUERIES_MAX} queries within each other")));
        }
        self.queries += 1;
        let parsed = self.nested(parse);
        self.queries -= 1;
        parsed
    }

    /// Whether a list of so many may have one more.
    pub(crate) fn has_room(&self, len: usize) -> Parsed<()> {
        if len < LIST_MAX { Ok(()) } else { Err(self.fault(format!("more than {LIST_MAX} in one list"))) }
    }

    /// Counts the name of a field that stands before a group, once more.
    pub(crate) fn repeats(&mut self, name: Option<&str>) -> Parsed<()> {
        self.names_bytes += name.map_or(0, str::len);
        if self.names_bytes <= NAMES_BYTES_MAX {
            return Ok(());
        }
        Err(self.fault("the names of fields before groups are too long for so many filters"))
    }

    /// Compiles a regular expression that stands at some place, by itself or for a whole text.
    pub(crate) fn regexp(&mut self, expression: &str, whole: bool, at: At) -> Parsed<Regex> {
        let wrong = |reason: String| Fault::new(at.0, format!("wrong regular expression: {reason}"));
        self.states = self.states.saturating_add(states(expression).map_err(wrong)?).saturating_add(STATES_EACH);
        if self.states > STATES_MAX {
            return Err(Fault::new(
                at.0,
                "the regular expressions of the query are too many, or their counts too large",
            ));
        }
        if whole { compile_whole(expression) } else { compile(expression) }.map_err(wrong)
    }

    /// What follows the last token without a space, up to one of `ends`, as it was written.
    pub(crate) fn suffix(&mut self, ends: &[&str]) -> String {
        let mut suffix = String::new();
        while !self.token().spaced && !self.is_any(ends) && !self.is_end() {
            suffix.push_str(self.token().raw);
            self.advance();
        }
        suffix
    }

    /// A word that may consist of several tokens without spaces; alone, a string stands for its content.
    pub(crate) fn word_until(&mut self, ends: &[&str], what: &str) -> Parsed<String> {
        if self.bad_quote().is_some() || self.is_any(ends) || self.is_end() {
            return Err(self.unexpected(what));
        }
        let token = self.token();
        let (text, raw) = (token.text.to_string(), token.raw);
        self.advance();
        let suffix = self.suffix(ends);
        Ok(if suffix.is_empty() { text } else { format!("{raw}{suffix}") })
    }

    /// A word, as values of options and pipes are.
    pub(crate) fn word(&mut self, what: &str) -> Parsed<String> {
        self.word_until(&WORD_ENDS, what)
    }

    /// A number in any form, and how it was written.
    pub(crate) fn number(&mut self, what: &str) -> Parsed<(f64, String)> {
        let at = self.at();
        let text = self.word(what)?;
        let value = arithmetic(&text);
        if value.is_nan() && !text.eq_ignore_ascii_case("nan") {
            return Err(Fault::new(at.0, format!("'{text}' is no number; {what} is wanted")));
        }
        Ok((value, text))
    }

    /// A number of rows and the like, of at least 1.
    pub(crate) fn positive_number(&mut self, what: &str) -> Parsed<u64> {
        let at = self.at();
        let (number, text) = self.number(what)?;
        if number >= 1.0 { Ok(number as u64) } else { Err(Fault::new(at.0, format!("{what} is below 1: {text}"))) }
    }

    /// An unsigned integer in one token.
    pub(crate) fn integer(&mut self, what: &str) -> Parsed<u64> {
        let number = uint(self.text()).ok_or_else(|| self.unexpected(what))?;
        self.advance();
        Ok(number)
    }

    /// `limit N`, if it is there; no limit is 0.
    pub(crate) fn limit(&mut self) -> Parsed<u64> {
        if self.takes("limit") { self.integer("the number after 'limit'") } else { Ok(0) }
    }
}

#[cfg(test)]
mod tests;
