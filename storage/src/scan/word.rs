//! A part of a word that is looked for in the words of a slot.
//!
//! What a slot can hold rules most of them out before a value is read: digits of a range, hex, one constant, digits in a
//! skeleton, and of texts the letters that they have.
//!
//! Invariants
//! * *No* and *yes* hold for every word of the slot.
use super::filter::Verdict;
use super::look::Says;
use super::needle::{Class, Digits, Needle, Place, What};
use crate::error::Result;
use crate::segment::{Letters, Run, Slot, SlotValues, TextRun, Words};
use memchr::memmem::Finder;
use std::cell::OnceCell;

/// What a word of a slot has to be or to have.
pub(crate) struct Wanted<'n> {
    text: &'n str,
    /// Whether the word begins with it.
    starts: bool,
    /// Whether the word ends with it.
    ends: bool,
    any_case: bool,
    letters: Letters,
    is_digits: bool,
    is_hex: bool,
    finder: OnceCell<Finder<'n>>,
}

impl<'n> Wanted<'n> {
    /// A part of a word, folded where any case passes.
    pub(crate) fn new(text: &'n str, starts: bool, ends: bool, any_case: bool) -> Self {
        Self {
            text,
            starts,
            ends,
            any_case,
            letters: Letters::of(text.as_bytes()),
            is_digits: text.bytes().all(|byte| byte.is_ascii_digit()),
            is_hex: text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')),
            finder: OnceCell::new(),
        }
    }

    /// What a needle that is a part of one word wants of a word.
    pub(crate) fn of(needle: &Needle<'n>) -> Self {
        let (starts, ends) = needle.closed_ends();
        Self::new(needle.text(), starts, ends, needle.any_case())
    }

    /// The letters that it has, and whether others can stand for them.
    pub(crate) fn letters(&self) -> (Letters, bool) {
        (self.letters, self.any_case)
    }

    fn is_whole(&self) -> bool {
        self.starts && self.ends
    }

    /// The same as a needle.
    fn needle(&self) -> Needle<'n> {
        Needle::within(self.text, self.any_case, (self.starts, self.ends))
    }

    /// Whether it fits a word.
    pub(super) fn fits(&self, word: &[u8]) -> bool {
        if self.any_case {
            return self.needle().is_in_word(word);
        }
        let wanted = self.text.as_bytes();
        match (self.starts, self.ends) {
            (true, true) => word == wanted,
            (true, false) => word.starts_with(wanted),
            (false, true) => word.ends_with(wanted),
            (false, false) => self.finder().find(word).is_some(),
        }
    }

    fn finder(&self) -> &Finder<'n> {
        self.finder.get_or_init(|| Finder::new(self.text))
    }

    /// What is known without reading a value.
    pub(crate) fn verdict(&self, slot: &Slot<'_>) -> Verdict {
        let may = |may: bool| if may { Verdict::Look } else { Verdict::No };
        let fits = |len: usize| if self.is_whole() { self.text.len() == len } else { self.text.len() <= len };
        match slot {
            Slot::Constant(word) if self.fits(word) => Verdict::Yes,
            Slot::Constant(_) => Verdict::No,
            Slot::PoolDigits { width, .. } => may(self.is_digits && fits(*width)),
            Slot::Numbers(run) => may(self.is_digits && self.may_be(run)),
            Slot::Hex { width, .. } => may(self.is_hex && fits(*width)),
            Slot::PoolText { letters, sizes, .. } | Slot::Text(TextRun { letters, sizes, .. }) => {
                let has_room =
                    self.text.len() <= sizes.longest && (!self.is_whole() || self.text.len() >= sizes.shortest);
                may((self.any_case || has_room) && letters.have(self.letters, self.any_case))
            }
            Slot::Skeleton { pieces, runs } if self.is_whole() && !self.any_case => {
                may(along(self.text, pieces, runs).is_some())
            }
            Slot::Skeleton { pieces, runs } => self.needle().lies_in(skeleton(pieces, runs, &self.needle())),
        }
    }

    fn may_be(&self, run: &Run<'_>) -> bool {
        let digits = run_digits(run);
        if self.is_whole() {
            return digits.find(self.text.as_bytes()).is_some() && run.allows(self.text.as_bytes());
        }
        self.text.len() <= digits.longest()
    }

    /// Which of a slot's `count` words it fits; of those in `among` alone, where that is given.
    pub(crate) fn says(
        &self,
        words: &mut Words<'_>,
        slot: &Slot<'_>,
        count: usize,
        among: Option<&[u32]>,
    ) -> Result<Says> {
        match (self.verdict(slot), among) {
            (Verdict::No, _) => return Ok(Says::No),
            (Verdict::Yes, None) => return Ok(Says::Yes),
            (Verdict::Yes, Some(among)) => return Ok(Says::of(among.to_vec(), count)),
            (Verdict::Look, _) => {}
        }
        let (from, to) = match among {
            None => (0, count),
            Some([]) => return Ok(Says::No),
            Some([first, .., last] | [first @ last]) => (*first as usize, *last as usize + 1),
        };
        let by_length = self.is_whole() && self.is_found(slot);
        let (from, to) = match by_length.then(|| words.of_length(slot, (from, to), self.text.len())).transpose()? {
            None => (from, to),
            Some(Some(range)) => range,
            Some(None) => return Ok(Says::No),
        };
        let values = words.load(slot, from, to)?;
        let mut ranks = match (self.find(&values, slot, (from, to)), among) {
            (Some(ranks), None) => ranks,
            (Some(mut ranks), Some(among)) => {
                ranks.retain(|rank| among.binary_search(rank).is_ok());
                ranks
            }
            (None, Some(among)) => among.to_vec(),
            (None, None) => (0..count as u32).collect(),
        };
        if !self.is_found(slot) {
            let mut word = Vec::new();
            ranks.retain(|rank| {
                word.clear();
                values.push(*rank as usize, &mut word);
                self.fits(&word)
            });
        }
        Ok(Says::of(ranks, count))
    }

    /// Whether [`Self::find`] finds the words of such a slot.
    fn is_found(&self, slot: &Slot<'_>) -> bool {
        match slot {
            Slot::PoolDigits { .. } | Slot::Numbers(_) => self.is_whole(),
            Slot::Skeleton { .. } | Slot::Hex { .. } => self.is_whole() && !self.any_case,
            Slot::PoolText { .. } | Slot::Text(_) => !self.any_case,
            Slot::Constant(_) => false,
        }
    }

    /// The ranks of the words that it fits, where they need not be asked one by one.
    fn find(&self, values: &SlotValues<'_>, slot: &Slot<'_>, (from, to): (usize, usize)) -> Option<Vec<u32>> {
        if !self.is_found(slot) {
            return None;
        }
        let digits = match slot {
            Slot::PoolDigits { width, .. } => pool_digits(*width),
            Slot::Numbers(run) => run_digits(run),
            Slot::Skeleton { pieces, runs } => {
                let numbers = along(self.text, pieces, runs)?;
                let mut ranks = values.find(*numbers.first()?, to - from);
                let others = || numbers.iter().enumerate().skip(1);
                ranks.retain(|rank| others().all(|(run, n)| values.number(*rank as usize, run) == Some(*n)));
                return Some(ranks);
            }
            Slot::Hex { .. } => return values.find_hex(self.text.as_bytes(), to - from),
            _ => return Some(self.find_text(values, to - from)),
        };
        Some(values.find(digits.find(self.text.as_bytes())?, to - from))
    }

    /// Looks through texts that lie in a row.
    fn find_text(&self, values: &SlotValues<'_>, count: usize) -> Vec<u32> {
        let all = values.texts().unwrap_or_default();
        let (mut ranks, mut from) = (Vec::new(), 0);
        while let Some(found) = all.get(from..).and_then(|rest| self.finder().find(rest)) {
            let (at, end) = (from + found, from + found + self.text.len());
            let rank = values.rank_at(at, count);
            let (word_start, word_end) = values.span(rank);
            // One that goes over the end of its word lies in two; another may begin inside it.
            let fits = end <= word_end && (!self.starts || at == word_start) && (!self.ends || end == word_end);
            if fits {
                ranks.push(rank as u32);
            }
            from = if fits { word_end.max(at + 1) } else { at + 1 };
        }
        ranks
    }

    /// What it takes to find it in a slot, less first; what is rarer before what is not.
    pub(crate) fn effort(&self, slot: &Slot<'_>) -> (u8, std::cmp::Reverse<usize>) {
        let class = match slot {
            Slot::Constant(_) => 0,
            Slot::PoolDigits { .. } | Slot::Hex { .. } => 1,
            Slot::Numbers(_) | Slot::Skeleton { .. } if self.is_whole() => 2,
            Slot::PoolText { .. } | Slot::Text(_) => 3,
            Slot::Numbers(_) | Slot::Skeleton { .. } => 4,
        };
        (class, std::cmp::Reverse(self.text.len()))
    }
}

