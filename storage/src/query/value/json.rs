//! JSON as LogsQL reads and writes it: numbers keep their spelling, objects their order.
//!
//! Invariants
//! * Nesting is bounded, so that no text can exhaust the stack.
//! * Like the language's own reader it takes `NaN` and infinities for numbers.
use std::borrow::Cow;

/// Deeper texts are no JSON.
const DEPTH_MAX: usize = 300;

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json<'a> {
    /// `null`, `true`, `false` or a number, as it was written.
    Plain(&'a str),
    /// A string, its escapes read.
    Text(Cow<'a, str>),
    /// An array.
    Array(Vec<Json<'a>>),
    /// An object in its order.
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
}

/// Reads a whole text.
pub(crate) fn parse_json(text: &str) -> Option<Json<'_>> {
    let mut reader = Reader { rest: text };
    let value = reader.value(0)?;
    reader.space();
    reader.rest.is_empty().then_some(value)
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    /// The next character but spaces, taken if it is this one.
    fn takes(&mut self, c: char) -> bool {
        self.space();
        match self.rest.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn value(&mut self, depth: usize) -> Option<Json<'a>> {
        if depth > DEPTH_MAX {
            return None;
        }
        self.space();
        if self.takes('{') {
            return self.object(depth);
        }
        if self.takes('[') {
            return self.array(depth);
        }
        if self.takes('"') {
            return self.string().map(Json::Text);
        }
        self.plain().map(Json::Plain)
    }

    fn object(&mut self, depth: usize) -> Option<Json<'a>> {
        let mut fields = Vec::new();
        if self.takes('}') {
            return Some(Json::Object(fields));
        }
        loop {
            if !self.takes('"') {
                return None;
            }
            let name = self.string()?;
            if !self.takes(':') {
                return None;
            }
            fields.push((name, self.value(depth + 1)?));
            if self.takes('}') {
                return Some(Json::Object(fields));
            }
            if !self.takes(',') {
                return None;
            }
        }
    }

    fn array(&mut self, depth: usize) -> Option<Json<'a>> {
        let mut items = Vec::new();
        if self.takes(']') {
            return Some(Json::Array(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            if self.takes(']') {
                return Some(Json::Array(items));
            }
            if !self.takes(',') {
                return None;
            }
        }
    }

    fn plain(&mut self) -> Option<&'a str> {
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '+' | '.'));
        let (word, rest) = self.rest.split_at_checked(end.unwrap_or(self.rest.len()))?;
        let number = word.trim_start_matches(['-', '+']);
        let good = match number.chars().next()? {
            '0'..='9' => number.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-')),
            'n' | 'N' if number.eq_ignore_ascii_case("nan") => true,
            'i' | 'I' => number.eq_ignore_ascii_case("inf") || number.eq_ignore_ascii_case("infinity"),
            _ => matches!(word, "null" | "true" | "false"),
        };
        self.rest = rest;
        good.then_some(word)
    }

    /// A string, its opening quote taken.
    fn string(&mut self) -> Option<Cow<'a, str>> {
        let end = self.rest.find(['"', '\\'])?;
        let (head, tail) = self.rest.split_at_checked(end)?;
        if let Some(rest) = tail.strip_prefix('"') {
            self.rest = rest;
            return Some(Cow::Borrowed(head));
        }
        let mut out = String::from(head);
        self.rest = tail;
        loop {
            let end = self.rest.find(['"', '\\'])?;
            let (head, tail) = self.rest.split_at_checked(end)?;
            out.push_str(head);
            if let Some(rest) = tail.strip_prefix('"') {
                self.rest = rest;
                return Some(Cow::Owned(out));
            }
            self.rest = tail.get(1..)?;
            self.escape(&mut out)?;
        }
    }

    fn escape(&mut self, out: &mut String) -> Option<()> {
        let c = self.rest.chars().next()?;
        self.rest = self.rest.get(c.len_utf8()..)?;
        match c {
            'n' => out.push('\n'),
            't' => out.push('\t'),
            'r' => out.push('\r'),
            'b' => out.push('\x08'),
            'f' => out.push('\x0c'),
            '"' | '\\' | '/' => out.push(c),
            'u' => {
                let Some(high) = self.unit() else {
                    out.push_str("\\u");
                    return Some(());
                };
                let low = if (0xd800..0xdc00).contains(&high) && self.rest.starts_with("\\u") {
                    let before = self.rest;
                    self.rest = self.rest.get(2..)?;
                    let low = self.unit().filter(|low| (0xdc00..0xe000).contains(low));
                    if low.is_none() {
                        self.rest = before;
                    }
                    low
                } else {
                    None
                };
                let code = low.map_or(high, |low| 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00));
                out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            // An unknown escape stands as it is.
            _ => out.extend(['\\', c]),
        }
        Some(())
    }

    fn unit(&mut self) -> Option<u32> {
        let (digits, rest) = self.rest.split_at_checked(4)?;
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        self.rest = rest;
        u32::from_str_radix(digits, 16).ok()
    }
}

impl Json<'_> {
    /// The value as a text of its own: strings bare, all else as JSON.
    pub(crate) fn into_text(self) -> String {
        match self {
            Self::Plain(plain) => plain.into(),
            Self::Text(text) => text.into_owned(),
            other => {
                let mut out = String::new();
                other.write(&mut out);
                out
            }
        }
    }

    fn write(&self, out: &mut String) {
        match self {
            Self::Plain(plain) => out.push_str(plain),
            Self::Text(text) => push_json_string(out, text, false),
            Self::Array(items) => {
                out.push('[');
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    item.write(out);
                }
                out.push(']');
            }
            Self::Object(fields) => {
                out.push('{');
                for (i, (name, value)) in fields.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    push_json_string(out, name, false);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }

    /// The fields of an object, flat: nested names are joined by dots, nulls left out, a nameless field is `_msg`.
    pub(crate) fn into_fields(self) -> Option<Vec<(String, String)>> {
        let Self::Object(fields) = self else { return None };
        let mut out = Vec::new();
        flatten("", fields, &mut out);
        Some(out)
    }
}

