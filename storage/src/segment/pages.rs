//! A block's bytes as pages: the least that is read, checked and decompressed for a value.
//!
//! A writer puts streams of bytes into spaces. A space is one run of raw bytes that is cut into pages of at most
//! [`PAGE_BYTES_MAX`], or [`DENSE_PAGE_BYTES_MAX`] where they are never compressed; small streams share a page. A stream is
//! known by its space and its range there.
//!
//! Directory, in the block's head: `| pages | per page: space u8, codec u8, stored, raw, crc32 |`.
//!
//! Invariants
//! * Every page carries the crc32 of its stored bytes and its raw length; nothing larger is ever allocated for it.
//! * A page is compressed only where that saves a tenth.
mod cache;
mod writer;

pub(crate) use cache::{Bytes, PageCache};
pub(crate) use writer::{PageWriter, estimate};

use crate::codec::{Reader, put_varint};
use crate::error::{Error, Result};
use crate::limits::{DENSE_PAGE_BYTES_MAX, PAGE_BYTES_MAX};
use std::cell::RefCell;
use std::sync::Arc;

/// Where a stream goes, by what is worth trying on its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Space {
    /// Bits that look random: stored as they are.
    Dense = 0,
    /// Small codes and short strings: compressed quickly.
    Codes = 1,
    /// Texts: compressed well.
    Text = 2,
}

impl Space {
    const ALL: [Self; 3] = [Self::Dense, Self::Codes, Self::Text];

    fn level(self) -> i32 {
        match self {
            Self::Dense => 0,
            Self::Codes => 1,
            Self::Text => 3,
        }
    }

    /// Raw bytes of a page.
    fn page_bytes(self) -> usize {
        match self {
            Self::Dense => DENSE_PAGE_BYTES_MAX,
            Self::Codes | Self::Text => PAGE_BYTES_MAX,
        }
    }
}

/// Where a stream lies in its space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stream {
    pub(crate) space: Space,
    pub(crate) start: usize,
    pub(crate) len: usize,
}

impl Stream {
    pub(crate) fn put(self, head: &mut Vec<u8>) {
        head.push(self.space as u8);
        put_varint(head, self.start as u64);
        put_varint(head, self.len as u64);
    }

    pub(crate) fn read(r: &mut Reader<'_>) -> Result<Self> {
        let bad = || Error::corrupt("a stream's place is damaged");
        let space = *Space::ALL.get(usize::from(r.u8()?)).ok_or_else(bad)?;
        let start = usize::try_from(r.varint()?).map_err(|_| bad())?;
        let len = usize::try_from(r.varint()?).map_err(|_| bad())?;
        start.checked_add(len).filter(|end| *end < 1 << 32).ok_or_else(bad)?;
        Ok(Self { space, start, len })
    }
}

/// What had to be fetched from object storage for a read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fetched {
    /// Requests.
    pub(crate) gets: u64,
    /// Bytes of their answers.
    pub(crate) bytes: u64,
}

/// Where stored bytes come from: a file, a bucket, memory.
pub(crate) trait Source: Send + Sync {
    /// Fills `buf` from `offset`.
    fn read(&self, offset: u64, buf: &mut [u8]) -> Result<()>;

    /// The same, and says what had to be fetched for it.
    fn fetch(&self, offset: u64, buf: &mut [u8]) -> Result<Fetched> {
        self.read(offset, buf).map(|()| Fetched::default())
    }

    /// Fills `buf` anew, because what was read is not what was written; `times` is how often this was asked already. Says whether
    /// there was another way to read it.
    fn read_again(&self, offset: u64, buf: &mut [u8], times: u32) -> Result<Option<Fetched>> {
        let _no_other_way = (offset, buf, times);
        Ok(None)
    }

    /// Asks for memory before it is taken for what is read.
    fn hold(&self, bytes: usize) -> Result<()> {
        let _unbounded = bytes;
        Ok(())
    }

    /// The raw bytes of the compressed page that begins here, where they were kept.
    fn kept(&self, offset: u64) -> Option<Arc<Vec<u8>>> {
        let _none = offset;
        None
    }

    /// The number of the segment that these are bytes of, where they are of one.
    fn segment(&self) -> Option<u64> {
        None
    }

    /// Notes that something did not have to be read: it was kept, and takes so many bytes.
    fn spared(&self, bytes: usize) {
        let _uncounted = bytes;
    }

    /// Keeps the raw bytes of a compressed page for another time, or does not.
    fn keep(&self, offset: u64, page: &Arc<Vec<u8>>) -> Result<()> {
        let _forgotten = (offset, page);
        Ok(())
    }
}

