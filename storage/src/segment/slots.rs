//! The variables of one slot of one shape in one block, as a column of its own or as a part of a pool.
//!
//! Each slot has a class byte in its lane's directory and the values of its rows lie together, in row order. Slots of few
//! rows go to a pool of their class, which needs no head; slots of many rows stand alone with one.
//!
//! | class | head | values |
//! |---|---|---|
//! | `POOL_DIGITS` + w | | w digits each (1 to 9), in the pool of that width |
//! | `POOL_TEXT` | | length and bytes, in the text pool |
//! | `CONSTANT` | the word | |
//! | `NUMBERS` | lowest, bits | numbers without leading zeros, packed |
//! | `DIGITS` | width, run | numbers of as many digits |
//! | `HEX` | width | nibbles, lower case |
//! | `SKELETON` | pieces, width and run of each | words that differ in their digits only: `blk_#` |
//!
//! A run is `lowest, bits` and packed numbers, or 0, [`PLANES`] and digit planes where these take less.
//!
//! Invariants
//! * A class keeps every byte: leading zeros, case and length.
//! * Where a slot's values begin follows from the directory alone, by adding up.
use super::bits::{BitWriter, Packed, bits_of, packed_bytes};
use super::planes::{PlaneCoder, Planes};
use crate::codec::{Reader, put_bytes, put_varint};
use crate::error::{Error, Result};
use crate::text::digits::{self, NUMBER_DIGITS_MAX};

pub(crate) const POOL_DIGITS: u8 = 0;
pub(crate) const POOL_TEXT: u8 = 10;
pub(crate) const CONSTANT: u8 = 11;
pub(crate) const NUMBERS: u8 = 12;
pub(crate) const DIGITS: u8 = 13;
pub(crate) const HEX: u8 = 14;
pub(crate) const SKELETON: u8 = 15;

/// In place of a number of bits: the run is coded in digit planes.
const PLANES: u8 = 255;

/// Rows from which a slot stands alone.
const ALONE_ROWS: usize = 64;
/// Digits that a pool keeps by width.
const POOL_DIGITS_MAX: usize = 9;
/// Runs of digits that a skeleton may have.
const RUNS_MAX: usize = 8;

/// Bits that hold any number of `digits` digits.
pub(super) fn digits_bits(digits: usize) -> u32 {
    bits_of(10u64.pow(digits.min(NUMBER_DIGITS_MAX) as u32) - 1)
}

/// What a lane's slots have put so far.
#[derive(Default)]
pub(crate) struct SlotWriter {
    /// Classes and heads.
    pub(crate) directory: Vec<u8>,
    digits: [BitWriter; POOL_DIGITS_MAX],
    lengths: Vec<u8>,
    text: Vec<u8>,
    packed: BitWriter,
    numbers: Vec<u64>,
}

/// The finished parts of a [`SlotWriter`].
pub(crate) struct SlotParts {
    pub(crate) directory: Vec<u8>,
    /// Pools by number of digits, from one.
    pub(crate) digits: [Vec<u8>; POOL_DIGITS_MAX],
    pub(crate) lengths: Vec<u8>,
    pub(crate) text: Vec<u8>,
    pub(crate) packed: Vec<u8>,
}

/// What all words of a slot have in common, if they are numbers.
struct Numbers {
    low: u64,
    high: u64,
    even_width: Option<usize>,
    leading_zeros: bool,
}

impl SlotWriter {
    /// Adds the words of one slot.
    pub(crate) fn put(&mut self, words: &[&[u8]]) {
        let Some((first, rest)) = words.split_first() else {
            self.directory.push(CONSTANT);
            put_bytes(&mut self.directory, b"");
            return;
        };
        let alone = words.len() >= ALONE_ROWS;
        let mut parsed = std::mem::take(&mut self.numbers);
        match numbers(words, &mut parsed) {
            Some(common) => self.put_numbers(words, &parsed, &common, alone),
            None if !rest.is_empty() && rest.iter().all(|word| word == first) => {
                self.directory.push(CONSTANT);
                put_bytes(&mut self.directory, first);
            }
            None if alone && words.iter().all(|w| w.len() == first.len()) && words.iter().all(|w| is_hex(w)) => {
                self.put_hex(words, first.len());
            }
            None => {
                if !(alone && self.put_skeleton(words)) {
                    self.put_text(words);
                }
            }
        }
        self.numbers = parsed;
    }

