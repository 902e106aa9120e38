//! The slot directory of a text lane: what each slot of each shape is and where its values lie, read slot by slot.
//!
//! The directory is kept as its bytes; a mark every few shapes says where the values of the slots from there on begin, so
//! that one shape's slots are found without reading those of all others. Slots whose words have letters, which are few, are
//! listed: what has letters is looked for in them alone.
//!
//! Invariants
//! * A directory that was read is whole: walking along it ends with its last slot.
//! * Where a slot's values begin follows from the directory alone, by adding up.
use super::bits::packed_bytes;
use super::planes::Planes;
use super::slots::{
    CONSTANT, DIGITS, HEX, Letters, NUMBERS, PLANES, POOL_DIGITS, POOL_DIGITS_MAX, POOL_TEXT, RUNS_MAX, SKELETON, TEXT,
    digits_bits,
};
use crate::codec::Reader;
use crate::error::{Error, Result};
use crate::text::digits::NUMBER_DIGITS_MAX;

/// Shapes from one mark to the next.
const MARK_EACH: usize = 8;

/// A slot as its directory has it.
#[derive(Clone, Debug)]
pub(crate) enum Slot<'a> {
    /// The one word.
    Constant(&'a [u8]),
    /// Index of the first value in the pool of this many digits.
    PoolDigits { width: usize, first: usize },
    /// Index of the first value in the text pool.
    PoolText { letters: Letters, sizes: Sizes, first: usize },
    /// Texts on their own.
    Text(TextRun),
    /// Packed numbers.
    Numbers(Run<'a>),
    /// Packed nibbles.
    Hex { width: usize, at: usize },
    /// Words that differ in their digits only: the text around the runs of digits, and these.
    Skeleton { pieces: Vec<&'a [u8]>, runs: Vec<Run<'a>> },
}

/// Where the texts of a slot lie that stands alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TextRun {
    pub(crate) letters: Letters,
    pub(crate) sizes: Sizes,
    /// Bytes of each text; 0 where they differ.
    pub(super) width: usize,
    /// Where their lengths lie, where they differ.
    pub(super) lengths: (usize, usize),
    pub(super) bytes: (usize, usize),
    pub(super) count: usize,
}

/// Bytes of the shortest text of a slot and of the longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub(crate) shortest: usize,
    pub(crate) longest: usize,
}

/// Numbers of a slot that stands alone: where they lie in the packed bytes and what they are counted from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run<'a> {
    /// Digits of each number; 0 where there are no leading zeros.
    pub(crate) width: usize,
    pub(super) low: u64,
    pub(super) bits: u32,
    pub(super) at: usize,
    /// Where the numbers are coded in digit planes, and `low` and `bits` say nothing.
    pub(super) planes: Option<Planes<'a>>,
}

impl Run<'_> {
    /// What no number of the run is below or above.
    pub(crate) fn bounds(&self) -> (u64, u64) {
        if self.planes.is_some() {
            return (0, 10u64.saturating_pow(self.width as u32) - 1);
        }
        let most = if self.bits >= 64 { u64::MAX } else { (1 << self.bits) - 1 };
        (self.low, self.low.saturating_add(most))
    }

    /// Whether these digits can be one of the numbers, as far as the digits of each place say.
    pub(crate) fn allows(&self, digits: &[u8]) -> bool {
        self.planes.is_none_or(|planes| planes.allow(digits))
    }
}

/// Where the values of the next slot begin.
#[derive(Clone, Copy, Debug, Default)]
struct Cursor {
    digits: [usize; POOL_DIGITS_MAX],
    pooled: usize,
    lengths: usize,
    text: usize,
    packed: usize,
}

