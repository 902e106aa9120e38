//! A batch: rows as columns, texts as shapes. The WAL holds its bytes, hot searches read them, sealing regroups them.
//!
//! Two parts. `columns` is `| version u8 | rows | streams | stream of each row | times | fields | shapes | lanes |` and
//! then each lane's sections; a text lane has `| shape u16 of each value | lengths | bytes |` of its variables, any other
//! lane its values in fixed width. Integers and times are counted from the smallest, in as few bytes as the largest needs. `shapes` is the key of each shape that the batch uses, so that a batch stands alone;
//! once a generation has taken them over, they are dropped from memory.
//!
//! Invariants
//! * [`Batch::parse`] checks every length, index and count: after it, views of a batch cannot run out of bytes. What it
//!   does and allocates is within a small multiple of the bytes that it is given.
//! * A batch has no more values than its rows can have fields.
//! * Local shape 0 is [`shape::WHOLE`](crate::text::shape::WHOLE) and is not listed.
mod absorb;
mod builder;
mod columns;
mod fit;
mod head;
mod lane;
mod numbers;
mod recent;
#[cfg(test)]
mod tests;
mod window;

pub use builder::BatchBuilder;
pub(crate) use columns::{Column, Columns};
pub use lane::{LaneKind, canonical_int, hex_or_uuid, push_int};

use crate::codec::Reader;
use crate::error::{Error, Result};
use crate::limits::BATCH_ROWS_MAX;
use crate::record::FieldPath;
use crate::text::shape::Shape;
use head::{read_fields, read_lane_heads, read_streams, read_times};
use numbers::Numbers;
use std::ops::Range;

const VERSION: u8 = 1;
/// A row's time where none was sent: its arrival stands for it.
pub(crate) const TIME_ABSENT: i64 = i64::MIN;

/// What keeps rows together in blocks, and what stream filters look at.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Stream {
    /// The service whose configuration applies.
    pub service: Box<str>,
    /// Names and values of the stream's fields, as LogsQL shows them.
    pub tags: Box<str>,
}

/// Rows of one append.
#[derive(Clone, Debug)]
pub struct Batch {
    columns: Box<[u8]>,
    shapes: Box<[u8]>,
    rows: usize,
    streams: Vec<Stream>,
    stream_of_row: (u8, Range<usize>),
    times: Times,
    fields: Vec<FieldPath>,
    shape_count: usize,
    lanes: Vec<Lane>,
}

/// How times are kept.
#[derive(Clone, Debug)]
enum Times {
    /// No row came with one.
    Absent,
    /// All rows did: multiples of a scale, counted from the smallest.
    Scaled { scale: i64, numbers: Numbers, bytes: Range<usize> },
    /// Some did.
    Mixed(Range<usize>),
}

#[derive(Clone, Debug)]
struct Lane {
    field: u32,
    kind: LaneKind,
    /// How the values of an integer lane are kept.
    numbers: Numbers,
    count: usize,
    /// Absent: the first `count` rows have a value.
    rows: Option<Range<usize>>,
    /// Shape numbers of a text lane, values of any other.
    values: Range<usize>,
    lengths: Range<usize>,
    variables: Range<usize>,
}

/// One lane of a batch.
#[derive(Clone, Copy)]
pub struct LaneView<'a> {
    /// Index of its field among [`Batch::fields`].
    pub field: usize,
    /// Its type.
    pub kind: LaneKind,
    /// How many rows have a value.
    pub count: usize,
    rows: Option<&'a [u8]>,
    numbers: Numbers,
    /// Shape numbers (`u16`) of a text lane, values in fixed width of any other.
    values: &'a [u8],
    /// Lengths of a text lane's variables, as varints.
    pub lengths: &'a [u8],
    /// Bytes of a text lane's variables.
    pub variables: &'a [u8],
}

