//! `Idempotency-Key`: a repeated request counts once, also after a crash.
//!
//! A key counts for one credential and path. What it stands for is an effect that becomes visible with the rows of its request,
//! in the same frame of the log: there are never the one without the other.
//!
//! Invariants
//! * Of several requests with one key, one is at work at a time; its claim lasts until its last append has ended, whether its
//!   client is still there or not.
//! * Only what stored something is remembered: a refused request may be sent again, with another body too.
//! * At most `most` keys are remembered, each with reasons of at most `REASONS_BYTES_MAX`; beyond that new ones are refused until old ones are forgotten.
use super::Server;
use super::access::Caller;
use super::error::ApiError;
use axum::http::{HeaderMap, StatusCode};
use logyard_storage::Effect;
use logyard_storage::engine::{Ack, Append, Engine};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

const HEADER: &str = "idempotency-key";
/// Of the header's value.
const KEY_BYTES_MAX: usize = 255;
/// How long a key is remembered.
const LIFE_NANOS: i64 = 86_400 * 1_000_000_000;
/// How long a request waits for another one with its key.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// Of the reasons that a key remembers, as JSON. All keys together take memory for as long as they are remembered.
const REASONS_BYTES_MAX: usize = 2 << 10;
/// How often keys are counted anew once there are too many.
const RECOUNT: Duration = Duration::from_secs(10);
const PREFIX: &[u8] = b"once/";

type Key = [u8; 16];

/// How durable what a key stands for was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Reached {
    Memory,
    Wal,
}

impl From<Ack> for Reached {
    fn from(ack: Ack) -> Self {
        match ack {
            Ack::Memory => Self::Memory,
            Ack::Wal => Self::Wal,
        }
    }
}

/// What a key stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Done {
    /// Of the body, or of its lines so far.
    pub(super) hash: String,
    pub(super) reached: Reached,
    /// How many logs or lines were read.
    pub(super) read: usize,
    pub(super) ingested: usize,
    pub(super) failed: usize,
    /// What was said of those that failed.
    pub(super) errors: Vec<String>,
    /// Whether the body was read to its end.
    pub(super) is_whole: bool,
    /// The event time that a single log came with.
    pub(super) time: Option<i64>,
}

impl Done {
    /// Counts one that failed, and keeps the reason. Where a key remembers them, those are kept that come before the first one
    /// for which there is no room.
    pub(super) fn fail(&mut self, reason: String, is_remembered: bool) {
        let are_all_kept = self.errors.len() == self.failed;
        if !is_remembered || are_all_kept && self.has_room(&reason) {
            self.errors.push(reason);
        }
        self.failed += 1;
    }

    fn has_room(&self, reason: &String) -> bool {
        let bytes = |reason: &String| serde_json::to_string(reason).map_or(usize::MAX, |json| json.len());
        let all = self.errors.iter().chain([reason]).map(bytes);
        all.fold(0, usize::saturating_add) <= REASONS_BYTES_MAX
    }
}

/// All keys.
pub(crate) struct Once {
    claims: Mutex<HashMap<Key, Arc<Semaphore>>>,
    most: usize,
    /// About how many are remembered.
    known: AtomicUsize,
    counted: Mutex<Option<Instant>>,
}

/// The right to do what a key stands for.
pub(super) struct Claim {
    server: Arc<Server>,
    key: Key,
    /// Given back before the claim is looked for among the others.
    permit: Option<OwnedSemaphorePermit>,
}

impl Once {
    /// Remembers so many keys.
    pub(crate) fn new(most: usize) -> Self {
        Self { claims: Mutex::default(), most, known: AtomicUsize::new(0), counted: Mutex::default() }
    }

    fn claims(&self) -> MutexGuard<'_, HashMap<Key, Arc<Semaphore>>> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses one more key where there are too many.
    fn check_room(&self, engine: &Engine) -> Result<(), ApiError> {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let is_old = counted.is_none_or(|at| at.elapsed() >= RECOUNT);
        if is_old && (counted.is_none() || self.known.load(Ordering::Relaxed) >= self.most) {
            self.known.store(engine.count_effects(PREFIX), Ordering::Relaxed);
            *counted = Some(Instant::now());
        }
        if self.known.load(Ordering::Relaxed) < self.most {
            return Ok(());
        }
        let error = format!(
            "{} values of Idempotency-Key are remembered, and no more can be: try again later, or send larger batches \
             with a key each",
            self.most
        );
        Err(ApiError::new(StatusCode::TOO_MANY_REQUESTS, error).retry_after(600))
    }
}

