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
mod opened;
mod sieve;
#[cfg(test)]
mod tests;

use super::pages::{PageWriter, Pages, Partial, Source, Space, Stream, estimate};
use crate::codec::{Reader, put_varint};
use crate::error::{Error, Result};
use crate::limits::KIB;
use crate::segment::slots::Letters;
use lexicon::Coded;
use lines::{Beside, Lined, LinedTexts};
use opened::Run;
pub(crate) use opened::{Afresh, Keeper, Opened, Part};
pub(crate) use sieve::{Sieve, Sought};
use std::sync::Arc;

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
    pub(super) fn open<'a>(
        &'a self,
        count: usize,
        pages: &'a Pages,
        source: &'a dyn Source,
        keeper: &'a dyn Keeper,
    ) -> Result<WholeTexts<'a>> {
        self.open_part(Part::Texts, count, pages, source, keeper)
    }

    fn open_part<'a>(
        &'a self,
        part: Part,
        count: usize,
        pages: &'a Pages,
        source: &'a dyn Source,
        keeper: &'a dyn Keeper,
    ) -> Result<WholeTexts<'a>> {
        let opened = keeper.opened(part, &|| Opened::read(self, count, pages, source))?;
        let codes =
            |stream: Stream| Result::Ok(Pieces { run: Arc::clone(&opened.codes), bytes: pages.partial(stream)? });
        let form = match *self {
            Self::Plain { texts, .. } => Form::Plain(codes(texts)?),
            Self::Coded { bytes, codes: stream, spelled, .. } => Form::Coded(Box::new(CodedTexts {
                bytes,
                codes: codes(stream)?,
                spelled: Pieces { run: Arc::clone(&opened.spelled), bytes: pages.partial(spelled)? },
                opened,
                decoded: Decoded::default(),
            })),
            Self::Lined { bytes, codes: stream, letters, ref holes, ref kept, .. } => {
                Form::Lined(Box::new(LinedTexts {
                    bytes,
                    codes: codes(stream)?,
                    count,
                    pages,
                    source,
                    keeper,
                    holes: Beside::new(holes, Part::Holes),
                    kept: Beside::new(kept, Part::Kept),
                    letters,
                    opened,
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

/// Where each of `count` pieces begins whose lengths are these and which take so many bytes together; the last start is
/// where the last one ends.
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
    run: Arc<Run>,
    /// What was read of them, where not all are there.
    bytes: Partial,
}

impl Pieces {
    fn load(&mut self, from: usize, to: usize, pages: &Pages, source: &dyn Source) -> Result<()> {
        if self.run.all.is_some() {
            return Ok(());
        }
        pages.fill(source, &mut self.bytes, self.run.start(from), self.run.start(to))
    }

    #[inline]
    fn get(&self, index: usize) -> &[u8] {
        let bytes = self.run.all.as_ref().unwrap_or(&self.bytes.bytes);
        bytes.get(self.run.start(index)..self.run.start(index + 1)).unwrap_or_default()
    }

    /// All of them: where each begins and the last ends, and their bytes, which were loaded.
    fn all(self) -> (Vec<u32>, Vec<u8>) {
        (self.run.starts.clone(), self.run.all.clone().unwrap_or(self.bytes.bytes))
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
    opened: Arc<Opened>,
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

    /// What the words of texts say about what is sought. Nothing where the texts are kept as they are.
    pub(crate) fn sieve(&mut self, sought: &Sought<'_>) -> Result<Option<Sieve>> {
        let sieve = self.sieve_of(sought)?;
        let is_of_use = !matches!(self.form, Form::Plain(_)) || sieve.texts.is_some();
        Ok(is_of_use.then_some(sieve))
    }

    fn sieve_of(&mut self, sought: &Sought<'_>) -> Result<Sieve> {
        Ok(match &mut self.form {
            Form::Plain(texts) => {
                let has = |text: &[u8]| std::str::from_utf8(text).map_or(0, sought.has);
                Sieve::default().with_texts(texts.run.sieve(sought, has), sought)
            }
            Form::Coded(coded) if coded.spelled.bytes.len() == 0 => coded.opened.lexicon.sieve(sought),
            Form::Coded(coded) => {
                let has =
                    |piece: &[u8]| lexicon::spelled(piece).flatten().fold(0, |bits, token| bits | (sought.has)(token));
                coded.opened.lexicon.sieve(sought).with_texts(coded.spelled.run.sieve(sought, has), sought)
            }
            Form::Lined(lined) => lined.sieve(sought)?,
        })
    }

    /// Those of the texts `from..to` in which each of the sought things is in some word.
    pub(crate) fn sift(&mut self, sieve: &Sieve, sought: &Sought<'_>, (from, to): (usize, usize)) -> Result<Vec<u32>> {
        let (to, mut found) = (to.min(self.count), Vec::new());
        if sieve.possible & sought.all != sought.all {
            return Ok(found);
        }
        self.load_codes(from, to)?;
        for index in from..to {
            if self.lacking(sieve, sought, sought.all, index)? == 0 {
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

    /// What of `left` is in no word of a text, whose codes were loaded.
    fn lacking(&mut self, sieve: &Sieve, sought: &Sought<'_>, mut left: u8, index: usize) -> Result<u8> {
        match &mut self.form {
            Form::Plain(texts) => match sieve.text(index) {
                Some(bits) => Ok(left & !bits),
                None => Ok(left & !(sought.has)(std::str::from_utf8(texts.get(index)).map_err(|_| damaged())?)),
            },
            Form::Coded(coded) => {
                if left & sieve.listed_have != 0 {
                    left = coded.opened.lacking(sieve, left, index, coded.codes.get(index));
                }
                if let Some(bits) = sieve.text(index) {
                    return Ok(left & !bits);
                }
                let spelled = coded.spelled.get(index);
                if left != 0 && !spelled.is_empty() {
                    left &= !lexicon::spelled(spelled)
                        .try_fold(0, |bits, token| Result::Ok(bits | (sought.has)(token?)))?;
                }
                Ok(left)
            }
            Form::Lined(lined) => lined.lacking(sieve, sought, left, index),
        }
    }

    /// All texts: where each begins and the last ends, and their bytes.
    pub(super) fn all(mut self) -> Result<(Vec<u32>, Vec<u8>)> {
        self.load(0, self.count)?;
        match self.form {
            Form::Plain(texts) => Ok(texts.all()),
            Form::Coded(coded) => coded.decoded.all(coded.bytes),
            Form::Lined(lined) => lined.decoded.all(lined.bytes),
        }
    }
}

impl CodedTexts {
    fn load(&mut self, from: usize, to: usize, pages: &Pages, source: &dyn Source) -> Result<()> {
        self.codes.load(from, to, pages, source)?;
        self.spelled.load(from, to, pages, source)
    }

    fn decode(&mut self, from: usize, to: usize) -> Result<()> {
        let Self { bytes, opened, codes, spelled, decoded } = self;
        decoded.begin(from);
        for index in from..to {
            opened.lexicon.decode(codes.get(index), spelled.get(index), &mut decoded.texts)?;
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
