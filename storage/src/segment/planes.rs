//! Numbers of as many digits each, coded digit by digit: for what is skewed in its digits but not in its range.
//!
//! Dates, addresses and counters repeat most of their digits from row to row. Each digit position is a plane with a
//! prefix code of its own, built from how often each digit stands there; the codes of a row lie together.
//!
//! Directory: per plane a byte, the digit (0 to 9) that stands there always, or [`CODED`] and the code lengths of the ten
//! digits in five bytes; then the number of bytes that marks and codes take. A mark is a u32, the bit at which the codes of
//! number [`MARK_EACH`], twice as many, ... begin; marks come before the codes.
//!
//! Invariants
//! * Code lengths make a complete prefix code or the directory is damaged: decoding ends and never leaves its bytes.
//! * A number is read from the mark before it on, whatever comes before that.
use super::bits::{BitWriter, word_at};
use crate::codec::{Reader, put_varint};
use crate::error::{Error, Result};

const CODED: u8 = 10;
const LENGTH_MAX: u8 = 15;
/// Bytes of a coded plane in the directory.
const CODED_BYTES: usize = 6;
/// Numbers from one mark to the next.
const MARK_EACH: usize = 256;
const MARK_BYTES: usize = 4;

/// Bytes of the marks of so many numbers.
fn marks_bytes(count: usize) -> usize {
    count.saturating_sub(1) / MARK_EACH * MARK_BYTES
}

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
        Self { planes, cost: bits.div_ceil(8) + heads + marks_bytes(words.len()) + 2 }
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
        let code = |plane: &[(u64, u8); 10], byte: &u8| {
            plane.get(usize::from(byte.wrapping_sub(b'0'))).copied().unwrap_or_default()
        };
        let mut marked = 0u32;
        for chunk in words.chunks(MARK_EACH).take(marks_bytes(words.len()) / MARK_BYTES) {
            let of_word =
                |word: &&[u8]| codes.iter().zip(*word).map(|(plane, byte)| u32::from(code(plane, byte).1)).sum::<u32>();
            marked += chunk.iter().map(of_word).sum::<u32>();
            bits.push(u64::from(marked), 32);
        }
        for word in words {
            for (plane, byte) in codes.iter().zip(*word) {
                let (code, len) = code(plane, byte);
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

/// Coded numbers of one slot, as the directory has them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Planes<'a> {
    heads: &'a [u8],
    width: usize,
    count: usize,
    /// Bytes of marks and codes.
    len: usize,
}

/// A plane in the directory.
enum Head<'a> {
    Constant(u8),
    Coded(&'a [u8; 5]),
}

/// The planes of a directory, as far as they are whole.
struct Heads<'a> {
    left: &'a [u8],
}

impl<'a> Iterator for Heads<'a> {
    type Item = Head<'a>;

    fn next(&mut self) -> Option<Head<'a>> {
        let (kind, rest) = self.left.split_first()?;
        self.left = rest;
        if *kind < CODED {
            return Some(Head::Constant(*kind));
        }
        let (lengths, rest) = rest.split_first_chunk()?;
        self.left = rest;
        Some(Head::Coded(lengths))
    }
}

/// Code length of each digit.
fn unpack(packed: &[u8; 5]) -> Lengths {
    let mut lengths = [0u8; 10];
    for (pair, byte) in lengths.chunks_mut(2).zip(packed) {
        if let [a, b] = pair {
            (*a, *b) = (byte & 15, byte >> 4);
        }
    }
    lengths
}

impl<'a> Planes<'a> {
    /// Reads the directory of `count` numbers of `width` digits, without a check of its codes.
    pub(crate) fn read(r: &mut Reader<'a>, width: usize, count: usize) -> Result<Self> {
        let mut ahead = r.clone();
        let mut bytes = 0;
        for _ in 0..width {
            let own = match ahead.u8()? {
                kind if kind < CODED => 1,
                CODED => CODED_BYTES,
                _ => return Err(damaged()),
            };
            ahead.take(own - 1)?;
            bytes += own;
        }
        let heads = r.take(bytes)?;
        let len = usize::try_from(r.varint()?).map_err(|_| damaged())?;
        if len > marks_bytes(count) + count * width * 2 || len < marks_bytes(count) {
            return Err(damaged());
        }
        Ok(Self { heads, width, count, len })
    }

    /// Whether all codes are complete: they fill their space exactly, so that every run of bits is one.
    pub(crate) fn check(&self) -> Result<()> {
        for head in self.heads() {
            if let Head::Coded(packed) = head {
                let lengths = unpack(packed);
                let filled: u32 = lengths.iter().filter(|len| **len > 0).map(|len| 1 << (LENGTH_MAX - len)).sum();
                if filled != 1 << LENGTH_MAX {
                    return Err(damaged());
                }
            }
        }
        Ok(())
    }

