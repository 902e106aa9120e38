//! What has been read of segments and is worth keeping: shape tables, their indexes, the fronts of row indexes, block
//! heads, slot directories, what comes before whole texts, what shapes say about tests, and a few decompressed pages, all
//! within one budget of bytes. Pages have a part of it to themselves: a scan of everything reads more of them than ever fit,
//! and would push out all else.
//!
//! What was not used since it last came up for eviction goes first (a clock, not an exact order of use), so that a hit
//! takes only a shared lock and many threads can read at once.
//!
//! Invariants
//! * The bytes that the cache owns never pass the budget; whoever holds an entry keeps it alive for longer.
//! * Nothing is loaded under a lock: two threads may load the same thing, and one of them wins.
use super::whole::Part;
use crate::limits::{KIB, MIB};
use rustc_hash::FxHashMap;
use std::any::Any;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// What is kept of a segment. Each is of one type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Item {
    /// The shape table.
    Shapes,
    /// The opened index.
    Index,
    /// A block's head.
    Block(u32),
    /// The slot directory of a lane of a block.
    Directory(u32, u32),
    /// What was opened of a part of the whole texts of a lane of a block.
    Whole(u32, u32, Part),
    /// Where the parts of the index of rows are.
    RowIndex,
    /// What shapes say about a test, by a hash of it.
    Known(u64),
    /// The raw bytes of a compressed page, by where it begins in the file.
    Page(u64),
}

/// The part of the budget that pages have.
const PAGES_SHARE: usize = 4;
/// What a page is counted for beside its bytes.
const PAGE_BYTES: usize = 128;

/// A segment by the number that the cache gave it, and what of it.
type Key = (u64, Item);

struct Entry {
    value: Arc<dyn Any + Send + Sync>,
    bytes: usize,
    used: AtomicBool,
}

#[derive(Default)]
struct Inner {
    entries: FxHashMap<Key, Entry>,
    /// Keys in the order in which they come up for eviction; those of forgotten entries are passed over.
    ring: VecDeque<Key>,
    bytes: usize,
}

/// Entries within a budget.
struct Shelf {
    inner: RwLock<Inner>,
    budget: usize,
}

/// The cache that all segments of an engine share.
pub(crate) struct ReadCache {
    heads: Shelf,
    pages: Shelf,
    /// Shape text up to which a straight scan answers; above it the index does.
    pub(crate) straight_bytes_max: usize,
    next: AtomicU64,
    hits: AtomicU64,
    misses: AtomicU64,
    troubles: Mutex<Vec<String>>,
}

impl Default for ReadCache {
    fn default() -> Self {
        Self::new(64 * MIB, 256 * KIB)
    }
}

impl ReadCache {
    pub(crate) fn new(budget: usize, straight_bytes_max: usize) -> Self {
        let of_pages = budget / PAGES_SHARE;
        Self {
            heads: Shelf { inner: RwLock::default(), budget: budget - of_pages },
            pages: Shelf { inner: RwLock::default(), budget: of_pages },
            straight_bytes_max,
            next: AtomicU64::new(0),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            troubles: Mutex::default(),
        }
    }

    /// A number for a segment that was opened: never the same for two.
    pub(crate) fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// What is kept under a key, or what `load` gives, with the bytes that it takes.
    pub(crate) fn get<T: Any + Send + Sync, E>(
        &self,
        key: Key,
        load: impl FnOnce() -> Result<(T, usize), E>,
    ) -> Result<Arc<T>, E> {
        self.get_noting(key, |_| {}, load)
    }

    /// The same; `spared` hears how many bytes that takes which was kept.
    pub(crate) fn get_noting<T: Any + Send + Sync, E>(
        &self,
        key: Key,
        spared: impl FnOnce(usize),
        load: impl FnOnce() -> Result<(T, usize), E>,
    ) -> Result<Arc<T>, E> {
        if let Some((found, bytes)) = self.heads.find(key) {
            self.hits.fetch_add(1, Ordering::Relaxed);
            spared(bytes);
            return Ok(found);
        }
        self.misses.fetch_add(1, Ordering::Relaxed);
        let (value, bytes) = load()?;
        let value = Arc::new(value);
        self.heads.put(key, Arc::clone(&value) as Arc<dyn Any + Send + Sync>, bytes);
        Ok(value)
    }

    /// The raw bytes of a page of a segment, where they are kept.
    pub(crate) fn page(&self, segment: u64, offset: u64) -> Option<Arc<Vec<u8>>> {
        let found = self.pages.find((segment, Item::Page(offset)));
        let count = if found.is_some() { &self.hits } else { &self.misses };
        count.fetch_add(1, Ordering::Relaxed);
        found.map(|(page, _)| page)
    }

    /// Keeps the raw bytes of a page.
    pub(crate) fn keep_page(&self, segment: u64, offset: u64, page: &Arc<Vec<u8>>) {
        let value = Arc::clone(page) as Arc<dyn Any + Send + Sync>;
        self.pages.put((segment, Item::Page(offset)), value, page.capacity() + PAGE_BYTES);
    }

    /// Forgets a segment.
    pub(crate) fn forget(&self, segment: u64) {
        self.heads.forget(segment);
        self.pages.forget(segment);
    }

