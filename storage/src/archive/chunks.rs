//! Bytes of blocks that were fetched from object storage, within a budget.
//!
//! Invariants
//! * What was not used since it last came up for eviction goes first.
//! * Nothing is fetched under the lock.
use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A block: its segment's number and its own there.
pub(super) type Key = (u64, u32);

#[derive(Default)]
struct Entry {
    /// Parts of the block, each with where it begins in the file. One that holds the whole block is the only one.
    parts: Vec<(u64, Arc<Vec<u8>>)>,
    /// How often something was fetched for it.
    fetches: u32,
    used: bool,
}

impl Entry {
    fn bytes(&self) -> usize {
        self.parts.iter().map(|(_, part)| part.len()).sum()
    }
}

#[derive(Default)]
struct Inner {
    entries: FxHashMap<Key, Entry>,
    ring: VecDeque<Key>,
    bytes: usize,
}

/// The blocks of all segments.
pub(crate) struct Chunks {
    inner: Mutex<Inner>,
    budget: usize,
}

impl Chunks {
    pub(crate) fn new(budget: usize) -> Self {
        Self { inner: Mutex::default(), budget }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fills a buffer with what is kept; says whether it was, and how often something was fetched for the block before.
    pub(super) fn fill(&self, key: Key, offset: u64, buf: &mut [u8]) -> (bool, u32) {
        let mut inner = self.inner();
        let Some(entry) = inner.entries.get_mut(&key) else { return (false, 0) };
        entry.used = true;
        let held = entry.parts.iter().find_map(|(start, part)| {
            let from = usize::try_from(offset.checked_sub(*start)?).ok()?;
            part.get(from..from.checked_add(buf.len())?)
        });
        if let Some(held) = held {
            buf.copy_from_slice(held);
        }
        (held.is_some(), entry.fetches)
    }

    /// Keeps a part of a block; with `whole` it takes the place of all others.
    pub(super) fn keep(&self, key: Key, start: u64, part: Vec<u8>, whole: bool) {
        let mut gone = Vec::new();
        let mut inner = self.inner();
        let inner = &mut *inner;
        let is_new = !inner.entries.contains_key(&key);
        let entry = inner.entries.entry(key).or_default();
        inner.bytes -= entry.bytes();
        if whole {
            gone.append(&mut entry.parts);
        }
        entry.parts.push((start, Arc::new(part)));
        entry.fetches = entry.fetches.saturating_add(1);
        entry.used = true;
        inner.bytes += entry.bytes();
        if is_new {
            inner.ring.push_back(key);
        }
        while inner.bytes > self.budget {
            let Some(oldest) = inner.ring.pop_front() else { break };
            let was_used = inner.entries.get_mut(&oldest).is_some_and(|entry| std::mem::take(&mut entry.used));
            if was_used && !inner.ring.is_empty() {
                inner.ring.push_back(oldest);
            } else if let Some(entry) = inner.entries.remove(&oldest) {
                inner.bytes -= entry.bytes();
                gone.extend(entry.parts);
            }
        }
    }

    /// Forgets the blocks of a segment.
    pub(crate) fn forget(&self, segment: u64) {
        let mut inner = self.inner();
        let inner = &mut *inner;
        inner.ring.retain(|key| key.0 != segment);
        inner.entries.retain(|key, entry| {
            let stays = key.0 != segment;
            if !stays {
                inner.bytes -= entry.bytes();
            }
            stays
        });
    }

    /// Forgets a block.
    pub(super) fn forget_block(&self, key: Key) {
        let mut inner = self.inner();
        if let Some(entry) = inner.entries.remove(&key) {
            inner.bytes -= entry.bytes();
            inner.ring.retain(|other| *other != key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_stays_within_the_budget_and_is_found_again() {
        let chunks = Chunks::new(100);
        let mut buf = [0; 10];
        assert_eq!(chunks.fill((1, 0), 0, &mut buf), (false, 0));
        chunks.keep((1, 0), 50, (0..40).collect(), false);
        assert_eq!(chunks.fill((1, 0), 55, &mut buf), (true, 1));
        assert_eq!(buf[..3], [5, 6, 7]);
        // What lies across its end is not there.
        assert_eq!(chunks.fill((1, 0), 85, &mut buf), (false, 1));
        chunks.keep((1, 0), 40, (0..60).collect(), true);
        assert_eq!(chunks.inner().bytes, 60);
        assert_eq!(chunks.fill((1, 0), 45, &mut buf), (true, 2));
        chunks.keep((2, 0), 0, vec![7; 30], false);
        assert_eq!(chunks.inner().bytes, 90);
        chunks.keep((3, 0), 0, vec![8; 50], false);
        assert!(chunks.inner().bytes <= 100);
        assert!(chunks.fill((3, 0), 0, &mut buf).0);
        chunks.forget(3);
        assert!(!chunks.fill((3, 0), 0, &mut buf).0);
        // A part larger than the budget is not kept.
        chunks.keep((4, 0), 0, vec![9; 101], false);
        assert!(chunks.inner().bytes <= 100);
    }
}
