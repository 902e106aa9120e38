//! Counts what a search reads, by kind, and what it holds, under everything that reads for it.
//!
//! Invariants
//! * Counting never changes what is read.
use super::cache::ReadCache;
use super::control::Budget;
use super::pages::{Fetched, Source};
use super::partial::Partial;
use crate::error::Result;
use rustc_hash::FxHashSet;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What a search did, for tests, `explain` and graphs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScanStats {
    /// Blocks and batches whose times and services left them.
    pub blocks_considered: u64,
    /// Blocks and batches whose rows were told apart; of the others, counts by shape said enough.
    pub blocks_read: u64,
    /// Questions that a segment's index answered.
    pub index_lookups: u64,
    /// Questions that a straight scan over a shape table answered.
    pub straight_scans: u64,
    /// Groups of whole texts that an index left out.
    pub groups_skipped: u64,
    /// Texts that were looked at as a whole: rebuilt from their shape, or kept whole.
    pub texts_rebuilt: u64,
    /// Segments of which anything was read that was not in memory.
    pub segments_read: u64,
    /// Bytes of indexes, shape tables, block heads and shape lists that were not in memory.
    pub head_bytes: u64,
    /// Bytes of times, sequence numbers, streams and presence.
    pub row_bytes: u64,
    /// Bytes of the shape number of each value.
    pub code_bytes: u64,
    /// Bytes of values: variables, whole texts, numbers.
    pub value_bytes: u64,
    /// Bytes of pages that were in memory, decompressed, and are in none of these.
    pub kept_bytes: u64,
    /// Bytes that indexes, shape tables, block heads and the like take which were in memory, and are in none of these.
    pub kept_head_bytes: u64,
    /// Requests to object storage.
    pub bucket_gets: u64,
    /// Bytes that came from there: more than was read of them, as whole blocks are fetched where much of one is.
    pub bucket_bytes: u64,
}

impl ScanStats {
    /// Bytes that were read, as none of memory had them.
    pub fn read_bytes(&self) -> u64 {
        self.head_bytes + self.row_bytes + self.code_bytes + self.value_bytes
    }
}

/// What bytes are read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Heads,
    Rows,
    Codes,
    Values,
}

/// The counters of one search.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) blocks_considered: AtomicU64,
    pub(crate) blocks_read: AtomicU64,
    pub(crate) index_lookups: AtomicU64,
    pub(crate) straight_scans: AtomicU64,
    pub(crate) groups_skipped: AtomicU64,
    pub(crate) texts_rebuilt: AtomicU64,
    bytes: [AtomicU64; 4],
    kept_bytes: AtomicU64,
    kept_head_bytes: AtomicU64,
    bucket_gets: AtomicU64,
    bucket_bytes: AtomicU64,
    /// The numbers of the segments that were read.
    segments: Mutex<FxHashSet<u64>>,
    /// What bounds the search.
    pub(crate) budget: Budget,
    /// What it leaves out.
    pub(crate) partial: Partial,
}

/// Adds to a counter.
pub(crate) fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

impl Counters {
    pub(crate) fn new(budget: Budget) -> Self {
        Self { budget, ..Self::default() }
    }

    /// The same, which notes there what is left out.
    pub(crate) fn leaving_out(self, partial: Partial) -> Self {
        Self { partial, ..self }
    }

