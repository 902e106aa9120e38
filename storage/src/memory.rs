//! Memory that queries may take: each a part of its own, and all together no more than there is for them.
//!
//! Invariants
//! * What is taken is counted before it is there. What was taken for a query is free again when the query has ended.
//! * An error says which limit was hit, for what, and how to raise it.
use crate::error::{Error, ErrorKind, Result};
use crate::limits::MIB;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What a query takes of the common memory at once, so that it rarely asks.
const STEP: usize = MIB;
/// What each query has without asking, so that small ones run beside those that take all that there is.
const OWN: usize = 8 * MIB;
/// The part of a query's memory that a single thing may be.
const SHARE: usize = 4;

/// Memory that all queries share, beside a little of its own for each.
#[derive(Clone, Debug)]
pub struct Pool(Arc<Gauge>);

#[derive(Debug)]
struct Gauge {
    limit: usize,
    used: AtomicUsize,
}

/// Memory of a query and all its subqueries: what it reads, what waits in its pipes, and the query itself.
#[derive(Clone, Debug)]
pub struct Memory(Arc<Own>);

#[derive(Debug)]
struct Own {
    limit: usize,
    used: AtomicUsize,
    /// What is its own, or was taken of the pool; it stays so until the end, or until it settles.
    reserved: AtomicUsize,
    pool: Option<Pool>,
    /// Held by whoever takes more of the pool.
    growing: Mutex<()>,
}

impl Pool {
    /// So many bytes.
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(Gauge { limit, used: AtomicUsize::new(0) }))
    }

    /// How much queries have taken of it.
    pub fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: usize, what: &str) -> Result<()> {
        let before = self.0.used.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) <= self.0.limit {
            return Ok(());
        }
        self.give_back(bytes);
        let message = format!(
            "there is no memory left for {what}: all queries that run together may take {}; ask again later, or raise \
             query.max_total_memory (LOGYARD_QUERY_MAX_TOTAL_MEMORY)",
            show(self.0.limit)
        );
        Err(Error::new(ErrorKind::Busy, message))
    }

    fn give_back(&self, bytes: usize) {
        self.0.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Default for Memory {
    /// Without a limit: for maintenance, which reads one block at a time.
    fn default() -> Self {
        Self::new(usize::MAX)
    }
}

impl Memory {
    /// So many bytes.
    pub fn new(limit: usize) -> Self {
        Self::with(limit, None)
    }

    /// So many bytes of those that all queries share.
    pub fn of(pool: &Pool, limit: usize) -> Self {
        Self::with(limit, Some(pool.clone()))
    }

    fn with(limit: usize, pool: Option<Pool>) -> Self {
        let reserved = if pool.is_some() { OWN } else { usize::MAX };
        let (used, reserved) = (AtomicUsize::new(0), AtomicUsize::new(reserved));
        Self(Arc::new(Own { limit, used, reserved, pool, growing: Mutex::new(()) }))
    }

    /// How much is taken.
    pub fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    /// An error if something that is being made is by itself a large part of what a query may take.
    pub(crate) fn check(&self, bytes: usize, what: &str) -> Result<()> {
        if bytes > self.0.limit / SHARE { Err(self.exceeded(what)) } else { Ok(()) }
    }

    /// Takes some. It is counted also where that is an error, until it is given back.
    pub(crate) fn take(&self, bytes: usize, what: &str) -> Result<()> {
        let used = self.0.used.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        if used > self.0.limit {
            return Err(self.exceeded(what));
        }
        if used > self.0.reserved.load(Ordering::Relaxed) { self.reserve(used, what) } else { Ok(()) }
    }

    /// Gives some back.
    pub(crate) fn give_back(&self, bytes: usize) {
        self.0.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Gives what it took of the pool and does not use any more back to other queries, before its own end.
    pub(crate) fn settle(&self) {
        let Some(pool) = &self.0.pool else { return };
        let _alone = self.0.growing.lock().unwrap_or_else(PoisonError::into_inner);
        let reserved = self.0.reserved.load(Ordering::Relaxed);
        let kept = self.used().checked_next_multiple_of(STEP).unwrap_or(reserved).clamp(OWN, reserved.max(OWN));
        self.0.reserved.store(kept, Ordering::Relaxed);
        pool.give_back(reserved - kept);
    }

    fn reserve(&self, used: usize, what: &str) -> Result<()> {
        let Some(pool) = &self.0.pool else { return Ok(()) };
        let _alone = self.0.growing.lock().unwrap_or_else(PoisonError::into_inner);
        let reserved = self.0.reserved.load(Ordering::Relaxed);
        let wanted = used.checked_next_multiple_of(STEP).unwrap_or(used);
        if let Some(more) = wanted.checked_sub(reserved) {
            pool.take(more, what)?;
            self.0.reserved.store(wanted, Ordering::Relaxed);
        }
        Ok(())
    }

    fn exceeded(&self, what: &str) -> Error {
        let message = format!(
            "{what} needs more memory than the {} that a query may take; select fewer rows or fields, or raise \
             query.max_memory (LOGYARD_QUERY_MAX_MEMORY)",
            show(self.0.limit)
        );
        Error::new(ErrorKind::Budget, message)
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        if let Some(pool) = &self.pool {
            pool.give_back(*self.reserved.get_mut() - OWN);
        }
    }
}

fn show(bytes: usize) -> String {
    if bytes.is_multiple_of(MIB) { format!("{} MiB", bytes / MIB) } else { format!("{bytes} bytes") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_has_its_own_limit() {
        let memory = Memory::new(MIB);
        memory.take(MIB, "sort").unwrap();
        let error = memory.take(1, "sort").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Budget);
        let error = error.to_string();
        assert!(error.contains("sort") && error.contains("1 MiB") && error.contains("query.max_memory"), "{error}");
        memory.give_back(MIB + 1);
        assert_eq!(memory.used(), 0);
        memory.check(MIB / SHARE, "a row").unwrap();
        assert!(memory.check(MIB / SHARE + 1, "a row").is_err());
    }

    #[test]
    fn all_queries_share_a_pool() {
        let pool = Pool::new(4 * MIB);
        let (first, second) = (Memory::of(&pool, 100 * MIB), Memory::of(&pool, 100 * MIB));
        first.take(OWN, "sort").unwrap();
        second.take(OWN, "top").unwrap();
        assert_eq!(pool.used(), 0);
        first.take(2 * MIB, "sort").unwrap();
        second.take(MIB + 1, "top").unwrap();
        assert_eq!(pool.used(), 4 * MIB);
        let error = first.take(1, "sort").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy);
        assert!(error.to_string().contains("query.max_total_memory"), "{error}");
        second.give_back(OWN + MIB + 1);
        assert!(first.take(1, "sort").is_err(), "a query keeps what it had until it ends");
        second.settle();
        assert_eq!(pool.used(), 2 * MIB, "or settles");
        drop(second);
        first.take(1, "sort").unwrap();
        drop(first);
        assert_eq!(pool.used(), 0);
    }
}
