//! Writes one block: rows of any batches, regrouped into columns.
//!
//! Head: `| numbers | rows | epoch | seqs | times | arrivals | streams | lanes | page directory |`; the pages come before it
//! in the file. A lane is `| kind 2 | presence | values |`, its presence 0 for every row, or 1 and the listed rows. Only the
//! numbers (`numbers.rs`) mean something in one segment alone, so that a block is copied by writing them anew.
//!
//! Invariants
//! * Rows keep their order: sequence numbers rise within a block.
//! * A block has rows of one epoch.
use super::forms;
use super::head;
use super::ints;
use super::numbers::Numbers;
use super::pages::{PageWriter, Space};
use super::rowindex;
use super::text_lane::{Scratch, Values};
use crate::batch::{Batch, LaneKind, LaneView};
use crate::codec::{put_varint, zigzag};
use crate::record::FieldPath;
use crate::text::shape::{Shape, WHOLE};
use crate::text::table::ShapeTable;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// What the footer says of a block.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct BlockMeta {
    pub(crate) offset: u64,
    pub(crate) pages_len: u64,
    pub(crate) head_len: u32,
    /// Length of the head once decompressed; the same where it is not compressed.
    pub(crate) head_raw: u32,
    /// Of the head as it is stored.
    pub(crate) head_crc: u32,
    pub(crate) rows: u32,
    pub(crate) epoch: u32,
    pub(crate) first_seq: u64,
    pub(crate) last_seq: u64,
    pub(crate) time_min: i64,
    pub(crate) time_max: i64,
    /// The largest of max(event time, arrival): from here on rows expire.
    pub(crate) expire_from: i64,
    /// The streams of its rows, by the footer's numbers; none listed where there are many.
    pub(crate) streams: Vec<u32>,
    /// Groups of whole texts that the index has of its lanes: (place of the lane in the block, groups).
    pub(crate) groups: Vec<(u32, u32)>,
}

/// Streams of a block that the footer lists.
const META_STREAMS_MAX: usize = 8;

/// The streams as the footer lists them.
pub(super) fn meta_streams(streams: &[u32]) -> Vec<u32> {
    if streams.len() <= META_STREAMS_MAX { streams.to_vec() } else { Vec::new() }
}

/// Where the rows of a batch have their sequence numbers from.
#[derive(Clone, Debug)]
pub(crate) enum Seqs {
    /// One after another from here.
    From(u64),
    /// One for each row.
    Listed(Vec<u64>),
}

impl Seqs {
    fn of(&self, row: usize) -> u64 {
        match self {
            Self::From(first) => first + row as u64,
            Self::Listed(seqs) => seqs.get(row).copied().unwrap_or(0),
        }
    }
}

/// When rows arrived.
#[derive(Clone, Debug)]
pub(crate) enum Arrivals {
    /// All at once.
    One(i64),
    /// From each of these sequence numbers on, at that time.
    Runs(Vec<(u64, i64)>),
}

impl Arrivals {
    /// When the row of this sequence number arrived.
    pub(crate) fn at(&self, seq: u64) -> i64 {
        match self {
            Self::One(at) => *at,
            Self::Runs(runs) => {
                let after = runs.partition_point(|(first, _)| *first <= seq);
                runs.get(after.saturating_sub(1)).map_or(0, |(_, at)| *at)
            }
        }
    }
}

/// A batch whose rows are to be regrouped, with what is needed to reach any of its values.
pub(crate) struct Input<'a> {
    batch: &'a Batch,
    epoch: u32,
    seqs: &'a Seqs,
    arrivals: &'a Arrivals,
    times: Vec<i64>,
    /// Local shape to the segment's; those that it does not keep are the whole text.
    shape_map: Vec<u32>,
    lanes: Vec<InputLane<'a>>,
    /// Which of `lanes` each lane of the segment is, or [`NO_LANE`].
    lane_places: Vec<u32>,
    /// Local stream to the segment's.
    streams: Vec<u32>,
}

