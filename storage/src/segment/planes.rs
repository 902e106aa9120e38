//! Numbers of as many digits each, coded digit by digit: for what is skewed in its digits but not in its range.
//!
//! Dates, addresses and counters repeat most of their digits from row to row. Each digit position is a plane with a
//! prefix code of its own, built from how often each digit stands there; the codes of a row lie together.
//!
//! Directory: per plane a byte, the digit (0 to 9) that stands there always, or [`CODED`] and the code lengths of the ten
//! digits in five bytes; then the number of bytes that all codes take.
//!
//! Invariants
//! * Code lengths make a complete prefix code or the directory is damaged: decoding ends and never leaves its bytes.
//! * Values are decoded once, when the first of them is asked for.
use super::bits::BitWriter;
use crate::codec::{Reader, put_varint};
use crate::error::{Error, Result};
use std::sync::OnceLock;

const CODED: u8 = 10;
const LENGTH_MAX: u8 = 15;
/// Bytes of a coded plane in the directory.
const CODED_BYTES: usize = 6;

/// Code lengths of the ten digits; 0 where a digit does not occur.
type Lengths = [u8; 10];

/// Codes for one slot's words, and what they take.
pub(crate) struct PlaneCoder {
    planes: Vec<Lengths>,
    /// Bytes of codes and directory together.
    pub(crate) cost: usize,
}

impl PlaneCoder {
    /// Codes for words of `width` ASCII digits each.
    pub(crate) fn of(words: &[&[u8]], width: usize) -> Self {
        let mut counts = vec![[0u32; 10]; width];
        for word in words {
            for (count, byte) in counts.iter_mut().zip(*word) {
                if let Some(count) = count.get_mut(usize::from(byte.wrapping_sub(b'0'))) {
                    *count += 1;
                }
            }
        }
        let planes: Vec<Lengths> = counts.iter().map(code_lengths).collect();
        let bits: usize = counts
            .iter()
            .zip(&planes)
            .filter(|(_, lengths)| constant(lengths).is_none())
            .map(|(counts, lengths)| {
                counts.iter().zip(lengths).map(|(n, len)| *n as usize * usize::from(*len)).sum::<usize>()
            })
            .sum();
        let heads: usize = planes.iter().map(|lengths| if constant(lengths).is_some() { 1 } else { CODED_BYTES }).sum();
        Self { planes, cost: bits.div_ceil(8) + heads + 2 }
    }

    /// Appends the words' codes to `bits`, which stands at a whole byte, and how to read them to the directory.
    pub(crate) fn put(&self, words: &[&[u8]], directory: &mut Vec<u8>, bits: &mut BitWriter) {
        for lengths in &self.planes {
            match constant(lengths) {
                Some(digit) => directory.push(digit),
                None => {
                    directory.push(CODED);
                    directory.extend(lengths.chunks(2).map(|pair| match *pair {
                        [a, b] => a | b << 4,
                        _ => 0,
                    }));
                }
            }
        }
        let codes: Vec<[(u64, u8); 10]> = self.planes.iter().map(codes).collect();
        let start = bits.len();
        for word in words {
            for (plane, byte) in codes.iter().zip(*word) {
                let (code, len) = plane.get(usize::from(byte.wrapping_sub(b'0'))).copied().unwrap_or_default();
                bits.push(code, u32::from(len));
            }
        }
        bits.align();
        put_varint(directory, (bits.len() - start) as u64);
    }
}

/// The digit that always stands there.
fn constant(lengths: &Lengths) -> Option<u8> {
    let mut used = lengths.iter().enumerate().filter(|(_, len)| **len > 0);
    match (used.next(), used.next()) {
        (Some((digit, _)), None) => Some(digit as u8),
        (None, _) => Some(0),
        _ => None,
    }
}

