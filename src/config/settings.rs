//! Every setting, each in one place: its section, key, type, default, reader and one line of what it is.
//!
//! To add one, add a line to its section below:
//!
//! ```text
//! /// What it is, in one line.
//! key: Type = "default", READER;
//! ```
//!
//! and use `config.section.key`. The flag `--section-key`, the variable `LOGYARD_SECTION_KEY`, the key of the file, the check, the
//! help text and the reference follow from it; `cargo test config::reference -- --ignored` writes docs/configuration.md and
//! docs/logyard.example.toml anew. Readers are in `readers.rs`: `DURATION`, `BYTES`, `count::<LEAST, MOST>()`, `ORIGINS`, ... A
//! secret's reader is `SECRET`: it has no flag, and `<key>_env` and `<key>_file` beside its key. A new section is a new block, and a
//! field of `Config`. A variable that is none of these belongs into `OTHER_VARIABLES` of `given.rs`.
//!
//! Invariants
//! * A default is read by the reader that reads what is given: one that it does not take is told as a bug.
use super::access::{Cidr, Rate};
use super::archive::{BANDWIDTH, ENDPOINT, LOCK_DAYS, PLACE, Place, SOME_DURATION, TARGET_NAME, WORD};
use super::readers::{
    ADDRESSES, BYTES, CIDRS, DAYS, DISK_BUDGET, DURATION, FILE, FORMAT, LEVEL, NAME, ORIGINS, PATH, RATE, SECRET,
    Secret, TIMEOUT, TRUTH, WHEN_FULL, bytes, count,
};
use super::table::settings;
use crate::log::{Format, Level};
use logyard_storage::options::{DiskBudget, WhenFull};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

