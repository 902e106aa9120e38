//! Which segments in the archive have their shapes and indexes on this disk, within a budget of bytes.
//!
//! Invariants
//! * What was used longest ago goes first, and never what was just put there.
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

#[derive(Clone, Copy)]
struct Kept {
    bytes: u64,
    used: u64,
    /// Whether it was compared with its checksum since the start.
    is_sound: bool,
}

#[derive(Default)]
struct Inner {
    kept: BTreeMap<u64, Kept>,
    clock: u64,
    bytes: u64,
}

impl Inner {
    /// Counts one that took the place of another one, where there was one.
    fn count(&mut self, before: Option<Kept>, bytes: u64) {
        self.bytes = self.bytes + bytes - before.map_or(0, |before| before.bytes);
    }
}

/// What is kept, by segment.
pub(crate) struct Shelf {
    inner: Mutex<Inner>,
    budget: u64,
}

impl Shelf {
    pub(crate) fn new(budget: u64) -> Self {
        Self { inner: Mutex::default(), budget }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes one that a start found.
    pub(super) fn found(&self, id: u64, bytes: u64) {
        let mut inner = self.inner();
        let before = inner.kept.insert(id, Kept { bytes, used: 0, is_sound: false });
        inner.count(before, bytes);
    }

    /// Whether one is here and was found to be sound; it was used then.
    pub(super) fn is_sound(&self, id: u64) -> bool {
        let mut inner = self.inner();
        inner.clock += 1;
        let now = inner.clock;
        inner.kept.get_mut(&id).is_some_and(|kept| {
            kept.used = now;
            kept.is_sound
        })
    }

    /// Whether one is here.
    pub(super) fn has(&self, id: u64) -> bool {
        self.inner().kept.contains_key(&id)
    }

    /// Notes one that is here and sound. Gives those that have to go.
    pub(crate) fn put(&self, id: u64, bytes: u64) -> Vec<u64> {
        let mut inner = self.inner();
        inner.clock += 1;
        let used = inner.clock;
        let before = inner.kept.insert(id, Kept { bytes, used, is_sound: true });
        inner.count(before, bytes);
        let mut gone = Vec::new();
        while inner.bytes > self.budget {
            let others = inner.kept.iter().filter(|(other, _)| **other != id);
            let Some((oldest, bytes)) = others.min_by_key(|(_, kept)| kept.used).map(|(id, kept)| (*id, kept.bytes))
            else {
                break;
            };
            inner.kept.remove(&oldest);
            inner.bytes -= bytes;
            gone.push(oldest);
        }
        gone
    }

    /// Forgets one.
    pub(crate) fn forget(&self, id: u64) {
        let mut inner = self.inner();
        if let Some(kept) = inner.kept.remove(&id) {
            inner.bytes -= kept.bytes;
        }
    }

    /// Bytes that are here.
    pub(crate) fn bytes(&self) -> u64 {
        self.inner().bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_longest_ago_goes() {
        let shelf = Shelf::new(100);
        shelf.found(1, 40);
        shelf.found(2, 40);
        assert!(!shelf.is_sound(1));
        assert!(shelf.put(1, 40).is_empty());
        assert!(shelf.is_sound(1));
        assert_eq!(shelf.put(3, 50), vec![2]);
        assert_eq!(shelf.bytes(), 90);
        assert!(shelf.is_sound(1));
        // One that is larger than all may stay until the next one comes.
        assert_eq!(shelf.put(4, 200), vec![3, 1]);
        assert_eq!(shelf.put(5, 10), vec![4]);
        shelf.forget(5);
        assert_eq!(shelf.bytes(), 0);
    }
}
