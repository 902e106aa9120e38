//! Where a hex value or UUID stands in a segment: candidate rows by hash, without reading the column.
//!
//! Rows are kept in the order of their value's hash, in shards of some thousands, in buckets of about one; a bucket
//! keeps for each row a few bits of the hash and the row's number in the segment. So a look-up reads one shard, and of
//! a value that is not there one row in 130 look-ups has to be looked at. A filter that says no takes as much room
//! and then leaves the blocks to be searched: `docs/decisions/0005-row-index.md` has the figures.
//!
//! `| rows u32 | row bits u8 | shard bits u8 | 0x80 + bucket bits u8 | per shard: length u32, crc32 u32 |` in front, then the
//! shards: `| rows | ends of buckets, a bit each | check bits and row of each entry, packed |`. Of the ends, entry `i` of bucket
//! `b` is the one at bit `i + b`; the zeros are the ends. Without the 0x80, buckets are of about eight, and their starts
//! are packed numbers.
//!
//! Invariants
//! * Every row with a hex value or UUID is listed: a value that is not found here is not in the segment.
//! * A hash is the same in every version: it is part of the format.
use super::bits::{BitWriter, Packed, bits_of, packed_bytes};
use super::footer::Piece;
use super::pages::Source;
use crate::codec::{Reader, put_varint};
use crate::error::{Error, Result};
use std::ops::Range;

/// Entries of a shard, about: a look-up reads one, some 14 KiB, of each segment.
const SHARD_ENTRIES: usize = 4_096;
/// In front of the bits of buckets: that their ends are bits.
const ENDS_ARE_BITS: u8 = 0x80;
/// Bits of the hash beside each row.
const CHECK_BITS: u32 = 7;
const SHARD_BITS_MAX: u32 = 16;
const FRONT_BYTES_MAX: u64 = 16 + (8 << SHARD_BITS_MAX);

/// The hash of a field's value.
pub(crate) fn hash(field: &str, value: &[u8]) -> u64 {
    Prefix::new(field, value.len()).hash(value)
}

/// The hash of a field's values as far as they have it in common.
pub(crate) struct Prefix(u64);

impl Prefix {
    /// For values of `len` bytes.
    pub(crate) fn new(field: &str, len: usize) -> Self {
        Self(eat(0x5171_F1A5u64 ^ (len as u64), field.as_bytes()))
    }