    fn heads(&self) -> Heads<'a> {
        Heads { left: self.heads }
    }

    /// Bytes that marks and codes take.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Bytes of the marks, which come first.
    pub(crate) fn marks_len(&self) -> usize {
        marks_bytes(self.count)
    }

    /// Whether these digits can be one of the numbers, as far as planes say.
    pub(crate) fn allow(&self, digits: &[u8]) -> bool {
        digits.len() == self.width
            && self.heads().zip(digits).all(|(head, byte)| {
                let digit = byte.wrapping_sub(b'0');
                match head {
                    Head::Constant(only) => only == digit,
                    Head::Coded(packed) => unpack(packed).get(usize::from(digit)).is_some_and(|len| *len > 0),
                }
            })
    }

    /// Where the codes of numbers `from..to` can be read from, in bits from the first code, and which number is there first;
    /// and the bytes from the first code up to which they have to be read.
    pub(crate) fn place(&self, marks: &[u8], from: usize, to: usize) -> (usize, usize, usize) {
        let mark = |n: usize| {
            let bytes = n.checked_sub(1).and_then(|n| marks.get(n * MARK_BYTES..)).and_then(<[u8]>::first_chunk);
            bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes) as usize)
        };
        let codes = self.len - self.marks_len();
        let (first, last) = (from / MARK_EACH, to.div_ceil(MARK_EACH));
        let end = if last * MARK_EACH < self.count { mark(last).div_ceil(8).min(codes) } else { codes };
        (mark(first).min(codes * 8), first * MARK_EACH, end)
    }

    /// The next numbers whose codes begin at bit `at`: `skip` of them are passed over and `n` given.
    pub(crate) fn decode(tables: &PlaneTables, bytes: &[u8], at: usize, skip: usize, n: usize) -> Vec<u64> {
        let mut bits = Bits { bytes, at, word: 0, left: 0 };
        let mut numbers = Vec::with_capacity(n);
        for i in 0..skip + n {
            let number = tables.next(&mut bits);
            if i >= skip {
                numbers.push(number);
            }
        }
        numbers
    }
}

/// Bits by which neighbouring planes are looked up at once, and digits that they have at most.
const AT_ONCE_BITS: u32 = 12;
const AT_ONCE_DIGITS: usize = 6;
/// Bits of an entry that are its digits.
const ENTRY_DIGITS: u32 = 24;

/// What the next bits mean, for a plane or for several at once: digits and the bits that their codes take, by as many bits
/// as their longest codes have.
pub(crate) struct PlaneTables {
    entries: Vec<u32>,
    steps: Vec<Step>,
}

/// Some planes that are looked up at once.
struct Step {
    /// Where their entries begin.
    start: usize,
    /// Which of the next bits count.
    mask: u64,
    /// By how much what is before their digits is multiplied.
    scale: u64,
}

impl PlaneTables {
    /// Tables to decode `n` numbers with: planes are put together where that is worth it.
    pub(crate) fn of(planes: &Planes<'_>, n: usize) -> Self {
        let mut tables = Self { entries: Vec::new(), steps: Vec::with_capacity(planes.width) };
        let at_once = if n >= 1 << AT_ONCE_BITS { AT_ONCE_BITS } else { 0 };
        // The entries of the planes that are put together, their longest codes and how many digits they have.
        let mut open: Option<(Vec<u32>, u32, usize)> = None;
        for head in planes.heads() {
            let (entries, bits) = plane_entries(&head);
            open = Some(match open {
                Some((before, bits_before, digits)) if bits_before + bits <= at_once && digits < AT_ONCE_DIGITS => {
                    (joined(&before, bits_before, &entries, bits), bits_before + bits, digits + 1)
                }
                full => {
                    full.into_iter().for_each(|full| tables.put(full));
                    (entries, bits, 1)
                }
            });
        }
        open.into_iter().for_each(|open| tables.put(open));
        tables
    }

    fn put(&mut self, (entries, bits, digits): (Vec<u32>, u32, usize)) {
        let start = self.entries.len();
        self.entries.extend(entries);
        self.steps.push(Step { start, mask: (1 << bits) - 1, scale: 10u64.pow(digits as u32) });
    }

    #[inline]
    fn next(&self, bits: &mut Bits<'_>) -> u64 {
        let mut number = 0u64;
        for Step { start, mask, scale } in &self.steps {
            bits.fill();
            let entry = self.entries.get(start + (bits.word & mask) as usize).copied().unwrap_or(0);
            bits.pass(entry >> ENTRY_DIGITS);
            number = number.wrapping_mul(*scale).wrapping_add(u64::from(entry & ((1 << ENTRY_DIGITS) - 1)));
        }
        number
    }
}

