//! Blocks as columns: what counts, groups and sorts are made of, without a record or a message being put together.
//!
//! A [`View`] is one batch or one block with the rows of it that passed. Its columns have a value for each of these rows, or
//! for those that have one; a text column gives the shape of each value as a number, and a text only where it is asked for.
//! Numbers of shapes and streams mean something within one [`View::table`] only.
//!
//! Invariants
//! * Nothing of a column is read before it is asked for.
//! * Values lie in the order of the rows; what a column gives is what the records of these rows have.
mod filled;
mod values;

use super::Place;
use super::part::{Part, PartLane};
use super::records::{put_together, values_of};
use super::rows::RowSet;
use super::texts::numbered_texts;
use crate::batch::LaneKind;
use crate::error::Result;
use crate::record::{FieldPath, Record, RecordId, ValueKind};
use crate::segment::Kind;
use crate::text::shape::WHOLE;
use std::borrow::Cow;
use std::cell::OnceCell;

/// The rows of a batch or a block that passed a search.
pub struct View<'a> {
    part: &'a Part<'a>,
    rows: Rows,
    /// The event times of some rows, which their ids are made of as well.
    times: OnceCell<Vec<i64>>,
    table: Table,
}

/// Which rows of a batch or a block.
enum Rows {
    /// All of them, which are so many; they are listed where somebody wants to see a list.
    All(usize, OnceCell<Vec<usize>>),
    Some(Vec<usize>),
}

/// Values of a lane, by their places in it, ascending; nothing where all are meant.
type Chosen<'v> = Option<Cow<'v, [usize]>>;

/// Which of a view's rows are kept, ascending, by their places in the view.
pub(crate) type Sieve<'s> = dyn Fn(&View<'_>) -> Result<Vec<usize>> + Sync + 's;

/// What numbers of shapes and streams belong to: a generation of rows that are not sealed, or a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Rows that are not sealed: shapes are numbered by generation.
    Hot(usize),
    /// A segment, by its place among those that are searched.
    Sealed(usize),
}

/// A field in one of its types, in one view.
#[derive(Clone, Copy)]
pub struct Lane<'a> {
    lane: PartLane<'a>,
}

impl<'a> Lane<'a> {
    /// The field.
    pub fn field(self) -> &'a FieldPath {
        self.lane.field()
    }

    /// What its values are in JSON.
    pub fn kind(self) -> ValueKind {
        self.lane.kind().value_kind()
    }

    /// Appends the text of one of its values where these are [`Values::Bytes`].
    pub fn push_bytes(self, bytes: &[u8], out: &mut Vec<u8>) {
        self.lane.kind().push_text(bytes, out);
    }

    /// Appends the text of one of its values where these are [`Values::Spelled`].
    pub fn push_spelled(self, value: i64, out: &mut Vec<u8>) {
        if let PartLane::Sealed { lane, .. } = self.lane
            && let Some(spelling) = lane.spelling()
        {
            spelling.push(value, out);
        }
    }
}

/// The values of a lane, and which of the view's rows have one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// For each value the place of its row among the view's, ascending; nothing where each row has one.
    pub rows: Option<Vec<u32>>,
    /// The values.
    pub values: Values,
}

/// Values of one type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Values {
    /// Null, so many times. Its text is empty.
    Null(usize),
    /// Integers.
    Ints(Vec<i64>),
    /// Booleans.
    Bools(Vec<bool>),
    /// Hex digits or UUIDs as bytes, so many each, one after another.
    Bytes {
        /// Bytes of each.
        width: usize,
        /// All of them.
        bytes: Vec<u8>,
    },
    /// The shape of each text, by its table's numbers; 0 for texts that are kept whole.
    Shapes(Vec<u32>),
    /// Texts of which there are few different ones.
    Listed {
        /// The different texts, ascending.
        texts: Vec<String>,
        /// Which of them each is.
        places: Vec<u32>,
    },
    /// Integers that stand for texts, decimals or times, as [`Lane::push_spelled`] renders them. In one view, texts are the
    /// same where their integers are.
    Spelled(Vec<i64>),
}

