//! A batch: rows as columns, texts as shapes. The WAL holds its bytes, hot searches read them, sealing regroups them.
//!
//! Two parts. `columns` is `| version u8 | rows | streams | stream of each row | times | fields | shapes | lanes |` and
//! then each lane's sections; a text lane has `| shape u16 of each value | lengths | bytes |` of its variables, any other
//! lane its values in fixed width. `shapes` is the key of each shape that the batch uses, so that a batch stands alone;
//! once a generation has taken them over, they are dropped from memory.
//!
//! Invariants
//! * [`Batch::parse`] checks every length, index and count: after it, views of a batch cannot run out of bytes.
//! * Local shape 0 is [`shape::WHOLE`](crate::text::shape::WHOLE) and is not listed.
mod absorb;
mod builder;
mod lane;
#[cfg(test)]
mod tests;

pub use builder::BatchBuilder;
pub use lane::{LaneKind, canonical_int, hex_or_uuid, push_int};

use crate::codec::Reader;
use crate::error::{Error, Result};
use crate::limits::{BATCH_LANES_MAX, BATCH_ROWS_MAX, FIELD_NAME_BYTES_MAX};
use crate::record::FieldPath;
use crate::text::shape::Shape;
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
    times: Option<Range<usize>>,
    fields: Vec<FieldPath>,
    shape_count: usize,
    lanes: Vec<Lane>,
}

#[derive(Clone, Debug)]
struct Lane {
    field: u32,
    kind: LaneKind,
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
    /// Shape numbers (`u16`) of a text lane, values in fixed width of any other.
    pub values: &'a [u8],
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

    /// Local shape numbers of a text lane's values.
    pub fn shapes(self) -> impl Iterator<Item = u16> + use<'a> {
        self.values.chunks_exact(2).map(|b| u16::from_le_bytes(b.try_into().unwrap_or_default()))
    }
}

impl Batch {
    /// Reads the two parts of a batch, checking all of them.
    pub fn parse(columns: impl Into<Box<[u8]>>, shapes: impl Into<Box<[u8]>>) -> Result<Self> {
        let (columns, shapes) = (columns.into(), shapes.into());
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
        if (0..rows).any(|row| stream_index(stream_bytes, width, row) >= streams.len()) {
            return Err(Error::corrupt("a batch names a stream that it does not have"));
        }
        let has_times = r.u8()? == 1;
        let start = len - r.remaining();
        r.take(if has_times { rows * 8 } else { 0 })?;
        let times = has_times.then(|| start..len - r.remaining());
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
        let batch = Self { columns, shapes, rows, streams, stream_of_row, times, fields, shape_count, lanes };
        batch.check_lanes()?;
        Ok(batch)
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
            let mut last = None;
            for row in lane.rows() {
                if row >= self.rows || last.is_some_and(|last| last >= row) {
                    return Err(bad("rows out of order"));
                }
                last = Some(row);
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
        let bytes = self.times.clone().and_then(|range| self.columns.get(range)).unwrap_or_default();
        let sent = bytes.chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap_or_default()));
        let absent = if bytes.is_empty() { self.rows } else { 0 };
        sent.map(|time| (time != TIME_ABSENT).then_some(time)).chain(std::iter::repeat_n(None, absent))
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

fn read_streams(r: &mut Reader<'_>) -> Result<Vec<Stream>> {
    let n = r.count(2)?;
    (0..n).map(|_| Ok(Stream { service: r.text()?.into(), tags: r.text()?.into() })).collect()
}

fn read_fields(r: &mut Reader<'_>) -> Result<Vec<FieldPath>> {
    let n = r.count(3)?;
    (0..n).map(|_| read_field(r)).collect()
}

/// Appends a field's path.
pub(crate) fn put_field(out: &mut Vec<u8>, field: &FieldPath) {
    crate::codec::put_bytes(out, field.name.as_bytes());
    crate::codec::put_varint(out, field.nesting.len() as u64);
    for at in &field.nesting {
        crate::codec::put_varint(out, u64::from(*at));
    }
    crate::codec::put_varint(out, u64::from(field.occurrence));
}

/// Reads a field's path.
pub(crate) fn read_field(r: &mut Reader<'_>) -> Result<FieldPath> {
    let bad = || Error::corrupt("a field's path is damaged");
    let name = r.text()?;
    if name.len() > FIELD_NAME_BYTES_MAX * 2 {
        return Err(bad());
    }
    let n = r.count(1)?;
    let nesting: Box<[u16]> = (0..n).map(|_| u16::try_from(r.varint()?).map_err(|_| bad())).collect::<Result<_>>()?;
    if nesting.iter().any(|at| name.as_bytes().get(usize::from(*at)) != Some(&b'.')) || !nesting.is_sorted() {
        return Err(bad());
    }
    let occurrence = u16::try_from(r.varint()?).map_err(|_| bad())?;
    Ok(FieldPath { name: name.into(), nesting, occurrence })
}

fn read_lane_heads(r: &mut Reader<'_>, fields: usize, rows: usize) -> Result<Vec<Lane>> {
    let bad = || Error::corrupt("a lane's head is damaged");
    let n = r.count(5)?;
    if n > BATCH_LANES_MAX {
        return Err(bad());
    }
    let total = r.remaining();
    let mut lanes = Vec::with_capacity(n);
    for _ in 0..n {
        let field = u32::try_from(r.varint()?).map_err(|_| bad())?;
        let kind = LaneKind::from_code(r.array()?).ok_or_else(bad)?;
        let listed = r.u8()? == 1;
        let count = usize::try_from(r.varint()?).map_err(|_| bad())?;
        if field as usize >= fields || count > rows {
            return Err(bad());
        }
        let (lengths, variables) = if kind.is_text() { (r.varint()? as usize, r.varint()? as usize) } else { (0, 0) };
        if lengths > total || variables > total {
            return Err(bad());
        }
        lanes.push(Lane {
            field,
            kind,
            count,
            rows: listed.then_some(0..count * 2),
            values: 0..count * kind.width().unwrap_or(2),
            lengths: 0..lengths,
            variables: 0..variables,
        });
    }
    Ok(lanes)
}
