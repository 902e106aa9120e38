//! Reads one block: its head once, columns and lanes as they are asked for.
//!
//! Invariants
//! * The head's crc is checked before any of it is believed, each page's before it is used.
//! * A block that is damaged gives an error, never another row's value.
use super::block::{Arrivals, BlockMeta};
use super::ints::IntHead;
use super::look::{Directory, WholeTexts, Words};
use super::pages::{Pages, Source, Stream};
use super::text_lane::{Shapes, TextHead, Variables};
use crate::batch::LaneKind;
use crate::codec::{Reader, unzigzag};
use crate::error::{Error, Result};
use crate::limits::BLOCK_ROWS_MAX;

/// A block's head.
pub(crate) struct Block {
    pub(crate) rows: usize,
    pub(crate) epoch: u32,
    seqs: IntHead,
    times: IntHead,
    pub(crate) arrivals: Arrivals,
    streams: IntHead,
    /// How many streams the segment has.
    stream_count: usize,
    pub(crate) lanes: Vec<BlockLane>,
    pages: Pages,
}

/// A lane as the head has it.
pub(crate) struct BlockLane {
    /// Number among the segment's fields.
    pub(crate) field: u32,
    pub(crate) kind: LaneKind,
    /// How many rows have a value.
    pub(crate) count: usize,
    /// Which ones, where not all have.
    presence: Option<IntHead>,
    values: LaneValues,
}

enum LaneValues {
    Text(TextHead),
    Ints(IntHead),
    Fixed(Stream),
    None,
}

impl Block {
    /// Reads and checks the head of a block of a segment with `fields` fields and `streams` streams.
    pub(crate) fn read(meta: &BlockMeta, fields: usize, streams: usize, source: &dyn Source) -> Result<Self> {
        let mut bytes = vec![0; meta.head_len as usize];
        source.read(meta.offset + meta.pages_len, &mut bytes)?;
        if crc32fast::hash(&bytes) != meta.head_crc {
            return Err(Error::corrupt(format!("the head of the block at byte {} fails its checksum", meta.offset)));
        }
        let r = &mut Reader::new(&bytes);
        let rows = r.varint()? as usize;
        if rows != meta.rows as usize || rows > BLOCK_ROWS_MAX {
            return Err(damaged());
        }
        let epoch = r.varint()? as u32;
        let seqs = IntHead::read(r)?;
        let times = IntHead::read(r)?;
        let arrivals = read_arrivals(r)?;
        let stream_column = IntHead::read(r)?;
        let n = r.count(5)?;
        let lanes = (0..n).map(|_| read_lane(r, rows, fields)).collect::<Result<_>>()?;
        let pages = Pages::read(r, meta.offset)?;
        if r.remaining() != 0 || pages.stored_bytes() != meta.pages_len {
            return Err(damaged());
        }
        Ok(Self { rows, epoch, seqs, times, arrivals, streams: stream_column, stream_count: streams, lanes, pages })
    }

    pub(crate) fn seqs(&self, source: &dyn Source) -> Result<Vec<i64>> {
        self.seqs.load(self.rows, &self.pages, source)
    }

    pub(crate) fn times(&self, source: &dyn Source) -> Result<Vec<i64>> {
        self.times.load(self.rows, &self.pages, source)
    }

    /// Each row's stream, by the footer's numbers.
    pub(crate) fn streams(&self, source: &dyn Source) -> Result<Vec<i64>> {
        let streams = self.streams.load(self.rows, &self.pages, source)?;
        if streams.iter().any(|stream| usize::try_from(*stream).map_or(true, |stream| stream >= self.stream_count)) {
            return Err(damaged());
        }
        Ok(streams)
    }

    /// The rows that have a value in a lane; nothing where all have.
    pub(crate) fn presence(&self, lane: &BlockLane, source: &dyn Source) -> Result<Option<Vec<u32>>> {
        let Some(head) = &lane.presence else { return Ok(None) };
        let rows = head.load(lane.count, &self.pages, source)?;
        let ascending = rows.windows(2).all(|w| w.first() < w.last());
        let inside =
            rows.first().is_none_or(|row| *row >= 0) && rows.last().is_none_or(|row| (*row as u64) < self.rows as u64);
        if !ascending || !inside {
            return Err(damaged());
        }
        Ok(Some(rows.iter().map(|row| *row as u32).collect()))
    }

    /// Which shapes a text lane has, of a segment with `total` shapes, without reading any row.
    pub(crate) fn shapes(&self, lane: &BlockLane, total: usize, source: &dyn Source) -> Result<Shapes> {
        match &lane.values {
            LaneValues::Text(head) => head.shapes(lane.count, total, &self.pages, source),
            _ => Err(damaged()),
        }
    }

    /// The shape of each value of a text lane.
    pub(crate) fn codes(&self, lane: &BlockLane, source: &dyn Source) -> Result<Vec<u32>> {
        match &lane.values {
            LaneValues::Text(head) => head.codes(lane.count, &self.pages, source),
            _ => Err(damaged()),
        }
    }

    /// The variables of a text lane.
    pub(crate) fn variables(
        &self,
        lane: &BlockLane,
        shapes: &Shapes,
        slots_of: &[u8],
        source: &dyn Source,
    ) -> Result<Variables> {
        match &lane.values {
            LaneValues::Text(head) => head.variables(shapes, slots_of, &self.pages, source),
            _ => Err(damaged()),
        }
    }