struct InputLane<'a> {
    view: LaneView<'a>,
    /// Number of the lane among the segment's.
    lane: u32,
    presence: Presence,
    /// Where the variables of each value begin, and where the last ones end; empty where no value has any.
    starts: Starts,
    /// Values whose shape the segment does not keep, ascending, with the place of their text in `rebuilt`.
    dropped: Vec<(usize, Range<usize>, Range<usize>)>,
    /// Lengths and bytes of these texts.
    rebuilt: (Vec<u8>, Vec<u8>),
}

/// In a shape selection: the segment does not keep this one.
pub(crate) const DROPPED: u32 = u32::MAX;

/// Which shapes of a table a segment keeps, and as what.
pub(crate) struct Selection<'a> {
    pub(crate) table: &'a ShapeTable,
    /// The segment's number of each shape of the table, or [`DROPPED`].
    pub(crate) numbers: Vec<u32>,
}

const NO_VALUE: u16 = u16::MAX;
/// Where fewer rows than one in this many have a value, they are searched for.
const SPARSE_ONE_IN: usize = 8;
const NO_LANE: u32 = u32::MAX;

/// What all blocks of a segment number alike.
#[derive(Default)]
pub(crate) struct Tables {
    pub(crate) fields: Vec<FieldPath>,
    field_numbers: FxHashMap<FieldPath, u32>,
    lanes: Vec<(u32, LaneKind)>,
    lane_numbers: FxHashMap<(u32, LaneKind), u32>,
    pub(crate) streams: Vec<(String, String)>,
    stream_numbers: FxHashMap<(String, String), u32>,
}

impl Tables {
    pub(crate) fn field(&mut self, path: &FieldPath) -> u32 {
        if let Some(number) = self.field_numbers.get(path) {
            return *number;
        }
        let number = self.fields.len() as u32;
        self.fields.push(path.clone());
        self.field_numbers.insert(path.clone(), number);
        number
    }

    fn lane(&mut self, field: u32, kind: LaneKind) -> u32 {
        let next = self.lanes.len() as u32;
        let number = *self.lane_numbers.entry((field, kind)).or_insert(next);
        if number == next {
            self.lanes.push((field, kind));
        }
        number
    }

    pub(crate) fn stream(&mut self, service: &str, tags: &str) -> u32 {
        let key = (service.to_string(), tags.to_string());
        if let Some(number) = self.stream_numbers.get(&key) {
            return *number;
        }
        let number = self.streams.len() as u32;
        self.streams.push(key.clone());
        self.stream_numbers.insert(key, number);
        number
    }
}

impl<'a> Input<'a> {
    /// Prepares a batch. `shape_map` says which of the selection's shapes each local shape is, the whole text first.
    pub(crate) fn new(
        batch: &'a Batch,
        epoch: u32,
        seqs: &'a Seqs,
        arrivals: &'a Arrivals,
        shape_map: &[u32],
        selection: &Selection<'_>,
        tables: &mut Tables,
    ) -> Self {
        let fields: Vec<u32> = batch.fields().iter().map(|path| tables.field(path)).collect();
        let streams = batch.streams().iter().map(|s| tables.stream(&s.service, &s.tags)).collect();
        let lanes = batch
            .lanes()
            .map(|view| {
                let mut lane = InputLane {
                    view,
                    lane: tables.lane(fields.get(view.field).copied().unwrap_or(0), view.kind),
                    presence: Presence::of(view, batch.rows()),
                    starts: Starts::default(),
                    dropped: Vec::new(),
                    rebuilt: Default::default(),
                };
                if view.kind.is_text() {
                    lane.find_starts(shape_map, selection);
                }
                lane
            })
            .collect();
        let lanes: Vec<InputLane<'a>> = lanes;
        let mut lane_places = vec![NO_LANE; tables.lanes.len()];
        for (place, lane) in lanes.iter().enumerate() {
            if let Some(slot) = lane_places.get_mut(lane.lane as usize) {
                *slot = place as u32;
            }
        }
        let times = batch.times().enumerate();
        let times = times.map(|(row, time)| time.unwrap_or_else(|| arrivals.at(seqs.of(row)))).collect();
        let kept = |shape: &u32| match selection.numbers.get(*shape as usize) {
            Some(number) if *number != DROPPED => *number,
            _ => WHOLE,
        };
        let shape_map = shape_map.iter().map(kept).collect();
        Self { batch, epoch, seqs, arrivals, times, shape_map, lanes, lane_places, streams }
    }