impl<'a> LaneView<'a> {
    /// The rows that have a value, ascending.
    pub fn rows(self) -> impl Iterator<Item = usize> + use<'a> {
        let listed = self.rows.unwrap_or_default();
        let prefix = if self.rows.is_none() { self.count } else { 0 };
        (0..prefix)
            .chain(listed.chunks_exact(2).map(|b| usize::from(u16::from_le_bytes(b.try_into().unwrap_or_default()))))
    }

    /// Whether the first `count` rows, and no others, have a value.
    pub fn is_prefix(self) -> bool {
        self.rows.is_none()
    }

    /// A value of an integer lane.
    pub fn int(self, value: usize) -> i64 {
        self.numbers.get(self.values, value)
    }

    /// A value of a lane that is neither text nor integers.
    pub fn fixed(self, value: usize) -> &'a [u8] {
        let width = self.kind.width().unwrap_or(0);
        self.values.get(value * width..(value + 1) * width).unwrap_or_default()
    }

    /// Appends the text of a value of a lane that is not text.
    pub fn push_text(self, value: usize, out: &mut Vec<u8>) {
        match self.kind {
            LaneKind::Int => push_int(self.int(value), out),
            kind => kind.push_text(self.fixed(value), out),
        }
    }

    /// The local shape number of a text lane's value.
    pub fn shape(self, value: usize) -> u16 {
        self.values.get(value * 2..value * 2 + 2).map_or(0, |b| u16::from_le_bytes(b.try_into().unwrap_or_default()))
    }

    /// Local shape numbers of a text lane's values.
    pub fn shapes(self) -> impl Iterator<Item = u16> + use<'a> {
        self.values.chunks_exact(2).map(|b| u16::from_le_bytes(b.try_into().unwrap_or_default()))
    }
}

impl Batch {
    /// Reads the two parts of a batch, checking all of them.
    pub fn parse(columns: impl Into<Box<[u8]>>, shapes: impl Into<Box<[u8]>>) -> Result<Self> {
        let batch = Self::parse_own(columns.into(), shapes.into())?;
        batch.check_lanes()?;
        Ok(batch)
    }

    /// Reads what a builder has just encoded: places are checked, values are not read again.
    fn parse_own(columns: Box<[u8]>, shapes: Box<[u8]>) -> Result<Self> {
        let len = columns.len();
        let r = &mut Reader::new(&columns);
        if r.u8()? != VERSION {
            return Err(Error::corrupt("a batch of an unknown version"));
        }
        let rows = r.varint()? as usize;
        if rows > BATCH_ROWS_MAX {
            return Err(Error::corrupt(format!("a batch of {rows} rows")));
        }
        let streams = read_streams(r)?;
        let width = r.u8()?;
        let start = len - r.remaining();
        let stream_bytes = r.take(rows * usize::from(width.min(2)))?;
        let stream_of_row = (width.min(2), start..len - r.remaining());
        let rows_of_streams = if width == 0 { rows.min(1) } else { rows };
        if (0..rows_of_streams).any(|row| stream_index(stream_bytes, width, row) >= streams.len()) {
            return Err(Error::corrupt("a batch names a stream that it does not have"));
        }
        let times = read_times(r, rows, len)?;
        let fields = read_fields(r)?;
        let shape_count = r.varint()? as usize;
        if shape_count > usize::from(u16::MAX) {
            return Err(Error::corrupt("a batch of too many shapes"));
        }
        let mut lanes = read_lane_heads(r, fields.len(), rows)?;
        let mut at = len - r.remaining();
        for lane in &mut lanes {
            lane.place(&mut at);
        }
        if at != len {
            return Err(Error::corrupt("a batch whose sections do not add up"));
        }
        Ok(Self { columns, shapes, rows, streams, stream_of_row, times, fields, shape_count, lanes })
    }

