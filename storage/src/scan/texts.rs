//! The texts of a lane, put together from shapes and variables: all of them, or a few.
//!
//! Invariants
//! * Of a sealed lane only the slots of shapes that are wanted are read, and of those only from the first value to the last
//!   that is.
use super::part::{FEW, HotPart, SealedPart};
use crate::batch::LaneView;
use crate::codec::Reader;
use crate::error::Result;
use crate::segment::{BlockLane, Directory, Kind, Slot, SlotValues};
use crate::text::shape::{Shape, WHOLE};

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
    let mut wanted = Wanted::new(wanted);
    let mut lengths = Reader::new(lane.lengths);
    let mut variables = Reader::new(lane.variables);
    let (mut words, mut text) = (Vec::new(), Vec::new());
    for (value, local) in lane.shapes().enumerate() {
        if wanted.is_done() {
            return;
        }
        let number = hot.batch.shape_map.get(usize::from(local)).copied().unwrap_or(WHOLE);
        let slots = hot.shapes.slots().get(number as usize).copied().unwrap_or(0);
        words.clear();
        for _ in 0..slots {
            let len = lengths.varint().unwrap_or(0) as usize;
            words.push(variables.take(len).unwrap_or_default());
        }
        if wanted.takes(value) {
            text.clear();
            hot.shapes.shape(number).rebuild(words.iter().copied(), &mut text);
            found(value, &text);
        }
    }
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
    let placed = place(sealed, lane, &directory, whole, wanted)?;
    // The first and the last wanted value of each shape.
    let mut ranges = vec![(usize::MAX, 0); list.listed.len()];
    for Placed { local, rank, .. } in &placed {
        if let Some(range) = ranges.get_mut(*local as usize) {
            *range = (range.0.min(*rank), range.1.max(*rank + 1));
        }
    }
    let source = sealed.source(Kind::Values);
    let mut words = sealed.block.words(lane, &directory, &source)?;
    let mut read: Vec<Option<Vec<SlotValues<'_>>>> = list.listed.iter().map(|_| None).collect();
    let (mut whole, mut text) = (None, Vec::new());
    for Placed { value, local, rank } in placed {
        let shape = list.listed.get(local as usize).copied().unwrap_or(WHOLE);
        let (from, to) = ranges.get(local as usize).copied().unwrap_or_default();
        if shape == WHOLE {
            let texts = match &mut whole {
                Some(texts) => texts,
                none => {
                    let texts = none.insert(sealed.block.whole_texts(lane, directory.count(local), &source)?);
                    texts.load(from, to)?;
                    texts
                }
            };
            found(value, texts.get(rank));
            continue;
        }
        let Some(slots) = read.get_mut(local as usize) else { continue };
        let slots = match slots {
            Some(slots) => slots,
            none => {
                let of_shape = directory.slots(local);
                none.insert(of_shape.iter().map(|slot| words.load(slot, from, to)).collect::<Result<_>>()?)
            }
        };
        rebuild(sealed.shapes.shape(shape), &mut text, |slot, text| {
            if let Some(slot) = slots.get(slot) {
                slot.push(rank, text);
            }
        });
        found(value, &text);
    }
    Ok(())
}

/// Where the wanted values, or all, have their variables. Shape numbers are read only as far as they are needed.
fn place(
    sealed: &SealedPart<'_>,
    lane: &BlockLane,
    directory: &Directory,
    whole: Option<u32>,
    wanted: Option<&[usize]>,
) -> Result<Vec<Placed>> {
    let source = sealed.source(Kind::Codes);
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
        let codes = sealed.block.few_codes(lane, values, &source)?;
        let is_the_same = |slot: &Slot<'_>| matches!(slot, Slot::Constant(_));
        let needs_no_rank = |local: &u32| whole != Some(*local) && directory.slots(*local).iter().all(is_the_same);
        if codes.iter().all(needs_no_rank) {
            let placed = values.iter().zip(codes).map(|(value, local)| Placed { value: *value, local, rank: 0 });
            return Ok(placed.collect());
        }
    }
    let codes = sealed.block.codes(lane, &source)?;
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

/// Calls `found` with the text of each value of a lane that lists its texts, or of those that are wanted.
pub(super) fn listed_texts(
    sealed: &SealedPart<'_>,
    lane: &BlockLane,
    wanted: Option<&[usize]>,
    found: &mut dyn FnMut(usize, &[u8]),
) -> Result<()> {
    let listed = sealed.block.listed(lane, &sealed.source(Kind::Values))?;
    let mut give = |value: usize, code: u32| {
        let text = listed.texts.get(code as usize);
        found(value, text.map_or(&[], |text| text));
    };
    let source = sealed.source(Kind::Codes);
    if let Some(few) = wanted.filter(|wanted| wanted.len() < FEW) {
        let codes = sealed.block.few_codes(lane, few, &source)?;
        few.iter().zip(codes).for_each(|(value, code)| give(*value, code));
        return Ok(());
    }
    let codes = sealed.block.codes(lane, &source)?;
    match wanted {
        Some(wanted) => {
            wanted.iter().for_each(|value| give(*value, codes.get(*value).copied().unwrap_or(u32::MAX)));
        }
        None => (0..lane.count).zip(codes).for_each(|(value, code)| give(value, code)),
    }
    Ok(())
}
