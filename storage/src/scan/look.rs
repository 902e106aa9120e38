//! Settles what a shape alone cannot say about a test, for one lane of one sealed block, by looking at variables.
//!
//! A shape that says *look* is first asked again with what its slots can hold in this block: digits of a range, hex, one
//! constant, digits in a skeleton. Then single words are compared with the columns of the slots, and only texts that need
//! more than one slot are rebuilt. Whole texts are asked for group by group.
//!
//! Invariants
//! * A value passes exactly where its rebuilt text does.
use super::evaluate::Answer;
use super::filter::{Test, Verdict};
use super::needle::{Class, Digits, Needle, Place, What};
use super::part::SealedPart;
use crate::error::Result;
use crate::segment::{BlockLane, Directory, Kind, Run, Slot, WholeTexts, Words, add, group_texts};
use crate::text::shape::{Shape, WHOLE};

/// Which values of a shape pass, counted in values of that shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Says {
    No,
    Yes,
    /// These, ascending.
    Some(Vec<u32>),
}

impl Says {
    /// How many of `count` values pass.
    pub(crate) fn passing(&self, count: u32) -> u64 {
        match self {
            Self::No => 0,
            Self::Yes => u64::from(count),
            Self::Some(ranks) => ranks.len() as u64,
        }
    }

    fn of(ranks: Vec<u32>, count: usize) -> Self {
        match ranks.len() {
            0 => Self::No,
            n if n == count => Self::Yes,
            _ => Self::Some(ranks),
        }
    }

    /// Those of `count` that `test` lets pass.
    fn choose(count: usize, mut test: impl FnMut(usize) -> bool) -> Self {
        Self::of((0..count).filter(|rank| test(*rank)).map(|rank| rank as u32).collect(), count)
    }

    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Yes, says) | (says, Self::Yes) => says,
            (Self::Some(a), Self::Some(b)) => {
                let both: Vec<u32> = a.into_iter().filter(|rank| b.binary_search(rank).is_ok()).collect();
                if both.is_empty() { Self::No } else { Self::Some(both) }
            }
        }
    }

    fn or(self, other: Self, count: usize) -> Self {
        match (self, other) {
            (Self::Yes, _) | (_, Self::Yes) => Self::Yes,
            (Self::No, says) | (says, Self::No) => says,
            (Self::Some(mut a), Self::Some(b)) => {
                a.extend(b);
                a.sort_unstable();
                a.dedup();
                Self::of(a, count)
            }
        }
    }
}

/// What each shape of a lane says about a test, once all of them are settled.
pub(crate) fn settle(
    part: &SealedPart<'_>,
    number: usize,
    lane: &BlockLane,
    test: &Test,
    answer: &Answer,
) -> Result<(Vec<Says>, Vec<u32>)> {
    let list = part.list(lane)?;
    let mut looks = Vec::new();
    let mut says: Vec<Says> = Vec::with_capacity(list.listed.len());
    for (local, shape) in (0u32..).zip(&list.listed) {
        says.push(match answer.verdict(*shape) {
            Verdict::No => Says::No,
            Verdict::Yes => Says::Yes,
            Verdict::Look => {
                looks.push(local);
                Says::No
            }
        });
    }
    let source = part.source(Kind::Values);
    let mut open: Option<Looker<'_>> = None;
    for local in looks {
        let shape = list.listed.get(local as usize).copied().unwrap_or(WHOLE);
        let count = list.counts.get(local as usize).map_or(0, |count| *count as usize);
        let settled = if shape == WHOLE {
            whole_texts(part, number, lane, test, answer, count)?
        } else {
            let looker = match &mut open {
                Some(looker) => looker,
                none => {
                    let directory = part.block.directory(lane, part.shapes.slots(), &source)?;
                    let words = part.block.words(lane, &directory, &source)?;
                    none.insert(Looker { test, directory, words, part })
                }
            };
            looker.shape(local, part.shapes.shape(shape), count)?
        };
        if let Some(says) = says.get_mut(local as usize) {
            *says = settled;
        }
    }
    Ok((says, list.counts.clone()))
}

/// Which of a lane's whole texts pass: all are read, or those of the groups that the index does not rule out.
fn whole_texts(
    part: &SealedPart<'_>,
    number: usize,
    lane: &BlockLane,
    test: &Test,
    answer: &Answer,
    count: usize,
) -> Result<Says> {
    let each = group_texts(count, part.block.whole_bytes(lane));
    let groups = candidates(part, number, answer, count.div_ceil(each));
    if groups.as_ref().is_some_and(Vec::is_empty) {
        return Ok(Says::No);
    }
    let source = part.source(Kind::Values);
    let mut texts = part.block.whole_texts(lane, count, &source)?;
    let mut ranks = Vec::new();
    let ranges = match groups {
        Some(groups) => groups.iter().map(|g| (g * each, count.min((g + 1) * each))).collect(),
        None => vec![(0, count)],
    };
    let words: Vec<Needle<'_>> = test.words().into_iter().take(8).collect();
    let has = |word: &str| words.iter().rev().fold(0, |bits, needle| bits << 1 | u8::from(needle.is_in(word)));
    let wanted = words.iter().fold(0u8, |bits, _| bits << 1 | 1);
    let sieve = if words.is_empty() { None } else { texts.sieve(wanted, has) };
    // A text that has a word with the whole needle in it needs no other look.
    let is_all = test.needle().is_some_and(|needle| needle.is_in_one_word());
    for (from, to) in ranges {
        if let Some(sieve) = &sieve {
            for rank in texts.sift(sieve, from, to, has)? {
                if is_all || passes_whole(&mut texts, rank as usize, test, part)? {
                    ranks.push(rank);
                }
            }
            continue;
        }
        texts.load(from, to)?;
        add(&part.counters.texts_rebuilt, (to - from) as u64);
        let passes = |rank: &usize| std::str::from_utf8(texts.get(*rank)).is_ok_and(|text| test.matches(text));
        ranks.extend((from..to).filter(passes).map(|rank| rank as u32));
    }
    Ok(Says::of(ranks, count))
}