    /// The hash of one of them.
    #[inline]
    pub(crate) fn hash(&self, value: &[u8]) -> u64 {
        let h = eat(self.0, value);
        let h = (h ^ (h >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        h ^ (h >> 32)
    }
}

#[inline]
fn eat(mut h: u64, bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks();
    let mut last = [0u8; 8];
    last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    for word in words.iter().chain((!rest.is_empty()).then_some(&last)) {
        h = (h ^ u64::from_le_bytes(*word)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        h ^= h >> 32;
    }
    h
}

/// Rows that a segment can have for its index to number them.
pub(crate) const ROWS_MAX: u32 = 1 << 28;
const ROW_MASK: u64 = ROWS_MAX as u64 - 1;

/// A hash and the row's number in the segment as one number: the lowest bits of a hash are used by no index.
pub(crate) fn entry(hash: u64, row: u32) -> u64 {
    hash & !ROW_MASK | u64::from(row) & ROW_MASK
}

/// The index of these entries, and how long its front is.
pub(crate) fn build(mut entries: Vec<u64>) -> (Vec<u8>, usize) {
    if entries.is_empty() {
        return (Vec::new(), 0);
    }
    entries.sort_unstable();
    let row_bits = bits_of(entries.iter().map(|entry| entry & ROW_MASK).max().unwrap_or(0));
    let shard_bits = bits_of((entries.len() / SHARD_ENTRIES) as u64).min(SHARD_BITS_MAX);
    let per_shard = entries.len() >> shard_bits;
    let bucket_bits = bits_of(per_shard.saturating_sub(1) as u64);
    let mut shards: Vec<Vec<u8>> = Vec::with_capacity(1 << shard_bits);
    let mut rest = entries.as_slice();
    for shard in 0..1u64 << shard_bits {
        let (own, later) = rest.split_at(rest.partition_point(|entry| top(*entry, shard_bits) <= shard));
        rest = later;
        shards.push(build_shard(own, row_bits, shard_bits, bucket_bits));
    }
    let mut out = (entries.len() as u32).to_le_bytes().to_vec();
    // Of the largest segments they take as much memory as all else that writes one.
    drop(entries);
    out.extend([row_bits as u8, shard_bits as u8, ENDS_ARE_BITS | bucket_bits as u8]);
    for shard in &shards {
        out.extend_from_slice(&(shard.len() as u32).to_le_bytes());
        out.extend_from_slice(&crc32fast::hash(shard).to_le_bytes());
    }
    let front = out.len();
    out.reserve_exact(shards.iter().map(Vec::len).sum());
    shards.iter().for_each(|shard| out.extend_from_slice(shard));
    (out, front)
}

/// The highest bits of a hash.
fn top(hash: u64, bits: u32) -> u64 {
    if bits == 0 { 0 } else { hash >> (64 - bits) }
}

/// Bucket in its shard, and check bits.
fn place(hash: u64, shard_bits: u32, bucket_bits: u32) -> (u64, u64) {
    let below_shard = hash << shard_bits;
    let below_bucket = below_shard << bucket_bits;
    (top(below_shard, bucket_bits), top(below_bucket, CHECK_BITS))
}

fn build_shard(entries: &[u64], row_bits: u32, shard_bits: u32, bucket_bits: u32) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, entries.len() as u64);
    let mut ends = vec![0u8; ends_bytes(entries.len(), bucket_bits)];
    let mut packed = BitWriter::default();
    for (at, entry) in entries.iter().enumerate() {
        let (bucket, check) = place(*entry, shard_bits, bucket_bits);
        let bit = at + bucket as usize;
        if let Some(byte) = ends.get_mut(bit / 8) {
            *byte |= 1 << (bit % 8);
        }
        packed.push(check | (entry & ROW_MASK) << CHECK_BITS, CHECK_BITS + row_bits);
    }
    out.extend(ends);
    out.extend(packed.finish());
    out
}

/// Bytes of the ends of a shard's buckets.
fn ends_bytes(entries: usize, bucket_bits: u32) -> usize {
    (entries + (1usize << bucket_bits)).div_ceil(8)
}

/// The entries of a bucket, by the ends of all: between the end of the one before it and its own.
fn bucket_entries(ends: &[u8], bucket: usize) -> Range<usize> {
    let begin = bucket.checked_sub(1).map_or(0, |before| nth_zero(ends, before) + 1);
    let is_entry = |bit: usize| ends.get(bit / 8).is_some_and(|byte| byte >> (bit % 8) & 1 == 1);
    let end = (begin..).find(|bit| !is_entry(*bit)).unwrap_or(begin);
    begin.saturating_sub(bucket)..end.saturating_sub(bucket)
}

/// The bit that is a zero and has `n` of them before it; one behind the last where there are not so many.
fn nth_zero(bits: &[u8], n: usize) -> usize {
    let (mut before, mut at) = (0, 0);
    for bytes in bits.chunks(8) {
        let mut word = [0xff; 8];
        word.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        let mut zeros = !u64::from_le_bytes(word);
        if before + zeros.count_ones() as usize > n {
            for _ in before..n {
                // Without its lowest one.
                zeros &= zeros - 1;
            }
            return at + zeros.trailing_zeros() as usize;
        }
        before += zeros.count_ones() as usize;
        at += 64;
    }
    at
}

/// The front of an index: where its shards are.
pub(crate) struct RowIndex {
    row_bits: u32,
    shard_bits: u32,
    bucket_bits: u32,
    ends_are_bits: bool,
    /// Offset in the file, length and crc of each.
    shards: Vec<(u64, u32, u32)>,
}

impl RowIndex {
    /// Reads the front of an index. The piece's `raw` is the front's length and
    /// its crc the front's: each shard has its own.
    pub(crate) fn open(source: &dyn Source, piece: Piece) -> Result<Self> {
        if piece.raw > piece.len || piece.raw > FRONT_BYTES_MAX {
            return Err(damaged());
        }
        let mut front = vec![0u8; piece.raw as usize];
        source.read(piece.offset, &mut front)?;
        if crc32fast::hash(&front) != piece.crc {
            return Err(damaged());
        }
        let r = &mut Reader::new(&front);
        let (_rows, row_bits, shard_bits, buckets) = (r.u32()?, u32::from(r.u8()?), u32::from(r.u8()?), r.u8()?);
        let (ends_are_bits, bucket_bits) = (buckets & ENDS_ARE_BITS != 0, u32::from(buckets & !ENDS_ARE_BITS));
        if row_bits > 32 || shard_bits > SHARD_BITS_MAX || bucket_bits > 32 || r.remaining() != 8 << shard_bits {
            return Err(damaged());
        }
        let mut at = piece.offset + piece.raw;
        let mut shards = Vec::with_capacity(1 << shard_bits);
        while r.remaining() > 0 {
            let (shard_len, crc) = (r.u32()?, r.u32()?);
            shards.push((at, shard_len, crc));
            at += u64::from(shard_len);
        }
        if at != piece.offset + piece.len {
            return Err(damaged());
        }
        Ok(Self { row_bits, shard_bits, bucket_bits, ends_are_bits, shards })
    }

