//! Memory that the bodies of all requests of a kind share.
//!
//! Invariant: what is held of bodies is at most as much as there is, small ones aside; who comes too late is told to come
//! again.
use super::error::ApiError;
use axum::http::StatusCode;
use logyard_storage::limits::KIB;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What is counted; the first of each body is free.
const UNIT: usize = 64 * KIB;

/// The memory in all.
pub(crate) struct BodyMemory(Arc<Semaphore>);

impl BodyMemory {
    /// So many bytes, all of them free.
    pub(crate) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes / UNIT)))
    }

    /// Room for one body, nothing at first.
    pub(crate) fn room(&self) -> Room {
        Room { memory: Arc::clone(&self.0), held: None }
    }
}

/// What one body holds; given back when dropped.
pub(crate) struct Room {
    memory: Arc<Semaphore>,
    held: Option<OwnedSemaphorePermit>,
}

impl Room {
    /// Makes it large enough for `bytes`.
    pub(crate) fn grow_to(&mut self, bytes: usize) -> Result<(), ApiError> {
        let held = self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let missing = (bytes / UNIT).saturating_sub(held);
        if missing == 0 {
            return Ok(());
        }
        let busy = || ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "too many large bodies at once; try again");
        let missing = u32::try_from(missing).map_err(|_| busy())?;
        let more = Arc::clone(&self.memory).try_acquire_many_owned(missing).map_err(|_| busy())?;
        match &mut self.held {
            Some(held) => held.merge(more),
            None => self.held = Some(more),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use logyard_storage::limits::MIB;

    #[test]
    fn who_comes_too_late_comes_again() {
        const BYTES_MAX: usize = 4 * MIB;
        let memory = BodyMemory::new(BYTES_MAX);
        let (mut first, mut second) = (memory.room(), memory.room());
        first.grow_to(BYTES_MAX / 2).unwrap();
        first.grow_to(BYTES_MAX).unwrap();
        assert!(second.grow_to(UNIT - 1).is_ok());
        assert!(second.grow_to(UNIT).is_err());
        drop(first);
        assert!(second.grow_to(BYTES_MAX).is_ok());
    }
}
