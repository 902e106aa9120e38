//! Writes a segment: rows of any batches, or blocks of other segments, as blocks, shapes, index and footer of one file.
//!
//! Invariants
//! * The file has its name only once all its bytes are durable; the directory is synced after the rename. One that is not
//!   finished is removed.
//! * Nothing of a segment is believed by others before the catalog names it.
use super::aside::Aside;
use super::block::{self, BlockMeta, EncodedBlock, Input, Tables};
use super::block_reader::Block;
use super::copy::Copied;
use super::effects::{self, SealedEffects};
use super::footer::{self, Footer, FooterField, HEAD_BYTES, Piece};
use super::groups;
use super::index::IndexBuilder;
use super::numbers::Totals;
use super::reader::Segment;
use super::rowindex;
use super::text_lane::{Scratch, Spent};
use crate::env::{Env, File, OpenMode};
use crate::error::{Error, Result};
use crate::layout::TEMPORARY;
use crate::planted;
use crate::retention::RetentionClass;
use crate::text::table::{ShapeInterner, ShapeTable};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

/// A finished file.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) bytes: u64,
    /// Of the whole file.
    pub(crate) crc: u32,
    /// Rows of each stream of the segment.
    pub(crate) stream_rows: Vec<u64>,
}

/// What is known of a segment before its rows are.
pub(crate) struct Identity {
    pub(crate) id: u64,
    pub(crate) day: String,
    pub(crate) class: RetentionClass,
    pub(crate) created: i64,
    pub(crate) sealed_seq: u64,
    pub(crate) parts: u32,
    pub(crate) replaces: Vec<u64>,
}

/// A segment that is being written.
pub(crate) struct SegmentWriter {
    env: Arc<dyn Env>,
    file: Arc<dyn File>,
    path: PathBuf,
    temporary: PathBuf,
    at: u64,
    crc: crc32fast::Hasher,
    blocks: Vec<BlockMeta>,
    scratch: Scratch,
    /// Entries of the row index.
    hashes: Vec<u64>,
    rows: u32,
    stream_rows: Vec<u64>,
    index: IndexBuilder,
    is_named: bool,
}

impl SegmentWriter {
    /// Begins the file that will be `path`, in a directory that exists.
    pub(crate) fn create(env: Arc<dyn Env>, path: &Path) -> Result<Self> {
        let temporary = path.with_extension(TEMPORARY);
        let file = env.open(&temporary, OpenMode::OpenOrCreate).map_err(|e| Error::io("create", &temporary, e))?;
        file.set_len(0).map_err(|e| Error::io("empty", &temporary, e))?;
        let mut writer = Self {
            env,
            file,
            path: path.to_path_buf(),
            temporary,
            at: 0,
            crc: crc32fast::Hasher::new(),
            blocks: Vec::new(),
            scratch: Scratch::default(),
            hashes: Vec::new(),
            rows: 0,
            stream_rows: Vec::new(),
            index: IndexBuilder::new()?,
            is_named: false,
        };
        writer.write(&footer::head())?;
        debug_assert_eq!(writer.at, HEAD_BYTES);
        Ok(writer)
    }

    /// Makes room for so many hex values and UUIDs at once: growing bit by bit takes twice as much.
    pub(crate) fn expect_hashes(&mut self, count: usize) {
        self.hashes.reserve_exact(count);
    }