    /// The slots of a text lane.
    pub(crate) fn directory(
        &self,
        lane: &BlockLane,
        shapes: &Shapes,
        slots_of: &[u8],
        source: &dyn Source,
    ) -> Result<Directory> {
        self.text_head(lane)?.directory(shapes, slots_of, &self.pages, source)
    }

    /// The variables of a text lane, to be read one by one.
    pub(crate) fn words<'a>(
        &'a self,
        lane: &'a BlockLane,
        directory: &Directory,
        source: &'a dyn Source,
    ) -> Result<Words<'a>> {
        Words::new(self.text_head(lane)?, &self.pages, source, directory)
    }

    /// The texts of a text lane that are kept whole, `count` of them, to be read one by one.
    pub(crate) fn whole_texts<'a>(
        &'a self,
        lane: &BlockLane,
        count: usize,
        source: &'a dyn Source,
    ) -> Result<WholeTexts<'a>> {
        WholeTexts::new(self.text_head(lane)?, &self.pages, source, count)
    }

    /// Bytes of the texts of a lane that are kept whole.
    pub(crate) fn whole_bytes(&self, lane: &BlockLane) -> usize {
        self.text_head(lane).map_or(0, |head| head.whole.len)
    }

    fn text_head<'a>(&self, lane: &'a BlockLane) -> Result<&'a TextHead> {
        match &lane.values {
            LaneValues::Text(head) => Ok(head),
            _ => Err(damaged()),
        }
    }

    /// Some values of a lane of integers or booleans.
    pub(crate) fn few_ints(&self, lane: &BlockLane, wanted: &[usize], source: &dyn Source) -> Result<Vec<i64>> {
        match &lane.values {
            LaneValues::Ints(head) => head.pick(lane.count, wanted, &self.pages, source),
            _ => Err(damaged()),
        }
    }

    /// Some values of a lane of hex strings or UUIDs, one after another.
    pub(crate) fn few_fixed(&self, lane: &BlockLane, wanted: &[usize], source: &dyn Source) -> Result<Vec<u8>> {
        let LaneValues::Fixed(stream) = &lane.values else { return Err(damaged()) };
        let (width, mut out) = (lane.kind.width().unwrap_or(0), Vec::new());
        let mut partial = self.pages.partial(*stream)?;
        for value in wanted {
            let (from, to) = (value * width, (value + 1) * width);
            self.pages.fill(source, &mut partial, from, to)?;
            out.extend_from_slice(partial.bytes.get(from..to).unwrap_or_default());
        }
        Ok(out)
    }

    /// About the bytes that the head takes in memory.
    pub(crate) fn memory(&self) -> usize {
        size_of::<Self>() + self.lanes.len() * size_of::<BlockLane>() + self.pages.memory()
    }

    /// The values of a lane of integers or booleans.
    pub(crate) fn ints(&self, lane: &BlockLane, source: &dyn Source) -> Result<Vec<i64>> {
        match &lane.values {
            LaneValues::Ints(head) => head.load(lane.count, &self.pages, source),
            _ => Err(damaged()),
        }
    }

    /// The values of a lane of hex strings or UUIDs, one after another.
    pub(crate) fn fixed(&self, lane: &BlockLane, source: &dyn Source) -> Result<Vec<u8>> {
        match &lane.values {
            LaneValues::Fixed(stream) => self.pages.stream(source, *stream),
            _ => Err(damaged()),
        }
    }

    /// Reads and checks every page.
    pub(crate) fn verify(&self, source: &dyn Source) -> Result<()> {
        self.pages.verify(source)
    }
}

fn read_arrivals(r: &mut Reader<'_>) -> Result<Arrivals> {
    let n = r.count(2)?;
    let (mut seq, mut at) = (0u64, 0i64);
    let mut runs = Vec::with_capacity(n);
    for _ in 0..n {
        seq = seq.saturating_add(r.varint()?);
        at = at.wrapping_add(unzigzag(r.varint()?));
        runs.push((seq, at));
    }
    Ok(Arrivals::Runs(runs))
}

fn read_lane(r: &mut Reader<'_>, rows: usize, fields: usize) -> Result<BlockLane> {
    let field = u32::try_from(r.varint()?).map_err(|_| damaged())?;
    let kind = LaneKind::from_code(r.array()?).ok_or_else(damaged)?;
    let (presence, count) = match r.u8()? {
        0 => (None, rows),
        _ => {
            let count = r.varint()? as usize;
            (Some(IntHead::read(r)?), count)
        }
    };
    if field as usize >= fields || count > rows {
        return Err(damaged());
    }
    let values = match kind {
        LaneKind::String | LaneKind::Number | LaneKind::Json => LaneValues::Text(TextHead::read(r)?),
        LaneKind::Int | LaneKind::Bool => LaneValues::Ints(IntHead::read(r)?),
        LaneKind::Null => LaneValues::None,
        LaneKind::Hex { .. } | LaneKind::Uuid { .. } => {
            let stream = Stream::read(r)?;
            if stream.len != count * kind.width().unwrap_or(0) {
                return Err(damaged());
            }
            LaneValues::Fixed(stream)
        }
    };
    Ok(BlockLane { field, kind, count, presence, values })
}

fn damaged() -> Error {
    Error::corrupt("a block's head is damaged")
}
