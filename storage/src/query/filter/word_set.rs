//! Many words and phrases of one field, any of which a text has to have, as one test: each word of a text is looked up among
//! the first words of what is wanted, however many these are.
//!
//! Invariants
//! * A text passes exactly where one of the phrases is in it.
use super::phrase::Needle;
use crate::scan::filter::{TestOfWords, Verdict};
use crate::text::shape::Shape;
use crate::text::words::{fold_text, words};
use rustc_hash::{FxHashMap, FxHashSet};
use std::borrow::Cow;
use std::sync::Arc;

/// The phrases, made ready; those in any case are folded.
#[derive(Clone, Debug)]
pub(crate) struct WordSet {
    by_first: FxHashMap<Box<str>, Vec<Needle>>,
    any_case: bool,
    /// Whether some first word has a digit, so that variables may be it.
    has_digit: bool,
}

impl WordSet {
    /// Whether a phrase can be looked up: its first word is a whole one.
    pub(crate) fn takes(needle: &Needle) -> bool {
        first_word(needle).is_some()
    }

    /// Of phrases that it takes, all in any case or all in their own.
    pub(crate) fn new(needles: Vec<Needle>) -> Self {
        let any_case = needles.first().is_some_and(Needle::any_case);
        let mut set = Self { by_first: FxHashMap::default(), any_case, has_digit: false };
        for needle in needles {
            let Some((first, has_digit)) = first_word(&needle) else { continue };
            set.has_digit |= has_digit;
            set.by_first.entry(first).or_default().push(needle);
        }
        set
    }

    fn fold<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.any_case { fold_text(text).into() } else { text.into() }
    }

    /// Whether a text has any of them.
    pub(crate) fn is_in(&self, text: &str) -> bool {
        self.find(text) == Verdict::Yes
    }

    /// *Look* where a first word is there and what follows it is not.
    fn find(&self, text: &str) -> Verdict {
        let (text, mut found) = (self.fold(text), Verdict::No);
        // A word that comes again is not asked again.
        let mut asked: Vec<&str> = Vec::new();
        for word in words(&text) {
            let Some(word) = text.get(word.span) else { continue };
            let Some(needles) = self.by_first.get(word).filter(|_| !asked.contains(&word)) else { continue };
            if needles.iter().any(|needle| needle.text() == word || needle.end_in(&text).is_some()) {
                return Verdict::Yes;
            }
            found = Verdict::Look;
            asked.push(word);
        }
        found
    }

    /// What a shape says of its texts: its literal words are whole ones, and the others have digits.
    pub(crate) fn verdict(&self, shape: Shape<'_>) -> Verdict {
        let mut found = if self.has_digit { Verdict::Look } else { Verdict::No };
        for piece in shape.pieces() {
            match self.find(piece) {
                Verdict::Yes => return Verdict::Yes,
                Verdict::Look => found = Verdict::Look,
                Verdict::No => {}
            }
        }
        found
    }

    /// A test of folded words that the first words pass; nothing where some have digits.
    pub(crate) fn needed_word(&self) -> Option<Arc<TestOfWords>> {
        let folded: FxHashSet<String> = self.by_first.keys().map(|word| fold_text(word)).collect();
        (!self.has_digit).then(|| Arc::new(move |word: &str| folded.contains(word)) as Arc<TestOfWords>)
    }
}

/// The first word of a phrase and whether it has a digit, where it does not go on.
fn first_word(needle: &Needle) -> Option<(Box<str>, bool)> {
    let text = needle.text();
    let word = words(text).next()?;
    let is_closed = word.span.end < text.len() || !needle.goes_on();
    Some((text.get(word.span)?.into(), word.has_digit)).filter(|_| is_closed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::shape::Split;
    use proptest::prelude::*;

    #[test]
    fn only_whole_first_words_are_looked_up() {
        for (needle, takes) in [
            (Needle::phrase("a", false), true),
            (Needle::phrase(": a", false), true),
            (Needle::phrase("a:", false), true),
            (Needle::phrase("::", false), false),
            (Needle::phrase("", false), false),
            (Needle::prefix("a", false), false),
            (Needle::prefix("a b", false), true),
        ] {
            assert_eq!(WordSet::takes(&needle), takes, "{needle:?}");
        }
        let set = WordSet::new(vec![Needle::phrase("a b", false), Needle::phrase("c", false)]);
        assert_eq!((set.find("a"), set.find("a a b"), set.find("b"), set.find("x c")), {
            (Verdict::Look, Verdict::Yes, Verdict::No, Verdict::Yes)
        });
        assert!(set.needed_word().is_some_and(|test| test("a") && test("c") && !test("b")));
    }

    proptest! {
        #[test]
        fn a_set_says_what_its_phrases_say(
            phrases in prop::collection::vec("[abAé1]{0,2}[ :]?[ab1]{0,2}", 0..6),
            prefixes in prop::collection::vec("[ab1]{1,2}[ :][ab1]{0,2}", 0..3),
            any_case in any::<bool>(),
            text in "([abABé1]{1,2}|[ :é²]){0,8}",
        ) {
            let phrases = phrases.iter().map(|text| Needle::phrase(text, any_case));
            let needles = phrases.chain(prefixes.iter().map(|text| Needle::prefix(text, any_case)));
            let needles: Vec<Needle> = needles.filter(WordSet::takes).collect();
            let set = WordSet::new(needles.clone());
            let expected = needles.iter().any(|needle| needle.is_in(&text));
            prop_assert_eq!(set.is_in(&text), expected, "{:?} in {:?}", needles, text);
            let mut split = Split::default();
            prop_assert!(split.split(&text));
            match set.verdict(Shape::parse(&split.key).unwrap()) {
                Verdict::Look => {}
                verdict => prop_assert_eq!(verdict == Verdict::Yes, expected, "{:?} of {:?}", needles, text),
            }
            if let Some(test) = set.needed_word() {
                let has_word = words(&text).any(|word| test(&fold_text(&text[word.span])));
                prop_assert!(!expected || has_word);
            }
        }
    }
}
