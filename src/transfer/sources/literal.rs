//! SQL text as SQLite writes it: statements, and the literals in them.
//!
//! Invariants
//! * A statement ends at a semicolon outside of quotes and comments; one that is too long is passed over, not kept.
//! * Only what a dump has is understood: texts, numbers, blobs, NULL, and `replace`, `char` and `unistr` around them.
use std::io::BufRead;

/// Bytes of a statement.
pub(super) const STATEMENT_BYTES_MAX: usize = 16 << 20;
/// Calls within calls.
const DEPTH_MAX: usize = 32;

/// A statement.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Statement {
    Text(String),
    /// One that was too long.
    TooLong,
    /// One whose bytes are no text.
    NoText,
}

/// Where in a text something stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Nothing,
    Quotes(u8),
    LineComment,
    Comment,
}

/// Reads the next statement; nothing at the end.
pub(super) fn next_statement(input: &mut dyn BufRead) -> std::io::Result<Option<Statement>> {
    let (mut statement, mut within, mut before, mut is_long) = (Vec::new(), Within::Nothing, 0u8, false);
    loop {
        let there = input.fill_buf()?;
        if there.is_empty() {
            let is_blank = statement.trim_ascii().is_empty() && !is_long;
            return Ok((!is_blank).then(|| ended(statement, is_long)));
        }
        let mut used = there.len();
        let mut is_end = false;
        for (at, byte) in there.iter().copied().enumerate() {
            let was = within;
            within = match within {
                Within::Quotes(end) if byte == end => Within::Nothing,
                Within::LineComment if byte == b'\n' => Within::Nothing,
                Within::Comment if before == b'*' && byte == b'/' => Within::Nothing,
                Within::Nothing => match byte {
                    b'\'' | b'"' | b'`' => Within::Quotes(byte),
                    b'[' => Within::Quotes(b']'),
                    b'-' if before == b'-' => Within::LineComment,
                    b'*' if before == b'/' => Within::Comment,
                    _ => Within::Nothing,
                },
                within => within,
            };
            // What begins or ends something is not part of what comes next.
            before = if was == within { byte } else { 0 };
            if within == Within::Nothing && was == Within::Nothing && byte == b';' {
                (used, is_end) = (at + 1, true);
                break;
            }
        }
        is_long |= statement.len() + used > STATEMENT_BYTES_MAX;
        if !is_long {
            statement.extend_from_slice(there.get(..used).unwrap_or_default());
        }
        input.consume(used);
        if is_end {
            return Ok(Some(ended(statement, is_long)));
        }
    }
}

fn ended(statement: Vec<u8>, is_long: bool) -> Statement {
    if is_long {
        return Statement::TooLong;
    }
    String::from_utf8(statement).map_or(Statement::NoText, Statement::Text)
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    Null,
    /// As it is spelled.
    Number(String),
    Text(String),
}

/// Tokens of a statement.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// A name or a keyword.
    Word(String),
    /// A name in quotes.
    Name(String),
    Text(String),
    Number(String),
    Mark(char),
}

/// What is left of a statement.
pub(super) struct Tokens<'t> {
    rest: &'t str,
    peeked: Option<Token>,
}