impl Values {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Null(count) => *count,
            Self::Ints(values) => values.len(),
            Self::Bools(values) => values.len(),
            Self::Bytes { width, bytes } => bytes.len().checked_div(*width).unwrap_or(0),
            Self::Shapes(values) => values.len(),
            Self::Listed { places, .. } => places.len(),
            Self::Spelled(values) => values.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<'a> View<'a> {
    pub(super) fn new(part: &'a Part<'a>, rows: Vec<usize>, place: Place) -> Self {
        let table = match place {
            Place::Hot(generation, _) => Table::Hot(generation),
            Place::Sealed(segment, _) => Table::Sealed(segment),
        };
        let rows =
            if rows.len() == part.rows() { Rows::All(rows.len(), OnceCell::from(rows)) } else { Rows::Some(rows) };
        Self { part, rows, times: OnceCell::new(), table }
    }

    /// Of the rows of a set.
    pub(super) fn of(part: &'a Part<'a>, set: &RowSet, place: Place) -> Self {
        if set.len() == part.rows() {
            return Self { rows: Rows::All(part.rows(), OnceCell::new()), ..Self::new(part, Vec::new(), place) };
        }
        Self::new(part, set.listed(), place)
    }

    /// The rows, by their places in the batch or block.
    fn rows(&self) -> &[usize] {
        match &self.rows {
            Rows::All(len, listed) => listed.get_or_init(|| (0..*len).collect()),
            Rows::Some(rows) => rows,
        }
    }

    /// The rows, by their places in the batch or block, that a sieve keeps.
    pub(super) fn sifted(self, sieve: &Sieve<'_>) -> Result<Vec<usize>> {
        let kept = sieve(&self)?;
        if self.is_whole() {
            return Ok(kept);
        }
        let rows = self.rows();
        Ok(kept.into_iter().filter_map(|place| rows.get(place).copied()).collect())
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        match &self.rows {
            Rows::All(len, _) => *len,
            Rows::Some(rows) => rows.len(),
        }
    }

    /// Whether there is none; no such view is given.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether all rows of the batch or block are here.
    pub fn is_whole(&self) -> bool {
        matches!(self.rows, Rows::All(..))
    }

    /// What its numbers of shapes and streams belong to.
    pub fn table(&self) -> Table {
        self.table
    }

    /// The event time of each row.
    pub fn times(&self) -> Result<Vec<i64>> {
        if self.is_whole() {
            return self.part.times();
        }
        if let Some(times) = self.times.get() {
            return Ok(times.clone());
        }
        let times = self.part.few_times(self.rows())?;
        Ok(self.times.get_or_init(|| times).clone())
    }

    /// The sequence number of each row.
    pub fn seqs(&self) -> Result<Vec<u64>> {
        if self.is_whole() { self.part.seqs() } else { self.part.few_seqs(self.rows()) }
    }

    /// How many of the rows have arrived since a time.
    pub(crate) fn arrived_since(&self, since: i64) -> Result<u64> {
        let arrivals = self.part.arrivals();
        let (earliest, latest) = arrivals.range();
        if latest < since {
            return Ok(0);
        }
        if earliest >= since {
            return Ok(self.len() as u64);
        }
        Ok(self.seqs()?.into_iter().filter(|seq| arrivals.at(*seq) >= since).count() as u64)
    }

    /// The epoch of the rows' sequence numbers.
    pub fn epoch(&self) -> u32 {
        self.part.epoch()
    }

    /// The id of each row.
    pub fn ids(&self) -> Result<Vec<RecordId>> {
        let rows = self.times()?.into_iter().zip(self.seqs()?);
        Ok(rows.map(|(time, seq)| RecordId::new(time, self.part.epoch(), seq)).collect())
    }

    /// The stream of each row.
    pub fn streams(&self) -> Result<Vec<u32>> {
        let streams = self.part.streams()?;
        if self.is_whole() {
            return Ok(streams);
        }
        Ok(self.rows().iter().map(|row| streams.get(*row).copied().unwrap_or(0)).collect())
    }

    /// The service of a stream.
    pub fn service(&self, stream: u32) -> &'a str {
        self.part.service(stream)
    }

