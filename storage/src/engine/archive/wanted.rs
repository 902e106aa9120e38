//! Who waits until records are in the archive.
//!
//! Invariants
//! * Whoever is told that a record is there is told the truth; whoever is not may find it there later.
//! * Nobody waits longer than he said, and nobody at all once the engine stops.
use super::locked;
use crate::limits::MIB;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long after somebody began to wait all that waits is sealed together, and how much is enough not to wait any longer.
const GATHER: Duration = Duration::from_secs(1);
const GATHER_BYTES: usize = 8 * MIB;

#[derive(Default)]
struct State {
    /// How many wait.
    waiting: usize,
    /// When the first of them began to.
    since: Option<Duration>,
    /// Every record below is in the archive.
    reached: u64,
    is_closed: bool,
}

/// Those who wait.
#[derive(Default)]
pub(super) struct Wanted {
    state: Mutex<State>,
    /// Notified when more is there, and when somebody begins to wait.
    changed: Condvar,
}

impl Wanted {
    /// Waits until a record is in the archive, or for so long. Says whether it is.
    pub(super) fn wait(&self, seq: u64, now: Duration, at_most: Duration) -> bool {
        let mut state = locked(&self.state);
        state.waiting += 1;
        state.since.get_or_insert(now);
        let end = Instant::now() + at_most;
        while state.reached <= seq && !state.is_closed {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.waiting -= 1;
        if state.waiting == 0 {
            state.since = None;
        }
        state.reached > seq
    }

    /// Whether what somebody waits for is sealed now.
    pub(super) fn is_due(&self, now: Duration, hot_bytes: usize) -> bool {
        let mut state = locked(&self.state);
        let Some(since) = state.since else { return false };
        let is_due = now.saturating_sub(since) >= GATHER || hot_bytes >= GATHER_BYTES;
        if is_due {
            // Whoever comes from now on is gathered anew.
            state.since = Some(now);
        }
        is_due
    }

    pub(super) fn has_any(&self) -> bool {
        locked(&self.state).waiting > 0
    }

    /// Notes that every record below is there.
    pub(super) fn reached(&self, below: u64) {
        let mut state = locked(&self.state);
        state.reached = state.reached.max(below);
        self.changed.notify_all();
    }

    /// Lets nobody wait any longer.
    pub(super) fn close(&self) {
        locked(&self.state).is_closed = true;
        self.changed.notify_all();
    }

    /// Lets the thread rest; says whether it goes on after it.
    pub(super) fn pause(&self, time: Duration) -> bool {
        let state = locked(&self.state);
        if state.is_closed {
            return false;
        }
        let (state, _) = self.changed.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner);
        !state.is_closed
    }
}