fn pool_digits(width: usize) -> Digits {
    Digits { width, low: 0, high: 10u64.saturating_pow(width as u32) - 1 }
}

fn run_digits(run: &Run<'_>) -> Digits {
    let (low, high) = run.bounds();
    Digits { width: run.width, low, high }
}

/// The numbers that a word would have in the runs of a skeleton; nothing where it is no such word.
fn along(word: &str, pieces: &[&[u8]], runs: &[Run<'_>]) -> Option<Vec<u64>> {
    let mut rest = word.as_bytes();
    let mut numbers = Vec::with_capacity(runs.len());
    for (i, piece) in pieces.iter().enumerate() {
        rest = rest.strip_prefix(*piece)?;
        if let Some(run) = runs.get(i) {
            let (digits, tail) = rest.split_at(rest.iter().take_while(|byte| byte.is_ascii_digit()).count());
            let number = run_digits(run).find(digits).filter(|_| run.allows(digits))?;
            numbers.push(number);
            rest = tail;
        }
    }
    rest.is_empty().then_some(numbers)
}

/// The words of a skeleton, as far as they are known without reading a value.
fn skeleton<'a>(pieces: &[&'a [u8]], runs: &[Run<'_>], needle: &Needle<'_>) -> Vec<Place<'a>> {
    let mut places = Vec::new();
    let mut put = |what| places.push(Place { what, opens: false, closes: false });
    for (i, piece) in pieces.iter().enumerate() {
        match std::str::from_utf8(piece) {
            Ok("") => {}
            Ok(text) => put(What::Text(needle.fold(text))),
            // What is no text could be anything.
            Err(_) => put(What::Word(Class::Mixed)),
        }
        if let Some(run) = runs.get(i) {
            put(What::Word(Class::Digits(run_digits(run))));
        }
    }
    if let Some(first) = places.first_mut() {
        first.opens = true;
    }
    if let Some(last) = places.last_mut() {
        last.closes = true;
    }
    places
}
