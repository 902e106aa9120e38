//! Which live queries are open, when they look for rows, and their end.
//!
//! Invariants
//! * No more are open than may. Few of them look at rows at once, so that however many there are, ingest has the other cores.
//! * Nobody who appends does anything for them: once in a while it is looked whether rows arrived, and only while one is open.
use super::error::ApiError;
use crate::config::{QueryBounds, ServerBounds};
use axum::http::StatusCode;
use logyard_storage::engine::Engine;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};

/// How often it is looked whether rows arrived.
const LOOK: Duration = Duration::from_millis(10);
/// How long each waits before it looks again, for each that is open: so many more looks than rows help nobody.
const REST: Duration = Duration::from_micros(200);

/// The live queries that are open.
pub(crate) struct Tails {
    places: Arc<Semaphore>,
    most: usize,
    refused: AtomicU64,
    /// Held by those that look at rows.
    turns: Semaphore,
    /// How many rows arrived.
    arrived: watch::Sender<u64>,
    opened: Notify,
    is_stopping: watch::Sender<bool>,
    /// How long a client may take nothing of what waits for it.
    pub(super) stalled: Duration,
    /// How long a client may say nothing where it is asked whether it is there.
    pub(super) silence_max: Duration,
}

/// A place among those that are open.
pub(super) type Place = OwnedSemaphorePermit;

impl Tails {
    /// None is open.
    pub(crate) fn new(bounds: &QueryBounds, of_server: &ServerBounds) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            places: Arc::new(Semaphore::new(bounds.max_tails)),
            most: bounds.max_tails,
            refused: AtomicU64::default(),
            turns: Semaphore::new((cores / 2).max(1)),
            arrived: watch::Sender::new(0),
            opened: Notify::new(),
            is_stopping: watch::Sender::new(false),
            stalled: of_server.write_timeout,
            silence_max: of_server.idle_timeout,
        }
    }

    /// Tells those that are open when rows arrived. Ends when they do.
    pub(crate) async fn watch(&self, engine: &Engine) {
        let mut is_stopping = self.is_stopping.subscribe();
        while !*is_stopping.borrow_and_update() {
            if self.open() == 0 {
                tokio::select! {
                    () = self.opened.notified() => {}
                    _ = is_stopping.changed() => {}
                }
            }
            let rows = engine.rows_arrived();
            self.arrived.send_if_modified(|known| std::mem::replace(known, rows) != rows);
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Ends all that are open.
    pub(crate) fn stop(&self) {
        self.is_stopping.send_replace(true);
    }

    fn open(&self) -> usize {
        self.most - self.places.available_permits()
    }

    /// How many found no place.
    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// A place for another one.
    pub(super) fn place(&self) -> Result<Place, ApiError> {
        let place = Arc::clone(&self.places).try_acquire_owned();
        self.opened.notify_one();
        place.map_err(|_| {
            self.refused.fetch_add(1, Ordering::Relaxed);
            let error = format!(
                "{} live queries are open, which is as many as may; end one, or raise query.max_tails \
                 (LOGYARD_QUERY_MAX_TAILS)",
                self.most
            );
            ApiError::new(StatusCode::TOO_MANY_REQUESTS, error)
        })
    }

    /// Waits for a turn to look at rows.
    pub(super) async fn turn(&self) -> Option<tokio::sync::SemaphorePermit<'_>> {
        self.turns.acquire().await.ok()
    }

    /// How long one waits after it looked, so that all together look no more often than is of use.
    pub(super) fn rest(&self) -> Duration {
        REST * u32::try_from(self.open()).unwrap_or(u32::MAX)
    }

    /// Changes when rows arrived.
    pub(super) fn arrivals(&self) -> watch::Receiver<u64> {
        self.arrived.subscribe()
    }

    /// Waits until all have to end.
    pub(super) async fn stopped(&self) {
        let mut is_stopping = self.is_stopping.subscribe();
        // It fails only where nobody can say so any more.
        let _is_stopping = is_stopping.wait_for(|is_stopping| *is_stopping).await;
    }
}