/// Reads what passes a check: as often as there is another way to read it.
pub(super) fn read_sound(
    source: &dyn Source,
    offset: u64,
    buf: &mut [u8],
    check: impl Fn(&[u8]) -> Result<()>,
) -> Result<()> {
    source.read(offset, buf)?;
    let mut times = 0;
    while let Err(e) = check(buf) {
        if source.read_again(offset, buf, times)?.is_none() {
            return Err(e);
        }
        times += 1;
    }
    Ok(())
}

impl Source for Vec<u8> {
    fn read(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let bytes = self.get(start..).and_then(|tail| tail.get(..buf.len()));
        buf.copy_from_slice(bytes.ok_or_else(|| Error::corrupt("a read beyond the end"))?);
        Ok(())
    }
}

/// A page as the directory has it.
struct PageEntry {
    compressed: bool,
    offset: u64,
    stored: usize,
    raw: usize,
    raw_start: usize,
    crc: u32,
}

/// The pages of a block, by what their directory says.
pub(crate) struct Pages {
    pages: Vec<PageEntry>,
    /// The pages of each space, in its order.
    spaces: [Vec<u32>; 3],
}

impl Pages {
    /// Reads a directory; the pages begin at `offset` of the source.
    pub(crate) fn read(r: &mut Reader<'_>, mut offset: u64) -> Result<Self> {
        let bad = || Error::corrupt("a page directory is damaged");
        let n = r.count(8)?;
        let mut raw_ends = [0usize; 3];
        let mut pages = Vec::with_capacity(n);
        let mut spaces: [Vec<u32>; 3] = Default::default();
        for number in 0..n {
            let space = *Space::ALL.get(usize::from(r.u8()?)).ok_or_else(bad)?;
            let compressed = r.u8()? == 1;
            let stored = usize::try_from(r.varint()?).map_err(|_| bad())?;
            let raw = usize::try_from(r.varint()?).map_err(|_| bad())?;
            let crc = r.u32()?;
            if raw > PAGE_BYTES_MAX || stored > raw || (!compressed && stored != raw) {
                return Err(bad());
            }
            let raw_end = raw_ends.get_mut(space as usize).ok_or_else(bad)?;
            pages.push(PageEntry { compressed, offset, stored, raw, raw_start: *raw_end, crc });
            if let Some(own) = spaces.get_mut(space as usize) {
                own.push(number as u32);
            }
            *raw_end += raw;
            offset += stored as u64;
        }
        Ok(Self { pages, spaces })
    }

    /// The numbers of the pages that hold bytes `from..to` of a space.
    fn holding(&self, space: Space, from: usize, to: usize) -> Result<&[u32]> {
        let own = self.spaces.get(space as usize).map_or(&[][..], Vec::as_slice);
        let page = |number: &u32| self.pages.get(*number as usize);
        let first = own.partition_point(|number| page(number).is_some_and(|page| page.raw_start + page.raw <= from));
        let end = own.partition_point(|number| page(number).is_some_and(|page| page.raw_start < to));
        let covered = own.last().and_then(page).is_some_and(|page| page.raw_start + page.raw >= to);
        match own.get(first..end) {
            Some(held) if covered || from >= to => Ok(held),
            _ => Err(Error::corrupt("a stream lies outside its pages")),
        }
    }

    /// Stored bytes of all pages.
    pub(crate) fn stored_bytes(&self) -> u64 {
        self.pages.iter().map(|page| page.stored as u64).sum()
    }

    /// The bytes of a stream, from the pages that hold it.
    pub(crate) fn stream(&self, source: &dyn Source, stream: Stream) -> Result<Vec<u8>> {
        let end = stream.start + stream.len;
        let held = self.holding(stream.space, stream.start, end)?;
        let mut out = Vec::with_capacity(stream.len.min(1 << 22));
        let mut stored = Vec::new();
        for run in self.runs(held) {
            let Some(first) = run.first().and_then(|number| self.pages.get(*number as usize)) else { break };
            let raw = if first.compressed {
                Some(first.raw(source, &mut stored)?)
            } else {
                self.read_run(run, source, &mut stored)?;
                None
            };
            let raw = raw.as_deref().unwrap_or(&stored);
            let from = stream.start.saturating_sub(first.raw_start);
            let to = (end - first.raw_start).min(raw.len());
            out.extend_from_slice(raw.get(from..to).unwrap_or_default());
        }
        if out.len() != stream.len {
            return Err(Error::corrupt("a stream lies outside its pages"));
        }
        Ok(out)
    }

