//! A text as a shape with variables: words with an ASCII digit are variables, all else is literal.
//!
//! A shape is its literal bytes and the offsets in them where variables go. Its one form, in memory and on disk, is
//! its key: `| literal | offset u16 of each slot | slots u8 |`, read from the end, so that no byte is reserved.
//!
//! Invariants
//! * [`rebuild`] of a split gives the same bytes back, always.
//! * Shape [`WHOLE`] has the empty literal and one slot: the whole text is its one variable.
//! * Offsets lie on character boundaries of the literal and never fall.
use super::words::{self, Class};
use crate::codec::push_piece;
use crate::error::{Error, Result};
use crate::limits::{SHAPE_BYTES_MAX, SHAPE_SLOTS_MAX};

/// The shape of a text that is kept whole.
pub const WHOLE: u32 = 0;

/// Scratch space and result of a split.
#[derive(Default)]
pub struct Split {
    /// The key of the text's shape.
    pub key: Vec<u8>,
    /// Where each variable stands in the text.
    pub spans: Vec<(u32, u32)>,
    offsets: Vec<u16>,
}

impl Split {
    /// Splits a text; false where its shape would be over a limit and the text has to be kept whole.
    pub fn split(&mut self, text: &str) -> bool {
        self.key.clear();
        self.spans.clear();
        self.offsets.clear();
        let bytes = text.as_bytes();
        let mut literal = 0;
        // Only words with a digit matter, so it is digits that are looked for, and words around them.
        while let Some(digit) = next_digit(bytes, literal) {
            let start = word_start(text, bytes, literal, digit);
            let end = word_end(text, bytes, digit + 1);
            push_piece(&mut self.key, bytes, literal..start);
            if self.key.len() > SHAPE_BYTES_MAX || self.offsets.len() == SHAPE_SLOTS_MAX {
                return false;
            }
            self.offsets.push(self.key.len() as u16);
            self.spans.push((start as u32, end as u32));
            literal = end;
        }
        self.key.extend_from_slice(bytes.get(literal..).unwrap_or_default());
        if self.key.len() > SHAPE_BYTES_MAX {
            return false;
        }
        for offset in &self.offsets {
            self.key.extend_from_slice(&offset.to_le_bytes());
        }
        self.key.push(self.offsets.len() as u8);
        true
    }
}

/// Where the next ASCII digit is, eight bytes at a time.
#[inline]
fn next_digit(bytes: &[u8], mut at: usize) -> Option<usize> {
    const HIGH: u64 = 0x8080_8080_8080_8080;
    while let Some(eight) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        // A digit is what gives 0 to 9 against `0`: adding 0x76 to anything above sets the high bit.
        let against = u64::from_le_bytes(*eight) ^ 0x3030_3030_3030_3030;
        let above = (against & !HIGH).wrapping_add(0x7676_7676_7676_7676);
        let digits = !(above | against) & HIGH;
        if digits != 0 {
            return Some(at + digits.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    rest.iter().position(u8::is_ascii_digit).map(|found| at + found)
}

/// Where the word begins that has a digit at `at`, not before `floor`, which is a word's end or the text's start.
#[inline]
fn word_start(text: &str, bytes: &[u8], floor: usize, mut at: usize) -> usize {
    while at > floor {
        let Some(before) = bytes.get(at - 1) else { break };
        match words::class(*before) {
            Class::Separator => break,
            Class::Letter | Class::Digit => at -= 1,
            Class::Wide => match text.get(floor..at).and_then(|head| head.chars().next_back()) {
                Some(c) if words::is_word(c) => at -= c.len_utf8(),
                _ => break,
            },
        }
    }
    at
}

/// Where the word ends that goes on at `at`.
#[inline]
fn word_end(text: &str, bytes: &[u8], mut at: usize) -> usize {
    while let Some(byte) = bytes.get(at) {
        match words::class(*byte) {
            Class::Separator => break,
            Class::Letter | Class::Digit => at += 1,
            Class::Wide => match words::step(text, bytes, at) {
                Some((true, len, _)) => at += len,
                _ => break,
            },
        }
    }
    at
}

/// A shape, read from its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape<'a> {
    literal: &'a str,
    offsets: &'a [u8],
}

impl<'a> Shape<'a> {
    /// Reads a key that [`Split`] wrote.
    pub fn parse(key: &'a [u8]) -> Result<Self> {
        let bad = || Error::corrupt("a shape's key is damaged");
        let (slots, rest) = key.split_last().ok_or_else(bad)?;
        let literal_len = rest.len().checked_sub(usize::from(*slots) * 2).ok_or_else(bad)?;
        let (literal, offsets) = rest.split_at_checked(literal_len).ok_or_else(bad)?;
        let literal = std::str::from_utf8(literal).map_err(|_| bad())?;
        let shape = Self { literal, offsets };
        let mut last = 0;
        for offset in shape.offsets() {
            if offset < last || !literal.is_char_boundary(offset) {
                return Err(bad());
            }
            last = offset;
        }
        Ok(shape)
    }

    /// The shape of a text that is kept whole.
    pub fn whole() -> Shape<'static> {
        Shape { literal: "", offsets: &[0, 0] }
    }

    /// All literal text, without the slots.
    pub fn literal(&self) -> &'a str {
        self.literal
    }

    /// How many variables a text of this shape has.
    pub fn slots(&self) -> usize {
        self.offsets.len() / 2
    }

    /// Where each variable goes into the literal.
    pub fn offsets(&self) -> impl Iterator<Item = usize> + use<'a> {
        self.offsets.chunks_exact(2).map(|b| usize::from(u16::from_le_bytes(b.try_into().unwrap_or_default())))
    }

    /// Literal text between slots: one piece more than there are slots.
    pub fn pieces(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let literal = self.literal;
        let mut start = 0;
        self.offsets().chain([literal.len()]).map(move |end| {
            let piece = literal.get(start..end).unwrap_or_default();
            start = end;
            piece
        })
    }

    /// The text of this shape with these variables.
    pub fn rebuild<'v>(&self, variables: impl IntoIterator<Item = &'v [u8]>, out: &mut Vec<u8>) {
        let mut variables = variables.into_iter();
        for (i, piece) in self.pieces().enumerate() {
            if i > 0
                && let Some(variable) = variables.next()
            {
                out.extend_from_slice(variable);
            }
            out.extend_from_slice(piece.as_bytes());
        }
    }

    /// How a shape is shown to people.
    pub fn display(&self) -> String {
        let pieces: Vec<&str> = self.pieces().collect();
        pieces.join("<*>")
    }
}

