//! Looks at single variables of a lane, reading only the pages that hold them.
//!
//! Invariants
//! * What it gives is what decoding the whole lane would give.
//! * The directory, and the lengths of a pool that is asked for, are read as a whole: places follow from adding up.
use super::pages::{Pages, Partial, Source};
use super::slots::{Slot, SlotData};
use super::text_lane::TextHead;
use super::whole::starts;
use crate::error::Result;

/// The slots of a lane in a block.
pub(crate) struct Directory {
    pub(super) slots: Vec<Slot>,
    /// For each local shape the index of its first slot, and one more for the end.
    pub(super) first_slot: Vec<u32>,
    /// Values of the text pool.
    pub(super) texts: usize,
    /// Texts that are kept whole.
    pub(super) whole: usize,
}

impl Directory {
    /// The slots of a local shape.
    pub(crate) fn slots(&self, local: u32) -> &[Slot] {
        let start = self.first_slot.get(local as usize).map_or(0, |at| *at as usize);
        let end = self.first_slot.get(local as usize + 1).map_or(0, |at| *at as usize);
        self.slots.get(start..end).unwrap_or_default()
    }
}

/// A partial stream whose bytes lie with the slots' data.
fn fill(
    pages: &Pages,
    source: &dyn Source,
    partial: &mut Partial,
    into: &mut Vec<u8>,
    range: (usize, usize),
) -> Result<()> {
    std::mem::swap(&mut partial.bytes, into);
    let filled = pages.fill(source, partial, range.0, range.1);
    std::mem::swap(&mut partial.bytes, into);
    filled
}

/// Variables of a lane, read as they are asked for.
pub(crate) struct Words<'a> {
    head: &'a TextHead,
    pages: &'a Pages,
    source: &'a dyn Source,
    texts: usize,
    data: SlotData,
    digits: Vec<Option<Partial>>,
    packed: Partial,
    text: Partial,
}

impl<'a> Words<'a> {
    pub(super) fn new(
        head: &'a TextHead,
        pages: &'a Pages,
        source: &'a dyn Source,
        directory: &Directory,
    ) -> Result<Self> {
        let mut digits: Vec<Option<Partial>> = (0..9).map(|_| None).collect();
        for (i, stream) in &head.digits {
            if let Some(slot) = digits.get_mut(*i) {
                *slot = Some(pages.partial(*stream)?);
            }
        }
        Ok(Self {
            head,
            pages,
            source,
            texts: directory.texts,
            data: SlotData::default(),
            digits,
            packed: pages.partial(head.packed)?,
            text: pages.partial(head.text)?,
        })
    }

    /// Reads the values `from..to` of a slot.
    pub(crate) fn load(&mut self, slot: &Slot, from: usize, to: usize) -> Result<()> {
        match slot {
            Slot::Constant(_) => Ok(()),
            Slot::PoolDigits { width, first } => {
                let (Some(Some(partial)), Some(into)) =
                    (self.digits.get_mut(width - 1), self.data.digits.get_mut(width - 1))
                else {
                    return Ok(());
                };
                let bits = super::slots::digits_bits(*width);
                fill(self.pages, self.source, partial, into, bit_range(0, bits, first + from, first + to))
            }
            Slot::PoolText { first } => {
                self.load_starts()?;
                let at = |i: usize| self.data.text_starts.get(i).map_or(0, |at| *at as usize);
                let range = (at(first + from), at(first + to));
                fill(self.pages, self.source, &mut self.text, &mut self.data.text, range)
            }
            Slot::Numbers(run) => self.load_packed(run_range(run, from, to)),
            Slot::Hex { width, at } => self.load_packed(bit_range(*at, 4, from * width, to * width)),
            Slot::Skeleton { runs, .. } => runs.iter().try_for_each(|run| self.load_packed(run_range(run, from, to))),
        }
    }

    fn load_packed(&mut self, range: (usize, usize)) -> Result<()> {
        fill(self.pages, self.source, &mut self.packed, &mut self.data.packed, range)
    }

    fn load_starts(&mut self) -> Result<()> {
        if self.data.text_starts.is_empty() {
            let (lengths, text) = (self.head.lengths, self.head.text);
            self.data.text_starts = starts(lengths, self.texts, text, self.pages, self.source)?;
        }
        Ok(())
    }

    /// Appends value `index` of a slot that was loaded.
    pub(crate) fn push(&self, slot: &Slot, index: usize, out: &mut Vec<u8>) {
        self.data.push(slot, index, out);
    }

    /// Value `index` of a slot of numbers that was loaded.
    pub(crate) fn number(&self, slot: &Slot, index: usize) -> Option<u64> {
        self.data.number(slot, index)
    }

    /// The texts of a slot in the text pool that was loaded: where each of `count` begins and the last ends, and all of
    /// them in a row from the first such place on.
    pub(crate) fn pool(&self, first: usize, count: usize) -> (&[u32], &[u8]) {
        let starts = self.data.text_starts.get(first..=first + count).unwrap_or_default();
        let (from, to) = (starts.first().map_or(0, |at| *at as usize), starts.last().map_or(0, |at| *at as usize));
        (starts, self.data.text.get(from..to).unwrap_or_default())
    }
}

/// The bytes that numbers `from..to` of a run need.
fn run_range(run: &super::slots::Run, from: usize, to: usize) -> (usize, usize) {
    run.coded_bytes().map_or_else(|| bit_range(run.at, run.bits, from, to), |len| (run.at, run.at + len))
}

/// The bytes that hold numbers `from..to` of `bits` bits each, which begin at byte `at`.
fn bit_range(at: usize, bits: u32, from: usize, to: usize) -> (usize, usize) {
    let bits = bits as usize;
    if from >= to { (0, 0) } else { (at + from * bits / 8, at + (to * bits).div_ceil(8)) }
}
