//! The server: where it listens, its buckets and keys, and what tests ask it.
//!
//! Invariants
//! * A request is carried out only if it is signed with a key that is known, and the key may do that.
use crate::door::Door;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{S3Result, s3_error};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// Names in a page of a listing, where a test says nothing else: as S3 has it.
const PAGE_NAMES: usize = 1_000;
/// The bucket that there is from the beginning.
const BUCKET: &str = "logs";

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Read objects.
    Read,
    /// Make them.
    Write,
    /// List them.
    List,
    /// Remove them.
    Remove,
}

impl Right {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Read, Self::Write, Self::List, Self::Remove];

    fn of(operation: &str) -> Self {
        match operation {
            "GetObject" | "HeadObject" => Self::Read,
            "DeleteObject" | "DeleteObjects" => Self::Remove,
            "ListObjects" | "ListObjectsV2" | "HeadBucket" | "ListParts" => Self::List,
            _ => Self::Write,
        }
    }
}

/// Who asks, and the proof of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its name.
    pub id: String,
    /// What it signs with.
    pub secret: String,
}

/// An object as it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Its bucket.
    pub bucket: String,
    /// Its name there.
    pub name: String,
    /// The lengths of its parts; nothing where it was made by one request.
    pub parts: Vec<u64>,
}

/// What the server's parts share.
pub(crate) struct Shared {
    pub(crate) root: PathBuf,
    pub(crate) page_names: AtomicUsize,
    keys: Mutex<BTreeMap<String, (String, Vec<Right>)>>,
    made: Mutex<Vec<Made>>,
}

fn locked<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn note(&self, made: Made) {
        locked(&self.made).push(made);
    }
}

struct Keys(Arc<Shared>);

#[async_trait::async_trait]
impl S3Auth for Keys {
    async fn get_secret_key(&self, id: &str) -> S3Result<SecretKey> {
        let known = locked(&self.0.keys).get(id).map(|(secret, _)| SecretKey::from(secret.as_str()));
        known.ok_or_else(|| s3_error!(InvalidAccessKeyId, "There is no such key: {id}"))
    }
}

#[async_trait::async_trait]
impl S3Access for Keys {
    async fn check(&self, asked: &mut S3AccessContext<'_>) -> S3Result<()> {
        let Some(key) = asked.credentials() else { return Err(s3_error!(AccessDenied, "Requests are to be signed")) };
        let right = Right::of(asked.s3_op().name());
        let may = locked(&self.0.keys).get(&key.access_key).is_some_and(|(_, rights)| rights.contains(&right));
        if may { Ok(()) } else { Err(s3_error!(AccessDenied, "Access Denied")) }
    }
}

/// An S3 server; it ends, and its objects go, when it is dropped.
pub struct Server {
    endpoint: String,
    key: Key,
    shared: Arc<Shared>,
    door: Door,
    runtime: Option<Runtime>,
    _directory: TempDir,
}

impl Server {
    /// Starts one, with an empty bucket and a key that may do everything.
    pub fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let shared = Arc::new(Shared {
            root: directory.path().canonicalize().unwrap(),
            page_names: AtomicUsize::new(PAGE_NAMES),
            keys: Mutex::default(),
            made: Mutex::default(),
        });
        let door = Door::new(&shared);
        let mut service = S3ServiceBuilder::new(door.clone());
        service.set_auth(Keys(Arc::clone(&shared)));
        service.set_access(Keys(Arc::clone(&shared)));
        let (endpoint, runtime) = listen(service.build());
        let key = Key { id: String::new(), secret: String::new() };
        let mut server = Self { endpoint, key, shared, door, runtime: Some(runtime), _directory: directory };
        server.key = server.new_key(&Right::ALL);
        server.make_bucket(BUCKET);
        server
    }

    /// Where it listens.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The bucket that it has from the beginning.
    pub fn bucket(&self) -> &str {
        BUCKET
    }

    /// The key that may do everything.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// A further key, which may do no more than is said.
    pub fn new_key(&self, rights: &[Right]) -> Key {
        let mut keys = locked(&self.shared.keys);
        let number = keys.len();
        let key = Key { id: format!("KEYOFTESTS{number:06}"), secret: format!("secret/of+tests={number:024}") };
        keys.insert(key.id.clone(), (key.secret.clone(), rights.to_vec()));
        key
    }

    /// Lets the key that may do everything do no more than is said from now on.
    pub fn allow(&self, rights: &[Right]) {
        if let Some((_, allowed)) = locked(&self.shared.keys).get_mut(&self.key.id) {
            *allowed = rights.to_vec();
        }
    }

    /// Makes a further bucket.
    pub fn make_bucket(&self, bucket: &str) {
        std::fs::create_dir(self.shared.root.join(bucket)).unwrap();
    }

    /// Lets a page of a listing have so many names at most.
    pub fn set_page(&self, names: usize) {
        self.shared.page_names.store(names, Ordering::Relaxed);
    }

    /// What was made so far, in order.
    pub fn made(&self) -> Vec<Made> {
        locked(&self.shared.made).clone()
    }

    /// How many uploads in parts were begun, and neither completed nor given up.
    pub fn unfinished(&self) -> usize {
        self.door.unfinished()
    }

    /// The names of all objects of a bucket, in order.
    pub fn names(&self, bucket: &str) -> Vec<String> {
        let root = self.shared.root.join(bucket);
        let mut names = Vec::new();
        walk(&root, &mut |path| names.push(path.strip_prefix(&root).unwrap().to_string_lossy().into_owned()));
        names.sort();
        names
    }

    /// An object as it lies there; nothing where there is none.
    pub fn object(&self, bucket: &str, name: &str) -> Option<Vec<u8>> {
        std::fs::read(self.shared.root.join(bucket).join(name)).ok()
    }

    /// Changes a byte of an object as it lies there.
    pub fn damage(&self, bucket: &str, name: &str, at: usize) {
        let path = self.shared.root.join(bucket).join(name);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[at] ^= 0x40;
        std::fs::write(&path, bytes).unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn walk(folder: &Path, found: &mut dyn FnMut(&Path)) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { walk(&path, found) } else { found(&path) }
    }
}

/// Serves on threads of its own; gives the address.
fn listen(service: S3Service) -> (String, Runtime) {
    let runtime = threads("s3-server");
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let serving = http1::Builder::new().serve_connection(TokioIo::new(stream), service.clone());
            tokio::spawn(async move {
                // A client that goes is no fault of the server's.
                let _gone = serving.await;
            });
        }
    });
    (endpoint, runtime)
}

pub(crate) fn threads(name: &str) -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).thread_name(name).enable_all().build().unwrap()
}
