//! Looks at single variables of a lane, reading only the pages that hold them.
//!
//! Invariants
//! * What it gives is what decoding the whole lane would give.
//! * Of packed numbers, digits and hex a value's place is computed; of texts the lengths before it are added up.
use super::bits::Packed;
use super::directory::{Directory, Run, Slot, TextRun};
use super::pages::{Bytes, PageCache, Pages, Source, Stream};
use super::planes::{PlaneTables, Planes};
use super::slots::digits_bits;
use super::whole::{starts, starts_of};
use crate::error::{Error, Result};
use rustc_hash::FxHashMap;
use std::rc::Rc;
use std::sync::Arc;

/// Where the values of all slots of a lane lie.
#[derive(Clone, Debug)]
pub(crate) struct SlotStreams {
    pub(super) lengths: Stream,
    pub(super) text: Stream,
    pub(super) lone_lengths: Stream,
    pub(super) lone_text: Stream,
    pub(super) packed: Stream,
    /// Pools of digits by width minus one.
    pub(super) digits: Vec<(usize, Stream)>,
}

/// Hex digits that are compared in one step.
const HEX_AT_ONCE: usize = 14;

/// Where the lengths of a run of texts lie, and where its texts begin.
type LoneStarts = ((usize, usize), Arc<Vec<u32>>);

/// Variables of a lane, read as they are asked for.
pub(crate) struct Words<'a> {
    streams: &'a SlotStreams,
    pages: PageCache<'a>,
    pooled: usize,
    /// Where each text of the pool begins and the last one ends, once one was asked for.
    starts: Option<Arc<Vec<u32>>>,
    /// The same of the run of texts that was asked for last, and where its lengths lie.
    lone: Option<LoneStarts>,
    /// How the digits are decoded of the slot that is read in several ranges, by where they lie; and how many numbers of it
    /// are read in all.
    tables: Option<(FxHashMap<usize, Rc<PlaneTables>>, usize)>,
}

impl<'a> Words<'a> {
    /// Checks that the values that the directory speaks of are there.
    pub(super) fn new(
        streams: &'a SlotStreams,
        pages: &'a Pages,
        source: &'a dyn Source,
        directory: &Directory,
    ) -> Result<Self> {
        let totals = &directory.totals;
        let mut pools = [0; 9];
        for (i, stream) in &streams.digits {
            if let Some(len) = pools.get_mut(*i) {
                *len = stream.len;
            }
        }
        let lone = (streams.lone_lengths.len, streams.lone_text.len);
        if streams.packed.len != totals.packed || pools != totals.digits || lone != (totals.lengths, totals.text) {
            return Err(damaged());
        }
        let pages = PageCache::new(pages, source);
        Ok(Self { streams, pages, pooled: totals.pooled, starts: None, lone: None, tables: None })
    }