    fn check_lanes(&self) -> Result<()> {
        let bad = |what: &str| Error::corrupt(format!("a batch with {what}"));
        let mut slots = vec![1u8];
        for key in self.shape_keys() {
            slots.push(Shape::parse(key?)?.slots() as u8);
        }
        if slots.len() != self.shape_count + 1 {
            return Err(bad("another number of shapes than it says"));
        }
        for lane in self.lanes() {
            if !lane.is_prefix() {
                let mut last = None;
                for row in lane.rows() {
                    if row >= self.rows || last.is_some_and(|last| last >= row) {
                        return Err(bad("rows out of order"));
                    }
                    last = Some(row);
                }
            }
            if !lane.kind.is_text() {
                continue;
            }
            let mut variables = 0usize;
            for shape in lane.shapes() {
                variables +=
                    usize::from(*slots.get(usize::from(shape)).ok_or_else(|| bad("a shape that it does not have"))?);
            }
            let (lengths, mut total) = (&mut Reader::new(lane.lengths), 0u64);
            for _ in 0..variables {
                total = total.saturating_add(lengths.varint()?);
            }
            if lengths.remaining() != 0 || total != lane.variables.len() as u64 {
                return Err(bad("variables that do not add up"));
            }
        }
        Ok(())
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes of both parts.
    pub fn bytes(&self) -> usize {
        self.columns.len() + self.shapes.len()
    }

    /// The part that hot data keeps.
    pub fn columns(&self) -> &[u8] {
        &self.columns
    }

    /// The part that says what the local shapes are; empty once dropped.
    pub fn shapes(&self) -> &[u8] {
        &self.shapes
    }

    /// Forgets the shapes, after someone else has taken them over.
    pub fn drop_shapes(&mut self) {
        self.shapes = Box::default();
    }

    /// The keys of local shapes 1, 2, ...
    pub fn shape_keys(&self) -> impl Iterator<Item = Result<&[u8]>> {
        let mut r = Reader::new(&self.shapes);
        std::iter::from_fn(move || {
            if r.remaining() == 0 {
                return None;
            }
            let key = r.bytes();
            if key.is_err() {
                r.rest();
            }
            Some(key)
        })
    }

    /// How many local shapes there are besides the whole text.
    pub fn shape_count(&self) -> usize {
        self.shape_count
    }

    /// The streams that rows belong to.
    pub fn streams(&self) -> &[Stream] {
        &self.streams
    }

    /// Index of a row's stream among [`Self::streams`].
    pub fn stream_of(&self, row: usize) -> usize {
        let (width, range) = &self.stream_of_row;
        stream_index(self.columns.get(range.clone()).unwrap_or_default(), *width, row)
    }

    /// The times that were sent; absent where a row came without.
    pub fn times(&self) -> impl Iterator<Item = Option<i64>> {
        let bytes = |range: &Range<usize>| self.columns.get(range.clone()).unwrap_or_default();
        (0..self.rows).map(move |row| match &self.times {
            Times::Absent => None,
            Times::Scaled { scale, numbers, bytes: range } => Some(numbers.get(bytes(range), row).wrapping_mul(*scale)),
            Times::Mixed(range) => {
                let time = Numbers { base: 0, width: 8 }.get(bytes(range), row);
                (time != TIME_ABSENT).then_some(time)
            }
        })
    }

    /// The fields that lanes belong to, in the order in which they were first seen.
    pub fn fields(&self) -> &[FieldPath] {
        &self.fields
    }

    /// All lanes.
    pub fn lanes(&self) -> impl Iterator<Item = LaneView<'_>> {
        self.lanes.iter().map(|lane| {
            let section = |range: &Range<usize>| self.columns.get(range.clone()).unwrap_or_default();
            LaneView {
                field: lane.field as usize,
                kind: lane.kind,
                count: lane.count,
                rows: lane.rows.as_ref().map(section),
                numbers: lane.numbers,
                values: section(&lane.values),
                lengths: section(&lane.lengths),
                variables: section(&lane.variables),
            }
        })
    }
}

impl Lane {
    /// Turns lengths into places, one section after another.
    fn place(&mut self, at: &mut usize) {
        let mut next = |range: &mut Range<usize>| {
            *range = *at..*at + range.len();
            *at = range.end;
        };
        if let Some(rows) = &mut self.rows {
            next(rows);
        }
        next(&mut self.values);
        next(&mut self.lengths);
        next(&mut self.variables);
    }
}

fn stream_index(bytes: &[u8], width: u8, row: usize) -> usize {
    match width {
        0 => 0,
        1 => bytes.get(row).map_or(0, |b| usize::from(*b)),
        _ => bytes
            .get(row * 2..row * 2 + 2)
            .map_or(0, |b| usize::from(u16::from_le_bytes(b.try_into().unwrap_or_default()))),
    }
}
