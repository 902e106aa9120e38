//! What bounds a scan: how much memory it may hold, and whether somebody has lost interest in it.
//!
//! Held are the pages and columns that were read of the parts that are being looked at, until the scan is done with each,
//! and the rows that it keeps, until its end.
//!
//! Invariants
//! * Nothing is held that was not counted before; what would pass the limit ends the scan with an error that names it.
//! * A scan looks before each part whether it was cancelled.
use crate::error::{Error, ErrorKind, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Ends the scans that it was given to. Clones are one and the same.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Ends them, each before its next block, with an error of kind [`ErrorKind::Cancelled`].
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
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
        if self.cancel.is_cancelled() {
            return Err(Error::new(ErrorKind::Cancelled, "the search was cancelled"));
        }
        Ok(())
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
