//! Numbers of a few bits each, packed from the low end.
//!
//! Invariants
//! * `bits` is at most 64; zero bits take no bytes.
//! * [`Packed::get`] beyond the packed bytes gives 0 and never reads out of bounds.

/// Appends numbers as a stream of bits.
#[derive(Default)]
pub(crate) struct BitWriter {
    out: Vec<u8>,
    /// Less than 64 bits that are not out yet.
    word: u64,
    filled: u32,
}

impl BitWriter {
    #[inline]
    pub(crate) fn push(&mut self, value: u64, bits: u32) {
        self.word |= value << self.filled;
        let filled = self.filled + bits;
        if filled < 64 {
            self.filled = filled;
            return;
        }
        self.out.extend_from_slice(&self.word.to_le_bytes());
        self.word = value.checked_shr(64 - self.filled).unwrap_or(0);
        self.filled = filled - 64;
    }

    /// Fills up to the next whole byte.
    pub(crate) fn align(&mut self) {
        let bytes = self.filled.div_ceil(8) as usize;
        let word = self.word.to_le_bytes();
        self.out.extend_from_slice(word.get(..bytes).unwrap_or_default());
        self.word = 0;
        self.filled = 0;
    }

    /// Whole bytes written so far; only right after [`Self::align`].
    pub(crate) fn len(&self) -> usize {
        self.out.len()
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.align();
        self.out
    }
}

/// How many bits a number takes.
pub(crate) fn bits_of(value: u64) -> u32 {
    64 - value.leading_zeros()
}

/// How many bytes `count` numbers of `bits` bits take.
pub(crate) fn packed_bytes(count: usize, bits: u32) -> usize {
    (count * bits as usize).div_ceil(8)
}

/// Eight bytes from a place on; zeros beyond the last.
#[inline]
pub(crate) fn word_at(bytes: &[u8], at: usize) -> u64 {
    let rest = bytes.get(at..).unwrap_or_default();
    match rest.first_chunk() {
        Some(eight) => u64::from_le_bytes(*eight),
        None => rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

/// Packed numbers, read at will.
#[derive(Clone, Copy)]
pub(crate) struct Packed<'a> {
    bytes: &'a [u8],
    bits: u32,
    /// The bit at which the first one begins.
    start: usize,
}

impl<'a> Packed<'a> {
    pub(crate) fn new(bytes: &'a [u8], bits: u32) -> Self {
        Self { bytes, bits: bits.min(64), start: 0 }
    }

    /// The same, the first number of which begins so many bits on.
    pub(crate) fn skip_bits(self, bits: usize) -> Self {
        Self { start: bits, ..self }
    }

    /// The number at `index`, counted in numbers from the first bit.
    #[inline]
    pub(crate) fn get(self, index: usize) -> u64 {
        let bit = self.start + index * self.bits as usize;
        let (byte, shift) = (bit / 8, (bit % 8) as u32);
        let low = word_at(self.bytes, byte) >> shift;
        match self.bits {
            0 => 0,
            // Up to here a number and what comes before it in its first byte are in eight bytes.
            1..=56 => low & ((1 << self.bits) - 1),
            bits => {
                let high = u64::from(self.bytes.get(byte + 8).copied().unwrap_or(0));
                let value = if shift == 0 { low } else { low | high << (64 - shift) };
                if bits == 64 { value } else { value & ((1 << bits) - 1) }
            }
        }
    }

    /// Calls `found` with each of the first `count` numbers and its index.
    #[inline]
    pub(crate) fn each(self, count: usize, mut found: impl FnMut(usize, u64)) {
        if self.bits == 0 || self.bits > 28 {
            return (0..count).for_each(|i| found(i, self.get(i)));
        }
        // As many as are surely whole in eight bytes.
        let (bits, at_once) = (self.bits as usize, 56 / self.bits as usize);
        let mask = (1u64 << bits) - 1;
        for first in (0..count).step_by(at_once) {
            let bit = self.start + first * bits;
            let mut word = word_at(self.bytes, bit / 8) >> (bit % 8);
            for i in first..count.min(first + at_once) {
                found(i, word & mask);
                word >>= bits;
            }
        }
    }

    /// All numbers in order.
    pub(crate) fn iter(self, count: usize) -> impl Iterator<Item = u64> + use<'a> {
        (0..count).map(move |i| self.get(i))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_width_come_back() {
        for bits in 0..=64u32 {
            let mask = if bits == 64 { u64::MAX } else { (1u64 << bits) - 1 };
            let values: Vec<u64> = (0..200u64).map(|i| i.wrapping_mul(0x9E37_79B9_7F4A_7C15) & mask).collect();
            let mut writer = BitWriter::default();
            for value in &values {
                writer.push(*value, bits);
            }
            let bytes = writer.finish();
            assert_eq!(bytes.len(), packed_bytes(values.len(), bits));
            let packed = Packed::new(&bytes, bits);
            assert_eq!(packed.iter(values.len()).collect::<Vec<_>>(), values, "{bits} bits");
            for skipped in [0, 1, 7, 150] {
                let packed = packed.skip_bits(skipped * bits as usize);
                let mut found = Vec::new();
                packed.each(values.len() - skipped, |i, value| found.push((i, value)));
                assert!(found.into_iter().eq(values[skipped..].iter().copied().enumerate()), "{bits} bits");
                assert_eq!(packed.get(3), values[skipped + 3], "{bits} bits");
            }
            assert_eq!(Packed::new(&[], bits).get(1000), 0);
        }
    }
}
