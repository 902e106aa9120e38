//! Settles what a shape alone cannot say about a test, for one lane of one sealed block, by looking at variables.
//!
//! Which words would have to lie in which slots follows from the shape (`align.rs`). Each is first asked about what its slot
//! can hold, then compared with the slot's values (`word.rs`), what is found most quickly first and all others among the
//! values that are left. Whole texts are asked for group by group.
//!
//! Invariants
//! * A value passes exactly where its rebuilt text does.
use super::align::Hold;
use super::answer::Answer;
use super::filter::{Test, Verdict};
use super::needle::Needle;
use super::part::{SealedPart, WholeLane};
use super::texts::rebuild;
use super::word::Wanted;
use crate::error::Result;
use crate::segment::{BlockLane, Directory, Kind, Letters, Slot, Sought, WholeTexts, Words, add, group_texts};
use crate::text::shape::{Shape, WHOLE};
use std::sync::Arc;

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

    /// These ranks, of `count`.
    pub(super) fn of(ranks: Vec<u32>, count: usize) -> Self {
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

/// Where at least one shape of so many is looked at, the directory is gone along from its start to its end.
const WALK_SHARE: usize = 16;

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
    let shape_of = |local: u32| list.listed.get(local as usize).copied().unwrap_or(WHOLE);
    if let Some(at) = looks.iter().position(|local| shape_of(*local) == WHOLE) {
        let local = looks.remove(at);
        let count = list.counts.get(local as usize).map_or(0, |count| *count as usize);
        if let Some(says) = says.get_mut(local as usize) {
            *says = whole_texts(part, number, lane, test, answer, count)?;
        }
    }
    if looks.is_empty() {
        return Ok((says, list.counts.clone()));
    }
    let source = part.source(Kind::Values);
    let directory = part.directory(number, lane)?;
    let words = part.block.words(lane, &directory, &source)?;
    let mut looker = Looker { test, needle: test.needle(), directory: Arc::clone(&directory), words, part };
    match looker.needle {
        Some(needle) if needle.is_in_one_word() => looker.one_word(&needle, &looks, &mut says)?,
        _ => {
            let mut wanted = Vec::new();
            looks.retain(|local| answer.ways(shape_of(*local)).is_none_or(|ways| looker.may_lie(*local, ways)));
            looker.each(&looks, |looker, local, slots| {
                let shape = shape_of(local);
                let settled = looker.shape(local, shape, slots, answer, &mut wanted)?;
                if let Some(says) = says.get_mut(local as usize) {
                    *says = settled;
                }
                Ok(())
            })?;
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
    let (source, keeper) = (part.source(Kind::Values), WholeLane { part, number });
    let mut texts = part.block.whole_texts(lane, count, &source, &keeper)?;
    let mut ranks = Vec::new();
    let ranges = match groups {
        Some(groups) => groups.iter().map(|g| (g * each, count.min((g + 1) * each))).collect(),
        None => vec![(0, count)],
    };
    let words: Vec<Needle<'_>> = test.words().into_iter().take(8).collect();
    let has = |word: &str| words.iter().rev().fold(0, |bits, needle| bits << 1 | u8::from(needle.is_in(word)));
    let may = |letters: Letters| {
        let may = |needle: &Needle<'_>| letters.have(Letters::of(needle.text().as_bytes()), needle.any_case());
        words.iter().rev().fold(0, |bits, needle| bits << 1 | u8::from(may(needle)))
    };
    let literals = words.iter().map(|needle| (!needle.any_case()).then(|| needle.text())).collect();
    let all = words.iter().fold(0u8, |bits, _| bits << 1 | 1);
    let wanted = Sought { all, has: &has, may: &may, literals };
    let sieve = if words.is_empty() { None } else { texts.sieve(&wanted)? };
    // A text that has a word with the whole needle in it needs no other look.
    let is_all = test.needle().is_some_and(|needle| needle.is_in_one_word());
    for (from, to) in ranges {
        if let Some(sieve) = &sieve {
            for rank in texts.sift(sieve, &wanted, (from, to))? {
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
    needle: Option<Needle<'a>>,
    directory: Arc<Directory>,
    words: Words<'a>,
    part: &'a SealedPart<'a>,
}

impl<'a> Looker<'a> {
    /// Looks for a part of a word in all slots of some shapes, which ascend. No piece has it, or the shape had said so.
    fn one_word(&mut self, needle: &Needle<'_>, looks: &[u32], says: &mut [Says]) -> Result<()> {
        let wanted = Wanted::of(needle);
        let mut looks = looks.iter().copied().peekable();
        let (directory, (letters, any_case)) = (Arc::clone(&self.directory), wanted.letters());
        let all: Box<dyn Iterator<Item = (u32, usize, Slot<'_>)>> = match letters == Letters::default() {
            true => Box::new(directory.walk()),
            false => Box::new(directory.with_letters(letters, any_case)),
        };
        for (local, _, slot) in all {
            while looks.next_if(|look| *look < local).is_some() {}
            if looks.peek() != Some(&local) || wanted.verdict(&slot) == Verdict::No {
                continue;
            }
            let count = directory.count(local);
            let Some(says) = says.get_mut(local as usize).filter(|says| **says != Says::Yes) else { continue };
            let found = wanted.says(&mut self.words, &slot, count, None)?;
            *says = std::mem::replace(says, Says::No).or(found, count);
        }
        Ok(())
    }

    /// Calls `look` with each of some shapes, which ascend, and its slots.
    fn each(&mut self, looks: &[u32], mut look: impl FnMut(&mut Self, u32, &[Slot<'_>]) -> Result<()>) -> Result<()> {
        let directory = Arc::clone(&self.directory);
        if looks.len() < directory.shapes() / WALK_SHARE {
            return looks.iter().try_for_each(|local| look(self, *local, &directory.slots(*local)));
        }
        let (mut walk, mut slots) = (directory.walk().peekable(), Vec::new());
        for local in looks {
            while walk.next_if(|(of, ..)| of < local).is_some() {}
            slots.clear();
            slots.extend(std::iter::from_fn(|| walk.next_if(|(of, ..)| of == local)).map(|(.., slot)| slot));
            look(self, *local, &slots)?;
        }
        Ok(())
    }

    /// Whether slots can have the letters that one of the ways puts into them.
    fn may_lie(&self, local: u32, ways: &[Vec<Hold>]) -> bool {
        let Some(needle) = self.needle else { return true };
        ways.iter().any(|way| {
            way.iter().all(|hold| {
                let text = needle.text().get(hold.from..hold.to).unwrap_or_default();
                let letters = Letters::of(text.as_bytes());
                self.directory.can_have(local, hold.slot, letters, needle.any_case())
            })
        })
    }

    /// What a shape says, by its slots. What its words are is put into `wanted`, for the next shape.
    fn shape(
        &mut self,
        local: u32,
        shape: u32,
        slots: &[Slot<'_>],
        answer: &Answer,
        wanted: &mut Vec<(Hold, Wanted<'a>)>,
    ) -> Result<Says> {
        let count = self.directory.count(local);
        if let Test::Exact(exact) = self.test {
            let words: Vec<Wanted<'_>> =
                exact.words().iter().map(|word| Wanted::new(word, true, true, false)).collect();
            return self.all(slots.iter().zip(&words).collect(), count);
        }
        let (Some(needle), Some(ways)) = (self.needle, answer.ways(shape)) else {
            return self.rebuild(self.part.shapes.shape(shape), slots, count);
        };
        let mut says = Says::No;
        for way in ways {
            for hold in way {
                // In which slot it is makes no other word of it.
                let hold = Hold { slot: 0, ..*hold };
                if !wanted.iter().any(|(known, _)| *known == hold) {
                    let text = needle.text().get(hold.from..hold.to).unwrap_or_default();
                    wanted.push((hold, Wanted::new(text, hold.starts, hold.ends, needle.any_case())));
                }
            }
            let of = |hold: &Hold| {
                let (_, wanted) = wanted.iter().find(|(known, _)| *known == Hold { slot: 0, ..*hold })?;
                Some((slots.get(hold.slot)?, wanted))
            };
            let found = self.all(way.iter().filter_map(of).collect(), count)?;
            says = says.or(found, count);
            if says == Says::Yes {
                break;
            }
        }
        Ok(says)
    }

    /// Which values have in each of these slots what is wanted there.
    fn all(&mut self, mut wanted: Vec<(&Slot<'_>, &Wanted<'_>)>, count: usize) -> Result<Says> {
        if wanted.iter().any(|(slot, wanted)| wanted.verdict(slot) == Verdict::No) {
            return Ok(Says::No);
        }
        wanted.sort_by_key(|(slot, wanted)| wanted.effort(slot));
        let mut says = Says::Yes;
        for (slot, wanted) in wanted {
            let among = match &says {
                Says::No => return Ok(Says::No),
                Says::Yes => None,
                Says::Some(ranks) => Some(ranks.as_slice()),
            };
            says = wanted.says(&mut self.words, slot, count, among)?;
        }
        Ok(says)
    }

    /// Asks each text of a shape.
    fn rebuild(&mut self, shape: Shape<'_>, slots: &[Slot<'_>], count: usize) -> Result<Says> {
        let values = slots.iter().map(|slot| self.words.load(slot, 0, count)).collect::<Result<Vec<_>>>()?;
        add(&self.part.counters.texts_rebuilt, count as u64);
        let mut text = Vec::new();
        Ok(Says::choose(count, |rank| {
            rebuild(shape, &mut text, |slot, text| {
                if let Some(values) = values.get(slot) {
                    values.push(rank, text);
                }
            });
            std::str::from_utf8(&text).is_ok_and(|text| self.test.matches(text))
        }))
    }
}
