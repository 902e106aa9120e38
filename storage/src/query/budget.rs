//! What a query may take: memory, and time until it is stopped.
//!
//! Invariants
//! * What is held is given back when its holder goes.
use crate::error::{Error, ErrorKind, Result};
pub use crate::memory::Memory;
use crate::scan::Cancel;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

impl Memory {
    /// Begins to hold memory for something.
    pub(crate) fn hold(&self, what: &'static str) -> Held {
        Held { memory: self.clone(), what, bytes: 0 }
    }
}

/// Memory that is held.
#[derive(Debug)]
pub struct Held {
    memory: Memory,
    what: &'static str,
    bytes: usize,
}

impl Held {
    /// Holds more.
    pub(crate) fn add(&mut self, bytes: usize) -> Result<()> {
        self.bytes = self.bytes.saturating_add(bytes);
        self.memory.take(bytes, self.what)
    }

    /// Begins to hold memory of the same query for the same thing.
    pub(crate) fn another(&self) -> Self {
        self.memory.hold(self.what)
    }

    /// Takes over what another one holds.
    pub(crate) fn join(&mut self, mut other: Self) {
        self.bytes += std::mem::take(&mut other.bytes);
    }

    /// Gives back what is beyond so much.
    pub(crate) fn keep(&mut self, bytes: usize) {
        self.give_back(self.bytes.saturating_sub(bytes));
    }

    /// Gives some back.
    pub(crate) fn give_back(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.memory.give_back(bytes);
        self.bytes -= bytes;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.memory.give_back(self.bytes);
    }
}

/// Stops a query from outside.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    why: Arc<AtomicU8>,
    /// What ends the scan that rows come from.
    cancel: Cancel,
}

const CANCELLED: u8 = 1;
const OVER_TIME: u8 = 2;

impl Stop {
    /// Stops a query with the scan that its rows come from.
    pub fn with(cancel: Cancel) -> Self {
        Self { why: Arc::default(), cancel }
    }

    /// The caller has gone.
    pub fn cancel(&self) {
        self.why.store(CANCELLED, Ordering::Relaxed);
    }

    /// Its time is over.
    pub fn time_is_over(&self) {
        self.why.store(OVER_TIME, Ordering::Relaxed);
    }

    /// What ends the scan that rows come from.
    pub(crate) fn cancel_of_scan(&self) -> &Cancel {
        &self.cancel
    }

    /// An error once the query has to stop.
    pub(crate) fn check(&self) -> Result<()> {
        match self.why.load(Ordering::Relaxed) {
            CANCELLED => Err(Error::new(ErrorKind::Cancelled, "the query was cancelled")),
            OVER_TIME => Err(Error::new(
                ErrorKind::OverTime,
                "the query took longer than it may; select fewer rows, or raise query.max_duration",
            )),
            _ => self.cancel.check(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_comes_back() {
        let memory = Memory::new(1 << 20);
        let mut held = memory.hold("sort");
        held.add(1 << 20).unwrap();
        let error = held.add(1).unwrap_err().to_string();
        assert!(error.contains("sort") && error.contains("1 MiB") && error.contains("query.max_memory"), "{error}");
        held.give_back(2);
        drop(held);
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn a_stop_says_why() {
        let stop = Stop::default();
        stop.check().unwrap();
        stop.clone().cancel();
        assert_eq!(stop.check().unwrap_err().kind(), ErrorKind::Cancelled);
        stop.time_is_over();
        assert_eq!(stop.check().unwrap_err().kind(), ErrorKind::OverTime);
    }
}
