//! What bounds a scan: how much memory it may hold, and whether somebody has lost interest in it.
//!
//! Held are the pages and columns that were read of the parts that are being looked at, until the scan is done with each,
//! and the rows that it keeps, until its end.
//!
//! Invariants
//! * Nothing is held that was not counted before; what would pass a limit ends the scan with an error that names it.
//! * A scan looks before each part whether it was cancelled.
use super::partial::Partial;
use crate::env::Env;
use crate::error::{Error, ErrorKind, Result};
use crate::memory::Memory;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Ends the scans that it was given to. Clones are one and the same.
#[derive(Clone, Debug, Default)]
pub struct Cancel {
    is_asked: Arc<AtomicBool>,
    deadline: Option<Deadline>,
}

/// When a scan has to end.
#[derive(Clone)]
struct Deadline {
    env: Arc<dyn Env>,
    at: Duration,
    allowed: Duration,
}

impl fmt::Debug for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deadline").field("at", &self.at).field("allowed", &self.allowed).finish_non_exhaustive()
    }
}

impl Cancel {
    /// Ends them, each before its next block, with an error of kind [`ErrorKind::Cancelled`].
    pub fn cancel(&self) {
        self.is_asked.store(true, Ordering::Relaxed);
    }

    /// The same, which also ends by itself once so much time has passed from now on.
    pub fn within(&self, env: &Arc<dyn Env>, allowed: Duration) -> Self {
        let at = env.monotonic().saturating_add(allowed);
        Self { is_asked: Arc::clone(&self.is_asked), deadline: Some(Deadline { env: Arc::clone(env), at, allowed }) }
    }

    /// An error once there is reason to end.
    pub fn check(&self) -> Result<()> {
        if self.is_asked.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Cancelled, "the search was cancelled"));
        }
        match &self.deadline {
            Some(deadline) if deadline.env.monotonic() >= deadline.at => {
                let message = format!(
                    "the query takes longer than the {} ms that it may; ask for a shorter time or fewer services, or raise \
                     query.max_duration (LOGYARD_QUERY_MAX_DURATION)",
                    deadline.allowed.as_millis()
                );
                Err(Error::new(ErrorKind::OverTime, message))
            }
            _ => Ok(()),
        }
    }
}

/// Bounds of one scan.
#[derive(Clone, Debug, Default)]
pub struct Control {
    /// What ends it early.
    pub cancel: Cancel,
    /// Bytes that it may hold at once; [`crate::options::Options::query_bytes_max`] where nothing is said.
    pub bytes_max: Option<usize>,
    /// Whether what cannot be fetched may be left out, and what was.
    pub partial: Partial,
}

/// What a scan holds, and whether it goes on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Budget {
    cancel: Cancel,
    memory: Memory,
}

impl Budget {
    pub(crate) fn new(cancel: Cancel, memory: Memory) -> Self {
        Self { cancel, memory }
    }

    /// Whether to go on.
    pub(crate) fn go_on(&self) -> Result<()> {
        self.cancel.check()
    }

    /// Counts bytes before they are held.
    pub(crate) fn hold(&self, bytes: usize) -> Result<()> {
        self.memory.take(bytes, "what is read")
    }

    /// Gives what was taken for this and is used no longer back to other queries.
    pub(crate) fn settle(&self) {
        self.memory.settle();
    }

    /// Takes back what is held no longer.
    pub(crate) fn release(&self, bytes: usize) {
        self.memory.give_back(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_bounded() {
        let budget = Budget::new(Cancel::default(), Memory::new(100));
        budget.hold(60).unwrap();
        budget.hold(40).unwrap();
        budget.release(50);
        budget.hold(50).unwrap();
        let e = budget.hold(1).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Budget);
        assert!(e.to_string().contains("100 bytes"), "{e}");
    }

    #[test]
    fn cancelling_is_seen_by_all_that_share_it() {
        let control = Control::default();
        let budgets = [control.clone(), control.clone()].map(|control| Budget::new(control.cancel, Memory::new(1)));
        assert!(budgets.iter().all(|budget| budget.go_on().is_ok()));
        control.cancel.cancel();
        assert!(budgets.iter().all(|budget| budget.go_on().is_err_and(|e| e.kind() == ErrorKind::Cancelled)));
    }
}
