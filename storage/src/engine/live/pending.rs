//! What a live query has in hand: what is left of the rows that it began with, and of the batch that it looks at.
//!
//! Invariants
//! * Of a batch, the next [`AHEAD_ROWS`] rows that pass are kept, and looking goes on with the first one behind them: each is
//!   given once, in order.
//! * A piece is one row at least and [`PIECE_ROWS_MAX`] at most, fewer where rows are large.
use crate::error::Result;
use crate::hot::GenerationView;
use crate::query::live::Wanted;
use crate::query::{Flow, Request, Sink, Source, Start, Stored, Worker};
use crate::scan::{Crew, Found, Hidden, Snapshot};
use crate::segment::Counters;
use std::sync::Arc;

/// Rows of a batch that pass and are known ahead.
const AHEAD_ROWS: usize = 8_192;
/// Rows that are put together at once: few at first, and as many as these bytes take.
const PIECE_ROWS_FIRST: usize = 16;
const PIECE_ROWS_MAX: usize = 512;
const PIECE_BYTES: usize = 128 << 10;

/// Rows that were there before, in their order.
pub(super) struct Before {
    pub(super) moment: Arc<Moment>,
    pub(super) found: Vec<Found>,
    pub(super) given: usize,
}

/// A batch that is being looked at.
pub(super) struct Current {
    pub(super) snapshot: Snapshot,
    /// Rows that pass.
    pub(super) rows: Vec<usize>,
    pub(super) given: usize,
    /// The row from which on nothing is known yet.
    rest: Option<usize>,
    pub(super) last_seq: u64,
}

/// Everything that was there at one moment.
pub(super) struct Moment {
    pub(super) snapshot: Snapshot,
    pub(super) counters: Counters,
}

impl Moment {
    /// The same without what only has rows that came before a number.
    fn behind(&self, seq: u64) -> Self {
        let counters = Counters::new(self.counters.budget.clone());
        Self { snapshot: self.snapshot.behind(seq), counters }
    }
}

impl Source for Moment {
    fn rows(&self, request: &Request<'_>, sink: &mut dyn Sink) -> Result<Flow> {
        Stored::new(&self.snapshot, &self.counters).rows(request, sink)
    }

    fn fold<'w>(
        &self,
        request: &Request<'_>,
        fresh: &(dyn Fn() -> Result<Worker<'w>> + Sync),
    ) -> Result<Vec<Worker<'w>>> {
        Stored::new(&self.snapshot, &self.counters).fold(request, fresh)
    }

    fn has_times(&self) -> bool {
        true
    }
}

impl Drop for Before {
    /// A live query can go on for days: what it began with is for others then.
    fn drop(&mut self) {
        let budget = &self.moment.counters.budget;
        budget.release(self.found.len() * size_of::<Found>());
        budget.settle();
    }
}

impl Before {
    /// The rows to begin with, if there are any.
    pub(super) fn find(moment: Arc<Moment>, wanted: &Wanted, start: &Start) -> Result<Option<Self>> {
        let moment = match start {
            Start::Now => return Ok(None),
            Start::After(id) => Arc::new(moment.behind(id.seq())),
            Start::Last(_) | Start::Since(_) => moment,
        };
        let found = Stored::new(&moment.snapshot, &moment.counters).earlier(&wanted.request(), start)?;
        Ok((!found.is_empty()).then_some(Self { moment, found, given: 0 }))
    }
}

impl Current {
    /// Of a batch at which nobody has looked yet.
    pub(super) fn new(alone: GenerationView, epoch: u32, hidden: Hidden, crew: &Arc<Crew>) -> Self {
        let end = alone.batches.last().map_or(0, |batch| batch.first_seq + batch.batch.rows() as u64);
        let snapshot = Snapshot::of_batch(alone, epoch, hidden, Arc::clone(crew));
        Self { snapshot, rows: Vec::new(), given: 0, rest: Some(0), last_seq: end.saturating_sub(1) }
    }

    /// Makes sure that the next rows that pass are known, if there are any.
    pub(super) fn look_ahead(&mut self, request: &Request<'_>, counters: &Counters) -> Result<()> {
        let Some(from) = self.rest.filter(|_| self.given >= self.rows.len()) else { return Ok(()) };
        let mut rows = Stored::new(&self.snapshot, counters).arrived(request, from)?;
        self.rest = rows.get(AHEAD_ROWS).copied();
        rows.truncate(AHEAD_ROWS);
        rows.shrink_to_fit();
        (self.rows, self.given) = (rows, 0);
        Ok(())
    }

    /// The number of a row.
    pub(super) fn seq_of(&self, row: usize) -> Option<u64> {
        let batch = self.snapshot.generations.first()?.batches.first()?;
        Some(batch.first_seq + row as u64)
    }
}

/// How many rows are put together at once.
pub(super) struct Piece {
    pub(super) rows: usize,
}

impl Default for Piece {
    fn default() -> Self {
        Self { rows: PIECE_ROWS_FIRST }
    }
}

impl Piece {
    /// The last piece took so many bytes.
    pub(super) fn fit(&mut self, bytes: usize) {
        self.rows = match bytes {
            bytes if bytes > PIECE_BYTES => (self.rows / 2).max(1),
            bytes if bytes < PIECE_BYTES / 4 => (self.rows * 2).min(PIECE_ROWS_MAX),
            _ => self.rows,
        };
    }
}