    /// Reads the values of a slot that lie in some ranges.
    pub(crate) fn load_each<'d>(&mut self, slot: &Slot<'d>, ranges: &[(usize, usize)]) -> Result<Vec<SlotValues<'d>>> {
        let all = ranges.iter().map(|(from, to)| to.saturating_sub(*from)).sum();
        self.tables = (ranges.len() > 1).then(|| (FxHashMap::default(), all));
        let loaded = ranges.iter().map(|(from, to)| self.load(slot, *from, *to)).collect();
        self.tables = None;
        loaded
    }

    /// From which to which of the values `from..to` of a slot there may be words of so many bytes, as far as their lengths
    /// are listed; nothing where there is none.
    pub(crate) fn of_length(
        &mut self,
        slot: &Slot<'_>,
        (from, to): (usize, usize),
        len: usize,
    ) -> Result<Option<(usize, usize)>> {
        let (starts, first) = match slot {
            Slot::PoolText { first, .. } => (self.pool_starts()?, *first),
            Slot::Text(run) if run.width == 0 => (self.lone_starts(run)?, 0),
            _ => return Ok(Some((from, to))),
        };
        let starts = starts.get(first + from..=first + to).ok_or_else(damaged)?;
        let is_so_long = |pair: &[u32]| matches!(pair, [start, end] if (end - start) as usize == len);
        let Some(start) = starts.windows(2).position(is_so_long) else { return Ok(None) };
        let end = starts.windows(2).rposition(is_so_long).map_or(to, |last| from + last + 1);
        Ok(Some((from + start, end)))
    }

    /// Reads the values `from..to` of a slot.
    pub(crate) fn load<'d>(&mut self, slot: &Slot<'d>, from: usize, to: usize) -> Result<SlotValues<'d>> {
        let values = match slot {
            Slot::Constant(word) => Values::Constant(word),
            Slot::PoolDigits { width, first } => {
                let pool = self.streams.digits.iter().find(|(i, _)| i + 1 == *width).ok_or_else(damaged)?.1;
                let (bits, range) = (digits_bits(*width), (first + from, first + to));
                Values::Numbers(self.packed(pool, 0, bits, range, 0, *width)?)
            }
            Slot::PoolText { first, .. } => {
                let list = self.pool_starts()?;
                let at = |i: usize| list.get(i).map_or(0, |at| *at as usize);
                let (start, end) = (at(first + from), at(first + to));
                let text = self.pages.bytes(self.streams.text, start, end)?;
                Values::Text { starts: Starts::Listed { list, first: first + from }, text }
            }
            Slot::Text(run) => self.lone_text(run, from, to)?,
            Slot::Numbers(run) => Values::Numbers(self.run(run, from, to)?),
            Slot::Hex { width, at } => {
                Values::Hex(self.packed(self.streams.packed, *at, 4, (from * width, to * width), 0, 1)?, *width)
            }
            Slot::Skeleton { pieces, runs } => {
                let runs = runs.iter().map(|run| self.run(run, from, to)).collect::<Result<_>>()?;
                Values::Skeleton { pieces: pieces.clone(), runs }
            }
        };
        Ok(SlotValues { from, values })
    }

    fn run(&mut self, run: &Run<'_>, from: usize, to: usize) -> Result<Numbers> {
        let packed = self.streams.packed;
        let Some(planes) = run.planes else {
            return self.packed(packed, run.at, run.bits, (from, to), run.low, run.width);
        };
        let codes = run.at + planes.marks_len();
        let marks = self.pages.bytes(packed, run.at, codes)?;
        let (at, first, end) = planes.place(&marks, from, to);
        let start = at / 8;
        let bytes = self.pages.bytes(packed, codes + start, codes + end.max(start))?;
        let (skip, n) = (from.saturating_sub(first), to.saturating_sub(from));
        let tables = match &mut self.tables {
            Some((known, all)) => {
                Rc::clone(known.entry(run.at).or_insert_with(|| Rc::new(PlaneTables::of(&planes, *all))))
            }
            None => Rc::new(PlaneTables::of(&planes, skip + n)),
        };
        let numbers = Planes::decode(&tables, &bytes, at % 8, skip, n);
        Ok(Numbers { width: run.width, low: 0, packed: Err(numbers) })
    }

    /// Numbers of `bits` bits, the first of all at byte `at` of a stream.
    fn packed(
        &mut self,
        stream: Stream,
        at: usize,
        bits: u32,
        (from, to): (usize, usize),
        low: u64,
        width: usize,
    ) -> Result<Numbers> {
        let (first, last) = (from * bits as usize, to * bits as usize);
        let bytes = self.pages.bytes(stream, at + first / 8, at + last.div_ceil(8).max(first / 8))?;
        Ok(Numbers { width, low, packed: Ok((bytes, bits, first % 8)) })
    }

    fn pool_starts(&mut self) -> Result<Arc<Vec<u32>>> {
        if let Some(starts) = &self.starts {
            return Ok(Arc::clone(starts));
        }
        let SlotStreams { lengths, text, .. } = *self.streams;
        let starts = Arc::new(starts(lengths, self.pooled, text, self.pages.pages(), self.pages.source())?);
        Ok(Arc::clone(self.starts.insert(starts)))
    }

    fn lone_text<'d>(&mut self, run: &TextRun, from: usize, to: usize) -> Result<Values<'d>> {
        let text = self.streams.lone_text;
        if run.width > 0 {
            let (start, end) = (run.bytes.0 + from * run.width, run.bytes.0 + to * run.width);
            return Ok(Values::Text { starts: Starts::Even(run.width), text: self.pages.bytes(text, start, end)? });
        }
        let list = self.lone_starts(run)?;
        let at = |i: usize| run.bytes.0 + list.get(i).map_or(0, |at| *at as usize);
        let text = self.pages.bytes(text, at(from), at(to))?;
        Ok(Values::Text { starts: Starts::Listed { list, first: from }, text })
    }

    fn lone_starts(&mut self, run: &TextRun) -> Result<Arc<Vec<u32>>> {
        if let Some((lengths, starts)) = &self.lone
            && *lengths == run.lengths
        {
            return Ok(Arc::clone(starts));
        }
        let lengths = self.pages.bytes(self.streams.lone_lengths, run.lengths.0, run.lengths.1)?;
        let starts = Arc::new(starts_of(&lengths, run.count, run.bytes.1 - run.bytes.0)?);
        self.lone = Some((run.lengths, Arc::clone(&starts)));
        Ok(starts)
    }
}

