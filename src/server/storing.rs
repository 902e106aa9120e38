//! Which requests may decode or append now. Others wait, and not for ever, so that threads are left for whoever does neither.
//!
//! Invariants
//! * A turn lasts as long as its work, whether or not anybody waits for it.
//! * Nobody waits for one longer than [`WAIT_MAX`], and whoever waits holds no thread.
use super::blocking;
use super::error::ApiError;
use axum::http::StatusCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Half of the threads that may block.
const STORING_MAX: usize = 256;
/// How long is waited for a turn: as long as an append waits for room in memory.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// When to come again.
const RETRY_SECONDS: u64 = 5;

/// The turns.
pub(crate) struct Storing {
    turns: Arc<Semaphore>,
    wait: Duration,
}

impl Default for Storing {
    fn default() -> Self {
        Self { turns: Arc::new(Semaphore::new(STORING_MAX)), wait: WAIT_MAX }
    }
}

/// A turn.
pub(super) struct Turn {
    _turn: OwnedSemaphorePermit,
}

impl Storing {
    /// Waits for a turn.
    pub(super) async fn turn(&self) -> Result<Turn, ApiError> {
        let turn = timeout(self.wait, Arc::clone(&self.turns).acquire_owned()).await;
        turn.ok().and_then(Result::ok).map(|turn| Turn { _turn: turn }).ok_or_else(|| {
            let error = format!(
                "{STORING_MAX} requests are stored at once, which is as many as may, and there was no turn within {} s; the disk may be \
                 too slow for all that comes: come again later",
                self.wait.as_secs()
            );
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, error).retry_after(RETRY_SECONDS)
        })
    }
}

impl Turn {
    /// Runs what takes the turn, which is over when that is, whether or not anybody waits for it.
    pub(super) async fn run<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
        blocking(move || {
            let done = work();
            drop(self);
            done
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::header;
    use axum::response::IntoResponse;

    #[tokio::test]
    async fn who_waits_too_long_for_a_turn_is_told_to_come_again() {
        let storing = Storing { turns: Arc::new(Semaphore::new(1)), wait: Duration::from_millis(20) };
        let held = storing.turn().await.unwrap();
        let refused = storing.turn().await.err().unwrap().into_response();
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(refused.headers()[header::RETRY_AFTER], "5");
        assert_eq!(held.run(|| 7).await.unwrap(), 7);
        assert!(storing.turn().await.is_ok());
    }
}
