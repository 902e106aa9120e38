//! What the engine did since it was opened, counted for whoever graphs it.
//!
//! Invariants
//! * Counters only grow. They are counted a batch, a segment or a query at a time, never a row.
//! * What they say is for people: nothing is decided by them.
use super::{Engine, Shared, locked};
use crate::durations::{DurationCounts, Durations};
use crate::env::Space;
use crate::error::{Error, ErrorKind, Result};
use crate::scan::ScanStats;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

/// A count.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Errors by what a caller can do about them.
#[derive(Debug, Default)]
pub(crate) struct ErrorCounts([Count; ErrorKind::ALL.len()]);

impl ErrorCounts {
    fn note(&self, error: &Error) {
        let at = ErrorKind::ALL.iter().position(|kind| *kind == error.kind());
        if let Some(count) = at.and_then(|at| self.0.get(at)) {
            count.add(1);
        }
    }

    fn read(&self) -> Vec<(ErrorKind, u64)> {
        ErrorKind::ALL.into_iter().zip(self.0.iter().map(Count::get)).collect()
    }
}

/// The counters.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    pub(crate) appends: Count,
    pub(crate) rows: Count,
    pub(crate) bytes: Count,
    append_errors: ErrorCounts,
    pub(crate) seals: Durations,
    pub(crate) sealed_rows: Count,
    pub(crate) sealed_bytes: Count,
    pub(crate) rewrites: Durations,
    pub(crate) rewritten_segments: Count,
    pub(crate) rewritten_bytes: Count,
    pub(crate) removed_rows: Count,
    pub(crate) removed_bytes: Count,
    pub(crate) scrubbed_bytes: Count,
    query_errors: ErrorCounts,
    blocks_read: Count,
    bytes_read: Count,
}

impl Activity {
    /// Counts what became of an append.
    pub(crate) fn appended<T>(&self, outcome: Result<T>) -> Result<T> {
        outcome.inspect_err(|error| self.append_errors.note(error))
    }

    /// Counts what became of a query, and what it read.
    pub(crate) fn asked<T>(&self, outcome: Result<T>, stats: impl FnOnce() -> ScanStats) -> Result<T> {
        let stats = stats();
        self.blocks_read.add(stats.blocks_read);
        self.bytes_read.add(stats.read_bytes());
        outcome.inspect_err(|error| self.query_errors.note(error))
    }
}

/// What the engine did since it was opened, and what it is doing.
#[derive(Clone, Debug)]
pub struct ActivityReport {
    /// Appends that were stored.
    pub appends: u64,
    /// Their rows.
    pub rows: u64,
    /// Their bytes, as encoded batches.
    pub bytes: u64,
    /// Appends that failed, by kind.
    pub append_errors: Vec<(ErrorKind, u64)>,
    /// Files of the log that are in use.
    pub wal_files: u64,
    /// Bytes that were written to the log.
    pub wal_bytes_written: u64,
    /// How long each sync of the log took.
    pub wal_syncs: DurationCounts,
    /// Generations in memory.
    pub generations: u64,
    /// How long each seal took.
    pub seals: DurationCounts,
    /// Rows that were sealed.
    pub sealed_rows: u64,
    /// Bytes of the segments that were sealed.
    pub sealed_bytes: u64,
    /// How long each merge, or rewrite without what leaves, took.
    pub rewrites: DurationCounts,
    /// Segments that these replaced.
    pub rewritten_segments: u64,
    /// Bytes of the segments that these wrote.
    pub rewritten_bytes: u64,
    /// Rows that retention removed.
    pub removed_rows: u64,
    /// Bytes that these took.
    pub removed_bytes: u64,
    /// Deletions that are not yet carried out everywhere.
    pub pending_deletions: u64,
    /// Bytes that were read again to find damage.
    pub scrubbed_bytes: u64,
    /// Things that recovery or maintenance found wrong.
    pub troubles: u64,
    /// What is kept of segments.
    pub cache_bytes: u64,
    /// How much may be.
    pub cache_bytes_max: u64,
    /// How often something was there that was looked for.
    pub cache_hits: u64,
    /// How often it was not.
    pub cache_misses: u64,
    /// Queries and searches that failed, by kind.
    pub query_errors: Vec<(ErrorKind, u64)>,
    /// Memory that queries share and have taken.
    pub query_bytes: u64,
    /// Blocks and batches that queries read row by row.
    pub blocks_read: u64,
    /// Bytes that they read for that.
    pub bytes_read: u64,
    /// Room on the disk, where that can be asked.
    pub disk: Option<Space>,
    /// Live queries that follow.
    pub followers: u64,
    /// Rows that these were told they missed.
    pub missed_rows: u64,
}

impl Engine {
    /// What the engine did since it was opened.
    pub fn activity(&self) -> ActivityReport {
        let shared: &Shared = &self.shared;
        let activity = &shared.activity;
        let generations = shared.state.read().unwrap_or_else(PoisonError::into_inner).generations.len();
        let (cache_hits, cache_misses) = shared.cache.looks();
        ActivityReport {
            appends: activity.appends.get(),
            rows: activity.rows.get(),
            bytes: activity.bytes.get(),
            append_errors: activity.append_errors.read(),
            wal_files: shared.files.count(),
            wal_bytes_written: shared.files.bytes_written(),
            wal_syncs: shared.files.syncs.read(),
            generations: generations as u64,
            seals: activity.seals.read(),
            sealed_rows: activity.sealed_rows.get(),
            sealed_bytes: activity.sealed_bytes.get(),
            rewrites: activity.rewrites.read(),
            rewritten_segments: activity.rewritten_segments.get(),
            rewritten_bytes: activity.rewritten_bytes.get(),
            removed_rows: activity.removed_rows.get(),
            removed_bytes: activity.removed_bytes.get(),
            pending_deletions: shared.deletions().len() as u64,
            scrubbed_bytes: activity.scrubbed_bytes.get(),
            troubles: (locked(&shared.troubles).len() + shared.cache.troubles().len()) as u64,
            cache_bytes: shared.cache.bytes() as u64,
            cache_bytes_max: shared.cache.budget() as u64,
            cache_hits,
            cache_misses,
            query_errors: activity.query_errors.read(),
            query_bytes: shared.query_memory.used() as u64,
            blocks_read: activity.blocks_read.get(),
            bytes_read: activity.bytes_read.get(),
            disk: shared.env.space(shared.layout.root()).ok(),
            followers: shared.feed.readers() as u64,
            missed_rows: shared.feed.missed(),
        }
    }
}
