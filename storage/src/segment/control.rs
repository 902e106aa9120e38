//! What bounds a scan: how much memory it may hold, and whether somebody has lost interest in it.
//!
//! Held are the pages and columns that were read of the parts that are being looked at, until the scan is done with each,
//! and the rows that it keeps, until its end.
//!
//! Invariants
//! * Nothing is held that was not counted before; what would pass the limit ends the scan with an error that names it.
//! * A scan looks before each part whether it was cancelled.
use crate::env::Env;
use crate::error::{Error, ErrorKind, Result};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
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
    pub(crate) fn within(&self, env: &Arc<dyn Env>, allowed: Duration) -> Self {
        let at = env.monotonic().saturating_add(allowed);
        Self { is_asked: Arc::clone(&self.is_asked), deadline: Some(Deadline { env: Arc::clone(env), at, allowed }) }
    }

    /// An error once there is reason to end.
    pub(crate) fn check(&self) -> Result<()> {
        if self.is_asked.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Cancelled, "the search was cancelled"));
        }
        match &self.deadline {
            Some(deadline) if deadline.env.monotonic() >= deadline.at => {
                let message = format!(
                    "the query takes longer than the {} ms that it may; ask for a shorter time or fewer services, or raise \
                     query.max_duration",
                    deadline.allowed.as_millis()
                );
                Err(Error::new(ErrorKind::Budget, message))
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
    /// Bytes that it may hold at once; [`crate::options::Options::scan_bytes_max`] where nothing is said.
    pub bytes_max: Option<usize>,
}

/// The bytes that a scan holds.
#[derive(Debug)]
pub(crate) struct Budget {
    cancel: Cancel,
    limit: usize,
    held: AtomicUsize,
}

impl Default for Budget {
    /// Without a limit: for maintenance, which reads one block at a time.
    fn default() -> Self {
        Self { cancel: Cancel::default(), limit: usize::MAX, held: AtomicUsize::new(0) }
    }
}

impl Budget {
    pub(crate) fn new(control: &Control, limit: usize) -> Self {
        Self { cancel: control.cancel.clone(), limit: control.bytes_max.unwrap_or(limit), held: AtomicUsize::new(0) }
    }

    /// Whether to go on.
    pub(crate) fn go_on(&self) -> Result<()> {
        self.cancel.check()
    }

    /// Counts bytes before they are held.
    pub(crate) fn hold(&self, bytes: usize) -> Result<()> {
        let before = self.held.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) <= self.limit {
            return Ok(());
        }
        let message = format!(
            "the search would hold over {} bytes of memory, its limit: ask for fewer rows, a shorter time or fewer \
             services, or raise the limit (`scan_bytes_max`)",
            self.limit
        );
        Err(Error::new(ErrorKind::Budget, message))
    }

    /// Takes back what is held no longer.
    pub(crate) fn release(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_bounded() {
        let budget = Budget::new(&Control::default(), 100);
        budget.hold(60).unwrap();
        budget.hold(40).unwrap();
        budget.release(50);
        budget.hold(50).unwrap();
        let e = budget.hold(1).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Budget);
        assert!(e.to_string().contains("100 bytes"), "{e}");
        let own = Budget::new(&Control { bytes_max: Some(7), ..Control::default() }, 100);
        assert!(own.hold(8).is_err());
    }

    #[test]
    fn cancelling_is_seen_by_all_that_share_it() {
        let control = Control::default();
        let budgets = [Budget::new(&control, 1), Budget::new(&control.clone(), 1)];
        assert!(budgets.iter().all(|budget| budget.go_on().is_ok()));
        control.cancel.cancel();
        assert!(budgets.iter().all(|budget| budget.go_on().is_err_and(|e| e.kind() == ErrorKind::Cancelled)));
    }
}
