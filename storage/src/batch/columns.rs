//! A batch put together from columns that are there already, such as those of a block.
//!
//! Invariants
//! * It reads like any other batch. Its bytes are no encoded batch, and it has no shapes of its own: whoever makes it says
//!   what its shape numbers mean.
use super::numbers::Numbers;
use super::{Batch, Lane, LaneKind, Stream, Times};
use crate::record::FieldPath;
use std::ops::Range;

/// One lane.
pub(crate) struct Column<'a> {
    /// Index of its field.
    pub(crate) field: u32,
    pub(crate) kind: LaneKind,
    /// The rows that have a value, ascending; nothing where the first rows have one each.
    pub(crate) rows: Option<&'a [u16]>,
    pub(crate) count: usize,
    /// Shape numbers (`u16`) of a text lane, values in the width of its kind of any other.
    pub(crate) values: &'a [u8],
    /// Lengths of a text lane's variables, as varints.
    pub(crate) lengths: &'a [u8],
    /// Bytes of a text lane's variables.
    pub(crate) variables: &'a [u8],
}

/// A batch that is being put together.
pub(crate) struct Columns {
    bytes: Vec<u8>,
    rows: usize,
    streams: Vec<Stream>,
    stream_of_row: Range<usize>,
    times: Range<usize>,
    lanes: Vec<Lane>,
}

impl Columns {
    /// Begins with the time of each row, and its stream by its place in `streams`.
    pub(crate) fn new(times: &[i64], streams: Vec<Stream>, stream_of_row: &[u16]) -> Self {
        let mut columns =
            Self { bytes: Vec::new(), rows: times.len(), streams, stream_of_row: 0..0, times: 0..0, lanes: Vec::new() };
        columns.times = columns.put(times.iter().flat_map(|time| time.to_le_bytes()));
        columns.stream_of_row = columns.put(stream_of_row.iter().flat_map(|stream| stream.to_le_bytes()));
        columns
    }

    fn put(&mut self, bytes: impl Iterator<Item = u8>) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend(bytes);
        start..self.bytes.len()
    }

    fn put_bytes(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }

    /// Adds a lane.
    pub(crate) fn add(&mut self, column: &Column<'_>) {
        let rows = column.rows.map(|rows| self.put(rows.iter().flat_map(|row| row.to_le_bytes())));
        let lane = Lane {
            field: column.field,
            kind: column.kind,
            numbers: Numbers { base: 0, width: 8 },
            count: column.count,
            rows,
            values: self.put_bytes(column.values),
            lengths: self.put_bytes(column.lengths),
            variables: self.put_bytes(column.variables),
        };
        self.lanes.push(lane);
    }

    /// The batch, with the fields that its lanes name.
    pub(crate) fn finish(self, fields: Vec<FieldPath>) -> Batch {
        Batch {
            columns: self.bytes.into(),
            shapes: Box::default(),
            rows: self.rows,
            streams: self.streams,
            stream_of_row: (2, self.stream_of_row),
            times: Times::Mixed(self.times),
            fields,
            shape_count: 0,
            lanes: self.lanes,
        }
    }
}