    pub(crate) fn stats(&self) -> ScanStats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let bytes = |kind: Kind| self.bytes.get(kind as usize).map_or(0, get);
        ScanStats {
            blocks_considered: get(&self.blocks_considered),
            blocks_read: get(&self.blocks_read),
            index_lookups: get(&self.index_lookups),
            straight_scans: get(&self.straight_scans),
            groups_skipped: get(&self.groups_skipped),
            texts_rebuilt: get(&self.texts_rebuilt),
            head_bytes: bytes(Kind::Heads),
            row_bytes: bytes(Kind::Rows),
            code_bytes: bytes(Kind::Codes),
            value_bytes: bytes(Kind::Values),
            kept_bytes: get(&self.kept_bytes),
            kept_head_bytes: get(&self.kept_head_bytes),
            bucket_gets: get(&self.bucket_gets),
            bucket_bytes: get(&self.bucket_bytes),
            segments_read: self.segments.lock().unwrap_or_else(PoisonError::into_inner).len() as u64,
        }
    }

    /// The source, counted as reads of a kind, and what is read as held until `held` is dropped.
    pub(crate) fn meter<'a>(&'a self, source: &'a dyn Source, kind: Kind, held: &'a Held<'a>) -> Metered<'a> {
        Metered { source, counters: self, kind, held, kept: None }
    }

    /// Counts what is held from now on, for as long as this is there.
    pub(crate) fn held(&self) -> Held<'_> {
        Held { budget: &self.budget, bytes: AtomicUsize::new(0) }
    }
}

/// Bytes that are held for one part.
pub(crate) struct Held<'a> {
    budget: &'a Budget,
    bytes: AtomicUsize,
}

impl Held<'_> {
    pub(crate) fn add(&self, bytes: usize) -> Result<()> {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.budget.hold(bytes)
    }

    /// Does something of which nothing is held once it is done, by one thread at a time.
    pub(crate) fn passing<T>(&self, work: impl FnOnce() -> T) -> T {
        let before = self.bytes.load(Ordering::Relaxed);
        let done = work();
        let more = self.bytes.load(Ordering::Relaxed).saturating_sub(before);
        self.bytes.fetch_sub(more, Ordering::Relaxed);
        self.budget.release(more);
        done
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.budget.release(self.bytes.load(Ordering::Relaxed));
    }
}

/// A source whose reads are counted.
pub(crate) struct Metered<'a> {
    source: &'a dyn Source,
    counters: &'a Counters,
    kind: Kind,
    held: &'a Held<'a>,
    kept: Option<&'a KeptPages<'a>>,
}

impl<'a> Metered<'a> {
    /// The same, which keeps decompressed pages there and gives them again.
    pub(crate) fn keeping(self, pages: &'a KeptPages<'a>) -> Self {
        Self { kept: Some(pages), ..self }
    }
}

/// Pages of one block that are kept.
const PAGES_MAX: usize = 16;

/// Decompressed pages of a block, by where they begin, for as long as it is looked at; they are given to the cache of all
/// segments as well, for the next query.
pub(crate) struct KeptPages<'a> {
    pages: Mutex<Vec<(u64, Arc<Vec<u8>>)>>,
    held: Held<'a>,
    /// That cache, and the segment's number there.
    shared: Option<(&'a ReadCache, u64)>,
}

impl<'a> KeptPages<'a> {
    /// They count as held by this.
    pub(crate) fn new(held: Held<'a>) -> Self {
        Self { pages: Mutex::default(), held, shared: None }
    }

    /// The same, with the cache of all segments and the segment's number there.
    pub(crate) fn shared(self, cache: &'a ReadCache, segment: u64) -> Self {
        Self { shared: Some((cache, segment)), ..self }
    }

    fn find(&self, offset: u64) -> Option<Arc<Vec<u8>>> {
        {
            let pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((_, page)) = pages.iter().find(|(at, _)| *at == offset) {
                return Some(Arc::clone(page));
            }
        }
        let (cache, segment) = self.shared?;
        let page = cache.page(segment, offset)?;
        // Where there is no memory left for it, whoever reads it instead is told so.
        self.own(offset, &page).ok()?;
        Some(page)
    }

    fn put(&self, offset: u64, page: &Arc<Vec<u8>>) -> Result<()> {
        if self.own(offset, page)?
            && let Some((cache, segment)) = self.shared
        {
            cache.keep_page(segment, offset, page);
        }
        Ok(())
    }

