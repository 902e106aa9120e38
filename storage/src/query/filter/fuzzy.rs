//! `fuzzy(word)` and `fuzzy(word, 2)`: a word that is nearly this one. It is Logyard's own, and not in the language elsewhere.
//!
//! A word is near where so many letters left out, put in, replaced or swapped with the next one make it this word, in
//! any case. A word without an ASCII digit is compared only with words that have none, which are never variables.
//!
//! Invariants
//! * Of such a word each shape says by itself whether its texts have one that is near.
use super::parse::{Scope, arguments, function};
use super::{Filter, Test};
use crate::query::fault::{Fault, Parsed};
use crate::query::parse::{Parser, quote_if_needed};
use crate::scan::filter::{TestOfWords, Verdict};
use crate::text::shape::Shape;
use crate::text::words::{fold, words};
use std::fmt;
use std::str::Chars;
use std::sync::Arc;

/// Letters that may be wrong; with three, short words are near to nearly everything.
const DISTANCE_MAX: usize = 2;
/// Letters of a word.
const LETTERS_MAX: usize = 64;

/// A word, and how far from it others may be.
#[derive(Clone, Debug, PartialEq)]
pub struct Fuzzy {
    word: String,
    letters: Vec<char>,
    has_digit: bool,
    distance: usize,
}

impl Fuzzy {
    /// A word and how many letters may be wrong; the error is for the user.
    pub(crate) fn new(word: &str, distance: usize) -> Result<Self, String> {
        if !(1..=DISTANCE_MAX).contains(&distance) {
            return Err(format!("1 or {DISTANCE_MAX} letters may be wrong, not {distance}"));
        }
        let mut found = words(word);
        let has_digit = match found.next() {
            Some(only) if only.span == (0..word.len()) => only.has_digit,
            _ => return Err(format!("'{word}' is not one word")),
        };
        let letters: Vec<char> = word.chars().map(fold).collect();
        if letters.len() > LETTERS_MAX {
            return Err(format!("a word of more than {LETTERS_MAX} letters"));
        }
        Ok(Self { word: word.into(), letters, has_digit, distance })
    }

    /// Whether a text has a word that is near.
    pub(crate) fn is_in(&self, text: &str) -> bool {
        words(text).any(|word| {
            (self.has_digit || !word.has_digit)
                && text.get(word.span).is_some_and(|word| is_near(&self.letters, word.chars(), self.distance))
        })
    }

    /// A test of folded words that only those pass which are near; nothing where words with digits may be.
    pub(crate) fn needed_word(&self) -> Option<Arc<TestOfWords>> {
        let (letters, distance) = (self.letters.clone(), self.distance);
        (!self.has_digit).then(|| Arc::new(move |word: &str| is_near(&letters, word.chars(), distance)) as Arc<_>)
    }

    /// What a shape says of its texts.
    pub(crate) fn verdict(&self, shape: Shape<'_>) -> Verdict {
        if self.has_digit || shape.literal().is_empty() {
            return Verdict::Look;
        }
        if shape.pieces().any(|piece| self.is_in(piece)) { Verdict::Yes } else { Verdict::No }
    }
}

/// Whether so many changes make one of the other.
fn is_near(mut wanted: &[char], mut word: Chars<'_>, distance: usize) -> bool {
    loop {
        let mut after = word.clone();
        match (wanted.split_first(), after.next().map(fold)) {
            (None, None) => return true,
            (Some((a, rest)), Some(b)) if *a == b => (wanted, word) = (rest, after),
            _ if distance == 0 => return false,
            (None, Some(_)) => return is_near(wanted, after, distance - 1),
            (Some((_, rest)), None) => return is_near(rest, word, distance - 1),
            (Some((a, rest)), Some(b)) => {
                return is_near(rest, after.clone(), distance - 1)
                    || is_near(rest, word, distance - 1)
                    || is_near(wanted, after.clone(), distance - 1)
                    || is_swapped((*a, b), rest, after, distance - 1);
            }
        }
    }
}

