//! Opens a segment and hands out its parts: footer at once; shapes, index, block heads and slot directories through the
//! cache.
//!
//! Invariants
//! * A segment is immutable: what was read once stays right for as long as the file is named by the catalog.
//! * Damage is an error that names the file.
use super::block_reader::{Block, BlockLane};
use super::cache::{Item, ReadCache};
use super::directory::Directory;
use super::effects::{self, SealedEffects};
use super::footer::{self, Footer, HEAD_BYTES, Piece, TAIL_BYTES};
use super::index::ShapeIndex;
use super::meter::KeptPages;
use super::numbers::Totals;
use super::pages::{Fetched, Source};
use super::rowindex::{self, RowIndex};
use super::whole::{Opened, Part};
use crate::env::{Env, File, OpenMode};
use crate::error::{Error, ErrorKind, Result};
use crate::record::FieldPath;
use crate::text::table::ShapeTable;
use std::any::Any;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the bytes of a segment are read from.
pub(crate) trait Backing: Send + Sync {
    /// Fills `buf` from `offset`, and says what had to be fetched for it.
    fn read(&self, offset: u64, buf: &mut [u8]) -> Result<Fetched>;

    /// What reading would take, where the bytes are not on this machine.
    fn far(&self) -> Option<&dyn Far> {
        None
    }

    /// Fills it anew in another way, where there is one: what was read is not what was written. `times` counts such calls.
    fn read_again(&self, offset: u64, buf: &mut [u8], times: u32) -> Result<Option<Fetched>> {
        let _no_other_way = (offset, buf, times);
        Ok(None)
    }
}

/// What fetching parts of a segment takes, for whoever says before what an answer would take.
pub(crate) trait Far {
    /// Requests and bytes that reading a block of so many bytes takes at most.
    fn block_at_most(&self, bytes: u64) -> (u64, u64);
    /// And its shapes and indexes.
    fn index_at_most(&self) -> (u64, u64);
}

/// A file of this machine.
struct FileBacking {
    file: Arc<dyn File>,
    path: PathBuf,
}

impl Backing for FileBacking {
    fn read(&self, offset: u64, buf: &mut [u8]) -> Result<Fetched> {
        self.file.read_exact_at(buf, offset).map_err(|e| Error::io("read", &self.path, e))?;
        Ok(Fetched::default())
    }
}

struct SegmentSource {
    backing: Arc<dyn Backing>,
    /// What it is called where it is damaged.
    path: PathBuf,
    /// The cache's number of the segment.
    number: u64,
}

impl Source for SegmentSource {
    fn read(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.backing.read(offset, buf).map(drop)
    }

    fn fetch(&self, offset: u64, buf: &mut [u8]) -> Result<Fetched> {
        self.backing.read(offset, buf)
    }

    fn read_again(&self, offset: u64, buf: &mut [u8], times: u32) -> Result<Option<Fetched>> {
        self.backing.read_again(offset, buf, times)
    }

    fn segment(&self) -> Option<u64> {
        Some(self.number)
    }
}

/// An open segment.
pub(crate) struct Segment {
    pub(crate) footer: Footer,
    pub(crate) fields: Vec<FieldPath>,
    pub(crate) bytes: u64,
    source: SegmentSource,
    cache: Arc<ReadCache>,
    /// The cache's number of it.
    number: u64,
    /// For each block the number of its first group of whole texts.
    first_groups: Vec<u32>,
    /// Where the footer begins.
    footer_at: u64,
}

impl Drop for Segment {
    fn drop(&mut self) {
        self.cache.forget(self.number);
    }
}

impl Segment {
    /// Opens a file and reads its footer. What is read later is kept in `cache`.
    pub(crate) fn open(env: &dyn Env, path: &Path, cache: &Arc<ReadCache>) -> Result<Self> {
        let file = env.open(path, OpenMode::Read).map_err(|e| Error::io("open", path, e))?;
        let bytes = file.len().map_err(|e| Error::io("measure", path, e))?;
        let backing = FileBacking { file, path: path.to_path_buf() };
        Self::over(Arc::new(backing), path, bytes, cache)
    }

