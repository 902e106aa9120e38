//! What is counted while the server runs, for whoever graphs it.
//!
//! Invariants
//! * A counter only grows, and begins at zero with the process.
use crate::ingest::Refused;
use std::sync::atomic::{AtomicU64, Ordering};

/// A count.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Counts so many more.
    pub(crate) fn add(&self, count: u64) {
        if count > 0 {
            self.0.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// The count by now.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Everything that is counted of ingest.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Records that were stored.
    pub(crate) rows_ingested: Counter,
    /// Records that were refused because something is wrong with them.
    pub(crate) rows_rejected: Counter,
    /// Records that were refused because their service had its number of the day.
    pub(crate) rows_over_daily_limit: Counter,
    /// Values that were masked.
    pub(crate) values_masked: Counter,
    /// Values that were dropped.
    pub(crate) values_dropped: Counter,
    /// Requests that were answered from what their `Idempotency-Key` had done before.
    pub(crate) requests_repeated: Counter,
}

impl Counters {
    /// Counts a record that was refused.
    pub(super) fn refuse(&self, fault: &Refused) {
        match fault {
            Refused::Later { .. } => self.rows_over_daily_limit.add(1),
            _ => self.rows_rejected.add(1),
        }
    }
}
