//! A lane of shaped text in a block: which shape each value has, and the variables of each shape's slots.
//!
//! Which shapes there are stands among the block's numbers (`numbers.rs`). Head: `| counts | form of codes u8 | streams |`,
//! where the counts say how many values each of these shapes has, and the streams are, in order: local shape of each value,
//! slot directory, lengths and bytes of the text pool, lengths and bytes of texts that stand alone, packed numbers, and the
//! pools of digits that are named by a bit mask; then the head of whole texts.
//!
//! Invariants
//! * Nothing here is numbered by the segment: values have the places of their shapes in the list.
//! * The counts add up to the number of values: counts by shape read no column.
use super::directory::Directory;
use super::ints::{CodeForm, few_codes, put_codes, read_codes};
use super::look::SlotStreams;
use super::pages::{PageWriter, Pages, Source, Space, Stream};
use super::slots::SlotWriter;
use super::whole::{self, WholeHead};
use crate::codec::{Reader, put_varint};
use crate::error::{Error, Result};
use crate::text::shape::WHOLE;

/// Values of a lane on their way into a block: for each its segment shape and its variables.
#[derive(Default)]
pub(crate) struct Values<'a> {
    /// Shape numbers of the segment.
    pub(crate) shapes: Vec<u32>,
    /// Lengths and bytes of each value's variables; empty where no value has any.
    pub(crate) variables: Vec<(&'a [u8], &'a [u8])>,
}

/// Takes the next variable off a value's cursor.
#[inline]
pub(super) fn next<'a>(cursor: &mut (&'a [u8], &'a [u8])) -> &'a [u8] {
    let (len, rest) = match cursor.0.split_first() {
        Some((first, rest)) if *first < 0x80 => (usize::from(*first), rest),
        _ => {
            let mut r = Reader::new(cursor.0);
            (r.varint().unwrap_or(0) as usize, r.rest())
        }
    };
    cursor.0 = rest;
    let (word, rest) = cursor.1.split_at_checked(len).unwrap_or_default();
    cursor.1 = rest;
    word
}

/// Scratch space that outlives a lane.
#[derive(Default)]
pub(crate) struct Scratch {
    /// Segment shape to local shape.
    local_of: Vec<u32>,
    /// Lengths and bytes of all variables, those of one shape together.
    lengths: Vec<u8>,
    bytes: Vec<u8>,
    pub(super) spent: Spent,
}

/// What a block was put into that has been written: new space of some megabytes for each would be torn from the system
/// page by page.
#[derive(Default)]
pub(super) struct Spent {
    pub(super) block: Vec<u8>,
    pub(super) hashes: Vec<(u64, u32)>,
}

