//! Object storage through OpenDAL: S3 and what speaks like it, a directory, and memory. The only file that knows it.
//!
//! Invariants
//! * The timeout lies below the retry: the other way round a retried request has lost its body.
//! * A writer that failed is never used again: its last piece is gone. The object is begun anew from its source.
//! * A directory's names are synced before an object in it counts as made.
//! * What is said of an error is its kind and the server's words, never the request: that is signed.
use super::bucket::{Bucket, Bytes, Listed, Put};
use crate::env::Env;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::MIB;
use opendal::layers::{ConcurrentLimitLayer, RetryLayer, TimeoutLayer};
use opendal::services::{Fs, Memory, S3};
use opendal::{Buffer, ErrorKind as Kind, Operator};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

/// Length up to which an object is one request.
const SINGLE_BYTES_MAX: u64 = 64 * MIB as u64;
/// Length of each part of a longer one but the last: all the same, as R2 wants it.
const PART_BYTES: usize = 8 * MIB;
/// How often making an object is begun.
const ATTEMPTS: u32 = 4;
/// How long a small request may take, and one that reads.
const ASK_TIMEOUT: Duration = Duration::from_secs(15);
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a piece may be on its way out: 64 MiB at 250 kB a second.
const WRITE_TIMEOUT: Duration = Duration::from_secs(270);
/// Where objects are written before they have their name, in a directory.
const DRAFTS: &str = ".drafts";

/// How to reach a bucket that speaks S3.
#[derive(Clone, Default)]
pub struct S3Access {
    /// The bucket.
    pub bucket: String,
    /// What all names begin with.
    pub prefix: String,
    /// The server, where it is not Amazon's.
    pub endpoint: Option<String>,
    /// The region; `auto` for R2.
    pub region: String,
    /// Who asks; what the machine is given by its surroundings where nothing is said.
    pub access_key_id: Option<String>,
    /// And the proof of it.
    pub secret_access_key: Option<String>,
    /// The storage class of new objects.
    pub storage_class: Option<String>,
}

/// How busy a target may be kept.
#[derive(Clone, Copy, Debug)]
pub struct StoreLimits {
    /// Requests at once.
    pub requests: usize,
    /// How often a request is tried again, with growing pauses.
    pub retries: usize,
    /// The longest of these pauses.
    pub pause_max: Duration,
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self { requests: 16, retries: 4, pause_max: Duration::from_secs(10) }
    }
}

/// A target, opened.
pub struct Store {
    /// For what is written: it may take longer.
    writing: Operator,
    reading: Operator,
    runtime: Arc<Runtime>,
    place: String,
    directory: Option<(Arc<dyn Env>, PathBuf)>,
}

/// Threads that requests run on, for all targets.
pub fn runtime() -> Result<Arc<Runtime>> {
    let built =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).thread_name("archive").enable_all().build();
    let failed = |e| Error::new(ErrorKind::Io, format!("cannot start the threads of the archive: {e}"));
    built.map(Arc::new).map_err(failed)
}

impl Store {
    /// A bucket that speaks S3.
    pub fn s3(access: &S3Access, limits: StoreLimits, runtime: &Arc<Runtime>) -> Result<Self> {
        let place = format!("s3://{}/{}", access.bucket, access.prefix.trim_matches('/'));
        let make = || {
            let mut builder = S3::default().bucket(&access.bucket).root(&access.prefix).region(&access.region);
            builder = builder.disable_ec2_metadata();
            if let Some(endpoint) = &access.endpoint {
                builder = builder.endpoint(endpoint);
            }
            if let Some(id) = &access.access_key_id {
                builder = builder.access_key_id(id).disable_config_load();
            }
            if let Some(secret) = &access.secret_access_key {
                builder = builder.secret_access_key(secret);
            }
            if let Some(class) = &access.storage_class {
                builder = builder.default_storage_class(class);
            }
            Operator::new(builder)
        };
        Self::open(make, place, None, limits, runtime)
    }

    /// A directory, which is made where it is missing.
    pub fn directory(env: &Arc<dyn Env>, path: &Path, limits: StoreLimits, runtime: &Arc<Runtime>) -> Result<Self> {
        env.create_dir_all(path).map_err(|e| Error::io("create", path, e))?;
        let root = path.to_string_lossy().into_owned();
        let drafts = path.join(DRAFTS).to_string_lossy().into_owned();
        let make = || Operator::new(Fs::default().root(&root).atomic_write_dir(&drafts));
        let directory = Some((Arc::clone(env), path.to_path_buf()));
        Self::open(make, format!("file://{}", path.display()), directory, limits, runtime)
    }

