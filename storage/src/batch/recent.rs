//! The shapes of short texts that were seen lately: levels, regions and hosts are split and looked up once.
//!
//! Invariants
//! * An entry is found by the whole text, never by its hash alone.
//! * Memory is bounded: a new text takes the place of the one that has the same hash.

const SLOTS_LOG2: u32 = 12;

/// A text of at most 16 bytes, as numbers.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ShortText {
    head: u64,
    tail: u64,
    len: u8,
}

impl ShortText {
    /// The text as numbers, where it is short.
    #[inline]
    pub(super) fn of(text: &[u8]) -> Option<Self> {
        let (head, tail) = match text {
            [] => return None,
            [a] => (u64::from(*a), 0),
            [a, b] => (u64::from(*a), u64::from(*b)),
            [a, b, c] => (u64::from(*a) | u64::from(*b) << 8, u64::from(*c)),
            _ if text.len() > 16 => return None,
            // Two halves that overlap: with the length they are the text.
            _ => match (text.first_chunk::<8>(), text.last_chunk::<8>()) {
                (Some(head), Some(tail)) => (u64::from_le_bytes(*head), u64::from_le_bytes(*tail)),
                _ => (
                    u64::from(u32::from_le_bytes(*text.first_chunk()?)),
                    u64::from(u32::from_le_bytes(*text.last_chunk()?)),
                ),
            },
        };
        Some(Self { head, tail, len: text.len() as u8 })
    }

    fn slot(self) -> usize {
        const K: u64 = 0x9E37_79B9_7F4A_7C15;
        let mixed = (self.head.wrapping_mul(K) ^ self.tail).wrapping_mul(K);
        ((mixed ^ (mixed >> 32)).wrapping_mul(K) >> (64 - SLOTS_LOG2)) as usize
    }
}

#[derive(Clone, Copy, Default)]
struct Entry {
    text: ShortText,
    /// The one variable; empty where there is none.
    start: u8,
    end: u8,
    shape: u32,
}

/// Short texts with the builder's number of their shape.
pub(super) struct Recent(Box<[Entry]>);

impl Default for Recent {
    fn default() -> Self {
        Self(vec![Entry::default(); 1 << SLOTS_LOG2].into())
    }
}

impl Recent {
    /// The shape of a text and where its variable stands.
    #[inline]
    pub(super) fn get(&self, text: &ShortText) -> Option<(u32, Option<(u32, u32)>)> {
        let entry = self.0.get(text.slot()).filter(|entry| entry.text == *text)?;
        Some((entry.shape, (entry.end > 0).then_some((u32::from(entry.start), u32::from(entry.end)))))
    }

    /// Remembers a text of at most one variable.
    pub(super) fn put(&mut self, text: ShortText, shape: u32, spans: &[(u32, u32)]) {
        let (start, end) = match spans {
            [] => (0, 0),
            [(start, end)] => (*start as u8, *end as u8),
            _ => return,
        };
        if let Some(entry) = self.0.get_mut(text.slot()) {
            *entry = Entry { text, start, end, shape };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_was_put_last_is_found() {
        let mut recent = Recent::default();
        let of = |text: &str| ShortText::of(text.as_bytes()).unwrap();
        recent.put(of("host-29"), 7, &[(5, 7)]);
        recent.put(of("INFO"), 3, &[]);
        recent.put(of("1-2"), 9, &[(0, 1), (2, 3)]);
        assert_eq!(recent.get(&of("host-29")), Some((7, Some((5, 7)))));
        assert_eq!(recent.get(&of("INFO")), Some((3, None)));
        assert_eq!((recent.get(&of("1-2")), recent.get(&of("INFO "))), (None, None));
    }

    proptest! {
        #[test]
        fn different_texts_are_different_numbers(a in "[ab\u{0}]{1,17}", b in "[ab\u{0}]{1,17}") {
            let (short_a, short_b) = (ShortText::of(a.as_bytes()), ShortText::of(b.as_bytes()));
            prop_assert_eq!(short_a.is_none(), a.len() > 16);
            if short_a.is_some() {
                prop_assert_eq!(short_a == short_b, a == b);
            }
        }
    }
}