/// Appends a lane and gives the segment's shapes that it has. `slots_of` says how many slots each of the segment has.
pub(crate) fn put(
    values: &Values<'_>,
    slots_of: &[u8],
    scratch: &mut Scratch,
    pages: &mut PageWriter,
    head: &mut Vec<u8>,
) -> Vec<u32> {
    let Values { shapes, variables } = values;
    let (listed, codes) = number_locally(shapes, slots_of.len(), scratch);
    let mut counts = vec![0usize; listed.len()];
    for code in &codes {
        if let Some(count) = counts.get_mut(*code as usize) {
            *count += 1;
        }
    }
    let ends = by_shape(&codes, listed.len(), variables, &mut scratch.lengths, &mut scratch.bytes);
    let mut slots = SlotWriter::default();
    let mut whole = Vec::new();
    let (mut columns, mut start) = (Vec::new(), (0, 0));
    for ((shape, count), end) in listed.iter().zip(&counts).zip(ends) {
        let mut cursor = (
            scratch.lengths.get(start.0..end.0).unwrap_or_default(),
            scratch.bytes.get(start.1..end.1).unwrap_or_default(),
        );
        start = end;
        if *shape == WHOLE {
            whole = (0..*count).map(|_| next(&mut cursor)).collect();
            continue;
        }
        let n = usize::from(slots_of.get(*shape as usize).copied().unwrap_or(0));
        columns.resize_with(n.max(columns.len()), Vec::new);
        let columns: &mut [Vec<&[u8]>] = columns.get_mut(..n).unwrap_or_default();
        columns.iter_mut().for_each(Vec::clear);
        columns.iter_mut().for_each(|words| words.reserve(*count));
        for _ in 0..*count {
            columns.iter_mut().for_each(|words| words.push(next(&mut cursor)));
        }
        columns.iter().for_each(|words| slots.put(words));
    }
    let (form, _) = CodeForm::of(&counts);
    counts.iter().for_each(|count| put_varint(head, *count as u64));
    head.push(form as u8);
    put_codes(&codes, listed.len(), form, pages, head);
    let parts = slots.finish();
    for (space, bytes) in [
        (Space::Codes, parts.directory.as_slice()),
        (Space::Codes, &parts.lengths),
        (Space::Text, &parts.text),
        (Space::Codes, &parts.lone_lengths),
        (Space::Text, &parts.lone_text),
        (Space::Dense, &parts.packed),
    ] {
        pages.put(space, bytes).put(head);
    }
    let used = parts.digits.iter().enumerate().filter(|(_, pool)| !pool.is_empty());
    put_varint(head, used.clone().fold(0, |mask, (i, _)| mask | 1 << i));
    for (_, pool) in used {
        pages.put(Space::Dense, pool).put(head);
    }
    whole::put(&whole, pages, head);
    listed
}

/// The segment's shapes that occur, ascending, and each value's place among them.
fn number_locally(shapes: &[u32], total: usize, scratch: &mut Scratch) -> (Vec<u32>, Vec<u32>) {
    const UNSEEN: u32 = u32::MAX;
    let local_of = &mut scratch.local_of;
    local_of.resize(local_of.len().max(total), UNSEEN);
    let mut listed = Vec::new();
    for shape in shapes {
        if let Some(local) = local_of.get_mut(*shape as usize)
            && *local == UNSEEN
        {
            *local = 0;
            listed.push(*shape);
        }
    }
    listed.sort_unstable();
    for (local, shape) in listed.iter().enumerate() {
        if let Some(entry) = local_of.get_mut(*shape as usize) {
            *entry = local as u32;
        }
    }
    let codes = shapes.iter().map(|shape| local_of.get(*shape as usize).copied().unwrap_or(0)).collect();
    for shape in &listed {
        if let Some(entry) = local_of.get_mut(*shape as usize) {
            *entry = UNSEEN;
        }
    }
    (listed, codes)
}

/// Copies the variables of all values, those of one local shape together and in the order of its values, and says where
/// those of each shape end.
///
/// What the values borrow lies far apart; it is read once, in the order in which it lies, and from here on what is used
/// together is together.
fn by_shape(
    codes: &[u32],
    shapes: usize,
    variables: &[(&[u8], &[u8])],
    lengths: &mut Vec<u8>,
    bytes: &mut Vec<u8>,
) -> Vec<(usize, usize)> {
    let mut at = vec![(0, 0); shapes];
    for (code, (lengths, bytes)) in codes.iter().zip(variables) {
        if let Some(size) = at.get_mut(*code as usize) {
            *size = (size.0 + lengths.len(), size.1 + bytes.len());
        }
    }
    let mut end = (0, 0);
    for at in &mut at {
        let size = std::mem::replace(at, end);
        end = (end.0 + size.0, end.1 + size.1);
    }
    lengths.clear();
    lengths.resize(end.0, 0);
    bytes.clear();
    bytes.resize(end.1, 0);
    for (code, from) in codes.iter().zip(variables) {
        let Some(at) = at.get_mut(*code as usize) else { continue };
        let to = (at.0 + from.0.len(), at.1 + from.1.len());
        if let (Some(lengths), Some(bytes)) = (lengths.get_mut(at.0..to.0), bytes.get_mut(at.1..to.1)) {
            lengths.copy_from_slice(from.0);
            bytes.copy_from_slice(from.1);
        }
        *at = to;
    }
    at
}

