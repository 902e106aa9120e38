//! The texts of a lane that are kept whole: as they are, as codes for their words, or as codes for their lines.
//!
//! Head: `| 0 | lengths | texts |`, or `| 1 | bytes varint | listed | code lengths | codes | spelled lengths | spelled |`,
//! where all but the bytes of all texts are streams and lengths are varints; without anything spelled its lengths are
//! empty. Codes are in [`lexicon`]. Or `| 2 | bytes varint | listed | code lengths | codes | letters varint | holes | kept |`,
//! where holes and kept lines are heads of the first two forms; that is in [`lines`].
//!
//! Invariants
//! * Codes are chosen only where they save a tenth, by what the compressor makes of some pages.
//! * Only those pages of texts and codes are read that hold what is asked for; lengths, and what is listed, as a whole.
mod lexicon;
mod lines;
#[cfg(test)]
mod tests;

use super::pages::{PageWriter, Pages, Partial, Source, Space, Stream, estimate};
use crate::codec::{Reader, put_varint};
use crate::error::{Error, Result};
use crate::limits::KIB;
use crate::segment::slots::Letters;
use lexicon::{Coded, Lexicon};
use lines::{Beside, Lined, LinedTexts};

const PLAIN: u8 = 0;
const CODED: u8 = 1;
const LINED: u8 = 2;

/// Text of a lane from which codes are tried.
const CODED_BYTES_MIN: usize = 4 * KIB;

/// Appends the whole texts of a lane, in their order.
pub(super) fn put(texts: &[&[u8]], pages: &mut PageWriter, head: &mut Vec<u8>) {
    match encode_lines(texts) {
        Some(lined) => put_lined(&lined, texts.iter().map(|text| text.len()).sum(), pages, head),
        None => put_flat(texts, pages, head),
    }
}

/// Texts as lines, where they have several each and most of these come again.
fn encode_lines(texts: &[&[u8]]) -> Option<Lined> {
    let bytes: usize = texts.iter().map(|text| text.len()).sum();
    let breaks = || texts.iter().map(|text| memchr::memchr_iter(b'\n', text).count()).sum::<usize>();
    if bytes < CODED_BYTES_MIN || breaks() < texts.len() {
        return None;
    }
    let texts: Vec<&str> = texts.iter().map(|text| std::str::from_utf8(text).ok()).collect::<Option<_>>()?;
    lines::encode(&texts)
}

/// Appends texts of so many bytes.
fn put_lined(lined: &Lined, bytes: usize, pages: &mut PageWriter, head: &mut Vec<u8>) {
    head.push(LINED);
    put_varint(head, bytes as u64);
    let lengths = varints(&lined.lines.code_lengths);
    pages.put(Space::Text, &lined.lines.listed).put(head);
    pages.put(Space::Codes, &lengths).put(head);
    pages.put(Space::Text, &lined.lines.codes).put(head);
    put_varint(head, u64::from(lined.letters.bits()));
    for texts in [&lined.holes, &lined.kept] {
        put_flat(&texts.iter().map(String::as_bytes).collect::<Vec<_>>(), pages, head);
    }
}

fn varints(lengths: &[usize]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(lengths.len());
    lengths.iter().for_each(|len| put_varint(&mut bytes, *len as u64));
    bytes
}

/// Appends texts as they are or as codes for their words.
fn put_flat(texts: &[&[u8]], pages: &mut PageWriter, head: &mut Vec<u8>) {
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
    let code_lengths = varints(&coded.code_lengths);
    let spelled_lengths = if coded.spelled.is_empty() { Vec::new() } else { varints(&coded.spelled_lengths) };
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
    Lined {
        bytes: usize,
        templates: Stream,
        code_lengths: Stream,
        codes: Stream,
        letters: Letters,
        holes: Box<WholeHead>,
        kept: Box<WholeHead>,
    },
}

impl WholeHead {
    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self> {
        match r.u8()? {
            LINED => Ok(Self::Lined {
                bytes: read_bytes(r)?,
                templates: Stream::read(r)?,
                code_lengths: Stream::read(r)?,
                codes: Stream::read(r)?,
                letters: Letters::from_bits(u32::try_from(r.varint()?).map_err(|_| damaged())?),
                holes: Box::new(Self::read_flat(r.u8()?, r)?),
                kept: Box::new(Self::read_flat(r.u8()?, r)?),
            }),
            form => Self::read_flat(form, r),
        }
    }

