//! Object storage through OpenDAL: S3 and what speaks like it, a directory, and memory. With `store/` the only file that knows it.
//!
//! Invariants
//! * The timeout lies below the retry: the other way round a retried request has lost its body.
//! * A directory's names are synced before an object in it counts as made.
//! * Where nothing is written nothing is made: an archive can be read from a file system that nobody may write to.
//! * What is said of an error is never the request: that is signed.
mod making;
mod reading;
mod said;

use super::bucket::{Bucket, Bytes, Listed, Put};
use crate::env::Env;
use crate::error::{Error, ErrorKind, Result};
use opendal::Operator;
use opendal::layers::{ConcurrentLimitLayer, RetryLayer, TimeoutLayer};
use opendal::services::{Fs, Memory, S3};
use said::Speech;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::runtime::Runtime;

/// How often making an object is begun, and a read that was answered with too little.
const ATTEMPTS: u32 = 4;
/// Bytes a second of a target that is slow and not out.
const SLOW_BYTES_PER_SECOND: u64 = 500_000;
/// The first pause before a request is tried again, where the longest is not shorter.
const PAUSE_MIN: Duration = Duration::from_secs(1);
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
    /// How long a small request may take.
    pub ask_timeout: Duration,
    /// And one that reads.
    pub read_timeout: Duration,
    /// How long a piece may be on its way out.
    pub write_timeout: Duration,
    /// How long a part of an object is waited for in all, beside the time that its bytes take.
    pub patience: Duration,
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self {
            requests: 16,
            retries: 4,
            pause_max: Duration::from_secs(10),
            ask_timeout: Duration::from_secs(15),
            read_timeout: Duration::from_secs(60),
            // 64 MiB at 250 kB a second.
            write_timeout: Duration::from_secs(270),
            patience: Duration::from_secs(8),
        }
    }
}

/// Opens a target for what is written.
type Opener = Box<dyn Fn() -> Result<Operator> + Send + Sync>;

/// A target, opened.
pub struct Store {
    /// For what is written, which may take longer; opened by the first write.
    writing: OnceLock<Operator>,
    open_writing: Opener,
    reading: Operator,
    runtime: Arc<Runtime>,
    place: String,
    speech: Speech,
    patience: Duration,
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
        let (hidden_id, hidden_secret) = (access.access_key_id.clone(), access.secret_access_key.clone());
        let access = access.clone();
        let make = move |_| {
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
        let hidden = [hidden_secret, hidden_id].into_iter().flatten();
        let hidden = hidden.filter(|secret| !secret.is_empty()).collect();
        Self::open(make, (place, Speech { is_remote: true, hidden }), None, limits, runtime)
    }

    /// A directory, which is made where it is missing.
    pub fn directory(env: &Arc<dyn Env>, path: &Path, limits: StoreLimits, runtime: &Arc<Runtime>) -> Result<Self> {
        env.create_dir_all(path).map_err(|e| Error::io("create", path, e))?;
        let root = path.to_string_lossy().into_owned();
        let drafts = path.join(DRAFTS).to_string_lossy().into_owned();
        let make = move |writes| {
            let builder = Fs::default().root(&root);
            Operator::new(if writes { builder.atomic_write_dir(&drafts) } else { builder })
        };
        let directory = Some((Arc::clone(env), path.to_path_buf()));
        Self::open(make, (format!("file://{}", path.display()), Speech::default()), directory, limits, runtime)
    }

    /// Memory, which is gone with the process.
    pub fn memory(runtime: &Arc<Runtime>) -> Result<Self> {
        let speech = Speech::default();
        let operator = Operator::new(Memory::default()).map_err(|e| speech.said("open", "memory", &e))?;
        let place = "memory://".to_owned();
        let runtime = Arc::clone(runtime);
        let (patience, reading) = (StoreLimits::default().patience, operator.clone());
        let (writing, open_writing): (_, Opener) = (OnceLock::new(), Box::new(move || Ok(operator.clone())));
        Ok(Self { writing, open_writing, reading, runtime, place, speech, patience, directory: None })
    }

