//! The targets of the archive, opened from what is configured.
//!
//! Invariants
//! * A target that cannot be opened keeps no server from starting: it is opened again whenever something is asked of it.
//! * A credential goes into what speaks to the target, and nowhere else.
use crate::config::{ArchiveSettings, ArchiveTarget, Place};
use logyard_storage::archive::{Bucket, Bytes, Listed, Put, S3Access, Store, StoreLimits, Target, runtime};
use logyard_storage::env::Env;
use logyard_storage::error::Result;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// How long an object stays that nothing needs any more.
const GRACE: Duration = Duration::from_secs(3_600);

/// Opens what is configured.
pub(crate) fn open_targets(settings: &ArchiveSettings, env: &Arc<dyn Env>) -> Result<Vec<Target>> {
    if settings.targets.is_empty() {
        return Ok(Vec::new());
    }
    let runtime = runtime()?;
    let opened = settings.targets.iter().filter_map(|target| {
        let limits = StoreLimits { requests: target.requests, ..StoreLimits::default() };
        let (place, open): (String, Opener) = match target.target.clone()? {
            Place::S3 { bucket, prefix } => {
                let (place, access, runtime) =
                    (format!("s3://{bucket}/{prefix}"), access(target, bucket, prefix), runtime.clone());
                (place, Box::new(move || Store::s3(&access, limits, &runtime)))
            }
            Place::Directory(path) => {
                let (place, env, runtime) = (format!("file://{}", path.display()), Arc::clone(env), runtime.clone());
                (place, Box::new(move || Store::directory(&env, &path, limits, &runtime)))
            }
        };
        let bucket = Arc::new(Opening { place, open, store: OnceLock::new() });
        Some(Target {
            offload_after: target.offload_after,
            offload_bytes: target.offload_size as u64,
            at_once: target.uploads,
            max_loss: target.max_loss,
            bytes_per_second: target.bandwidth,
            grace: grace(target.object_lock),
            ..Target::new(&target.name, bucket)
        })
    });
    Ok(opened.collect())
}

/// How long what nothing needs any more stays: as long as the bucket may lock it.
fn grace(locked_days: Option<u32>) -> Duration {
    const DAY: u64 = 86_400;
    locked_days.map_or(GRACE, |days| Duration::from_secs(u64::from(days) * DAY).max(GRACE))
}

fn access(target: &ArchiveTarget, bucket: String, prefix: String) -> S3Access {
    let revealed =
        |secret: &Option<_>| secret.as_ref().map(|secret: &crate::config::Secret| secret.reveal().to_owned());
    S3Access {
        bucket,
        prefix,
        endpoint: target.endpoint.clone(),
        region: target.region.clone(),
        access_key_id: revealed(&target.access_key_id),
        secret_access_key: revealed(&target.secret_access_key),
        storage_class: Some(target.storage_class.clone()).filter(|class| !class.is_empty()),
    }
}

type Opener = Box<dyn Fn() -> Result<Store> + Send + Sync>;

/// A target that is opened once it can be.
struct Opening {
    place: String,
    open: Opener,
    store: OnceLock<Store>,
}

impl Opening {
    fn store(&self) -> Result<&Store> {
        match self.store.get() {
            Some(store) => Ok(store),
            None => {
                let opened = (self.open)()?;
                Ok(self.store.get_or_init(|| opened))
            }
        }
    }
}

impl Bucket for Opening {
    fn place(&self) -> String {
        self.place.clone()
    }

    fn put_new(&self, name: &str, len: u64, bytes: &Bytes<'_>) -> Result<Put> {
        self.store()?.put_new(name, len, bytes)
    }

    fn swap(&self, name: &str, bytes: &[u8], seen: Option<&str>) -> Result<Option<String>> {
        self.store()?.swap(name, bytes, seen)
    }

    fn read(&self, name: &str, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.store()?.read(name, offset, buf)
    }

    fn small(&self, name: &str, limit: u64) -> Result<Option<(Vec<u8>, String)>> {
        self.store()?.small(name, limit)
    }

    fn len(&self, name: &str) -> Result<Option<u64>> {
        self.store()?.len(name)
    }

    fn list(&self, folder: &str, found: &mut dyn FnMut(Listed) -> Result<()>) -> Result<()> {
        self.store()?.list(folder, found)
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.store()?.remove(name)
    }
}
