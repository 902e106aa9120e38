//! Regular expressions as RE2 writes them, compiled by a crate that writes some of them otherwise.
//!
//! What differs: `\d`, `\w`, `\s` and `\b` are ASCII in RE2; `{` is itself where it begins no count; brackets inside
//! a class are plain; `\Q...\E` quotes; any escaped punctuation is itself.
//!
//! Invariants
//! * Length, nesting and compiled size are bounded: no expression costs more than [`COMPILED_BYTES_MAX`].
pub(crate) use regex::Regex;
use regex::RegexBuilder;
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind};

/// An expression as written.
const REGEXP_BYTES_MAX: usize = 64 << 10;
/// A compiled expression.
const COMPILED_BYTES_MAX: usize = 4 << 20;
/// What an expression may take while it runs, on each thread.
const CACHE_BYTES_MAX: usize = 512 << 10;
/// What an expression is counted for as memory: its states, and what it takes while it runs.
pub(crate) const MEMORY_BYTES: usize = 1 << 20;
/// The largest count in `{n,m}`, as in RE2.
const REPEAT_MAX: u32 = 1_000;
/// Groups within groups.
const NESTING_MAX: u32 = 200;

/// Compiles an expression that may match anywhere in a text.
pub(crate) fn compile(expression: &str) -> Result<Regex, String> {
    build(&translate(expression)?)
}

/// Compiles an expression that has to match the whole text, as stream filters do.
pub(crate) fn compile_whole(expression: &str) -> Result<Regex, String> {
    build(&format!("^(?s:{})$", translate(expression)?))
}

/// About how many states an expression compiles to.
pub(crate) fn states(expression: &str) -> Result<usize, String> {
    let pattern = translate(expression)?;
    // What is wrong is told by whoever compiles it.
    let hir = ParserBuilder::new().nest_limit(NESTING_MAX).build().parse(&pattern);
    Ok(hir.map_or(0, |hir| states_of(&hir)))
}

fn states_of(hir: &Hir) -> usize {
    let all = |parts: &[Hir]| parts.iter().fold(parts.len(), |sum, part| sum.saturating_add(states_of(part)));
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => 1,
        HirKind::Literal(literal) => literal.0.len(),
        HirKind::Class(Class::Bytes(class)) => class.ranges().len(),
        // A range of characters is some sequences of bytes.
        HirKind::Class(Class::Unicode(class)) => class.ranges().len().saturating_mul(3),
        HirKind::Repetition(repetition) => {
            let times = repetition.max.unwrap_or(repetition.min).max(1) as usize;
            states_of(&repetition.sub).saturating_add(1).saturating_mul(times)
        }
        HirKind::Capture(capture) => states_of(&capture.sub).saturating_add(2),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => all(parts),
    }
}

fn build(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(pattern)
        .size_limit(COMPILED_BYTES_MAX)
        .dfa_size_limit(CACHE_BYTES_MAX)
        .nest_limit(NESTING_MAX)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => {
                format!(
                    "it compiles to more than {} MiB; make it shorter or its counts smaller",
                    COMPILED_BYTES_MAX >> 20
                )
            }
            other => {
                let text = other.to_string();
                text.lines().last().unwrap_or("it is wrong").trim_start_matches("error: ").to_string()
            }
        })
}

/// A text as an expression that matches it alone.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

struct Translator<'a> {
    rest: &'a str,
    out: String,
}

fn translate(expression: &str) -> Result<String, String> {
    if expression.len() > REGEXP_BYTES_MAX {
        return Err(format!("it is longer than {} KiB", REGEXP_BYTES_MAX >> 10));
    }
    let mut translator = Translator { rest: expression, out: String::with_capacity(expression.len() + 16) };
    while let Some(c) = translator.take() {
        match c {
            '\\' => translator.escape(false)?,
            '[' => translator.class()?,
            '{' => translator.count()?,
            '}' => translator.out.push_str(r"\}"),
            _ => translator.out.push(c),
        }
    }
    Ok(translator.out)
}

