//! Effects beside rows: what of them a lost catalog could not say again.
//!
//! Pieces of about [`CHUNK_BYTES`], each compressed by zstd: `| n | per effect: key, flags u8, value, seq, origin, expires |`,
//! in the order of their keys. Flags: 1 there is a value, 2 it ends, 4 it shadows.
//!
//! Invariants
//! * Of the effects of one key the one with the highest (sequence number, origin) counts.
//! * One that is over or takes an older one away stays for as long as it shadows one: else the older would count again.
use super::footer::Piece;
use crate::codec::{Reader, put_bytes, put_varint, unzigzag, zigzag};
use crate::error::{Error, Result};
use crate::limits::{EFFECT_BYTES_MAX, KIB};
use std::collections::BTreeMap;

/// Raw bytes of a piece, about.
const CHUNK_BYTES: usize = 256 * KIB;
/// Raw bytes of a piece at most: one effect more than the others may be.
pub(super) const CHUNK_BYTES_MAX: usize = CHUNK_BYTES + 2 * EFFECT_BYTES_MAX + KIB;

const PRESENT: u8 = 1;
const ENDS: u8 = 2;
const SHADOWS: u8 = 4;

/// What became visible with rows of a segment, or was sealed with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SealedEffect {
    /// Its value; none takes an older one away.
    pub(crate) value: Option<Vec<u8>>,
    /// The sequence number that it became visible with.
    pub(crate) seq: u64,
    /// The segment that it was first sealed in: tells those of one number apart.
    pub(crate) origin: u64,
    /// When it ends, nanoseconds since 1970.
    pub(crate) expires: Option<i64>,
    /// Whether an older one of the same key may be in a footer that would count without it and must not.
    pub(crate) shadows: bool,
}

/// Effects by key.
pub(crate) type SealedEffects = BTreeMap<Vec<u8>, SealedEffect>;

/// Adds an effect: the newer one of a key stays.
pub(crate) fn unite(effects: &mut SealedEffects, key: Vec<u8>, effect: SealedEffect) {
    let Some(known) = effects.get_mut(&key) else {
        effects.insert(key, effect);
        return;
    };
    let shadows = known.shadows || effect.shadows;
    if (effect.seq, effect.origin) >= (known.seq, known.origin) {
        *known = effect;
    }
    known.shadows = shadows;
}

/// The raw bytes of each piece.
pub(super) fn encode(effects: &SealedEffects) -> Vec<Vec<u8>> {
    let mut chunks = Vec::new();
    let (mut rows, mut n) = (Vec::new(), 0u64);
    let mut close = |rows: &mut Vec<u8>, n: &mut u64| {
        let mut chunk = Vec::with_capacity(rows.len() + 4);
        put_varint(&mut chunk, std::mem::take(n));
        chunk.append(rows);
        chunks.push(chunk);
    };
    for (key, effect) in effects {
        put_bytes(&mut rows, key);
        let flags = [(effect.value.is_some(), PRESENT), (effect.expires.is_some(), ENDS), (effect.shadows, SHADOWS)];
        rows.push(flags.iter().filter(|(set, _)| *set).fold(0, |all, (_, flag)| all | flag));
        put_bytes(&mut rows, effect.value.as_deref().unwrap_or_default());
        put_varint(&mut rows, effect.seq);
        put_varint(&mut rows, effect.origin);
        put_varint(&mut rows, zigzag(effect.expires.unwrap_or(0)));
        n += 1;
        if rows.len() >= CHUNK_BYTES {
            close(&mut rows, &mut n);
        }
    }
    if n > 0 {
        close(&mut rows, &mut n);
    }
    chunks
}

/// Reads the stored bytes of a piece, whose checksum has passed, into `effects`.
pub(super) fn decode(stored: &[u8], piece: Piece, effects: &mut SealedEffects) -> Result<()> {
    let raw = zstd::bulk::decompress(stored, piece.raw.min(CHUNK_BYTES_MAX as u64) as usize)
        .map_err(|e| Error::corrupt(format!("effects cannot be decompressed: {e}")))?;
    let r = &mut Reader::new(&raw);
    for _ in 0..r.count(6)? {
        let key = r.bytes()?.to_vec();
        let flags = r.u8()?;
        let value = r.bytes()?.to_vec();
        let (seq, origin, expires) = (r.varint()?, r.varint()?, unzigzag(r.varint()?));
        let effect = SealedEffect {
            value: (flags & PRESENT != 0).then_some(value),
            seq,
            origin,
            expires: (flags & ENDS != 0).then_some(expires),
            shadows: flags & SHADOWS != 0,
        };
        unite(effects, key, effect);
    }
    if r.remaining() != 0 {
        return Err(Error::corrupt("effects have bytes behind them"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn effect(seq: u64, origin: u64) -> SealedEffect {
        SealedEffect { value: Some(vec![seq as u8; 3]), seq, origin, expires: None, shadows: false }
    }

    #[test]
    fn effects_come_back_in_pieces() {
        let mut effects = SealedEffects::new();
        for i in 0..9_000u64 {
            let value = (i % 7 != 0).then(|| vec![i as u8; (i % 400) as usize]);
            let expires = (i % 3 == 0).then_some(-5 + i as i64);
            let effect = SealedEffect { value, seq: i, origin: i / 2, expires, shadows: i % 5 == 0 };
            effects.insert(i.to_be_bytes().to_vec(), effect);
        }
        let large = SealedEffect { value: Some(vec![1; EFFECT_BYTES_MAX]), ..effect(1, 1) };
        effects.insert(vec![9; EFFECT_BYTES_MAX], large);
        let chunks = encode(&effects);
        assert!(chunks.len() > 2);
        let mut back = SealedEffects::new();
        for chunk in &chunks {
            assert!(chunk.len() <= CHUNK_BYTES_MAX);
            let stored = zstd::bulk::compress(chunk, 1).unwrap();
            let piece = Piece { offset: 0, len: stored.len() as u64, raw: chunk.len() as u64, crc: 0 };
            decode(&stored, piece, &mut back).unwrap();
            for end in [0, stored.len() / 2, stored.len() - 1] {
                assert!(decode(&stored[..end], piece, &mut SealedEffects::new()).is_err());
            }
        }
        assert_eq!(back, effects);
        assert!(encode(&SealedEffects::new()).is_empty());
    }

    #[test]
    fn the_newest_counts_and_shadows_what_the_others_did() {
        let mut effects = SealedEffects::new();
        for (seq, origin) in [(5, 1), (7, 2), (7, 3), (6, 9)] {
            unite(&mut effects, b"k".to_vec(), SealedEffect { shadows: seq == 6, ..effect(seq, origin) });
        }
        assert_eq!(effects[&b"k"[..]], SealedEffect { shadows: true, ..effect(7, 3) });
    }
}
