//! The engine's one error type: a kind that callers act on, a sentence for people, and the cause beneath.
//!
//! Invariants
//! * A message says what could not be done and, where a file is involved, names it.
//! * Kinds are few and prescriptive: each says what the caller can do next.
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// The engine's result.
pub type Result<T> = std::result::Result<T, Error>;

/// What a caller can do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request is wrong and will be wrong again.
    Invalid,
    /// What was asked for does not exist.
    NotFound,
    /// The state forbids it, such as an idempotency key used with another body.
    Conflict,
    /// A budget is full at the moment; the same request can succeed later.
    Busy,
    /// The disk is full; appends are refused until there is room.
    DiskFull,
    /// A write to the log failed; nothing can be appended until the process is restarted.
    Poisoned,
    /// Bytes on disk are not what was written.
    Corrupt,
    /// Another process holds the data directory.
    Locked,
    /// The data was written by a newer version.
    NewerFormat,
    /// A query went over its memory budget.
    Budget,
    /// A query took longer than it may.
    OverTime,
    /// The caller cancelled it.
    Cancelled,
    /// The engine is shutting down.
    Closed,
    /// The operating system refused an operation.
    Io,
    /// The archive did not answer; what is stored there is as it was.
    Unavailable,
    /// The archive refused: its configuration, or its rights, have to be changed.
    Denied,
    /// What cannot be has happened: the fault is the engine's, whatever was asked.
    Bug,
}

impl ErrorKind {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::Invalid,
        Self::NotFound,
        Self::Conflict,
        Self::Busy,
        Self::DiskFull,
        Self::Poisoned,
        Self::Corrupt,
        Self::Locked,
        Self::NewerFormat,
        Self::Budget,
        Self::OverTime,
        Self::Cancelled,
        Self::Closed,
        Self::Io,
        Self::Unavailable,
        Self::Denied,
        Self::Bug,
    ];

    /// Its name, as counters show it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Busy => "busy",
            Self::DiskFull => "disk_full",
            Self::Poisoned => "poisoned",
            Self::Corrupt => "corrupt",
            Self::Locked => "locked",
            Self::NewerFormat => "newer_format",
            Self::Budget => "query_memory",
            Self::OverTime => "query_duration",
            Self::Cancelled => "cancelled",
            Self::Closed => "closed",
            Self::Io => "io",
            Self::Unavailable => "archive_unavailable",
            Self::Denied => "archive_denied",
            Self::Bug => "bug",
        }
    }
}

/// An error of the engine.
#[derive(Clone)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error without a cause beneath it.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// A wrong request.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    /// What only a mistake of ours leads to.
    pub(crate) fn bug(what: &str) -> Self {
        Self::new(ErrorKind::Bug, format!("BUG: {what}"))
    }

    /// Bytes on disk that are not what was written.
    pub fn corrupt(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupt, message)
    }

    /// An operation on a file that the operating system refused. A full disk has a kind of its own.
    pub fn io(doing: &str, path: &Path, source: std::io::Error) -> Self {
        use std::io::ErrorKind as Io;
        let kind = match source.kind() {
            Io::StorageFull | Io::QuotaExceeded => ErrorKind::DiskFull,
            Io::NotFound => ErrorKind::NotFound,
            _ => ErrorKind::Io,
        };
        Self { kind, message: format!("cannot {doing} {}: {source}", path.display()), source: Some(Arc::new(source)) }
    }

    /// The same error with where it happened put in front.
    #[must_use]
    pub fn context(mut self, place: impl fmt::Display) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }

    /// The same error with the cause beneath it.
    #[must_use]
    pub fn with_source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| &**source as &(dyn std::error::Error + 'static))
    }
}
