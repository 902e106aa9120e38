//! Whose turn it is at changing segments, and how fast it goes.
//!
//! Whoever merges, rewrites or removes segments has a turn. Whoever asked for it has all that the disk gives. The worker
//! has a budget of bytes, read and written: each step is paid before the next one, in pauses.
//!
//! Invariants
//! * One turn at a time: segments change only under it, and appear by a seal besides.
//! * A pause gives up the lock that seals wait for, and the worker seals in it what is due.
//! * Nobody waits for a pause: it ends when somebody wants a turn, and when the engine stops, which ends the work as well.
//! * What cannot wait any longer is not paid.
use super::bucket::Bucket;
use super::sealing::Sealing;
use crate::engine::{Shared, locked};
use crate::error::{Error, ErrorKind, Result};
use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

/// How long a pause lasts before it is looked whether it should end.
const PAUSE: Duration = Duration::from_millis(10);

/// Who has a turn, and who wants one.
#[derive(Default)]
pub(crate) struct Turns {
    taken: Mutex<()>,
    waiting: AtomicUsize,
    /// Whether somebody wanted the turn that is taken and did not wait for it.
    refused: AtomicBool,
}

impl Turns {
    pub(super) fn is_wanted(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0 || self.refused.load(Ordering::SeqCst)
    }
}

/// The budget of the worker.
pub(super) struct Throttle {
    bucket: RefCell<Bucket>,
    /// Whether what is done now cannot wait any longer.
    hurries: Cell<bool>,
    stop: Arc<AtomicBool>,
    sealing: RefCell<Sealing>,
}

impl Throttle {
    pub(super) fn new(shared: &Shared, stop: Arc<AtomicBool>) -> Self {
        let rate = shared.options.maintenance_bytes_per_second;
        let bucket = Bucket::new(rate, Duration::ZERO, shared.env.monotonic());
        Self { bucket: RefCell::new(bucket), hurries: Cell::new(false), stop, sealing: RefCell::default() }
    }

    /// Says whether what follows cannot wait any longer.
    pub(super) fn hurry(&self, hurries: bool) {
        self.hurries.set(hurries);
    }

    fn is_urgent(&self, shared: &Shared) -> bool {
        self.hurries.get() || shared.turns.is_wanted()
    }

    /// Seals what is due. Says whether that works.
    pub(super) fn seal(&self, shared: &Shared) -> bool {
        self.sealing.borrow_mut().look(shared)
    }

    /// Notes bytes that are paid before the next step of whoever pays. What is urgent is free: it would only be owed by
    /// what comes after.
    pub(super) fn take(&self, shared: &Shared, bytes: u64) {
        if !self.is_urgent(shared) {
            self.bucket.borrow_mut().take(bytes, shared.env.monotonic());
        }
    }

    /// Waits until all is paid. For whoever holds no lock that seals wait for.
    fn wait(&self, shared: &Shared) -> Result<()> {
        loop {
            if self.stop.load(Ordering::SeqCst) {
                return Err(Error::new(ErrorKind::Closed, "the engine is shutting down"));
            }
            self.seal(shared);
            let owes = self.bucket.borrow().owes(shared.env.monotonic());
            if owes.is_zero() || self.is_urgent(shared) {
                return Ok(());
            }
            shared.env.pause(owes.min(PAUSE));
        }
    }
}

/// A turn at changing segments, until it is dropped.
pub(crate) struct Turn<'a> {
    shared: &'a Shared,
    throttle: Option<&'a Throttle>,
    /// What seals wait for: given back before the turn is.
    sealing: RefCell<Option<MutexGuard<'a, ()>>>,
    _taken: MutexGuard<'a, ()>,
}

impl Turn<'_> {
    /// Pays for bytes that were read or written. For places where a seal may come in between.
    pub(super) fn pay(&self, bytes: u64) -> Result<()> {
        let Some(throttle) = self.throttle else { return Ok(()) };
        throttle.take(self.shared, bytes);
        drop(self.sealing.take());
        let waited = throttle.wait(self.shared);
        self.sealing.replace(Some(locked(&self.shared.maintenance)));
        waited
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.shared.turns.refused.store(false, Ordering::SeqCst);
    }
}

impl Shared {
    /// A turn without bounds, for whoever waits for what is done in it.
    pub(crate) fn turn(&self) -> Turn<'_> {
        self.turn_within(None)
    }

    /// A turn within a budget, if there is one.
    pub(super) fn turn_within<'a>(&'a self, throttle: Option<&'a Throttle>) -> Turn<'a> {
        self.turns.waiting.fetch_add(1, Ordering::SeqCst);
        let taken = locked(&self.turns.taken);
        self.turns.waiting.fetch_sub(1, Ordering::SeqCst);
        Turn { shared: self, throttle, sealing: RefCell::new(Some(locked(&self.maintenance))), _taken: taken }
    }

    /// A turn without bounds, unless somebody is at work on segments.
    pub(super) fn try_turn(&self) -> Option<Turn<'_>> {
        let Some(taken) = tried(&self.turns.taken) else {
            self.turns.refused.store(true, Ordering::SeqCst);
            return None;
        };
        let sealing = RefCell::new(Some(tried(&self.maintenance)?));
        Some(Turn { shared: self, throttle: None, sealing, _taken: taken })
    }
}

fn tried(mutex: &Mutex<()>) -> Option<MutexGuard<'_, ()>> {
    match mutex.try_lock() {
        Ok(held) => Some(held),
        Err(TryLockError::Poisoned(poisoned)) => Some(PoisonError::into_inner(poisoned)),
        Err(TryLockError::WouldBlock) => None,
    }
}
