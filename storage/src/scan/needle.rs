//! A piece of text that is looked for, and whether it can lie in a text of which parts are known and parts are not.
//!
//! A text is laid out as places: literal text, and what its variables can be. The needle is run over them as a machine
//! whose states are how much of it has matched so far; each state has one way on through each place, since a variable
//! ends where its word ends.
//!
//! Invariants
//! * *No* and *yes* hold for every text of the layout; what is not known for certain is *look*.
//! * Ends are closed only where the needle has a word character there.
use super::filter::Verdict;
use crate::text::words::{fold, is_word, words};
use memchr::memmem;
use std::borrow::Cow;

/// Text that is long enough for a finder to be worth it; below, `memmem::find` makes none either.
const FINDER_BYTES_MIN: usize = 64;

/// What is looked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Needle<'a> {
    /// Folded where case does not matter.
    text: &'a str,
    any_case: bool,
    /// Whether no word character may stand before it.
    closed_start: bool,
    /// Whether no word character may stand after it.
    closed_end: bool,
}

impl<'a> Needle<'a> {
    /// A text that is found anywhere.
    pub(crate) fn open(text: &'a str) -> Self {
        Self { text, any_case: false, closed_start: false, closed_end: false }
    }

    /// A text that is found where its words are whole words. It has to be folded where case does not matter.
    pub(crate) fn closed(text: &'a str, any_case: bool) -> Self {
        let closed_start = text.chars().next().is_some_and(is_word);
        let closed_end = text.chars().next_back().is_some_and(is_word);
        Self { text, any_case, closed_start, closed_end }
    }

    /// The same, whatever follows it.
    pub(crate) fn with_open_end(self) -> Self {
        Self { closed_end: false, ..self }
    }

    /// Its words, each as it has to lie in a word of every text that has the needle.
    pub(crate) fn words(self) -> impl Iterator<Item = Needle<'a>> {
        let len = self.text.len();
        words(self.text).map(move |word| Needle {
            text: self.text.get(word.span.clone()).unwrap_or_default(),
            any_case: self.any_case,
            closed_start: self.closed_start || word.span.start > 0,
            closed_end: self.closed_end || word.span.end < len,
        })
    }

    /// A text in one word: whether the word has to begin and to end with it.
    pub(crate) fn within(text: &'a str, any_case: bool, (closed_start, closed_end): (bool, bool)) -> Self {
        Self { text, any_case, closed_start, closed_end }
    }

    /// Whether no word character may stand before it, and none after it.
    pub(crate) fn closed_ends(&self) -> (bool, bool) {
        (self.closed_start, self.closed_end)
    }

    /// Whether letters of either case pass.
    pub(crate) fn any_case(&self) -> bool {
        self.any_case
    }

    pub(crate) fn text(&self) -> &'a str {
        self.text
    }

    /// Whether it is a part of one word.
    pub(crate) fn is_in_one_word(&self) -> bool {
        !self.text.is_empty() && self.text.chars().all(is_word)
    }

    /// The text as it is compared.
    pub(crate) fn fold<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if !self.any_case || !text.bytes().any(|byte| byte.is_ascii_uppercase() || byte >= 128) {
            return Cow::Borrowed(text);
        }
        if text.is_ascii() {
            return Cow::Owned(text.to_ascii_lowercase());
        }
        Cow::Owned(text.chars().map(fold).collect())
    }

    /// Whether a text has it.
    pub(crate) fn is_in(&self, text: &str) -> bool {
        let text = self.fold(text);
        self.find(&text, true, true)
    }

    /// Whether a word, which is a whole variable, has it.
    pub(crate) fn is_in_word(&self, word: &[u8]) -> bool {
        std::str::from_utf8(word).is_ok_and(|word| self.is_in(word))
    }

    /// Whether a folded text has it. `opens` and `closes` say whether a word may begin and end at the text's ends.
    pub(crate) fn find(&self, text: &str, opens: bool, closes: bool) -> bool {
        let n = self.text.len();
        if n > text.len() {
            return false;
        }
        if !self.closed_start && !self.closed_end || n == 0 {
            return memmem::find(text.as_bytes(), self.text.as_bytes()).is_some();
        }
        // Many texts are words, which are searched before a finder is made.
        let finder = (text.len() >= FINDER_BYTES_MIN).then(|| memmem::Finder::new(self.text));
        let find = |rest: &[u8]| match &finder {
            Some(finder) => finder.find(rest),
            None => memmem::find(rest, self.text.as_bytes()),
        };
        let mut from = 0;
        while let Some(found) = text.as_bytes().get(from..).and_then(find) {
            let start = from + found;
            if self.may_start(text, start, opens) && self.may_end(text, start + n, closes) {
                return true;
            }
            // One that begins inside this one may do.
            from = start + 1;
        }
        false
    }

    /// Whether it may begin at a place of a folded text.
    pub(crate) fn may_start(&self, text: &str, at: usize, opens: bool) -> bool {
        if !self.closed_start {
            return true;
        }
        match text.get(..at).and_then(|head| head.chars().next_back()) {
            Some(before) => !is_word(before),
            None => opens,
        }
    }

    /// Whether it may end there.
    pub(crate) fn may_end(&self, text: &str, at: usize, closes: bool) -> bool {
        if !self.closed_end {
            return true;
        }
        match text.get(at..).and_then(|tail| tail.chars().next()) {
            Some(after) => !is_word(after),
            None => closes,
        }
    }

    /// Whether texts that are laid out like this have it.
    pub(crate) fn lies_in<'p>(&self, places: impl IntoIterator<Item = Place<'p>>) -> Verdict {
        if self.text.is_empty() {
            return Verdict::Yes;
        }
        let mut run = Run { needle: *self, states: Vec::new(), next: Vec::new(), found: Verdict::No };
        for place in places {
            match &place.what {
                What::Text(text) if text.is_empty() => continue,
                What::Text(text) => run.text(text, &place),
                What::Word(word) => run.word(*word, &place),
            }
            if run.found == Verdict::Yes {
                break;
            }
        }
        run.found
    }
}