    fn open(
        make: impl Fn(bool) -> opendal::Result<Operator> + Send + Sync + 'static,
        (place, speech): (String, Speech),
        directory: Option<(Arc<dyn Env>, PathBuf)>,
        limits: StoreLimits,
        runtime: &Arc<Runtime>,
    ) -> Result<Self> {
        opendal::install_default();
        let bounded = ConcurrentLimitLayer::new(limits.requests);
        let (said, shown) = (speech.clone(), place.clone());
        let layered = move |writes: bool, io_timeout: Duration| -> Result<Operator> {
            let operator = make(writes).map_err(|e| said.said("open", &shown, &e))?;
            let retry = RetryLayer::new().with_jitter().with_max_times(limits.retries);
            let retry = retry.with_min_delay(PAUSE_MIN.min(limits.pause_max)).with_max_delay(limits.pause_max);
            let timeout = TimeoutLayer::new().with_timeout(limits.ask_timeout).with_io_timeout(io_timeout);
            Ok(operator.layer(timeout).layer(retry).layer(bounded.clone()))
        };
        let (reading, patience) = (layered(false, limits.read_timeout)?, limits.patience);
        let (writing, open_writing): (_, Opener) =
            (OnceLock::new(), Box::new(move || layered(true, limits.write_timeout)));
        Ok(Self { writing, open_writing, reading, runtime: Arc::clone(runtime), place, speech, patience, directory })
    }

    /// For what is written.
    fn writing(&self) -> Result<&Operator> {
        match self.writing.get() {
            Some(writing) => Ok(writing),
            None => {
                let opened = (self.open_writing)()?;
                Ok(self.writing.get_or_init(|| opened))
            }
        }
    }

    /// Waits for a small request, as long as somebody would.
    fn wait<T>(&self, doing: &str, name: &str, work: impl Future<Output = opendal::Result<T>>) -> Result<T> {
        let bound = self.patience.saturating_mul(2);
        match self.runtime.block_on(async { tokio::time::timeout(bound, work).await }) {
            Ok(done) => done.map_err(|e| self.said(doing, name, &e)),
            Err(_) => {
                let message = format!("cannot {doing} {}/{name}: it does not answer in time", self.place);
                Err(Error::new(ErrorKind::Unavailable, message))
            }
        }
    }

    fn said(&self, doing: &str, name: &str, e: &opendal::Error) -> Error {
        self.speech.said(doing, &format!("{}/{name}", self.place), e)
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

impl Bucket for Store {
    fn place(&self) -> String {
        self.place.clone()
    }

    fn put_new(&self, name: &str, len: u64, bytes: &Bytes<'_>) -> Result<Put> {
        self.make(name, len, bytes)
    }

    fn swap(&self, name: &str, bytes: &[u8], seen: Option<&str>) -> Result<Option<String>> {
        if self.writing()?.info().capability().write_with_if_match {
            return self.swap_at_server(name, bytes, seen);
        }
        // Nobody else writes here at the same time: a directory belongs to one machine.
        let now = self.small(name, u64::MAX)?.map(|(_, tag)| tag);
        if now.as_deref() != seen {
            return Ok(None);
        }
        self.wait("write", name, self.writing()?.write(name, bytes.to_vec()))?;
        self.settle(name)?;
        Ok(Some(tag_of(bytes)))
    }

    fn read(&self, name: &str, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.fill(name, offset, buf)
    }

    fn small(&self, name: &str, limit: u64) -> Result<Option<(Vec<u8>, String)>> {
        self.read_small(name, limit)
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
        let shown = folder.trim_matches('/');
        let mut lister = match self.wait("list", shown, listing) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            lister => lister?,
        };
        use futures_util::TryStreamExt;
        while let Some(entry) = self.wait("list", shown, lister.try_next())? {
            if entry.metadata().is_file() {
                let made = entry.metadata().last_modified();
                let made = made.and_then(|at| i64::try_from(at.into_inner().as_nanosecond()).ok());
                found(Listed { name: entry.path().to_owned(), bytes: entry.metadata().content_length(), made })?;
            }
        }
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.wait("remove", name, self.writing()?.delete(name))
    }
}

/// What tells contents apart where the target has no tags.
fn tag_of(bytes: &[u8]) -> String {
    format!("{:08x}-{}", crc32fast::hash(bytes), bytes.len())
}
