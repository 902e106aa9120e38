//! Reads one block: its head once, columns and lanes as they are asked for.
//!
//! Invariants
//! * The head's crc is checked before any of it is believed, each page's before it is used.
//! * A block that is damaged gives an error, never another row's value.
use super::block::{Arrivals, BlockMeta};
use super::directory::Directory;
use super::forms::{Form, Listed, ListedHead, Spelling};
use super::head;
use super::ints::{CodeForm, IntHead, read_codes};
use super::look::Words;
use super::numbers::{Numbers, Totals};
use super::pages::{PageCache, Pages, Source, Stream};
use super::text_lane::{Shapes, TextHead};
use super::whole::{Keeper, WholeTexts};
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
    streams: Streams,
    pub(crate) lanes: Vec<BlockLane>,
    pages: Pages,
}

/// The streams of a block's rows.
struct Streams {
    /// The footer's number of each, and how many rows are of it.
    listed: Vec<(u32, u32)>,
    form: CodeForm,
    codes: Stream,
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
    Text(Box<TextHead>),
    Listed(ListedHead),
    Spelled(Spelling, IntHead),
    Ints(IntHead),
    Fixed(Stream),
    None,
}

impl BlockLane {
    /// Whether its values are shaped text.
    pub(crate) fn is_text(&self) -> bool {
        matches!(self.values, LaneValues::Text(_))
    }

    /// Whether its texts are listed.
    pub(crate) fn is_listed(&self) -> bool {
        matches!(self.values, LaneValues::Listed(_))
    }

    /// How the integers are spelled that stand for its texts.
    pub(crate) fn spelling(&self) -> Option<&Spelling> {
        match &self.values {
            LaneValues::Spelled(spelling, _) => Some(spelling),
            _ => None,
        }
    }

    /// Bytes of a value where all values have as many.
    pub(crate) fn width(&self) -> usize {
        if self.spelling().is_some() { size_of::<i64>() } else { self.kind.width().unwrap_or(0) }
    }

    /// Appends the text of a value that is stored in fixed width.
    pub(crate) fn push_text(&self, bytes: &[u8], out: &mut Vec<u8>) {
        match self.spelling() {
            Some(spelling) => spelling.push(i64::from_le_bytes(bytes.try_into().unwrap_or_default()), out),
            None => self.kind.push_text(bytes, out),
        }
    }
}

impl Block {
    /// Reads and checks the head of a block of a segment that has so many fields, streams and shapes.
    pub(crate) fn read(meta: &BlockMeta, totals: Totals, source: &dyn Source) -> Result<Self> {
        let bytes = head::load(meta, source)?;
        let r = &mut Reader::new(&bytes);
        let numbers = Numbers::read(r, totals)?;
        Self::read_body(meta, numbers, r)
    }

    /// Reads what comes behind a head's numbers.
    pub(super) fn read_body(meta: &BlockMeta, numbers: Numbers, r: &mut Reader<'_>) -> Result<Self> {
        let rows = r.varint()? as usize;
        if rows != meta.rows as usize || rows > BLOCK_ROWS_MAX {
            return Err(damaged());
        }
        let epoch = r.varint()? as u32;
        let seqs = IntHead::read(r)?;
        let times = IntHead::read(r)?;
        let arrivals = read_arrivals(r)?;
        let streams = Streams::read(r, numbers.streams, rows)?;
        let mut lists = numbers.shapes.into_iter();
        let mut lanes = Vec::with_capacity(numbers.fields.len());
        for field in numbers.fields {
            lanes.push(read_lane(r, field, &mut lists, rows)?);
        }
        let pages = Pages::read(r, meta.offset)?;
        if lists.next().is_some() || r.remaining() != 0 || pages.stored_bytes() != meta.pages_len {
            return Err(damaged());
        }
        Ok(Self { rows, epoch, seqs, times, arrivals, streams, lanes, pages })
    }

    pub(crate) fn seqs(&self, source: &dyn Source) -> Result<Vec<i64>> {
        self.seqs.load(self.rows, &self.pages, source)
    }

    pub(crate) fn times(&self, source: &dyn Source) -> Result<Vec<i64>> {
        self.times.load(self.rows, &self.pages, source)
    }

