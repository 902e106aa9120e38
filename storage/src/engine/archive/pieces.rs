//! Files and objects read from end to end, a piece at a time: for their digests.
//!
//! Invariants
//! * Memory holds one piece, however long what is read is.
use crate::archive::Bucket;
use crate::error::Result;
use crate::limits::MIB;
use sha2::{Digest, Sha256};

/// Bytes that are read at once, here and there.
const PIECE_BYTES: u64 = 8 * MIB as u64;

/// What is known of a file once all of it was read.
pub(super) struct Facts {
    pub(super) digest: [u8; 32],
    pub(super) crc: u32,
    /// Of what lies between its blocks and its footer.
    pub(super) index_crc: u32,
}

/// Fills a piece with what lies at an offset.
type Read<'a> = dyn FnMut(u64, &mut [u8]) -> Result<()> + 'a;

/// Reads so many bytes, a piece after the other.
pub(super) fn each_piece(len: u64, read: &mut Read<'_>) -> Result<()> {
    let mut piece = vec![0; PIECE_BYTES.min(len) as usize];
    let mut at = 0;
    while at < len {
        let n = PIECE_BYTES.min(len - at);
        read(at, piece.get_mut(..n as usize).unwrap_or_default())?;
        at += n;
    }
    Ok(())
}

/// Reads a whole segment, whose indexes lie in a range.
pub(super) fn facts(len: u64, (index_at, footer_at): (u64, u64), read: &mut Read<'_>) -> Result<Facts> {
    let (mut digest, mut crc, mut index) = (Sha256::new(), crc32fast::Hasher::new(), crc32fast::Hasher::new());
    each_piece(len, &mut |at, piece| {
        read(at, piece)?;
        digest.update(&*piece);
        crc.update(piece);
        let end = at + piece.len() as u64;
        let (from, to) = (index_at.clamp(at, end) - at, footer_at.clamp(at, end) - at);
        index.update(piece.get(from as usize..to as usize).unwrap_or_default());
        Ok(())
    })?;
    Ok(Facts { digest: digest.finalize().into(), crc: crc.finalize(), index_crc: index.finalize() })
}

/// The digest of so many bytes.
pub(super) fn digest(len: u64, read: &mut Read<'_>) -> Result<[u8; 32]> {
    let mut digest = Sha256::new();
    each_piece(len, &mut |at, piece| {
        read(at, piece)?;
        digest.update(&*piece);
        Ok(())
    })?;
    Ok(digest.finalize().into())
}

/// The digest of an object of so many bytes; nothing where it is not there or has another length.
pub(super) fn read_back(bucket: &dyn Bucket, object: &str, len: u64) -> Result<Option<[u8; 32]>> {
    if bucket.len(object)? != Some(len) {
        return Ok(None);
    }
    digest(len, &mut |at, piece| bucket.read(object, at, piece)).map(Some)
}
