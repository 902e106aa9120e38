//! Keys that were made: found by the id that is part of them, known by their hash, good for scopes and services.
//!
//! A key is `lyk_<id>_<64 hex digits>`. The id is no secret: lists, records and copies name the key by it.
//!
//! Invariants
//! * The key itself is said once, to who had it made. What is compared is its hash, in constant time.
//! * Changes hold in the catalog before they hold here, and here in the order in which they were made there.
//! * When a key was used last is known here at once, and written down once in a while.
//! * Whoever came in with a key has the key itself, which says from then on whether it still counts.
use super::table::Scope;
use crate::server::admin_key::{KeyHash, random_digits};
use crate::server::error::ApiError;
use axum::http::StatusCode;
use logyard_storage::catalog::KeyRecord;
use logyard_storage::engine::Engine;
use logyard_storage::env::Env;
use logyard_storage::error::{Error, ErrorKind, Result};
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;

const PREFIX: &str = "lyk_";
/// What a key can be good for, as people write it.
pub(in crate::server) const SCOPES: [(&str, Scope); 3] =
    [("ingest", Scope::Ingest), ("read", Scope::Read), ("admin", Scope::Admin)];
/// A key that was never used.
const NEVER: i64 = i64::MIN;
/// How often a key that ends by itself is asked whether it has, since the clock may be set.
const LOOK: Duration = Duration::from_secs(1);

/// Why a key does not count any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum KeyEnd {
    Revoked,
    Expired,
}

impl fmt::Display for KeyEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Revoked => "the key has been revoked",
            Self::Expired => "the key has expired",
        })
    }
}

impl std::error::Error for KeyEnd {}

impl From<KeyEnd> for ApiError {
    fn from(end: KeyEnd) -> Self {
        invalid().with("message", end.to_string())
    }
}

/// The answer to a key that is none.
pub(super) fn invalid() -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, "Invalid API key")
}

/// A key that was made.
pub(super) struct Key {
    pub(super) id: Arc<str>,
    hash: KeyHash,
    scopes: Vec<Scope>,
    /// The only services that it is for.
    pub(super) services: Option<Arc<[String]>>,
    expires_at: Option<i64>,
    last_used_at: AtomicI64,
    is_revoked: watch::Sender<bool>,
}

impl Key {
    fn of(id: &str, record: &KeyRecord) -> Self {
        let scopes = SCOPES.iter().filter(|(name, _)| record.scopes.iter().any(|scope| scope == name));
        Self {
            id: id.into(),
            hash: KeyHash::from_bytes(record.hash),
            scopes: scopes.map(|(_, scope)| *scope).collect(),
            services: (!record.services.is_empty()).then(|| record.services.clone().into()),
            expires_at: record.expires_at,
            last_used_at: AtomicI64::new(record.last_used_at.unwrap_or(NEVER)),
            is_revoked: watch::Sender::new(false),
        }
    }

    /// An administrator's key is good for everything.
    pub(super) fn is_good_for(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope) || self.scopes.contains(&Scope::Admin)
    }

    /// Whether it still counts.
    pub(super) fn check(&self, now: i64) -> std::result::Result<(), KeyEnd> {
        match self.expires_at {
            _ if *self.is_revoked.borrow() => Err(KeyEnd::Revoked),
            Some(at) if at <= now => Err(KeyEnd::Expired),
            _ => Ok(()),
        }
    }

    /// Waits until it does not count any more.
    pub(super) async fn end(&self, env: &dyn Env) -> KeyEnd {
        let mut revoked = self.is_revoked.subscribe();
        loop {
            let now = env.now();
            if let Err(end) = self.check(now) {
                return end;
            }
            let left = self.expires_at.map(|at| u64::try_from(at.saturating_sub(now)).unwrap_or(0));
            // It fails only where nobody can revoke the key any more, and the key is here.
            let _changed = match left {
                None => revoked.changed().await.is_ok(),
                Some(left) => timeout(Duration::from_nanos(left).min(LOOK), revoked.changed()).await.is_ok(),
            };
        }
    }

    pub(super) fn note_use(&self, now: i64) {
        self.last_used_at.fetch_max(now, Ordering::Relaxed);
    }

    fn last_used_at(&self) -> Option<i64> {
        Some(self.last_used_at.load(Ordering::Relaxed)).filter(|at| *at != NEVER)
    }
}