    fn read_flat(form: u8, r: &mut Reader<'_>) -> Result<Self> {
        match form {
            PLAIN => Ok(Self::Plain { lengths: Stream::read(r)?, texts: Stream::read(r)? }),
            CODED => Ok(Self::Coded {
                bytes: read_bytes(r)?,
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
            Self::Coded { bytes, .. } | Self::Lined { bytes, .. } => *bytes,
        }
    }

    /// The texts, `count` of them, to be read as they are asked for.
    pub(super) fn open<'a>(&'a self, count: usize, pages: &'a Pages, source: &'a dyn Source) -> Result<WholeTexts<'a>> {
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
                    decoded: Decoded::default(),
                }))
            }
            Self::Lined { bytes, templates, code_lengths, codes, letters, ref holes, ref kept } => {
                Form::Lined(Box::new(LinedTexts {
                    bytes,
                    templates: Lexicon::read(pages.stream(source, templates)?)?,
                    codes: Pieces {
                        starts: starts(code_lengths, count, codes, pages, source)?,
                        bytes: pages.partial(codes)?,
                    },
                    count,
                    pages,
                    source,
                    holes: Beside::new(holes),
                    kept: Beside::new(kept),
                    letters,
                    decoded: Decoded::default(),
                }))
            }
        };
        Ok(WholeTexts { pages, source, count, form })
    }
}

/// How many bytes all texts have.
fn read_bytes(r: &mut Reader<'_>) -> Result<usize> {
    usize::try_from(r.varint()?).ok().filter(|bytes| *bytes < 1 << 32).ok_or_else(damaged)
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
    form: Form<'a>,
}

enum Form<'a> {
    Plain(Pieces),
    Coded(Box<CodedTexts>),
    Lined(Box<LinedTexts<'a>>),
}

struct CodedTexts {
    /// Of all texts.
    bytes: usize,
    lexicon: Lexicon,
    codes: Pieces,
    spelled: Pieces,
    decoded: Decoded,
}

/// Texts that were put together.
#[derive(Default)]
struct Decoded {
    /// The first one's number, where each of them ends, and their bytes.
    first: usize,
    ends: Vec<usize>,
    texts: Vec<u8>,
}

impl Decoded {
    fn begin(&mut self, first: usize) {
        self.first = first;
        self.ends.clear();
        self.texts.clear();
    }

    fn end(&mut self) {
        self.ends.push(self.texts.len());
    }

    fn get(&self, index: usize) -> &[u8] {
        let Some(place) = index.checked_sub(self.first) else { return &[] };
        let end = |place: usize| self.ends.get(place).copied();
        let start = place.checked_sub(1).map_or(Some(0), end);
        start.zip(end(place)).and_then(|(start, end)| self.texts.get(start..end)).unwrap_or_default()
    }