    /// Each row's stream, by the footer's numbers.
    pub(crate) fn streams(&self, source: &dyn Source) -> Result<Vec<u32>> {
        let Streams { listed, form, codes } = &self.streams;
        let codes = read_codes(self.rows, listed.len(), *form, *codes, &self.pages, source)?;
        Ok(codes.iter().map(|code| listed.get(*code as usize).map_or(0, |(stream, _)| *stream)).collect())
    }

    /// The streams that rows are of, by the footer's numbers, and how many rows each has. Reads nothing.
    pub(crate) fn stream_rows(&self) -> &[(u32, u32)] {
        &self.streams.listed
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

    /// Which shapes a text lane has. Reads nothing.
    pub(crate) fn shapes<'a>(&self, lane: &'a BlockLane) -> Result<&'a Shapes> {
        Ok(&self.text_head(lane)?.shapes)
    }

    /// The texts of a listed lane, and how many values are each.
    pub(crate) fn listed(&self, lane: &BlockLane, source: &dyn Source) -> Result<Listed> {
        match &lane.values {
            LaneValues::Listed(head) => head.list(lane.count, &self.pages, source),
            _ => Err(damaged()),
        }
    }

    /// The shape of each value of a text lane, or the place of each value's text in the list.
    pub(crate) fn codes(&self, lane: &BlockLane, source: &dyn Source) -> Result<Vec<u32>> {
        match &lane.values {
            LaneValues::Listed(head) => head.codes(lane.count, &self.pages, source),
            _ => self.text_head(lane)?.codes(lane.count, &self.pages, source),
        }
    }

    /// Whether some codes of a text lane can be read without all others.
    pub(crate) fn has_codes_apart(&self, lane: &BlockLane) -> bool {
        self.text_head(lane).is_ok_and(TextHead::has_codes_apart)
    }

    /// The shapes, or places in the list, of some values of a text lane.
    pub(crate) fn few_codes(&self, lane: &BlockLane, wanted: &[usize], source: &dyn Source) -> Result<Vec<u32>> {
        match &lane.values {
            LaneValues::Listed(head) => head.few_codes(lane.count, wanted, &self.pages, source),
            _ => self.text_head(lane)?.few_codes(lane.count, wanted, &self.pages, source),
        }
    }

    /// The slots of a text lane.
    pub(crate) fn directory(&self, lane: &BlockLane, slots_of: &[u8], source: &dyn Source) -> Result<Directory> {
        self.text_head(lane)?.directory(slots_of, &self.pages, source)
    }

    /// The variables of a text lane, to be read one by one.
    pub(crate) fn words<'a>(
        &'a self,
        lane: &'a BlockLane,
        directory: &Directory,
        source: &'a dyn Source,
    ) -> Result<Words<'a>> {
        Words::new(&self.text_head(lane)?.slots, &self.pages, source, directory)
    }

    /// The texts of a text lane that are kept whole, `count` of them, to be read one by one.
    pub(crate) fn whole_texts<'a>(
        &'a self,
        lane: &'a BlockLane,
        count: usize,
        source: &'a dyn Source,
        keeper: &'a dyn Keeper,
    ) -> Result<WholeTexts<'a>> {
        self.text_head(lane)?.whole.open(count, &self.pages, source, keeper)
    }

    /// Bytes of the texts of a lane that are kept whole.
    pub(crate) fn whole_bytes(&self, lane: &BlockLane) -> usize {
        self.text_head(lane).map_or(0, |head| head.whole.bytes())
    }

    fn text_head<'a>(&self, lane: &'a BlockLane) -> Result<&'a TextHead> {
        match &lane.values {
            LaneValues::Text(head) => Ok(head),
            _ => Err(damaged()),
        }
    }

    /// Some values of a lane of integers or booleans, or the integers that stand for texts.
    pub(crate) fn few_ints(&self, lane: &BlockLane, wanted: &[usize], source: &dyn Source) -> Result<Vec<i64>> {
        match &lane.values {
            LaneValues::Ints(head) | LaneValues::Spelled(_, head) => head.pick(lane.count, wanted, &self.pages, source),
            _ => Err(damaged()),
        }
    }

    /// Calls `found` with each value of a lane of integers, or of integers that stand for texts, that is this number.
    pub(crate) fn find_int(
        &self,
        lane: &BlockLane,
        wanted: i64,
        source: &dyn Source,
        found: &mut dyn FnMut(usize),
    ) -> Result<()> {
        match &lane.values {
            LaneValues::Ints(head) | LaneValues::Spelled(_, head) => {
                head.find(lane.count, wanted, &self.pages, source, found)
            }
            _ => Err(damaged()),
        }
    }

    /// Sequence numbers of some rows, which ascend.
    pub(crate) fn few_seqs(&self, rows: &[usize], source: &dyn Source) -> Result<Vec<i64>> {
        self.seqs.pick(self.rows, rows, &self.pages, source)
    }

    /// Event times of some rows, which ascend.
    pub(crate) fn few_times(&self, rows: &[usize], source: &dyn Source) -> Result<Vec<i64>> {
        self.times.pick(self.rows, rows, &self.pages, source)
    }

    /// The row of a sequence number.
    pub(crate) fn row_of(&self, seq: u64, source: &dyn Source) -> Result<Option<usize>> {
        self.seqs.place_of(self.rows, seq as i64, &self.pages, source)
    }

    /// Some values of a lane of hex strings or UUIDs, one after another.
    pub(crate) fn few_fixed(&self, lane: &BlockLane, wanted: &[usize], source: &dyn Source) -> Result<Vec<u8>> {
        let LaneValues::Fixed(stream) = &lane.values else { return Err(damaged()) };
        let (width, mut out) = (lane.kind.width().unwrap_or(0), Vec::new());
        let mut cache = PageCache::new(&self.pages, source);
        for value in wanted {
            out.extend_from_slice(&cache.bytes(*stream, value * width, (value + 1) * width)?);
        }
        Ok(out)
    }

    /// About the bytes that the head takes in memory.
    pub(crate) fn memory(&self) -> usize {
        let lists = self.lanes.iter().filter_map(|lane| self.text_head(lane).ok()).map(|head| head.shapes.memory());
        let streams = self.streams.listed.len() * size_of::<(u32, u32)>();
        size_of::<Self>()
            + self.lanes.len() * size_of::<BlockLane>()
            + lists.sum::<usize>()
            + streams
            + self.pages.memory()
    }

    /// The values of a lane of integers or booleans, or the integers that stand for texts.
    pub(crate) fn ints(&self, lane: &BlockLane, source: &dyn Source) -> Result<Vec<i64>> {
        match &lane.values {
            LaneValues::Ints(head) | LaneValues::Spelled(_, head) => head.load(lane.count, &self.pages, source),
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

    /// Checks the stored bytes of every page, which begin where the block does in `source`.
    pub(super) fn check_pages(&self, source: &dyn Source) -> Result<()> {
        self.pages.check(source)
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

impl Streams {
    fn read(r: &mut Reader<'_>, numbers: Vec<u32>, rows: usize) -> Result<Self> {
        let mut listed = Vec::with_capacity(numbers.len());
        for stream in numbers {
            listed.push((stream, u32::try_from(r.varint()?).map_err(|_| damaged())?));
        }
        if listed.iter().map(|(_, rows)| u64::from(*rows)).sum::<u64>() != rows as u64 {
            return Err(damaged());
        }
        Ok(Self { listed, form: CodeForm::read(r)?, codes: Stream::read(r)? })
    }
}

/// Reads a lane of a block of `rows` rows; a text lane's shapes are the next of `lists`.
fn read_lane(
    r: &mut Reader<'_>,
    field: u32,
    lists: &mut impl Iterator<Item = Vec<u32>>,
    rows: usize,
) -> Result<BlockLane> {
    let kind = LaneKind::from_code(r.array()?).ok_or_else(damaged)?;
    let (presence, count) = match r.u8()? {
        0 => (None, rows),
        _ => {
            let count = r.varint()? as usize;
            (Some(IntHead::read(r)?), count)
        }
    };
    if count > rows {
        return Err(damaged());
    }
    let values = match kind {
        LaneKind::String | LaneKind::Number | LaneKind::Json => match Form::read(r, lists, count)? {
            Form::Shaped(head) => LaneValues::Text(head),
            Form::Listed(head) => LaneValues::Listed(head),
            Form::Spelled(spelling, head) => LaneValues::Spelled(spelling, head),
        },
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
