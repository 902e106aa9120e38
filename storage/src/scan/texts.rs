//! The texts of a lane, put together from shapes and variables: all of them, or a few.
//!
//! Invariants
//! * Of a sealed lane only the slots of shapes that are wanted are read, and of those only from the first value to the last
//!   that is.
use super::part::{FEW, HotPart, SealedPart, WholeLane};
use crate::batch::LaneView;
use crate::codec::Reader;
use crate::error::Result;
use crate::segment::{BlockLane, Directory, Kind, Slot, SlotValues};
use crate::text::shape::{Shape, WHOLE};
use rustc_hash::FxHashMap;

/// Walks along wanted values while all are counted up.
struct Wanted<'a> {
    left: Option<std::iter::Peekable<std::iter::Copied<std::slice::Iter<'a, usize>>>>,
}

impl<'a> Wanted<'a> {
    fn new(wanted: Option<&'a [usize]>) -> Self {
        Self { left: wanted.map(|wanted| wanted.iter().copied().peekable()) }
    }

    /// Whether the next value, which is this one, is wanted.
    fn takes(&mut self, value: usize) -> bool {
        self.left.as_mut().is_none_or(|left| left.next_if_eq(&value).is_some())
    }

    fn is_done(&mut self) -> bool {
        self.left.as_mut().is_some_and(|left| left.peek().is_none())
    }
}

/// Calls `found` with the text of each value of a lane of a batch, or of those that are wanted.
pub(super) fn hot_texts(
    hot: &HotPart<'_>,
    lane: LaneView<'_>,
    wanted: Option<&[usize]>,
    found: &mut dyn FnMut(usize, &[u8]),
) {
    let mut text = Vec::new();
    hot_words(hot, lane, wanted, &mut |value, shape, words| {
        text.clear();
        hot.shapes.shape(shape).rebuild(words.iter().copied(), &mut text);
        found(value, &text);
    });
}

/// Takes a value, its shape and its variables.
type FoundWords<'f> = dyn FnMut(usize, u32, &[&[u8]]) + 'f;

/// The same, with the shape of each value and its variables.
pub(super) fn hot_words(hot: &HotPart<'_>, lane: LaneView<'_>, wanted: Option<&[usize]>, found: &mut FoundWords<'_>) {
    let mut wanted = Wanted::new(wanted);
    let (mut lengths, mut at) = (lane.lengths, 0usize);
    let mut words = Vec::new();
    for (value, local) in lane.shapes().enumerate() {
        if wanted.is_done() {
            return;
        }
        let slots = hot.batch.slots.get(usize::from(local)).copied().unwrap_or(1);
        if !wanted.takes(value) {
            (0..slots).for_each(|_| at += length(&mut lengths));
            continue;
        }
        words.clear();
        for _ in 0..slots {
            let len = length(&mut lengths);
            words.push(lane.variables.get(at..at + len).unwrap_or_default());
            at += len;
        }
        let number = hot.batch.shape_map.get(usize::from(local)).copied().unwrap_or(WHOLE);
        found(value, number, &words);
    }
}

/// Takes the next length, which was checked when the batch came; nearly all have one byte.
#[inline]
fn length(lengths: &mut &[u8]) -> usize {
    if let Some((len @ 0..0x80, rest)) = lengths.split_first() {
        *lengths = rest;
        return usize::from(*len);
    }
    let mut reader = Reader::new(lengths);
    let len = reader.varint().unwrap_or(0) as usize;
    *lengths = reader.rest();
    len
}

/// Calls `push` with each slot's number where it goes into the text.
pub(super) fn rebuild(shape: Shape<'_>, text: &mut Vec<u8>, mut push: impl FnMut(usize, &mut Vec<u8>)) {
    text.clear();
    for (i, piece) in shape.pieces().enumerate() {
        if let Some(slot) = i.checked_sub(1) {
            push(slot, text);
        }
        text.extend_from_slice(piece.as_bytes());
    }
}

/// A wanted value: its local shape, and how many values before it have the same.
struct Placed {
    value: usize,
    local: u32,
    rank: usize,
}

