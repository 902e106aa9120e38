//! A block's head as it is stored: its numbers in front, compressed where that saves a tenth.
//!
//! Invariants
//! * The crc is over the stored bytes and is checked before they are decompressed.
//! * Nothing larger than [`RAW_MAX`] is ever allocated for a head.
use super::block::BlockMeta;
use super::numbers::Numbers;
use super::pages::{Source, read_sound};
use crate::error::{Error, Result};
use crate::limits::MIB;

/// A head that is larger is not compressed.
const RAW_MAX: usize = 64 * MIB;
const LEVEL: i32 = 3;

/// A head that is ready to be written.
pub(super) struct StoredHead {
    pub(super) bytes: Vec<u8>,
    pub(super) raw: u32,
}

/// Puts numbers in front of the rest of a head.
pub(super) fn store(numbers: &Numbers, body: &[u8]) -> StoredHead {
    let mut raw = Vec::with_capacity(body.len() + body.len() / 2);
    numbers.put(&mut raw);
    raw.extend_from_slice(body);
    let raw_len = raw.len() as u32;
    if (64..=RAW_MAX).contains(&raw.len())
        && let Ok(small) = zstd::bulk::compress(&raw, LEVEL)
        && small.len() < raw.len() - raw.len() / 10
    {
        return StoredHead { bytes: small, raw: raw_len };
    }
    StoredHead { bytes: raw, raw: raw_len }
}

/// Reads the head of a block.
pub(super) fn load(meta: &BlockMeta, source: &dyn Source) -> Result<Vec<u8>> {
    let mut bytes = vec![0; meta.head_len as usize];
    read_sound(source, meta.offset + meta.pages_len, &mut bytes, |bytes| {
        if crc32fast::hash(bytes) == meta.head_crc {
            return Ok(());
        }
        Err(Error::corrupt(format!("the head of the block at byte {} fails its checksum", meta.offset)))
    })?;
    if meta.head_raw == meta.head_len {
        return Ok(bytes);
    }
    let raw_len = meta.head_raw as usize;
    let raw = if raw_len > RAW_MAX { None } else { zstd::bulk::decompress(&bytes, raw_len).ok() };
    raw.filter(|raw| raw.len() == raw_len)
        .ok_or_else(|| Error::corrupt(format!("the head of the block at byte {} cannot be decompressed", meta.offset)))
}
