//! A door for the fuzz targets in `fuzz/`, behind the feature `fuzzing`: whole files, footers and blocks from any bytes.
//!
//! Checksums would turn nearly every changed byte away at the first step, so all but [`open_segment`] put right checksums
//! over what they are given; damage that passes a checksum is then what everything behind has to stand.
//!
//! Invariants
//! * Nothing here panics, whatever the bytes: the result is what could be read, or an error.
mod indexes;
mod pieces;

pub use indexes::{IndexParts, index_parts, open_indexes};
pub use pieces::{open_effects, open_with_shapes, sample_effects};

use super::block::BlockMeta;
use super::block_reader::Block;
use super::cache::ReadCache;
use super::footer::{self, Footer, FooterField, Piece};
use super::head;
use super::look::Variables;
use super::pages::{PageWriter, Pages, Source, Space, Stream};
use super::reader::Segment;
use super::thaw::Thawed;
use super::whole::Afresh;
use crate::batch::{BatchBuilder, LaneKind};
use crate::codec::{Reader, put_bytes};
use crate::engine::{Ack, Append, Engine, Options};
use crate::env::sim::SimEnv;
use crate::error::{Error, Result};
use crate::layout::SEGMENT_MAGIC;
use crate::record::FieldPath;
use crate::retention::RetentionClass;
use crate::text::shape::WHOLE;
use crate::text::table::ShapeTable;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Fields and streams that the segment of a fuzzed block has.
const FIELDS: usize = 64;
const FILE: &str = "/fuzzed.seg";

fn cache() -> Arc<ReadCache> {
    Arc::new(ReadCache::new(64 << 20, 0))
}

/// How many values were read, in each of the ways there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Values {
    /// As columns.
    pub read: u64,
    /// As batches, as for merging.
    pub thawed: u64,
    /// The same of every other row alone.
    pub thawed_in_part: u64,
}

/// Opens a file as a segment and reads every value.
pub fn open_segment(bytes: &[u8]) -> Result<Values> {
    let segment = segment_of(bytes)?;
    let verified = segment.verify();
    segment.index(segment.source())?;
    let values = read_blocks(&segment)?;
    verified.map(|()| values)
}

fn segment_of(bytes: &[u8]) -> Result<Segment> {
    segment_with(bytes, &cache())
}

fn segment_with(bytes: &[u8], cache: &Arc<ReadCache>) -> Result<Segment> {
    let env = SimEnv::new(1);
    let path = Path::new(FILE);
    env.write_raw(path, bytes).map_err(|e| Error::io("write", path, e))?;
    Segment::open(&env, path, cache)
}

fn read_blocks(segment: &Segment) -> Result<Values> {
    let (shapes, mut values) = (segment.shapes()?, Values::default());
    for index in 0..segment.block_count() {
        let block = segment.block(index)?;
        // What one way cannot read the other has to stand all the same.
        let read = read_block(&block, &shapes, segment.source());
        let rows: Vec<u32> = (0..block.rows as u32).step_by(2).collect();
        let in_part = thaw(segment, index, Some(&rows));
        values.thawed += thaw(segment, index, None)?;
        values.thawed_in_part += in_part?;
        values.read += read?;
    }
    Ok(values)
}

/// Reads rows of a block as a merge does, down to the text of each value.
fn thaw(segment: &Segment, index: usize, rows: Option<&[u32]>) -> Result<u64> {
    let thawed = Thawed::read(segment, index, rows)?;
    let (mut values, mut out) = (0, Vec::new());
    for lane in thawed.batch.lanes() {
        values += lane.rows().filter(|row| *row < thawed.batch.rows()).count() as u64;
        if lane.kind.is_text() {
            lane.shapes().for_each(|shape| out.push(shape as u8));
        } else {
            (0..lane.count).for_each(|value| lane.push_text(value, &mut out));
        }
        out.clear();
    }
    Ok(values)
}

/// Reads a footer whose payload is `payload`, of a file of `body` bytes before it.
pub fn open_footer(payload: &[u8], body: u64) -> Result<u64> {
    let mut envelope = b"LYF1\x01\0\0\0".to_vec();
    envelope.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    let mut crc = crc32fast::Hasher::new();
    crc.update(&envelope);
    crc.update(payload);
    envelope.extend_from_slice(&crc.finalize().to_le_bytes());
    envelope.extend_from_slice(payload);
    let footer = Footer::decode(&envelope, body.saturating_add(envelope.len() as u64))?;
    let (first, last) = footer.seqs();
    let (earliest, latest) = footer.times();
    Ok(footer.rows() ^ first ^ last ^ (earliest ^ latest) as u64)
}

