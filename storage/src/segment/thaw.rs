//! Rows of a block as a batch, column by column, for those that have to be encoded again.
//!
//! No text is split, and none is put together but those that are kept without their shapes: shapes and variables are what
//! they were.
//!
//! Invariants
//! * The batch has the streams, fields and shapes of the wanted rows, and no others.
use super::block::{Arrivals, Seqs};
use super::block_reader::{Block, BlockLane};
use super::look::Variables;
use super::reader::Segment;
use super::whole::Afresh;
use crate::batch::{Batch, Column, Columns, LaneKind, Stream};
use crate::codec::put_varint;
use crate::error::{Error, Result};
use crate::limits::MIB;
use crate::text::shape::WHOLE;

/// Bytes of a lane's texts; far more than a generation can have.
const LANE_BYTES_MAX: usize = 1_024 * MIB;

/// Rows that were decoded.
pub(crate) struct Thawed {
    pub(crate) batch: Batch,
    pub(crate) epoch: u32,
    pub(crate) seqs: Seqs,
    pub(crate) arrivals: Arrivals,
    /// The segment's number of each shape of the batch, the whole text first.
    pub(crate) shapes: Vec<u32>,
}

impl Thawed {
    /// Decodes rows of a block: those of `rows`, which ascend, or all.
    pub(crate) fn read(segment: &Segment, index: usize, rows: Option<&[u32]>) -> Result<Self> {
        let read = || {
            let (block, table) = (segment.block(index)?, segment.shapes()?);
            let thaw = Thaw { segment, block: &block, rows, shapes: vec![WHOLE], local_of: vec![WHOLE; table.len()] };
            thaw.read(table.slots())
        };
        read().map_err(|e: Error| e.context(segment.path().display()))
    }
}

struct Thaw<'a> {
    segment: &'a Segment,
    block: &'a Block,
    rows: Option<&'a [u32]>,
    /// The segment's number of each shape that occurred.
    shapes: Vec<u32>,
    /// Its place there, for each shape of the segment; that of the whole text for those that did not occur.
    local_of: Vec<u32>,
}

