//! A segment's pieces beside its blocks, changed and put under checksums that are right: shapes and effects.
use super::super::effects::{self, SealedEffect, SealedEffects};
use super::super::footer::{Footer, Piece, TAIL_BYTES};
use super::{Values, open_segment, segment_of};
use crate::error::{Error, Result};

/// A piece over bytes that are to stand at `offset`.
pub(super) fn piece_at(offset: usize, bytes: &[u8], raw: u64) -> Piece {
    Piece { offset: offset as u64, len: bytes.len() as u64, raw, crc: crc32fast::hash(bytes) }
}

/// The file with other bytes behind its blocks and pieces, and a footer that says so.
pub(super) fn with_footer(file: &[u8], change: impl FnOnce(&mut Footer, &mut Vec<u8>)) -> Result<Vec<u8>> {
    let mut footer = segment_of(file)?.footer.clone();
    let tail = file.last_chunk().ok_or_else(|| Error::corrupt("too short for a segment"))?;
    let end = file.len().saturating_sub(TAIL_BYTES as usize + Footer::len_from_tail(*tail)?);
    let mut changed = file.get(..end).unwrap_or_default().to_vec();
    change(&mut footer, &mut changed);
    changed.extend_from_slice(&footer.encode()?);
    Ok(changed)
}

/// Puts other stored shapes into a segment's file, said to have `raw` bytes once decompressed, and reads every value.
pub fn open_with_shapes(file: &[u8], stored: &[u8], raw: u64) -> Result<Values> {
    let changed = with_footer(file, |footer, bytes| {
        footer.shapes = piece_at(bytes.len(), stored, raw);
        bytes.extend_from_slice(stored);
    })?;
    open_segment(&changed)
}

/// The bytes of some effects before they are compressed.
pub fn sample_effects() -> Vec<u8> {
    let effect = |number: u64| SealedEffect {
        value: number.is_multiple_of(2).then(|| vec![7; number as usize]),
        seq: number * 1_000,
        origin: 1,
        expires: number.is_multiple_of(3).then_some(1_780_000_000_000_000_000),
        shadows: number == 5,
    };
    let effects: SealedEffects = (1..9).map(|number| (format!("key/{number}").into_bytes(), effect(number))).collect();
    effects::encode(&effects).concat()
}

/// Reads the stored bytes of effects that are said to have `raw` bytes once decompressed; gives how many there are.
pub fn open_effects(stored: &[u8], raw: u64) -> Result<usize> {
    let mut found = SealedEffects::new();
    effects::decode(stored, piece_at(0, stored, raw), &mut found)?;
    Ok(found.len())
}
