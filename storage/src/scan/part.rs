//! One batch or one block, seen alike: rows, times, streams, lanes and their values.
//!
//! Invariants
//! * A sealed block and the batches it was made from give the same rows and values.
//! * Nothing of a block is read before it is asked for.
use super::crew::Crew;
use super::kept::Kept;
use super::texts::{hot_texts, listed_texts, sealed_texts};
use crate::batch::{LaneKind, LaneView};
use crate::error::Result;
use crate::hot::{GenerationView, HotBatch, Known};
use crate::record::FieldPath;
use crate::segment::{
    Arrivals, Block, BlockLane, Counters, Directory, Held, Keeper, KeptPages, Kind, Metered, Opened, Segment, Shapes,
    WholePart,
};
use crate::text::table::ShapeTable;
use std::rc::Rc;
use std::sync::Arc;

/// Rows that lie together.
pub(crate) enum Part<'a> {
    Hot(HotPart<'a>),
    Sealed(SealedPart<'a>),
}

/// A batch in memory.
pub(crate) struct HotPart<'a> {
    pub(crate) batch: &'a HotBatch,
    pub(crate) shapes: &'a ShapeTable,
    /// What was worked out about these shapes.
    pub(crate) known: &'a Known,
    pub(crate) epoch: u32,
    pub(crate) counters: &'a Counters,
}

impl<'a> HotPart<'a> {
    /// A batch of a generation.
    pub(crate) fn of(batch: &'a HotBatch, of: &'a GenerationView, counters: &'a Counters) -> Self {
        Self { batch, shapes: &of.shapes, known: &of.known, epoch: batch.epoch, counters }
    }
}

/// A block of a segment.
pub(crate) struct SealedPart<'a> {
    pub(crate) segment: &'a Segment,
    /// The block's place in the segment.
    pub(crate) index: usize,
    pub(crate) block: &'a Block,
    pub(crate) shapes: &'a ShapeTable,
    pub(crate) counters: &'a Counters,
    /// Who can help with it.
    pub(crate) crew: &'a Crew,
    kept: Kept<'a>,
    /// What is held for it.
    held: Held<'a>,
}

impl<'a> SealedPart<'a> {
    /// Where bytes are read from, counted.
    pub(crate) fn source(&self, kind: Kind) -> Metered<'_> {
        self.counters.meter(self.segment.source(), kind, &self.held).keeping(&self.kept.pages)
    }

    /// The shapes of a lane, and how often each occurs.
    pub(crate) fn list<'l>(&self, lane: &'l BlockLane) -> Result<&'l Shapes> {
        self.block.shapes(lane)
    }

    /// The shape of each value of a text lane, or the place of each value's text in the list.
    pub(super) fn codes(&self, number: usize, lane: &BlockLane) -> Result<Rc<Vec<u32>>> {
        self.kept.codes(number, || self.block.codes(lane, &self.source(Kind::Codes)))
    }

    /// The same, which is not kept for another time.
    pub(super) fn codes_once(&self, number: usize, lane: &BlockLane) -> Result<Vec<u32>> {
        match self.kept.find(number) {
            Some(codes) => Ok(codes.to_vec()),
            None => self.block.codes(lane, &self.source(Kind::Codes)),
        }
    }

    /// The same of some values.
    pub(super) fn few_codes(&self, number: usize, lane: &BlockLane, wanted: &[usize]) -> Result<Vec<u32>> {
        if self.kept.find(number).is_none() && (lane.is_listed() || self.block.has_codes_apart(lane)) {
            return self.block.few_codes(lane, wanted, &self.source(Kind::Codes));
        }
        let codes = self.codes(number, lane)?;
        Ok(wanted.iter().filter_map(|value| codes.get(*value).copied()).collect())
    }
}

impl SealedPart<'_> {
    /// The slots of the shapes of a lane.
    pub(crate) fn directory(&self, number: usize, lane: &BlockLane) -> Result<Arc<Directory>> {
        let source = self.source(Kind::Heads);
        self.segment.directory(self.index, self.block, number, lane, self.shapes, &source)
    }
}

/// A lane of a block whose whole texts are opened once for all searches.
pub(super) struct WholeLane<'p> {
    pub(super) part: &'p SealedPart<'p>,
    pub(super) number: usize,
}