/// The entries of a plane, and how many bits its longest code has.
fn plane_entries(head: &Head<'_>) -> (Vec<u32>, u32) {
    let packed = match head {
        Head::Constant(digit) => return (vec![u32::from(*digit)], 0),
        Head::Coded(packed) => packed,
    };
    let lengths = unpack(packed);
    let longest = u32::from(lengths.iter().copied().max().unwrap_or(0));
    let mut entries = vec![0; 1 << longest];
    for (digit, (code, len)) in (0u32..).zip(codes(&lengths)).filter(|(_, (_, len))| *len > 0) {
        for tail in 0..1usize << (longest - u32::from(len)) {
            if let Some(entry) = entries.get_mut(code as usize | tail << len) {
                *entry = digit | u32::from(len) << ENTRY_DIGITS;
            }
        }
    }
    (entries, longest)
}

/// The entries of some planes and the one behind them, which together have few bits and digits.
fn joined(before: &[u32], bits_before: u32, entries: &[u32], bits: u32) -> Vec<u32> {
    let (digits, mask) = ((1 << ENTRY_DIGITS) - 1, (1usize << bits) - 1);
    let join = |word: usize| {
        let first = before.get(word & ((1 << bits_before) - 1)).copied().unwrap_or(0);
        let len = first >> ENTRY_DIGITS;
        let next = entries.get(word >> len & mask).copied().unwrap_or(0);
        let together = (first & digits) * 10 + (next & digits);
        together | (len + (next >> ENTRY_DIGITS)) << ENTRY_DIGITS
    };
    (0..1usize << (bits_before + bits)).map(join).collect()
}

/// Bits from the low end; zeros beyond the last.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    word: u64,
    left: u32,
}

impl Bits<'_> {
    #[inline]
    fn fill(&mut self) {
        if self.left < u32::from(LENGTH_MAX) {
            self.word = word_at(self.bytes, self.at / 8) >> (self.at % 8);
            self.left = 64 - (self.at % 8) as u32;
        }
    }

    #[inline]
    fn pass(&mut self, bits: u32) {
        self.word >>= bits;
        self.left -= bits;
        self.at += bits as usize;
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
        planes.check().unwrap();
        assert_eq!((r.remaining(), planes.len()), (0, bytes.len()));
        let n = words.len();
        for (from, to) in [(0, n), (n / 2, n / 2 + 1), (n / 3, n), (n - 1, n), (0, n.min(MARK_EACH)), (n / 3, n / 2)] {
            let (marks, codes) = bytes.split_at(planes.marks_len());
            let (at, first, end) = planes.place(marks, from, to);
            let numbers =
                Planes::decode(&PlaneTables::of(&planes, to - first), &codes[..end], at, from - first, to - from);
            let texts: Vec<String> = numbers.iter().map(|number| format!("{number:0width$}")).collect();
            assert!(texts.iter().map(String::as_bytes).eq(words[from..to].iter().copied()), "{from} to {to}");
        }
        assert!(words.iter().all(|word| planes.allow(word)));
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
        let many: Vec<String> = (0..5_000u32).map(|i| format!("{:03}", i.wrapping_mul(i) % 401)).collect();
        for n in [1_023, 1_024, 1_025, 2_048, 5_000] {
            round_trip(&many[..n], 3);
        }
        // Planes that are looked up together, one that is alone, and constant ones between.
        let wide = |i: u32| format!("7{:02}00{:05}9", i % 3, i.wrapping_mul(i) % 40_001);
        round_trip(&(0..6_000).map(wide).collect::<Vec<_>>(), 11);
    }

    #[test]
    fn digits_that_never_stand_somewhere_are_ruled_out() {
        let words: Vec<&[u8]> = [b"2015", b"2016"].into_iter().cycle().take(100).map(|word| &word[..]).collect();
        let (mut directory, mut bits) = (Vec::new(), BitWriter::default());
        PlaneCoder::of(&words, 4).put(&words, &mut directory, &mut bits);
        let planes = Planes::read(&mut Reader::new(&directory), 4, 100).unwrap();
        assert!(planes.allow(b"2016") && !planes.allow(b"2017") && !planes.allow(b"3015") && !planes.allow(b"201"));
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
                if let Ok(planes) = Planes::read(&mut Reader::new(&bad), 4, words.len())
                    && planes.check().is_ok()
                {
                    let tables = PlaneTables::of(&planes, 100);
                    Planes::decode(&tables, &bytes, 0, 99, 1);
                    Planes::decode(&tables, &[], 7, 0, 100);
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