    /// Pages of a space, those together that are read at once: some that lie behind each other as they are, of which no more
    /// is read than the largest page has.
    fn runs<'n>(&self, numbers: &'n [u32]) -> impl Iterator<Item = &'n [u32]> {
        let mut rest = numbers;
        std::iter::from_fn(move || {
            let (mut n, mut bytes) = (0, 0);
            for (i, number) in rest.iter().enumerate() {
                let Some(page) = self.pages.get(*number as usize) else { break };
                bytes += page.stored;
                let is_next = i == 0 || rest.get(i - 1).is_some_and(|before| before + 1 == *number);
                if i > 0 && (page.compressed || !is_next || bytes > PAGE_BYTES_MAX) {
                    break;
                }
                n = i + 1;
                if page.compressed {
                    break;
                }
            }
            let (run, behind) = rest.split_at_checked(n).filter(|(run, _)| !run.is_empty())?;
            rest = behind;
            Some(run)
        })
    }

    /// Reads and checks pages that lie behind each other as they are.
    fn read_run(&self, run: &[u32], source: &dyn Source, stored: &mut Vec<u8>) -> Result<()> {
        let pages = || run.iter().filter_map(|number| self.pages.get(*number as usize));
        let (Some(first), bytes) = (pages().next(), pages().map(|page| page.stored).sum()) else { return Ok(()) };
        source.hold(bytes)?;
        stored.clear();
        stored.resize(bytes, 0);
        read_sound(source, first.offset, stored, |mut rest| {
            for page in pages() {
                let (own, behind) = rest.split_at_checked(page.stored).unwrap_or_default();
                page.check(own)?;
                rest = behind;
            }
            Ok(())
        })
    }

    /// A stream of which only those pages will be read that are asked for.
    pub(crate) fn partial(&self, stream: Stream) -> Result<Partial> {
        let held = self.holding(stream.space, stream.start, stream.start + stream.len)?;
        Ok(Partial { stream, unread: held.to_vec(), bytes: Vec::new() })
    }

    /// Reads the pages that hold a range of a partial stream, so that these bytes of it are right.
    pub(crate) fn fill(&self, source: &dyn Source, partial: &mut Partial, from: usize, to: usize) -> Result<()> {
        let Partial { stream, unread, bytes } = partial;
        if unread.is_empty() || from >= to {
            return Ok(());
        }
        bytes.resize(stream.len, 0);
        let (from, to) = (stream.start + from, stream.start + to.min(stream.len));
        let start =
            unread.partition_point(|i| self.pages.get(*i as usize).is_some_and(|p| p.raw_start + p.raw <= from));
        let end = unread.partition_point(|i| self.pages.get(*i as usize).is_some_and(|p| p.raw_start < to));
        if start >= end {
            return Ok(());
        }
        let mut stored = Vec::new();
        for page in unread.drain(start..end).filter_map(|i| self.pages.get(i as usize)) {
            let raw = page.load(source, &mut stored)?;
            let skipped = stream.start.saturating_sub(page.raw_start);
            let at = (page.raw_start + skipped).saturating_sub(stream.start);
            let len = (page.raw - skipped).min(stream.len - at);
            let raw = raw.as_deref().unwrap_or(&stored).get(skipped..skipped + len);
            if let (Some(raw), Some(to)) = (raw, bytes.get_mut(at..at + len)) {
                to.copy_from_slice(raw);
            }
        }
        Ok(())
    }

    /// Bytes that the directory takes in memory.
    pub(crate) fn memory(&self) -> usize {
        self.pages.len() * (size_of::<PageEntry>() + 4)
    }

    /// Checks the stored bytes of every page.
    pub(crate) fn check(&self, source: &dyn Source) -> Result<()> {
        let mut stored = Vec::new();
        self.pages.iter().try_for_each(|page| page.read(source, &mut stored))
    }

    /// Reads every page and checks it.
    pub(crate) fn verify(&self, source: &dyn Source) -> Result<()> {
        let mut stored = Vec::new();
        for page in &self.pages {
            page.load(source, &mut stored)?;
        }
        Ok(())
    }
}

/// A stream with some of its pages read; the bytes of the others are zero.
pub(crate) struct Partial {
    stream: Stream,
    /// Numbers of the pages that were not read yet, ascending.
    unread: Vec<u32>,
    /// Nothing before the first page is read.
    pub(crate) bytes: Vec<u8>,
}

impl Partial {
    /// How long the stream is.
    pub(crate) fn len(&self) -> usize {
        self.stream.len
    }
}