impl Cursor {
    /// The next slot, which has `count` values.
    fn read<'a>(&mut self, r: &mut Reader<'a>, count: usize) -> Result<Slot<'a>> {
        let class = r.u8()?;
        Ok(match class {
            1..=9 => {
                let width = usize::from(class - POOL_DIGITS);
                let first = self.digits.get_mut(width - 1).map_or(0, |at| std::mem::replace(at, *at + count));
                Slot::PoolDigits { width, first }
            }
            POOL_TEXT => {
                let (letters, sizes) = (read_letters(r)?, read_sizes(r)?);
                let first = self.pooled;
                self.pooled += count;
                Slot::PoolText { letters, sizes, first }
            }
            TEXT => Slot::Text(self.text(r, count)?),
            CONSTANT => Slot::Constant(r.bytes()?),
            NUMBERS => Slot::Numbers(self.run(r, count, 0)?),
            DIGITS => {
                let width = read_width(r)?;
                Slot::Numbers(self.run(r, count, width)?)
            }
            HEX => {
                let (width, at) = (read_width(r)?, self.packed);
                self.packed += packed_bytes(count * width, 4);
                Slot::Hex { width, at }
            }
            SKELETON => {
                let n = r.varint()? as usize;
                if n > RUNS_MAX {
                    return Err(damaged());
                }
                let pieces = (0..=n).map(|_| r.bytes()).collect::<Result<_>>()?;
                let mut runs = Vec::with_capacity(n);
                for _ in 0..n {
                    let width = read_width(r)?;
                    runs.push(self.run(r, count, width)?);
                }
                Slot::Skeleton { pieces, runs }
            }
            _ => return Err(damaged()),
        })
    }

    fn text(&mut self, r: &mut Reader<'_>, count: usize) -> Result<TextRun> {
        let (letters, sizes) = (read_letters(r)?, read_sizes(r)?);
        let width = if sizes.shortest == sizes.longest { sizes.shortest } else { 0 };
        let (lengths, bytes) = match width {
            0 => (read_size(r)?, read_size(r)?),
            _ => (0, count.checked_mul(width).ok_or_else(damaged)?),
        };
        let ends = (self.lengths.checked_add(lengths), self.text.checked_add(bytes));
        let (Some(lengths_end), Some(text_end)) = ends else { return Err(damaged()) };
        let run = TextRun {
            letters,
            sizes,
            width,
            lengths: (self.lengths, lengths_end),
            bytes: (self.text, text_end),
            count,
        };
        (self.lengths, self.text) = (lengths_end, text_end);
        Ok(run)
    }

    fn run<'a>(&mut self, r: &mut Reader<'a>, count: usize, width: usize) -> Result<Run<'a>> {
        let low = r.varint()?;
        let coding = r.u8()?;
        let at = self.packed;
        if width > NUMBER_DIGITS_MAX {
            return Err(damaged());
        }
        if coding == PLANES {
            let planes = Planes::read(r, width, count)?;
            self.packed += planes.len();
            return Ok(Run { width, low, bits: 0, at, planes: Some(planes) });
        }
        let bits = u32::from(coding);
        if bits > 64 {
            return Err(damaged());
        }
        self.packed += packed_bytes(count, bits);
        Ok(Run { width, low, bits, at, planes: None })
    }
}

fn read_width(r: &mut Reader<'_>) -> Result<usize> {
    let width = r.varint()? as usize;
    if width > 64 { Err(damaged()) } else { Ok(width) }
}

fn read_size(r: &mut Reader<'_>) -> Result<usize> {
    u32::try_from(r.varint()?).map(|size| size as usize).map_err(|_| damaged())
}

fn read_sizes(r: &mut Reader<'_>) -> Result<Sizes> {
    let shortest = read_size(r)?;
    let longest = shortest.checked_add(read_size(r)?).ok_or_else(damaged)?;
    Ok(Sizes { shortest, longest })
}

fn read_letters(r: &mut Reader<'_>) -> Result<Letters> {
    u32::try_from(r.varint()?).map(Letters::from_bits).map_err(|_| damaged())
}

