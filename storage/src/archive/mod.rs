//! Segments in object storage: copies that can outlive the machine, and rows that are searched where they lie.
//!
//! A sealed segment is one file, and becomes one object. [`bucket`] is what is asked of a target, [`store`] how OpenDAL does it;
//! [`cold`] reads segments whose files are there alone. When what is offloaded, evicted and restored is the engine's business.
//!
//! Invariants
//! * OpenDAL is imported in `store.rs` and `store/` only; the query never imports this folder.
//! * Nothing here decides what is removed from this disk.
mod bucket;
mod chunks;
mod cold;
mod manifest;
mod names;
mod owner;
mod prefixed;
mod reach;
mod shelf;
pub mod sim;
mod store;

pub use bucket::{Bucket, Bytes, Listed, Put};
pub(crate) use chunks::Chunks;
pub(crate) use cold::{ColdFile, Copy, Shared as ColdShared, heads, kept, to_keep};
pub(crate) use manifest::{
    AWAITED_MAX, Head, MANIFEST_BYTES_MAX, MANIFESTS, Manifest, manifest_number, manifest_object,
};
pub(crate) use names::{SEGMENTS, segment_object};
pub(crate) use owner::{Claim, OWNER, OWNER_BYTES_MAX, Owner};
pub use prefixed::Prefixed;
pub(crate) use reach::Reach;
pub(crate) use shelf::Shelf;
pub use store::{S3Access, Store, StoreLimits, runtime};

use crate::error::{Error, Result};
use crate::limits::MIB;
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
    /// Bytes of segments that wait to be copied; where there are more, none waits any longer.
    pub offload_bytes: u64,
    /// How old records may become that are on this disk alone; for ever where nothing is said.
    pub max_loss: Option<Duration>,
    /// Bytes a second that are sent, at most; without a bound where nothing is said.
    pub bytes_per_second: Option<u64>,
    /// Segments that are sent at once, where somebody waits for it and no bound of bytes a second holds.
    pub at_once: usize,
    /// How long an object stays that nothing needs any more.
    pub grace: Duration,
}

impl Target {
    /// A target with what suits most.
    pub fn new(name: &str, bucket: Arc<dyn Bucket>) -> Self {
        Self {
            name: name.to_owned(),
            bucket,
            offload_after: Duration::from_secs(600),
            offload_bytes: 256 * MIB as u64,
            max_loss: None,
            bytes_per_second: None,
            at_once: 1,
            grace: Duration::from_secs(3_600),
        }
    }

    /// Refuses what would have no meaning.
    pub(crate) fn check(&self) -> Result<()> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if self.name.is_empty() || self.name.len() > 64 || !self.name.chars().all(is_plain) {
            let message =
                format!("a target of the archive is called {:?}: use 1 to 64 letters, digits, - and _", self.name);
            return Err(Error::invalid(message));
        }
        Ok(())
    }
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
