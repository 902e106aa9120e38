//! The texts of a lane that are kept whole: as they are, or as codes for their words.
//!
//! Head: `| 0 | lengths | texts |`, or `| 1 | bytes varint | listed | code lengths | codes | spelled lengths | spelled |`,
//! where all but the bytes of all texts are streams and lengths are varints; without anything spelled its lengths are
//! empty. Codes are in [`lexicon`].
//!
//! Invariants
//! * Codes are chosen only where they save a tenth, by what the compressor makes of some pages.
//! * Only those pages of texts and codes are read that hold what is asked for; lengths, and what is listed, as a whole.
mod lexicon;
#[cfg(test)]
mod tests;

use super::pages::{PageWriter, Pages, Partial, Source, Space, Stream, estimate};
use crate::codec::{Reader, put_varint};
use crate::error::{Error, Result};
use crate::limits::KIB;
use lexicon::{Coded, Lexicon};

const PLAIN: u8 = 0;
const CODED: u8 = 1;

/// Text of a lane from which codes are tried.
const CODED_BYTES_MIN: usize = 4 * KIB;

/// Appends the whole texts of a lane, in their order.
pub(super) fn put(texts: &[&[u8]], pages: &mut PageWriter, head: &mut Vec<u8>) {
    let bytes = texts.concat();
    let mut lengths = Vec::with_capacity(texts.len());
    texts.iter().for_each(|text| put_varint(&mut lengths, text.len() as u64));
    if bytes.len() >= CODED_BYTES_MIN
        && let Some(coded) = encode(texts)
        && coded.cost() < (estimate(Space::Text, &bytes) + estimate(Space::Codes, &lengths)) / 10 * 9
    {
        return coded.put(bytes.len(), pages, head);
    }
    head.push(PLAIN);
    pages.put(Space::Codes, &lengths).put(head);
    pages.put(Space::Text, &bytes).put(head);
}

/// The streams of coded texts.
struct Streams {
    coded: Coded,
    code_lengths: Vec<u8>,
    spelled_lengths: Vec<u8>,
}

fn encode(texts: &[&[u8]]) -> Option<Streams> {
    let texts: Vec<&str> = texts.iter().map(|text| std::str::from_utf8(text).ok()).collect::<Option<_>>()?;
    let coded = lexicon::encode(&texts);
    let (mut code_lengths, mut spelled_lengths) = (Vec::new(), Vec::new());
    coded.code_lengths.iter().for_each(|len| put_varint(&mut code_lengths, *len as u64));
    if !coded.spelled.is_empty() {
        coded.spelled_lengths.iter().for_each(|len| put_varint(&mut spelled_lengths, *len as u64));
    }
    Some(Streams { coded, code_lengths, spelled_lengths })
}

impl Streams {
    fn streams(&self) -> [(Space, &[u8]); 5] {
        [
            (Space::Text, &self.coded.listed),
            (Space::Codes, &self.code_lengths),
            (Space::Text, &self.coded.codes),
            (Space::Codes, &self.spelled_lengths),
            (Space::Text, &self.coded.spelled),
        ]
    }

    /// Appends texts of so many bytes.
    fn put(&self, bytes: usize, pages: &mut PageWriter, head: &mut Vec<u8>) {
        head.push(CODED);
        put_varint(head, bytes as u64);
        for (space, bytes) in self.streams() {
            pages.put(space, bytes).put(head);
        }
    }

    /// About what is stored.
    fn cost(&self) -> usize {
        self.streams().iter().map(|(space, bytes)| estimate(*space, bytes)).sum()
    }
}

/// How whole texts are read, before any of them is.
pub(super) enum WholeHead {
    Plain {
        lengths: Stream,
        texts: Stream,
    },
    Coded {
        bytes: usize,
        listed: Stream,
        code_lengths: Stream,
        codes: Stream,
        spelled_lengths: Stream,
        spelled: Stream,
    },
}

impl WholeHead {
    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self> {
        match r.u8()? {
            PLAIN => Ok(Self::Plain { lengths: Stream::read(r)?, texts: Stream::read(r)? }),
            CODED => Ok(Self::Coded {
                bytes: usize::try_from(r.varint()?).ok().filter(|bytes| *bytes < 1 << 32).ok_or_else(damaged)?,
                listed: Stream::read(r)?,
                code_lengths: Stream::read(r)?,
                codes: Stream::read(r)?,
                spelled_lengths: Stream::read(r)?,
                spelled: Stream::read(r)?,
            }),
            _ => Err(damaged()),
        }
    }

