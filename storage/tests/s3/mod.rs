//! The archive's door to object storage, and the engine behind it, against an S3 server with a proxy before it that fails.
mod alone;
mod outside;
mod refused;
mod rounds;
mod together;
mod word;

use logyard_s3_rig::{Key, Kind, Proxy, Server};
use logyard_storage::archive::{Bucket, Put, S3Access, Store, StoreLimits, runtime};
use logyard_storage::error::Result;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::runtime::Runtime;

const MIB: u64 = 1 << 20;

/// A server, the proxy before it, and the door to both.
pub(crate) struct Rig {
    pub(crate) server: Server,
    pub(crate) proxy: Proxy,
}

impl Rig {
    pub(crate) fn new(seed: u64) -> Self {
        let server = Server::start();
        let proxy = Proxy::start(server.endpoint(), seed);
        Self { server, proxy }
    }

    /// The bucket as it is reached through the proxy.
    pub(crate) fn store(&self) -> Store {
        store(&access(self.proxy.endpoint(), self.server.bucket(), self.server.key()))
    }

    /// The same by somebody who does not wait for long, where something may never come.
    pub(crate) fn hasty(&self) -> Store {
        let access = access(self.proxy.endpoint(), self.server.bucket(), self.server.key());
        let limits = StoreLimits {
            ask_timeout: Duration::from_millis(700),
            read_timeout: Duration::from_millis(700),
            write_timeout: Duration::from_secs(2),
            patience: Duration::from_secs(10),
            ..limits()
        };
        Store::s3(&access, limits, threads()).unwrap()
    }

    /// By which of both a fault is met.
    fn store_for(&self, kind: Kind) -> Store {
        if matches!(kind, Kind::Hangs | Kind::Stalls) { self.hasty() } else { self.store() }
    }

    /// The bucket as it is.
    pub(crate) fn plainly(&self) -> Store {
        store(&access(self.server.endpoint(), self.server.bucket(), self.server.key()))
    }

    /// An object as it lies at the server.
    fn object(&self, name: &str) -> Option<Vec<u8>> {
        self.server.object(self.server.bucket(), &format!("logyard/{name}"))
    }

    fn happened(&self, kind: Kind) -> u64 {
        self.proxy.counts().of(kind)
    }
}

pub(crate) fn access(endpoint: &str, bucket: &str, key: &Key) -> S3Access {
    S3Access {
        bucket: bucket.into(),
        prefix: "logyard/".into(),
        endpoint: Some(endpoint.into()),
        region: "us-east-1".into(),
        access_key_id: Some(key.id.clone()),
        secret_access_key: Some(key.secret.clone()),
        storage_class: None,
    }
}

/// What is tried again is tried at once.
pub(crate) fn limits() -> StoreLimits {
    StoreLimits { pause_max: Duration::from_millis(5), ..StoreLimits::default() }
}

/// One set of threads for all tests: connections are kept beyond the test that made them.
pub(crate) fn threads() -> &'static Arc<Runtime> {
    static THREADS: OnceLock<Arc<Runtime>> = OnceLock::new();
    THREADS.get_or_init(|| runtime().unwrap())
}

pub(crate) fn store(access: &S3Access) -> Store {
    Store::s3(access, limits(), threads()).unwrap()
}

pub(crate) fn put(bucket: &dyn Bucket, name: &str, body: &[u8]) -> Result<Put> {
    bucket.put_new(name, body.len() as u64, &|at, buf| {
        buf.copy_from_slice(&body[at as usize..at as usize + buf.len()]);
        Ok(())
    })
}

pub(crate) fn read(bucket: &dyn Bucket, name: &str, at: u64, len: usize) -> Result<Vec<u8>> {
    let mut buf = vec![0; len];
    bucket.read(name, at, &mut buf).map(|()| buf)
}

/// Bytes that are told apart by their seed and by where they are.
pub(crate) fn body(seed: u8, len: usize) -> Vec<u8> {
    (0..len).map(|at| (at as u64).wrapping_mul(0x9e37_79b9).to_le_bytes()[2] ^ seed).collect()
}

/// The names in a folder, in order.
pub(crate) fn names(bucket: &dyn Bucket, folder: &str) -> Result<Vec<String>> {
    let mut names = Vec::new();
    bucket.list(folder, &mut |listed| {
        names.push(listed.name);
        Ok(())
    })?;
    names.sort();
    Ok(names)
}