    /// Opens a segment of so many bytes over what they are read from, and reads its footer.
    pub(crate) fn over(backing: Arc<dyn Backing>, path: &Path, bytes: u64, cache: &Arc<ReadCache>) -> Result<Self> {
        let number = cache.number();
        let source = SegmentSource { backing, path: path.to_path_buf(), number };
        let (footer, footer_at) = read_footer(&source, bytes).map_err(|e| e.context(path.display()))?;
        let fields = footer.fields.iter().map(FieldPath::from).collect();
        let mut groups = 0u32;
        let first_groups = footer.blocks.iter().map(|block| {
            let of_block: u32 = block.groups.iter().fold(0, |sum, (_, n)| sum.saturating_add(*n));
            let first = groups;
            groups = groups.saturating_add(of_block);
            first
        });
        let first_groups = first_groups.collect();
        Ok(Self { footer, fields, bytes, source, cache: Arc::clone(cache), number, first_groups, footer_at })
    }

    /// The file's path.
    pub(crate) fn path(&self) -> &Path {
        &self.source.path
    }

    /// What fetching parts of it takes, where its bytes are not on this machine.
    pub(crate) fn far(&self) -> Option<&dyn Far> {
        self.source.backing.far()
    }

    /// Where its shapes and indexes lie in the file: behind all blocks, before the footer.
    pub(crate) fn index_range(&self) -> (u64, u64) {
        (self.footer.shapes.offset, self.footer_at)
    }

    /// Where pages are read from.
    pub(crate) fn source(&self) -> &dyn Source {
        &self.source
    }

    /// The segment's shapes.
    pub(crate) fn shapes(&self) -> Result<Arc<ShapeTable>> {
        self.shapes_by(&self.source)
    }

    /// The segment's shapes; where they have to be read, from `source`.
    pub(crate) fn shapes_by(&self, source: &dyn Source) -> Result<Arc<ShapeTable>> {
        self.cache.get_noting(
            (self.number, Item::Shapes),
            |bytes| source.spared(bytes),
            || {
                let table = self.read_shapes(source).map_err(|e| e.context(self.path().display()))?;
                let bytes = table.memory();
                Ok((table, bytes))
            },
        )
    }

    /// Whether questions about shapes go through the index.
    pub(crate) fn asks_index(&self) -> bool {
        self.footer.shapes.raw > self.cache.straight_bytes_max as u64
    }

    /// The index of the shapes, and of the groups of whole texts; without groups where it had to be built again.
    pub(crate) fn index(&self, source: &dyn Source) -> Result<Arc<ShapeIndex>> {
        self.cache.get_noting(
            (self.number, Item::Index),
            |bytes| source.spared(bytes),
            || {
                let opened = self.piece(source, self.footer.index).and_then(|bytes| ShapeIndex::open(bytes.into()));
                let index = match opened {
                    Ok(index) if index.shape_count() == self.footer.shape_count => index,
                    Err(e) if e.kind() != ErrorKind::Corrupt => return Err(e.context(self.path().display())),
                    opened => {
                        let why = opened.err().map_or("it has other shapes".into(), |e| e.to_string());
                        self.cache.trouble(format!("{}: the index is built again: {why}", self.path().display()));
                        ShapeIndex::open(super::build_index(&*self.shapes_by(source)?)?.into())?
                    }
                };
                let bytes = index.bytes();
                Ok((index, bytes))
            },
        )
    }

    /// How many groups of whole texts there are.
    pub(crate) fn group_count(&self) -> u32 {
        let of_blocks = self.footer.blocks.iter().flat_map(|block| &block.groups);
        of_blocks.fold(0, |sum, (_, n)| sum.saturating_add(*n))
    }

    /// The groups of the whole texts of a block's lane: the first one's number, and how many there are.
    pub(crate) fn groups(&self, block: usize, lane: usize) -> Option<(u32, u32)> {
        let mut first = *self.first_groups.get(block)?;
        for (of_lane, n) in &self.footer.blocks.get(block)?.groups {
            if *of_lane as usize == lane {
                return Some((first, *n));
            }
            first = first.saturating_add(*n);
        }
        None
    }

