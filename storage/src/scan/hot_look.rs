//! Settles what a shape alone cannot say about a test for a lane of a batch, by looking at variables: the same as `look.rs` for rows
//! that are not sealed. Texts are put together only for tests that no variables answer.
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

/// Calls `found` with those of some values, which ascend and about which their shapes say *look*, that pass.
pub(super) fn settle(
    hot: &HotPart<'_>,
    lane: LaneView<'_>,
    looks: &[usize],
    test: &Test,
    answer: &Answer,
    found: &mut dyn FnMut(usize),
) {
    let needle = test.needle();
    let mut looker = Looker {
        test,
        answer,
        needle,
        word: needle.filter(Needle::is_in_one_word).map(|needle| Wanted::of(&needle)),
        parts: Vec::new(),
    };
    let (mut text, mut rebuilt) = (Vec::new(), 0);
    hot_words(hot, lane, Some(looks), &mut |value, shape, words| {
        let passes = looker.passes(shape, words).unwrap_or_else(|| {
            rebuilt += 1;
            text.clear();
            hot.shapes.shape(shape).rebuild(words.iter().copied(), &mut text);
            std::str::from_utf8(&text).is_ok_and(|text| test.matches(text))
        });
        if passes {
            found(value);
        }
    });
    add(&hot.counters.texts_rebuilt, rebuilt);
}

struct Looker<'a> {
    test: &'a Test,
    answer: &'a Answer,
    needle: Option<Needle<'a>>,
    /// What is looked for, where it is a part of one word.
    word: Option<Wanted<'a>>,
    /// Parts of the needle that were looked for in some slot, wherever that was.
    parts: Vec<(Hold, Wanted<'a>)>,
}

impl Looker<'_> {
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
}

impl<'a> Looker<'a> {
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