/// A part of a text.
#[derive(Clone, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) what: What<'a>,
    /// Whether no word character stands before it, for all that is known.
    pub(crate) opens: bool,
    /// Whether none stands after it.
    pub(crate) closes: bool,
}

/// What a part of a text is.
#[derive(Clone, Debug)]
pub(crate) enum What<'a> {
    /// This text, folded where case does not matter.
    Text(Cow<'a, str>),
    /// A word, or a run of digits in one.
    Word(Class),
}

/// What a variable can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// A word with an ASCII digit.
    Mixed,
    /// ASCII digits.
    Digits(Digits),
}

/// What a run of digits can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Digits {
    /// How many digits it has; 0 where it only has no leading zeros.
    pub(crate) width: usize,
    pub(crate) low: u64,
    pub(crate) high: u64,
}

impl Digits {
    /// The most digits that it can have.
    pub(crate) fn longest(self) -> usize {
        if self.width > 0 { self.width } else { decimal_digits(self.high) }
    }

    /// The number that this run of digits would be among them.
    pub(crate) fn find(self, digits: &[u8]) -> Option<u64> {
        let is_spelled_so = if self.width > 0 {
            digits.len() == self.width
        } else {
            digits.len() == 1 || digits.first() != Some(&b'0')
        };
        if !is_spelled_so || digits.is_empty() {
            return None;
        }
        let mut value = 0u64;
        for byte in digits {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                return None;
            }
            value = value.checked_mul(10)?.checked_add(u64::from(digit))?;
        }
        (self.low..=self.high).contains(&value).then_some(value)
    }
}

fn decimal_digits(value: u64) -> usize {
    value.checked_ilog10().map_or(1, |log| log as usize + 1)
}

impl Class {
    /// How long the run is that begins the piece and could be of this class.
    fn run(self, piece: &str) -> usize {
        match self {
            Self::Mixed => piece.char_indices().find(|(_, c)| !is_word(*c)).map_or(piece.len(), |(at, _)| at),
            Self::Digits(_) => piece.bytes().take_while(u8::is_ascii_digit).count(),
        }
    }

