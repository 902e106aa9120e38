//! Opens a segment and hands out its parts: footer at once, shapes and block heads when first asked for.
//!
//! Invariants
//! * A segment is immutable: what was read once stays right for as long as the file is named by the catalog.
//! * Damage is an error that names the file.
use super::block_reader::Block;
use super::footer::{Footer, HEAD_BYTES, Piece, TAIL_BYTES};
use super::pages::Source;
use super::rowindex::{self, RowIndex};
use crate::env::{Env, File, OpenMode};
use crate::error::{Error, Result};
use crate::layout::SEGMENT_MAGIC;
use crate::record::FieldPath;
use crate::text::table::ShapeTable;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

struct FileSource {
    file: Arc<dyn File>,
    path: PathBuf,
}

impl Source for FileSource {
    fn read(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.file.read_exact_at(buf, offset).map_err(|e| Error::io("read", &self.path, e))
    }
}

/// An open segment.
pub(crate) struct Segment {
    pub(crate) footer: Footer,
    pub(crate) fields: Vec<FieldPath>,
    pub(crate) bytes: u64,
    source: FileSource,
    shapes: OnceLock<Arc<ShapeTable>>,
    row_index: OnceLock<Option<RowIndex>>,
    blocks: Vec<OnceLock<Arc<Block>>>,
}

impl Segment {
    /// Opens a file and reads its footer.
    pub(crate) fn open(env: &dyn Env, path: &Path) -> Result<Self> {
        let file = env.open(path, OpenMode::Read).map_err(|e| Error::io("open", path, e))?;
        let bytes = file.len().map_err(|e| Error::io("measure", path, e))?;
        let source = FileSource { file, path: path.to_path_buf() };
        let footer = read_footer(&source, bytes).map_err(|e| e.context(path.display()))?;
        let blocks = footer.blocks.iter().map(|_| OnceLock::new()).collect();
        let fields = footer.fields.iter().map(FieldPath::from).collect();
        Ok(Self { footer, fields, bytes, source, shapes: OnceLock::new(), row_index: OnceLock::new(), blocks })
    }

    /// The file's path.
    pub(crate) fn path(&self) -> &Path {
        &self.source.path
    }

    /// Where pages are read from.
    pub(crate) fn source(&self) -> &dyn Source {
        &self.source
    }

    /// The segment's shapes.
    pub(crate) fn shapes(&self) -> Result<&Arc<ShapeTable>> {
        if let Some(shapes) = self.shapes.get() {
            return Ok(shapes);
        }
        let table = self.read_shapes().map_err(|e| e.context(self.path().display()))?;
        Ok(self.shapes.get_or_init(|| Arc::new(table)))
    }

    fn read_shapes(&self) -> Result<ShapeTable> {
        let piece = self.footer.shapes;
        let stored = self.piece(piece)?;
        let raw = zstd::bulk::decompress(&stored, piece.raw as usize)
            .map_err(|e| Error::corrupt(format!("the shapes cannot be decompressed: {e}")))?;
        let table = ShapeTable::decode(&raw)?;
        if table.len() != self.footer.shape_count as usize {
            return Err(Error::corrupt("the shapes are not as many as the footer says"));
        }
        Ok(table)
    }

    /// The bytes of the bundled index.
    pub(crate) fn index_bytes(&self) -> Result<Vec<u8>> {
        self.piece(self.footer.index).map_err(|e| e.context(self.path().display()))
    }

    fn row_index(&self) -> Result<Option<&RowIndex>> {
        if let Some(index) = self.row_index.get() {
            return Ok(index.as_ref());
        }
        let index = RowIndex::open(&self.source, self.footer.row_index)?;
        Ok(self.row_index.get_or_init(|| index).as_ref())
    }

    /// Rows whose field may have this hex value or UUID, as (block, row), ascending. No other row has it.
    pub(crate) fn rows_with(&self, field: &str, value: &[u8]) -> Result<Vec<(usize, usize)>> {
        let found = self.row_index().and_then(|index| match index {
            Some(index) => index.candidates(&self.source, rowindex::hash(field, value)),
            None => Ok(Vec::new()),
        });
        let rows = found.map_err(|e| e.context(self.path().display()))?;
        let mut placed = Vec::with_capacity(rows.len());
        let (mut base, mut rows) = (0u64, rows.into_iter().peekable());
        for (number, block) in self.footer.blocks.iter().enumerate() {
            let end = base + u64::from(block.rows);
            while let Some(row) = rows.next_if(|row| u64::from(*row) < end) {
                placed.push((number, (u64::from(row) - base) as usize));
            }
            base = end;
        }
        Ok(placed)
    }

    fn piece(&self, piece: Piece) -> Result<Vec<u8>> {
        let mut bytes = vec![0; piece.len as usize];
        self.source.read(piece.offset, &mut bytes)?;
        if crc32fast::hash(&bytes) != piece.crc {
            return Err(Error::corrupt(format!("the piece at byte {} fails its checksum", piece.offset)));
        }
        Ok(bytes)
    }

    /// How many blocks there are.
    pub(crate) fn block_count(&self) -> usize {
        self.blocks.len()
    }

    /// A block's head.
    pub(crate) fn block(&self, index: usize) -> Result<&Arc<Block>> {
        let (Some(slot), Some(meta)) = (self.blocks.get(index), self.footer.blocks.get(index)) else {
            return Err(Error::corrupt(format!("{} has no block {index}", self.path().display())));
        };
        if let Some(block) = slot.get() {
            return Ok(block);
        }
        let block = Block::read(meta, self.fields.len(), self.footer.streams.len(), &self.source)
            .map_err(|e| e.context(self.path().display()))?;
        Ok(slot.get_or_init(|| Arc::new(block)))
    }

    /// Reads and checks every byte.
    pub(crate) fn verify(&self) -> Result<()> {
        let checked = || {
            let mut head = [0u8; HEAD_BYTES as usize];
            self.source.read(0, &mut head)?;
            if head.get(..4) != Some(&SEGMENT_MAGIC[..]) {
                return Err(Error::corrupt("the head is damaged"));
            }
            self.read_shapes()?;
            self.piece(self.footer.index)?;
            if let Some(index) = self.row_index()? {
                index.verify(&self.source)?;
            }
            for index in 0..self.block_count() {
                self.block(index)?.verify(&self.source)?;
            }
            Ok(())
        };
        checked().map_err(|e: Error| e.context(self.path().display()))
    }
}

fn read_footer(source: &FileSource, bytes: u64) -> Result<Footer> {
    let tail_at = bytes.checked_sub(TAIL_BYTES).ok_or_else(|| Error::corrupt("too short for a segment"))?;
    let mut tail = [0u8; TAIL_BYTES as usize];
    source.read(tail_at, &mut tail)?;
    let len = Footer::len_from_tail(tail)?;
    let footer_at =
        tail_at.checked_sub(len as u64).ok_or_else(|| Error::corrupt("the footer is longer than the file"))?;
    let mut footer = vec![0; len];
    source.read(footer_at, &mut footer)?;
    Footer::decode(&footer, bytes)
}
