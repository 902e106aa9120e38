//! What a caller may choose, with defaults that suit a small machine.
//!
//! Invariants
//! * With the defaults two generations of `seal_bytes` fit into `hot_bytes_max`: one can fill up while another is sealed.
use crate::archive::Target;
use crate::limits::{KIB, MIB};
use std::path::PathBuf;
use std::time::Duration;

/// How much of the disk may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskBudget {
    /// This many hundredths of the file system, whoever uses them.
    Percent(u8),
    /// This many bytes under the data directory.
    Bytes(u64),
}

/// What happens when the disk budget is used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// Appends are refused until there is room.
    #[default]
    Refuse,
    /// The oldest sealed segments go, where all their services have a time to live.
    DropOldest,
}

/// Choices for an engine. Plain data; the environment comes apart from it.
#[derive(Clone, Debug)]
pub struct Options {
    /// The data directory.
    pub data: PathBuf,
    /// Memory for rows that are not sealed yet; appends wait when it is full.
    pub hot_bytes_max: usize,
    /// How long an append waits for memory before it is refused.
    pub append_wait: Duration,
    /// Rows after which a generation is sealed.
    pub seal_rows: usize,
    /// Bytes in memory after which a generation is sealed.
    pub seal_bytes: usize,
    /// Age after which a generation is sealed.
    pub seal_age: Duration,
    /// Rows from which a block is copied as it is when its segment is written anew; smaller ones are encoded again.
    pub copy_rows_min: usize,
    /// How long rows accepted with `ack=memory` may stay unwritten.
    pub flush_interval: Duration,
    /// Bytes of one WAL file.
    pub wal_file_bytes: usize,
    /// Days that rows stay where a service says nothing; for ever where there are none.
    pub default_ttl_days: Option<u32>,
    /// Memory for what is kept of segments: shape tables, opened indexes, block heads, and with a quarter of it pages.
    pub read_cache_bytes: usize,
    /// Shape text of a segment up to which a straight scan answers words; above it the index does.
    pub straight_scan_bytes: usize,
    /// Memory that one query or search may take; over it, it ends with an error.
    pub query_bytes_max: usize,
    /// Memory that all of them may take together.
    pub queries_bytes_max: usize,
    /// Batches that wait for live queries; one that is slower misses rows.
    pub live_batches_max: usize,
    /// Memory for batches that wait for live queries, however many these are.
    pub live_bytes_max: usize,
    /// Threads that searches may use in all, each its caller's among them; as many as there are cores where nothing is
    /// said.
    pub scan_threads: Option<usize>,
    /// How much of the disk may be used; all of it where nothing is said.
    pub disk_budget: Option<DiskBudget>,
    /// What happens when that is used up.
    pub when_full: WhenFull,
    /// Bytes a second that the worker reads and writes to merge, to carry out deletions and to remove what is past its life.
    /// Whoever asks for one of these is not bound by it.
    pub maintenance_bytes_per_second: u64,
    /// Bytes a second of these that the scrubber reads.
    pub scrub_bytes_per_second: u64,
    /// How long after the scrubber began with the first segment it begins anew.
    pub scrub_every: Duration,
    /// Where sealed segments are copied to; the first is the primary one.
    pub archive: Vec<Target>,
    /// Memory for parts of segments that were fetched from there.
    pub cold_cache_bytes: usize,
    /// Bytes of this disk for what finds things in segments whose files are there alone.
    pub cold_index_bytes: u64,
    /// Whether the engine seals and compacts by itself; tests that step it by hand say no.
    pub background: bool,
}

impl Options {
    /// The defaults for this data directory.
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self {
            data: data.into(),
            hot_bytes_max: 128 * MIB,
            append_wait: Duration::from_secs(30),
            seal_rows: 1_000_000,
            seal_bytes: 64 * MIB,
            seal_age: Duration::from_secs(300),
            copy_rows_min: 16_384,
            flush_interval: Duration::from_secs(1),
            wal_file_bytes: crate::limits::WAL_FILE_BYTES,
            default_ttl_days: Some(30),
            read_cache_bytes: 64 * MIB,
            straight_scan_bytes: 256 * KIB,
            query_bytes_max: 256 * MIB,
            queries_bytes_max: 512 * MIB,
            live_batches_max: 4_096,
            live_bytes_max: 32 * MIB,
            scan_threads: None,
            disk_budget: None,
            when_full: WhenFull::default(),
            // A burst of 600,000 rows a second makes 27 MB of segments, which are read and written once more or not at all.
            maintenance_bytes_per_second: 64 * MIB as u64,
            scrub_bytes_per_second: 4 * MIB as u64,
            scrub_every: Duration::from_secs(7 * 86_400),
            archive: Vec::new(),
            cold_cache_bytes: 64 * MIB,
            cold_index_bytes: 2 << 30,
            background: true,
        }
    }
}