    fn put_numbers(&mut self, words: &[&[u8]], parsed: &[u64], common: &Numbers, alone: bool) {
        let width = common.even_width;
        match width {
            Some(width) if common.low == common.high && words.len() > 1 && (alone || width > 2) => {
                self.directory.push(CONSTANT);
                put_bytes(&mut self.directory, words.first().copied().unwrap_or_default());
            }
            Some(width) if !alone && width <= POOL_DIGITS_MAX => {
                self.directory.push(POOL_DIGITS + width as u8);
                if let Some(pool) = self.digits.get_mut(width - 1) {
                    let bits = digits_bits(width);
                    parsed.iter().for_each(|value| pool.push(*value, bits));
                }
            }
            Some(width) if alone && (common.leading_zeros || width > 1) => {
                self.directory.push(DIGITS);
                put_varint(&mut self.directory, width as u64);
                self.put_run(words, parsed, common, width);
            }
            _ if alone && !common.leading_zeros => {
                self.directory.push(NUMBERS);
                self.put_packed(parsed, common);
            }
            _ => self.put_text(words),
        }
    }

    /// Numbers of `width` digits each, whichever way takes less.
    fn put_run(&mut self, words: &[&[u8]], parsed: &[u64], common: &Numbers, width: usize) {
        let packed = packed_bytes(parsed.len(), bits_of(common.high - common.low));
        let coder = PlaneCoder::of(words, width);
        if coder.cost >= packed {
            return self.put_packed(parsed, common);
        }
        put_varint(&mut self.directory, 0);
        self.directory.push(PLANES);
        coder.put(words, &mut self.directory, &mut self.packed);
    }

    fn put_packed(&mut self, parsed: &[u64], common: &Numbers) {
        let bits = bits_of(common.high - common.low);
        put_varint(&mut self.directory, common.low);
        self.directory.push(bits as u8);
        parsed.iter().for_each(|value| self.packed.push(value - common.low, bits));
        self.packed.align();
    }

    fn put_hex(&mut self, words: &[&[u8]], width: usize) {
        self.directory.push(HEX);
        put_varint(&mut self.directory, width as u64);
        for word in words {
            for byte in *word {
                let nibble = if byte.is_ascii_digit() { byte - b'0' } else { byte - b'a' + 10 };
                self.packed.push(u64::from(nibble), 4);
            }
        }
        self.packed.align();
    }

    fn put_text(&mut self, words: &[&[u8]]) {
        self.directory.push(POOL_TEXT);
        for word in words {
            put_varint(&mut self.lengths, word.len() as u64);
            self.text.extend_from_slice(word);
        }
    }

    /// Words that differ in their digits only; false where these do not.
    fn put_skeleton(&mut self, words: &[&[u8]]) -> bool {
        let Some(first) = words.first() else { return false };
        let pieces = pieces(first);
        let runs = pieces.len() - 1;
        if runs > RUNS_MAX || runs == 0 {
            return false;
        }
        let mut columns: Vec<Vec<&[u8]>> = vec![Vec::with_capacity(words.len()); runs];
        for word in words {
            let mut rest = *word;
            for (i, piece) in pieces.iter().enumerate() {
                let Some(tail) = rest.strip_prefix(*piece) else { return false };
                let digits = tail.iter().take_while(|b| b.is_ascii_digit()).count();
                let (run, tail) = tail.split_at(digits);
                match columns.get_mut(i) {
                    Some(column) if digits > 0 => column.push(run),
                    None if tail.is_empty() && digits == 0 => {}
                    _ => return false,
                }
                rest = tail;
            }
        }
        let mut commons = Vec::with_capacity(runs);
        for column in &columns {
            let mut parsed = Vec::with_capacity(column.len());
            match numbers(column, &mut parsed) {
                Some(common) if common.even_width.is_some() || !common.leading_zeros => commons.push((parsed, common)),
                _ => return false,
            }
        }
        self.directory.push(SKELETON);
        put_varint(&mut self.directory, runs as u64);
        for piece in &pieces {
            put_bytes(&mut self.directory, piece);
        }
        for (column, (parsed, common)) in columns.iter().zip(&commons) {
            // Width 0 says that there are no leading zeros.
            let width = common.even_width.unwrap_or(0);
            put_varint(&mut self.directory, width as u64);
            if width == 0 {
                self.put_packed(parsed, common);
            } else {
                self.put_run(column, parsed, common, width);
            }
        }
        true
    }

