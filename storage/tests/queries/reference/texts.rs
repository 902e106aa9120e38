//! Texts as LogsQL sees them: words, phrases with words whole at their ends, cases, and the natural order.
use regex::Regex;
use std::cmp::Ordering;
use std::sync::LazyLock;

static WORD_CHARACTER: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^[\p{Letter}\p{Decimal_Number}_]$").unwrap());

/// Letters, digits and `_` make words.
pub(super) fn makes_words(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_alphanumeric() || c == '_';
    }
    WORD_CHARACTER.is_match(c.encode_utf8(&mut [0; 4]))
}

/// The words of a text, as characters from and to.
pub(super) fn words(text: &[char]) -> Vec<(usize, usize)> {
    let mut words = Vec::new();
    let mut begun = None;
    for (at, c) in text.iter().enumerate() {
        match (makes_words(*c), begun) {
            (true, None) => begun = Some(at),
            (false, Some(from)) => {
                words.push((from, at));
                begun = None;
            }
            _ => {}
        }
    }
    words.extend(begun.map(|from| (from, text.len())));
    words
}

/// Where a phrase first ends in a text: a word that it begins with has to begin there, and one that it ends with has to end,
/// unless it may go on.
fn first_end(text: &[char], phrase: &[char], goes_on: bool) -> Option<usize> {
    let words = words(text);
    let (first, last) = (*phrase.first()?, *phrase.last()?);
    let fits = |from: usize| {
        let to = from + phrase.len();
        text[from..to] == *phrase
            && (!makes_words(first) || words.iter().any(|word| word.0 == from))
            && (goes_on || !makes_words(last) || words.iter().any(|word| word.1 == to))
    };
    (0..(text.len() + 1).saturating_sub(phrase.len())).find(|from| fits(*from)).map(|from| from + phrase.len())
}

fn characters(text: &str) -> Vec<char> {
    text.chars().collect()
}

/// Whether a text has a word or phrase; only the empty text has the empty one.
pub(super) fn has_phrase(text: &str, phrase: &str) -> bool {
    if phrase.is_empty() { text.is_empty() } else { first_end(&characters(text), &characters(phrase), false).is_some() }
}

/// Whether a text has a word or phrase that begins so.
pub(super) fn has_prefix(text: &str, prefix: &str) -> bool {
    if prefix.is_empty() { !text.is_empty() } else { first_end(&characters(text), &characters(prefix), true).is_some() }
}

/// Whether a text has some words and phrases one after another.
pub(super) fn has_sequence(text: &str, phrases: &[String]) -> bool {
    let mut rest = characters(text);
    for phrase in phrases.iter().filter(|phrase| !phrase.is_empty()) {
        match first_end(&rest, &characters(phrase), false) {
            Some(end) => rest = rest.split_off(end),
            None => return false,
        }
    }
    true
}

/// A text in small letters, one for each of its own.
pub(super) fn small(text: &str) -> String {
    text.chars().filter_map(|c| c.to_lowercase().next()).collect()
}

/// The natural order: runs of digits by their number and then by their length, and before anything else that stands there.
pub(super) fn natural(a: &str, b: &str) -> Ordering {
    let (a, b) = (characters(a), characters(b));
    let (mut at, mut bt) = (0, 0);
    let run =
        |text: &[char], from: usize| -> String { text[from..].iter().take_while(|c| c.is_ascii_digit()).collect() };
    while at < a.len() && bt < b.len() {
        let (x, y) = (run(&a, at), run(&b, bt));
        let order = match (x.is_empty(), y.is_empty()) {
            (true, true) => a[at].cmp(&b[bt]),
            (x_empty, y_empty) if x_empty != y_empty => x_empty.cmp(&y_empty),
            _ => x.parse::<u128>().unwrap().cmp(&y.parse().unwrap()).then(x.len().cmp(&y.len())),
        };
        if order.is_ne() {
            return order;
        }
        at += x.len().max(1);
        bt += y.len().max(1);
    }
    (a.len() - at).cmp(&(b.len() - bt))
}

#[test]
fn words_and_phrases_are_those_of_the_language() {
    let split = |text: &str| {
        let all = characters(text);
        words(&all).iter().map(|word| all[word.0..word.1].iter().collect::<String>()).collect::<Vec<_>>()
    };
    assert_eq!(split("foo: (bar,\"тест\")!"), ["foo", "bar", "тест"]);
    assert!(has_phrase("an error happened", "error") && !has_phrase("multiple errors", "error"));
    assert!(has_phrase("ssh: login fail!", "ssh: login fail") && !has_phrase("ssh: login failed", "ssh: login fail"));
    assert!(has_prefix("error:unexpected failure", "unexpected fail") && !has_prefix("fooerror", "err"));
    assert!(has_sequence("some error: cannot open file", &["error".into(), "open file".into()]));
    assert!(!has_sequence("cannot open file: error", &["error".into(), "open file".into()]));
    assert!(natural("a9", "a10").is_lt() && natural("a", "9").is_gt() && natural("", "a").is_lt());
}
