//! What a caller may choose, with defaults that suit a small machine.
use crate::limits::{KIB, MIB};
use std::path::PathBuf;
use std::time::Duration;

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
    /// How long rows accepted with `ack=memory` may stay unwritten.
    pub flush_interval: Duration,
    /// Bytes of one WAL file.
    pub wal_file_bytes: usize,
    /// Days that rows stay where a service says nothing; for ever where there are none.
    pub default_ttl_days: Option<u32>,
    /// Memory for what is kept of segments: shape tables, opened indexes, block heads.
    pub read_cache_bytes: usize,
    /// Shape text of a segment up to which a straight scan answers words; above it the index does.
    pub straight_scan_bytes: usize,
    /// Whether the engine seals and compacts by itself; tests that step it by hand say no.
    pub background: bool,
}

impl Options {
    /// The defaults for this data directory.
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self {
            data: data.into(),
            hot_bytes_max: 256 * MIB,
            append_wait: Duration::from_secs(30),
            seal_rows: 1_000_000,
            seal_bytes: 128 * MIB,
            seal_age: Duration::from_secs(300),
            flush_interval: Duration::from_secs(1),
            wal_file_bytes: crate::limits::WAL_FILE_BYTES,
            default_ttl_days: Some(30),
            read_cache_bytes: 48 * MIB,
            straight_scan_bytes: 256 * KIB,
            background: true,
        }
    }
}