/// Whether the next two letters are swapped, and what follows is near.
fn is_swapped((a, b): (char, char), rest: &[char], mut after: Chars<'_>, distance: usize) -> bool {
    match (rest.split_first(), after.next().map(fold)) {
        (Some((second, rest)), Some(other)) => *second == b && other == a && is_near(rest, after, distance),
        _ => false,
    }
}

impl fmt::Display for Fuzzy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fuzzy({},{})", quote_if_needed(&self.word), self.distance)
    }
}

/// `fuzzy(word)` or `fuzzy(word, letters)`.
pub(super) fn parse(parser: &mut Parser<'_>, scope: Scope<'_>) -> Parsed<Filter> {
    if let Some(word) = function(parser, scope, &["("])? {
        return Ok(word);
    }
    let at = parser.at();
    let arguments = arguments(parser)?;
    let fault = |reason: String| Fault::new(at.0, reason);
    let (word, distance) = match arguments.as_slice() {
        [word] => (word, 1),
        [word, distance] => {
            let distance = distance.parse().map_err(|_| fault(format!("'{distance}' is no number of letters")))?;
            (word, distance)
        }
        _ => return Err(fault("a word is wanted, and how many of its letters may be wrong".into())),
    };
    Ok(scope.test(Test::Fuzzy(Fuzzy::new(word, distance).map_err(fault)?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::shape::Split;
    use proptest::prelude::*;

    fn near(word: &str, distance: usize, text: &str) -> bool {
        Fuzzy::new(word, distance).unwrap().is_in(text)
    }

    #[test]
    fn words_are_near_by_letters() {
        for other in ["connection", "CONNECTION", "conection", "connnection", "connectiom", "conenction", "xconnection"]
        {
            assert!(near("connection", 1, &format!("a {other}, too")), "{other}");
        }
        for other in ["connected", "coection", "connection2", "connections_", "", "conn ection"] {
            assert!(!near("connection", 1, other), "{other}");
        }
        assert!(near("connection", 2, "coection") && near("connection", 2, "oncnection"));
        assert!(near("node7", 1, "node8 is down") && near("node7", 1, "nodes") && !near("nodes", 1, "node8"));
        assert!(near("größe", 1, "GRÖSSE GRÖßE") && near("a", 1, "b") && !near("a", 1, "bc"));
    }

    #[test]
    fn what_is_no_word_is_refused() {
        for (word, distance) in [("", 1), ("two words", 1), ("a-b", 1), ("word", 0), ("word", 3)] {
            assert!(Fuzzy::new(word, distance).is_err(), "{word} {distance}");
        }
        assert!(Fuzzy::new(&"a".repeat(LETTERS_MAX + 1), 1).is_err());
    }

    /// The distance by the book, with whole rows.
    fn distance(a: &[char], b: &[char]) -> usize {
        let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
        for i in 0..=a.len() {
            for j in 0..=b.len() {
                rows[i][j] = if i == 0 || j == 0 {
                    i + j
                } else {
                    let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                    let least = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                    if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                        least.min(rows[i - 2][j - 2] + 1)
                    } else {
                        least
                    }
                };
            }
        }
        rows[a.len()][b.len()]
    }

    proptest! {
        #[test]
        fn near_is_what_the_distance_says(word in "[abc]{1,7}", other in "[abc]{1,7}", most in 1usize..=2) {
            let letters = |text: &str| text.chars().collect::<Vec<char>>();
            prop_assert_eq!(near(&word, most, &other), distance(&letters(&word), &letters(&other)) <= most);
        }

        #[test]
        fn a_shape_says_what_its_texts_say(word in "[ab]{1,4}", text in "[ab1 é]{0,12}") {
            let fuzzy = Fuzzy::new(&word, 1).unwrap();
            let mut split = Split::default();
            prop_assert!(split.split(&text));
            let expected = if fuzzy.is_in(&text) { Verdict::Yes } else { Verdict::No };
            let verdict = fuzzy.verdict(Shape::parse(&split.key).unwrap());
            prop_assert!(verdict == expected || verdict == Verdict::Look);
        }
    }
}
