//! The maintenance thread, and when it does what.
//!
//! Ten times a second it seals what is due. While at most half of the hot budget is taken it also does, at most once a
//! look and one after the other: a step of a pending deletion, a merge if anything was sealed since the last time that
//! there was none to do, retention once a day after 02:00 UTC, room on a full disk, a step of the scrubber, and where
//! something was sealed the budgets of services. A deletion that has waited for half a day is carried out whether there is
//! time or not, step by step, so that load that goes on and on does not keep what was deleted. What it reads and writes for
//! all this keeps to a budget ([`super::turn`]): the pauses that it takes are used to seal.
//!
//! Invariants
//! * Sealing comes first: it is what appends wait for.
//! * What is deleted is gone from the files within a day, however much arrives meanwhile.
//! * Something that fails is said once, and left alone for a minute; nothing else waits for it.
use super::bucket::Bucket;
use super::compact::Effort;
use super::spares::Spares;
use super::turn::Throttle;
use crate::catalog::Change;
use crate::engine::{Shared, locked};
use crate::error::{Error, ErrorKind, Result};
use crate::retention::DAY_NANOS;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often the thread looks whether there is something to do.
const LOOK: Duration = Duration::from_millis(100);
/// How long something that failed is left alone.
const PAUSE: Duration = Duration::from_secs(60);
/// How often what is believed of the time is written down.
const CLOCK: Duration = Duration::from_secs(3_600);
/// For how long the scrubber saves up what it may read.
const SCRUB_SAVES: Duration = Duration::from_secs(1);
/// How long a deletion waits for time to be carried out in; what is left of the day is for doing it.
const DELETION_WAIT_MAX: Duration = Duration::from_secs(12 * 3_600);
/// When retention runs, after midnight UTC.
const RETAIN_AT: i64 = 2 * 3_600_000_000_000;

/// The maintenance thread, and the one that makes log files.
pub(crate) struct Worker {
    thread: Mutex<Option<JoinHandle<()>>>,
    spares: Spares,
    signal: Arc<(Mutex<()>, Condvar)>,
    stop: Arc<AtomicBool>,
}

impl Worker {
    pub(crate) fn start(shared: Arc<Shared>, background: bool) -> Result<Self> {
        let signal = Arc::new((Mutex::new(()), Condvar::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let spares = Spares::start(Arc::clone(&shared.files), background)?;
        let thread = if background {
            let (signal, stop) = (Arc::clone(&signal), Arc::clone(&stop));
            let run = move || run(&shared, &signal, &stop);
            let spawned = std::thread::Builder::new().name("maintain".into()).spawn(run);
            Some(spawned.map_err(|e| Error::new(ErrorKind::Io, format!("cannot start the maintenance thread: {e}")))?)
        } else {
            None
        };
        Ok(Self { thread: Mutex::new(thread), spares, signal, stop })
    }

    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
        self.signal.1.notify_all();
        if let Some(thread) = locked(&self.thread).take() {
            // A panic of the thread was printed when it happened.
            let _ended = thread.join();
        }
        self.spares.stop();
    }
}

fn run(shared: &Shared, signal: &(Mutex<()>, Condvar), stop: &Arc<AtomicBool>) {
    let mut chores = Chores::new(shared, Arc::clone(stop));
    while !stop.load(Ordering::SeqCst) {
        if chores.throttle.seal(shared) && !stop.load(Ordering::SeqCst) {
            chores.work(shared);
        }
        let held = locked(&signal.0);
        let _woken = signal.1.wait_timeout(held, LOOK).unwrap_or_else(PoisonError::into_inner);
    }
}

/// A chore that failed: until when it is left alone, and what was said of it.
#[derive(Default)]
struct Failure {
    until: Duration,
    said: String,
}

/// What the thread remembers from look to look.
pub(super) struct Chores {
    /// What it may read and write.
    throttle: Throttle,
    /// What the scrubber may read of that.
    scrubbed: Bucket,
    /// The number of the next segment when there was nothing to merge.
    merged_at: u64,
    clock_written: Duration,
    /// The number of the next segment when budgets were looked at.
    budgets_at: (u64, u64),
    failures: [Failure; 7],
}

impl Chores {
    pub(super) fn new(shared: &Shared, stop: Arc<AtomicBool>) -> Self {
        let now = shared.env.monotonic();
        Self {
            throttle: Throttle::new(shared, stop),
            scrubbed: Bucket::new(shared.options.scrub_bytes_per_second, SCRUB_SAVES, now),
            merged_at: 0,
            clock_written: now,
            budgets_at: (0, 0),
            failures: Default::default(),
        }
    }

    /// Does a little of everything that is due where there is time for it, and else of what cannot wait any longer.
    pub(super) fn work(&mut self, shared: &Shared) {
        if shared.has_time() {
            self.look(shared);
        } else if shared.has_overdue_deletion() {
            self.delete(shared);
        }
    }

