//! What is looked for in the words of whole texts, and what each listed word, line or text has of it.
//!
//! Where all spellings of a thing have the same bytes, these are searched in all pieces as in one, and only a piece that has
//! them is asked.
//!
//! Invariants
//! * A bit that a sieve does not have is in no word of the text; one that it has was said by [`Sought::has`].
use crate::segment::slots::Letters;
use memchr::memmem;

/// Things that are looked for, eight at most, each in one word: a bit for each.
pub(crate) struct Sought<'n> {
    pub(crate) all: u8,
    /// Which of them a text has.
    pub(crate) has: &'n dyn Fn(&str) -> u8,
    /// Which of them words of some letters may have.
    pub(crate) may: &'n dyn Fn(Letters) -> u8,
    /// The bytes that a text has at least that has the thing; nothing where they are not the same for all spellings.
    pub(crate) literals: Option<Vec<&'n str>>,
}

impl Sought<'_> {
    /// What each of some pieces has, as `ask` says of a piece by its number. The pieces lie one behind another in `all`;
    /// `starts` is where each begins and the last ends. Nothing where there are no bytes to go by.
    pub(super) fn in_pieces(&self, all: &[u8], starts: &[u32], ask: impl Fn(usize) -> u8) -> Option<Vec<u8>> {
        let literals = self.literals.as_ref().filter(|literals| literals.iter().all(|literal| !literal.is_empty()))?;
        let mut found = vec![0; starts.len().saturating_sub(1)];
        for (bit, literal) in literals.iter().enumerate() {
            let finder = memmem::Finder::new(literal);
            let (mut from, mut piece) = (0, 0);
            while let Some(hit) = all.get(from..).and_then(|rest| finder.find(rest)) {
                let (at, rest) = (from + hit, starts.get(piece..).unwrap_or_default());
                piece += rest.partition_point(|start| *start as usize <= at).saturating_sub(1);
                let end = starts.get(piece + 1).map_or(all.len(), |end| *end as usize);
                // What begins in one piece and ends in the next is in none.
                from = if at + literal.len() <= end { end } else { at + 1 };
                if let Some(bits) = found.get_mut(piece)
                    && *bits & 1 << bit == 0
                {
                    *bits |= ask(piece);
                }
            }
        }
        Some(found)
    }
}

/// What the words of texts have of what is sought, a bit for each thing.
#[derive(Default)]
pub(crate) struct Sieve {
    /// What may be in some word at all, and what is in a listed one.
    pub(super) possible: u8,
    pub(super) listed_have: u8,
    /// What each listed word or line has.
    pub(super) listed: Vec<u8>,
    /// What all of them have whose code begins with a byte.
    pub(super) firsts: Vec<u8>,
    /// What each text has as it is kept, or in words that are spelled, where all were asked at once.
    pub(super) texts: Option<Vec<u8>>,
    /// What is asked beside the codes of lines.
    pub(super) inner: Option<Box<Inner>>,
}

impl Sieve {
    /// The same, with what texts have beside what is listed.
    pub(super) fn with_texts(self, texts: Option<Vec<u8>>, sought: &Sought<'_>) -> Self {
        let have = texts.as_ref().map_or(sought.all, |texts| texts.iter().fold(0, |all, bits| all | bits));
        Self { possible: self.possible | have, texts, ..self }
    }

    #[inline]
    pub(super) fn text(&self, index: usize) -> Option<u8> {
        self.texts.as_ref().map(|texts| texts.get(index).copied().unwrap_or(0))
    }
}

/// What the words of holes and of kept lines have; nothing where there is nothing to be found.
#[derive(Default)]
pub(super) struct Inner {
    pub(super) holes: Option<Sieve>,
    pub(super) kept: Option<Sieve>,
}
