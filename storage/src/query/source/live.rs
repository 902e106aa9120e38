//! What a live query reads: rows of a batch that has just arrived, and rows that were there before it began.
//!
//! Invariants
//! * Rows that arrived come in the order in which they lie in their batch.
//! * Of those that were there before, rows of other epochs come first, by time; those of this one follow by number.
use super::columns::block_of;
use super::{Plan, Stored};
use crate::error::Result;
use crate::query::bits::Bits;
use crate::query::block::Block;
use crate::query::live::Start;
use crate::query::run::{Flow, Request, Sink};
use crate::scan::columns::{Sieve, View};
use crate::scan::{Found, Place};

impl Stored<'_> {
    /// The rows of the only batch that pass, from one of them on, in the order in which they came.
    pub(crate) fn arrived(&self, request: &Request<'_>, from: usize) -> Result<Vec<usize>> {
        let plan = self.plan(request);
        if self.wants_nothing(&plan) {
            return Ok(Vec::new());
        }
        let sieve = |view: &View<'_>| self.sift(&plan, view);
        let sieve: Option<&Sieve<'_>> = if plan.pushed.is_exact() { None } else { Some(&sieve) };
        self.snapshot.passing(&plan.search, sieve, from, self.counters)
    }

    /// The columns of some rows of the only batch.
    pub(crate) fn columns_of_arrived(&self, request: &Request<'_>, rows: Vec<usize>) -> Result<Block> {
        let mut block = Block::default();
        self.snapshot.view_of(Place::Hot(0, 0), rows, self.counters, &mut |view| {
            block = block_of(view, request.needed, self.made)?;
            Ok(())
        })?;
        Ok(block)
    }

    /// Where the rows are that pass and that a live query begins with, in the order in which they came.
    pub(crate) fn earlier(&self, request: &Request<'_>, start: &Start) -> Result<Vec<Found>> {
        let mut plan = self.plan(request);
        let mut after = None;
        plan.search.limit = usize::MAX;
        match start {
            Start::Now => return Ok(Vec::new()),
            Start::Last(rows) => plan.search.limit = *rows,
            Start::Since(time) => plan.search.from = Some(plan.search.from.map_or(*time, |from| from.max(*time))),
            Start::After(id) => after = Some(id.seq()),
        }
        if self.wants_nothing(&plan) {
            return Ok(Vec::new());
        }
        let sieve = |view: &View<'_>| self.sift_after(&plan, after, view);
        let sieve: Option<&Sieve<'_>> = if plan.pushed.is_exact() && after.is_none() { None } else { Some(&sieve) };
        let mut found = self.snapshot.newest(&plan.search, sieve, self.counters)?;
        let own = self.snapshot.epoch;
        // Numbers of another epoch say nothing of what came first.
        found.sort_unstable_by_key(|(time, seq, place, _)| match self.snapshot.epoch_of(*place) == own {
            true => (true, 0, *seq),
            false => (false, *time, *seq),
        });
        Ok(found)
    }

    /// These rows, as they were found.
    pub(crate) fn rows_of_earlier(&self, request: &Request<'_>, found: &[Found], sink: &mut dyn Sink) -> Result<Flow> {
        self.hand_on(request, found, sink)
    }

    /// The rows of a view that pass what the scan could not answer, and that came after one of the engine's epoch.
    fn sift_after(&self, plan: &Plan<'_>, after: Option<u64>, view: &View<'_>) -> Result<Vec<usize>> {
        let mut kept =
            if plan.pushed.is_exact() { Bits::new(view.len(), true).rows().collect() } else { self.sift(plan, view)? };
        let Some(after) = after else { return Ok(kept) };
        if view.epoch() != self.snapshot.epoch {
            return Ok(Vec::new());
        }
        let seqs = view.seqs()?;
        kept.retain(|row| seqs.get(*row).is_some_and(|seq| *seq > after));
        Ok(kept)
    }
}