/// How a lane is read, before any of it is.
pub(crate) struct TextHead {
    pub(super) shapes: Shapes,
    form: CodeForm,
    codes: Stream,
    directory: Stream,
    pub(super) slots: SlotStreams,
    pub(super) whole: WholeHead,
}

impl TextHead {
    /// Reads the head of a lane of `count` values that has these shapes.
    pub(crate) fn read(r: &mut Reader<'_>, listed: Vec<u32>, count: usize) -> Result<Self> {
        let counts =
            listed.iter().map(|_| u32::try_from(r.varint()?).map_err(|_| damaged())).collect::<Result<Vec<u32>>>()?;
        if counts.iter().map(|n| u64::from(*n)).sum::<u64>() != count as u64 {
            return Err(damaged());
        }
        let form = CodeForm::read(r)?;
        let codes = Stream::read(r)?;
        let directory = Stream::read(r)?;
        let lengths = Stream::read(r)?;
        let text = Stream::read(r)?;
        let lone_lengths = Stream::read(r)?;
        let lone_text = Stream::read(r)?;
        let packed = Stream::read(r)?;
        let mask = r.varint()?;
        let digits = (0..9).filter(|i| mask >> i & 1 == 1).map(|i| Ok((i, Stream::read(r)?))).collect::<Result<_>>()?;
        let shapes = Shapes { listed, counts };
        let whole = WholeHead::read(r)?;
        let slots = SlotStreams { lengths, text, lone_lengths, lone_text, packed, digits };
        Ok(Self { shapes, form, codes, directory, slots, whole })
    }

    /// The local shape of each value.
    pub(crate) fn codes(&self, count: usize, pages: &Pages, source: &dyn Source) -> Result<Vec<u32>> {
        read_codes(count, self.shapes.listed.len(), self.form, self.codes, pages, source)
    }

    /// Whether some of these can be read without all others.
    pub(crate) fn has_codes_apart(&self) -> bool {
        self.form != CodeForm::Varints
    }

    /// The local shapes of some values.
    pub(crate) fn few_codes(
        &self,
        count: usize,
        wanted: &[usize],
        pages: &Pages,
        source: &dyn Source,
    ) -> Result<Vec<u32>> {
        few_codes(count, self.shapes.listed.len(), self.form, self.codes, wanted, pages, source)
    }

    /// The slots of all shapes.
    pub(crate) fn directory(&self, slots_of: &[u8], pages: &Pages, source: &dyn Source) -> Result<Directory> {
        let slots = |shape: &u32| match *shape {
            WHOLE => 0,
            shape => slots_of.get(shape as usize).copied().unwrap_or(0),
        };
        let Shapes { listed, counts } = &self.shapes;
        let of_shapes = listed.iter().zip(counts).map(|(shape, count)| (*count, slots(shape))).collect();
        Directory::read(pages.stream(source, self.directory)?, of_shapes)
    }
}

/// Which shapes occur in a lane, and how often.
pub(crate) struct Shapes {
    /// The segment's numbers, the whole text first, the others in no order.
    pub(crate) listed: Vec<u32>,
    /// How many values each has.
    pub(crate) counts: Vec<u32>,
}

impl Shapes {
    /// How many texts are kept whole.
    pub(crate) fn whole(&self) -> usize {
        match (self.listed.first(), self.counts.first()) {
            (Some(&WHOLE), Some(count)) => *count as usize,
            _ => 0,
        }
    }

    /// About the bytes that it takes in memory.
    pub(crate) fn memory(&self) -> usize {
        size_of::<Self>() + self.listed.len() * 8
    }
}

fn damaged() -> Error {
    Error::corrupt("a text lane is damaged")
}
