//! A segment's indexes, taken apart and put together again with checksums that are right: lengths are in these too.
//!
//! Invariants
//! * The files of the index of shapes stay as they were written: tantivy is given no others, since it panics on them.
use super::super::footer::Piece;
use super::pieces::{piece_at, with_footer};
use super::{cache, segment_of, segment_with};
use crate::codec::Reader;
use crate::error::{Error, Result};

/// Bytes of the front of an index of rows before those about its shards.
const FRONT_BYTES: usize = 7;
/// What a shard has there: its length and its checksum.
const SHARD_BYTES: usize = 8;
/// The length and the checksum of the directory of an index of shapes.
const DIRECTORY_TAIL_BYTES: usize = 8;
/// The field and the value of the second row of the sample that are looked up: the first one's, without a letter, is no hex value.
const KNOWN: (&str, [u8; 16]) = ("trace", (0x9e37_79b9_7f4a_7c15_u128 << 64 | 1).to_be_bytes());

/// The parts of a segment's indexes before checksums are put over them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IndexParts {
    /// The files of the index of shapes, one after the other.
    pub files: Vec<u8>,
    /// What says how long each of them is.
    pub directory: Vec<u8>,
    /// What the index of rows says of itself.
    pub row_front: Vec<u8>,
    /// How long its one shard is said to be.
    pub shard_len: u32,
    /// The shard.
    pub shard: Vec<u8>,
}

/// The indexes of a segment so small that its index of rows has one shard.
pub fn index_parts(file: &[u8]) -> Result<IndexParts> {
    let footer = segment_of(file)?.footer.clone();
    let index = piece(file, footer.index)?;
    let none = || Error::corrupt("an index that is too short");
    let (rest, tail) = index.split_last_chunk::<DIRECTORY_TAIL_BYTES>().ok_or_else(none)?;
    let directory_len = Reader::new(tail).u32()? as usize;
    let start = rest.len().checked_sub(directory_len).ok_or_else(none)?;
    let (files, directory) = rest.split_at_checked(start).ok_or_else(none)?;
    let rows = piece(file, footer.row_index)?;
    let (row_front, shards) = rows.split_at_checked(FRONT_BYTES).ok_or_else(none)?;
    let shard = shards.get(SHARD_BYTES..).ok_or_else(none)?;
    let shard_len = Reader::new(shards).u32()?;
    if shard.len() != shard_len as usize {
        return Err(Error::invalid("an index of rows with several shards"));
    }
    Ok(IndexParts {
        files: files.to_vec(),
        directory: directory.to_vec(),
        row_front: row_front.to_vec(),
        shard_len,
        shard: shard.to_vec(),
    })
}

fn piece(file: &[u8], piece: Piece) -> Result<&[u8]> {
    let bytes = file.get(piece.offset as usize..).and_then(|rest| rest.get(..piece.len as usize));
    bytes.ok_or_else(|| Error::corrupt("a piece that is not in its file"))
}

/// Puts indexes into a segment's file, opens both, and looks a value of the sample's second row up. Gives how many shapes
/// there are, whether the index had to be built again, and how many rows were found; none where any row may have it.
pub fn open_indexes(file: &[u8], parts: &IndexParts) -> Result<(u32, bool, Option<usize>)> {
    let mut index = [parts.files.as_slice(), &parts.directory].concat();
    index.extend_from_slice(&(parts.directory.len() as u32).to_le_bytes());
    let directory_crc = crc32fast::hash(index.get(parts.files.len()..).unwrap_or_default());
    index.extend_from_slice(&directory_crc.to_le_bytes());
    let mut front = parts.row_front.clone();
    front.extend_from_slice(&parts.shard_len.to_le_bytes());
    front.extend_from_slice(&crc32fast::hash(&parts.shard).to_le_bytes());
    let changed = with_footer(file, |footer, bytes| {
        footer.index = piece_at(bytes.len(), &index, index.len() as u64);
        bytes.extend_from_slice(&index);
        // Its checksum is of the front alone; each shard has one there.
        let of_front = piece_at(bytes.len(), &front, front.len() as u64);
        footer.row_index = Piece { len: (front.len() + parts.shard.len()) as u64, ..of_front };
        bytes.extend_from_slice(&front);
        bytes.extend_from_slice(&parts.shard);
    })?;
    let cache = cache();
    let segment = segment_with(&changed, &cache)?;
    let shapes = segment.index(segment.source())?.shape_count();
    let is_rebuilt = !cache.troubles().is_empty();
    let rows = segment.rows_with(KNOWN.0, &KNOWN.1, segment.source())?;
    Ok((shapes, is_rebuilt, rows.map(|rows| rows.len())))
}

#[cfg(test)]
mod tests {
    use super::super::sample_segment_of;
    use super::*;

    #[test]
    fn indexes_that_were_taken_apart_are_read_again() {
        let file = sample_segment_of(60).unwrap();
        let parts = index_parts(&file).unwrap();
        let (shapes, is_rebuilt, rows) = open_indexes(&file, &parts).unwrap();
        assert!(shapes > 5 && !is_rebuilt && rows.is_some_and(|rows| rows > 0), "{shapes} {is_rebuilt} {rows:?}");
        let damaged = IndexParts { directory: parts.directory[1..].to_vec(), ..parts };
        assert!(open_indexes(&file, &damaged).unwrap().1);
    }
}
