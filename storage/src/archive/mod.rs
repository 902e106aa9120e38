//! Segments in object storage: copies that can outlive the machine, and rows that are searched where they lie.
//!
//! A sealed segment is one file, and becomes one object. [`bucket`] is what is asked of a target, [`store`] how OpenDAL does it;
//! [`cold`] reads segments whose files are there alone. When what is offloaded, evicted and restored is the engine's business.
//!
//! Invariants
//! * OpenDAL is imported in `store.rs` only; the query never imports this folder.
//! * Nothing here decides what is removed from this disk.
mod bucket;
mod chunks;
mod cold;
mod names;
mod shelf;
pub mod sim;
mod store;

pub use bucket::{Bucket, Bytes, Listed, Put};
pub(crate) use chunks::Chunks;
pub(crate) use cold::{ColdFile, Copy, Shared as ColdShared, kept, to_keep};
pub(crate) use names::segment_object;
pub(crate) use shelf::Shelf;
pub use store::{S3Access, Store, StoreLimits, runtime};

use crate::segment::Fetched;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A place that segments go to.
#[derive(Clone, Debug)]
pub struct Target {
    /// What the catalog calls it: a target keeps its name for as long as anything is in it.
    pub name: String,
    /// The place.
    pub bucket: Arc<dyn Bucket>,
    /// How long after it was sealed a segment is copied.
    pub offload_after: Duration,
    /// How old records may become that are on this disk alone; for ever where nothing is said.
    pub max_loss: Option<Duration>,
    /// Bytes a second that are sent, at most; without a bound where nothing is said.
    pub bytes_per_second: Option<u64>,
}

/// What was fetched from object storage.
#[derive(Default)]
pub(crate) struct Traffic {
    gets: AtomicU64,
    bytes: AtomicU64,
}

impl Traffic {
    pub(crate) fn note(&self, fetched: Fetched) {
        self.gets.fetch_add(fetched.gets, Ordering::Relaxed);
        self.bytes.fetch_add(fetched.bytes, Ordering::Relaxed);
    }

    /// Requests and bytes.
    pub(crate) fn sums(&self) -> (u64, u64) {
        (self.gets.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }
}