    pub(crate) fn rows(&self) -> usize {
        self.batch.rows()
    }

    pub(crate) fn epoch(&self) -> u32 {
        self.epoch
    }

    /// How many hex values and UUIDs it has.
    pub(crate) fn hashed_values(&self) -> usize {
        let is_hashed = |lane: &&InputLane<'_>| matches!(lane.view.kind, LaneKind::Hex { .. } | LaneKind::Uuid { .. });
        self.lanes.iter().filter(is_hashed).map(|lane| lane.view.count).sum()
    }

    pub(crate) fn seq(&self, row: usize) -> u64 {
        self.seqs.of(row)
    }

    pub(crate) fn arrival(&self, row: usize) -> i64 {
        self.arrivals.at(self.seq(row))
    }

    pub(crate) fn time(&self, row: usize) -> i64 {
        self.times.get(row).copied().unwrap_or(0)
    }

    /// The lane that the segment has this number for.
    fn lane(&self, number: usize) -> Option<&InputLane<'a>> {
        self.lanes.get(*self.lane_places.get(number)? as usize)
    }

    /// The row's stream by the segment's number.
    pub(crate) fn stream(&self, row: usize) -> u32 {
        self.streams.get(self.batch.stream_of(row)).copied().unwrap_or(0)
    }
}

impl<'a> InputLane<'a> {
    /// Lengths and bytes of a value's variables.
    fn variables<'s>(&'s self, value: usize) -> (&'s [u8], &'s [u8])
    where
        'a: 's,
    {
        if !self.dropped.is_empty()
            && let Ok(at) = self.dropped.binary_search_by_key(&value, |(value, _, _)| *value)
            && let Some((_, lengths, text)) = self.dropped.get(at)
        {
            let (all_lengths, all_text) = &self.rebuilt;
            let lengths = all_lengths.get(lengths.clone()).unwrap_or_default();
            return (lengths, all_text.get(text.clone()).unwrap_or_default());
        }
        match (self.starts.get(value), self.starts.get(value + 1)) {
            (Some(from), Some(to)) => (
                self.view.lengths.get(from.0 as usize..to.0 as usize).unwrap_or_default(),
                self.view.variables.get(from.1 as usize..to.1 as usize).unwrap_or_default(),
            ),
            _ => Default::default(),
        }
    }

    /// Finds where each value's variables begin, and rebuilds the texts whose shape is not kept.
    fn find_starts(&mut self, shape_map: &[u32], selection: &Selection<'_>) {
        let view = self.view;
        let is_dropped = |shape: u32| selection.numbers.get(shape as usize).is_none_or(|number| *number == DROPPED);
        let all_kept = !shape_map.iter().any(|shape| is_dropped(*shape));
        if view.lengths.is_empty() && all_kept {
            return;
        }
        let slots: Vec<u8> =
            shape_map.iter().map(|shape| selection.table.slots().get(*shape as usize).copied().unwrap_or(1)).collect();
        self.starts.near.reserve_exact(view.count + 1);
        let (mut length_at, mut variable_at) = (0usize, 0usize);
        for (value, local) in view.shapes().enumerate() {
            let start = (length_at, variable_at);
            self.starts.push((length_at as u32, variable_at as u32));
            for _ in 0..slots.get(usize::from(local)).copied().unwrap_or(0) {
                variable_at += varint_at(view.lengths, &mut length_at);
            }
            let shape = shape_map.get(usize::from(local)).copied().unwrap_or(WHOLE);
            if !all_kept && is_dropped(shape) {
                let words = (view.lengths.get(start.0..length_at), view.variables.get(start.1..variable_at));
                let (lengths, text) = self.rebuild(
                    selection.table.shape(shape),
                    words.0.unwrap_or_default(),
                    words.1.unwrap_or_default(),
                );
                self.dropped.push((value, lengths, text));
            }
        }
        self.starts.push((length_at as u32, variable_at as u32));
    }

    fn rebuild(&mut self, shape: Shape<'_>, lengths: &[u8], variables: &[u8]) -> (Range<usize>, Range<usize>) {
        let (to_lengths, to_text) = &mut self.rebuilt;
        let (lengths_start, start) = (to_lengths.len(), to_text.len());
        let (mut length_at, mut at) = (0, 0);
        let words = std::iter::from_fn(|| {
            (length_at < lengths.len()).then(|| {
                let len = varint_at(lengths, &mut length_at);
                let word = variables.get(at..at + len).unwrap_or_default();
                at += len;
                word
            })
        });
        shape.rebuild(words, to_text);
        put_varint(to_lengths, (to_text.len() - start) as u64);
        (lengths_start..to_lengths.len(), start..to_text.len())
    }
}