    /// Bytes that it takes.
    pub(crate) fn memory(&self) -> usize {
        size_of::<Self>() + self.shards.capacity() * size_of::<(u64, u32, u32)>()
    }

    /// Rows that may have the value of this hash, ascending. No other row has it.
    pub(crate) fn candidates(&self, source: &dyn Source, hash: u64) -> Result<Vec<u32>> {
        let Some((offset, len, crc)) = self.shards.get(top(hash, self.shard_bits) as usize).copied() else {
            return Err(damaged());
        };
        let mut bytes = vec![0; len as usize];
        source.read(offset, &mut bytes)?;
        if crc32fast::hash(&bytes) != crc {
            return Err(damaged());
        }
        let r = &mut Reader::new(&bytes);
        let entries = r.varint()?;
        // Each takes more than seven bits of what is left.
        if entries > r.remaining() as u64 * 8 / u64::from(CHECK_BITS) {
            return Err(damaged());
        }
        let entries = entries as usize;
        let (bucket, check) = place(hash, self.shard_bits, self.bucket_bits);
        let of_bucket = self.of_bucket(r, entries, bucket as usize)?;
        let packed = r.take(packed_bytes(entries, CHECK_BITS + self.row_bits))?;
        let packed = Packed::new(packed, CHECK_BITS + self.row_bits);
        let mut rows: Vec<u32> = (of_bucket.start..of_bucket.end.min(entries))
            .map(|entry| packed.get(entry))
            .filter(|entry| entry & ((1 << CHECK_BITS) - 1) == check)
            .map(|entry| (entry >> CHECK_BITS) as u32)
            .collect();
        rows.sort_unstable();
        Ok(rows)
    }

    /// The entries of a bucket, by what comes before them.
    fn of_bucket(&self, r: &mut Reader<'_>, entries: usize, bucket: usize) -> Result<Range<usize>> {
        if self.ends_are_bits {
            return Ok(bucket_entries(r.take(ends_bytes(entries, self.bucket_bits))?, bucket));
        }
        let (buckets, start_bits) = (1usize << self.bucket_bits, bits_of(entries as u64));
        let starts = Packed::new(r.take(packed_bytes(buckets, start_bits))?, start_bits);
        let end = if bucket + 1 < buckets { starts.get(bucket + 1) as usize } else { entries };
        Ok(starts.get(bucket) as usize..end)
    }

