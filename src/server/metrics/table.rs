//! Every metric: its name, its kind, its labels, and what it says. docs/metrics.md is made of this.
//!
//! Invariant: what is not here is not shown, and what is here is always shown, if only by its name.

/// What its values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only grows, from the start of the process on.
    Counter,
    /// What is now.
    Gauge,
    /// Durations in seconds, counted in steps.
    Histogram,
}

impl Kind {
    /// Its name in the text.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A metric.
#[derive(Debug)]
pub(super) struct Metric {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    #[cfg_attr(not(test), expect(dead_code, reason = "shown by the reference only, which tests make"))]
    pub(super) labels: &'static [&'static str],
    help: &'static str,
}

impl Metric {
    /// What it says, without the full stop.
    pub(super) fn help(&self) -> &'static str {
        self.help.trim().trim_end_matches('.')
    }
}

macro_rules! metrics {
    ($($(#[doc = $help:literal])+ $id:ident: $kind:ident $name:literal $([$($label:literal),+])?;)+) => {
        $($(#[doc = $help])+ pub(super) const $id: Metric = Metric {
            name: $name,
            kind: Kind::$kind,
            labels: &[$($($label),+)?],
            help: concat!($($help),+),
        };)+

        /// All of them, in the order of the reference.
        #[cfg(test)]
        pub(super) const ALL: &[&Metric] = &[$(&$id),+];
    };
}

metrics! {
    /// Always 1; the label says which version runs.
    BUILD: Gauge "logyard_build_info" ["version"];
    /// Seconds since the server was ready to listen.
    UPTIME: Gauge "logyard_uptime_seconds";
    /// Processor time of the process, in user and kernel mode.
    PROCESS_CPU: Counter "process_cpu_seconds_total";
    /// Memory of the process that is in RAM.
    PROCESS_MEMORY: Gauge "process_resident_memory_bytes";
    /// Address space of the process.
    PROCESS_VIRTUAL: Gauge "process_virtual_memory_bytes";
    /// Files and sockets that the process has open.
    PROCESS_FILES: Gauge "process_open_fds";
    /// How many it may have open.
    PROCESS_FILES_MAX: Gauge "process_max_fds";
    /// Threads of the process.
    PROCESS_THREADS: Gauge "process_threads";

    /// Requests by what they were answered with; 499 where the client went before there was an answer.
    REQUESTS: Counter "logyard_http_requests_total" ["route", "method", "status"];
    /// How long it took until the answer's head was ready; a body that is streamed may take longer.
    REQUEST_DURATION: Histogram "logyard_http_request_duration_seconds" ["route", "method"];
    /// Bytes of requests' bodies as they came, compressed or not.
    REQUEST_BYTES: Counter "logyard_http_request_body_bytes_total" ["route", "method"];
    /// Requests whose answers have not been given to the end.
    REQUESTS_IN_FLIGHT: Gauge "logyard_http_requests_in_flight";
    /// Answers with a status of 400 or more, by reason.
    ERRORS: Counter "logyard_http_errors_total" ["reason"];

    /// Appends that were stored.
    APPENDS: Counter "logyard_appends_total";
    /// Rows that were stored, those of Logyard's own log among them.
    APPENDED_ROWS: Counter "logyard_appended_rows_total";
    /// Bytes of these rows as they are encoded in memory.
    APPENDED_BYTES: Counter "logyard_appended_bytes_total";
    /// Appends that failed, by reason: `disk_full` and `busy` are worth an alert, `poisoned` asks for a restart.
    APPEND_ERRORS: Counter "logyard_append_errors_total" ["reason"];

    /// Records that were stored as they were sent.
    INGESTED: Counter "logyard_ingest_rows_total";
    /// Records that were refused, because something is `wrong` with them or their service has had its number of the day.
    INGEST_REFUSED: Counter "logyard_ingest_refused_rows_total" ["reason"];
    /// Values that were masked before they were kept, as a whole or in part.
    MASKED: Counter "logyard_ingest_masked_values_total";
    /// Values that were left out before they were kept.
    DROPPED: Counter "logyard_ingest_dropped_values_total";
    /// Requests whose `Idempotency-Key` had stored something before.
    REPEATED: Counter "logyard_ingest_repeated_requests_total";

    /// Bytes of the write-ahead log that are in use, spare files left out.
    WAL_BYTES: Gauge "logyard_wal_bytes";
    /// Files of the write-ahead log that are in use.
    WAL_FILES: Gauge "logyard_wal_files";
    /// Bytes that were written to the write-ahead log.
    WAL_WRITTEN: Counter "logyard_wal_written_bytes_total";
    /// How long each sync of the write-ahead log took.
    WAL_SYNC: Histogram "logyard_wal_sync_duration_seconds";

    /// Rows in all.
    ROWS: Gauge "logyard_rows";
    /// Rows in memory, which are not sealed yet.
    HOT_ROWS: Gauge "logyard_hot_rows";
    /// Bytes of rows in memory, queued ones among them.
    HOT_BYTES: Gauge "logyard_hot_bytes";
    /// Generations in memory; the last one grows, and those before it wait to be sealed.
    GENERATIONS: Gauge "logyard_generations";
    /// Segments.
    SEGMENTS: Gauge "logyard_segments";
    /// Rows in segments.
    SEGMENT_ROWS: Gauge "logyard_segment_rows";
    /// Bytes of segments.
    SEGMENT_BYTES: Gauge "logyard_segment_bytes";
    /// Bytes of the catalog.
    CATALOG_BYTES: Gauge "logyard_catalog_bytes";
    /// Bytes that can still be written to the file system of the data directory.
    DISK_AVAILABLE: Gauge "logyard_disk_available_bytes";
    /// Bytes of that file system.
    DISK_TOTAL: Gauge "logyard_disk_total_bytes";

    /// Segments by where their files are: `here`, `away` in the archive alone, or `restored` from there for a while.
    ARCHIVE_SEGMENTS: Gauge "logyard_archive_segments" ["files"];
    /// Bytes of these segments.
    ARCHIVE_BYTES: Gauge "logyard_archive_segment_bytes" ["files"];
    /// Whether a target of the archive does what it has to.
    ARCHIVE_UP: Gauge "logyard_archive_target_up" ["target"];
    /// Segments that are to be copied to a target and are not there yet.
    ARCHIVE_WAITING: Gauge "logyard_archive_waiting_segments" ["target"];
    /// How long the oldest of these is there; 0 where there are none.
    ARCHIVE_OLDEST: Gauge "logyard_archive_oldest_waiting_seconds" ["target"];
    /// Segments that were copied to a target.
    ARCHIVE_UPLOADS: Counter "logyard_archive_uploads_total" ["target"];
    /// Attempts at copying one that failed.
    ARCHIVE_FAILURES: Counter "logyard_archive_upload_failures_total" ["target"];
    /// Requests that fetched parts of segments whose files are away.
    ARCHIVE_GETS: Counter "logyard_archive_fetches_total";
    /// Bytes that these fetched.
    ARCHIVE_FETCHED: Counter "logyard_archive_fetched_bytes_total";
    /// Bytes on this disk of what finds things in segments whose files are away.
    ARCHIVE_INDEX: Gauge "logyard_archive_index_bytes";

    /// How long each seal took.
    SEAL: Histogram "logyard_seal_duration_seconds";
    /// Rows that were sealed.
    SEALED_ROWS: Counter "logyard_sealed_rows_total";
    /// Bytes of the segments that seals wrote.
    SEALED_BYTES: Counter "logyard_sealed_bytes_total";
    /// How long each merge took, and each time that a segment was written again without rows that leave.
    REWRITE: Histogram "logyard_rewrite_duration_seconds";
    /// Segments that were replaced so.
    REWRITTEN_SEGMENTS: Counter "logyard_rewritten_segments_total";
    /// Bytes of the segments that were written for them.
    REWRITTEN_BYTES: Counter "logyard_rewritten_bytes_total";
    /// Rows that retention removed.
    REMOVED_ROWS: Counter "logyard_retention_removed_rows_total";
    /// Bytes that these took.
    REMOVED_BYTES: Counter "logyard_retention_removed_bytes_total";
    /// Deletions that are not yet carried out everywhere; their rows are hidden already.
    PENDING_DELETIONS: Gauge "logyard_pending_deletions";
    /// Bytes that were read again to find damage.
    SCRUBBED_BYTES: Counter "logyard_scrubbed_bytes_total";
    /// What recovery or maintenance found wrong since the start; the log says what. Anything but 0 is worth an alert.
    TROUBLES: Gauge "logyard_troubles";

    /// Bytes that are kept of segments.
    CACHE_BYTES: Gauge "logyard_read_cache_bytes";
    /// How many may be kept.
    CACHE_BYTES_MAX: Gauge "logyard_read_cache_max_bytes";
    /// How often something was kept that was looked for.
    CACHE_HITS: Counter "logyard_read_cache_hits_total";
    /// How often it was not, and had to be read.
    CACHE_MISSES: Counter "logyard_read_cache_misses_total";

    /// Queries that run.
    QUERIES_RUNNING: Gauge "logyard_queries_running";
    /// Queries that wait for their turn.
    QUERIES_WAITING: Gauge "logyard_queries_waiting";
    /// How long each query had its turn.
    QUERY_DURATION: Histogram "logyard_query_duration_seconds";
    /// Queries that a bound ended or kept from running, by the setting in `[query]` that says it.
    QUERIES_REFUSED: Counter "logyard_queries_refused_total" ["bound"];
    /// Queries and searches that failed, by reason.
    QUERY_ERRORS: Counter "logyard_query_errors_total" ["reason"];
    /// Memory that queries have taken of what they share.
    QUERY_MEMORY: Gauge "logyard_query_memory_bytes";
    /// Blocks and batches whose rows queries looked at one by one.
    QUERY_BLOCKS: Counter "logyard_query_blocks_read_total";
    /// Bytes of segments that queries read.
    QUERY_BYTES: Counter "logyard_query_read_bytes_total";
    /// Live queries that follow what arrives.
    FOLLOWERS: Gauge "logyard_live_followers";
    /// Rows that clients were told they missed, being too slow.
    MISSED: Counter "logyard_live_missed_rows_total";

    /// Lines of Logyard's own log.
    LOG_LINES: Counter "logyard_log_lines_total" ["level"];
    /// Lines of it that were left out, being more than there may be in a second.
    LOG_LEFT_OUT: Counter "logyard_log_left_out_lines_total";
    /// Lines of it that did not become records.
    LOG_DROPPED: Counter "logyard_log_dropped_records_total";
}