fn flatten(prefix: &str, fields: Vec<(Cow<'_, str>, Json<'_>)>, out: &mut Vec<(String, String)>) {
    for (name, value) in fields {
        let full = format!("{prefix}{name}");
        match value {
            Json::Plain("null") => {}
            Json::Object(inner) => flatten(&format!("{full}."), inner, out),
            other => {
                let name = if full.is_empty() { "_msg".into() } else { full };
                out.push((name, other.into_text()));
            }
        }
    }
}

/// The items of a JSON array as texts; a text that is none has no items.
pub(crate) fn array_items(text: &str) -> Vec<String> {
    if !text.starts_with('[') {
        return Vec::new();
    }
    match parse_json(text) {
        Some(Json::Array(items)) => items.into_iter().map(Json::into_text).collect(),
        _ => Vec::new(),
    }
}

/// Appends a string with its quotes. For results `<` and `'` are escaped too, so that they can stand in a web page.
pub(crate) fn push_json_string(out: &mut String, text: &str, for_pages: bool) {
    out.push('"');
    let mut from = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escaped = match byte {
            b'"' | b'\\' | 0..=0x1f => true,
            b'<' | b'\'' => for_pages,
            _ => false,
        };
        if !escaped {
            continue;
        }
        out.push_str(text.get(from..at).unwrap_or_default());
        from = at + 1;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            8 => out.push_str("\\b"),
            12 => out.push_str("\\f"),
            _ => out.push_str(&format!("\\u{byte:04x}")),
        }
    }
    out.push_str(text.get(from..).unwrap_or_default());
    out.push('"');
}

/// How many bytes [`push_json_string`] appends for a page.
pub(crate) fn json_string_bytes(text: &str) -> usize {
    let escaped = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 8 | 12 => 2,
        b'<' | b'\'' | 0..=0x1f => 6,
        _ => 1,
    };
    text.bytes().map(escaped).sum::<usize>() + 2
}

/// Texts as a JSON array of strings.
pub(crate) fn show_array<'a>(items: impl IntoIterator<Item = &'a str>) -> String {
    show_array_in(String::new(), items)
}

/// The same at the end of a text that has room for it.
pub(crate) fn show_array_in<'a>(mut out: String, items: impl IntoIterator<Item = &'a str>) -> String {
    out.push('[');
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        push_json_string(&mut out, item, true);
    }
    out.push(']');
    out
}

/// Fields as a JSON object; empty ones are left out.
pub(crate) fn show_object<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut out = String::from("{");
    for (name, value) in fields {
        if value.is_empty() {
            continue;
        }
        if out.len() > 1 {
            out.push(',');
        }
        push_json_string(&mut out, name, true);
        out.push(':');
        push_json_string(&mut out, value, true);
    }
    out.push('}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(json: &str) -> Option<String> {
        parse_json(json).map(Json::into_text)
    }

    #[test]
    fn values_keep_their_spelling() {
        assert_eq!(
            text(" [1.50, -1e3, true,null , NaN, {\"b\" : [] , \"a\":\"x\"}] ").unwrap(),
            "[1.50,-1e3,true,null,NaN,{\"b\":[],\"a\":\"x\"}]"
        );
        for wrong in ["", "{", "[1,]", "{a:1}", "\"a", "[1 2]", "tru", "1x", "{\"a\" 1}", "[1]]", "nul"] {
            assert_eq!(text(wrong), None, "{wrong}");
        }
        assert_eq!(text(&format!("{}{}", "[".repeat(10_000), "]".repeat(10_000))), None);
    }

    #[test]
    fn escapes_are_read_and_written() {
        assert_eq!(text(r#""a\n\u00e9\ud83d\ude00\/\q\ud800x""#).unwrap(), "a\né😀/\\q\u{fffd}x");
        assert_eq!(show_array(["a<'\"\\\n\x01é"]), r#"["a\u003c\u0027\"\\\n\u0001é"]"#);
        for text in ["", "plain é", "a<'\"\\\n\r\t\x01\x08\x0c\x1f\x7f"] {
            let mut shown = String::new();
            push_json_string(&mut shown, text, true);
            assert_eq!(json_string_bytes(text), shown.len(), "{text:?}");
        }
        assert_eq!(show_object([("a", ""), ("b", "1"), ("c", "2")]), r#"{"b":"1","c":"2"}"#);
    }

    #[test]
    fn objects_are_flattened() {
        let fields = parse_json(r#"{"a":{"b":{"c":1},"d":null},"e":[1,{"x":"y"}],"":"m","f":{}}"#)
            .unwrap()
            .into_fields()
            .unwrap();
        let shown: Vec<_> = fields.iter().map(|(n, v)| format!("{n}={v}")).collect();
        assert_eq!(shown, ["a.b.c=1", "e=[1,{\"x\":\"y\"}]", "_msg=m"]);
        assert!(parse_json("[1]").unwrap().into_fields().is_none());
        assert_eq!(array_items("[\"a\",1,[2]]"), ["a", "1", "[2]"]);
        assert!(array_items("a").is_empty() && array_items("[1").is_empty());
    }
}
