//! What is asked of a row: tests of a field's text, and how they combine.
//!
//! Asked about a shape, a test says no, yes or look; *look* is settled on the row's text.
//!
//! Invariants
//! * A verdict of no or yes is right for every text of the shape.
//! * NOT of look is look.
use super::Numbers;
use super::needle::{Class, Needle, Place, What};
use crate::batch::hex_or_uuid;
use crate::record::RecordId;
use crate::segment::{Ends, WordQuery, WordTest};
use crate::text::shape::{Shape, Split};
use crate::text::words::fold_text;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

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
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Test {
    /// The text is this one.
    Exact(Exact),
    /// The text has this phrase, with no word character before or after it where the phrase begins or ends with one;
    /// after the prefix of one there may be.
    Phrase(Phrase),
    /// The text has this anywhere.
    Substring(String),
    /// The text is not empty.
    Any,
    /// The text is what somebody else asks for.
    Asked(Asked),
}

/// Whether a word is wanted.
pub type TestOfWords = dyn Fn(&str) -> bool + Send + Sync;

/// A question about texts that this module knows no more of than its answers.
pub trait Question: Send + Sync {
    /// What tells it from other questions.
    fn key(&self) -> &str;

    /// Whether a text passes.
    fn matches(&self, text: &str) -> bool;

    /// Whether the text of an integer passes.
    fn matches_int(&self, value: i64) -> bool {
        self.matches(&value.to_string())
    }

    /// What the texts of a shape, which has variables, have in common.
    fn verdict(&self, shape: Shape<'_>) -> Verdict {
        let _nothing_known = shape;
        Verdict::Look
    }

    /// A text that every text has that passes; empty where there is none.
    fn needed(&self) -> &str {
        ""
    }

    /// A test of folded words without a digit, of which every text that passes has one that passes the test.
    fn needed_word(&self) -> Option<Arc<TestOfWords>> {
        None
    }
}

/// A question, compared by its key.
#[derive(Clone)]
pub struct Asked(Arc<dyn Question>);

impl Asked {
    /// Of a question.
    pub fn new(question: Arc<dyn Question>) -> Self {
        Self(question)
    }

    pub(crate) fn question(&self) -> &dyn Question {
        &*self.0
    }
}

/// A question of which only its key is left.
struct Named(String);

impl Question for Named {
    fn key(&self) -> &str {
        &self.0
    }

    fn matches(&self, _text: &str) -> bool {
        false
    }
}

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Asked").field(&self.0.key()).finish()
    }
}

impl PartialEq for Asked {
    fn eq(&self, other: &Self) -> bool {
        self.0.key() == other.0.key()
    }
}

impl Eq for Asked {}

impl Hash for Asked {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.key().hash(state);
    }
}

/// An exact text, with the key of its shape.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Exact {
    text: String,
    /// None where the text is kept whole, so that no other shape can be its.
    key: Option<Vec<u8>>,
    words: Vec<String>,
}

impl Exact {
    /// The text.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Its variables, in order.
    pub(crate) fn words(&self) -> &[String] {
        &self.words
    }
}

/// A phrase: one word or several with what lies between them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Phrase {
    text: String,
    any_case: bool,
    goes_on: bool,
}

impl Phrase {
    /// The phrase, folded where any case passes.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether letters of either case pass.
    pub(crate) fn any_case(&self) -> bool {
        self.any_case
    }

    /// Whether the last word may go on.
    pub(crate) fn goes_on(&self) -> bool {
        self.goes_on
    }

    fn needle(&self) -> Needle<'_> {
        let closed = Needle::closed(&self.text, self.any_case);
        if self.goes_on { closed.with_open_end() } else { closed }
    }
}

impl Test {
    /// The text is this one.
    pub fn exact(text: &str) -> Self {
        let mut split = Split::default();
        let key = split.split(text).then(|| split.key.clone());
        let word = |(start, end): &(u32, u32)| text.get(*start as usize..*end as usize).unwrap_or_default().to_string();
        let words = split.spans.iter().map(word).collect();
        Self::Exact(Exact { text: text.into(), key, words })
    }

    /// The text has this phrase.
    pub fn phrase(text: &str, any_case: bool) -> Self {
        let text = if any_case { fold_text(text) } else { text.into() };
        Self::Phrase(Phrase { text, any_case, goes_on: false })
    }

    /// The text has this phrase, the last word of which may go on.
    pub fn prefix(text: &str, any_case: bool) -> Self {
        let text = if any_case { fold_text(text) } else { text.into() };
        Self::Phrase(Phrase { text, any_case, goes_on: true })
    }

    /// The same to be compared with others: of a question its key, and nothing of what it holds.
    pub(crate) fn kept(&self) -> Self {
        match self {
            Self::Asked(asked) => Self::Asked(Asked::new(Arc::new(Named(asked.0.key().into())))),
            test => test.clone(),
        }
    }

    /// Bytes of the texts that it has.
    pub(crate) fn text_bytes(&self) -> usize {
        match self {
            // Its words are in its text, and its key has no more than that.
            Self::Exact(exact) => 3 * exact.text.len(),
            Self::Phrase(phrase) => phrase.text.len(),
            Self::Substring(text) => text.len(),
            Self::Any => 0,
            Self::Asked(asked) => asked.0.key().len(),
        }
    }