    /// Whether a run of this class can be all of the variable.
    fn is_whole(self, run: &str) -> bool {
        match self {
            Self::Mixed => run.bytes().any(|byte| byte.is_ascii_digit()),
            Self::Digits(digits) => digits.find(run.as_bytes()).is_some(),
        }
    }

    /// Whether a run of this class can be a part of the variable.
    fn is_part(self, run: &str) -> bool {
        match self {
            Self::Mixed => true,
            Self::Digits(digits) => run.len() <= digits.longest(),
        }
    }
}

/// A needle on its way through places.
struct Run<'a> {
    needle: Needle<'a>,
    /// How much has matched up to the place, and whether only literal text did.
    states: Vec<(usize, bool)>,
    next: Vec<(usize, bool)>,
    found: Verdict,
}

impl Run<'_> {
    fn accept(&mut self, sure: bool) {
        if sure {
            self.found = Verdict::Yes;
        } else if self.found == Verdict::No {
            self.found = Verdict::Look;
        }
    }

    fn step(&mut self) {
        self.states.clear();
        std::mem::swap(&mut self.states, &mut self.next);
    }

    fn text(&mut self, text: &str, place: &Place<'_>) {
        let needle = self.needle;
        if needle.find(text, place.opens, place.closes) {
            return self.accept(true);
        }
        for i in 0..self.states.len() {
            let Some((at, sure)) = self.states.get(i).copied() else { break };
            let rest = needle.text.get(at..).unwrap_or_default();
            if text.starts_with(rest) {
                if needle.may_end(text, rest.len(), place.closes) {
                    self.accept(sure);
                }
            } else if rest.starts_with(text) {
                self.next.push((at + text.len(), sure));
            }
        }
        // Where the text ends with what the needle begins with.
        let first = needle.text.as_bytes().first().copied().unwrap_or(0);
        let from = (text.len() + 1).saturating_sub(needle.text.len());
        for found in memchr::memchr_iter(first, text.as_bytes().get(from..).unwrap_or_default()) {
            let start = from + found;
            let tail = text.get(start..).unwrap_or_default();
            if !tail.is_empty() && needle.text.starts_with(tail) && needle.may_start(text, start, place.opens) {
                self.next.push((tail.len(), true));
            }
        }
        self.step();
    }

    fn word(&mut self, class: Class, place: &Place<'_>) {
        let needle = self.needle;
        if !needle.closed_start || place.opens {
            self.states.push((0, false));
        }
        for i in 0..self.states.len() {
            let Some((at, _)) = self.states.get(i).copied() else { break };
            let rest = needle.text.get(at..).unwrap_or_default();
            let run = class.run(rest);
            let taken = rest.get(..run).unwrap_or_default();
            if run == 0 {
                continue;
            }
            if run < rest.len() {
                if class.is_whole(taken) {
                    self.next.push((at + run, false));
                }
            } else if if needle.closed_end { place.closes && class.is_whole(taken) } else { class.is_part(taken) } {
                self.accept(false);
            }
        }
        if !needle.closed_start {
            self.begin_inside(class, place);
        }
        self.step();
    }

    /// The needle begins inside the word.
    fn begin_inside(&mut self, class: Class, place: &Place<'_>) {
        let needle = self.needle;
        let run = class.run(needle.text);
        let taken = needle.text.get(..run).unwrap_or_default();
        if run == 0 || !class.is_part(taken) {
            return;
        }
        if run < needle.text.len() {
            self.next.push((run, false));
        } else if !needle.closed_end || place.closes {
            self.accept(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(text: &str) -> Place<'_> {
        Place { what: What::Text(text.into()), opens: true, closes: true }
    }

    fn word(class: Class) -> Place<'static> {
        Place { what: What::Word(class), opens: true, closes: true }
    }

    const STATUS: Class = Class::Digits(Digits { width: 3, low: 200, high: 599 });

    #[test]
    fn needles_are_aligned_with_places() {
        let layout = [text("took "), word(STATUS), text("ms/"), word(Class::Mixed), text(" by "), word(Class::Mixed)];
        let open = |needle: &str| Needle::open(needle).lies_in(layout.clone());
        let closed = |needle: &str| Needle::closed(needle, false).lies_in(layout.clone());
        assert_eq!(open("ook"), Verdict::Yes);
        assert_eq!(closed("ook"), Verdict::No);
        assert_eq!(open("took 4"), Verdict::Look);
        assert_eq!(closed("took 4"), Verdict::No);
        assert_eq!(closed("took 404"), Verdict::Look);
        assert_eq!(closed("took 600"), Verdict::No);
        assert_eq!(open("k 4044"), Verdict::No);
        assert_eq!(open("04ms"), Verdict::Look);
        assert_eq!(open("beef by x"), Verdict::Look);
        assert_eq!(open("ms/be3f by x1"), Verdict::Look);
        assert_eq!(closed("ms/beef by x"), Verdict::No);
        assert_eq!(open("x y"), Verdict::No);
        assert_eq!(open(""), Verdict::Yes);
        assert!(Needle::closed("a a", false).is_in("xa a a"));
        assert!(!Needle::closed("a a", false).is_in("xa a ab"));
    }

    fn word_of(class: Class) -> BoxedStrategy<String> {
        match class {
            Class::Mixed => "[ab]{0,2}[0-2][ab0-2]{0,2}".boxed(),
            Class::Digits(Digits { width, low, high }) => {
                (low..=high).prop_map(move |n| format!("{n:0width$}")).boxed()
            }
        }
    }

    fn class() -> impl Strategy<Value = Class> {
        prop_oneof![
            Just(Class::Mixed),
            (0usize..4, 0u64..30, 0u64..300).prop_map(|(width, low, more)| {
                let high = if width > 0 { (low + more).min(10u64.pow(width as u32) - 1) } else { low + more };
                Class::Digits(Digits { width, low: low.min(high), high })
            }),
        ]
    }

    /// A layout, and a text that has it.
    fn layout() -> impl Strategy<Value = (Vec<(String, Option<Class>)>, String)> {
        let piece = prop_oneof![Just(" ".to_string()), "[ .]([ab]{1,2}[ .]){0,2}", "[.²→]{1,2}"];
        let part = (piece, class()).prop_flat_map(|(piece, class)| (Just(piece), Just(class), word_of(class)));
        (prop::collection::vec(part, 0..4), prop_oneof![Just(String::new()), "[ .]([ab]{1,2}[ .]?){0,2}"]).prop_map(
            |(parts, tail)| {
                let mut layout = Vec::new();
                let mut text = String::new();
                for (piece, class, word) in parts {
                    text.push_str(&piece);
                    text.push_str(&word);
                    layout.push((piece, None));
                    layout.push((word, Some(class)));
                }
                text.push_str(&tail);
                layout.push((tail, None));
                (layout, text)
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn nothing_is_missed(
            (layout, whole) in layout(),
            cut in any::<Option<(prop::sample::Index, prop::sample::Index)>>(),
            other in "[ab0-2 .²]{0,5}",
        ) {
            let bounds: Vec<usize> = whole.char_indices().map(|(at, _)| at).chain([whole.len()]).collect();
            let wanted = cut.map_or(other.as_str(), |(a, b)| {
                let (a, b) = (bounds[a.index(bounds.len())], bounds[b.index(bounds.len())]);
                &whole[a.min(b)..a.max(b)]
            });
            let closed = Needle::closed(wanted, false);
            for needle in [Needle::open(wanted), closed, closed.with_open_end()] {
                let places = layout.iter().map(|(part, class)| match class {
                    None => text(part),
                    Some(class) => word(*class),
                });
                match needle.lies_in(places) {
                    Verdict::Yes => prop_assert!(needle.is_in(&whole), "{needle:?} is not in {whole:?}"),
                    Verdict::No => prop_assert!(!needle.is_in(&whole), "{needle:?} is in {whole:?}"),
                    Verdict::Look => {}
                }
            }
        }
    }
}