settings! {
    /// Where the data is, where to listen, and who may come in. These stand at the top of the file, before any section.
    Top "" {
        /// Data directory.
        data: PathBuf = "logyard-data", PATH;
        /// Address and port; port 0 takes a free one.
        listen: Vec<SocketAddr> = "127.0.0.1:7514", ADDRESSES;
        /// The admin key, instead of the one in `<data>/admin.key`.
        admin_key: Option<Secret> = "", SECRET;
        /// Who may say on whose behalf it asks, by `CF-Connecting-IP`, `X-Forwarded-For` or `X-Real-IP`.
        trusted_proxies: Vec<Cidr> = "", CIDRS;
    }

    /// Connections, requests and how long they may take.
    ServerBounds "server" {
        /// How long a request's head may take, and a TLS handshake.
        header_timeout: Duration = "10s", TIMEOUT;
        /// How long a request's body may be waited for until 1 KiB more of it has come; in all, where it is read as a whole, and a second
        /// more for each 16 KiB.
        body_timeout: Duration = "30s", TIMEOUT;
        /// How long a connection may stay open without a request.
        idle_timeout: Duration = "60s", TIMEOUT;
        /// How long a client may take nothing of an answer.
        write_timeout: Duration = "30s", TIMEOUT;
        /// How long a stop waits for the requests under way.
        drain_timeout: Duration = "10s", TIMEOUT;
        /// Connections that are open at once; more get 503.
        max_connections: usize = "8192", count::<1, 1_000_000>();
        /// Requests that are answered at once; more get 503.
        max_requests: usize = "4096", count::<1, 1_000_000>();
        /// Bytes of a request's head.
        max_header_bytes: usize = "64KiB", bytes::<8_192, 1_048_576>();
        /// Header lines of a request; more get 431.
        max_headers: usize = "100", count::<1, 10_000>();
        /// Bytes of a body that is read as a whole, decoded; more get 413.
        max_body: usize = "64MiB", BYTES;
        /// Memory of all bodies that are read at once; who comes too late gets 503.
        max_bodies_memory: usize = "512MiB", bytes::<4_194_304, 1_099_511_627_776>();
    }

    /// HTTPS, where both files are named. Clients agree on HTTP/1.1 or HTTP/2.
    TlsFiles "tls" {
        /// The certificate and those that vouch for it, in PEM.
        cert: Option<PathBuf> = "", FILE;
        /// Its private key, in PEM.
        key: Option<PathBuf> = "", FILE;
        /// How often it is looked whether the files changed.
        reload_interval: Duration = "5s", TIMEOUT;
    }

    /// What queries may take, for a machine of 1 GiB where nothing is said; an answer that hits a bound names it.
    QueryBounds "query" {
        /// Memory that a query may take; over it, 422.
        max_memory: usize = "256MiB", BYTES;
        /// Memory that all queries may take that run together, beside 8 MiB that each has for itself; over it, 503.
        max_total_memory: usize = "512MiB", BYTES;
        /// How long a query may take; `timeout` asks for less; over it, 503.
        max_duration: Duration = "30s", DURATION;
        /// Queries that run at once; others wait.
        max_concurrent: usize = "16", count::<1, 256>();
        /// How long they wait before 429.
        max_wait: Duration = "10s", DURATION;
        /// Live queries that are open at once; more get 429.
        max_tails: usize = "1000", count::<1, 8_000>();
    }

    /// How long records stay, and what happens when the disk is full.
    Retention "retention" {
        /// Days that records live where their service says nothing; -1 is for ever.
        default_ttl_days: Option<u32> = "30", DAYS;
        /// How much may be used: a part of the file system, or so many bytes under the data directory.
        disk_budget: DiskBudget = "90%", DISK_BUDGET;
        /// What happens then: `refuse` appends, or `drop_oldest` records.
        when_full: WhenFull = "refuse", WHEN_FULL;
    }

    /// The write-ahead log.
    Wal "wal" {
        /// How long what was accepted with `ack=memory` may stay unwritten.
        flush_interval: Duration = "1s", DURATION;
    }

    /// Where sealed segments are copied to: a table `[[archive]]` for each target, of which the first is the primary one. What it says of
    /// `ack_timeout`, `local_index_budget` and `cold_cache` holds for all; flags and variables are those of the first. docs/archive.md says more.
    ArchiveTarget "archive" {
        /// What it is called; a target keeps its name for as long as anything is in it.
        name: String = "main", TARGET_NAME;
        /// Where it is; there is no archive where nothing is said.
        target: Option<Place> = "", PLACE;
        /// The server of an `s3://` target, where it is not Amazon's.
        endpoint: Option<String> = "", ENDPOINT;
        /// Its region; `auto` for R2.
        region: String = "auto", WORD;
        /// The name of the key to come in with; what the machine's surroundings give where nothing is said.
        access_key_id: Option<Secret> = "", SECRET;
        /// The key itself.
        secret_access_key: Option<Secret> = "", SECRET;
        /// How long after it was sealed a segment is copied.
        offload_after: Duration = "10m", DURATION;
        /// Bytes of segments that wait to be copied at most: where there are more, all of them are copied now.
        offload_size: usize = "256MiB", bytes::<1_048_576, 1_099_511_627_776>();
        /// Records reach the target at least this often, sealed for it where they are not yet; as sealing comes where nothing is said.
        max_loss: Option<Duration> = "", SOME_DURATION;
        /// Whether each hour of a service is written there as Parquet too, once it is over.
        parquet: bool = "false", TRUTH;
        /// How long after an hour is over that is done: what comes later becomes a further part.
        parquet_after: Duration = "10m", DURATION;
        /// Requests to it at once.
        requests: usize = "16", count::<1, 256>();
        /// Segments that are copied to it at once by `archive offload`, up to 64 MiB of memory each; by itself, one after the other.
        uploads: usize = "2", count::<1, 16>();
        /// Bytes a second that are sent to it at most; as many as go where nothing is said.
        bandwidth: Option<u64> = "", BANDWIDTH;
        /// The storage class of new objects, such as STANDARD_IA; the bucket's own where nothing is said.
        storage_class: String = "", WORD;
        /// Days that the bucket locks new objects for, by a rule of its own: Logyard does not set the lock, and removes nothing sooner.
        object_lock: Option<u32> = "", LOCK_DAYS;
        /// How long `ack=archive` waits for the primary target before it answers with 202.
        ack_timeout: Duration = "10s", TIMEOUT;
        /// Bytes of this disk for what finds things in segments whose files are in the archive alone.
        local_index_budget: usize = "2GiB", bytes::<1_048_576, 1_099_511_627_776>();
        /// Memory for parts of such segments that were fetched.
        cold_cache: usize = "64MiB", bytes::<1_048_576, 1_099_511_627_776>();
    }

    /// What is done with stored records without being asked for: merging, deleting, reading them again.
    Maintenance "maintenance" {
        /// Bytes a second that are read and written for it; what somebody asks for now is not bound by it.
        bytes_per_second: usize = "64MiB", bytes::<1_048_576, 1_099_511_627_776>();
    }

    /// What is written down of requests.
    AccessLog "access" {
        /// Whether reads and requests of administrators leave records of the service `logyard`.
        log: bool = "true", TRUTH;
    }

    /// How often may be asked, each kind of request counted apart; over it, 429. None is limited where nothing is said.
    RateLimit "rate_limit" {
        /// Single records, from one address.
        ingest: Option<Rate> = "", RATE;
        /// Bodies of many records, from one address.
        batch: Option<Rate> = "", RATE;
        /// Searches and queries, from one address.
        read: Option<Rate> = "", RATE;
        /// Configuration, keys, deletion and maintenance, from one address.
        admin: Option<Rate> = "", RATE;
        /// Runs of jobs, from one address.
        jobs: Option<Rate> = "", RATE;
        /// Single records, with one key.
        ingest_per_key: Option<Rate> = "", RATE;
        /// Bodies of many records, with one key.
        batch_per_key: Option<Rate> = "", RATE;
        /// Searches and queries, with one key.
        read_per_key: Option<Rate> = "", RATE;
        /// Configuration, keys, deletion and maintenance, with one key.
        admin_per_key: Option<Rate> = "", RATE;
        /// Runs of jobs, with one key.
        jobs_per_key: Option<Rate> = "", RATE;
    }

    /// Pages of other origins.
    Cors "cors" {
        /// Origins whose pages may ask, such as `https://logs.example`; `*` is all.
        origins: Vec<String> = "", ORIGINS;
    }

    /// What Logyard says of itself, on standard error and as records of the service `logyard`.
    LogSettings "log" {
        /// How much has to matter that is logged; `debug` has each request.
        level: Level = "info", LEVEL;
        /// What lines look like: `text` for people, or `json`, an object each.
        format: Format = "text", FORMAT;
        /// Where this server runs, such as `production`: the field `environment` of its lines and records.
        environment: String = "", NAME;
    }

    /// Ways in.
    Ingest "ingest" {
        /// Logs of one request to `/api/v1/logs/ingest/batch`; more get 400.
        batch_max: usize = "1000", count::<1, 100_000>();
        /// A record may be this far ahead of its arrival; beyond that its time is its arrival.
        max_future: Duration = "1d", DURATION;
        /// How many times larger than they were sent streamed lines may become once they are decompressed; over it, 413.
        max_ratio: usize = "500", count::<1, 1_000_000>();
        /// Values of `Idempotency-Key` that are remembered at once; a new one more gets 429.
        max_idempotency_keys: usize = "100000", count::<1, 10_000_000>();
    }
}