/// The parts of a block before checksums are put over them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockParts {
    /// The head without the page directory.
    pub head: Vec<u8>,
    /// The raw bytes of the three spaces.
    pub spaces: [Vec<u8>; 3],
    /// The shape table of its segment.
    pub shapes: Vec<u8>,
    /// How many rows the footer says that it has.
    pub rows: u32,
}

/// Puts a block together and reads every value of it.
pub fn open_block(parts: &BlockParts) -> Result<Values> {
    open_block_changed(parts, |_| {})
}

/// The same of a block whose head, the page directory at its end included, is changed before its checksum is put over it.
pub fn open_block_changed(parts: &BlockParts, change: impl FnOnce(&mut Vec<u8>)) -> Result<Values> {
    let shapes = ShapeTable::decode(&parts.shapes)?;
    let mut pages = PageWriter::default();
    for (space, bytes) in SPACES.into_iter().zip(&parts.spaces) {
        pages.put(space, bytes);
    }
    let mut head = parts.head.clone();
    let pages = pages.finish(&mut head);
    change(&mut head);
    let mut file = footer::head().to_vec();
    let meta = BlockMeta {
        offset: file.len() as u64,
        pages_len: pages.len() as u64,
        head_len: head.len() as u32,
        head_raw: head.len() as u32,
        head_crc: crc32fast::hash(&head),
        rows: parts.rows,
        epoch: 0,
        first_seq: 0,
        last_seq: 0,
        time_min: 0,
        time_max: 0,
        expire_from: 0,
        streams: Vec::new(),
        groups: Vec::new(),
    };
    file.extend_from_slice(&pages);
    file.extend_from_slice(&head);
    let small = zstd::bulk::compress(&parts.shapes, 1).map_err(|e| Error::io("compress", Path::new(FILE), e))?;
    let piece = |offset: usize, bytes: &[u8], raw: usize| Piece {
        offset: offset as u64,
        len: bytes.len() as u64,
        raw: raw as u64,
        crc: crc32fast::hash(bytes),
    };
    let shape_piece = piece(file.len(), &small, parts.shapes.len());
    file.extend_from_slice(&small);
    let none = piece(0, &[], 0);
    let field = |number: usize| FieldPath { name: format!("f{number}").into(), nesting: [].into(), occurrence: 0 };
    let footer = Footer {
        id: 1,
        day: "2026-06-01".into(),
        class: RetentionClass::default(),
        created: 0,
        sealed_seq: 0,
        parts: 1,
        replaces: Vec::new(),
        fields: (0..FIELDS).map(|number| FooterField::from(&field(number))).collect(),
        streams: (0..FIELDS).map(|number| (format!("s{number}"), "{}".into())).collect(),
        shape_count: shapes.len() as u32,
        shapes: shape_piece,
        index: none,
        row_index: none,
        effects: Vec::new(),
        effects_from: None,
        blocks: vec![meta],
    };
    file.extend_from_slice(&footer.encode()?);
    read_blocks(&segment_of(&file)?)
}

const SPACES: [Space; 3] = [Space::Dense, Space::Codes, Space::Text];