fn damaged() -> Error {
    Error::corrupt("a lane's slots are damaged")
}

/// Some values of a slot.
pub(crate) struct SlotValues<'d> {
    from: usize,
    values: Values<'d>,
}

enum Values<'d> {
    Constant(&'d [u8]),
    Numbers(Numbers),
    Text {
        starts: Starts,
        text: Bytes,
    },
    /// A number is a nibble here; so many make a word.
    Hex(Numbers, usize),
    Skeleton {
        pieces: Vec<&'d [u8]>,
        runs: Vec<Numbers>,
    },
}

/// Where texts begin, the first of them at 0 or wherever it says.
enum Starts {
    Even(usize),
    Listed { list: Arc<Vec<u32>>, first: usize },
}

impl Starts {
    fn range(&self, index: usize) -> (usize, usize) {
        match self {
            Self::Even(width) => (index * width, (index + 1) * width),
            Self::Listed { list, first } => {
                let at = |i: usize| list.get(first + i).map_or(0, |at| *at as usize);
                (at(index) - at(0).min(at(index)), at(index + 1) - at(0).min(at(index + 1)))
            }
        }
    }
}

/// Numbers of a slot: packed, with how many bits each and where the first begins, or decoded.
struct Numbers {
    width: usize,
    low: u64,
    packed: std::result::Result<(Bytes, u32, usize), Vec<u64>>,
}

impl Numbers {
    #[inline]
    fn get(&self, index: usize) -> u64 {
        match &self.packed {
            Ok((bytes, bits, start)) => self.low.wrapping_add(Packed::new(bytes, *bits).skip_bits(*start).get(index)),
            Err(numbers) => numbers.get(index).copied().unwrap_or(0),
        }
    }

    fn push(&self, index: usize, out: &mut Vec<u8>) {
        push_digits(self.get(index), self.width, out);
    }

    /// Calls `found` with the index of each of the first `count` numbers that is this one.
    fn find(&self, wanted: u64, count: usize, found: &mut dyn FnMut(usize)) {
        match &self.packed {
            Ok((bytes, bits, start)) => {
                let (packed, wanted) = (Packed::new(bytes, *bits).skip_bits(*start), wanted.wrapping_sub(self.low));
                packed.each(count, |i, number| {
                    if number == wanted {
                        found(i);
                    }
                });
            }
            Err(numbers) => {
                let numbers = numbers.iter().take(count).enumerate();
                numbers.filter(|(_, number)| **number == wanted).for_each(|(i, _)| found(i));
            }
        }
    }
}