    fn read_shapes(&self, source: &dyn Source) -> Result<ShapeTable> {
        let piece = self.footer.shapes;
        let stored = self.piece(source, piece)?;
        let raw = zstd::bulk::decompress(&stored, piece.raw as usize)
            .map_err(|e| Error::corrupt(format!("the shapes cannot be decompressed: {e}")))?;
        let table = ShapeTable::decode(&raw)?;
        if table.len() != self.footer.shape_count as usize {
            return Err(Error::corrupt("the shapes are not as many as the footer says"));
        }
        Ok(table)
    }

    /// The index of rows; nothing where no row has a value that is in it.
    fn row_index(&self, source: &dyn Source) -> Result<Option<Arc<RowIndex>>> {
        if self.footer.row_index.len == 0 {
            return Ok(None);
        }
        let load = || {
            let index = RowIndex::open(source, self.footer.row_index)?;
            let bytes = index.memory();
            Ok((index, bytes))
        };
        self.cache.get_noting((self.number, Item::RowIndex), |bytes| source.spared(bytes), load).map(Some)
    }

    /// Rows whose field may have this hex value or UUID, as (block, row), ascending; no other row has it. Nothing where
    /// the index is damaged: any row may have it then.
    pub(crate) fn rows_with(
        &self,
        field: &str,
        value: &[u8],
        source: &dyn Source,
    ) -> Result<Option<Vec<(usize, usize)>>> {
        let found = self.row_index(source).and_then(|index| match index {
            Some(index) => index.candidates(source, rowindex::hash(field, value)),
            None => Ok(Vec::new()),
        });
        let rows = match found {
            Ok(rows) => rows,
            Err(e) if e.kind() == ErrorKind::Corrupt => {
                self.cache.trouble(format!("{}: blocks are searched one by one: {e}", self.path().display()));
                return Ok(None);
            }
            Err(e) => return Err(e.context(self.path().display())),
        };
        let mut placed = Vec::with_capacity(rows.len());
        let (mut base, mut rows) = (0u64, rows.into_iter().peekable());
        for (number, block) in self.footer.blocks.iter().enumerate() {
            let end = base + u64::from(block.rows);
            while let Some(row) = rows.next_if(|row| u64::from(*row) < end) {
                placed.push((number, (u64::from(row) - base) as usize));
            }
            base = end;
        }
        Ok(Some(placed))
    }

    fn piece(&self, source: &dyn Source, piece: Piece) -> Result<Vec<u8>> {
        let mut bytes = vec![0; piece.len as usize];
        source.read(piece.offset, &mut bytes)?;
        if crc32fast::hash(&bytes) != piece.crc {
            return Err(Error::corrupt(format!("the piece at byte {} fails its checksum", piece.offset)));
        }
        Ok(bytes)
    }

    /// The effects that were sealed with its rows.
    pub(crate) fn effects(&self) -> Result<SealedEffects> {
        let mut found = SealedEffects::new();
        for piece in &self.footer.effects {
            let read = self.piece(&self.source, *piece).and_then(|stored| effects::decode(&stored, *piece, &mut found));
            read.map_err(|e| e.context(self.path().display()))?;
        }
        Ok(found)
    }

    /// How many blocks there are.
    pub(crate) fn block_count(&self) -> usize {
        self.footer.blocks.len()
    }

    /// A block's head.
    pub(crate) fn block(&self, index: usize) -> Result<Arc<Block>> {
        self.block_by(index, &self.source)
    }

    /// A block's head; where it has to be read, from `source`.
    pub(crate) fn block_by(&self, index: usize, source: &dyn Source) -> Result<Arc<Block>> {
        self.cache.get_noting(
            (self.number, Item::Block(index as u32)),
            |bytes| source.spared(bytes),
            || {
                let block = self.read_block(index, source)?;
                let bytes = block.memory();
                Ok((block, bytes))
            },
        )
    }

    fn read_block(&self, index: usize, source: &dyn Source) -> Result<Block> {
        let Some(meta) = self.footer.blocks.get(index) else {
            return Err(Error::corrupt(format!("{} has no block {index}", self.path().display())));
        };
        Block::read(meta, self.totals(), source).map_err(|e| e.context(self.path().display()))
    }