    fn delete(&mut self, shared: &Shared) {
        self.attempt(shared, 0, "deleting", Self::carry_out);
    }

    /// Does a little of everything that is due.
    pub(super) fn look(&mut self, shared: &Shared) {
        shared.say_losses();
        self.delete(shared);
        self.attempt(shared, 1, "merging", Self::merge);
        self.attempt(shared, 2, "retention", |chores, shared| shared.retain_daily(&chores.throttle));
        self.attempt(shared, 3, "making room", |_, shared| shared.free_disk());
        self.attempt(shared, 4, "noting the time", Self::write_clock);
        self.attempt(shared, 5, "scrubbing", Self::scrub);
        self.attempt(shared, 6, "keeping budgets", Self::keep_budgets);
    }

    fn attempt(&mut self, shared: &Shared, number: usize, doing: &str, act: fn(&mut Self, &Shared) -> Result<()>) {
        let now = shared.env.monotonic();
        if self.failures.get(number).is_some_and(|failure| now < failure.until) {
            return;
        }
        let outcome = act(self, shared);
        let Some(failure) = self.failures.get_mut(number) else { return };
        match outcome {
            Ok(()) => *failure = Failure::default(),
            // A stop came in between: nothing failed.
            Err(e) if e.kind() == ErrorKind::Closed => {}
            Err(e) => {
                failure.until = now + PAUSE;
                let says = e.to_string();
                if failure.said != says {
                    shared.trouble(format!("{doing}: {says}"));
                    failure.said = says;
                }
            }
        }
    }

    fn merge(&mut self, shared: &Shared) -> Result<()> {
        let next = shared.next_segment.load(Ordering::SeqCst);
        if next == self.merged_at {
            return Ok(());
        }
        let turn = shared.turn_within(Some(&self.throttle));
        if !shared.merge_some(&turn, Effort::Worthwhile)? {
            self.merged_at = next;
        }
        Ok(())
    }

    fn carry_out(&mut self, shared: &Shared) -> Result<()> {
        if shared.deletions().is_empty() {
            return Ok(());
        }
        self.throttle.hurry(shared.has_overdue_deletion());
        let carried_out = shared.carry_out(&shared.turn_within(Some(&self.throttle)), 1);
        self.throttle.hurry(false);
        carried_out.map(drop)
    }

    /// As many bytes as the scrubber may read now, once a pass is due.
    fn scrub(&mut self, shared: &Shared) -> Result<()> {
        let now = shared.env.monotonic();
        let budget = self.scrubbed.holds(now);
        if budget > 0 && shared.is_scrub_due() {
            let bytes = shared.scrub_step(budget)?.bytes;
            self.scrubbed.take(bytes, now);
            self.throttle.take(shared, bytes);
        }
        Ok(())
    }

    fn keep_budgets(&mut self, shared: &Shared) -> Result<()> {
        // What was copied to the archive can leave now.
        let seen = (shared.next_segment.load(Ordering::SeqCst), shared.archive.copied());
        if seen != self.budgets_at {
            shared.retain_budgets(&self.throttle)?;
            self.budgets_at = seen;
        }
        Ok(())
    }

    fn write_clock(&mut self, shared: &Shared) -> Result<()> {
        let now = shared.env.monotonic();
        if now < self.clock_written + CLOCK {
            return Ok(());
        }
        self.clock_written = now;
        shared.write_clock()
    }
}

/// The day whose retention pass is the last one due.
fn retention_day(now: i64) -> i64 {
    now.saturating_sub(RETAIN_AT).div_euclid(DAY_NANOS)
}

impl Shared {
    /// Whether there is time for more than sealing.
    fn has_time(&self) -> bool {
        self.hot_bytes.load(Ordering::Relaxed) <= self.options.hot_bytes_max / 2
    }

    /// Whether a deletion has waited for too long, or was asked for at a time that the clock was set back from.
    fn has_overdue_deletion(&self) -> bool {
        let now = self.env.now();
        let waited = |at: i64| u64::try_from(now.saturating_sub(at)).map_or(Duration::MAX, Duration::from_nanos);
        self.deletions().iter().any(|deletion| waited(deletion.at) >= DELETION_WAIT_MAX)
    }

    fn retain_daily(&self, throttle: &Throttle) -> Result<()> {
        let day = retention_day(self.env.now());
        if self.retained_day.load(Ordering::SeqCst) == day {
            return Ok(());
        }
        self.retain_within(Some(throttle), false)?;
        self.retained_day.store(day, Ordering::SeqCst);
        self.write_clock()
    }

    fn write_clock(&self) -> Result<()> {
        let mut change = Change::new();
        self.put_clock(&mut change)?;
        // Where it is in doubt, it is right all the same, or early: the next one says more.
        self.commit_catalog(&change, &Change::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_of_retention_begins_at_two() {
        let two = 20_000 * DAY_NANOS + RETAIN_AT;
        assert_eq!(retention_day(two), 20_000);
        assert_eq!(retention_day(two - 1), 19_999);
    }
}