/// The key of shape [`WHOLE`].
pub const WHOLE_KEY: [u8; 3] = [0, 0, 1];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shape_of(text: &str) -> (String, Vec<String>) {
        let mut split = Split::default();
        assert!(split.split(text));
        let vars = split.spans.iter().map(|(a, b)| text[*a as usize..*b as usize].to_string()).collect();
        (Shape::parse(&split.key).unwrap().display(), vars)
    }

    #[test]
    fn words_with_digits_are_variables() {
        let (shape, vars) = shape_of("Received connection request /10.10.34.21:48354");
        assert_eq!(shape, "Received connection request /<*>.<*>.<*>.<*>:<*>");
        assert_eq!(vars, ["10", "10", "34", "21", "48354"]);
        assert_eq!(shape_of("«42» m² x7→é9").0, "«<*>» m² <*>→<*>");
        assert_eq!(shape_of("").0, "");
        assert_eq!(Shape::parse(&WHOLE_KEY).unwrap().display(), "<*>");
    }

    #[test]
    fn limits_keep_a_text_whole() {
        let mut split = Split::default();
        assert!(!split.split(&"x".repeat(SHAPE_BYTES_MAX + 1)));
        assert!(!split.split(&"1 ".repeat(SHAPE_SLOTS_MAX + 1)));
        assert!(split.split(&"1 ".repeat(SHAPE_SLOTS_MAX)));
        assert!(split.split(&format!("{}9", "y".repeat(70_000))));
    }

    #[test]
    fn damaged_keys_are_refused() {
        for key in [&[][..], &[1], &[0, 0, 5], &[b'a', 9, 0, 1], &[0xFF, 0]] {
            assert!(Shape::parse(key).is_err(), "{key:?}");
        }
    }

    proptest! {
        #[test]
        fn rebuilding_gives_the_text_back(text in r"([a-z0-9_ .:/-]|\PC|[²é字\u{FFFD}\u{0}\u{1}]){0,60}") {
            let mut split = Split::default();
            if split.split(&text) {
                let shape = Shape::parse(&split.key).unwrap();
                let mut out = Vec::new();
                shape.rebuild(split.spans.iter().map(|(a, b)| &text.as_bytes()[*a as usize..*b as usize]), &mut out);
                prop_assert_eq!(std::str::from_utf8(&out).unwrap(), &text);
                let digits: Vec<_> = words::words(&text).filter(|w| w.has_digit).map(|w| (w.span.start as u32, w.span.end as u32)).collect();
                prop_assert_eq!(&split.spans, &digits);
            }
        }
    }
}