    /// How many there are of what blocks name by number.
    pub(super) fn totals(&self) -> Totals {
        Totals {
            fields: self.fields.len(),
            streams: self.footer.streams.len(),
            shapes: self.footer.shape_count as usize,
        }
    }

    /// The slots of lane `number` of a block.
    pub(crate) fn directory(
        &self,
        index: usize,
        block: &Block,
        number: usize,
        lane: &BlockLane,
        shapes: &ShapeTable,
        source: &dyn Source,
    ) -> Result<Arc<Directory>> {
        let key = (self.number, Item::Directory(index as u32, number as u32));
        self.cache.get_noting(
            key,
            |bytes| source.spared(bytes),
            || {
                let directory = block.directory(lane, shapes.slots(), source)?;
                let bytes = directory.memory();
                Ok((directory, bytes))
            },
        )
    }

    /// What comes before the whole texts of lane `number` of a block, as it was kept or as `open` gives it.
    pub(crate) fn opened(
        &self,
        index: usize,
        number: usize,
        part: Part,
        source: &dyn Source,
        open: &dyn Fn() -> Result<Opened>,
    ) -> Result<Arc<Opened>> {
        let key = (self.number, Item::Whole(index as u32, number as u32, part));
        self.cache.get_noting(
            key,
            |bytes| source.spared(bytes),
            || {
                let opened = open()?;
                let (bytes, is_kept) = opened.memory();
                Ok((opened, if is_kept { bytes } else { usize::MAX }))
            },
        )
    }

    /// Pages that are kept, shared with all who read the segment.
    pub(crate) fn sharing<'a>(&'a self, pages: KeptPages<'a>) -> KeptPages<'a> {
        pages.shared(&self.cache, self.number)
    }

    /// What was worked out about the segment under a key, or what `load` works out, with the bytes that it takes.
    pub(crate) fn known<T: Any + Send + Sync>(
        &self,
        key: u64,
        load: impl FnOnce() -> Result<(T, usize)>,
    ) -> Result<Arc<T>> {
        self.cache.get((self.number, Item::Known(key)), load)
    }

    /// Reads and checks every byte.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn verify(&self) -> Result<()> {
        self.verify_head()?;
        self.verify_shapes()?;
        self.verify_index()?;
        self.effects()?;
        (0..self.block_count()).try_for_each(|index| self.verify_block(index))
    }

    /// Reads and checks the first bytes of the file, which nothing else needs.
    pub(crate) fn verify_head(&self) -> Result<()> {
        let mut head = [0u8; HEAD_BYTES as usize];
        self.source.read(0, &mut head)?;
        if head == footer::head() {
            return Ok(());
        }
        Err(Error::corrupt("the head is damaged").context(self.path().display()))
    }

    /// Reads and checks the shapes, whatever was read before.
    pub(crate) fn verify_shapes(&self) -> Result<()> {
        self.read_shapes(&self.source).map(drop).map_err(|e| e.context(self.path().display()))
    }

    /// Reads and checks the index, and that of rows.
    pub(crate) fn verify_index(&self) -> Result<()> {
        let checked = || {
            self.piece(&self.source, self.footer.index)?;
            match self.row_index(&self.source)? {
                Some(index) => index.verify(&self.source),
                None => Ok(()),
            }
        };
        checked().map_err(|e| e.context(self.path().display()))
    }

    /// Reads and checks a block, whatever was read before.
    pub(crate) fn verify_block(&self, index: usize) -> Result<()> {
        let block = self.read_block(index, &self.source)?;
        block.verify(&self.source).map_err(|e| e.context(self.path().display()))
    }
}

fn read_footer(source: &dyn Source, bytes: u64) -> Result<(Footer, u64)> {
    let tail_at = bytes.checked_sub(TAIL_BYTES).ok_or_else(|| Error::corrupt("too short for a segment"))?;
    let mut tail = [0u8; TAIL_BYTES as usize];
    source.read(tail_at, &mut tail)?;
    let len = Footer::len_from_tail(tail)?;
    let footer_at =
        tail_at.checked_sub(len as u64).ok_or_else(|| Error::corrupt("the footer is longer than the file"))?;
    let mut footer = vec![0; len];
    source.read(footer_at, &mut footer)?;
    Ok((Footer::decode(&footer, bytes)?, footer_at))
}