    /// Bytes that were written so far.
    pub(crate) fn written(&self) -> u64 {
        self.at
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all_at(bytes, self.at).map_err(|e| Error::io("write", &self.temporary, e))?;
        self.crc.update(bytes);
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// Adds blocks of the given rows, as (input, row). Two at a time are encoded side by side.
    pub(crate) fn add_blocks(
        &mut self,
        inputs: &[Input<'_>],
        blocks: Vec<Vec<(u32, u16)>>,
        tables: &Tables,
        shapes: &ShapeTable,
    ) -> Result<()> {
        let encode = |rows: &[_], scratch: &mut Scratch| block::encode(inputs, rows, tables, shapes, scratch);
        let mut blocks = blocks.into_iter();
        thread::scope(|scope| {
            // Where there is no thread to be had, this one does all.
            let aside = if blocks.len() > 1 { Aside::start(scope, encode) } else { None };
            let mut spent = Spent::default();
            while let Some(rows) = blocks.next() {
                let helped = aside.as_ref().and_then(|aside| {
                    aside.give(blocks.next()?, std::mem::take(&mut spent));
                    Some(aside)
                });
                let one = encode(&rows, &mut self.scratch);
                drop(rows);
                self.scratch.spent = self.add_encoded(one, tables, shapes)?;
                if let Some(aside) = helped {
                    spent = self.add_encoded(aside.take()?, tables, shapes)?;
                }
            }
            Ok(())
        })
    }

    /// Adds the given rows, as (input, row), as one block.
    pub(crate) fn add_block(
        &mut self,
        inputs: &[Input<'_>],
        rows: &[(u32, u16)],
        tables: &Tables,
        shapes: &ShapeTable,
    ) -> Result<()> {
        let encoded = block::encode(inputs, rows, tables, shapes, &mut self.scratch);
        self.scratch.spent = self.add_encoded(encoded, tables, shapes)?;
        Ok(())
    }

    /// Adds a block and gives back the space that it took.
    fn add_encoded(&mut self, mut encoded: EncodedBlock, tables: &Tables, shapes: &ShapeTable) -> Result<Spent> {
        let totals = Totals { fields: tables.fields.len(), streams: tables.streams.len(), shapes: shapes.len() };
        let read = Block::read(&encoded.meta, totals, &encoded.bytes)?;
        encoded.meta.groups = groups::add(&read, &encoded.bytes, &mut self.index)?;
        self.place(encoded.meta, &[&encoded.bytes], &encoded.hashes, &encoded.streams)?;
        Ok(Spent { block: encoded.bytes, hashes: encoded.hashes })
    }

    /// Adds a block of another segment, its pages as they are.
    pub(crate) fn copy_block(
        &mut self,
        from: &Segment,
        index: usize,
        tables: &mut Tables,
        shapes: &mut ShapeInterner,
    ) -> Result<()> {
        let mut copied = Copied::read(from, index)?;
        let head = copied.renumber(from, tables, shapes)?;
        copied.meta.groups = groups::add(&copied.block, &copied.bytes, &mut self.index)?;
        let hashes = copied.hashes(from)?;
        self.place(copied.meta, &[&copied.bytes, &head], &hashes, &copied.streams)
    }

    fn place(&mut self, meta: BlockMeta, parts: &[&[u8]], hashes: &[(u64, u32)], streams: &[(u32, u32)]) -> Result<()> {
        let meta = BlockMeta { offset: self.at, ..meta };
        let rows = self.rows.checked_add(meta.rows).filter(|rows| *rows <= rowindex::ROWS_MAX);
        let rows = rows.ok_or_else(|| Error::invalid("a segment of more rows than it can number"))?;
        parts.iter().try_for_each(|part| self.write(part))?;
        self.hashes.extend(hashes.iter().map(|(hash, row)| rowindex::entry(*hash, self.rows + row)));
        for (stream, rows) in streams {
            let place = *stream as usize;
            self.stream_rows.resize(self.stream_rows.len().max(place + 1), 0);
            if let Some(sum) = self.stream_rows.get_mut(place) {
                *sum += u64::from(*rows);
            }
        }
        self.rows = rows;
        self.blocks.push(meta);
        Ok(())
    }

    /// Adds shapes, index, effects and footer, and gives the file its name.
    pub(crate) fn finish(
        mut self,
        identity: Identity,
        tables: &Tables,
        shapes: &ShapeTable,
        effects: &SealedEffects,
    ) -> Result<Written> {
        let raw = shapes.encode();
        let small = zstd::bulk::compress(&raw, 3).map_err(|e| Error::io("compress the shapes of", &self.path, e))?;
        let shape_piece = self.piece(&small, raw.len())?;
        let mut index = std::mem::replace(&mut self.index, IndexBuilder::new()?);
        index.add_shapes(shapes)?;
        let index = index.finish()?;
        let index_piece = self.piece(&index, index.len())?;
        let (rows, front) = rowindex::build(std::mem::take(&mut self.hashes));
        let front_crc = crc32fast::hash(rows.get(..front).unwrap_or_default());
        let row_piece = Piece { offset: self.at, len: rows.len() as u64, raw: front as u64, crc: front_crc };
        self.write(&rows)?;
        let mut effect_pieces = Vec::new();
        for raw in effects::encode(effects) {
            let small = zstd::bulk::compress(&raw, 3).map_err(|e| Error::io("compress effects of", &self.path, e))?;
            effect_pieces.push(self.piece(&small, raw.len())?);
        }
        let footer = Footer {
            id: identity.id,
            day: identity.day,
            class: identity.class,
            created: identity.created,
            sealed_seq: identity.sealed_seq,
            parts: identity.parts,
            replaces: identity.replaces,
            fields: tables.fields.iter().map(FooterField::from).collect(),
            streams: tables.streams.clone(),
            shape_count: shapes.len() as u32,
            shapes: shape_piece,
            index: index_piece,
            row_index: row_piece,
            effects: effect_pieces,
            effects_from: effects.values().filter(|effect| effect.value.is_some()).map(|effect| effect.seq).min(),
            blocks: std::mem::take(&mut self.blocks),
        };
        let footer = footer.encode()?;
        self.write(&footer)?;
        if !planted::on("segment-not-synced") {
            self.file.sync_all().map_err(|e| Error::io("sync", &self.temporary, e))?;
        }
        self.env.rename(&self.temporary, &self.path).map_err(|e| Error::io("name", &self.path, e))?;
        self.is_named = true;
        let directory = self.path.parent().unwrap_or(Path::new("."));
        if !planted::on("segment-name-not-synced") {
            self.env.sync_dir(directory).map_err(|e| Error::io("sync", directory, e))?;
        }
        let crc = std::mem::take(&mut self.crc).finalize();
        Ok(Written { bytes: self.at, crc, stream_rows: std::mem::take(&mut self.stream_rows) })
    }

    fn piece(&mut self, bytes: &[u8], raw: usize) -> Result<Piece> {
        let piece = Piece { offset: self.at, len: bytes.len() as u64, raw: raw as u64, crc: crc32fast::hash(bytes) };
        self.write(bytes)?;
        Ok(piece)
    }
}

impl Drop for SegmentWriter {
    fn drop(&mut self) {
        if !self.is_named {
            // A start removes it where this does not.
            let _left_behind = self.env.remove_file(&self.temporary);
        }
    }
}