    /// Memory, which is gone with the process.
    pub fn memory(runtime: &Arc<Runtime>) -> Result<Self> {
        let operator = Operator::new(Memory::default()).map_err(|e| said("open", "memory", &e))?;
        let place = "memory://".to_owned();
        let runtime = Arc::clone(runtime);
        Ok(Self { writing: operator.clone(), reading: operator, runtime, place, directory: None })
    }

    fn open(
        make: impl Fn() -> opendal::Result<Operator>,
        place: String,
        directory: Option<(Arc<dyn Env>, PathBuf)>,
        limits: StoreLimits,
        runtime: &Arc<Runtime>,
    ) -> Result<Self> {
        opendal::install_default();
        let bounded = ConcurrentLimitLayer::new(limits.requests);
        let layered = |io_timeout: Duration| -> Result<Operator> {
            let operator = make().map_err(|e| said("open", &place, &e))?;
            let retry = RetryLayer::new().with_jitter().with_max_times(limits.retries).with_max_delay(limits.pause_max);
            let timeout = TimeoutLayer::new().with_timeout(ASK_TIMEOUT).with_io_timeout(io_timeout);
            Ok(operator.layer(timeout).layer(retry).layer(bounded.clone()))
        };
        let (writing, reading) = (layered(WRITE_TIMEOUT)?, layered(READ_TIMEOUT)?);
        Ok(Self { writing, reading, runtime: Arc::clone(runtime), place, directory })
    }

    fn wait<T>(&self, doing: &str, name: &str, work: impl Future<Output = opendal::Result<T>>) -> Result<T> {
        self.runtime.block_on(work).map_err(|e| said(doing, &format!("{}/{name}", self.place), &e))
    }

    /// Makes an object by one writer.
    fn write_once(&self, name: &str, len: u64, bytes: &Bytes<'_>) -> std::result::Result<Put, Failed> {
        let mut options = self.writing.writer_with(name).if_not_exists(true);
        if len > SINGLE_BYTES_MAX {
            options = options.chunk(PART_BYTES);
        }
        let mut writer = self.runtime.block_on(options.into_future())?;
        let written = self.feed(&mut writer, len, bytes);
        let closed = written.and_then(|()| Ok(self.runtime.block_on(writer.close())?));
        match closed {
            Ok(_) => Ok(Put::Made),
            Err(Failed::Store(e)) if is_there(&e) => Ok(Put::Existed),
            Err(e) => {
                // What was sent of it goes; where that fails, the bucket's own rules remove it one day.
                let _gone = self.runtime.block_on(writer.abort());
                Err(e)
            }
        }
    }

    fn feed(&self, writer: &mut opendal::Writer, len: u64, bytes: &Bytes<'_>) -> std::result::Result<(), Failed> {
        let whole = |at: u64, n: u64| -> Result<Vec<u8>> {
            let mut piece = vec![0; n as usize];
            bytes(at, &mut piece)?;
            Ok(piece)
        };
        let step = if len <= SINGLE_BYTES_MAX { len.max(1) } else { PART_BYTES as u64 };
        let mut at = 0;
        while at < len {
            let n = step.min(len - at);
            let piece = whole(at, n).map_err(Failed::Source)?;
            self.runtime.block_on(writer.write(Buffer::from(piece)))?;
            at += n;
        }
        Ok(())
    }

    /// Makes the names on the way to an object durable, where it lies in a directory.
    fn settle(&self, name: &str) -> Result<()> {
        let Some((env, root)) = &self.directory else { return Ok(()) };
        let path = root.join(name);
        for folder in path.ancestors().skip(1).take_while(|folder| folder.starts_with(root)) {
            env.sync_dir(folder).map_err(|e| Error::io("sync", folder, e))?;
        }
        Ok(())
    }
}

/// Why an object was not made.
enum Failed {
    Store(opendal::Error),
    Source(Error),
}

impl From<opendal::Error> for Failed {
    fn from(e: opendal::Error) -> Self {
        Self::Store(e)
    }
}

fn is_there(e: &opendal::Error) -> bool {
    matches!(e.kind(), Kind::ConditionNotMatch | Kind::AlreadyExists)
}

/// An error for people: its kind says what they can do.
fn said(doing: &str, what: &str, e: &opendal::Error) -> Error {
    let (kind, advice) = match e.kind() {
        Kind::NotFound => (ErrorKind::NotFound, "it is not there"),
        Kind::PermissionDenied => (ErrorKind::Denied, "its key may not do that"),
        Kind::ConfigInvalid => (ErrorKind::Denied, "there is no such bucket, or it is not configured rightly"),
        Kind::RangeNotSatisfied => (ErrorKind::Corrupt, "it is shorter than it was"),
        _ if is_there(e) => (ErrorKind::Conflict, "somebody else was sooner"),
        _ => (ErrorKind::Unavailable, "the target did not answer as it should"),
    };
    let words: String = e.message().chars().filter(|c| !c.is_control()).take(200).collect();
    Error::new(kind, format!("cannot {doing} {what}: {advice} ({words})"))
}

