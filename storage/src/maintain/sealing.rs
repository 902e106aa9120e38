//! Seals what is due, and gives a seal that failed time before it is tried again.
//!
//! Invariants
//! * When [`Backoff`] says what depends on nothing but what it is told.
//! * A seal is tried again at the latest after [`REST_MAX`]; at once when an append begins to wait for room, or when a disk
//!   that was full has room again.
use crate::engine::Shared;
use crate::error::ErrorKind;
use crate::limits::MIB;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long the first failure is rested from; twice as long after each one more.
const REST: Duration = Duration::from_millis(200);
/// The longest rest.
const REST_MAX: Duration = Duration::from_secs(30);
/// The longest rest while appends wait for room.
const WANTED_REST_MAX: Duration = Duration::from_secs(1);
/// How much more room there has to be for a full disk to have some again.
const ROOM: u64 = MIB as u64;

/// What there is to see between seals.
#[derive(Clone, Copy, Debug)]
struct Look {
    now: Duration,
    /// Whether appends wait for room in memory.
    is_wanted: bool,
    /// Bytes that the disk takes.
    room: u64,
}

/// A failure, and how many came before it without a success between.
#[derive(Clone, Copy, Debug)]
struct Backoff {
    failures: u32,
    last: Look,
    was_full: bool,
}

impl Backoff {
    fn of(before: Option<Self>, last: Look, was_full: bool) -> Self {
        Self { failures: before.map_or(0, |before| before.failures.saturating_add(1)), last, was_full }
    }

    fn is_over(&self, look: &Look) -> bool {
        let most = if look.is_wanted { WANTED_REST_MAX } else { REST_MAX };
        let rest = REST.saturating_mul(1 << self.failures.min(16)).min(most);
        look.now >= self.last.now.saturating_add(rest)
            || look.is_wanted && !self.last.is_wanted
            || self.was_full && look.room >= self.last.room.saturating_add(ROOM)
    }
}

/// What is remembered from seal to seal.
#[derive(Default)]
pub(super) struct Sealing(Option<Backoff>);

impl Sealing {
    /// Seals what is due, unless that failed a moment ago. Says whether nothing is in its way.
    pub(super) fn look(&mut self, shared: &Shared) -> bool {
        if self.0.is_some_and(|backoff| !backoff.is_over(&look(shared))) {
            return false;
        }
        match shared.seal_what_is_due() {
            Ok(()) => self.0 = None,
            Err(e) => {
                // Said once, not at each try.
                if self.0.is_none() {
                    shared.trouble(format!("sealing: {e}"));
                }
                self.0 = Some(Backoff::of(self.0, look(shared), e.kind() == ErrorKind::DiskFull));
            }
        }
        self.0.is_none()
    }
}

fn look(shared: &Shared) -> Look {
    Look {
        now: shared.env.monotonic(),
        is_wanted: shared.hot_wanted.load(Ordering::SeqCst) > 0,
        // A disk that cannot be asked is tried when it is time.
        room: shared.env.space(shared.layout.root()).map_or(0, |space| space.available),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn look(ms: u64, is_wanted: bool, room: u64) -> Look {
        Look { now: Duration::from_millis(ms), is_wanted, room }
    }

    /// When it is over, to the millisecond, where nothing happens.
    fn rest(backoff: Backoff, is_wanted: bool) -> u64 {
        (0..).find(|ms| backoff.is_over(&look(*ms, is_wanted, 0))).unwrap()
    }

    fn failed(times: u32, is_wanted: bool, was_full: bool) -> Backoff {
        let first = Backoff::of(None, look(0, is_wanted, 0), was_full);
        (1..times).fold(first, |before, _| Backoff::of(Some(before), look(0, is_wanted, 0), was_full))
    }

    #[test]
    fn rests_grow_and_are_bounded() {
        let rests: Vec<u64> = [1, 2, 3, 8, 9, 100].map(|times| rest(failed(times, false, false), false)).into();
        assert_eq!(rests, [200, 400, 800, 25_600, 30_000, 30_000]);
        assert_eq!([1, 3, 4, 100].map(|times| rest(failed(times, true, false), true)), [200, 800, 1_000, 1_000]);
    }

    #[test]
    fn an_append_that_begins_to_wait_ends_a_rest() {
        let backoff = failed(10, false, false);
        assert!(!backoff.is_over(&look(1, false, 0)) && backoff.is_over(&look(1, true, 0)));
        assert!(!failed(10, true, false).is_over(&look(1, true, 0)), "one that waited before it does not");
    }

    #[test]
    fn room_on_a_disk_that_was_full_ends_a_rest() {
        let backoff = failed(10, false, true);
        assert!(!backoff.is_over(&look(1, false, ROOM - 1)) && backoff.is_over(&look(1, false, ROOM)));
        assert!(!failed(10, false, false).is_over(&look(1, false, u64::MAX)), "another failure has nothing of it");
    }
}