impl Keeper for WholeLane<'_> {
    fn opened(&self, part: WholePart, open: &dyn Fn() -> Result<Opened>) -> Result<Arc<Opened>> {
        let source = self.part.source(Kind::Values);
        self.part.segment.opened(self.part.index, self.number, part, &source, open)
    }
}

/// A lane of a part.
#[derive(Clone, Copy)]
pub(crate) enum PartLane<'a> {
    Hot {
        /// The lane's place in its batch.
        number: usize,
        lane: LaneView<'a>,
        field: &'a FieldPath,
    },
    Sealed {
        /// The lane's place in its block.
        number: usize,
        lane: &'a BlockLane,
        field: &'a FieldPath,
    },
}

impl<'a> PartLane<'a> {
    pub(crate) fn field(self) -> &'a FieldPath {
        match self {
            Self::Hot { field, .. } | Self::Sealed { field, .. } => field,
        }
    }

    pub(crate) fn kind(self) -> LaneKind {
        match self {
            Self::Hot { lane, .. } => lane.kind,
            Self::Sealed { lane, .. } => lane.kind,
        }
    }

    /// Whether its values are shaped text.
    pub(crate) fn is_text(self) -> bool {
        match self {
            Self::Hot { lane, .. } => lane.kind.is_text(),
            Self::Sealed { lane, .. } => lane.is_text(),
        }
    }

    pub(crate) fn count(self) -> usize {
        match self {
            Self::Hot { lane, .. } => lane.count,
            Self::Sealed { lane, .. } => lane.count,
        }
    }
}

impl<'a> Part<'a> {
    pub(crate) fn sealed(
        segment: &'a Segment,
        index: usize,
        block: &'a Block,
        shapes: &'a ShapeTable,
        counters: &'a Counters,
        crew: &'a Crew,
    ) -> Self {
        let pages = segment.sharing(KeptPages::new(counters.held()));
        let (kept, held) = (Kept::new(counters.held(), pages), counters.held());
        Self::Sealed(SealedPart { segment, index, block, shapes, counters, crew, kept, held })
    }

    /// Does something with it of whose reads nothing is held once it is done.
    pub(crate) fn passing<T>(&self, work: impl FnOnce() -> T) -> T {
        match self {
            Self::Hot(_) => work(),
            Self::Sealed(sealed) => sealed.held.passing(work),
        }
    }

    pub(crate) fn rows(&self) -> usize {
        match self {
            Self::Hot(hot) => hot.batch.batch.rows(),
            Self::Sealed(sealed) => sealed.block.rows,
        }
    }

    pub(crate) fn epoch(&self) -> u32 {
        match self {
            Self::Hot(hot) => hot.epoch,
            Self::Sealed(sealed) => sealed.block.epoch,
        }
    }

