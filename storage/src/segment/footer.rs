//! A segment file's footer: what the file is, and where everything in it lies.
//!
//! `| magic 4 | version u32 | blocks ... | shapes | index | row index | effects ... | footer | footer length u32 | magic 4 |`
//!
//! Invariants
//! * A file without a whole footer is no segment: it was never finished.
//! * Every range in a footer lies inside the file; [`Footer::check`] says so before anyone reads by it.
use super::block::BlockMeta;
use super::effects::CHUNK_BYTES_MAX;
use crate::codec;
use crate::error::{Error, Result};
use crate::layout::SEGMENT_MAGIC;
use crate::limits::{BLOCK_ROWS_MAX, FOOTER_BYTES_MAX};
use crate::record::FieldPath;
use crate::retention::RetentionClass;
use serde::{Deserialize, Serialize};

const VERSION: u16 = 1;
/// Bytes before the first block.
pub(crate) const HEAD_BYTES: u64 = 8;

/// The first bytes of a file: they name it for people and programs that look at its beginning.
pub(crate) fn head() -> [u8; HEAD_BYTES as usize] {
    let mut head = [0; HEAD_BYTES as usize];
    let (magic, version) = head.split_at_mut(4);
    magic.copy_from_slice(&SEGMENT_MAGIC);
    version.copy_from_slice(&u32::from(VERSION).to_le_bytes());
    head
}
/// Bytes after the footer.
pub(crate) const TAIL_BYTES: u64 = 8;
const FOOTER_MAGIC: [u8; 4] = *b"LYF1";

/// A range of the file with its checksum.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Piece {
    pub(crate) offset: u64,
    pub(crate) len: u64,
    /// Length once decompressed; the same where it is not compressed.
    pub(crate) raw: u64,
    pub(crate) crc: u32,
}

/// A field's path as the footer has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct FooterField {
    name: String,
    nesting: Vec<u16>,
    occurrence: u16,
}

impl From<&FieldPath> for FooterField {
    fn from(path: &FieldPath) -> Self {
        Self { name: path.name.to_string(), nesting: path.nesting.to_vec(), occurrence: path.occurrence }
    }
}

impl From<&FooterField> for FieldPath {
    fn from(field: &FooterField) -> Self {
        Self {
            name: field.name.as_str().into(),
            nesting: field.nesting.as_slice().into(),
            occurrence: field.occurrence,
        }
    }
}

/// What a segment is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Footer {
    pub(crate) id: u64,
    pub(crate) day: String,
    pub(crate) class: RetentionClass,
    pub(crate) created: i64,
    /// Rows below this number are in segments once all segments of the same seal are.
    pub(crate) sealed_seq: u64,
    /// How many segments were written by the same seal.
    pub(crate) parts: u32,
    /// The segments that it took the place of.
    pub(crate) replaces: Vec<u64>,
    pub(crate) fields: Vec<FooterField>,
    /// Service and tags of each stream.
    pub(crate) streams: Vec<(String, String)>,
    pub(crate) shape_count: u32,
    pub(crate) shapes: Piece,
    pub(crate) index: Piece,
    pub(crate) row_index: Piece,
    /// Effects that were sealed with its rows.
    pub(crate) effects: Vec<Piece>,
    /// The lowest number of those that have a value.
    pub(crate) effects_from: Option<u64>,
    pub(crate) blocks: Vec<BlockMeta>,
}

impl Footer {
    /// The end of a segment file.
    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        let mut out = codec::seal(FOOTER_MAGIC, VERSION, self)?;
        let len = out.len() as u32;
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&SEGMENT_MAGIC);
        Ok(out)
    }

    /// How long the footer before this tail is.
    pub(crate) fn len_from_tail(tail: [u8; TAIL_BYTES as usize]) -> Result<usize> {
        let r = &mut codec::Reader::new(&tail);
        let len = r.u32()? as usize;
        let magic: [u8; 4] = r.array()?;
        if magic != SEGMENT_MAGIC || len > FOOTER_BYTES_MAX {
            return Err(Error::corrupt("not a finished segment"));
        }
        Ok(len)
    }

    /// Reads a footer of a file of `file_len` bytes.
    pub(crate) fn decode(bytes: &[u8], file_len: u64) -> Result<Self> {
        let footer: Self = codec::open(FOOTER_MAGIC, VERSION, bytes)?;
        footer.check(file_len)?;
        Ok(footer)
    }

    /// Reads the footer at the end of a file of `file_len` bytes, whose last ones these are: from where it begins.
    pub(crate) fn at_end(bytes: &[u8], file_len: u64) -> Result<Self> {
        let (footer, _) = bytes
            .split_last_chunk::<{ TAIL_BYTES as usize }>()
            .filter(|(footer, tail)| Self::len_from_tail(**tail).is_ok_and(|len| len == footer.len()))
            .ok_or_else(|| Error::corrupt("not the end of a segment"))?;
        Self::decode(footer, file_len)
    }

    fn check(&self, file_len: u64) -> Result<()> {
        let inside = |offset: u64, len: u64| offset.checked_add(len).is_some_and(|end| end <= file_len);
        let blocks = self.blocks.iter().all(|b| {
            inside(b.offset, b.pages_len)
                && inside(b.offset + b.pages_len, u64::from(b.head_len))
                && b.rows as usize <= BLOCK_ROWS_MAX
        });
        let pieces = [self.shapes, self.index, self.row_index]
            .iter()
            .all(|p| inside(p.offset, p.len) && p.raw <= FOOTER_BYTES_MAX as u64 * 8);
        let effects = self.effects.iter().all(|p| inside(p.offset, p.len) && p.raw <= CHUNK_BYTES_MAX as u64);
        if blocks && pieces && effects {
            Ok(())
        } else {
            Err(Error::corrupt("a footer names bytes that its file does not have"))
        }
    }

    /// Rows of all blocks.
    pub(crate) fn rows(&self) -> u64 {
        self.blocks.iter().map(|b| u64::from(b.rows)).sum()
    }

    /// The range of sequence numbers, first and last.
    pub(crate) fn seqs(&self) -> (u64, u64) {
        let first = self.blocks.iter().map(|b| b.first_seq).min().unwrap_or(0);
        (first, self.blocks.iter().map(|b| b.last_seq).max().unwrap_or(0))
    }

    /// The range of event times, earliest and latest.
    pub(crate) fn times(&self) -> (i64, i64) {
        let first = self.blocks.iter().map(|b| b.time_min).min().unwrap_or(0);
        (first, self.blocks.iter().map(|b| b.time_max).max().unwrap_or(0))
    }
}