/// Asks one whole text.
fn passes_whole(texts: &mut WholeTexts<'_>, rank: usize, test: &Test, part: &SealedPart<'_>) -> Result<bool> {
    texts.load(rank, rank + 1)?;
    add(&part.counters.texts_rebuilt, 1);
    Ok(std::str::from_utf8(texts.get(rank)).is_ok_and(|text| test.matches(text)))
}

/// The groups of a lane that can have texts that pass, counted in the lane; nothing where the index has none of it.
fn candidates(part: &SealedPart<'_>, number: usize, answer: &Answer, expected: usize) -> Option<Vec<usize>> {
    let found = answer.groups()?;
    let (first, n) = part.segment.groups(part.index, number)?;
    if n as usize != expected {
        return None;
    }
    let from = found.partition_point(|group| *group < first);
    let ours: Vec<usize> = found
        .iter()
        .skip(from)
        .take_while(|group| **group - first < n)
        .map(|group| (*group - first) as usize)
        .collect();
    add(&part.counters.groups_skipped, u64::from(n) - ours.len() as u64);
    Some(ours)
}

/// Looks at slots.
struct Looker<'a> {
    test: &'a Test,
    directory: Directory,
    words: Words<'a>,
    part: &'a SealedPart<'a>,
}

impl Looker<'_> {
    /// What a shape says, by its slots.
    fn shape(&mut self, local: u32, shape: Shape<'_>, count: usize) -> Result<Says> {
        let slots = self.directory.slots(local);
        if let Test::Exact(exact) = self.test {
            let mut says = Says::Yes;
            for (slot, word) in slots.iter().zip(exact.words()) {
                says = says.and(slot_says(&mut self.words, slot, &Needle::closed(word, false), count)?);
                if says == Says::No {
                    break;
                }
            }
            return Ok(says);
        }
        let Some(needle) = self.test.needle() else { return self.rebuild(local, shape, count) };
        if needle.is_in_one_word() {
            // No piece has it, or the shape had said so: it lies in a slot.
            let mut says = Says::No;
            for slot in slots {
                says = says.or(slot_says(&mut self.words, slot, &needle, count)?, count);
                if says == Says::Yes {
                    break;
                }
            }
            return Ok(says);
        }
        match needle.lies_in(layout(shape, slots, &needle)) {
            Verdict::No => Ok(Says::No),
            Verdict::Yes => Ok(Says::Yes),
            Verdict::Look => self.rebuild(local, shape, count),
        }
    }

    /// Asks each text of a shape.
    fn rebuild(&mut self, local: u32, shape: Shape<'_>, count: usize) -> Result<Says> {
        let slots = self.directory.slots(local);
        for slot in slots {
            self.words.load(slot, 0, count)?;
        }
        add(&self.part.counters.texts_rebuilt, count as u64);
        let mut text = Vec::new();
        Ok(Says::choose(count, |rank| {
            text.clear();
            for (i, piece) in shape.pieces().enumerate() {
                if let Some(slot) = i.checked_sub(1).and_then(|slot| slots.get(slot)) {
                    self.words.push(slot, rank, &mut text);
                }
                text.extend_from_slice(piece.as_bytes());
            }
            std::str::from_utf8(&text).is_ok_and(|text| self.test.matches(text))
        }))
    }
}

/// The texts of a shape in a block, as far as they are known without reading a variable.
fn layout<'a>(shape: Shape<'a>, slots: &'a [Slot], needle: &Needle<'_>) -> Vec<Place<'a>> {
    let mut places = Vec::new();
    for (i, piece) in shape.pieces().enumerate() {
        if let Some(slot) = i.checked_sub(1).and_then(|slot| slots.get(slot)) {
            put_places(slot, needle, &mut places);
        }
        places.push(Place { what: What::Text(needle.fold(piece)), opens: true, closes: true });
    }
    places
}

