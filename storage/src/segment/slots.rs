//! The variables of one slot of one shape in one block, as a column of its own or as a part of a pool.
//!
//! Each slot has a class byte in its lane's directory and the values of its rows lie together, in row order. Slots of few
//! rows go to a pool of their class, which needs no head; slots of many rows stand alone with one.
//!
//! | class | head | values |
//! |---|---|---|
//! | `POOL_DIGITS` + w | | w digits each (1 to 9), in the pool of that width |
//! | `POOL_TEXT` | letters, sizes | length and bytes, in the text pool |
//! | `TEXT` | letters, sizes, bytes of lengths and texts | lengths where they differ, and bytes |
//! | `CONSTANT` | the word | |
//! | `NUMBERS` | lowest, bits | numbers without leading zeros, packed |
//! | `DIGITS` | width, run | numbers of as many digits |
//! | `HEX` | width | nibbles, lower case |
//! | `SKELETON` | pieces, width and run of each | words that differ in their digits only: `blk_#` |
//!
//! A run is `lowest, bits` and packed numbers, or 0, [`PLANES`] and digit planes where these take less. [`Letters`] say
//! which letters some word has, and sizes how long the shortest is and how much longer the longest, so that what is looked for
//! is looked for where it can be; `directory.rs` reads all this.
//!
//! Invariants
//! * A class keeps every byte: leading zeros, case and length.
//! * Where a slot's values begin follows from the directory alone, by adding up.
use super::bits::{BitWriter, bits_of, packed_bytes};
use super::planes::PlaneCoder;
use crate::codec::{put_bytes, put_varint};
use crate::text::digits::{self, NUMBER_DIGITS_MAX};

pub(crate) const POOL_DIGITS: u8 = 0;
pub(crate) const POOL_TEXT: u8 = 10;
pub(crate) const CONSTANT: u8 = 11;
pub(crate) const NUMBERS: u8 = 12;
pub(crate) const DIGITS: u8 = 13;
pub(crate) const HEX: u8 = 14;
pub(crate) const SKELETON: u8 = 15;
pub(crate) const TEXT: u8 = 16;

/// In place of a number of bits: the run is coded in digit planes.
pub(super) const PLANES: u8 = 255;

/// Rows from which a slot stands alone.
const ALONE_ROWS: usize = 64;
/// Digits that a pool keeps by width.
pub(super) const POOL_DIGITS_MAX: usize = 9;
/// Runs of digits that a skeleton may have.
pub(super) const RUNS_MAX: usize = 8;

/// Bits that hold any number of `digits` digits.
pub(super) fn digits_bits(digits: usize) -> u32 {
    bits_of(10u64.pow(digits.min(NUMBER_DIGITS_MAX) as u32) - 1)
}

/// Which letters some words have, whatever their case: a bit for each of the 26, and one for all that is not ASCII.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Letters(u32);

impl Letters {
    const WIDE: u32 = 1 << 26;

    /// The letters of some text.
    pub(crate) fn of(text: &[u8]) -> Self {
        Self(text.iter().fold(0, |bits, byte| bits | letter_bit(*byte)))
    }

    pub(super) fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    pub(super) fn bits(self) -> u32 {
        self.0
    }

    /// Those of both.
    pub(super) fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all letters of `wanted` are among them. With `any_case` a letter that is not ASCII may stand for one that
    /// is.
    pub(crate) fn have(self, wanted: Self, any_case: bool) -> bool {
        wanted.0 & !self.0 == 0 || any_case && self.0 & Self::WIDE != 0
    }
}

#[inline]
fn letter_bit(byte: u8) -> u32 {
    let letter = (byte | 0x20).wrapping_sub(b'a');
    if letter < 26 { 1 << letter } else { u32::from(byte >> 7) << 26 }
}