/// Reads a length and moves on.
fn varint_at(lengths: &[u8], at: &mut usize) -> usize {
    let (mut len, mut shift) = (0usize, 0);
    while let Some(byte) = lengths.get(*at) {
        *at += 1;
        len |= usize::from(byte & 0x7F) << shift;
        shift += 7;
        if *byte < 0x80 || shift > 56 {
            break;
        }
    }
    len
}

/// Places in a lane's lengths and bytes, rising: a seal has one for nearly every text of its rows, so they are kept small.
#[derive(Default)]
struct Starts {
    /// Every [`STARTS_EACH`]th place.
    bases: Vec<(u32, u32)>,
    /// Each place, counted from the base before it.
    near: Vec<(u16, u16)>,
    /// Each place, where some are too far from their base.
    far: Vec<(u32, u32)>,
}

const STARTS_EACH: usize = 32;

impl Starts {
    fn is_empty(&self) -> bool {
        self.near.is_empty() && self.far.is_empty()
    }

    fn push(&mut self, place: (u32, u32)) {
        if !self.far.is_empty() {
            return self.far.push(place);
        }
        if self.near.len().is_multiple_of(STARTS_EACH) {
            self.bases.push(place);
        }
        let base = self.bases.last().copied().unwrap_or_default();
        match (u16::try_from(place.0 - base.0), u16::try_from(place.1 - base.1)) {
            (Ok(lengths), Ok(bytes)) => self.near.push((lengths, bytes)),
            _ => {
                let far = (0..self.near.len()).filter_map(|i| self.get(i)).chain([place]).collect();
                *self = Self { far, ..Self::default() };
            }
        }
    }

    #[inline]
    fn get(&self, index: usize) -> Option<(u32, u32)> {
        match self.near.get(index) {
            Some((lengths, bytes)) => {
                let base = self.bases.get(index / STARTS_EACH)?;
                Some((base.0 + u32::from(*lengths), base.1 + u32::from(*bytes)))
            }
            None => self.far.get(index).copied(),
        }
    }
}

/// Which rows of a batch have a value.
enum Presence {
    /// The first ones.
    First,
    /// Many: the value of each row, or [`NO_VALUE`].
    Dense(Vec<u16>),
    /// Few: these.
    Sparse(Vec<u16>),
}

impl Presence {
    fn of(view: LaneView<'_>, rows: usize) -> Self {
        if view.is_prefix() {
            return Self::First;
        }
        if view.count < rows / SPARSE_ONE_IN {
            return Self::Sparse(view.rows().map(|row| row as u16).collect());
        }
        let mut positions = vec![NO_VALUE; rows];
        for (value, row) in view.rows().enumerate() {
            if let Some(place) = positions.get_mut(row) {
                *place = value as u16;
            }
        }
        Self::Dense(positions)
    }
}