    /// All that was put.
    pub(crate) fn finish(self) -> SlotParts {
        SlotParts {
            directory: self.directory,
            digits: self.digits.map(BitWriter::finish),
            lengths: self.lengths,
            text: self.text,
            packed: self.packed.finish(),
        }
    }
}

fn numbers(words: &[&[u8]], parsed: &mut Vec<u64>) -> Option<Numbers> {
    parsed.clear();
    let width = words.first()?.len();
    let mut common = Numbers { low: u64::MAX, high: 0, even_width: Some(width), leading_zeros: false };
    for word in words {
        let value = digits::number(word)?;
        parsed.push(value);
        common.low = common.low.min(value);
        common.high = common.high.max(value);
        if word.len() != width {
            common.even_width = None;
        }
        common.leading_zeros |= word.len() > 1 && word.first() == Some(&b'0');
    }
    Some(common)
}

fn is_hex(word: &[u8]) -> bool {
    word.len() <= 64 && word.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The text around the runs of digits of a word: one piece more than there are runs.
fn pieces(word: &[u8]) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    let mut rest = word;
    loop {
        let text = rest.iter().take_while(|b| !b.is_ascii_digit()).count();
        let (piece, tail) = rest.split_at(text);
        pieces.push(piece);
        let digits = tail.iter().take_while(|b| b.is_ascii_digit()).count();
        if digits == 0 {
            return pieces;
        }
        rest = tail.get(digits..).unwrap_or_default();
    }
}

/// Numbers of a slot that stands alone: where they lie in the packed bytes and what they are counted from.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    /// Digits of each number; 0 where there are no leading zeros.
    pub(crate) width: usize,
    pub(crate) low: u64,
    pub(crate) bits: u32,
    pub(crate) at: usize,
    /// Where the numbers are coded in digit planes, and `low` and `bits` say nothing.
    planes: Option<Planes>,
}

impl Run {
    /// Bytes of the whole run where its numbers are coded in digit planes, which are read as a whole.
    pub(crate) fn coded_bytes(&self) -> Option<usize> {
        self.planes.as_ref().map(Planes::len)
    }

    /// What no number of the run is below or above.
    pub(crate) fn bounds(&self) -> (u64, u64) {
        if self.planes.is_some() {
            return (0, 10u64.saturating_pow(self.width as u32) - 1);
        }
        let most = if self.bits >= 64 { u64::MAX } else { (1 << self.bits) - 1 };
        (self.low, self.low.saturating_add(most))
    }

    /// Number `index` of the run, out of the packed bytes of all slots.
    pub(crate) fn number(&self, packed: &[u8], index: usize) -> u64 {
        let bytes = packed.get(self.at..).unwrap_or_default();
        match &self.planes {
            Some(planes) => planes.get(bytes, index),
            None => self.low.wrapping_add(Packed::new(bytes, self.bits).get(index)),
        }
    }
}

/// A slot as its directory has it.
#[derive(Clone, Debug)]
pub(crate) enum Slot {
    /// The one word.
    Constant(Box<[u8]>),
    /// Index of the first value in the pool of this many digits.
    PoolDigits { width: usize, first: usize },
    /// Index of the first value in the text pool.
    PoolText { first: usize },
    /// Packed numbers.
    Numbers(Run),
    /// Packed nibbles.
    Hex { width: usize, at: usize },
    /// Words that differ in their digits only.
    Skeleton { pieces: Box<[Box<[u8]>]>, runs: Box<[Run]> },
}

/// Positions in the pools while a directory is read.
#[derive(Default)]
pub(crate) struct SlotCursor {
    digits: [usize; POOL_DIGITS_MAX],
    text: usize,
    packed: usize,
}