/// What a slot can hold.
fn put_places<'a>(slot: &'a Slot, needle: &Needle<'_>, places: &mut Vec<Place<'a>>) {
    let from = places.len();
    let mut put = |what| places.push(Place { what, opens: false, closes: false });
    match slot {
        Slot::Constant(word) => put(known(word, needle)),
        Slot::PoolDigits { width, .. } => put(What::Word(Class::Digits(pool_digits(*width)))),
        Slot::PoolText { .. } => put(What::Word(Class::Mixed)),
        Slot::Numbers(run) => put(What::Word(Class::Digits(run_digits(run)))),
        Slot::Hex { width, .. } => put(What::Word(Class::Hex(*width))),
        Slot::Skeleton { pieces, runs } => {
            for (i, piece) in pieces.iter().enumerate() {
                if !piece.is_empty() {
                    put(known(piece, needle));
                }
                if let Some(run) = runs.get(i) {
                    put(What::Word(Class::Digits(run_digits(run))));
                }
            }
        }
    }
    if let Some(first) = places.get_mut(from) {
        first.opens = true;
    }
    if let Some(last) = places.last_mut() {
        last.closes = true;
    }
}

/// Text that a slot always has. What is no text could be anything.
fn known<'a>(bytes: &'a [u8], needle: &Needle<'_>) -> What<'a> {
    match std::str::from_utf8(bytes) {
        Ok(text) => What::Text(needle.fold(text)),
        Err(_) => What::Word(Class::Mixed),
    }
}

fn pool_digits(width: usize) -> Digits {
    Digits { width, low: 0, high: 10u64.saturating_pow(width as u32) - 1 }
}

fn run_digits(run: &Run) -> Digits {
    let (low, high) = run.bounds();
    Digits { width: run.width, low, high }
}

/// Which of a slot's words have a needle that lies in one word.
fn slot_says(words: &mut Words<'_>, slot: &Slot, needle: &Needle<'_>, count: usize) -> Result<Says> {
    match slot {
        Slot::Constant(word) => Ok(if needle.is_in_word(word) { Says::Yes } else { Says::No }),
        Slot::PoolText { first } => pool_says(words, slot, *first, needle, count),
        Slot::PoolDigits { width, .. } => digits_say(words, slot, pool_digits(*width), needle, count),
        Slot::Numbers(run) => digits_say(words, slot, run_digits(run), needle, count),
        Slot::Hex { .. } | Slot::Skeleton { .. } => {
            let mut places = Vec::new();
            put_places(slot, needle, &mut places);
            match needle.lies_in(places) {
                Verdict::No => Ok(Says::No),
                Verdict::Yes => Ok(Says::Yes),
                Verdict::Look => each_word(words, slot, needle, count),
            }
        }
    }
}

fn each_word(words: &mut Words<'_>, slot: &Slot, needle: &Needle<'_>, count: usize) -> Result<Says> {
    words.load(slot, 0, count)?;
    let mut word = Vec::new();
    Ok(Says::choose(count, |rank| {
        word.clear();
        words.push(slot, rank, &mut word);
        needle.is_in_word(&word)
    }))
}

fn digits_say(words: &mut Words<'_>, slot: &Slot, digits: Digits, needle: &Needle<'_>, count: usize) -> Result<Says> {
    let wanted = needle.text().as_bytes();
    if !wanted.iter().all(u8::is_ascii_digit) {
        return Ok(Says::No);
    }
    if !needle.is_whole_word() {
        let place = Place { what: What::Word(Class::Digits(digits)), opens: true, closes: true };
        let is_possible = needle.lies_in([place]) != Verdict::No;
        return if is_possible { each_word(words, slot, needle, count) } else { Ok(Says::No) };
    }
    let Some(wanted) = digits.find(wanted) else { return Ok(Says::No) };
    words.load(slot, 0, count)?;
    Ok(Says::choose(count, |rank| words.number(slot, rank) == Some(wanted)))
}

/// Looks through the text pool, where a slot's words lie in a row.
fn pool_says(words: &mut Words<'_>, slot: &Slot, first: usize, needle: &Needle<'_>, count: usize) -> Result<Says> {
    if needle.is_whole_word() && !needle.text().bytes().any(|byte| byte.is_ascii_digit()) {
        return Ok(Says::No);
    }
    words.load(slot, 0, count)?;
    let (starts, all) = words.pool(first, count);
    let base = starts.first().copied().unwrap_or(0);
    if !needle.is_bytes() {
        return Ok(Says::choose(count, |rank| {
            let (from, to) = (starts.get(rank).copied(), starts.get(rank + 1).copied());
            let (from, to) = (from.unwrap_or(base) - base, to.unwrap_or(base) - base);
            all.get(from as usize..to as usize).is_some_and(|word| needle.is_in_word(word))
        }));
    }
    let mut ranks: Vec<u32> = Vec::new();
    for at in memchr::memmem::find_iter(all, needle.text()) {
        let end = (at + needle.text().len()) as u32 + base;
        let rank = starts.partition_point(|start| *start <= at as u32 + base).saturating_sub(1);
        // One that goes over the end of its word lies in two; another may begin inside it.
        if starts.get(rank + 1).is_some_and(|word_end| end > *word_end) {
            return each_word(words, slot, needle, count);
        }
        if ranks.last() != Some(&(rank as u32)) {
            ranks.push(rank as u32);
        }
    }
    Ok(Says::of(ranks, count))
}