/// A lane of the block that is being put together.
#[derive(Default)]
struct Gathered<'a> {
    rows: Vec<u32>,
    /// Values of the batch that is being gone through.
    values: Vec<u16>,
    ints: Vec<i64>,
    fixed: Vec<u8>,
    text: Values<'a>,
}

/// A finished block; `meta.offset` is for whoever places it.
pub(crate) struct EncodedBlock {
    pub(crate) bytes: Vec<u8>,
    pub(crate) meta: BlockMeta,
    /// Hash and row of each hex value and UUID.
    pub(crate) hashes: Vec<(u64, u32)>,
    /// The segment's streams that it has, each with its rows.
    pub(crate) streams: Vec<(u32, u32)>,
}

/// Encodes the given rows, as (input, row), as one block.
pub(crate) fn encode(
    inputs: &[Input<'_>],
    rows: &[(u32, u16)],
    tables: &Tables,
    shapes: &ShapeTable,
    scratch: &mut Scratch,
) -> EncodedBlock {
    let (mut pages, mut body) = (PageWriter::reusing(std::mem::take(&mut scratch.spent.block)), Vec::new());
    let input = |i: u32| inputs.get(i as usize);
    let each = || rows.iter().filter_map(|(i, row)| input(*i).map(|input| (input, usize::from(*row))));
    let epoch = each().next().map_or(0, |(input, _)| input.epoch);
    let seqs: Vec<i64> = each().map(|(input, row)| input.seq(row) as i64).collect();
    let times: Vec<i64> = each().map(|(input, row)| input.time(row)).collect();
    let arrivals = arrival_runs(each().map(|(input, row)| (input.seq(row), input.arrival(row))));
    put_varint(&mut body, rows.len() as u64);
    put_varint(&mut body, u64::from(epoch));
    ints::put(&seqs, &mut pages, &mut body);
    ints::put(&times, &mut pages, &mut body);
    put_varint(&mut body, arrivals.len() as u64);
    let (mut last_seq, mut last_at) = (0u64, 0i64);
    for (seq, at) in &arrivals {
        put_varint(&mut body, seq - last_seq);
        put_varint(&mut body, zigzag(at.wrapping_sub(last_at)));
        (last_seq, last_at) = (*seq, *at);
    }
    let of_rows: Vec<u32> = each().map(|(input, row)| input.stream(row)).collect();
    let streams = put_streams(&of_rows, &mut pages, &mut body);
    let mut numbers = Numbers { streams: streams.iter().map(|(stream, _)| *stream).collect(), ..Numbers::default() };
    let hashes = put_lanes(inputs, rows, tables, shapes, scratch, &mut numbers, &mut pages, &mut body);
    let mut directory = Vec::new();
    let mut bytes = pages.finish(&mut directory);
    body.extend_from_slice(&directory);
    let stored = head::store(&numbers, &body);
    let largest = |a: i64, b: i64| a.max(b);
    let meta = BlockMeta {
        offset: 0,
        pages_len: bytes.len() as u64,
        head_len: stored.bytes.len() as u32,
        head_raw: stored.raw,
        head_crc: crc32fast::hash(&stored.bytes),
        rows: rows.len() as u32,
        epoch,
        first_seq: seqs.first().map_or(0, |s| *s as u64),
        last_seq: seqs.last().map_or(0, |s| *s as u64),
        time_min: times.iter().copied().min().unwrap_or(0),
        time_max: times.iter().copied().fold(i64::MIN, largest),
        expire_from: times.iter().copied().chain(arrivals.iter().map(|(_, at)| *at)).fold(i64::MIN, largest),
        streams: meta_streams(&numbers.streams),
        groups: Vec::new(),
    };
    bytes.extend_from_slice(&stored.bytes);
    EncodedBlock { bytes, meta, hashes, streams }
}

fn arrival_runs(rows: impl Iterator<Item = (u64, i64)>) -> Vec<(u64, i64)> {
    let mut runs: Vec<(u64, i64)> = Vec::new();
    for (seq, at) in rows {
        if runs.last().is_none_or(|(_, last)| *last != at) {
            runs.push((seq, at));
        }
    }
    runs
}

/// Appends the stream of each row, by its place among those that occur, and gives these, ascending, with their rows.
fn put_streams(of_rows: &[u32], pages: &mut PageWriter, body: &mut Vec<u8>) -> Vec<(u32, u32)> {
    let mut sorted = of_rows.to_vec();
    sorted.sort_unstable();
    let streams: Vec<(u32, u32)> =
        sorted.chunk_by(|a, b| a == b).filter_map(|run| Some((*run.first()?, run.len() as u32))).collect();
    let place = |stream: &u32| streams.binary_search_by_key(stream, |(number, _)| *number).unwrap_or(0) as u32;
    let codes: Vec<u32> = match streams.len() {
        1 => vec![0; of_rows.len()],
        _ => of_rows.iter().map(place).collect(),
    };
    let counts: Vec<usize> = streams.iter().map(|(_, rows)| *rows as usize).collect();
    counts.iter().for_each(|rows| put_varint(body, *rows as u64));
    let (form, _) = ints::CodeForm::of(&counts);
    body.push(form as u8);
    ints::put_codes(&codes, counts.len(), form, pages, body);
    streams
}

#[expect(clippy::too_many_arguments, reason = "the parts of one block, of which each is written to or read from here")]
fn put_lanes(
    inputs: &[Input<'_>],
    rows: &[(u32, u16)],
    tables: &Tables,
    shapes: &ShapeTable,
    scratch: &mut Scratch,
    numbers: &mut Numbers,
    pages: &mut PageWriter,
    body: &mut Vec<u8>,
) -> Vec<(u64, u32)> {
    let mut hashes = std::mem::take(&mut scratch.spent.hashes);
    hashes.clear();
    // In the order of the fields, so that records come back in the order in which fields were first seen.
    let mut order: Vec<usize> = (0..tables.lanes.len()).collect();
    order.sort_by_key(|number| tables.lanes.get(*number).copied());
    // One lane at a time: of a wide record all lanes together would take more memory than the rest of sealing.
    let mut lane = Gathered::default();
    for number in order {
        let Some((field, kind)) = tables.lanes.get(number).copied() else { continue };
        lane.gather(inputs, rows, number);
        if lane.rows.is_empty() {
            continue;
        }
        numbers.fields.push(field);
        body.extend_from_slice(&kind.code());
        if lane.rows.len() == rows.len() {
            body.push(0);
        } else {
            body.push(1);
            put_varint(body, lane.rows.len() as u64);
            let listed: Vec<i64> = lane.rows.iter().map(|row| i64::from(*row)).collect();
            ints::put(&listed, pages, body);
        }
        match kind {
            LaneKind::String | LaneKind::Number | LaneKind::Json => {
                numbers.shapes.extend(forms::put(&lane.text, shapes, scratch, pages, body));
            }
            LaneKind::Int | LaneKind::Bool => ints::put(&lane.ints, pages, body),
            LaneKind::Null => {}
            LaneKind::Hex { .. } | LaneKind::Uuid { .. } => {
                let name = tables.fields.get(field as usize).map_or("", |path| &path.name);
                let values = lane.fixed.chunks_exact(kind.width().unwrap_or(1));
                let prefix = rowindex::Prefix::new(name, kind.width().unwrap_or(0));
                hashes.extend(values.zip(&lane.rows).map(|(value, row)| (prefix.hash(value), *row)));
                pages.put(Space::Dense, &lane.fixed).put(body);
            }
        }
    }
    hashes
}

impl<'a> Gathered<'a> {
    /// Takes all values of one lane, which the segment has this number for.
    ///
    /// A block's rows lie far apart in the batches, so that nearly every value is a miss of the caches: loops are kept
    /// short, so that the processor waits for many at once.
    fn gather(&mut self, inputs: &'a [Input<'_>], rows: &[(u32, u16)], number: usize) {
        self.rows.clear();
        self.ints.clear();
        self.fixed.clear();
        self.text.shapes.clear();
        self.text.variables.clear();
        let mut base = 0;
        for run in rows.chunk_by(|a, b| a.0 == b.0) {
            let input = run.first().and_then(|(i, _)| inputs.get(*i as usize));
            if let Some((input, lane)) = input.and_then(|input| Some((input, input.lane(number)?))) {
                self.find_values(lane, run, base);
                self.take(lane, &input.shape_map, rows.len());
            }
            base += run.len();
        }
        if !self.text.variables.is_empty() {
            self.text.variables.resize(self.text.shapes.len(), Default::default());
        }
    }

    /// Which of a lane's values these rows have, and the rows that have one.
    fn find_values(&mut self, lane: &InputLane<'_>, run: &[(u32, u16)], base: usize) {
        self.values.clear();
        let numbered = run.iter().zip(base as u32..);
        match &lane.presence {
            Presence::First => {
                for ((_, row), number) in numbered.filter(|((_, row), _)| usize::from(*row) < lane.view.count) {
                    self.values.push(*row);
                    self.rows.push(number);
                }
            }
            Presence::Dense(positions) => {
                for ((_, row), number) in numbered {
                    let value = positions.get(usize::from(*row)).copied().unwrap_or(NO_VALUE);
                    if value != NO_VALUE {
                        self.values.push(value);
                        self.rows.push(number);
                    }
                }
            }
            Presence::Sparse(listed) => {
                let mut rest = run;
                for (value, row) in listed.iter().enumerate() {
                    rest = rest.get(rest.partition_point(|(_, other)| other < row)..).unwrap_or_default();
                    let Some((_, next)) = rest.first() else { break };
                    if next == row {
                        self.values.push(value as u16);
                        self.rows.push((base + run.len() - rest.len()) as u32);
                    }
                }
            }
        }
    }

    fn take(&mut self, lane: &'a InputLane<'_>, shape_map: &[u32], block_rows: usize) {
        let view = &lane.view;
        let values = self.values.iter().map(|value| usize::from(*value));
        match view.kind {
            LaneKind::String | LaneKind::Number | LaneKind::Json => {
                if !lane.starts.is_empty() {
                    self.text.variables.reserve(block_rows - self.text.variables.len().min(block_rows));
                    self.text.variables.resize(self.text.shapes.len(), Default::default());
                    self.text.variables.extend(values.clone().map(|value| lane.variables(value)));
                }
                let shape = |value| shape_map.get(usize::from(view.shape(value))).copied().unwrap_or(WHOLE);
                self.text.shapes.extend(values.map(shape));
            }
            LaneKind::Int => self.ints.extend(values.map(|value| view.int(value))),
            LaneKind::Bool => self.ints.extend(values.map(|value| i64::from(view.fixed(value) == [1]))),
            LaneKind::Null => {}
            LaneKind::Hex { .. } | LaneKind::Uuid { .. } => {
                values.for_each(|value| self.fixed.extend_from_slice(view.fixed(value)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_back_near_and_far() {
        for step in [1u32, 2_000, 70_000] {
            let mut starts = Starts::default();
            assert!(starts.is_empty());
            (0..1_000).for_each(|i| starts.push((i * 3, i * step)));
            assert!(!starts.is_empty());
            assert!((0..1_000).all(|i| starts.get(i as usize) == Some((i * 3, i * step))), "{step}");
            assert_eq!(starts.get(1_000), None);
            assert_eq!(starts.far.is_empty(), step < 70_000);
        }
    }
}