fn damaged() -> Error {
    Error::corrupt("a slot's directory is damaged")
}

/// How much the values of all slots take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Values of the text pool.
    pub(crate) pooled: usize,
    /// Bytes of lengths and texts that stand alone, of packed numbers, and of each pool of digits.
    pub(crate) lengths: usize,
    pub(crate) text: usize,
    pub(crate) packed: usize,
    pub(crate) digits: [usize; POOL_DIGITS_MAX],
}

#[derive(Clone, Copy)]
struct Mark {
    at: usize,
    cursor: Cursor,
}

/// A slot some word of which has a letter.
#[derive(Clone, Copy)]
struct Lettered {
    local: u32,
    slot: u8,
    letters: Letters,
    /// Where it stands in the directory, and of the cursor what such slots need.
    at: u32,
    pooled: u32,
    lengths: u32,
    text: u32,
    packed: u32,
}

impl Lettered {
    /// Nothing where the words of a slot have no letters, or it is beyond what a number here can say.
    fn of((local, slot): (usize, u8), letters: Letters, at: usize, cursor: &Cursor) -> Result<Option<Self>> {
        if letters == Letters::default() {
            return Ok(None);
        }
        let small = |n: usize| u32::try_from(n).map_err(|_| damaged());
        Ok(Some(Self {
            local: small(local)?,
            slot,
            letters,
            at: small(at)?,
            pooled: small(cursor.pooled)?,
            lengths: small(cursor.lengths)?,
            text: small(cursor.text)?,
            packed: small(cursor.packed)?,
        }))
    }

    fn cursor(&self) -> Cursor {
        Cursor {
            digits: [0; POOL_DIGITS_MAX],
            pooled: self.pooled as usize,
            lengths: self.lengths as usize,
            text: self.text as usize,
            packed: self.packed as usize,
        }
    }
}

/// The slots of a lane in a block.
pub(crate) struct Directory {
    bytes: Vec<u8>,
    /// How many values each local shape has, and how many slots.
    shapes: Vec<(u32, u8)>,
    marks: Vec<Mark>,
    /// In order.
    lettered: Vec<Lettered>,
    pub(crate) totals: Totals,
}

impl Directory {
    /// Reads and checks a directory of shapes that have so many values and slots each.
    pub(crate) fn read(bytes: Vec<u8>, shapes: Vec<(u32, u8)>) -> Result<Self> {
        let (r, mut cursor) = (&mut Reader::new(&bytes), Cursor::default());
        let mut marks = Vec::with_capacity(shapes.len().div_ceil(MARK_EACH));
        let mut lettered = Vec::new();
        for (local, (count, slots)) in shapes.iter().enumerate() {
            if local % MARK_EACH == 0 {
                marks.push(Mark { at: bytes.len() - r.remaining(), cursor });
            }
            for slot in 0..*slots {
                let (at, before) = (bytes.len() - r.remaining(), cursor);
                let letters = match cursor.read(r, *count as usize)? {
                    Slot::Numbers(run) => check(&run).map(|()| Letters::default())?,
                    Slot::PoolDigits { .. } => Letters::default(),
                    Slot::Skeleton { runs, pieces } => {
                        runs.iter().try_for_each(check)?;
                        pieces.iter().fold(Letters::default(), |letters, piece| letters.and(Letters::of(piece)))
                    }
                    Slot::Constant(word) => Letters::of(word),
                    Slot::Hex { .. } => Letters::of(b"abcdef"),
                    Slot::PoolText { letters, .. } => letters,
                    Slot::Text(run) => run.letters,
                };
                lettered.extend(Lettered::of((local, slot), letters, at, &before)?);
            }
        }
        if r.remaining() != 0 {
            return Err(damaged());
        }
        lettered.shrink_to_fit();
        let mut digits = [0; POOL_DIGITS_MAX];
        for (i, (bytes, count)) in digits.iter_mut().zip(cursor.digits).enumerate() {
            *bytes = packed_bytes(count, digits_bits(i + 1));
        }
        let Cursor { pooled, lengths, text, packed, .. } = cursor;
        Ok(Self { bytes, shapes, marks, lettered, totals: Totals { pooled, lengths, text, packed, digits } })
    }