    /// Notes damage that was worked around.
    pub(crate) fn trouble(&self, what: String) {
        const KEPT: usize = 100;
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        if troubles.len() < KEPT && !troubles.contains(&what) {
            troubles.push(what);
        }
    }

    /// The damage that was worked around.
    pub(crate) fn troubles(&self) -> Vec<String> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Bytes that are kept.
    pub(crate) fn bytes(&self) -> usize {
        let bytes = |shelf: &&Shelf| shelf.inner.read().unwrap_or_else(PoisonError::into_inner).bytes;
        [&self.heads, &self.pages].iter().map(bytes).sum()
    }

    /// Bytes that may be kept.
    pub(crate) fn budget(&self) -> usize {
        self.heads.budget + self.pages.budget
    }

    /// How often something was there that was looked for, and how often not.
    pub(crate) fn looks(&self) -> (u64, u64) {
        (self.hits.load(Ordering::Relaxed), self.misses.load(Ordering::Relaxed))
    }
}

impl Shelf {
    fn find<T: Any + Send + Sync>(&self, key: Key) -> Option<(Arc<T>, usize)> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        let entry = inner.entries.get(&key)?;
        entry.used.store(true, Ordering::Relaxed);
        Arc::clone(&entry.value).downcast().ok().map(|value| (value, entry.bytes))
    }

    fn put(&self, key: Key, value: Arc<dyn Any + Send + Sync>, bytes: usize) {
        if bytes > self.budget {
            return;
        }
        // Dropped after the lock is given back: freeing a shape table takes a while.
        let mut gone = Vec::new();
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        if inner.entries.contains_key(&key) {
            return;
        }
        while inner.bytes + bytes > self.budget {
            let Some(oldest) = inner.ring.pop_front() else { break };
            match inner.entries.get(&oldest) {
                Some(entry) if entry.used.swap(false, Ordering::Relaxed) => inner.ring.push_back(oldest),
                Some(_) => {
                    if let Some(entry) = inner.entries.remove(&oldest) {
                        inner.bytes -= entry.bytes;
                        gone.push(entry);
                    }
                }
                None => {}
            }
        }
        inner.bytes += bytes;
        inner.entries.insert(key, Entry { value, bytes, used: AtomicBool::new(false) });
        inner.ring.push_back(key);
        drop(inner);
    }

    fn forget(&self, segment: u64) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let inner = &mut *inner;
        inner.ring.retain(|key| key.0 != segment);
        inner.entries.retain(|key, entry| {
            if key.0 == segment {
                inner.bytes -= entry.bytes;
            }
            key.0 != segment
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(cache: &ReadCache, segment: u64, block: u32, bytes: usize) -> (u32, bool) {
        let mut loaded = false;
        let load = || {
            loaded = true;
            Ok::<_, ()>((block, bytes))
        };
        let value = *cache.get((segment, Item::Block(block)), load).unwrap();
        (value, loaded)
    }

    #[test]
    fn what_is_used_stays_within_the_budget() {
        let cache = ReadCache::new(133, 0);
        assert_eq!(get(&cache, 1, 1, 40), (1, true));
        assert_eq!(get(&cache, 1, 2, 40), (2, true));
        assert_eq!(get(&cache, 1, 1, 40), (1, false));
        // 2 was not used since it came; 1 was.
        assert_eq!(get(&cache, 1, 3, 40), (3, true));
        assert_eq!(get(&cache, 1, 1, 40), (1, false));
        assert_eq!(get(&cache, 1, 2, 40), (2, true));
        assert!(cache.bytes() <= 100);
        assert_eq!(cache.looks(), (2, 4));
        assert_eq!(get(&cache, 1, 9, 1_000), (9, true));
        assert_eq!(get(&cache, 1, 9, 1_000), (9, true));
        cache.forget(1);
        assert_eq!(cache.bytes(), 0);
        assert_eq!(get(&cache, 1, 2, 40), (2, true));
        assert!(cache.get((1, Item::Shapes), || Err::<(u8, usize), _>("no")).is_err());
    }

    #[test]
    fn pages_push_out_nothing_but_pages() {
        let cache = ReadCache::new(8_000, 0);
        assert_eq!(get(&cache, 1, 1, 5_000), (1, true));
        let page = Arc::new(vec![7u8; 700]);
        for offset in 0..20 {
            cache.keep_page(1, offset, &page);
        }
        let kept: Vec<u64> = (0..20).filter(|offset| cache.page(1, *offset).is_some()).collect();
        assert_eq!((kept, cache.page(2, 19)), (vec![18, 19], None));
        assert_eq!(get(&cache, 1, 1, 5_000), (1, false));
        assert!(cache.bytes() <= 8_000);
        cache.forget(1);
        assert_eq!((cache.bytes(), cache.page(1, 19)), (0, None));
    }

    #[test]
    fn many_threads_share_it() {
        let cache = ReadCache::new(1_000, 0);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let cache = &cache;
                scope.spawn(move || {
                    for i in 0..2_000u32 {
                        let block = i * (thread + 1) % 37;
                        assert_eq!(get(cache, u64::from(i % 3), block, 50).0, block);
                    }
                });
            }
        });
        assert!(cache.bytes() <= 1_000);
    }
}
