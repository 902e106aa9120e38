//! Regular expressions, written once as RE2 reads them and once as the `regex` crate does.
use crate::chance::Rng;
use regex::Regex;

#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    Alternatives(Vec<String>),
    /// Written as RE2, written as the crate.
    Odd(&'static str, &'static str),
}

/// What is alike but for its spelling.
const ODD: [(&str, &str); 14] = [
    (".*", ".*"),
    (".+", ".+"),
    (".", "."),
    (r"\d+", "[0-9]+"),
    ("[[:digit:]]+", "[0-9]+"),
    (r"\w+", "[0-9A-Za-z_]+"),
    (r"\W", "[^0-9A-Za-z_]"),
    (r"\s", r"[ \t\n\r\x0c]"),
    (r"\S*", r"[^ \t\n\r\x0c]*"),
    (r"\b", r"(?-u:\b)"),
    ("[^ ]{2,5}", "[^ ]{2,5}"),
    ("[a-f0-9]+", "[0-9a-f]+"),
    (r"[\d.]+", "[0-9.]+"),
    ("[^[:alpha:]]", "[^A-Za-z]"),
];

/// An expression.
#[derive(Clone, Debug)]
pub(super) struct Expression {
    pub(super) text: String,
    compiled: Regex,
}

fn as_re2(text: &str) -> String {
    text.chars().map(|c| if r"\.+*?()|[]{}^$".contains(c) { format!("\\{c}") } else { c.into() }).collect()
}

impl Expression {
    fn of(any_case: bool, from_start: bool, pieces: &[Piece], to_end: bool) -> Self {
        let (mut text, mut own) = (String::new(), String::new());
        let mut put = |re2: &str, crate_pattern: &str| {
            text += re2;
            own += crate_pattern;
        };
        if any_case {
            put("(?i)", "(?i)");
        }
        if from_start {
            put("^", r"\A");
        }
        for piece in pieces {
            match piece {
                Piece::Text(text) => put(&as_re2(text), &regex::escape(text)),
                Piece::Alternatives(texts) => {
                    let escaped: Vec<String> = texts.iter().map(|text| regex::escape(text)).collect();
                    let re2: Vec<String> = texts.iter().map(|text| as_re2(text)).collect();
                    put(&format!("({})", re2.join("|")), &format!("(?:{})", escaped.join("|")));
                }
                Piece::Odd(re2, crate_pattern) => put(re2, crate_pattern),
            }
        }
        if to_end {
            put("$", r"\z");
        }
        Self { text, compiled: Regex::new(&own).unwrap() }
    }

    /// An expression around some texts.
    pub(super) fn around(rng: &mut Rng, texts: &[String]) -> Self {
        let mut pieces = Vec::new();
        if rng.one_in(4) {
            pieces.push(Self::odd(rng));
        }
        for text in texts {
            match rng.below(6) {
                0 => pieces.push(Piece::Alternatives(vec![text.clone(), "nowhere".into(), rng.pick(texts).clone()])),
                _ => pieces.push(Piece::Text(text.clone())),
            }
            if texts.len() > 1 || rng.one_in(3) {
                pieces.push(Self::odd(rng));
            }
        }
        Self::of(rng.one_in(4), rng.one_in(6), &pieces, rng.one_in(8))
    }

    /// A text as it is, anywhere.
    pub(super) fn plain(text: &str) -> Self {
        Self::of(false, false, &[Piece::Text(text.into())], false)
    }

    /// An expression that has to match all of a label.
    pub(super) fn whole(rng: &mut Rng, texts: &[String]) -> Self {
        let mut pieces = vec![Piece::Alternatives(texts.to_vec())];
        if rng.one_in(2) {
            pieces.push(Piece::Odd(".*", ".*"));
        }
        let inner = Self::of(false, false, &pieces, false);
        let compiled = Regex::new(&format!(r"\A(?:{})\z", inner.compiled.as_str())).unwrap();
        Self { compiled, ..inner }
    }

    fn odd(rng: &mut Rng) -> Piece {
        let (re2, own) = *rng.pick(&ODD);
        Piece::Odd(re2, own)
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        self.compiled.is_match(text)
    }
}