    /// Bytes of all texts.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Plain { texts, .. } => texts.len,
            Self::Coded { bytes, .. } => *bytes,
        }
    }

    /// The texts, `count` of them, to be read as they are asked for.
    pub(super) fn open<'a>(&self, count: usize, pages: &'a Pages, source: &'a dyn Source) -> Result<WholeTexts<'a>> {
        let form = match *self {
            Self::Plain { lengths, texts } => Form::Plain(Pieces {
                starts: starts(lengths, count, texts, pages, source)?,
                bytes: pages.partial(texts)?,
            }),
            Self::Coded { bytes, listed, code_lengths, codes, spelled_lengths, spelled } => {
                let lexicon = Lexicon::read(pages.stream(source, listed)?)?;
                let starts_of = |lengths, stream| starts(lengths, count, stream, pages, source);
                let spelled_starts = if spelled.len == 0 { vec![0] } else { starts_of(spelled_lengths, spelled)? };
                Form::Coded(Box::new(CodedTexts {
                    bytes,
                    lexicon,
                    codes: Pieces { starts: starts_of(code_lengths, codes)?, bytes: pages.partial(codes)? },
                    spelled: Pieces { starts: spelled_starts, bytes: pages.partial(spelled)? },
                    first: 0,
                    ends: Vec::new(),
                    texts: Vec::new(),
                }))
            }
        };
        Ok(WholeTexts { pages, source, count, form })
    }
}

/// Where each of `count` pieces begins in a stream; the last start is where the last one ends.
pub(super) fn starts(
    lengths: Stream,
    count: usize,
    of: Stream,
    pages: &Pages,
    source: &dyn Source,
) -> Result<Vec<u32>> {
    starts_of(&pages.stream(source, lengths)?, count, of.len)
}

/// The same of pieces whose lengths are these and which take so many bytes together.
pub(super) fn starts_of(lengths: &[u8], count: usize, bytes: usize) -> Result<Vec<u32>> {
    if count > lengths.len() {
        return Err(damaged());
    }
    let (mut starts, mut at) = (Vec::with_capacity(count + 1), 0u64);
    starts.push(0);
    if count == lengths.len() && lengths.is_ascii() && count < 1 << 24 {
        // A byte each.
        let mut at = 0u32;
        starts.extend(lengths.iter().map(|len| {
            at += u32::from(*len);
            at
        }));
        return if at as usize == bytes { Ok(starts) } else { Err(damaged()) };
    }
    let r = &mut Reader::new(lengths);
    for _ in 0..count {
        at = at.saturating_add(r.varint()?);
        starts.push(u32::try_from(at).map_err(|_| damaged())?);
    }
    if r.remaining() != 0 || at != bytes as u64 {
        return Err(damaged());
    }
    Ok(starts)
}

/// A stream in pieces, one for each text.
struct Pieces {
    starts: Vec<u32>,
    bytes: Partial,
}

impl Pieces {
    fn start(&self, index: usize) -> usize {
        self.starts.get(index).or(self.starts.last()).map_or(0, |at| *at as usize)
    }

    fn load(&mut self, from: usize, to: usize, pages: &Pages, source: &dyn Source) -> Result<()> {
        let range = (self.start(from), self.start(to));
        pages.fill(source, &mut self.bytes, range.0, range.1)
    }

    fn get(&self, index: usize) -> &[u8] {
        self.bytes.bytes.get(self.start(index)..self.start(index + 1)).unwrap_or_default()
    }
}

/// Whole texts of a lane, read as they are asked for.
pub(crate) struct WholeTexts<'a> {
    pages: &'a Pages,
    source: &'a dyn Source,
    count: usize,
    form: Form,
}

enum Form {
    Plain(Pieces),
    Coded(Box<CodedTexts>),
}

struct CodedTexts {
    /// Of all texts.
    bytes: usize,
    lexicon: Lexicon,
    codes: Pieces,
    spelled: Pieces,
    /// Texts that are decoded: the first one's number, where each of them ends, and their bytes.
    first: usize,
    ends: Vec<usize>,
    texts: Vec<u8>,
}