impl<'t> Tokens<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { rest: text, peeked: None }
    }

    /// The next token; nothing at the end, and where something has no end.
    pub(super) fn next(&mut self) -> Option<Token> {
        if let Some(token) = self.peeked.take() {
            return Some(token);
        }
        self.skip();
        let mut chars = self.rest.chars();
        let first = chars.next()?;
        match first {
            '\'' => self.quoted('\'').map(Token::Text),
            '"' | '`' => self.quoted(first).map(Token::Name),
            '[' => self.quoted(']').map(Token::Name),
            'x' | 'X' if chars.next() == Some('\'') => {
                self.rest = self.rest.get(1..)?;
                let hex = self.quoted('\'')?;
                let bytes = (0..hex.len() / 2).map(|at| u8::from_str_radix(hex.get(at * 2..at * 2 + 2)?, 16).ok());
                let bytes = bytes.collect::<Option<Vec<u8>>>()?;
                Some(Token::Text(String::from_utf8_lossy(&bytes).into_owned()))
            }
            c if c.is_alphabetic() || c == '_' => {
                Some(Token::Word(self.while_is(|c| c.is_alphanumeric() || matches!(c, '_' | '$'))))
            }
            c if c.is_ascii_digit() || (c == '.' && chars.next().is_some_and(|c| c.is_ascii_digit())) => {
                let mut before = ' ';
                Some(Token::Number(self.while_is(|c| {
                    let is_part = c.is_ascii_alphanumeric()
                        || c == '.'
                        || (matches!(c, '+' | '-') && matches!(before, 'e' | 'E'));
                    before = c;
                    is_part
                })))
            }
            mark => {
                self.rest = self.rest.get(mark.len_utf8()..)?;
                Some(Token::Mark(mark))
            }
        }
    }

    pub(super) fn peek(&mut self) -> Option<&Token> {
        if self.peeked.is_none() {
            self.peeked = self.next();
        }
        self.peeked.as_ref()
    }

    /// Takes a mark if it is the next.
    pub(super) fn eat(&mut self, mark: char) -> Option<()> {
        (self.peek()? == &Token::Mark(mark)).then(|| self.peeked = None)
    }

    /// Takes a keyword if it is the next.
    pub(super) fn eat_word(&mut self, word: &str) -> Option<()> {
        matches!(self.peek()?, Token::Word(found) if found.eq_ignore_ascii_case(word)).then(|| self.peeked = None)
    }

    /// A name, quoted or not, the last of several with dots between them.
    pub(super) fn name(&mut self) -> Option<String> {
        let mut name = match self.next()? {
            Token::Word(name) | Token::Name(name) => name,
            _ => return None,
        };
        while self.eat('.').is_some() {
            name = match self.next()? {
                Token::Word(name) | Token::Name(name) => name,
                _ => return None,
            };
        }
        Some(name)
    }

    /// A value.
    pub(super) fn literal(&mut self) -> Option<Literal> {
        self.value(0)
    }

    fn value(&mut self, depth: usize) -> Option<Literal> {
        if depth > DEPTH_MAX {
            return None;
        }
        match self.next()? {
            Token::Text(text) => Some(Literal::Text(text)),
            Token::Number(number) => Some(Literal::Number(number)),
            Token::Mark('-') => match self.next()? {
                Token::Number(number) => Some(Literal::Number(format!("-{number}"))),
                _ => None,
            },
            Token::Word(word) if word.eq_ignore_ascii_case("null") => Some(Literal::Null),
            Token::Word(function) => {
                self.eat('(')?;
                let mut given = vec![self.value(depth + 1)?];
                while self.eat(',').is_some() {
                    given.push(self.value(depth + 1)?);
                }
                self.eat(')')?;
                call(&function.to_ascii_lowercase(), &given)
            }
            Token::Name(_) | Token::Mark(_) => None,
        }
    }

    fn skip(&mut self) {
        loop {
            self.rest = self.rest.trim_start();
            let behind = if self.rest.starts_with("--") {
                self.rest.split_once('\n').map_or("", |(_, behind)| behind)
            } else if self.rest.starts_with("/*") {
                self.rest.split_once("*/").map_or("", |(_, behind)| behind)
            } else {
                return;
            };
            self.rest = behind;
        }
    }

    /// What stands in quotes, in which the end comes twice where it is meant once.
    fn quoted(&mut self, end: char) -> Option<String> {
        let mut text = String::new();
        let mut rest = self.rest.get(1..)?;
        loop {
            let (piece, behind) = rest.split_once(end)?;
            text.push_str(piece);
            match behind.strip_prefix(end).filter(|_| end != ']') {
                Some(more) => {
                    text.push(end);
                    rest = more;
                }
                None => {
                    self.rest = behind;
                    return Some(text);
                }
            }
        }
    }

    fn while_is(&mut self, mut is: impl FnMut(char) -> bool) -> String {
        let end = self.rest.char_indices().find(|(_, c)| !is(*c)).map_or(self.rest.len(), |(at, _)| at);
        let (word, behind) = self.rest.split_at_checked(end).unwrap_or_default();
        self.rest = behind;
        word.to_owned()
    }
}