    pub(crate) fn shapes(&self) -> &'a ShapeTable {
        match self {
            Self::Hot(hot) => hot.shapes,
            Self::Sealed(sealed) => sealed.shapes,
        }
    }

    pub(crate) fn counters(&self) -> &'a Counters {
        match self {
            Self::Hot(hot) => hot.counters,
            Self::Sealed(sealed) => sealed.counters,
        }
    }

    /// Event times; arrival where none was sent.
    pub(crate) fn times(&self) -> Result<Vec<i64>> {
        match self {
            Self::Hot(HotPart { batch, .. }) => {
                Ok(batch.batch.times().map(|time| time.unwrap_or(batch.arrival)).collect())
            }
            Self::Sealed(sealed) => sealed.block.times(&sealed.source(Kind::Rows)),
        }
    }

    pub(crate) fn seqs(&self) -> Result<Vec<u64>> {
        match self {
            Self::Hot(HotPart { batch, .. }) => {
                Ok((0..batch.batch.rows() as u64).map(|row| batch.first_seq + row).collect())
            }
            Self::Sealed(sealed) => {
                let seqs = sealed.block.seqs(&sealed.source(Kind::Rows))?;
                Ok(seqs.into_iter().map(|seq| seq as u64).collect())
            }
        }
    }

    /// Event times of some rows, which ascend.
    pub(crate) fn few_times(&self, rows: &[usize]) -> Result<Vec<i64>> {
        match self {
            Self::Sealed(sealed) if rows.len() < sealed.block.rows => {
                sealed.block.few_times(rows, &sealed.source(Kind::Rows))
            }
            _ => {
                let times = self.times()?;
                Ok(rows.iter().map(|row| times.get(*row).copied().unwrap_or(0)).collect())
            }
        }
    }

    /// Sequence numbers of some rows, which ascend.
    pub(crate) fn few_seqs(&self, rows: &[usize]) -> Result<Vec<u64>> {
        match self {
            Self::Hot(hot) => Ok(rows.iter().map(|row| hot.batch.first_seq + *row as u64).collect()),
            Self::Sealed(sealed) => {
                let seqs = sealed.block.few_seqs(rows, &sealed.source(Kind::Rows))?;
                Ok(seqs.into_iter().map(|seq| seq as u64).collect())
            }
        }
    }

    /// The row of a sequence number.
    pub(crate) fn row_of(&self, seq: u64) -> Result<Option<usize>> {
        match self {
            Self::Hot(hot) => {
                let row = seq.checked_sub(hot.batch.first_seq).map(|row| row as usize);
                Ok(row.filter(|row| *row < self.rows()))
            }
            Self::Sealed(sealed) => sealed.block.row_of(seq, &sealed.source(Kind::Rows)),
        }
    }

    pub(crate) fn arrivals(&self) -> Arrivals {
        match self {
            Self::Hot(hot) => Arrivals::One(hot.batch.arrival),
            Self::Sealed(sealed) => sealed.block.arrivals.clone(),
        }
    }

    /// The number of each row's stream, for [`Self::service`].
    pub(crate) fn streams(&self) -> Result<Vec<u32>> {
        match self {
            Self::Hot(hot) => Ok((0..self.rows()).map(|row| hot.batch.batch.stream_of(row) as u32).collect()),
            Self::Sealed(sealed) => sealed.block.streams(&sealed.source(Kind::Rows)),
        }
    }

    /// The streams, and how many rows each has. Reads nothing.
    pub(crate) fn stream_rows(&self) -> &'a [(u32, u32)] {
        match self {
            Self::Hot(hot) => hot.batch.counted.tally.streams(),
            Self::Sealed(sealed) => sealed.block.stream_rows(),
        }
    }

    /// The service of a stream.
    pub(crate) fn service(&self, stream: u32) -> &'a str {
        match self {
            Self::Hot(hot) => hot.batch.batch.streams().get(stream as usize).map_or("", |s| &s.service),
            Self::Sealed(sealed) => {
                sealed.segment.footer.streams.get(stream as usize).map_or("", |(service, _)| service.as_str())
            }
        }
    }

    /// The fields of a stream, as LogsQL shows them.
    pub(crate) fn tags(&self, stream: u32) -> &'a str {
        match self {
            Self::Hot(hot) => hot.batch.batch.streams().get(stream as usize).map_or("", |s| &s.tags),
            Self::Sealed(sealed) => {
                sealed.segment.footer.streams.get(stream as usize).map_or("", |(_, tags)| tags.as_str())
            }
        }
    }

    /// All lanes, in the order of their fields.
    pub(crate) fn lanes(&self) -> Vec<PartLane<'a>> {
        match self {
            Self::Hot(hot) => {
                let fields = hot.batch.batch.fields();
                let mut lanes: Vec<(usize, LaneView<'_>)> = hot.batch.batch.lanes().enumerate().collect();
                lanes.sort_by_key(|(_, lane)| lane.field);
                let with_field = |(number, lane): (usize, LaneView<'a>)| {
                    Some(PartLane::Hot { number, lane, field: fields.get(lane.field)? })
                };
                lanes.into_iter().filter_map(with_field).collect()
            }
            Self::Sealed(sealed) => {
                let (block, fields) = (sealed.block, &sealed.segment.fields);
                let lanes = block.lanes.iter().enumerate();
                lanes
                    .filter_map(|(number, lane)| {
                        Some(PartLane::Sealed { number, lane, field: fields.get(lane.field as usize)? })
                    })
                    .collect()
            }
        }
    }

    /// Whether every row has a value in a lane.
    pub(crate) fn is_full(&self, lane: PartLane<'a>) -> bool {
        lane.count() == self.rows()
    }

    /// The rows that have a value in a lane; nothing where the first `count` rows have.
    pub(crate) fn presence(&self, lane: PartLane<'a>) -> Result<Option<Vec<u32>>> {
        match (self, lane) {
            (Self::Sealed(sealed), PartLane::Sealed { lane, .. }) => {
                sealed.block.presence(lane, &sealed.source(Kind::Rows))
            }
            (_, PartLane::Hot { lane, .. }) if !lane.is_prefix() => {
                Ok(Some(lane.rows().map(|row| row as u32).collect()))
            }
            _ => Ok(None),
        }
    }

    /// The shape of each value of a sealed text lane, by the lane's own numbers.
    pub(crate) fn codes(&self, lane: PartLane<'a>) -> Result<Rc<Vec<u32>>> {
        match (self, lane) {
            (Self::Sealed(sealed), PartLane::Sealed { number, lane, .. }) => sealed.codes(number, lane),
            _ => Ok(Rc::default()),
        }
    }

    /// Calls `found` with the text of each value of a lane, or of those that are wanted, which ascend.
    pub(crate) fn texts(
        &self,
        lane: PartLane<'a>,
        wanted: Option<&[usize]>,
        found: &mut dyn FnMut(usize, &[u8]),
    ) -> Result<()> {
        if wanted.is_some_and(<[usize]>::is_empty) {
            return Ok(());
        }
        match (self, lane) {
            (Self::Hot(hot), PartLane::Hot { lane: view, .. }) if view.kind.is_text() => {
                hot_texts(hot, view, wanted, found);
                Ok(())
            }
            (Self::Sealed(sealed), PartLane::Sealed { number, lane, .. }) if lane.is_listed() => {
                listed_texts(sealed, number, lane, wanted, found)
            }
            (Self::Sealed(sealed), PartLane::Sealed { number, lane, .. }) if lane.is_text() => {
                sealed_texts(sealed, number, lane, wanted, found)
            }
            _ => self.fixed_texts(lane, wanted, found),
        }
    }

    fn fixed_texts(
        &self,
        lane: PartLane<'a>,
        wanted: Option<&[usize]>,
        found: &mut dyn FnMut(usize, &[u8]),
    ) -> Result<()> {
        let mut text = Vec::new();
        if let PartLane::Hot { lane, .. } = lane {
            let mut give = |value: usize| {
                text.clear();
                lane.push_text(value, &mut text);
                found(value, &text);
            };
            match wanted {
                Some(wanted) => wanted.iter().for_each(|value| give(*value)),
                None => (0..lane.count).for_each(give),
            }
            return Ok(());
        }
        let (Self::Sealed(sealed), PartLane::Sealed { lane, .. }) = (self, lane) else { return Ok(()) };
        let mut give = |value: usize, bytes: &[u8]| {
            text.clear();
            lane.push_text(bytes, &mut text);
            found(value, &text);
        };
        let few = wanted.filter(|wanted| wanted.len() < FEW);
        let (bytes, width) = (fixed_bytes(sealed, lane, few)?, lane.width());
        let at = |place: usize| bytes.get(place * width..(place + 1) * width).unwrap_or_default();
        match (wanted, few) {
            (_, Some(few)) => few.iter().enumerate().for_each(|(i, value)| give(*value, at(i))),
            (Some(wanted), _) => wanted.iter().for_each(|value| give(*value, at(*value))),
            (None, _) => (0..lane.count).for_each(|value| give(value, at(value))),
        }
        Ok(())
    }
}

/// Wanted values up to which only the pages are read that they lie in.
pub(super) const FEW: usize = 64;

/// The bytes of all values of a lane of fixed width, or of a few, one after another.
fn fixed_bytes(sealed: &SealedPart<'_>, lane: &BlockLane, few: Option<&[usize]>) -> Result<Vec<u8>> {
    let (block, source) = (sealed.block, &sealed.source(Kind::Values));
    let ints = || match few {
        Some(wanted) => block.few_ints(lane, wanted, source),
        None => block.ints(lane, source),
    };
    Ok(match lane.kind {
        _ if lane.spelling().is_some() => ints()?.iter().flat_map(|value| value.to_le_bytes()).collect(),
        LaneKind::Int => ints()?.iter().flat_map(|value| value.to_le_bytes()).collect(),
        LaneKind::Bool => ints()?.iter().map(|value| u8::from(*value == 1)).collect(),
        LaneKind::Null => Vec::new(),
        _ => match few {
            Some(wanted) => block.few_fixed(lane, wanted, source)?,
            None => block.fixed(lane, source)?,
        },
    })
}