    /// What is looked for inside texts, where that is what the test does.
    pub(crate) fn needle(&self) -> Option<Needle<'_>> {
        match self {
            Self::Phrase(phrase) => Some(phrase.needle()),
            Self::Substring(part) => Some(Needle::open(part)),
            Self::Exact(_) | Self::Any | Self::Asked(_) => None,
        }
    }

    /// Words that the text of every row that passes has, each as a part of one word or all of it.
    pub(crate) fn words(&self) -> Vec<Needle<'_>> {
        let needle = match self {
            Self::Exact(exact) => Some(Needle::closed(&exact.text, false)),
            Self::Asked(asked) => Some(Needle::open(asked.0.needed())).filter(|needle| !needle.text().is_empty()),
            _ => self.needle(),
        };
        needle.into_iter().flat_map(Needle::words).collect()
    }

    /// What the index is asked: words that the text of every row that passes has.
    pub(crate) fn index_query(&self) -> Option<WordQuery> {
        match self {
            Self::Phrase(phrase) => {
                Some(WordQuery::new(&phrase.text, if phrase.goes_on { Ends::Prefix } else { Ends::Closed }))
            }
            Self::Substring(part) => Some(WordQuery::new(part, Ends::Substring)),
            Self::Exact(exact) => Some(WordQuery::new(&exact.text, Ends::Closed)),
            Self::Asked(asked) => match asked.0.needed_word() {
                Some(test) => Some(WordQuery::passing(WordTest(test))),
                None => Some(asked.0.needed())
                    .filter(|text| !text.is_empty())
                    .map(|text| WordQuery::new(text, Ends::Substring)),
            },
            Self::Any => None,
        }
    }

    /// Whether the index of shapes knows more of it than which shapes may have some text.
    pub(crate) fn is_indexed(&self) -> bool {
        self.needle().is_some() || matches!(self, Self::Asked(asked) if asked.0.needed_word().is_some())
    }

    /// Whether a text passes.
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(exact) => text == exact.text,
            Self::Phrase(phrase) => phrase.needle().is_in(text),
            Self::Substring(part) => Needle::open(part).is_in(text),
            Self::Any => !text.is_empty(),
            Self::Asked(asked) => asked.0.matches(text),
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
            Self::Phrase(phrase) => phrase.needle().verdict(shape),
            Self::Substring(part) => Needle::open(part).verdict(shape),
            Self::Asked(_) if whole => Verdict::Look,
            Self::Asked(asked) if slots => asked.0.verdict(shape),
            Self::Asked(asked) if asked.0.matches(shape.literal()) => Verdict::Yes,
            Self::Asked(_) => Verdict::No,
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

impl Needle<'_> {
    fn verdict(&self, shape: Shape<'_>) -> Verdict {
        if self.text().is_empty() {
            return Verdict::Yes;
        }
        if shape == Shape::whole() {
            return Verdict::Look;
        }
        let word = || Place { what: What::Word(Class::Mixed), opens: true, closes: true };
        self.lies_in(shape.pieces().enumerate().flat_map(|(i, piece)| {
            let text = Place { what: What::Text(self.fold(piece)), opens: true, closes: true };
            (i > 0).then(word).into_iter().chain([text])
        }))
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
    /// Rows with one of these ids.
    Ids(Vec<RecordId>),
    /// Rows with one of these sequence numbers.
    Numbers(Numbers),
    /// Rows of streams whose fields, as they are shown, pass.
    Streams(Asked),
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

    /// The only ids whose rows can pass, where that is known.
    pub(crate) fn needed_ids(&self) -> Option<&[RecordId]> {
        match self {
            Self::Ids(ids) => Some(ids),
            Self::And(parts) => parts.iter().find_map(Self::needed_ids),
            _ => None,
        }
    }

    /// The only numbers that rows can have that pass, where that is known.
    pub(crate) fn needed_numbers(&self) -> Option<Numbers> {
        match self {
            Self::Numbers(numbers) => Some(*numbers),
            Self::And(parts) => parts.iter().find_map(Self::needed_numbers),
            _ => None,
        }
    }

    /// How many tests there are.
    pub(crate) fn tests(&self) -> usize {
        match self {
            Self::All | Self::Ids(_) | Self::Numbers(_) | Self::Streams(_) => 0,
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
        assert!(Test::phrase("a a", false).matches("xa a a"));
        assert!(Test::prefix("b re", true).matches("ab B REQ") && !Test::prefix("eq", true).matches("b req"));
    }

    proptest! {
        #[test]
        fn verdicts_agree_with_texts(
            text in "([a-c]{1,2}|[a-c1-2]{1,3}|[ .:é→²]){0,8}",
            part in "([a-c]|[1-2]|[ .:é→]){0,4}",
            any_case in any::<bool>(),
        ) {
            check(&Test::phrase(&part, any_case), &text)?;
            check(&Test::prefix(&part, any_case), &text)?;
            check(&Test::exact(&part), &text)?;
            check(&Test::exact(&text), &text)?;
            check(&Test::Substring(part.clone()), &text)?;
            check(&Test::Any, &text)?;
        }
    }
}
