//! Writes one block: rows of any batches, regrouped into columns.
//!
//! Head: `| numbers | rows | epoch | seqs | times | arrivals | streams | lanes | page directory |`; the pages come before it
//! in the file. A lane is `| kind 2 | presence | values |`, its presence 0 for every row, or 1 and the listed rows. Only the
//! numbers (`numbers.rs`) mean something in one segment alone, so that a block is copied by writing them anew.
//!
//! Invariants
//! * Rows keep their order: sequence numbers rise within a block.
//! * A block has rows of one epoch.
mod arrivals;
mod gather;
mod input;
mod starts;
mod tables;

pub(crate) use arrivals::{Arrivals, Seqs};
pub(crate) use input::{DROPPED, Input, Selection};
pub(crate) use tables::Tables;

use super::forms;
use super::head;
use super::ints;
use super::numbers::Numbers;
use super::pages::{PageWriter, Space};
use super::rowindex;
use super::text_lane::Scratch;
use crate::batch::LaneKind;
use crate::codec::{put_varint, zigzag};
use crate::text::table::ShapeTable;
use gather::Gathered;
use serde::{Deserialize, Serialize};

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

impl BlockMeta {
    /// Bytes of its pages and its head, which lies behind them.
    pub(crate) fn stored_bytes(&self) -> u64 {
        self.pages_len + u64::from(self.head_len)
    }
}

/// Streams of a block that the footer lists.
const META_STREAMS_MAX: usize = 8;

/// The streams as the footer lists them.
pub(super) fn meta_streams(streams: &[u32]) -> Vec<u32> {
    if streams.len() <= META_STREAMS_MAX { streams.to_vec() } else { Vec::new() }
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
    let epoch = each().next().map_or(0, |(input, _)| input.epoch());
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