/// What a function gives that a dump may have around a text.
fn call(function: &str, given: &[Literal]) -> Option<Literal> {
    match (function, given) {
        ("replace", [Literal::Text(text), Literal::Text(from), Literal::Text(to)]) if !from.is_empty() => {
            Some(Literal::Text(text.replace(from.as_str(), to)))
        }
        ("char", codes) => {
            let code = |code: &Literal| match code {
                Literal::Number(code) => char::from_u32(code.parse().ok()?),
                _ => None,
            };
            codes.iter().map(code).collect::<Option<String>>().map(Literal::Text)
        }
        ("unistr", [Literal::Text(text)]) => unistr(text).map(Literal::Text),
        _ => None,
    }
}

/// A text in which `\XXXX`, `\+XXXXXX`, `\uXXXX` and `\UXXXXXXXX` stand for characters, and two backslashes for one.
fn unistr(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('\\') {
        out.push_str(before);
        let (skip, digits) = match behind.chars().next()? {
            '\\' => {
                out.push('\\');
                rest = behind.get(1..)?;
                continue;
            }
            '+' => (1, 6),
            'u' => (1, 4),
            'U' => (1, 8),
            _ => (0, 4),
        };
        out.push(char::from_u32(u32::from_str_radix(behind.get(skip..skip + digits)?, 16).ok()?)?);
        rest = behind.get(skip + digits..)?;
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_end_at_semicolons_outside_of_quotes_and_comments() {
        let text = "a 'x;''y' ; -- c;\nb /* ; */ \"q;\" [;] `;`;\n  ;last";
        for size in [1, 2, 3, 1000] {
            let mut input = std::io::BufReader::with_capacity(size, text.as_bytes());
            let mut all = Vec::new();
            while let Some(Statement::Text(text)) = next_statement(&mut input).unwrap() {
                all.push(text);
            }
            assert_eq!(all, ["a 'x;''y' ;", " -- c;\nb /* ; */ \"q;\" [;] `;`;", "\n  ;", "last"]);
        }
        let long = format!("'{}'; x", "a".repeat(STATEMENT_BYTES_MAX));
        let mut input = long.as_bytes();
        assert_eq!(next_statement(&mut input).unwrap(), Some(Statement::TooLong));
        assert_eq!(next_statement(&mut input).unwrap(), Some(Statement::Text(" x".into())));
        assert_eq!(next_statement(&mut &b"\xff;"[..]).unwrap(), Some(Statement::NoText));
        assert_eq!(next_statement(&mut &b" \n"[..]).unwrap(), None);
    }

    #[test]
    fn literals_are_what_sqlite_means_by_them() {
        let value = |text: &str| Tokens::new(text).literal();
        let text = |text: &str| Some(Literal::Text(text.into()));
        assert_eq!(value("'it''s'"), text("it's"));
        assert_eq!(value("X'6162'"), text("ab"));
        assert_eq!(value(" /* c */ -- d\n NULL"), Some(Literal::Null));
        assert_eq!(value("-1.5e-3,"), Some(Literal::Number("-1.5e-3".into())));
        assert_eq!(value("replace(replace('a\\nb\\r','\\r',char(13)),'\\n',char(10))"), text("a\nb\r"));
        assert_eq!(value("unistr('a\\u000ab\\\\c\\+01F600')"), text("a\nb\\c\u{1f600}"));
        for wrong in ["", "'open", "f('x')", "(", "replace('a','','b')", "x'6'+", "unistr('\\u00')"] {
            assert!(value(wrong).is_none() || wrong.starts_with('x'), "{wrong}");
        }
        assert_eq!(value(&format!("{}'a'", "unistr(".repeat(100))), None);
        let mut tokens = Tokens::new("INSERT INTO main.\"lo\"\"gs\"(\"id\") VALUES");
        assert!(tokens.eat_word("insert").is_some() && tokens.eat_word("into").is_some());
        assert_eq!(tokens.name().as_deref(), Some("lo\"gs"));
    }
}
