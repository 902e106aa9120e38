//! One batch or one block, seen alike: rows, times, streams, lanes and their values.
//!
//! Invariants
//! * A sealed block and the batches it was made from give the same rows and values.
//! * Nothing of a block is read before it is asked for.
use crate::batch::{LaneKind, LaneView, push_int};
use crate::codec::Reader;
use crate::error::Result;
use crate::hot::HotBatch;
use crate::record::FieldPath;
use crate::segment::{Arrivals, Block, BlockLane, Segment};
use crate::text::shape::WHOLE;
use crate::text::table::ShapeTable;

/// Rows that lie together.
pub(crate) enum Part<'a> {
    /// A batch in memory.
    Hot { batch: &'a HotBatch, shapes: &'a ShapeTable, epoch: u32 },
    /// A block of a segment.
    Sealed { segment: &'a Segment, block: &'a Block, shapes: &'a ShapeTable },
}

/// A lane of a part.
#[derive(Clone, Copy)]
pub(crate) enum PartLane<'a> {
    Hot(LaneView<'a>, &'a FieldPath),
    Sealed(&'a BlockLane, &'a FieldPath),
}

impl<'a> PartLane<'a> {
    pub(crate) fn field(self) -> &'a FieldPath {
        match self {
            Self::Hot(_, field) | Self::Sealed(_, field) => field,
        }
    }

    pub(crate) fn kind(self) -> LaneKind {
        match self {
            Self::Hot(lane, _) => lane.kind,
            Self::Sealed(lane, _) => lane.kind,
        }
    }

    pub(crate) fn count(self) -> usize {
        match self {
            Self::Hot(lane, _) => lane.count,
            Self::Sealed(lane, _) => lane.count,
        }
    }
}

impl<'a> Part<'a> {
    pub(crate) fn rows(&self) -> usize {
        match self {
            Self::Hot { batch, .. } => batch.batch.rows(),
            Self::Sealed { block, .. } => block.rows,
        }
    }

    pub(crate) fn epoch(&self) -> u32 {
        match self {
            Self::Hot { epoch, .. } => *epoch,
            Self::Sealed { block, .. } => block.epoch,
        }
    }