impl Bucket for Store {
    fn place(&self) -> String {
        self.place.clone()
    }

    fn put_new(&self, name: &str, len: u64, bytes: &Bytes<'_>) -> Result<Put> {
        let mut attempt = 1;
        let put = loop {
            match self.write_once(name, len, bytes) {
                Ok(put) => break put,
                Err(Failed::Source(e)) => return Err(e),
                Err(Failed::Store(e)) if attempt < ATTEMPTS && said("", "", &e).kind() == ErrorKind::Unavailable => {
                    attempt += 1;
                }
                Err(Failed::Store(e)) => return Err(said("write", &format!("{}/{name}", self.place), &e)),
            }
        };
        self.settle(name)?;
        Ok(put)
    }

    fn swap(&self, name: &str, bytes: &[u8], seen: Option<&str>) -> Result<Option<String>> {
        if self.writing.info().capability().write_with_if_match {
            return self.swap_at_server(name, bytes, seen);
        }
        // Nobody else writes here at the same time: a directory belongs to one machine.
        let now = self.small(name, u64::MAX)?.map(|(_, tag)| tag);
        if now.as_deref() != seen {
            return Ok(None);
        }
        self.wait("write", name, self.writing.write(name, bytes.to_vec()))?;
        self.settle(name)?;
        Ok(Some(tag_of(bytes)))
    }

    fn read(&self, name: &str, offset: u64, buf: &mut [u8]) -> Result<()> {
        let range = offset..offset.saturating_add(buf.len() as u64);
        let found = self.wait("read", name, self.reading.read_with(name).range(range).into_future())?;
        if found.len() != buf.len() {
            let message = format!("{}/{name} ends before byte {}", self.place, offset.saturating_add(buf.len() as u64));
            return Err(Error::corrupt(message));
        }
        let mut rest = buf;
        for piece in found {
            let (own, behind) = std::mem::take(&mut rest).split_at_mut_checked(piece.len()).unwrap_or_default();
            own.copy_from_slice(piece.get(..own.len()).unwrap_or_default());
            rest = behind;
        }
        Ok(())
    }

    fn small(&self, name: &str, limit: u64) -> Result<Option<(Vec<u8>, String)>> {
        let Some(len) = self.len(name)? else { return Ok(None) };
        if len > limit {
            return Err(Error::corrupt(format!("{}/{name} has {len} bytes, over the limit of {limit}", self.place)));
        }
        let read = async {
            let tag = self.reading.stat(name).await?.etag().map(str::to_owned);
            Ok((self.reading.read(name).await?.to_vec(), tag))
        };
        match self.wait("read", name, read) {
            Ok((bytes, tag)) => {
                let tag = tag.unwrap_or_else(|| tag_of(&bytes));
                Ok(Some((bytes, tag)))
            }
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn len(&self, name: &str) -> Result<Option<u64>> {
        match self.wait("look for", name, self.reading.stat(name)) {
            Ok(found) => Ok(Some(found.content_length())),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn list(&self, folder: &str, found: &mut dyn FnMut(Listed) -> Result<()>) -> Result<()> {
        let folder = format!("{}/", folder.trim_end_matches('/'));
        let listing = self.reading.lister_with(&folder).recursive(true).into_future();
        let mut lister = match self.wait("list", &folder, listing) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            lister => lister?,
        };
        use futures_util::TryStreamExt;
        while let Some(entry) = self.wait("list", &folder, lister.try_next())? {
            if entry.metadata().is_file() {
                let made = entry.metadata().last_modified();
                let made = made.and_then(|at| i64::try_from(at.into_inner().as_nanosecond()).ok());
                found(Listed { name: entry.path().to_owned(), bytes: entry.metadata().content_length(), made })?;
            }
        }
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.wait("remove", name, self.writing.delete(name))
    }
}

impl Store {
    fn swap_at_server(&self, name: &str, bytes: &[u8], seen: Option<&str>) -> Result<Option<String>> {
        let writing = self.writing.write_with(name, bytes.to_vec());
        let writing = match seen {
            Some(tag) => writing.if_match(tag),
            None => writing.if_not_exists(true),
        };
        match self.runtime.block_on(writing.into_future()) {
            Ok(made) => Ok(Some(made.etag().map_or_else(|| tag_of(bytes), str::to_owned))),
            Err(e) if is_there(&e) => Ok(None),
            Err(e) => Err(said("write", &format!("{}/{name}", self.place), &e)),
        }
    }
}

/// What tells contents apart where the target has no tags.
fn tag_of(bytes: &[u8]) -> String {
    format!("{:08x}-{}", crc32fast::hash(bytes), bytes.len())
}
