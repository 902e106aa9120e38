//! What is asked of a row: tests of a field's text, and how they combine.
//!
//! Asked about a shape, a test says no, yes or look; *look* is settled on the row's text.
//!
//! Invariants
//! * A verdict of no or yes is right for every text of the shape.
//! * NOT of look is look.
use crate::batch::hex_or_uuid;
use crate::text::shape::{Shape, Split};
use crate::text::words::{fold, fold_text, is_word, words};

/// What a shape says about a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No text of this shape passes.
    No,
    /// Every text of this shape passes.
    Yes,
    /// It depends on the variables.
    Look,
}

/// A test of one text.
#[derive(Clone, Debug)]
pub enum Test {
    /// The text is this one.
    Exact(Exact),
    /// The text has this phrase, with no word character before or after it where the phrase begins or ends with one.
    Phrase(Phrase),
    /// The text has this anywhere.
    Substring(String),
    /// The text is not empty.
    Any,
}

/// An exact text, with the key of its shape.
#[derive(Clone, Debug)]
pub struct Exact {
    text: String,
    /// None where the text is kept whole, so that no other shape can be its.
    key: Option<Vec<u8>>,
}

/// A phrase: one word or several with what lies between them.
#[derive(Clone, Debug)]
pub struct Phrase {
    text: String,
    any_case: bool,
    has_variable: bool,
}

impl Test {
    /// The text is this one.
    pub fn exact(text: &str) -> Self {
        let mut split = Split::default();
        let key = split.split(text).then(|| split.key.clone());
        Self::Exact(Exact { text: text.into(), key })
    }

    /// The text has this phrase.
    pub fn phrase(text: &str, any_case: bool) -> Self {
        let text = if any_case { fold_text(text) } else { text.into() };
        let has_variable = words(&text).any(|word| word.has_digit);
        Self::Phrase(Phrase { text, any_case, has_variable })
    }

    /// Whether a text passes.
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(exact) => text == exact.text,
            Self::Phrase(phrase) => phrase.is_in(text),
            Self::Substring(part) => memchr::memmem::find(text.as_bytes(), part.as_bytes()).is_some(),
            Self::Any => !text.is_empty(),
        }
    }

    /// What a shape says.
    pub fn verdict(&self, key: &[u8], shape: Shape<'_>) -> Verdict {
        let slots = shape.slots() > 0;
        // A shape that is all slot can be a text that is kept whole: it answers nothing.
        let whole = shape == Shape::whole();
        match self {
            Self::Exact(exact) => match (&exact.key, slots) {
                _ if whole => Verdict::Look,
                (Some(wanted), true) if wanted == key => Verdict::Look,
                (Some(wanted), false) if wanted == key => Verdict::Yes,
                _ => Verdict::No,
            },
            Self::Phrase(phrase) => match shape.pieces().any(|piece| phrase.is_in(piece)) {
                _ if whole => Verdict::Look,
                true if !slots => Verdict::Yes,
                // Between pieces lie words: what is closed in a piece is closed in the text.
                true if !phrase.text.is_empty() && phrase.starts_and_ends_with_words() => Verdict::Yes,
                _ if slots && (phrase.has_variable || !phrase.starts_and_ends_with_words()) => Verdict::Look,
                _ => Verdict::No,
            },
            Self::Substring(part) => {
                let found = shape.pieces().any(|piece| piece.contains(part.as_str()));
                match (found, slots) {
                    (true, _) => Verdict::Yes,
                    (false, true) => Verdict::Look,
                    (false, false) => Verdict::No,
                }
            }
            Self::Any => {
                if whole {
                    Verdict::Look
                } else if slots || !shape.literal().is_empty() {
                    Verdict::Yes
                } else {
                    Verdict::No
                }
            }
        }
    }
}

impl Phrase {
    fn starts_and_ends_with_words(&self) -> bool {
        self.text.chars().next().is_some_and(is_word) && self.text.chars().next_back().is_some_and(is_word)
    }

    fn is_in(&self, text: &str) -> bool {
        if !self.any_case {
            return self.is_in_folded(text);
        }
        if text.is_ascii() {
            return self.is_in_folded(&text.to_ascii_lowercase());
        }
        self.is_in_folded(&text.chars().map(fold).collect::<String>())
    }

    fn is_in_folded(&self, text: &str) -> bool {
        let open_before = self.text.chars().next().is_some_and(is_word);
        let open_after = self.text.chars().next_back().is_some_and(is_word);
        memchr::memmem::find_iter(text.as_bytes(), self.text.as_bytes()).any(|start| {
            let end = start + self.text.len();
            let before = text.get(..start).and_then(|head| head.chars().next_back());
            let after = text.get(end..).and_then(|tail| tail.chars().next());
            let goes_on = open_before && before.is_some_and(is_word) || open_after && after.is_some_and(is_word);
            !goes_on
        })
    }
}

/// How tests combine.
#[derive(Clone, Debug)]
pub enum Filter {
    /// Every row.
    All,
    /// Rows that pass all of these.
    And(Vec<Filter>),
    /// Rows that pass any of these.
    Or(Vec<Filter>),
    /// Rows that do not pass.
    Not(Box<Filter>),
    /// Rows whose field passes a test; a field that a row does not have is the empty text.
    Field(String, Test),
}

impl Filter {
    /// A field and the hex value or UUID that it has to have for a row to pass, where there is one.
    pub(crate) fn needed_hex(&self) -> Option<(&str, Vec<u8>)> {
        match self {
            Self::Field(name, Test::Exact(exact)) => {
                let mut bytes = [0; 32];
                let width = hex_or_uuid(exact.text.as_bytes(), &mut bytes)?.width()?;
                Some((name, bytes.get(..width)?.to_vec()))
            }
            Self::And(parts) => parts.iter().find_map(Self::needed_hex),
            _ => None,
        }
    }

    /// How many tests there are.
    pub(crate) fn tests(&self) -> usize {
        match self {
            Self::All => 0,
            Self::And(parts) | Self::Or(parts) => parts.iter().map(Self::tests).sum(),
            Self::Not(part) => part.tests(),
            Self::Field(..) => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(test: &Test, text: &str) -> Result<(), TestCaseError> {
        let mut split = Split::default();
        if split.split(text) {
            let shape = Shape::parse(&split.key).unwrap();
            let truth = test.matches(text);
            match test.verdict(&split.key, shape) {
                Verdict::Look => {}
                verdict => prop_assert_eq!(verdict == Verdict::Yes, truth, "{:?} of {:?}", test, text),
            }
        }
        Ok(())
    }

    #[test]
    fn phrases_are_closed() {
        assert!(Test::phrase("request", true).matches("A Request, x"));
        assert!(!Test::phrase("request", true).matches("requests"));
        assert!(!Test::phrase("quest", false).matches("request"));
        assert!(Test::phrase(": x", false).matches("a: x"));
        assert!(!Test::phrase(": x", false).matches("a: xy"));
        assert!(Test::phrase("é", false).matches("a é."));
    }

    proptest! {
        #[test]
        fn verdicts_agree_with_texts(
            text in "([a-c]{1,2}|[a-c1-2]{1,3}|[ .:é→²]){0,8}",
            part in "([a-c]|[1-2]|[ .:é→]){0,4}",
            any_case in any::<bool>(),
        ) {
            check(&Test::phrase(&part, any_case), &text)?;
            check(&Test::exact(&part), &text)?;
            check(&Test::exact(&text), &text)?;
            check(&Test::Substring(part.clone()), &text)?;
            check(&Test::Any, &text)?;
        }
    }
}
