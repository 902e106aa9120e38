//! Which queries run: no more at once than may, the others wait for a turn, and not for long.
//!
//! Invariants
//! * Whoever waits holds no thread, and of its text no more than there is room for.
//! * A turn is held until the query has ended, whether or not anybody waits for its answer.
use super::error::ApiError;
use super::room::{BodyMemory, Room};
use crate::config::QueryBounds;
use axum::http::StatusCode;
use logyard_storage::durations::{DurationCounts, Durations};
use logyard_storage::limits::MIB;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
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
    waiting: AtomicU64,
    refused: AtomicU64,
    /// How long turns lasted.
    durations: Arc<Durations>,
}

/// The turn of a query.
pub(super) struct Turn {
    began: Instant,
    durations: Arc<Durations>,
    _turn: OwnedSemaphorePermit,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.durations.note(self.began.elapsed());
    }
}

/// Somebody who waits for a turn, until it has one or goes.
struct Waiting<'a>(&'a AtomicU64);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicU64) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

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
            waiting: AtomicU64::default(),
            refused: AtomicU64::default(),
            durations: Arc::default(),
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
        let waiting = Waiting::new(&self.waiting);
        let turn = tokio::time::timeout(self.wait, Arc::clone(&self.turns).acquire_owned()).await;
        drop(waiting);
        let turn = turn.ok().and_then(Result::ok).map(|turn| self.begin(turn));
        turn.ok_or_else(|| {
            self.refused.fetch_add(1, Ordering::Relaxed);
            let error = format!(
                "{} queries run at once, which is as many as may; ask again later, or raise query.max_concurrent \
                 (LOGYARD_QUERY_MAX_CONCURRENT) or how long queries wait, query.max_wait (LOGYARD_QUERY_MAX_WAIT)",
                self.concurrent
            );
            ApiError::new(StatusCode::TOO_MANY_REQUESTS, error)
        })
    }

    fn begin(&self, turn: OwnedSemaphorePermit) -> Turn {
        Turn { began: Instant::now(), durations: Arc::clone(&self.durations), _turn: turn }
    }

    /// How many run.
    pub(super) fn running(&self) -> usize {
        self.concurrent - self.turns.available_permits()
    }

    /// How many wait for their turn.
    pub(super) fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// How many waited too long.
    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// How long turns lasted that are over.
    pub(super) fn durations(&self) -> DurationCounts {
        self.durations.read()
    }
}