/// Calls `found` with the text of each value of a lane of a block, or of those that are wanted.
pub(super) fn sealed_texts(
    sealed: &SealedPart<'_>,
    number: usize,
    lane: &BlockLane,
    wanted: Option<&[usize]>,
    found: &mut dyn FnMut(usize, &[u8]),
) -> Result<()> {
    let list = sealed.list(lane)?;
    let directory = sealed.directory(number, lane)?;
    let whole = list.listed.iter().position(|shape| *shape == WHOLE).map(|local| local as u32);
    let placed = place(sealed, (number, lane), &directory, whole, wanted)?;
    let mut ranges = ranges(&placed, list.listed.len());
    let (source, keeper) = (sealed.source(Kind::Values), WholeLane { part: sealed, number });
    let mut words = sealed.block.words(lane, &directory, &source)?;
    // Of each shape: for each slot what was read in each range.
    let mut read: Vec<Option<Vec<Vec<SlotValues<'_>>>>> = list.listed.iter().map(|_| None).collect();
    let (mut whole, mut text) = (None, Vec::new());
    for Placed { value, local, rank } in placed {
        let shape = list.listed.get(local as usize).copied().unwrap_or(WHOLE);
        let Some(ranges) = ranges.get_mut(local as usize) else { continue };
        let moved = ranges.seek(rank);
        if shape == WHOLE {
            let (texts, is_new) = match &mut whole {
                Some(texts) => (texts, false),
                none => (none.insert(sealed.block.whole_texts(lane, directory.count(local), &source, &keeper)?), true),
            };
            if moved || is_new {
                let (from, to) = ranges.all.get(ranges.at).copied().unwrap_or_default();
                texts.load(from, to)?;
            }
            found(value, texts.get(rank));
            continue;
        }
        let Some(slots) = read.get_mut(local as usize) else { continue };
        let slots = match slots {
            Some(slots) => slots,
            none => {
                let of_shape = directory.slots(local);
                none.insert(of_shape.iter().map(|slot| words.load_each(slot, &ranges.all)).collect::<Result<_>>()?)
            }
        };
        rebuild(sealed.shapes.shape(shape), &mut text, |slot, text| {
            if let Some(values) = slots.get(slot).and_then(|read| read.get(ranges.at)) {
                values.push(rank, text);
            }
        });
        found(value, &text);
    }
    Ok(())
}

/// Values between two that are wanted up to which those are read as well.
const NEAR: usize = 64;

/// The wanted values of a shape as ranges of ranks, those together that are near each other.
#[derive(Clone, Default)]
struct Ranges {
    /// Ascending.
    all: Vec<(usize, usize)>,
    /// The one that the last rank was in.
    at: usize,
}

impl Ranges {
    fn put(&mut self, rank: usize) {
        match self.all.last_mut() {
            Some((_, to)) if rank < *to + NEAR => *to = rank.max(*to - 1) + 1,
            _ => self.all.push((rank, rank + 1)),
        }
    }

    /// Goes on to the range that a rank is in, which is none before the last one, and says whether that is another.
    fn seek(&mut self, rank: usize) -> bool {
        let before = self.at;
        while self.all.get(self.at).is_some_and(|(_, to)| *to <= rank) {
            self.at += 1;
        }
        self.at != before
    }
}

/// The ranges of each of so many shapes.
fn ranges(placed: &[Placed], shapes: usize) -> Vec<Ranges> {
    let mut ranges = vec![Ranges::default(); shapes];
    for Placed { local, rank, .. } in placed {
        if let Some(ranges) = ranges.get_mut(*local as usize) {
            ranges.put(*rank);
        }
    }
    ranges
}

/// Where the wanted values, or all, have their variables. Shape numbers are read only as far as they are needed.
fn place(
    sealed: &SealedPart<'_>,
    (number, lane): (usize, &BlockLane),
    directory: &Directory,
    whole: Option<u32>,
    wanted: Option<&[usize]>,
) -> Result<Vec<Placed>> {
    let all;
    let values = match wanted {
        Some(wanted) => wanted,
        None => {
            all = (0..lane.count).collect::<Vec<_>>();
            &all
        }
    };
    if directory.shapes() == 1 {
        return Ok(values.iter().map(|value| Placed { value: *value, local: 0, rank: *value }).collect());
    }
    if values.len() < FEW {
        let codes = sealed.few_codes(number, lane, values)?;
        let is_the_same = |slot: &Slot<'_>| matches!(slot, Slot::Constant(_));
        let needs_no_rank = |local: &u32| whole != Some(*local) && directory.slots(*local).iter().all(is_the_same);
        if codes.iter().all(needs_no_rank) {
            let placed = values.iter().zip(codes).map(|(value, local)| Placed { value: *value, local, rank: 0 });
            return Ok(placed.collect());
        }
    }
    let codes = sealed.codes(number, lane)?;
    let mut seen = vec![0usize; directory.shapes()];
    let (mut at, mut placed) = (0, Vec::with_capacity(values.len()));
    for value in values {
        for code in codes.get(at..*value).unwrap_or_default() {
            if let Some(seen) = seen.get_mut(*code as usize) {
                *seen += 1;
            }
        }
        at = *value;
        if let Some(local) = codes.get(*value).copied() {
            placed.push(Placed { value: *value, local, rank: seen.get(local as usize).copied().unwrap_or(0) });
        }
    }
    Ok(placed)
}