thread_local! {
    static DECOMPRESSOR: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

fn decompress(stored: &[u8], raw: usize) -> std::io::Result<Vec<u8>> {
    DECOMPRESSOR.with_borrow_mut(|decompressor| match decompressor {
        Some(decompressor) => decompressor.decompress(stored, raw),
        none => none.insert(zstd::bulk::Decompressor::new()?).decompress(stored, raw),
    })
}

impl PageEntry {
    fn read(&self, source: &dyn Source, stored: &mut Vec<u8>) -> Result<()> {
        source.hold(self.raw)?;
        stored.clear();
        stored.resize(self.stored, 0);
        read_sound(source, self.offset, stored, |stored| self.check(stored))
    }

    fn check(&self, stored: &[u8]) -> Result<()> {
        if crc32fast::hash(stored) != self.crc {
            return Err(Error::corrupt(format!("the page at byte {} fails its checksum", self.offset)));
        }
        Ok(())
    }

    /// The raw bytes, which are kept where they had to be decompressed and the source keeps some.
    fn raw(&self, source: &dyn Source, stored: &mut Vec<u8>) -> Result<Arc<Vec<u8>>> {
        if let Some(kept) = source.kept(self.offset).filter(|_| self.compressed) {
            return Ok(kept);
        }
        match self.load(source, stored)? {
            Some(raw) => {
                let raw = Arc::new(raw);
                source.keep(self.offset, &raw)?;
                Ok(raw)
            }
            None => Ok(Arc::new(std::mem::take(stored))),
        }
    }

    /// The raw bytes; nothing where they are the stored ones, which are in `stored` in any case.
    fn load(&self, source: &dyn Source, stored: &mut Vec<u8>) -> Result<Option<Vec<u8>>> {
        self.read(source, stored)?;
        if !self.compressed {
            return Ok(None);
        }
        let raw = decompress(stored, self.raw)
            .map_err(|e| Error::corrupt(format!("the page at byte {} cannot be decompressed: {e}", self.offset)))?;
        if raw.len() != self.raw {
            return Err(Error::corrupt(format!("the page at byte {} has another length than it says", self.offset)));
        }
        Ok(Some(raw))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_come_back_and_damage_is_found() {
        let mut writer = PageWriter::default();
        let long: Vec<u8> = (0..200_000u32).flat_map(|i| (i / 7).to_le_bytes()).collect();
        let inputs: Vec<(Space, &[u8])> = vec![
            (Space::Text, b"hello"),
            (Space::Dense, &long),
            (Space::Codes, &long),
            (Space::Text, b""),
            (Space::Dense, b"x"),
        ];
        let streams: Vec<Stream> = inputs.iter().map(|(space, bytes)| writer.put(*space, bytes)).collect();
        let mut head = Vec::new();
        let bytes = writer.finish(&mut head);
        let pages = Pages::read(&mut Reader::new(&head), 0).unwrap();
        assert_eq!(pages.stored_bytes(), bytes.len() as u64);
        for (stream, (_, expected)) in streams.iter().zip(&inputs) {
            assert_eq!(pages.stream(&bytes, *stream).unwrap(), *expected);
        }
        for (stream, (_, expected)) in streams.iter().zip(&inputs) {
            let mut partial = pages.partial(*stream).unwrap();
            for (from, to) in [(150_000, 150_004), (70_000, 200_000), (799_999, 800_000), (0, 5), (7, 3)] {
                let (from, to) = (from.min(expected.len()), to.min(expected.len()));
                pages.fill(&bytes, &mut partial, from, to).unwrap();
                if from < to {
                    assert_eq!(partial.bytes[from..to], expected[from..to]);
                }
            }
        }
        let mut cache = PageCache::new(&pages, &bytes);
        for (stream, (_, expected)) in streams.iter().zip(&inputs) {
            for (from, to) in [(150_000, 150_004), (65_535, 65_537), (0, 800_000), (799_999, 800_000), (0, 5), (3, 3)] {
                let (from, to) = (from.min(expected.len()), to.min(expected.len()));
                assert_eq!(cache.bytes(*stream, from, to).unwrap()[..], expected[from..to]);
            }
            assert!(cache.bytes(*stream, 0, expected.len() + 1).is_err());
        }
        for at in (0..bytes.len()).step_by(1_001) {
            let mut bad = bytes.clone();
            bad[at] ^= 4;
            assert!(pages.verify(&bad).is_err());
        }
        let beyond = Stream { space: Space::Text, start: 3, len: 1 << 30 };
        assert!(pages.stream(&bytes, beyond).is_err());
        assert!(pages.partial(beyond).is_err());
    }
}