/// The claim on the key that a request names; none where it names none.
pub(super) async fn claim(
    server: &Arc<Server>,
    path: &str,
    caller: &Caller,
    headers: &HeaderMap,
) -> Result<Option<Arc<Claim>>, ApiError> {
    let Some(value) = headers.get(HEADER) else { return Ok(None) };
    let bytes = value.as_bytes();
    if !(1..=KEY_BYTES_MAX).contains(&bytes.len()) || !bytes.iter().all(u8::is_ascii_graphic) {
        let wanted = format!("Idempotency-Key has to be 1 to {KEY_BYTES_MAX} visible ASCII characters");
        return Err(ApiError::bad(wanted));
    }
    let key = key_of(&caller.key, path, bytes);
    let turn = Arc::clone(server.once.claims().entry(key).or_insert_with(|| Arc::new(Semaphore::new(1))));
    let mut claim = Claim { server: Arc::clone(server), key, permit: None };
    let turn = tokio::time::timeout(WAIT_MAX, turn.acquire_owned()).await;
    claim.permit = turn.ok().and_then(Result::ok);
    if claim.permit.is_none() {
        let error = "a request with this Idempotency-Key is still at work; send it again when that has ended";
        return Err(ApiError::new(StatusCode::CONFLICT, error));
    }
    Ok(Some(Arc::new(claim)))
}

fn key_of(credential: &str, path: &str, value: &[u8]) -> Key {
    let mut hasher = Sha256::new();
    for part in [credential.as_bytes(), path.as_bytes(), value] {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let hash = hasher.finalize();
    hash.first_chunk().copied().unwrap_or_default()
}

/// A hash as text.
pub(super) fn shown(hash: Sha256) -> String {
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// The hash of a body.
pub(super) fn hash(body: &[u8]) -> String {
    shown(Sha256::new().chain_update(body))
}

/// The same key was used with another body.
pub(super) fn conflict() -> ApiError {
    ApiError::new(StatusCode::CONFLICT, "this Idempotency-Key was used with another body")
}

impl Claim {
    /// The effect's key.
    fn effect_key(&self) -> Vec<u8> {
        [PREFIX, &self.key].concat()
    }

    /// What was done before, as it was committed. Where nothing was and there is no room for it, it is refused.
    pub(super) fn before(&self) -> Result<Option<Vec<u8>>, ApiError> {
        let found = self.server.engine.effect(&self.effect_key());
        if found.is_none() {
            self.server.once.check_room(&self.server.engine)?;
            self.server.once.known.fetch_add(1, Ordering::Relaxed);
        } else {
            self.server.counters.requests_repeated.add(1);
        }
        Ok(found)
    }

    /// What is committed with the rows.
    pub(super) fn effect(&self, done: &Done) -> Effect {
        let value = serde_json::to_vec(done).unwrap_or_default();
        self.effect_of(value)
    }

    fn effect_of(&self, value: Vec<u8>) -> Effect {
        let expires = Some(self.server.env.now().saturating_add(LIFE_NANOS));
        Effect { key: self.effect_key(), value: Some(value), expires }
    }

    /// Makes sure that what was done before is as durable as this request asks.
    pub(super) fn reach(&self, done: &Done, value: Vec<u8>, ack: Ack) -> Result<(), ApiError> {
        if done.reached >= ack.into() {
            return Ok(());
        }
        // It was in the log before: a sync covers both.
        self.server.engine.append(Append { batch: None, effects: vec![self.effect_of(value)], ack })?;
        Ok(())
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut claims = self.server.once.claims();
        drop(self.permit.take());
        // Those that wait have it too.
        if claims.get(&self.key).is_some_and(|turn| Arc::strong_count(turn) == 1) {
            claims.remove(&self.key);
        }
    }
}

/// What was committed, read again.
pub(super) fn read(value: &[u8]) -> Result<Done, ApiError> {
    // Another version wrote what this one cannot read: it cannot be told whether the body is the same.
    serde_json::from_slice(value).map_err(|_| conflict())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_one_of_its_credential_and_path() {
        let of = |credential, path, value: &str| key_of(credential, path, value.as_bytes());
        assert_eq!(of("a", "/b", "c"), of("a", "/b", "c"));
        let all = [of("a", "/b", "c"), of("a/", "b", "c"), of("a", "/bc", ""), of("", "a/b", "c"), of("a", "/b", "d")];
        for (n, key) in all.iter().enumerate() {
            assert!(!all[n + 1..].contains(key));
        }
        assert_eq!(hash(b"").len(), 32);
        assert_ne!(hash(b"a"), hash(b"b"));
        assert!(Reached::from(Ack::Wal) > Reached::Memory);
    }
}