    /// Keeps a page for as long as the block is looked at, if there are not too many; says so.
    fn own(&self, offset: u64, page: &Arc<Vec<u8>>) -> Result<bool> {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let has_room = pages.len() < PAGES_MAX;
        if has_room {
            self.held.add(page.len())?;
            pages.push((offset, Arc::clone(page)));
        }
        Ok(has_room)
    }
}

impl Metered<'_> {
    fn note(&self, fetched: Fetched) {
        if fetched.gets > 0 {
            add(&self.counters.bucket_gets, fetched.gets);
            add(&self.counters.bucket_bytes, fetched.bytes);
        }
    }
}

impl Source for Metered<'_> {
    fn read(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        if let Some(counter) = self.counters.bytes.get(self.kind as usize) {
            add(counter, buf.len() as u64);
        }
        if let Some(segment) = self.source.segment() {
            self.counters.segments.lock().unwrap_or_else(PoisonError::into_inner).insert(segment);
        }
        let fetched = self.source.fetch(offset, buf)?;
        self.note(fetched);
        Ok(())
    }

    fn read_again(&self, offset: u64, buf: &mut [u8], times: u32) -> Result<Option<Fetched>> {
        Ok(self.source.read_again(offset, buf, times)?.inspect(|fetched| self.note(*fetched)))
    }

    fn spared(&self, bytes: usize) {
        add(&self.counters.kept_head_bytes, bytes as u64);
    }

    fn hold(&self, bytes: usize) -> Result<()> {
        self.held.add(bytes)
    }

    fn kept(&self, offset: u64) -> Option<Arc<Vec<u8>>> {
        let page = self.kept?.find(offset)?;
        add(&self.counters.kept_bytes, page.len() as u64);
        Some(page)
    }

    fn keep(&self, offset: u64, page: &Arc<Vec<u8>>) -> Result<()> {
        self.kept.map_or(Ok(()), |kept| kept.put(offset, page))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Reader;
    use crate::segment::pages::{PageCache, PageWriter, Pages, Space};

    #[test]
    fn a_compressed_page_is_read_once_where_pages_are_kept() {
        let (mut writer, mut head) = (PageWriter::default(), Vec::new());
        let raw: Vec<u8> = (0..6_000_000u32).map(|i| (i / 1_000) as u8).collect();
        let stream = writer.put(Space::Codes, &raw);
        let bytes = writer.finish(&mut head);
        let pages = Pages::read(&mut Reader::new(&head), 0).unwrap();
        let read = |kept: Option<&KeptPages<'_>>, to: usize| {
            let counters = Counters::default();
            let held = counters.held();
            let source = counters.meter(&bytes, Kind::Values, &held);
            let source = kept.into_iter().fold(source, Metered::keeping);
            let all = pages.stream(&source, stream).unwrap();
            assert_eq!(all, raw);
            let once = counters.stats().value_bytes;
            assert_eq!(PageCache::new(&pages, &source).bytes(stream, 0, to).unwrap()[..], raw[..to]);
            assert_eq!(counters.stats().kept_bytes > 0, kept.is_some());
            (once, counters.stats().value_bytes)
        };
        let counters = Counters::default();
        let kept = KeptPages::new(counters.held());
        let (once, twice) = read(None, raw.len());
        assert_eq!(twice, 2 * once);
        assert_eq!(read(Some(&kept), 1_000_000), (once, once));
        // No more than so many are kept.
        let (first, second) = read(Some(&kept), raw.len());
        assert!(first < once && first > 0 && second == 2 * first);
        // What one query has read, the next one need not.
        let cache = ReadCache::default();
        let kept = || KeptPages::new(counters.held()).shared(&cache, 7);
        assert_eq!(read(Some(&kept()), 1_000_000), (once, once));
        let (first, second) = read(Some(&kept()), 1_000_000);
        assert!(first < once && first == second);
        let (first, _) = read(Some(&KeptPages::new(counters.held()).shared(&cache, 8)), 1_000_000);
        assert_eq!(first, once);
    }
}