/// Huffman's code lengths; a digit alone has length 1 here and is a constant plane.
fn code_lengths(counts: &[u32; 10]) -> Lengths {
    let mut lengths = [0u8; 10];
    // Each tree: its weight and the digits in it. Ten leaves at most, so the simplest way is quick enough.
    let mut trees: Vec<(u64, u16)> =
        counts.iter().enumerate().filter(|(_, n)| **n > 0).map(|(digit, n)| (u64::from(*n), 1 << digit)).collect();
    if let [(_, only)] = *trees {
        if let Some(len) = lengths.get_mut(only.trailing_zeros() as usize) {
            *len = 1;
        }
        return lengths;
    }
    while trees.len() > 1 {
        trees.sort_unstable_by(|a, b| b.cmp(a));
        let (Some(a), Some(b)) = (trees.pop(), trees.pop()) else { break };
        let digits = a.1 | b.1;
        for (digit, len) in lengths.iter_mut().enumerate() {
            *len += u8::from(digits >> digit & 1 == 1);
        }
        trees.push((a.0 + b.0, digits));
    }
    lengths
}

/// Canonical codes, their first bit lowest, so that reading from the low end meets the highest bit first.
fn codes(lengths: &Lengths) -> [(u64, u8); 10] {
    let mut codes = [(0, 0); 10];
    if constant(lengths).is_some() {
        return codes;
    }
    let mut code = 0u64;
    for len in 1..=LENGTH_MAX {
        for (slot, own) in codes.iter_mut().zip(lengths) {
            if *own == len {
                *slot = (code.reverse_bits() >> (64 - u32::from(len)), len);
                code += 1;
            }
        }
        code <<= 1;
    }
    codes
}

/// How one plane is read.
#[derive(Clone, Debug)]
enum Plane {
    Constant(u8),
    /// How many codes there are of each length, and their digits in the order of their codes.
    Coded {
        counts: [u8; 16],
        digits: [u8; 10],
    },
}

/// Coded numbers of one slot.
#[derive(Debug)]
pub(crate) struct Planes {
    planes: Box<[Plane]>,
    /// How many numbers there are, and the bytes that their codes take.
    count: usize,
    len: usize,
    decoded: OnceLock<Box<[u64]>>,
}

impl Clone for Planes {
    fn clone(&self) -> Self {
        Self { planes: self.planes.clone(), count: self.count, len: self.len, decoded: OnceLock::new() }
    }
}

impl Planes {
    /// Reads the directory of `count` numbers of `width` digits.
    pub(crate) fn read(r: &mut Reader<'_>, width: usize, count: usize) -> Result<Self> {
        let planes = (0..width).map(|_| Plane::read(r)).collect::<Result<_>>()?;
        let len = r.varint()? as usize;
        if len > count * width * 2 {
            return Err(damaged());
        }
        Ok(Self { planes, count, len, decoded: OnceLock::new() })
    }

    /// Bytes that the codes take.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Number `index`; the codes begin at the start of `bytes`.
    pub(crate) fn get(&self, bytes: &[u8], index: usize) -> u64 {
        self.decoded.get_or_init(|| self.decode(bytes)).get(index).copied().unwrap_or(0)
    }

    fn decode(&self, bytes: &[u8]) -> Box<[u64]> {
        let mut bits = Bits { bytes: bytes.get(..self.len).unwrap_or_default(), at: 0 };
        let number = |_| {
            self.planes.iter().fold(0u64, |n, plane| n.wrapping_mul(10).wrapping_add(u64::from(plane.next(&mut bits))))
        };
        (0..self.count).map(number).collect()
    }
}

impl Plane {
    fn read(r: &mut Reader<'_>) -> Result<Self> {
        let kind = r.u8()?;
        if kind < CODED {
            return Ok(Self::Constant(kind));
        }
        if kind != CODED {
            return Err(damaged());
        }
        let packed: [u8; 5] = r.array()?;
        let mut lengths = [0u8; 10];
        for (pair, byte) in lengths.chunks_mut(2).zip(packed) {
            if let [a, b] = pair {
                (*a, *b) = (byte & 15, byte >> 4);
            }
        }
        let mut counts = [0u8; 16];
        let (mut digits, mut filled) = ([0u8; 10], 0);
        for len in 1..=LENGTH_MAX {
            for (digit, _) in lengths.iter().enumerate().filter(|(_, own)| **own == len) {
                if let (Some(count), Some(slot)) = (counts.get_mut(usize::from(len)), digits.get_mut(filled)) {
                    *count += 1;
                    *slot = digit as u8;
                    filled += 1;
                }
            }
        }
        // Complete: the codes fill their space exactly, so every run of bits is one.
        let filled: u32 = (1..=LENGTH_MAX)
            .map(|len| u32::from(counts.get(usize::from(len)).copied().unwrap_or(0)) << (LENGTH_MAX - len))
            .sum();
        if filled != 1 << LENGTH_MAX {
            return Err(damaged());
        }
        Ok(Self::Coded { counts, digits })
    }