    /// The fields of a stream, as LogsQL shows them.
    pub fn tags(&self, stream: u32) -> &'a str {
        self.part.tags(stream)
    }

    /// The stream that all rows are of, where that is known without reading.
    pub fn only_stream(&self) -> Option<u32> {
        match self.part.stream_rows() {
            [(only, _)] => Some(*only),
            _ => None,
        }
    }

    /// Whether a field has a value in every row of the batch or block.
    pub fn is_full(&self, lane: Lane<'a>) -> bool {
        self.part.is_full(lane.lane)
    }

    /// All lanes, in the order of their fields. Two types of one field are two lanes, and no row has a value in both.
    pub fn lanes(&self) -> Vec<Lane<'a>> {
        self.part.lanes().into_iter().map(|lane| Lane { lane }).collect()
    }

    /// The lanes whose field has this flat name, in their order. Where a row has a value in several, the last counts.
    pub fn lanes_of(&self, name: &str) -> Vec<Lane<'a>> {
        self.lanes().into_iter().filter(|lane| &*lane.field().name == name).collect()
    }

    /// Values of a lane that the view's rows have: their places in the lane, and in the view.
    fn values_in(&self, lane: Lane<'a>) -> Result<(Chosen<'_>, Option<Vec<u32>>)> {
        if self.part.is_full(lane.lane) {
            let chosen = (!self.is_whole()).then(|| Cow::Borrowed(self.rows()));
            return Ok((chosen, None));
        }
        let presence = self.part.presence(lane.lane)?;
        if self.is_whole() {
            return Ok((None, Some(presence.unwrap_or_else(|| (0..lane.lane.count() as u32).collect()))));
        }
        let (values, places) = values_of(self.rows(), presence.as_deref(), lane.lane.count());
        let is_full = places.len() == self.len();
        Ok((Some(values.into()), (!is_full).then(|| places.into_iter().map(|place| place as u32).collect())))
    }

    /// Whether the values of a lane may lie in another form than as texts that each differ.
    pub(crate) fn has_form(&self, lane: Lane<'a>) -> Result<bool> {
        if matches!(lane.lane.kind(), LaneKind::Hex { .. } | LaneKind::Uuid { .. }) {
            return Ok(false);
        }
        match (self.part, lane.lane) {
            (Part::Sealed(sealed), PartLane::Sealed { lane, .. }) if lane.is_text() => {
                let slots = sealed.shapes.slots();
                let has_slots = |shape: &u32| slots.get(*shape as usize).is_none_or(|slots| *slots > 0);
                Ok(!sealed.list(lane)?.listed.iter().any(has_slots))
            }
            _ => Ok(true),
        }
    }

    /// The values of a sealed lane of texts none of which has variables: the different texts, and which of them each is.
    pub(crate) fn literals(&self, lane: Lane<'a>) -> Result<Option<(Vec<&'a str>, Vec<u32>)>> {
        let (Part::Sealed(sealed), PartLane::Sealed { lane: own, .. }) = (self.part, lane.lane) else {
            return Ok(None);
        };
        if !own.is_text() {
            return Ok(None);
        }
        let texts: Option<Vec<&str>> = sealed.list(own)?.listed.iter().map(|shape| self.literal(*shape)).collect();
        let Some(texts) = texts else { return Ok(None) };
        let (wanted, _) = self.values_in(lane)?;
        let wanted = wanted.as_deref();
        let count = wanted.map_or(lane.lane.count(), <[usize]>::len);
        let places = if texts.len() == 1 { vec![0; count] } else { self.part.codes_of(lane.lane, wanted)? };
        Ok(Some((texts, places)))
    }

    /// The same of a lane of texts that have one number each at most, where not more than `most` of them are different:
    /// none of them is put together twice.
    pub(crate) fn numbered(&self, lane: Lane<'a>, most: usize) -> Result<Option<(Vec<String>, Vec<u32>)>> {
        let (Part::Sealed(sealed), PartLane::Sealed { number, lane: own, .. }) = (self.part, lane.lane) else {
            return Ok(None);
        };
        if !own.is_text() {
            return Ok(None);
        }
        let (wanted, _) = self.values_in(lane)?;
        numbered_texts(sealed, number, own, wanted.as_deref(), most)
    }

    /// The different texts of a lane and how many values are each, where all rows of a batch or block are here and it says so
    /// itself.
    pub(crate) fn counts(&self, lane: Lane<'a>) -> Result<Option<Vec<(String, usize)>>> {
        if !self.is_whole() {
            return Ok(None);
        }
        let (sealed, own) = match (self.part, lane.lane) {
            (Part::Hot(hot), PartLane::Hot { number, lane, .. }) if lane.kind.is_text() => {
                let shape = |local: u16| hot.batch.shape_map.get(usize::from(local)).copied().unwrap_or(WHOLE);
                let counted = |(local, n): &(u16, u32)| Some((self.literal(shape(*local))?.to_owned(), *n as usize));
                return Ok(hot.batch.counted.tally.shapes(number).iter().map(counted).collect());
            }
            (Part::Sealed(sealed), PartLane::Sealed { lane, .. }) => (sealed, lane),
            _ => return Ok(None),
        };
        if own.is_listed() {
            let listed = sealed.block.listed(own, &sealed.source(Kind::Values))?;
            let text = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
            return Ok(Some(listed.texts.iter().zip(listed.counts).map(|(own, n)| (text(own), n as usize)).collect()));
        }
        if !own.is_text() {
            return Ok(None);
        }
        let list = sealed.list(own)?;
        let counted = |(shape, count): (&u32, &u32)| Some((self.literal(*shape)?.to_owned(), *count as usize));
        Ok(list.listed.iter().zip(&list.counts).map(counted).collect())
    }

    /// The places among the view's rows of those that have a value in a lane, ascending; nothing where all have one.
    pub(crate) fn rows_with(&self, lane: Lane<'a>) -> Result<Option<Vec<u32>>> {
        Ok(self.values_in(lane)?.1)
    }

    /// The values of a lane.
    pub fn column(&self, lane: Lane<'a>) -> Result<Column> {
        let (wanted, rows) = self.values_in(lane)?;
        let (wanted, kind) = (wanted.as_deref(), lane.lane.kind());
        let values = match kind {
            LaneKind::Null => Values::Null(wanted.map_or(lane.lane.count(), <[usize]>::len)),
            kind if kind.is_text() => self.part.texts_of(lane.lane, wanted)?,
            LaneKind::Int => Values::Ints(self.part.ints_of(lane.lane, wanted)?),
            LaneKind::Bool => {
                Values::Bools(self.part.ints_of(lane.lane, wanted)?.into_iter().map(|value| value == 1).collect())
            }
            _ => Values::Bytes {
                width: kind.width().unwrap_or(1),
                bytes: self.part.bytes_of(lane.lane, kind.width().unwrap_or(1), wanted)?,
            },
        };
        Ok(Column { rows, values })
    }

    /// Calls `found` with the text of values of a lane and which value it is, counted as in [`Self::column`]: of all, or of
    /// those that are wanted, which ascend. Only what these take is read.
    pub fn texts(&self, lane: Lane<'a>, wanted: Option<&[usize]>, found: &mut dyn FnMut(usize, &str)) -> Result<()> {
        let (values, _) = self.values_in(lane)?;
        let Some(wanted) = wanted else {
            let mut chosen = 0..;
            return self.part.texts(lane.lane, values.as_deref(), &mut |_, text| {
                chosen.next().into_iter().for_each(|value| found(value, &String::from_utf8_lossy(text)));
            });
        };
        let len = values.as_deref().map_or(lane.lane.count(), <[usize]>::len);
        let chosen: Vec<usize> = wanted.iter().copied().filter(|value| *value < len).collect();
        let in_lane: Vec<usize> = match values.as_deref() {
            None => chosen.clone(),
            Some(values) => chosen.iter().filter_map(|value| values.get(*value).copied()).collect(),
        };
        let mut chosen = chosen.into_iter();
        self.part.texts(lane.lane, Some(&in_lane), &mut |_, text| {
            if let Some(value) = chosen.next() {
                found(value, &String::from_utf8_lossy(text));
            }
        })
    }

    /// A shape of the view's table, as it is shown to people: its literal text with `<*>` for each variable. Nothing for
    /// texts that are kept whole.
    pub fn shape(&self, number: u32) -> Option<String> {
        (number != WHOLE).then(|| self.part.shapes().shape(number).display())
    }

    /// A text of this shape that has no variables; nothing where it has some, or texts are kept whole.
    pub fn literal(&self, number: u32) -> Option<&'a str> {
        let shape = self.part.shapes().shape(number);
        (number != WHOLE && shape.slots() == 0).then(|| shape.literal())
    }

    /// Whole records: of all rows, or of those at the places that are given, which ascend.
    pub fn records(&self, wanted: Option<&[usize]>) -> Result<Vec<Record>> {
        let chosen: Vec<usize> = match wanted {
            None => self.rows().to_vec(),
            Some(wanted) => wanted.iter().filter_map(|place| self.rows().get(*place).copied()).collect(),
        };
        let (times, seqs) = (self.part.few_times(&chosen)?, self.part.few_seqs(&chosen)?);
        put_together(self.part, &chosen, &times, &seqs)
    }
}
