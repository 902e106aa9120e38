//! Filters written as LogsQL, each time in other ways that mean the same.
use super::texts::makes_words;
use super::tree::{Filter, Label, LabelTest, Relation, Test, Values};
use crate::chance::Rng;

/// Words that mean something where they are not quoted, and words that pipes begin with that rows here have.
const OWN_MEANING: [&str; 34] = [
    "and",
    "or",
    "not",
    "i",
    "in",
    "seq",
    "range",
    "re",
    "exact",
    "now",
    "offset",
    "contains_all",
    "contains_any",
    "options",
    "order",
    "sort",
    "filter",
    "limit",
    "head",
    "len",
    "first",
    "last",
    "skip",
    "keep",
    "min",
    "max",
    "sum",
    "top",
    "by",
    "hash",
    "user",
    "inf",
    "nan",
    "if",
];

/// How tightly what is around a filter binds it.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Binding {
    Or,
    And,
    Not,
}

/// A query's filter as text.
pub(super) fn filter(rng: &mut Rng, filter: &Filter) -> String {
    Speller { rng }.filter(filter, Binding::Or, None)
}

/// The name of a field as text.
pub(super) fn name(rng: &mut Rng, name: &str) -> String {
    Speller { rng }.word(name, false)
}

struct Speller<'r> {
    rng: &'r mut Rng,
}