/// All of them, by id.
#[derive(Default)]
pub(in crate::server) struct Keys {
    known: RwLock<HashMap<Arc<str>, Arc<Key>>>,
    /// Held from a change in the catalog until it holds here, so that none overtakes another.
    changing: Mutex<()>,
}

impl Keys {
    /// Those that the engine keeps.
    pub(super) fn of(engine: &Engine) -> Self {
        let keys = engine.keys();
        let keys = keys.iter().map(|(id, record)| Arc::new(Key::of(id, record)));
        Self { known: RwLock::new(keys.map(|key| (Arc::clone(&key.id), key)).collect()), changing: Mutex::default() }
    }

    /// The key that a client brings, if it is one.
    pub(super) fn find(&self, brought: &str) -> Option<Arc<Key>> {
        let (id, _) = brought.strip_prefix(PREFIX)?.split_once('_')?;
        let key = Arc::clone(self.known.read().unwrap_or_else(PoisonError::into_inner).get(id)?);
        key.hash.matches(brought).then_some(key)
    }

    /// Makes a key; gives its id and, once, the key itself.
    pub(in crate::server) fn make(&self, engine: &Engine, id: u64, mut record: KeyRecord) -> Result<(String, String)> {
        let id = format!("{:012x}", id >> 16);
        let digits = random_digits().map_err(|e| Error::new(ErrorKind::Io, format!("cannot make a key: {e}")))?;
        let whole = format!("{PREFIX}{id}_{digits}");
        record.hash = KeyHash::of(&whole).to_bytes();
        let key = Key::of(&id, &record);
        let _one_at_a_time = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        engine.add_key(&id, record)?;
        self.known.write().unwrap_or_else(PoisonError::into_inner).insert(id.as_str().into(), Arc::new(key));
        Ok((id, whole))
    }

    /// Revokes a key and gives what was kept of it, if there was one.
    pub(in crate::server) fn revoke(&self, engine: &Engine, id: &str) -> Result<Option<KeyRecord>> {
        let _one_at_a_time = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let removed = engine.remove_key(id)?;
        let key = self.known.write().unwrap_or_else(PoisonError::into_inner).remove(id);
        if let Some(key) = key {
            key.is_revoked.send_replace(true);
        }
        Ok(removed)
    }

    /// When a key was used last.
    pub(in crate::server) fn last_used_at(&self, id: &str) -> Option<i64> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(id)?.last_used_at()
    }

    /// Writes down when each was used last. This blocks.
    pub(super) fn write_uses(&self, engine: &Engine) -> Result<()> {
        let used = |key: &Arc<Key>| Some((key.id.to_string(), key.last_used_at()?));
        let uses: Vec<_> =
            self.known.read().unwrap_or_else(PoisonError::into_inner).values().filter_map(used).collect();
        engine.note_key_uses(&uses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use logyard_storage::engine::Options;
    use logyard_storage::env::RealEnv;
    use std::sync::TryLockError;

    #[test]
    fn a_key_is_not_revoked_while_it_is_made() {
        let data = tempfile::tempdir().unwrap();
        let engine = Engine::open(Arc::new(RealEnv::new()), Options::new(data.path())).unwrap();
        let keys = Keys::default();
        let is_held = || matches!(keys.changing.try_lock(), Err(TryLockError::WouldBlock));
        let record = KeyRecord {
            name: "n".into(),
            hash: Default::default(),
            scopes: vec!["read".into()],
            services: Vec::new(),
            created_at: 1,
            expires_at: None,
            last_used_at: None,
        };
        // Each change stops between the catalog and here.
        let wait = |keys_there: usize| {
            while engine.keys().len() != keys_there {
                std::thread::yield_now();
            }
        };
        let (id, key) = std::thread::scope(|scope| {
            let reading = keys.known.read().unwrap();
            let making = scope.spawn(|| keys.make(&engine, 7 << 16, record).unwrap());
            wait(1);
            assert!(is_held(), "a key that is being made could be revoked");
            drop(reading);
            making.join().unwrap()
        });
        assert!(keys.find(&key).is_some() && !is_held());
        std::thread::scope(|scope| {
            let reading = keys.known.read().unwrap();
            let revoking = scope.spawn(|| keys.revoke(&engine, &id).unwrap());
            wait(0);
            assert!(is_held(), "a key that is being revoked could be made");
            drop(reading);
            assert!(revoking.join().unwrap().is_some() && keys.find(&key).is_none());
        });
        engine.close().unwrap();
    }
}