impl Thaw<'_> {
    fn read(mut self, slots_of: &[u8]) -> Result<Thawed> {
        let (block, source) = (self.block, self.segment.source());
        let times = self.pick(&block.times(source)?);
        let seqs = self.pick(&block.seqs(source)?).into_iter().map(|seq| seq as u64).collect();
        let (streams, stream_of_row) = self.streams()?;
        let mut columns = Columns::new(&times, streams, &stream_of_row);
        let (mut fields, mut numbers): (Vec<_>, Vec<u32>) = (Vec::new(), Vec::new());
        for lane in &block.lanes {
            let taken = self.taken(lane)?;
            if taken.rows.is_empty() {
                continue;
            }
            let field = match numbers.iter().position(|number| *number == lane.field) {
                Some(place) => place,
                None => {
                    let path = self.segment.fields.get(lane.field as usize);
                    fields.push(path.cloned().ok_or_else(|| Error::corrupt("a field that the segment lacks"))?);
                    numbers.push(lane.field);
                    numbers.len() - 1
                }
            };
            let values = self.values(lane, &taken, slots_of)?;
            columns.add(&Column {
                field: field as u32,
                kind: lane.kind,
                rows: (!taken.is_prefix()).then_some(&taken.rows),
                count: taken.rows.len(),
                values: &values.values,
                lengths: &values.lengths,
                variables: &values.variables,
            });
        }
        Ok(Thawed {
            batch: columns.finish(fields),
            epoch: block.epoch,
            seqs: Seqs::Listed(seqs),
            arrivals: block.arrivals.clone(),
            shapes: self.shapes,
        })
    }

    /// The batch's number of a shape of the segment.
    fn local(&mut self, shape: u32) -> Result<u16> {
        let missing = || Error::corrupt("a shape that the segment lacks");
        let local = self.local_of.get_mut(shape as usize).ok_or_else(missing)?;
        if *local == WHOLE && shape != WHOLE {
            *local = self.shapes.len() as u32;
            self.shapes.push(shape);
        }
        u16::try_from(*local).map_err(|_| Error::corrupt("more shapes than a segment can have"))
    }

    /// The wanted rows of a column that all rows have.
    fn pick<T: Copy>(&self, column: &[T]) -> Vec<T> {
        match self.rows {
            None => column.to_vec(),
            Some(rows) => rows.iter().filter_map(|row| column.get(*row as usize).copied()).collect(),
        }
    }

    /// The streams of the wanted rows, and which of them each is of.
    fn streams(&self) -> Result<(Vec<Stream>, Vec<u16>)> {
        let of_rows = self.pick(&self.block.streams(self.segment.source())?);
        let mut listed = of_rows.clone();
        listed.sort_unstable();
        listed.dedup();
        let name = |stream: &u32| {
            let found = self.segment.footer.streams.get(*stream as usize);
            let (service, tags) = found.ok_or_else(|| Error::corrupt("a stream that the segment lacks"))?;
            Ok(Stream { service: service.as_str().into(), tags: tags.as_str().into() })
        };
        let streams = listed.iter().map(name).collect::<Result<_>>()?;
        let place = |stream: &u32| listed.binary_search(stream).unwrap_or(0) as u16;
        Ok((streams, of_rows.iter().map(place).collect()))
    }

    /// Which values of a lane are of wanted rows.
    fn taken(&self, lane: &BlockLane) -> Result<Taken> {
        let presence = self.block.presence(lane, self.segment.source())?;
        let value_of = |row: u32, from: usize| match &presence {
            None => Some(row as usize).filter(|value| *value < lane.count),
            Some(listed) => listed.get(from..)?.binary_search(&row).ok().map(|at| from + at),
        };
        let mut taken = Taken::default();
        match (self.rows, &presence) {
            (None, None) => taken.rows = (0..lane.count).map(|row| row as u16).collect(),
            (None, Some(listed)) => taken.rows = listed.iter().map(|row| *row as u16).collect(),
            (Some(rows), _) => {
                let mut values: Vec<usize> = Vec::new();
                for (place, row) in rows.iter().enumerate() {
                    if let Some(value) = value_of(*row, values.last().map_or(0, |last| last + 1)) {
                        values.push(value);
                        taken.rows.push(place as u16);
                    }
                }
                taken.values = Some(values);
            }
        }
        Ok(taken)
    }

    fn values(&mut self, lane: &BlockLane, taken: &Taken, slots_of: &[u8]) -> Result<Values> {
        let source = self.segment.source();
        let values = match lane.kind {
            _ if lane.is_listed() || lane.spelling().is_some() => return self.unshaped(lane, taken),
            LaneKind::String | LaneKind::Number | LaneKind::Json => return self.texts(lane, taken, slots_of),
            LaneKind::Int => {
                taken.of(&self.block.ints(lane, source)?).iter().flat_map(|value| value.to_le_bytes()).collect()
            }
            LaneKind::Bool => taken.of(&self.block.ints(lane, source)?).iter().map(|value| *value as u8).collect(),
            LaneKind::Null => Vec::new(),
            LaneKind::Hex { .. } | LaneKind::Uuid { .. } => {
                let bytes = self.block.fixed(lane, source)?;
                let width = lane.kind.width().unwrap_or(1).max(1);
                let all: Vec<&[u8]> = bytes.chunks_exact(width).collect();
                taken.of(&all).concat()
            }
        };
        Ok(Values { values, ..Values::default() })
    }

    /// Texts that are not kept by their shapes. They are whole in the batch, and few or alike enough to take the same form
    /// when they are encoded again.
    fn unshaped(&self, lane: &BlockLane, taken: &Taken) -> Result<Values> {
        let source = self.segment.source();
        let (mut out, mut text) = (Values::default(), Vec::new());
        let mut put = |text: &[u8]| {
            out.values.extend_from_slice(&(WHOLE as u16).to_le_bytes());
            put_varint(&mut out.lengths, text.len() as u64);
            out.variables.extend_from_slice(text);
        };
        if let Some(spelling) = lane.spelling() {
            for value in taken.of(&self.block.ints(lane, source)?) {
                text.clear();
                spelling.push(value, &mut text);
                put(&text);
            }
            return Ok(out);
        }
        let listed = self.block.listed(lane, source)?;
        let mut bytes = 0;
        for code in taken.of(&self.block.codes(lane, source)?) {
            let text = listed.texts.get(code as usize).map_or(&[][..], |text| text);
            bytes += text.len();
            if bytes > LANE_BYTES_MAX {
                return Err(Error::corrupt("a lane of more text than a block can have"));
            }
            put(text);
        }
        Ok(out)
    }

    fn texts(&mut self, lane: &BlockLane, taken: &Taken, slots_of: &[u8]) -> Result<Values> {
        let source = self.segment.source();
        let list = self.block.shapes(lane)?;
        let codes = self.block.codes(lane, source)?;
        let (whole_starts, whole) = self.block.whole_texts(lane, list.whole(), source, &Afresh)?.all()?;
        let whole = |rank: usize| {
            let at = |rank: usize| whole_starts.get(rank).map_or(0, |at| *at as usize);
            whole.get(at(rank)..at(rank + 1)).unwrap_or_default()
        };
        let directory = self.block.directory(lane, slots_of, source)?;
        let variables = Variables::read(&mut self.block.words(lane, &directory, source)?, &directory)?;
        let mut next = vec![0usize; list.listed.len()];
        let mut wanted = taken.values.as_ref().map(|values| values.iter().copied().peekable());
        let mut out = Values::default();
        for (value, code) in codes.iter().enumerate() {
            let Some(next) = next.get_mut(*code as usize) else { continue };
            let rank = std::mem::replace(next, *next + 1);
            if wanted.as_mut().is_some_and(|wanted| wanted.next_if_eq(&value).is_none()) {
                continue;
            }
            let shape = list.listed.get(*code as usize).copied().unwrap_or(WHOLE);
            out.values.extend_from_slice(&self.local(shape)?.to_le_bytes());
            if shape == WHOLE {
                let text = whole(rank);
                put_varint(&mut out.lengths, text.len() as u64);
                out.variables.extend_from_slice(text);
            } else {
                for slot in variables.slots(*code) {
                    let start = out.variables.len();
                    slot.push(rank, &mut out.variables);
                    put_varint(&mut out.lengths, (out.variables.len() - start) as u64);
                }
            }
            if out.variables.len() > LANE_BYTES_MAX {
                return Err(Error::corrupt("a lane of more text than a block can have"));
            }
        }
        Ok(out)
    }
}

/// Values of wanted rows.
#[derive(Default)]
struct Taken {
    /// Their places in the lane, ascending; nothing where all are wanted.
    values: Option<Vec<usize>>,
    /// The row of each, counted among the wanted.
    rows: Vec<u16>,
}

impl Taken {
    fn of<T: Copy>(&self, all: &[T]) -> Vec<T> {
        match &self.values {
            None => all.to_vec(),
            Some(values) => values.iter().filter_map(|value| all.get(*value).copied()).collect(),
        }
    }

    /// Whether it is the first rows that have a value.
    fn is_prefix(&self) -> bool {
        (0u32..).zip(&self.rows).all(|(place, row)| place == u32::from(*row))
    }
}

#[derive(Default)]
struct Values {
    values: Vec<u8>,
    lengths: Vec<u8>,
    variables: Vec<u8>,
}