impl SlotCursor {
    /// The next slot, which has `count` values.
    pub(crate) fn read(&mut self, r: &mut Reader<'_>, count: usize) -> Result<Slot> {
        let class = r.u8()?;
        Ok(match class {
            1..=9 => {
                let width = usize::from(class - POOL_DIGITS);
                let first = self.digits.get_mut(width - 1).map_or(0, |at| std::mem::replace(at, *at + count));
                Slot::PoolDigits { width, first }
            }
            POOL_TEXT => {
                let first = self.text;
                self.text += count;
                Slot::PoolText { first }
            }
            CONSTANT => Slot::Constant(r.bytes()?.into()),
            NUMBERS => Slot::Numbers(self.run(r, count, 0)?),
            DIGITS => {
                let width = read_width(r)?;
                Slot::Numbers(self.run(r, count, width)?)
            }
            HEX => {
                let width = read_width(r)?;
                let at = self.packed;
                self.packed += packed_bytes(count * width, 4);
                Slot::Hex { width, at }
            }
            SKELETON => {
                let runs = r.varint()? as usize;
                if runs > RUNS_MAX {
                    return Err(damaged());
                }
                let pieces = (0..=runs).map(|_| Ok(r.bytes()?.into())).collect::<Result<_>>()?;
                let runs = (0..runs)
                    .map(|_| {
                        let width = read_width(r)?;
                        self.run(r, count, width)
                    })
                    .collect::<Result<_>>()?;
                Slot::Skeleton { pieces, runs }
            }
            _ => return Err(damaged()),
        })
    }

    fn run(&mut self, r: &mut Reader<'_>, count: usize, width: usize) -> Result<Run> {
        let low = r.varint()?;
        let coding = r.u8()?;
        let at = self.packed;
        if width > NUMBER_DIGITS_MAX {
            return Err(damaged());
        }
        if coding == PLANES {
            let planes = Planes::read(r, width, count)?;
            self.packed += planes.len();
            return Ok(Run { width, low, bits: 0, at, planes: Some(planes) });
        }
        let bits = u32::from(coding);
        if bits > 64 {
            return Err(damaged());
        }
        self.packed += packed_bytes(count, bits);
        Ok(Run { width, low, bits, at, planes: None })
    }

    /// How many values the text pool has, how many bytes the packed part, and how many bytes each digit pool.
    pub(crate) fn totals(&self) -> (usize, usize, [usize; POOL_DIGITS_MAX]) {
        let mut pools = [0; POOL_DIGITS_MAX];
        for (i, (bytes, count)) in pools.iter_mut().zip(self.digits).enumerate() {
            *bytes = packed_bytes(count, digits_bits(i + 1));
        }
        (self.text, self.packed, pools)
    }
}

fn read_width(r: &mut Reader<'_>) -> Result<usize> {
    let width = r.varint()? as usize;
    if width > 64 { Err(damaged()) } else { Ok(width) }
}

fn damaged() -> Error {
    Error::corrupt("a slot's directory is damaged")
}

/// The bytes that slots lie in.
#[derive(Default)]
pub(crate) struct SlotData {
    pub(crate) digits: [Vec<u8>; POOL_DIGITS_MAX],
    /// Where each value of the text pool begins, and where the last one ends.
    pub(crate) text_starts: Vec<u32>,
    pub(crate) text: Vec<u8>,
    pub(crate) packed: Vec<u8>,
}

impl SlotData {
    /// Appends value `index` of a slot.
    pub(crate) fn push(&self, slot: &Slot, index: usize, out: &mut Vec<u8>) {
        match slot {
            Slot::Constant(word) => out.extend_from_slice(word),
            Slot::PoolDigits { width, first } => {
                let pool = self.digits.get(width - 1).map_or(&[][..], Vec::as_slice);
                let value = Packed::new(pool, digits_bits(*width)).get(first + index);
                push_digits(value, *width, out);
            }
            Slot::PoolText { first } => {
                let start = self.text_starts.get(first + index).map_or(0, |at| *at as usize);
                let end = self.text_starts.get(first + index + 1).map_or(0, |at| *at as usize);
                out.extend_from_slice(self.text.get(start..end).unwrap_or_default());
            }
            Slot::Numbers(run) => self.push_run(run, index, out),
            Slot::Hex { width, at } => {
                let nibbles = Packed::new(self.packed.get(*at..).unwrap_or_default(), 4);
                for i in 0..*width {
                    let nibble = nibbles.get(index * width + i) as u8;
                    out.push(if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 });
                }
            }
            Slot::Skeleton { pieces, runs } => {
                for (i, piece) in pieces.iter().enumerate() {
                    out.extend_from_slice(piece);
                    if let Some(run) = runs.get(i) {
                        self.push_run(run, index, out);
                    }
                }
            }
        }
    }

    /// Value `index` of a slot of digits.
    pub(crate) fn number(&self, slot: &Slot, index: usize) -> Option<u64> {
        match slot {
            Slot::PoolDigits { width, first } => {
                let pool = self.digits.get(width - 1).map_or(&[][..], Vec::as_slice);
                Some(Packed::new(pool, digits_bits(*width)).get(first + index))
            }
            Slot::Numbers(run) => Some(run.number(&self.packed, index)),
            _ => None,
        }
    }

    fn push_run(&self, run: &Run, index: usize, out: &mut Vec<u8>) {
        push_digits(run.number(&self.packed, index), run.width, out);
    }
}