/// Reads all columns, lanes and values of a block.
fn read_block(block: &Block, shapes: &ShapeTable, source: &dyn Source) -> Result<u64> {
    let verified = block.verify(source);
    let seqs = block.seqs(source)?;
    block.times(source)?;
    block.streams(source)?;
    seqs.first().map(|seq| block.arrivals.at(*seq as u64));
    let (mut values, mut out) = (0u64, Vec::new());
    for lane in &block.lanes {
        block.presence(lane, source)?;
        if lane.is_listed() {
            let listed = block.listed(lane, source)?;
            let codes = block.codes(lane, source)?;
            values += codes.iter().filter(|code| listed.texts.get(**code as usize).is_some()).count() as u64;
            continue;
        }
        if let Some(spelling) = lane.spelling() {
            for value in block.ints(lane, source)? {
                out.clear();
                spelling.push(value, &mut out);
                values += 1;
            }
            continue;
        }
        match lane.kind {
            LaneKind::String | LaneKind::Number | LaneKind::Json => {
                let listed = block.shapes(lane)?;
                let codes = block.codes(lane, source)?;
                let mut whole = block.whole_texts(lane, listed.whole(), source, &Afresh)?;
                whole.load(0, listed.whole())?;
                let directory = block.directory(lane, shapes.slots(), source)?;
                let variables = Variables::read(&mut block.words(lane, &directory, source)?, &directory)?;
                let mut next = vec![0usize; listed.listed.len()];
                for local in codes {
                    let index = next.get_mut(local as usize).map_or(0, |next| std::mem::replace(next, *next + 1));
                    out.clear();
                    if listed.listed.get(local as usize) == Some(&WHOLE) {
                        out.extend_from_slice(whole.get(index));
                    } else {
                        variables.slots(local).iter().for_each(|slot| slot.push(index, &mut out));
                    }
                    values += 1;
                }
            }
            LaneKind::Int | LaneKind::Bool => values += block.ints(lane, source)?.len() as u64,
            LaneKind::Null => values += lane.count as u64,
            LaneKind::Hex { .. } | LaneKind::Uuid { .. } => {
                let bytes = block.fixed(lane, source)?;
                out.clear();
                for value in bytes.chunks_exact(lane.kind.width().unwrap_or(1).max(1)) {
                    lane.kind.push_text(value, &mut out);
                    values += 1;
                }
            }
        }
    }
    verified.map(|()| values)
}

/// The file of a segment with columns of every kind, for targets to change a little.
pub fn sample_segment() -> Result<Vec<u8>> {
    sample_segment_of(400)
}

/// The same of so many rows.
pub fn sample_segment_of(count: u64) -> Result<Vec<u8>> {
    let env = SimEnv::new(7);
    let options = Options { background: false, wal_file_bytes: 1 << 20, ..Options::new("/data") };
    let engine = Engine::open(Arc::new(env.clone()), options)?;
    let mut rows = BatchBuilder::new();
    for i in 0..count {
        put_row(&mut rows, i);
    }
    engine.append(Append::new(rows.finish()?, Ack::Wal))?;
    engine.seal()?;
    let files: Vec<(PathBuf, u64)> = env.files();
    let found = files.iter().find(|(path, _)| path.extension().is_some_and(|extension| extension == "seg"));
    let path = found.map(|(path, _)| path).ok_or_else(|| Error::invalid("no segment was sealed"))?;
    env.read_raw(path).map_err(|e| Error::io("read", path, e))
}

fn put_row(rows: &mut BatchBuilder, i: u64) {
    let mixed = i.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    rows.begin_row();
    rows.time(1_780_000_000_000_000_000 + i as i64 * 1_500_000);
    rows.string("service_name", if i.is_multiple_of(5) { "db" } else { "web" });
    rows.string("_msg", &format!("request {i} of 10.0.{}.{} took {:03} ms, blk_{mixed}", i % 256, i % 7, i % 911));
    rows.string("path", &format!("/v{}/items/{:x}", i % 3, mixed));
    rows.string("trace", &format!("{mixed:016x}{i:016X}").to_lowercase());
    rows.string("uuid", &format!("{:08x}-0000-4000-8000-{:012x}", i, mixed >> 16));
    rows.int("constant", 7);
    rows.int("status", [200, 404, 500].get((i % 3) as usize).copied().unwrap_or(0));
    rows.int("rising", (i * i) as i64);
    rows.int("random", mixed as i64);
    rows.number("ratio", &format!("{}.50", i % 9));
    rows.number("load", &format!("{}.{}", i * 7 % 600, i % 90 * 10 + 1));
    rows.string("when", &format!("2026-06-01T12:{:02}:{:02}.{:03}+02:00", i / 60, i % 60, mixed % 1_000));
    rows.string("pod", &format!("web-{:x}-{:04x}", (i % 3) * 7_919, (i * i % 19) * 2_749));
    rows.bool("ok", i.is_multiple_of(2));
    if i.is_multiple_of(3) {
        rows.null("nothing");
        rows.json("list", &format!("[{i},{{\"a\":null}}]"));
        rows.string("rare", &format!("word{} 日本 {}", i % 11, "1 ".repeat(70)));
    }
    rows.commit_row();
}

