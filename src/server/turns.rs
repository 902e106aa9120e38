//! Which queries run: no more at once than may, the others wait for a turn, and not for long.
//!
//! Invariants
//! * Whoever waits holds no thread, and of its text no more than there is room for.
//! * A turn is held until the query has ended, whether or not anybody waits for its answer.
use super::error::ApiError;
use super::room::{BodyMemory, Room};
use crate::config::QueryBounds;
use axum::http::StatusCode;
use logyard_storage::limits::MIB;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The texts of all queries that run or wait.
const TEXTS_BYTES_MAX: usize = 64 * MIB;
/// What is kept for all answers that are given as a whole.
const ANSWERS_BYTES_MAX: usize = 64 * MIB;

/// Turns of queries, and room for their texts.
pub(crate) struct Queries {
    turns: Arc<Semaphore>,
    concurrent: usize,
    wait: Duration,
    texts: BodyMemory,
    answers: BodyMemory,
    /// How long one may take.
    pub(super) duration: Duration,
}

/// The turn of a query.
pub(super) type Turn = OwnedSemaphorePermit;

impl Queries {
    /// None runs.
    pub(crate) fn new(bounds: &QueryBounds) -> Self {
        Self {
            turns: Arc::new(Semaphore::new(bounds.max_concurrent)),
            concurrent: bounds.max_concurrent,
            wait: bounds.max_wait,
            texts: BodyMemory::new(TEXTS_BYTES_MAX),
            answers: BodyMemory::new(ANSWERS_BYTES_MAX),
            duration: bounds.max_duration,
        }
    }

    /// Room for the text of a query.
    pub(super) fn room(&self) -> Room {
        self.texts.room()
    }

    /// Room for an answer that is given as a whole.
    pub(super) fn room_of_answer(&self) -> Room {
        self.answers.room()
    }

    /// Waits for a turn.
    pub(super) async fn turn(&self) -> Result<Turn, ApiError> {
        let turn = tokio::time::timeout(self.wait, Arc::clone(&self.turns).acquire_owned()).await;
        turn.ok().and_then(Result::ok).ok_or_else(|| {
            let error = format!(
                "{} queries run at once, which is as many as may; ask again later, or raise query.max_concurrent \
                 (LOGYARD_QUERY_MAX_CONCURRENT) or how long queries wait, query.max_wait (LOGYARD_QUERY_MAX_WAIT)",
                self.concurrent
            );
            ApiError::new(StatusCode::TOO_MANY_REQUESTS, error)
        })
    }
}