    /// How many shapes the lane has.
    pub(crate) fn shapes(&self) -> usize {
        self.shapes.len()
    }

    /// How many values a local shape has.
    pub(crate) fn count(&self, local: u32) -> usize {
        self.shapes.get(local as usize).map_or(0, |(count, _)| *count as usize)
    }

    /// The slots of a local shape.
    pub(crate) fn slots(&self, local: u32) -> Vec<Slot<'_>> {
        let walk = self.walk_from(local as usize / MARK_EACH);
        let mut slots = Vec::new();
        for (of, _, slot) in walk {
            match of.cmp(&local) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => slots.push(slot),
                std::cmp::Ordering::Greater => break,
            }
        }
        slots
    }

    /// All slots in order, each with its local shape and its place in that.
    pub(crate) fn walk(&self) -> Walk<'_> {
        self.walk_from(0)
    }

    /// The slots some words of which can have these letters, in order.
    pub(crate) fn with_letters(&self, wanted: Letters, any_case: bool) -> impl Iterator<Item = (u32, usize, Slot<'_>)> {
        let can = move |slot: &&Lettered| slot.letters.have(wanted, any_case);
        self.lettered.iter().filter(can).filter_map(|slot| {
            let r = &mut Reader::new(self.bytes.get(slot.at as usize..)?);
            // What was read whole before is read whole again.
            let read = slot.cursor().read(r, self.count(slot.local)).ok()?;
            Some((slot.local, usize::from(slot.slot), read))
        })
    }

    /// Whether some words of a slot can have these letters.
    pub(crate) fn can_have(&self, local: u32, slot: usize, wanted: Letters, any_case: bool) -> bool {
        if wanted == Letters::default() {
            return true;
        }
        let found = self.lettered.binary_search_by_key(&(local, slot), |own| (own.local, usize::from(own.slot)));
        found.ok().and_then(|at| self.lettered.get(at)).is_some_and(|own| own.letters.have(wanted, any_case))
    }

    fn walk_from(&self, number: usize) -> Walk<'_> {
        let (local, at, cursor) = match self.marks.get(number) {
            Some(mark) => (number * MARK_EACH, mark.at, mark.cursor),
            None => (self.shapes.len(), self.bytes.len(), Cursor::default()),
        };
        Walk { directory: self, r: Reader::new(self.bytes.get(at..).unwrap_or_default()), cursor, local, slot: 0 }
    }

    /// About the bytes that it takes in memory.
    pub(crate) fn memory(&self) -> usize {
        size_of::<Self>()
            + self.bytes.len()
            + self.shapes.len() * 8
            + self.marks.len() * size_of::<Mark>()
            + self.lettered.len() * size_of::<Lettered>()
    }
}

fn check(run: &Run<'_>) -> Result<()> {
    run.planes.map_or(Ok(()), |planes| planes.check())
}

/// Goes along the slots of a directory.
pub(crate) struct Walk<'a> {
    directory: &'a Directory,
    r: Reader<'a>,
    cursor: Cursor,
    local: usize,
    slot: u8,
}

impl<'a> Iterator for Walk<'a> {
    type Item = (u32, usize, Slot<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let (mut count, mut slots) = *self.directory.shapes.get(self.local)?;
        while self.slot == slots {
            self.slot = 0;
            self.local += 1;
            (count, slots) = *self.directory.shapes.get(self.local)?;
        }
        // What was read whole before is read whole again.
        let slot = self.cursor.read(&mut self.r, count as usize).ok()?;
        self.slot += 1;
        Some((self.local as u32, usize::from(self.slot) - 1, slot))
    }
}