impl Speller<'_> {
    /// A filter within another one; the field is that which stands before the brackets around it.
    fn filter(&mut self, filter: &Filter, around: Binding, field: Option<&str>) -> String {
        if field.is_none()
            && let Some(shared) = shared_field(filter)
            && self.rng.one_in(2)
        {
            let inner = self.filter(filter, Binding::Or, Some(shared));
            return format!("{}:({inner})", self.word(shared, false));
        }
        let text = match filter {
            Filter::All => "*".into(),
            Filter::Not(part) => return self.negation(part, field),
            Filter::And(parts) => {
                let joined = self.joined(parts, Binding::And, field);
                return self.bracketed(joined, around > Binding::And);
            }
            Filter::Or(parts) => {
                let joined = self.joined(parts, Binding::Or, field);
                return self.bracketed(joined, around > Binding::Or);
            }
            Filter::Field(name, test) => self.field_test(name, test, field),
            Filter::Fields(name, relation, other) => {
                let relation = match relation {
                    Relation::Equal => "eq_field",
                    Relation::LessOrEqual => "le_field",
                    Relation::Less => "lt_field",
                };
                format!("{}:{relation}({})", self.word(name, false), self.word(other, false))
            }
            Filter::Time(test) => format!("_time:{}", test.text),
            Filter::Stream(any) => self.stream(any),
        };
        let odd = self.rng.one_in(12);
        self.bracketed(text, odd)
    }

    fn bracketed(&mut self, text: String, wanted: bool) -> String {
        if !wanted {
            return text;
        }
        if self.rng.one_in(3) { format!("( {text} )") } else { format!("({text})") }
    }

    fn joined(&mut self, parts: &[Filter], binding: Binding, field: Option<&str>) -> String {
        let words = if binding == Binding::And { ["and", "AND", "And", ""] } else { ["or", "OR", "or", "Or"] };
        let mut out = String::new();
        for (at, part) in parts.iter().enumerate() {
            if at > 0 {
                let space = *self.rng.pick(&[" ", " ", " ", "  ", "\n", "\t", " # why: (\"\n"]);
                out += &format!("{space}{} ", self.rng.pick(&words));
            }
            out += &self.filter(part, binding, field);
        }
        out
    }

    fn negation(&mut self, part: &Filter, field: Option<&str>) -> String {
        let inner = self.filter(part, Binding::Not, field);
        match self.rng.below(4) {
            0 => format!("not {inner}"),
            1 => format!("NOT {inner}"),
            // In front of these it is another sign.
            2 if !inner.starts_with(['=', '~']) => format!("-{inner}"),
            _ => format!("!{inner}"),
        }
    }

    fn field_test(&mut self, name: &str, test: &Test, field: Option<&str>) -> String {
        let is_named = field.is_none() && (name != "_msg" || matches!(test, Test::Some) || self.rng.one_in(2));
        let text = self.test(test, is_named || field.is_some());
        if is_named { format!("{}:{text}", self.word(name, false)) } else { text }
    }

    fn test(&mut self, test: &Test, named: bool) -> String {
        match test {
            Test::Phrase(text) => self.word(text, named),
            Test::Prefix(text) => format!("{}*", self.word(text, named)),
            Test::AnyCase(text) => format!("i({})", self.word(text, false)),
            Test::AnyCasePrefix(text) => format!("i({}*)", self.word(text, false)),
            Test::Exact(text) if self.rng.one_in(4) => format!("exact({})", self.quoted(text)),
            Test::Exact(text) => format!("={}", self.word(text, false)),
            Test::ExactPrefix(text) if self.rng.one_in(4) => format!("exact({}*)", self.quoted(text)),
            Test::ExactPrefix(text) => format!("={}*", self.word(text, false)),
            Test::Empty => self.rng.pick(&["\"\"", "''", "``", "=\"\""]).to_string(),
            Test::Some => "*".into(),
            Test::In(values) => self.values(values),
            Test::All(texts) => format!("contains_all({})", self.list(texts)),
            Test::Any(texts) => format!("contains_any({})", self.list(texts)),
            Test::Sequence(texts) => format!("seq({})", self.list(texts)),
            Test::Regexp(expression) if self.rng.one_in(5) => format!("re({})", self.quoted(&expression.text)),
            Test::Regexp(expression) => format!("~{}", self.quoted(&expression.text)),
            Test::Range(from, to) => {
                let (open, close) = (if from.included { '[' } else { '(' }, if to.included { ']' } else { ')' });
                format!("range{open}{}, {}{close}", self.operand(&from.text), self.operand(&to.text))
            }
            Test::Compared(sign, with) => format!("{sign}{}", self.operand(with)),
            Test::Texts(from, to) => format!("string_range({}, {})", self.word(from, false), self.word(to, false)),
            Test::Length(text, ..) => format!("len_range({text})"),
            Test::Ipv4(text, ..) if !text.contains(',') && self.rng.one_in(2) => format!("ipv4_range(\"{text}\")"),
            Test::Ipv4(text, ..) => format!("ipv4_range({text})"),
        }
    }

    fn values(&mut self, values: &Values) -> String {
        let Some((asked, of)) = &values.asked else {
            return format!("in({})", self.list(&values.texts));
        };
        let end = if self.rng.one_in(2) { "fields" } else { "uniq by" };
        let inner = self.filter(asked, Binding::Or, None);
        // `in(a:range[1, 2)` reads as a list that ends there, here as in VictoriaLogs; not so where a bracket opens first.
        let inner = self.bracketed(inner.clone(), inner.contains('['));
        if end == "fields" { format!("in({inner} | fields {of})") } else { format!("in({inner} | uniq by ({of}))") }
    }

    fn stream(&mut self, any: &[Vec<Label>]) -> String {
        let mut groups = Vec::new();
        for all in any {
            let labels: Vec<String> = all.iter().map(|label| self.label(label)).collect();
            groups.push(labels.join(if self.rng.one_in(2) { "," } else { ", " }));
        }
        let prefix = if self.rng.one_in(3) { "_stream:" } else { "" };
        format!("{prefix}{{{}}}", groups.join(" or "))
    }

    fn label(&mut self, label: &Label) -> String {
        let not = label.negated;
        let (sign, value) = match &label.test {
            LabelTest::Is(value) => (if not { "!=" } else { "=" }, self.quoted(value)),
            LabelTest::Matches(expression) => (if not { "!~" } else { "=~" }, self.quoted(&expression.text)),
            LabelTest::In(values) => (if not { " not_in " } else { " in " }, format!("({})", self.list(values))),
        };
        format!("{}{sign}{value}", label.name)
    }

    fn list(&mut self, texts: &[String]) -> String {
        let shown: Vec<String> = texts.iter().map(|text| self.word(text, false)).collect();
        shown.join(if self.rng.one_in(2) { "," } else { ", " })
    }

    /// A number or text after a sign of comparison or in a range.
    fn operand(&mut self, text: &str) -> String {
        let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || ".-+_µ".contains(c)) && !text.is_empty();
        if plain && !self.rng.one_in(4) { text.into() } else { self.quoted(text) }
    }

    /// A text that may stand without quotes where it is plain enough.
    fn word(&mut self, text: &str, after_name: bool) -> String {
        let plain = |c: char| makes_words(c) || c == '.';
        let joins = |c: char| "-/@$".contains(c) || (after_name && c == ':');
        let is_plain = text.starts_with(plain) && text.ends_with(plain) && text.chars().all(|c| plain(c) || joins(c));
        let means_more = OWN_MEANING.iter().any(|word| word.eq_ignore_ascii_case(text));
        if is_plain && !means_more && !self.rng.one_in(3) { text.into() } else { self.quoted(text) }
    }

    fn quoted(&mut self, text: &str) -> String {
        let quote = *self.rng.pick(&['"', '"', '\'', '`']);
        if quote == '`' && !text.contains(['`', '\r']) {
            return format!("`{text}`");
        }
        let quote = if quote == '`' { '"' } else { quote };
        let mut out = String::from(quote);
        for c in text.chars() {
            match c {
                '\n' => out += "\\n",
                '\t' if self.rng.one_in(2) => out += "\\t",
                '\\' => out += "\\\\",
                c if c == quote => out.extend(['\\', c]),
                c if c.is_ascii_control() => out += &format!("\\x{:02x}", c as u32),
                c if !c.is_ascii() && self.rng.one_in(8) => out += &format!("\\u{:04x}", c as u32),
                c => out.push(c),
            }
        }
        out.push(quote);
        out
    }
}

/// The field that all parts are about, of which there are several.
fn shared_field(filter: &Filter) -> Option<&str> {
    fn of(filter: &Filter) -> Option<&str> {
        match filter {
            Filter::Field(name, _) => Some(name),
            Filter::Not(part) => of(part),
            Filter::And(parts) | Filter::Or(parts) => {
                let first = of(parts.first()?)?;
                parts.iter().all(|part| of(part) == Some(first)).then_some(first)
            }
            _ => None,
        }
    }
    matches!(filter, Filter::And(_) | Filter::Or(_)).then(|| of(filter)).flatten()
}