/// The one block of [`sample_segment`], taken apart.
pub fn sample_block() -> Result<BlockParts> {
    block_parts(&sample_segment()?)
}

/// The first block of a segment's file, taken apart.
pub fn block_parts(file: &[u8]) -> Result<BlockParts> {
    let segment = segment_of(file)?;
    let none = || Error::invalid("the sample has no block");
    let meta = segment.footer.blocks.first().ok_or_else(none)?;
    let mut head = head::load(meta, segment.source())?;
    // The directory is what is left of the head once all else was read; it is found by what it has to add up to.
    let directory = (0..head.len()).find_map(|at| {
        let r = &mut Reader::new(head.get(at..)?);
        let pages = Pages::read(r, meta.offset).ok()?;
        (r.remaining() == 0 && pages.stored_bytes() == meta.pages_len).then_some((at, pages))
    });
    let (at, pages) = directory.ok_or_else(none)?;
    let lens = raw_lens(head.get(at..).unwrap_or_default())?;
    let space = |space: Space, len: usize| pages.stream(segment.source(), Stream { space, start: 0, len });
    let [dense, codes, text] = lens;
    let spaces = [space(Space::Dense, dense)?, space(Space::Codes, codes)?, space(Space::Text, text)?];
    head.truncate(at);
    Ok(BlockParts { head, spaces, shapes: segment.shapes()?.encode(), rows: meta.rows })
}

/// The raw bytes of each space, by a page directory.
fn raw_lens(directory: &[u8]) -> Result<[usize; 3]> {
    let r = &mut Reader::new(directory);
    let mut lens = [0usize; 3];
    for _ in 0..r.count(8)? {
        let space = usize::from(r.u8()?);
        r.u8()?;
        r.varint()?;
        let raw = r.varint()? as usize;
        r.u32()?;
        if let Some(len) = lens.get_mut(space) {
            *len += raw;
        }
    }
    Ok(lens)
}

/// The magic at both ends of a segment file, with which inputs for [`open_segment`] begin.
pub const MAGIC: [u8; 4] = SEGMENT_MAGIC;

/// A block's parts as one run of bytes, for corpora.
pub fn put_parts(parts: &BlockParts) -> Vec<u8> {
    let mut out = parts.rows.to_le_bytes().to_vec();
    for bytes in [&parts.head, &parts.shapes].into_iter().chain(&parts.spaces) {
        put_bytes(&mut out, bytes);
    }
    out
}

/// The inverse of [`put_parts`].
pub fn read_parts(bytes: &[u8]) -> Result<BlockParts> {
    let r = &mut Reader::new(bytes);
    let rows = r.u32()?;
    let (head, shapes) = (r.bytes()?.to_vec(), r.bytes()?.to_vec());
    let spaces = [r.bytes()?.to_vec(), r.bytes()?.to_vec(), r.bytes()?.to_vec()];
    Ok(BlockParts { head, spaces, shapes, rows })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_samples_are_read_whole() {
        let file = sample_segment().unwrap();
        let values = open_segment(&file).unwrap();
        assert!(values.read > 4_000);
        assert_eq!(values.thawed, values.read);
        assert!(values.thawed_in_part > values.read / 3 && values.thawed_in_part < values.read * 2 / 3);
        let parts = sample_block().unwrap();
        assert_eq!(open_block(&parts).unwrap(), values);
        assert_eq!(read_parts(&put_parts(&parts)).unwrap(), parts);
    }

    #[test]
    fn blocks_with_a_few_changed_bytes_are_refused_or_read() {
        let parts = sample_block().unwrap();
        let mut state = 1u64;
        let mut below = |bound: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % bound
        };
        let mut refused = 0;
        for round in 0..1_200 {
            let mut changed = parts.clone();
            for _ in 0..=round % 3 {
                let bytes = match below(6) {
                    0..3 => &mut changed.head,
                    space => &mut changed.spaces[space - 3],
                };
                let at = below(bytes.len());
                bytes[at] = [0, 1, 127, 255, bytes[at] ^ 1, bytes[at].wrapping_add(1)][below(6)];
            }
            refused += u32::from(open_block(&changed).is_err());
        }
        assert!(refused > 100, "{refused}");
    }
}
