//! Settles what a shape alone cannot say about a test for a lane of a batch, by looking at variables: the same as `look.rs` for rows
//! that are not sealed. Texts are put together only for tests that no variables answer.
//!
//! The variables of a lane lie in one piece. What is not anywhere in it is in none of them: shapes whose variables would need
//! it are ruled out by one pass over that piece.
//!
//! Invariants
//! * A value passes exactly where its rebuilt text does.
use super::align::Hold;
use super::answer::Answer;
use super::filter::Test;
use super::needle::Needle;
use super::part::HotPart;
use super::texts::hot_words;
use super::word::Wanted;
use crate::batch::LaneView;
use crate::segment::add;
use crate::text::shape::WHOLE;
use memchr::memmem;

/// Different texts that are looked for in all of a lane's variables, and the length from which on: shorter ones are in it.
const SOUGHT_MAX: usize = 4;
const SOUGHT_BYTES_MIN: usize = 3;

/// Looks at the values of one lane of a batch.
pub(super) struct Looker<'a> {
    lane: LaneView<'a>,
    test: &'a Test,
    answer: &'a Answer,
    needle: Option<Needle<'a>>,
    /// What is looked for, where it is a part of one word.
    word: Option<Wanted<'a>>,
    /// Parts of the needle that were looked for in some slot, wherever that was.
    parts: Vec<(Hold, Wanted<'a>)>,
    /// Texts that were looked for in all variables, and whether they are there.
    sought: Vec<(&'a str, bool)>,
}

impl<'a> Looker<'a> {
    pub(super) fn new(lane: LaneView<'a>, test: &'a Test, answer: &'a Answer) -> Self {
        let needle = test.needle();
        let word = needle.filter(Needle::is_in_one_word).map(|needle| Wanted::of(&needle));
        Self { lane, test, answer, needle, word, parts: Vec::new(), sought: Vec::new() }
    }

    /// Whether any text of a shape that says *look* can pass, by what all variables of the lane have.
    pub(super) fn may_pass(&mut self, shape: u32) -> bool {
        if let Test::Exact(exact) = self.test {
            if shape == WHOLE {
                return self.may_have(exact.text());
            }
            let longest = exact.words().iter().max_by_key(|word| word.len());
            return longest.is_none_or(|word| self.may_have(word));
        }
        let Some(needle) = self.needle.filter(|needle| !needle.any_case()) else { return true };
        if shape == WHOLE || self.word.is_some() {
            return self.may_have(needle.text());
        }
        let Some(ways) = self.answer.ways(shape) else { return true };
        let part = |hold: &Hold| needle.text().get(hold.from..hold.to).unwrap_or_default();
        ways.iter().any(|way| way.iter().all(|hold| self.may_have(part(hold))))
    }

    fn may_have(&mut self, text: &'a str) -> bool {
        if text.len() < SOUGHT_BYTES_MIN {
            return true;
        }
        if let Some((_, is_there)) = self.sought.iter().find(|(sought, _)| *sought == text) {
            return *is_there;
        }
        if self.sought.len() == SOUGHT_MAX {
            return true;
        }
        let is_there = memmem::find(self.lane.variables, text.as_bytes()).is_some();
        self.sought.push((text, is_there));
        is_there
    }

    /// Calls `found` with those of some values, which ascend and about which their shapes say *look*, that pass.
    pub(super) fn settle(mut self, hot: &HotPart<'_>, looks: &[usize], found: &mut dyn FnMut(usize)) {
        let (mut text, mut rebuilt) = (Vec::new(), 0);
        hot_words(hot, self.lane, Some(looks), &mut |value, shape, words| {
            let passes = self.passes(shape, words).unwrap_or_else(|| {
                rebuilt += 1;
                text.clear();
                hot.shapes.shape(shape).rebuild(words.iter().copied(), &mut text);
                std::str::from_utf8(&text).is_ok_and(|text| self.test.matches(text))
            });
            if passes {
                found(value);
            }
        });
        add(&hot.counters.texts_rebuilt, rebuilt);
    }

    /// Whether a text passes; nothing where its variables do not say so.
    fn passes(&mut self, shape: u32, words: &[&[u8]]) -> Option<bool> {
        if shape == WHOLE {
            return None;
        }
        if let Test::Exact(exact) = self.test {
            return Some(exact.words().iter().map(String::as_bytes).eq(words.iter().copied()));
        }
        if let Some(word) = &self.word {
            return Some(words.iter().any(|own| word.fits(own)));
        }
        let (answer, needle) = (self.answer, self.needle?);
        let ways = answer.ways(shape)?;
        Some(
            ways.iter().any(|way| {
                way.iter().all(|hold| words.get(hold.slot).is_some_and(|word| self.fits(needle, *hold, word)))
            }),
        )
    }

    /// Whether a variable has what a part of the needle wants of it.
    fn fits(&mut self, needle: Needle<'a>, hold: Hold, word: &[u8]) -> bool {
        let hold = Hold { slot: 0, ..hold };
        if let Some((_, wanted)) = self.parts.iter().find(|(known, _)| *known == hold) {
            return wanted.fits(word);
        }
        let text = needle.text().get(hold.from..hold.to).unwrap_or_default();
        let wanted = Wanted::new(text, hold.starts, hold.ends, needle.any_case());
        let fits = wanted.fits(word);
        self.parts.push((hold, wanted));
        fits
    }
}
