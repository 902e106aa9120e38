//! Who waits until records are in the archive.
//!
//! Invariants
//! * Whoever is told that a record is there is told the truth; whoever is not may find it there later.
//! * Nobody is held up: whoever waits asks again.
use super::{Shared, locked};
use crate::limits::MIB;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// How long after somebody began to wait all that waits is sealed together, and how much is enough not to wait any longer.
const GATHER: Duration = Duration::from_secs(1);
const GATHER_BYTES: usize = 8 * MIB;

#[derive(Default)]
struct State {
    /// How many wait.
    waiting: usize,
    /// When the first of them began to whose records are not sealed for it yet.
    since: Option<Duration>,
    /// Every record below was waited for: it is copied also where nobody waits any longer.
    until: u64,
    /// Every record below is in the archive.
    reached: u64,
    is_closed: bool,
}

/// Those who wait.
#[derive(Default)]
pub(super) struct Wanted {
    state: Mutex<State>,
    /// Notified when the thread is to end.
    closed: Condvar,
}

/// Somebody who waits, until this is dropped.
pub struct ArchiveWait {
    shared: Arc<Shared>,
    /// The last record that is waited for.
    seq: u64,
}

impl ArchiveWait {
    pub(super) fn begin(shared: &Arc<Shared>, seq: u64) -> Self {
        shared.archive.wanted.begin(seq, shared.env.monotonic());
        Self { shared: Arc::clone(shared), seq }
    }

    /// Whether all that was appended before is in the archive's first target.
    pub fn is_there(&self) -> bool {
        self.shared.archive.wanted.has(self.seq)
    }
}

impl Drop for ArchiveWait {
    fn drop(&mut self) {
        self.shared.archive.wanted.end();
    }
}

impl Wanted {
    /// One more waits, from now on.
    fn begin(&self, seq: u64, now: Duration) {
        let mut state = locked(&self.state);
        state.waiting += 1;
        state.since.get_or_insert(now);
        state.until = state.until.max(seq.saturating_add(1));
    }

    fn end(&self) {
        locked(&self.state).waiting -= 1;
    }

    fn has(&self, seq: u64) -> bool {
        locked(&self.state).reached > seq
    }

    /// Whether what somebody waits for is sealed now.
    pub(super) fn is_due(&self, now: Duration, hot_bytes: usize) -> bool {
        let mut state = locked(&self.state);
        let Some(since) = state.since else { return false };
        let is_due = now.saturating_sub(since) >= GATHER || hot_bytes >= GATHER_BYTES;
        if is_due {
            // Whoever comes from now on is gathered anew.
            state.since = None;
        }
        is_due
    }

    /// Every record below was waited for.
    pub(super) fn until(&self) -> u64 {
        locked(&self.state).until
    }

    pub(super) fn has_any(&self) -> bool {
        locked(&self.state).waiting > 0
    }

    /// Notes that every record below is there.
    pub(super) fn reached(&self, below: u64) {
        let mut state = locked(&self.state);
        state.reached = state.reached.max(below);
    }

    /// Lets the thread end.
    pub(super) fn close(&self) {
        locked(&self.state).is_closed = true;
        self.closed.notify_all();
    }

    /// Lets the thread rest; says whether it goes on after it.
    pub(super) fn pause(&self, time: Duration) -> bool {
        let state = locked(&self.state);
        if state.is_closed {
            return false;
        }
        let (state, _) = self.closed.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner);
        !state.is_closed
    }
}