    pub(crate) fn shapes(&self) -> &'a ShapeTable {
        match self {
            Self::Hot { shapes, .. } | Self::Sealed { shapes, .. } => shapes,
        }
    }

    /// Event times; arrival where none was sent.
    pub(crate) fn times(&self) -> Result<Vec<i64>> {
        match self {
            Self::Hot { batch, .. } => Ok(batch.batch.times().map(|time| time.unwrap_or(batch.arrival)).collect()),
            Self::Sealed { segment, block, .. } => block.times(segment.source()),
        }
    }

    pub(crate) fn seqs(&self) -> Result<Vec<u64>> {
        match self {
            Self::Hot { batch, .. } => Ok((0..batch.batch.rows() as u64).map(|row| batch.first_seq + row).collect()),
            Self::Sealed { segment, block, .. } => {
                Ok(block.seqs(segment.source())?.into_iter().map(|seq| seq as u64).collect())
            }
        }
    }

    pub(crate) fn arrivals(&self) -> Arrivals {
        match self {
            Self::Hot { batch, .. } => Arrivals::One(batch.arrival),
            Self::Sealed { block, .. } => block.arrivals.clone(),
        }
    }

    /// The number of each row's stream, for [`Self::service`].
    pub(crate) fn streams(&self) -> Result<Vec<u32>> {
        match self {
            Self::Hot { batch, .. } => Ok((0..self.rows()).map(|row| batch.batch.stream_of(row) as u32).collect()),
            Self::Sealed { segment, block, .. } => {
                Ok(block.streams(segment.source())?.into_iter().map(|stream| stream as u32).collect())
            }
        }
    }

    /// The service of a stream.
    pub(crate) fn service(&self, stream: u32) -> &'a str {
        match self {
            Self::Hot { batch, .. } => batch.batch.streams().get(stream as usize).map_or("", |s| &s.service),
            Self::Sealed { segment, .. } => {
                segment.footer.streams.get(stream as usize).map_or("", |(service, _)| service.as_str())
            }
        }
    }

    /// All lanes, in the order of their fields.
    pub(crate) fn lanes(&self) -> Vec<PartLane<'a>> {
        match self {
            Self::Hot { batch, .. } => {
                let fields = batch.batch.fields();
                let mut lanes: Vec<_> =
                    batch.batch.lanes().filter_map(|lane| Some(PartLane::Hot(lane, fields.get(lane.field)?))).collect();
                lanes.sort_by_key(|lane| match lane {
                    PartLane::Hot(lane, _) => lane.field,
                    PartLane::Sealed(..) => 0,
                });
                lanes
            }
            Self::Sealed { segment, block, .. } => block
                .lanes
                .iter()
                .filter_map(|lane| Some(PartLane::Sealed(lane, segment.fields.get(lane.field as usize)?)))
                .collect(),
        }
    }

    /// The rows that have a value in a lane; nothing where the first `count` rows have.
    pub(crate) fn presence(&self, lane: PartLane<'a>) -> Result<Option<Vec<u32>>> {
        match (self, lane) {
            (Self::Sealed { segment, block, .. }, PartLane::Sealed(lane, _)) => block.presence(lane, segment.source()),
            (_, PartLane::Hot(lane, _)) if !lane.is_prefix() => Ok(Some(lane.rows().map(|row| row as u32).collect())),
            _ => Ok(None),
        }
    }

    /// The shape of each value of a text lane, by the part's table.
    pub(crate) fn value_shapes(&self, lane: PartLane<'a>) -> Result<Vec<u32>> {
        match (self, lane) {
            (Self::Hot { batch, .. }, PartLane::Hot(lane, _)) => Ok(lane
                .shapes()
                .map(|local| batch.shape_map.get(usize::from(local)).copied().unwrap_or(WHOLE))
                .collect()),
            (Self::Sealed { segment, block, shapes }, PartLane::Sealed(lane, _)) => {
                let listed = block.shapes(lane, shapes.len(), segment.source())?.listed;
                let codes = block.codes(lane, segment.source())?;
                Ok(codes.iter().map(|code| listed.get(*code as usize).copied().unwrap_or(WHOLE)).collect())
            }
            _ => Ok(Vec::new()),
        }
    }

    /// Calls `found` with the text of each value of a lane that `wanted` names, in order.
    pub(crate) fn texts(
        &self,
        lane: PartLane<'a>,
        wanted: &dyn Fn(usize) -> bool,
        found: &mut dyn FnMut(usize, &[u8]),
    ) -> Result<()> {
        match (self, lane) {
            (Self::Hot { batch, shapes, .. }, PartLane::Hot(lane, _)) if lane.kind.is_text() => {
                hot_texts(batch, shapes, lane, wanted, found);
                Ok(())
            }
            (Self::Sealed { segment, block, shapes }, PartLane::Sealed(lane, _)) if lane.kind.is_text() => {
                sealed_texts(segment, block, shapes, lane, wanted, found)
            }
            _ => self.fixed_texts(lane, wanted, found),
        }
    }

    fn fixed_texts(
        &self,
        lane: PartLane<'a>,
        wanted: &dyn Fn(usize) -> bool,
        found: &mut dyn FnMut(usize, &[u8]),
    ) -> Result<()> {
        let mut text = Vec::new();
        let mut give = |value: usize, push: &dyn Fn(&mut Vec<u8>)| {
            text.clear();
            push(&mut text);
            found(value, &text);
        };
        let picked = (0..lane.count()).filter(|value| wanted(*value));
        match (self, lane) {
            (_, PartLane::Hot(lane, _)) => picked.for_each(|value| give(value, &|text| lane.push_text(value, text))),
            (Self::Sealed { segment, block, .. }, PartLane::Sealed(lane, _)) => {
                let (kind, source) = (lane.kind, segment.source());
                match kind {
                    LaneKind::Int | LaneKind::Bool => {
                        let ints = block.ints(lane, source)?;
                        let int = |value: usize| ints.get(value).copied().unwrap_or(0);
                        picked.for_each(|value| {
                            give(value, &|text| match kind {
                                LaneKind::Int => push_int(int(value), text),
                                _ => kind.push_text(&[u8::from(int(value) == 1)], text),
                            });
                        });
                    }
                    LaneKind::Null => picked.for_each(|value| give(value, &|_| {})),
                    _ => {
                        let (bytes, width) = (block.fixed(lane, source)?, kind.width().unwrap_or(0));
                        let fixed = |value: usize| bytes.get(value * width..(value + 1) * width).unwrap_or_default();
                        picked.for_each(|value| give(value, &|text| kind.push_text(fixed(value), text)));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn hot_texts(
    batch: &HotBatch,
    shapes: &ShapeTable,
    lane: LaneView<'_>,
    wanted: &dyn Fn(usize) -> bool,
    found: &mut dyn FnMut(usize, &[u8]),
) {
    let mut lengths = Reader::new(lane.lengths);
    let mut variables = Reader::new(lane.variables);
    let (mut words, mut text) = (Vec::new(), Vec::new());
    for (value, local) in lane.shapes().enumerate() {
        let number = batch.shape_map.get(usize::from(local)).copied().unwrap_or(WHOLE);
        let slots = shapes.slots().get(number as usize).copied().unwrap_or(0);
        words.clear();
        for _ in 0..slots {
            let len = lengths.varint().unwrap_or(0) as usize;
            words.push(variables.take(len).unwrap_or_default());
        }
        if wanted(value) {
            text.clear();
            shapes.shape(number).rebuild(words.iter().copied(), &mut text);
            found(value, &text);
        }
    }
}

fn sealed_texts(
    segment: &Segment,
    block: &Block,
    table: &ShapeTable,
    lane: &BlockLane,
    wanted: &dyn Fn(usize) -> bool,
    found: &mut dyn FnMut(usize, &[u8]),
) -> Result<()> {
    let source = segment.source();
    let shapes = block.shapes(lane, table.len(), source)?;
    let codes = block.codes(lane, source)?;
    let variables = block.variables(lane, &shapes, table.slots(), source)?;
    let mut ranks = vec![0usize; shapes.listed.len()];
    let mut text = Vec::new();
    for (value, code) in codes.iter().enumerate() {
        let Some(rank) = ranks.get_mut(*code as usize) else { continue };
        let index = *rank;
        *rank += 1;
        if !wanted(value) {
            continue;
        }
        let number = shapes.listed.get(*code as usize).copied().unwrap_or(WHOLE);
        if number == WHOLE {
            found(value, variables.whole(index));
            continue;
        }
        text.clear();
        let slots = variables.slots(*code);
        for (i, piece) in table.shape(number).pieces().enumerate() {
            if i > 0
                && let Some(slot) = slots.get(i - 1)
            {
                variables.push(slot, index, &mut text);
            }
            text.extend_from_slice(piece.as_bytes());
        }
        found(value, &text);
    }
    Ok(())
}