/// Appends a number with at least `width` digits.
fn push_digits(value: u64, width: usize, out: &mut Vec<u8>) {
    let mut digits = [b'0'; 20];
    let mut at = digits.len();
    let mut rest = value;
    while rest > 0 || at == digits.len() {
        at -= 1;
        if let Some(digit) = digits.get_mut(at) {
            *digit = b'0' + (rest % 10) as u8;
        }
        rest /= 10;
    }
    let start = at.min(digits.len().saturating_sub(width));
    out.extend_from_slice(digits.get(start..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(slots: &[Vec<String>]) -> SlotParts {
        let mut writer = SlotWriter::default();
        for slot in slots {
            let words: Vec<&[u8]> = slot.iter().map(String::as_bytes).collect();
            writer.put(&words);
        }
        let parts = writer.finish();
        let mut text_starts = vec![0];
        let r = &mut Reader::new(&parts.lengths);
        while r.remaining() > 0 {
            text_starts.push(text_starts.last().unwrap() + r.varint().unwrap() as u32);
        }
        let data = SlotData {
            digits: parts.digits.clone(),
            text_starts,
            text: parts.text.clone(),
            packed: parts.packed.clone(),
        };
        let (r, mut cursor) = (&mut Reader::new(&parts.directory), SlotCursor::default());
        for slot in slots {
            let read = cursor.read(r, slot.len()).unwrap();
            for (i, word) in slot.iter().enumerate() {
                let mut out = Vec::new();
                data.push(&read, i, &mut out);
                assert_eq!(String::from_utf8(out).unwrap(), *word, "{read:?}");
            }
        }
        assert_eq!(r.remaining(), 0);
        let (text, packed, pools) = cursor.totals();
        assert_eq!(text + 1, data.text_starts.len());
        assert_eq!(packed, data.packed.len());
        assert_eq!(pools, data.digits.each_ref().map(Vec::len));
        parts
    }

    #[test]
    fn classes_are_chosen_by_the_words() {
        let many = |f: fn(usize) -> String| (0..100).map(f).collect::<Vec<_>>();
        let of = |slot: Vec<String>| round_trip(&[slot]).directory[0];
        assert_eq!(of(many(|i| format!("{}", i * 7))), NUMBERS);
        assert_eq!(of(many(|i| format!("{:05}", i * 7))), DIGITS);
        assert_eq!(of(many(|i| format!("blk_{}x{:02}", i * 7, i))), SKELETON);
        assert_eq!(of(many(|i| format!("{:08x}", i * 123_456_789 % 0xFFFF_FFFF))), HEX);
        assert_eq!(of(many(|_| "http2".into())), CONSTANT);
        assert_eq!(of(many(|i| format!("{}a{}", "z".repeat(i % 5), i))), POOL_TEXT);
        assert_eq!(of(vec!["07".into(), "99".into()]), POOL_DIGITS + 2);
        assert_eq!(of(vec!["1".into(), "99".into()]), POOL_TEXT);
        assert_eq!(of(many(|i| if i == 3 { "007".into() } else { i.to_string() })), POOL_TEXT);
    }

    proptest! {
        #[test]
        fn all_words_come_back(slots in prop::collection::vec(
            prop_oneof![
                prop::collection::vec("[0-9]{1,3}", 1..120),
                prop::collection::vec("[0-9]{18,20}", 1..120),
                prop::collection::vec("0{0,2}[0-9]{4}", 1..120),
                prop::collection::vec("a[0-9]{1,2}b[0-9]{2}", 1..120),
                prop::collection::vec("[a-f0-9]{6}", 1..120),
                prop::collection::vec("[a-zA-Zé0-9]{0,6}", 1..120),
            ], 1..12)) {
            round_trip(&slots);
        }
    }
}
