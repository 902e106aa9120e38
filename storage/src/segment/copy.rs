//! A block on its way into another segment: pages as they are, numbers anew.
//!
//! Invariants
//! * Every page's crc is checked before a byte is passed on, so that damage never travels.
//! * What a copied block gives is what it gave where it was.
use super::block::{self, BlockMeta, Tables};
use super::block_reader::Block;
use super::head;
use super::numbers::Numbers;
use super::reader::Segment;
use super::rowindex;
use crate::batch::LaneKind;
use crate::codec::Reader;
use crate::error::{Error, Result};
use crate::text::table::ShapeInterner;

/// A block that was read as a whole.
pub(super) struct Copied {
    /// Its entry, as if its pages began a file.
    pub(super) meta: BlockMeta,
    pub(super) block: Block,
    /// Its pages.
    pub(super) bytes: Vec<u8>,
    /// The streams of the segment that it goes into, each with its rows.
    pub(super) streams: Vec<(u32, u32)>,
    numbers: Numbers,
    /// Its head behind the numbers.
    body: Vec<u8>,
}

impl Copied {
    /// Reads a block and checks all of its bytes.
    pub(super) fn read(from: &Segment, index: usize) -> Result<Self> {
        Self::read_checked(from, index).map_err(|e| e.context(from.path().display()))
    }

    fn read_checked(from: &Segment, index: usize) -> Result<Self> {
        let meta = from.footer.blocks.get(index).ok_or_else(|| Error::corrupt(format!("it has no block {index}")))?;
        let head = head::load(meta, from.source())?;
        let mut bytes = vec![0; meta.pages_len as usize];
        from.source().read(meta.offset, &mut bytes)?;
        let meta = BlockMeta { offset: 0, ..meta.clone() };
        let r = &mut Reader::new(&head);
        let numbers = Numbers::read(r, from.totals())?;
        let body = r.clone().rest().to_vec();
        let block = Block::read_body(&meta, numbers.clone(), r)?;
        block.check_pages(&bytes)?;
        Ok(Self { meta, block, bytes, streams: Vec::new(), numbers, body })
    }

    /// The head that it has where `tables` and `shapes` give the numbers. Its entry becomes that of this head.
    pub(super) fn renumber(
        &mut self,
        from: &Segment,
        tables: &mut Tables,
        shapes: &mut ShapeInterner,
    ) -> Result<Vec<u8>> {
        let table = from.shapes()?;
        let field = |number: &u32| from.fields.get(*number as usize).map(|path| tables.field(path));
        let fields: Option<Vec<u32>> = self.numbers.fields.iter().map(field).collect();
        let stream = |number: &u32| {
            from.footer.streams.get(*number as usize).map(|(service, tags)| tables.stream(service, tags))
        };
        let streams: Option<Vec<u32>> = self.numbers.streams.iter().map(stream).collect();
        let list = |list: &Vec<u32>| list.iter().map(|shape| shapes.intern(table.key(*shape))).collect();
        let lists: Vec<Vec<u32>> = self.numbers.shapes.iter().map(list).collect::<Result<_>>()?;
        let (Some(fields), Some(streams)) = (fields, streams) else {
            return Err(Error::corrupt("a block's numbers are damaged"));
        };
        self.streams = streams.iter().zip(self.block.stream_rows()).map(|(new, (_, rows))| (*new, *rows)).collect();
        self.meta.streams = block::meta_streams(&streams);
        let stored = head::store(&Numbers { fields, streams, shapes: lists }, &self.body);
        self.meta.head_len = stored.bytes.len() as u32;
        self.meta.head_raw = stored.raw;
        self.meta.head_crc = crc32fast::hash(&stored.bytes);
        Ok(stored.bytes)
    }

    /// Hash and row of each hex value and UUID.
    pub(super) fn hashes(&self, from: &Segment) -> Result<Vec<(u64, u32)>> {
        let mut hashes = Vec::new();
        for lane in &self.block.lanes {
            if !matches!(lane.kind, LaneKind::Hex { .. } | LaneKind::Uuid { .. }) {
                continue;
            }
            let width = lane.kind.width().unwrap_or(1).max(1);
            let name = from.fields.get(lane.field as usize).map_or("", |path| &path.name);
            let values = self.block.fixed(lane, &self.bytes)?;
            let presence = self.block.presence(lane, &self.bytes)?;
            let hash = |value: &[u8]| rowindex::hash(name, value);
            let values = values.chunks_exact(width).map(hash);
            match presence {
                Some(rows) => hashes.extend(values.zip(rows)),
                None => hashes.extend(values.zip(0..)),
            }
        }
        Ok(hashes)
    }
}