impl Translator<'_> {
    fn take(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = self.rest.get(c.len_utf8()..)?;
        Some(c)
    }

    fn literal(&mut self, c: char) {
        // Behind a backslash these two are ends of words there.
        if c.is_ascii_punctuation() && !matches!(c, '<' | '>') {
            self.out.push('\\');
        }
        self.out.push(c);
    }

    /// What follows a backslash.
    fn escape(&mut self, in_class: bool) -> Result<(), String> {
        let c = self.take().ok_or("it ends with a backslash")?;
        match c {
            'd' => self.out.push_str("[0-9]"),
            'D' => self.out.push_str("[^0-9]"),
            'w' => self.out.push_str("[0-9A-Za-z_]"),
            'W' => self.out.push_str("[^0-9A-Za-z_]"),
            's' => self.out.push_str(r"[\t\n\x0c\r ]"),
            'S' => self.out.push_str(r"[^\t\n\x0c\r ]"),
            'b' if !in_class => self.out.push_str(r"(?-u:\b)"),
            'B' if !in_class => self.out.push_str(r"(?-u:\B)"),
            'Q' if !in_class => self.quoted(),
            'x' | 'p' | 'P' | 'n' | 't' | 'r' | 'a' | 'f' | 'v' => self.out.extend(['\\', c]),
            'A' | 'z' if !in_class => self.out.extend(['\\', c]),
            '0'..='7' => self.octal(c)?,
            _ if c.is_ascii_punctuation() => self.literal(c),
            _ => return Err(format!("unknown escape \\{c}")),
        }
        Ok(())
    }

    fn octal(&mut self, first: char) -> Result<(), String> {
        let digits: String = self.rest.chars().take(2).take_while(|c| ('0'..='7').contains(c)).collect();
        if first != '0' && digits.len() < 2 {
            return Err(format!("\\{first} would refer back to a group, which is not supported"));
        }
        self.rest = self.rest.get(digits.len()..).unwrap_or_default();
        let code = u32::from_str_radix(&format!("{first}{digits}"), 8).unwrap_or(0);
        self.out.push_str(&format!("\\x{{{code:x}}}"));
        Ok(())
    }

    fn quoted(&mut self) {
        let (text, tail) = self.rest.split_once(r"\E").unwrap_or((self.rest, ""));
        self.rest = tail;
        text.chars().for_each(|c| self.literal(c));
    }

    /// `{n}`, `{n,}` and `{n,m}` are counts; any other brace is itself.
    fn count(&mut self) -> Result<(), String> {
        let inner = self.rest.split_once('}').map(|(inner, _)| inner);
        let counts: Option<Vec<&str>> = inner.map(|inner| inner.splitn(2, ',').collect());
        let is_number = |text: &&str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let is_count = counts.as_ref().is_some_and(|counts| {
            counts.first().is_some_and(is_number) && counts.get(1).is_none_or(|max| max.is_empty() || is_number(max))
        });
        let (Some(inner), Some(counts), true) = (inner, counts, is_count) else {
            self.out.push_str(r"\{");
            return Ok(());
        };
        for count in counts.iter().filter(|count| !count.is_empty()) {
            if count.parse::<u32>().map_or(true, |n| n > REPEAT_MAX) {
                return Err(format!("a count is over {REPEAT_MAX}"));
            }
        }
        self.out.push_str(&format!("{{{inner}}}"));
        self.rest = self.rest.get(inner.len() + 1..).unwrap_or_default();
        Ok(())
    }

    /// A class, its opening bracket taken.
    fn class(&mut self) -> Result<(), String> {
        self.out.push('[');
        if let Some(rest) = self.rest.strip_prefix('^') {
            self.rest = rest;
            self.out.push('^');
        }
        let mut first = true;
        loop {
            if let Some((name, tail)) = posix(self.rest) {
                self.out.push_str(name);
                self.rest = tail;
                first = false;
                continue;
            }
            match self.take().ok_or("missing ']'")? {
                ']' if !first => {
                    self.out.push(']');
                    return Ok(());
                }
                '\\' => self.escape(true)?,
                // A dash makes a range unless it stands first or last.
                '-' if !first && !self.rest.starts_with(']') => self.out.push('-'),
                c => self.literal(c),
            }
            first = false;
        }
    }
}

/// `[:alpha:]` at the start of a text, and what follows it.
fn posix(text: &str) -> Option<(&str, &str)> {
    let end = text.strip_prefix("[:")?.find(":]")? + 4;
    let (name, tail) = text.split_at_checked(end)?;
    name.get(2..end - 2)?.bytes().all(|b| b.is_ascii_alphabetic() || b == b'^').then_some((name, tail))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(expression: &str, text: &str) -> bool {
        compile(expression).unwrap().is_match(text)
    }

    #[test]
    fn classes_are_ascii() {
        assert!(is(r"^\d+$", "123") && !is(r"^\d+$", "٣"));
        assert!(is(r"^[\w.]+$", "a.b_9") && !is(r"\w", "é") && is(r"^[\W]$", "é"));
        assert!(is(r"x\b", "xé") && is(r"(?i)STRASSE", "strasse"));
    }

    #[test]
    fn braces_and_brackets_are_as_in_re2() {
        assert!(is(r"^a{2}$", "aa") && is(r"^{a}$", "{a}") && is(r"a{,2}", "a{,2}") && is("}", "}"));
        assert!(is("^[[a]+$", "[a") && is("^[]a]+$", "]a") && is("^[a&&b~~c]+$", "&a~"));
        assert!(
            is("^[[:alpha:]_-]+$", "a_-")
                && is(r"^\Qa.b\E.$", "a.bc")
                && is(r"\<a\>", "<a>")
                && is(r"\-\/\x41\101", "-/AA")
        );
        assert!(is("(?P<x>a)(?:b)", "ab") && is("(?s)a.b", "a\nb") && !is("a.b", "a\nb"));
    }

    #[test]
    fn whole_matches_span_lines() {
        let whole = compile_whole("a.*|b").unwrap();
        assert!(whole.is_match("a\nx") && whole.is_match("b") && !whole.is_match("xb"));
        assert!(compile_whole(&escape("a.b|c")).unwrap().is_match("a.b|c"));
        assert!(compile_whole(&escape("<a> < b>")).unwrap().is_match("<a> < b>"));
        assert!(!compile("\\<b").unwrap().is_match("a b") && compile("[\\<]").unwrap().is_match("<"));
    }

    #[test]
    fn what_is_wrong_or_too_large_is_refused() {
        for wrong in ["*", "(", "ab(", "[a", r"\", r"\1", r"\y", "a{1001}", "(?<", "[z-a]"] {
            assert!(compile(wrong).is_err(), "{wrong}");
        }
        assert!(compile("((a{1,999}){99}){99}").unwrap_err().contains("MiB"));
        assert_eq!((states("abc"), states("(a{1,999}){9}").map(|n| n / 1_000)), (Ok(3), Ok(18)));
        assert!(states("((a{1,999}){99}){99}").is_ok_and(|n| n > 1 << 20) && states("(").is_ok());
        assert!(compile(&"(".repeat(10_000)).is_err());
        assert!(compile(&"a".repeat(REGEXP_BYTES_MAX + 1)).is_err());
    }
}