    /// All texts, of so many bytes.
    fn all(self, bytes: usize) -> Result<(Vec<u32>, Vec<u8>)> {
        if self.texts.len() != bytes {
            return Err(damaged());
        }
        Ok(([0].into_iter().chain(self.ends.iter().map(|end| *end as u32)).collect(), self.texts))
    }
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
            Form::Lined(lined) => {
                lined.codes.load(from, to, self.pages, self.source)?;
                lined.decode(from, to)
            }
        }
    }

    /// A text of those that were loaded last.
    pub(crate) fn get(&self, index: usize) -> &[u8] {
        match &self.form {
            Form::Plain(texts) => texts.get(index),
            Form::Coded(coded) => coded.decoded.get(index),
            Form::Lined(lined) => lined.decoded.get(index),
        }
    }

    /// What the words of texts say about `wanted` things, each in one word, of which `has` says which ones a text has, a bit
    /// each, and `may` which ones words of some letters may have. Nothing where the texts are kept as they are.
    pub(crate) fn sieve(&self, wanted: u8, has: impl Fn(&str) -> u8, may: impl Fn(Letters) -> u8) -> Option<Sieve> {
        let mut sieve = match &self.form {
            Form::Plain(_) => return None,
            _ => self.sieve_of(wanted, &has),
        };
        if let (Form::Lined(lined), Some(inner)) = (&self.form, &mut sieve.inner) {
            inner.holes_have = if lined.holes.is_blank() { 0 } else { wanted & may(lined.letters) };
            sieve.possible |= inner.holes_have;
        }
        Some(sieve)
    }

    fn sieve_of(&self, wanted: u8, has: &impl Fn(&str) -> u8) -> Sieve {
        match &self.form {
            Form::Plain(_) => Sieve { possible: wanted, listed: Vec::new(), firsts: [0; 256], inner: None },
            Form::Coded(coded) => {
                let mut sieve = coded.lexicon.sieve(has);
                if coded.spelled.bytes.len() > 0 {
                    sieve.possible = wanted;
                }
                sieve
            }
            Form::Lined(lined) => {
                let mut sieve = lined.templates.sieve(has);
                if !lined.kept.is_blank() {
                    sieve.possible = wanted;
                }
                sieve.inner = Some(Box::new(Inner { wanted, holes_have: wanted, holes: None, kept: None }));
                sieve
            }
        }
    }

    /// Those of the texts `from..to` in which each of the wanted things is in some word.
    pub(crate) fn sift(
        &mut self,
        sieve: &mut Sieve,
        wanted: u8,
        (from, to): (usize, usize),
        has: impl Fn(&str) -> u8,
    ) -> Result<Vec<u32>> {
        let (to, mut found) = (to.min(self.count), Vec::new());
        if sieve.possible & wanted != wanted {
            return Ok(found);
        }
        self.load_codes(from, to)?;
        for index in from..to {
            if self.lacking(sieve, wanted, index, &has)? == 0 {
                found.push(index as u32);
            }
        }
        Ok(found)
    }

    /// Reads what is asked first of the texts `from..to`.
    fn load_codes(&mut self, from: usize, to: usize) -> Result<()> {
        match &mut self.form {
            Form::Plain(texts) => texts.load(from, to, self.pages, self.source),
            Form::Coded(coded) => coded.load(from, to, self.pages, self.source),
            Form::Lined(lined) => lined.codes.load(from, to, self.pages, self.source),
        }
    }

    /// What of `left` is in no word of a text.
    fn lacking(&mut self, sieve: &mut Sieve, mut left: u8, index: usize, has: &impl Fn(&str) -> u8) -> Result<u8> {
        self.load_codes(index, index + 1)?;
        match &mut self.form {
            Form::Plain(texts) => Ok(left & !has(std::str::from_utf8(texts.get(index)).map_err(|_| damaged())?)),
            Form::Coded(coded) => {
                left = coded.lexicon.lacking(sieve, left, coded.codes.get(index));
                let spelled = coded.spelled.get(index);
                if left != 0 && !spelled.is_empty() {
                    left &= !lexicon::spelled(spelled).try_fold(0, |bits, token| Result::Ok(bits | has(token?)))?;
                }
                Ok(left)
            }
            Form::Lined(lined) => lined.lacking(sieve, left, index, has),
        }
    }

    /// All texts: where each begins and the last ends, and their bytes.
    pub(super) fn all(mut self) -> Result<(Vec<u32>, Vec<u8>)> {
        self.load(0, self.count)?;
        match self.form {
            Form::Plain(texts) => Ok((texts.starts, texts.bytes.bytes)),
            Form::Coded(coded) => coded.decoded.all(coded.bytes),
            Form::Lined(lined) => lined.decoded.all(lined.bytes),
        }
    }
}

/// What the words of texts have of what is wanted, a bit for each thing.
pub(crate) struct Sieve {
    /// What may be in some word at all.
    possible: u8,
    /// What each listed word or line has.
    listed: Vec<u8>,
    /// What all of them have whose code begins with a byte.
    firsts: [u8; 256],
    /// What is asked beside the codes of lines.
    inner: Option<Box<Inner>>,
}

struct Inner {
    wanted: u8,
    /// What words with the letters of all holes may have.
    holes_have: u8,
    /// Once they were asked.
    holes: Option<Sieve>,
    kept: Option<Sieve>,
}

impl CodedTexts {
    fn load(&mut self, from: usize, to: usize, pages: &Pages, source: &dyn Source) -> Result<()> {
        self.codes.load(from, to, pages, source)?;
        self.spelled.load(from, to, pages, source)
    }

    fn decode(&mut self, from: usize, to: usize) -> Result<()> {
        let Self { bytes, lexicon, codes, spelled, decoded } = self;
        decoded.begin(from);
        for index in from..to {
            lexicon.decode(codes.get(index), spelled.get(index), &mut decoded.texts)?;
            if decoded.texts.len() > *bytes {
                return Err(damaged());
            }
            decoded.end();
        }
        Ok(())
    }
}

fn damaged() -> Error {
    Error::corrupt("whole texts are damaged")
}