impl WholeTexts<'_> {
    /// Reads the texts `from..to`, in the place of those that were read before.
    pub(crate) fn load(&mut self, from: usize, to: usize) -> Result<()> {
        let to = to.min(self.count);
        match &mut self.form {
            Form::Plain(texts) => texts.load(from, to, self.pages, self.source),
            Form::Coded(coded) => {
                coded.load(from, to, self.pages, self.source)?;
                coded.decode(from, to)
            }
        }
    }

    /// A text of those that were loaded last.
    pub(crate) fn get(&self, index: usize) -> &[u8] {
        match &self.form {
            Form::Plain(texts) => texts.get(index),
            Form::Coded(coded) => coded.get(index),
        }
    }

    /// What the words of texts say about `wanted` things, of which `has` says which ones a word has, a bit each. Nothing
    /// where the texts are not kept as words.
    pub(crate) fn sieve(&self, wanted: u8, has: impl Fn(&str) -> u8) -> Option<Sieve> {
        let Form::Coded(coded) = &self.form else { return None };
        let listed = (0..coded.lexicon.len()).map(|number| coded.lexicon.get(number).map_or(0, &has));
        let listed: Vec<u8> = listed.collect();
        let any = listed.iter().fold(0, |any, has| any | has);
        let firsts = coded.lexicon.firsts(&listed);
        Some(Sieve { wanted, is_void: any != wanted && coded.spelled.bytes.len() == 0, listed, firsts })
    }

    /// Those of the texts `from..to` in which each thing that a sieve wants is in some word.
    pub(crate) fn sift(&mut self, sieve: &Sieve, from: usize, to: usize, has: impl Fn(&str) -> u8) -> Result<Vec<u32>> {
        let (to, mut found) = (to.min(self.count), Vec::new());
        let Form::Coded(coded) = &mut self.form else { return Ok(found) };
        if sieve.is_void {
            return Ok(found);
        }
        coded.load(from, to, self.pages, self.source)?;
        for index in from..to {
            let mut left = coded.lexicon.lacking(sieve, coded.codes.get(index));
            let spelled = coded.spelled.get(index);
            if left != 0 && !spelled.is_empty() {
                left &= !lexicon::spelled(spelled).try_fold(0, |bits, token| Result::Ok(bits | has(token?)))?;
            }
            if left == 0 {
                found.push(index as u32);
            }
        }
        Ok(found)
    }

    /// All texts: where each begins and the last ends, and their bytes.
    pub(super) fn all(mut self) -> Result<(Vec<u32>, Vec<u8>)> {
        self.load(0, self.count)?;
        match self.form {
            Form::Plain(texts) => Ok((texts.starts, texts.bytes.bytes)),
            Form::Coded(coded) if coded.texts.len() != coded.bytes => Err(damaged()),
            Form::Coded(coded) => {
                Ok(([0].into_iter().chain(coded.ends.iter().map(|end| *end as u32)).collect(), coded.texts))
            }
        }
    }
}

/// Which listed words have what is wanted, a bit for each thing.
pub(crate) struct Sieve {
    wanted: u8,
    listed: Vec<u8>,
    /// The same of all words whose code begins with a byte.
    firsts: [u8; 256],
    /// Whether something is in no word at all.
    is_void: bool,
}

impl CodedTexts {
    fn load(&mut self, from: usize, to: usize, pages: &Pages, source: &dyn Source) -> Result<()> {
        self.codes.load(from, to, pages, source)?;
        self.spelled.load(from, to, pages, source)
    }

    fn decode(&mut self, from: usize, to: usize) -> Result<()> {
        self.first = from;
        self.ends.clear();
        self.texts.clear();
        for index in from..to {
            self.lexicon.decode(self.codes.get(index), self.spelled.get(index), &mut self.texts)?;
            if self.texts.len() > self.bytes {
                return Err(damaged());
            }
            self.ends.push(self.texts.len());
        }
        Ok(())
    }

    fn get(&self, index: usize) -> &[u8] {
        let Some(place) = index.checked_sub(self.first) else { return &[] };
        let end = |place: usize| self.ends.get(place).copied();
        let start = place.checked_sub(1).map_or(Some(0), end);
        start.zip(end(place)).and_then(|(start, end)| self.texts.get(start..end)).unwrap_or_default()
    }
}

fn damaged() -> Error {
    Error::corrupt("whole texts are damaged")
}