    /// Checks every shard.
    pub(crate) fn verify(&self, source: &dyn Source) -> Result<()> {
        let mut bytes = Vec::new();
        for (offset, len, crc) in &self.shards {
            bytes.clear();
            bytes.resize(*len as usize, 0);
            source.read(*offset, &mut bytes)?;
            if crc32fast::hash(&bytes) != *crc {
                return Err(damaged());
            }
        }
        Ok(())
    }
}

fn damaged() -> Error {
    Error::corrupt("the row index is damaged")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(built: &(Vec<u8>, usize)) -> RowIndex {
        let (bytes, front) = built;
        let crc = crc32fast::hash(&bytes[..*front]);
        RowIndex::open(bytes, Piece { offset: 0, len: bytes.len() as u64, raw: *front as u64, crc }).unwrap()
    }

    fn value(i: u32) -> [u8; 16] {
        u128::from(i).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835).to_be_bytes()
    }

    #[test]
    fn every_row_is_found_and_few_others_are_proposed() {
        for rows in [1u32, 7, 1_000, 100_000] {
            let entries = (0..rows).map(|row| entry(hash("trace", &value(row / 3)), row)).collect();
            let built = build(entries);
            let (index, bytes) = (open(&built), built.0);
            index.verify(&bytes).unwrap();
            for row in (0..rows).step_by(rows.div_ceil(500) as usize) {
                let found = index.candidates(&bytes, hash("trace", &value(row / 3))).unwrap();
                assert!(found.contains(&row) && found.is_sorted(), "{row} of {rows}: {found:?}");
            }
            let wrong: usize = (0..1_000u32)
                .map(|i| index.candidates(&bytes, hash("trace", &value(1 << 30 | i))).unwrap().len())
                .sum();
            assert!(wrong < 30, "{wrong} of {rows}");
        }
        assert_eq!(build(Vec::new()), (Vec::new(), 0));
    }

    #[test]
    fn entries_of_buckets_are_told_by_the_ends() {
        // Buckets with 2, 0, 0, 70, 1 and 0 entries.
        let counts = [2usize, 0, 0, 70, 1, 0];
        let (mut ends, mut at) = (vec![0u8; ends_bytes(73, 3)], 0);
        for (bucket, count) in counts.iter().enumerate() {
            (at..at + count).for_each(|entry| ends[(entry + bucket) / 8] |= 1 << ((entry + bucket) % 8));
            at += count;
        }
        let mut first = 0;
        for (bucket, count) in counts.iter().enumerate() {
            assert_eq!(bucket_entries(&ends, bucket), first..first + count, "{bucket}");
            first += count;
        }
        // Of what is no shard's, nothing.
        assert_eq!(bucket_entries(&[], 0), 0..0);
        assert!(bucket_entries(&[0xff; 3], 70).is_empty());
    }

    #[test]
    fn many_rows_of_one_value_are_all_found() {
        let built = build((0..50_000).map(|row| entry(hash("f", &[7; 8]), row)).collect());
        assert_eq!(open(&built).candidates(&built.0, hash("f", &[7; 8])).unwrap().len(), 50_000);
    }

    #[test]
    fn every_flipped_byte_is_refused() {
        let built = build((0..300).map(|row| entry(hash("f", &value(row)), row)).collect());
        let (bytes, front) = &built;
        let piece =
            Piece { offset: 0, len: bytes.len() as u64, raw: *front as u64, crc: crc32fast::hash(&bytes[..*front]) };
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 0x10;
            assert!(RowIndex::open(&bad, piece).is_err() || open(&built).verify(&bad).is_err(), "byte {at}");
        }
    }

    #[test]
    fn hashes_never_change() {
        assert_eq!(hash("trace_id", &value(1)), 0xa72479e548469bbc);
    }
}