/// The texts of values of a lane whose texts have one number each at most, each once, and which of them each value is: of
/// the wanted values, or of all. Nothing where texts have more than that, or more than `most` are different.
pub(super) fn numbered_texts(
    sealed: &SealedPart<'_>,
    number: usize,
    lane: &BlockLane,
    wanted: Option<&[usize]>,
    most: usize,
) -> Result<Option<(Vec<String>, Vec<u32>)>> {
    let list = sealed.list(lane)?;
    let slots = sealed.shapes.slots();
    let has_one = |shape: &u32| *shape != WHOLE && slots.get(*shape as usize).is_some_and(|slots| *slots <= 1);
    if list.listed.len() > most || !list.listed.iter().all(has_one) {
        return Ok(None);
    }
    let directory = sealed.directory(number, lane)?;
    let mut slots: Vec<Option<Slot<'_>>> = vec![None; list.listed.len()];
    for (local, _, slot) in directory.walk() {
        if let Slot::Text(_) | Slot::PoolText { .. } | Slot::Hex { .. } | Slot::Skeleton { .. } = slot {
            return Ok(None);
        }
        if let Some(own) = slots.get_mut(local as usize) {
            *own = Some(slot);
        }
    }
    let placed = place(sealed, (number, lane), &directory, None, wanted)?;
    let source = sealed.source(Kind::Values);
    let mut words = sealed.block.words(lane, &directory, &source)?;
    let mut of_shapes = Vec::with_capacity(slots.len());
    for ((shape, slot), ranges) in list.listed.iter().zip(&slots).zip(ranges(&placed, slots.len())) {
        let read = slot.as_ref().map(|slot| words.load_each(slot, &ranges.all)).transpose()?.unwrap_or_default();
        of_shapes.push(Numbered { shape: *shape, known: Known::of(slot.as_ref()), ranges, read });
    }
    let (mut texts, mut text, mut places) = (Vec::new(), Vec::new(), Vec::with_capacity(placed.len()));
    for Placed { local, rank, .. } in placed {
        let Some(Numbered { shape, known, ranges, read }) = of_shapes.get_mut(local as usize) else { return Ok(None) };
        ranges.seek(rank);
        let values = read.get(ranges.at);
        let place = known.place(values.and_then(|values| values.number(rank, 0)).unwrap_or(0));
        if *place == u32::MAX {
            if texts.len() == most {
                return Ok(None);
            }
            rebuild(sealed.shapes.shape(*shape), &mut text, |_, text| {
                values.into_iter().for_each(|values| values.push(rank, text));
            });
            *place = texts.len() as u32;
            texts.push(String::from_utf8_lossy(&text).into_owned());
        }
        places.push(*place);
    }
    Ok(Some((texts, places)))
}

/// A shape with a number at most: which texts of it are known.
struct Numbered<'d> {
    shape: u32,
    known: Known,
    ranges: Ranges,
    /// What was read of its slot in each range.
    read: Vec<SlotValues<'d>>,
}

/// Numbers up to which each has a place of its own.
const TABLE_MAX: u64 = 1 << 14;

/// Where the text of each number is in a list; `u32::MAX` where it is not there yet.
struct Known {
    low: u64,
    table: Vec<u32>,
    others: FxHashMap<u64, u32>,
}

impl Known {
    fn of(slot: Option<&Slot<'_>>) -> Self {
        let (low, high) = match slot {
            Some(Slot::Numbers(run)) => run.bounds(),
            Some(Slot::PoolDigits { width, .. }) => (0, 10u64.saturating_pow(*width as u32) - 1),
            _ => (0, 0),
        };
        let table = if high - low < TABLE_MAX { vec![u32::MAX; (high - low) as usize + 1] } else { Vec::new() };
        Self { low, table, others: FxHashMap::default() }
    }

    fn place(&mut self, number: u64) -> &mut u32 {
        match self.table.get_mut(number.wrapping_sub(self.low) as usize) {
            Some(place) => place,
            None => self.others.entry(number).or_insert(u32::MAX),
        }
    }
}

/// Calls `found` with the text of each value of a lane that lists its texts, or of those that are wanted.
pub(super) fn listed_texts(
    sealed: &SealedPart<'_>,
    number: usize,
    lane: &BlockLane,
    wanted: Option<&[usize]>,
    found: &mut dyn FnMut(usize, &[u8]),
) -> Result<()> {
    let listed = sealed.block.listed(lane, &sealed.source(Kind::Values))?;
    let mut give = |value: usize, code: u32| {
        let text = listed.texts.get(code as usize);
        found(value, text.map_or(&[], |text| text));
    };
    if let Some(few) = wanted.filter(|wanted| wanted.len() < FEW) {
        let codes = sealed.few_codes(number, lane, few)?;
        few.iter().zip(codes).for_each(|(value, code)| give(*value, code));
        return Ok(());
    }
    let codes = sealed.codes(number, lane)?;
    match wanted {
        Some(wanted) => {
            wanted.iter().for_each(|value| give(*value, codes.get(*value).copied().unwrap_or(u32::MAX)));
        }
        None => (0..lane.count).zip(codes.iter()).for_each(|(value, code)| give(value, *code)),
    }
    Ok(())
}