/// What a lane's slots have put so far.
#[derive(Default)]
pub(crate) struct SlotWriter {
    /// Classes and heads.
    pub(crate) directory: Vec<u8>,
    digits: [BitWriter; POOL_DIGITS_MAX],
    lengths: Vec<u8>,
    text: Vec<u8>,
    lone_lengths: Vec<u8>,
    lone_text: Vec<u8>,
    packed: BitWriter,
    numbers: Vec<u64>,
}

/// The finished parts of a [`SlotWriter`].
pub(crate) struct SlotParts {
    pub(crate) directory: Vec<u8>,
    /// Pools by number of digits, from one.
    pub(crate) digits: [Vec<u8>; POOL_DIGITS_MAX],
    /// The text pool.
    pub(crate) lengths: Vec<u8>,
    pub(crate) text: Vec<u8>,
    /// Texts of slots that stand alone.
    pub(crate) lone_lengths: Vec<u8>,
    pub(crate) lone_text: Vec<u8>,
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
                    self.put_text(words, alone);
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
            _ => self.put_text(words, alone),
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

    fn put_text(&mut self, words: &[&[u8]], alone: bool) {
        let (lengths, text) =
            if alone { (&mut self.lone_lengths, &mut self.lone_text) } else { (&mut self.lengths, &mut self.text) };
        let (lengths_start, start) = (lengths.len(), text.len());
        let (mut shortest, mut longest) = (usize::MAX, 0);
        for word in words {
            put_varint(lengths, word.len() as u64);
            text.extend_from_slice(word);
            (shortest, longest) = (shortest.min(word.len()), longest.max(word.len()));
        }
        let letters = Letters::of(text.get(start..).unwrap_or_default());
        self.directory.push(if alone { TEXT } else { POOL_TEXT });
        put_varint(&mut self.directory, u64::from(letters.0));
        put_varint(&mut self.directory, shortest.min(longest) as u64);
        put_varint(&mut self.directory, longest.saturating_sub(shortest) as u64);
        if !alone {
            return;
        }
        if shortest == longest && longest > 0 {
            lengths.truncate(lengths_start);
        } else {
            put_varint(&mut self.directory, (lengths.len() - lengths_start) as u64);
            put_varint(&mut self.directory, (text.len() - start) as u64);
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
            lone_lengths: self.lone_lengths,
            lone_text: self.lone_text,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Reader;
    use crate::segment::directory::{Directory, Slot, TextRun};
    use crate::segment::look::{Words, put_for_tests};
    use crate::segment::pages::{PageWriter, Pages};
    use proptest::prelude::*;

    fn round_trip(slots: &[Vec<String>]) -> Vec<u8> {
        let mut writer = SlotWriter::default();
        for slot in slots {
            let words: Vec<&[u8]> = slot.iter().map(String::as_bytes).collect();
            writer.put(&words);
        }
        let parts = writer.finish();
        let shapes = slots.iter().map(|slot| (slot.len() as u32, 1)).collect();
        let directory = Directory::read(parts.directory.clone(), shapes).unwrap();
        let (mut pages, mut head) = (PageWriter::default(), Vec::new());
        let streams = put_for_tests(&parts, &mut pages);
        let bytes = pages.finish(&mut head);
        let pages = Pages::read(&mut Reader::new(&head), 0).unwrap();
        let mut words = Words::new(&streams, &pages, &bytes, &directory).unwrap();
        for (local, slot) in slots.iter().enumerate() {
            let read = &directory.slots(local as u32)[0];
            let n = slot.len();
            for (from, to) in [(0, n), (n / 2, n), (n / 3, n / 3 + 1), (n - 1, n)] {
                let values = words.load(read, from, to).unwrap();
                for (i, word) in slot.iter().enumerate().take(to).skip(from) {
                    let mut out = Vec::new();
                    values.push(i, &mut out);
                    assert_eq!(String::from_utf8(out).unwrap(), *word, "{read:?}");
                }
                let is_it = |rank: &usize| slot[*rank] == slot[n / 2];
                if let Some(found) = values.find_hex(slot[n / 2].as_bytes(), to - from) {
                    assert!((from..to).filter(is_it).eq(found.into_iter().map(|rank| rank as usize)), "{read:?}");
                }
                let (start, end) = words.of_length(read, (from, to), slot[n / 2].len()).unwrap().unwrap_or((0, 0));
                let is_so_long = |rank: &usize| slot[*rank].len() == slot[n / 2].len();
                assert!((from..to).filter(is_so_long).all(|rank| (start..end).contains(&rank)), "{read:?}");
                assert!(from <= start && end <= to || start == end);
            }
        }
        assert_eq!(directory.walk().count(), slots.len());
        parts.directory
    }

    #[test]
    fn classes_are_chosen_by_the_words() {
        let many = |f: fn(usize) -> String| (0..100).map(f).collect::<Vec<_>>();
        let of = |slot: Vec<String>| round_trip(&[slot])[0];
        assert_eq!(of(many(|i| format!("{}", i * 7))), NUMBERS);
        assert_eq!(of(many(|i| format!("{:05}", i * 7))), DIGITS);
        assert_eq!(of(many(|i| format!("blk_{}x{:02}", i * 7, i))), SKELETON);
        assert_eq!(of(many(|i| format!("{:08x}", i * 123_456_789 % 0xFFFF_FFFF))), HEX);
        assert_eq!(of(many(|_| "http2".into())), CONSTANT);
        assert_eq!(of(many(|i| format!("{}a{}", "z".repeat(i % 5), i))), TEXT);
        assert_eq!(of(many(|i| format!("{:02X}", i))), TEXT);
        assert_eq!(of(vec!["07".into(), "99".into()]), POOL_DIGITS + 2);
        assert_eq!(of(vec!["1".into(), "99".into()]), POOL_TEXT);
        assert_eq!(of(many(|i| if i == 3 { "007".into() } else { i.to_string() })), TEXT);
    }

    #[test]
    fn sizes_say_how_long_words_are() {
        for count in [3, 100] {
            let mut writer = SlotWriter::default();
            let words: Vec<String> = (0..count).map(|i| format!("x{}é", "1".repeat(i % 3))).collect();
            writer.put(&words.iter().map(String::as_bytes).collect::<Vec<_>>());
            let directory = Directory::read(writer.finish().directory, vec![(count as u32, 1)]).unwrap();
            let (Slot::PoolText { sizes, .. } | Slot::Text(TextRun { sizes, .. })) = directory.slots(0)[0] else {
                panic!("no texts")
            };
            assert_eq!((sizes.shortest, sizes.longest), (3, 5));
        }
    }

    #[test]
    fn letters_say_what_words_can_have() {
        let letters = Letters::of("x1Connéction".as_bytes());
        assert!(letters.have(Letters::of(b"tion"), false) && letters.have(Letters::of(b"CON9_"), false));
        assert!(!letters.have(Letters::of(b"ail"), false) && letters.have(Letters::of(b"ail"), true));
        assert!(!Letters::of(b"42").have(Letters::of(b"k"), true));
        assert!(!Letters::of(b"4k").have(Letters::of("é".as_bytes()), false));
    }

    proptest! {
        #[test]
        fn all_words_come_back(slots in prop::collection::vec(
            prop_oneof![
                prop::collection::vec("[0-9]{1,3}", 1..120),
                prop::collection::vec("[0-9]{18,20}", 1..120),
                prop::collection::vec("0{0,2}[0-9]{4}", 1..120),
                prop::collection::vec("[12][0-9]0[1-3]", 1..120),
                prop::collection::vec("a[0-9]{1,2}b[0-9]{2}", 1..120),
                prop::collection::vec("[a-f0-9]{6}", 1..120),
                prop::collection::vec("[a-zA-Zé0-9]{0,6}", 1..120),
            ], 1..80)) {
            round_trip(&slots);
        }
    }
}
