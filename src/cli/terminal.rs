//! What a terminal is given: colours and bars where somebody looks, and never a control byte of what was logged.
//!
//! Invariant: text of logs goes to a terminal through [`printable`] only.
use indicatif::{ProgressBar, ProgressStyle};
use std::borrow::Cow;
use std::io::IsTerminal;

/// A text without anything that a terminal would obey: control characters, and marks that change the direction of text,
/// are written as escapes.
pub(super) fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_obeyed) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_obeyed(c) {
            out.extend(c.escape_debug());
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// The same, but for the ends of lines and tabs: for text that may take several lines.
pub(super) fn printable_lines(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_obeyed) {
        return Cow::Borrowed(text);
    }
    let lines: Vec<Cow<'_, str>> =
        text.split('\n').map(|line| tabbed(line.strip_suffix('\r').unwrap_or(line))).collect();
    Cow::Owned(lines.join("\n"))
}

fn tabbed(line: &str) -> Cow<'_, str> {
    let parts: Vec<Cow<'_, str>> = line.split('\t').map(printable).collect();
    Cow::Owned(parts.join("    "))
}

/// JSON text with the same content, in which nothing is left that a terminal would obey.
pub(super) fn printable_json(json: &str) -> Cow<'_, str> {
    if !json.chars().any(is_obeyed) {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if is_obeyed(c) {
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Whether a terminal does something with a character other than showing it where it stands.
fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether standard output is a terminal.
pub(super) fn is_shown() -> bool {
    std::io::stdout().is_terminal()
}

/// Colours, or none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint(bool);

impl Paint {
    /// Colours where standard output is a terminal, unless `NO_COLOR` is set.
    pub(super) fn of_stdout() -> Self {
        let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self(is_shown() && !is_set("NO_COLOR") && !is_dumb)
    }

    /// None.
    #[cfg(test)]
    pub(super) fn plain() -> Self {
        Self(false)
    }

    /// A text that says less than those beside it.
    pub(super) fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    /// A text that heads others.
    pub(super) fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    /// A text in the colour of a level.
    pub(super) fn level(self, level: &str, text: &str) -> String {
        match level.to_ascii_uppercase().as_str() {
            "FATAL" | "CRITICAL" | "CRIT" | "ALERT" | "EMERG" | "PANIC" => self.with("1;31", text),
            "ERROR" | "ERR" => self.with("31", text),
            "WARN" | "WARNING" => self.with("33", text),
            "DEBUG" | "TRACE" => self.with("2", text),
            "INFO" | "NOTICE" => self.with("32", text),
            _ => text.to_owned(),
        }
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.0 && !text.is_empty() { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

const OF_KNOWN: &str = "{prefix}{wide_bar} {bytes}/{total_bytes}  {binary_bytes_per_sec}  {eta} left  {msg}";
const OF_UNKNOWN: &str = "{prefix}{spinner} {bytes}  {binary_bytes_per_sec}  {msg}";

/// How far something long is, with the rate and the remaining time: on standard error where that is a terminal, else nothing.
pub(super) struct Bar(ProgressBar);

impl Bar {
    /// Of something that takes so many bytes, where that is known.
    pub(super) fn of_bytes(what: &str, total: Option<u64>) -> Self {
        let (bar, template) = match total {
            Some(total) => (ProgressBar::new(total), OF_KNOWN),
            None => (ProgressBar::new_spinner(), OF_UNKNOWN),
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        if !what.is_empty() {
            bar.set_prefix(format!("{what} "));
        }
        Self(bar)
    }

    /// It begins there; what was before is not counted into the rate.
    pub(super) fn from(self, at: u64) -> Self {
        self.0.set_position(at);
        self.0.reset_eta();
        self
    }

    /// It is there now.
    pub(super) fn at(&self, at: u64) {
        self.0.set_position(at);
    }

    /// How much there is in all, where that is known only now.
    pub(super) fn total(&self, total: u64) {
        self.0.set_length(total);
    }

    /// What is said beside it.
    pub(super) fn say(&self, what: String) {
        self.0.set_message(what);
    }

    /// Takes it away.
    pub(super) fn end(self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_gets_through() {
        assert!(matches!(printable("plain, with ümlauts and 漢字"), Cow::Borrowed(_)));
        assert_eq!(printable("a\u{1b}[2Jb\r\n\tc"), "a\\u{1b}[2Jb\\r\\n\\tc");
        assert_eq!(printable_lines("a\n\tb\u{7}\r\nc"), "a\n    b\\u{7}\nc");
        assert_eq!(printable_json("{\"a\":\"\u{9b}\"}"), "{\"a\":\"\\u009b\"}");
        assert_eq!(Paint(true).level("error", "x"), "\u{1b}[31mx\u{1b}[0m");
        assert_eq!(printable("\u{9b}1m \u{7f} \u{202e}abc\u{2066}"), "\\u{9b}1m \\u{7f} \\u{202e}abc\\u{2066}");
    }
}