impl SlotValues<'_> {
    /// Appends value `rank` of the slot, which was loaded.
    pub(crate) fn push(&self, rank: usize, out: &mut Vec<u8>) {
        let index = rank.saturating_sub(self.from);
        match &self.values {
            Values::Constant(word) => out.extend_from_slice(word),
            Values::Numbers(numbers) => numbers.push(index, out),
            Values::Text { starts, text } => {
                let (start, end) = starts.range(index);
                out.extend_from_slice(text.get(start..end).unwrap_or_default());
            }
            Values::Hex(nibbles, width) => {
                for i in 0..*width {
                    let nibble = nibbles.get(index * width + i) as u8;
                    out.push(if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 });
                }
            }
            Values::Skeleton { pieces, runs } => {
                for (i, piece) in pieces.iter().enumerate() {
                    out.extend_from_slice(piece);
                    if let Some(run) = runs.get(i) {
                        run.push(index, out);
                    }
                }
            }
        }
    }

    /// Number `run` of value `rank`: of a slot of digits there is one, of a skeleton as many as it has runs of digits.
    pub(crate) fn number(&self, rank: usize, run: usize) -> Option<u64> {
        let index = rank.checked_sub(self.from)?;
        match &self.values {
            Values::Numbers(numbers) if run == 0 => Some(numbers.get(index)),
            Values::Skeleton { runs, .. } => runs.get(run).map(|run| run.get(index)),
            _ => None,
        }
    }

    /// The ranks of the `count` values that were loaded whose first number is this one.
    pub(crate) fn find(&self, wanted: u64, count: usize) -> Vec<u32> {
        let mut ranks = Vec::new();
        let mut found = |index: usize| ranks.push((self.from + index) as u32);
        match &self.values {
            Values::Numbers(numbers) => numbers.find(wanted, count, &mut found),
            Values::Skeleton { runs, .. } => {
                if let Some(run) = runs.first() {
                    run.find(wanted, count, &mut found);
                }
            }
            _ => {}
        }
        ranks
    }

    /// The ranks of the `count` hex words that were loaded which are this one; nothing where words are kept in another form.
    pub(crate) fn find_hex(&self, word: &[u8], count: usize) -> Option<Vec<u32>> {
        let Values::Hex(Numbers { packed: Ok((bytes, bits, start)), .. }, width) = &self.values else { return None };
        let nibbles: Option<Vec<u64>> = word.iter().map(|byte| char::from(*byte).to_digit(16).map(u64::from)).collect();
        let Some(nibbles) = nibbles.filter(|nibbles| nibbles.len() == *width) else { return Some(Vec::new()) };
        let (head, tail) = nibbles.split_at(HEX_AT_ONCE.min(*width));
        let wanted = head.iter().rev().fold(0, |word, nibble| word << 4 | nibble);
        let is_it = |index: &usize| {
            let at = start + index * width * *bits as usize;
            Packed::new(bytes, 4 * head.len() as u32).skip_bits(at).get(0) == wanted
                && (head.len()..).zip(tail).all(|(i, nibble)| Packed::new(bytes, 4).skip_bits(at).get(i) == *nibble)
        };
        Some((0..count).filter(is_it).map(|index| (self.from + index) as u32).collect())
    }

    /// The texts that were loaded, in a row, where the slot's words are kept as text.
    pub(crate) fn texts(&self) -> Option<&[u8]> {
        match &self.values {
            Values::Text { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Where in [`Self::texts`] value `rank` lies.
    pub(crate) fn span(&self, rank: usize) -> (usize, usize) {
        match &self.values {
            Values::Text { starts, .. } => starts.range(rank.saturating_sub(self.from)),
            _ => (0, 0),
        }
    }

    /// The value that has byte `at` of [`Self::texts`], of `count` that were loaded.
    pub(crate) fn rank_at(&self, at: usize, count: usize) -> usize {
        let index = match &self.values {
            Values::Text { starts: Starts::Even(width), .. } => at / width,
            Values::Text { starts: Starts::Listed { list, first }, .. } => {
                let own = list.get(*first..first + count).unwrap_or_default();
                let at = at + own.first().map_or(0, |start| *start as usize);
                own.partition_point(|start| *start as usize <= at).saturating_sub(1)
            }
            _ => 0,
        };
        self.from + index
    }
}

/// Appends a number with at least `width` digits.
fn push_digits(value: u64, width: usize, out: &mut Vec<u8>) {
    let mut digits = [b'0'; 20];
    let mut at = digits.len();
    let mut rest = value;
    while rest > 0 || at == digits.len() {
        at -= 1;
        if let Some(digit) = digits.get_mut(at) {
            *digit = b'0' + (rest % 10) as u8;
        }
        rest /= 10;
    }
    let start = at.min(digits.len().saturating_sub(width));
    out.extend_from_slice(digits.get(start..).unwrap_or_default());
}

/// The variables of all slots of a lane.
pub(crate) struct Variables<'d> {
    slots: Vec<Vec<SlotValues<'d>>>,
}

impl<'d> Variables<'d> {
    /// Reads them all.
    pub(crate) fn read(words: &mut Words<'_>, directory: &'d Directory) -> Result<Self> {
        let mut slots: Vec<Vec<SlotValues<'d>>> = (0..directory.shapes()).map(|_| Vec::new()).collect();
        for (local, _, slot) in directory.walk() {
            let values = words.load(&slot, 0, directory.count(local))?;
            if let Some(slots) = slots.get_mut(local as usize) {
                slots.push(values);
            }
        }
        Ok(Self { slots })
    }

    /// Those of a local shape.
    pub(crate) fn slots(&self, local: u32) -> &[SlotValues<'d>] {
        self.slots.get(local as usize).map_or(&[], Vec::as_slice)
    }
}

/// Puts what a slot writer made into pages.
#[cfg(test)]
pub(super) fn put_for_tests(parts: &super::slots::SlotParts, pages: &mut super::pages::PageWriter) -> SlotStreams {
    use super::pages::Space;
    SlotStreams {
        lengths: pages.put(Space::Codes, &parts.lengths),
        text: pages.put(Space::Text, &parts.text),
        lone_lengths: pages.put(Space::Codes, &parts.lone_lengths),
        lone_text: pages.put(Space::Text, &parts.lone_text),
        packed: pages.put(Space::Dense, &parts.packed),
        digits: parts.digits.iter().map(|pool| pages.put(Space::Dense, pool)).enumerate().collect(),
    }
}