    #[inline]
    fn next(&self, bits: &mut Bits<'_>) -> u8 {
        match self {
            Self::Constant(digit) => *digit,
            Self::Coded { counts, digits } => {
                let (mut code, mut first, mut index) = (0u32, 0u32, 0u32);
                for count in counts.iter().skip(1) {
                    code |= bits.next();
                    let count = u32::from(*count);
                    if code < first + count {
                        return digits.get((index + code - first) as usize).copied().unwrap_or(0);
                    }
                    index += count;
                    first = (first + count) << 1;
                    code <<= 1;
                }
                0
            }
        }
    }
}

/// Bits from the low end; zeros beyond the last.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    #[inline]
    fn next(&mut self) -> u32 {
        let byte = self.bytes.get(self.at / 8).copied().unwrap_or(0);
        let bit = byte >> (self.at % 8) & 1;
        self.at += 1;
        u32::from(bit)
    }
}

fn damaged() -> Error {
    Error::corrupt("a slot's digit codes are damaged")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(words: &[String], width: usize) -> usize {
        let words: Vec<&[u8]> = words.iter().map(String::as_bytes).collect();
        let coder = PlaneCoder::of(&words, width);
        let (mut directory, mut bits) = (Vec::new(), BitWriter::default());
        coder.put(&words, &mut directory, &mut bits);
        let bytes = bits.finish();
        assert!(directory.len() + bytes.len() <= coder.cost + 3);
        let r = &mut Reader::new(&directory);
        let planes = Planes::read(r, width, words.len()).unwrap();
        assert_eq!((r.remaining(), planes.len()), (0, bytes.len()));
        for (i, word) in words.iter().enumerate() {
            let text = format!("{:0width$}", planes.get(&bytes, i));
            assert_eq!(text.as_bytes(), *word);
        }
        coder.cost
    }

    #[test]
    fn skewed_digits_take_few_bits() {
        let words: Vec<String> =
            (0..1000u32).map(|i| format!("2015{:02}", if i % 7 == 0 { i % 97 } else { 31 })).collect();
        assert!(round_trip(&words, 6) < 450);
        // Fibonacci weights give the longest codes.
        let mut skewed: Vec<String> = Vec::new();
        let (mut a, mut b) = (1, 1);
        for digit in 0..10 {
            skewed.extend(std::iter::repeat_n(digit.to_string(), a));
            (a, b) = (b, a + b);
        }
        round_trip(&skewed, 1);
    }

    #[test]
    fn damaged_directories_are_refused_or_harmless() {
        let words: Vec<String> = (0..100u32).map(|i| format!("{:04}", i * i % 9_000)).collect();
        let words: Vec<&[u8]> = words.iter().map(String::as_bytes).collect();
        let (mut directory, mut bits) = (Vec::new(), BitWriter::default());
        PlaneCoder::of(&words, 4).put(&words, &mut directory, &mut bits);
        let bytes = bits.finish();
        for at in 0..directory.len() {
            for bit in 0..8 {
                let mut bad = directory.clone();
                bad[at] ^= 1 << bit;
                if let Ok(planes) = Planes::read(&mut Reader::new(&bad), 4, words.len()) {
                    planes.get(&bytes, 99);
                    planes.get(&[], 0);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn all_numbers_come_back(width in 1usize..18, words in prop::collection::vec(any::<u64>(), 1..200), keep in 1u64..u64::MAX) {
            let words: Vec<String> = words.iter().map(|w| format!("{:0width$}", (w % keep) % 10u64.pow(width as u32))).collect();
            round_trip(&words, width);
        }
    }
}
