//! What was worked out about the shapes of a generation and is worth keeping while it grows: what they say about tests.
//!
//! Invariants
//! * What is kept never takes more than a bound, and what came first goes first.
//! * What is kept of a table holds for every longer one of the same generation, as far as it goes.
use crate::limits::{KIB, MIB};
use std::any::Any;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes that are kept of one generation, and what each entry is counted for beside its own.
const KNOWN_BYTES_MAX: usize = MIB;
const ENTRY_BYTES: usize = KIB;

struct Entry {
    key: u64,
    bytes: usize,
    value: Arc<dyn Any + Send + Sync>,
}

/// What is known of a generation.
#[derive(Default)]
pub(crate) struct Known {
    entries: Mutex<VecDeque<Entry>>,
}

impl Known {
    /// What is kept under a key.
    pub(crate) fn find<T: Any + Send + Sync>(&self, key: u64) -> Option<Arc<T>> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.iter().find(|entry| entry.key == key)?;
        Arc::clone(&entry.value).downcast().ok()
    }

    /// Keeps a value of so many bytes, in the place of what was kept under the key.
    pub(crate) fn put(&self, key: u64, value: Arc<dyn Any + Send + Sync>, bytes: usize) {
        let bytes = bytes + ENTRY_BYTES;
        if bytes > KNOWN_BYTES_MAX {
            return;
        }
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|entry| entry.key != key);
        let mut total: usize = entries.iter().map(|entry| entry.bytes).sum();
        while total + bytes > KNOWN_BYTES_MAX {
            let Some(first) = entries.pop_front() else { break };
            total -= first.bytes;
        }
        entries.push_back(Entry { key, bytes, value });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded_and_the_first_goes_first() {
        let known = Known::default();
        let each = KNOWN_BYTES_MAX / 4 - ENTRY_BYTES;
        (0..4u64).for_each(|key| known.put(key, Arc::new(key * 10), each));
        assert_eq!((known.find::<u64>(0).as_deref(), known.find::<u64>(3).as_deref()), (Some(&0), Some(&30)));
        assert!(known.find::<u32>(3).is_none());
        known.put(1, Arc::new(11u64), each);
        known.put(9, Arc::new(90u64), each);
        let kept: Vec<u64> = (0..10).filter(|key| known.find::<u64>(*key).is_some()).collect();
        assert_eq!((kept, known.find::<u64>(1).as_deref()), (vec![1, 2, 3, 9], Some(&11)));
        known.put(5, Arc::new(5u64), KNOWN_BYTES_MAX);
        assert!(known.find::<u64>(5).is_none() && known.find::<u64>(9).is_some());
    }
}
