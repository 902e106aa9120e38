//! What of whole texts is read before any of them is, and is worth keeping for the next search: what is listed, where the
//! codes of each text begin, and all codes where they are few.
//!
//! Invariants
//! * Nothing in it depends on what is asked.
//! * Only what was checked is kept: places ascend and end where their stream does.
use super::lexicon::Lexicon;
use super::sieve::{Sieve, Sought};
use super::{WholeHead, starts};
use crate::error::Result;
use crate::limits::KIB;
use crate::segment::pages::{Pages, Source, Stream};
use std::sync::{Arc, OnceLock};

/// Codes that are read as a whole: there are few pages of them, and a search goes along most.
const ALL_BYTES_MAX: usize = 256 * KIB;
/// What takes more is read again each time: there would be room for few of its kind.
const KEPT_BYTES_MAX: usize = 512 * KIB;

/// Which texts of a lane: the whole ones, or what lies beside them where they are codes for lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Part {
    Texts,
    Holes,
    Kept,
}

/// Who may keep what was opened of a lane's whole texts.
pub(crate) trait Keeper {
    /// What was kept of a part, or what `open` gives.
    fn opened(&self, part: Part, open: &dyn Fn() -> Result<Opened>) -> Result<Arc<Opened>>;
}

/// Keeps nothing.
pub(crate) struct Afresh;

impl Keeper for Afresh {
    fn opened(&self, _part: Part, open: &dyn Fn() -> Result<Opened>) -> Result<Arc<Opened>> {
        open().map(Arc::new)
    }
}

/// What is known of whole texts before one is read.
pub(crate) struct Opened {
    /// Empty where texts are kept as they are.
    pub(super) lexicon: Lexicon,
    /// Of texts that are kept as they are, these.
    pub(super) codes: Arc<Run>,
    pub(super) spelled: Arc<Run>,
    /// Made for the first who goes along them; none where there are too many to be kept.
    numbers: OnceLock<Option<Numbers>>,
}

/// The numbers of what is listed of each text: a search goes along them, and codes of one byte or two cannot be foreseen.
pub(super) struct Numbers {
    starts: Vec<u32>,
    all: Vec<u16>,
}

impl Numbers {
    fn of(lexicon: &Lexicon, codes: &Run) -> Option<Self> {
        let bytes = codes.all.as_ref()?;
        let (mut starts, mut all) = (Vec::with_capacity(codes.starts.len()), Vec::with_capacity(bytes.len()));
        starts.push(0);
        for ends in codes.starts.windows(2) {
            let [from, to] = ends else { continue };
            let mut of_text = bytes.get(*from as usize..*to as usize).unwrap_or_default().iter();
            while let Some(first) = of_text.next() {
                all.extend(lexicon.number(*first, &mut of_text).and_then(|number| u16::try_from(number).ok()));
            }
            starts.push(all.len() as u32);
        }
        all.shrink_to_fit();
        Some(Self { starts, all })
    }

    /// Those of a text.
    #[inline]
    pub(super) fn get(&self, index: usize) -> &[u16] {
        let Some(&[from, to]) = self.starts.get(index..index + 2) else { return &[] };
        self.all.get(from as usize..to as usize).unwrap_or_default()
    }
}

/// Pieces of a stream, one for each text.
#[derive(Default)]
pub(super) struct Run {
    /// Where each begins and the last ends.
    pub(super) starts: Vec<u32>,
    /// All of them, where they are few.
    pub(super) all: Option<Vec<u8>>,
}

impl Opened {
    /// Reads what comes before `count` texts.
    pub(super) fn read(head: &WholeHead, count: usize, pages: &Pages, source: &dyn Source) -> Result<Self> {
        let run = |lengths: Stream, codes: Stream| Run::read(lengths, codes, count, pages, source);
        let none = Run { starts: vec![0], all: None };
        let (listed, codes, spelled) = match *head {
            WholeHead::Plain { lengths, texts } => (None, run(lengths, texts)?, none),
            WholeHead::Coded { listed, code_lengths, codes, spelled_lengths, spelled, .. } => {
                let spelled = if spelled.len == 0 { none } else { run(spelled_lengths, spelled)? };
                (Some(listed), run(code_lengths, codes)?, spelled)
            }
            WholeHead::Lined { templates, code_lengths, codes, .. } => {
                (Some(templates), run(code_lengths, codes)?, none)
            }
        };
        let listed = listed.map_or(Ok(Vec::new()), |listed| pages.stream(source, listed))?;
        let lexicon = Lexicon::read(listed)?;
        Ok(Self { lexicon, numbers: OnceLock::new(), codes: Arc::new(codes), spelled: Arc::new(spelled) })
    }

    fn numbers(&self) -> Option<&Numbers> {
        let make = || (self.numbers_memory() > 0).then(|| Numbers::of(&self.lexicon, &self.codes)).flatten();
        self.numbers.get_or_init(make).as_ref()
    }

    /// Bytes that the numbers may take, made or not; none where they are not made, since it would not be kept with them.
    fn numbers_memory(&self) -> usize {
        let Some(codes) = self.codes.all.as_ref().filter(|_| self.lexicon.len() > 0) else { return 0 };
        let most = self.codes.starts.len() * size_of::<u32>() + codes.len() * size_of::<u16>();
        if self.memory_without_numbers() + most <= KEPT_BYTES_MAX { most } else { 0 }
    }

    fn memory_without_numbers(&self) -> usize {
        size_of::<Self>() + self.lexicon.memory() + self.codes.memory() + self.spelled.memory()
    }

    /// What of `left` nothing listed of a text has, whose codes are these.
    #[inline]
    pub(super) fn lacking(&self, sieve: &Sieve, left: u8, index: usize, codes: &[u8]) -> u8 {
        match self.numbers() {
            Some(numbers) => {
                let has = |number: &u16| sieve.listed.get(usize::from(*number)).copied().unwrap_or(0);
                left & !numbers.get(index).iter().fold(0, |bits, number| bits | has(number))
            }
            None => self.lexicon.lacking(sieve, left, codes),
        }
    }

    /// Bytes that it takes, and whether so many are worth keeping.
    pub(crate) fn memory(&self) -> (usize, bool) {
        let bytes = self.memory_without_numbers() + self.numbers_memory();
        (bytes, bytes <= KEPT_BYTES_MAX)
    }
}

impl Run {
    fn read(lengths: Stream, codes: Stream, count: usize, pages: &Pages, source: &dyn Source) -> Result<Self> {
        let starts = starts(lengths, count, codes, pages, source)?;
        let all = (codes.len <= ALL_BYTES_MAX).then(|| pages.stream(source, codes)).transpose()?;
        Ok(Self { starts, all })
    }

    /// What each piece has of what is sought, where all are there and can be looked through at once.
    pub(super) fn sieve(&self, sought: &Sought<'_>, has: impl Fn(&[u8]) -> u8) -> Option<Vec<u8>> {
        let all = self.all.as_ref()?;
        let piece = |at: usize| all.get(self.start(at)..self.start(at + 1)).unwrap_or_default();
        sought.in_pieces(all, &self.starts, |at| has(piece(at)))
    }

    #[inline]
    pub(super) fn start(&self, index: usize) -> usize {
        self.starts.get(index).or(self.starts.last()).map_or(0, |at| *at as usize)
    }

    fn memory(&self) -> usize {
        self.starts.len() * size_of::<u32>() + self.all.as_ref().map_or(0, Vec::len)
    }
}
