//! What a live query asks of a scan: which rows of a batch that has just arrived pass, and which of those that were there
//! before.
//!
//! Invariants
//! * A batch that arrived is looked at as a snapshot that has nothing else: by what looks at everything there is.
use super::answer::Verdicts;
use super::columns::{Sieve, View};
use super::records::materialise;
use super::rows::RowSet;
use super::{Crew, Hidden, Place, Search, Snapshot, Spot};
use crate::error::Result;
use crate::hot::GenerationView;
use crate::record::Record;
use crate::segment::Counters;
use std::sync::Arc;

impl Snapshot {
    /// A batch by itself.
    pub(crate) fn of_batch(alone: GenerationView, epoch: u32, hidden: Hidden, crew: Arc<Crew>) -> Self {
        Self { generations: vec![alone], segments: Vec::new(), left_out: Vec::new(), epoch, hidden, crew }
    }

    /// The rows of its first batch that pass and that a sieve keeps, from one of them on, in the order in which they came.
    pub(crate) fn passing(
        &self,
        search: &Search,
        sieve: Option<&Sieve<'_>>,
        from: usize,
        counters: &Counters,
    ) -> Result<Vec<usize>> {
        let batch = self.generations.first().and_then(|generation| generation.batches.first());
        let Some(batch) = batch.filter(|batch| search.wants_times(batch.time_min, batch.time_max)) else {
            return Ok(Vec::new());
        };
        let (place, verdicts) = (Place::Hot(0, 0), Verdicts::new(&search.filter, counters));
        let spot = Spot { best: batch.time_max, place, among: None };
        let passing = self.with_part(place, counters, |part| {
            let mut rows = self.select(search, &spot, part, &verdicts)?.listed();
            rows.retain(|row| *row >= from);
            match sieve.filter(|_| !rows.is_empty()) {
                Some(sieve) => View::new(part, rows, place).sifted(sieve),
                None => Ok(rows),
            }
        });
        Ok(passing?.unwrap_or_default())
    }

    /// Some rows of its first batch, which ascend, as records.
    pub(crate) fn records_of_batch(&self, rows: &[usize], counters: &Counters) -> Result<Vec<Record>> {
        let made = self.with_part(Place::Hot(0, 0), counters, |part| materialise(part, &RowSet::of(part.rows(), rows)));
        Ok(made?.unwrap_or_default())
    }

    /// The same without what has no rows of its own epoch behind a number.
    pub(crate) fn behind(&self, seq: u64) -> Self {
        let mut behind = Self {
            generations: self.generations.clone(),
            segments: self.segments.clone(),
            left_out: self.left_out.clone(),
            epoch: self.epoch,
            hidden: self.hidden.clone(),
            crew: Arc::clone(&self.crew),
        };
        for generation in &mut behind.generations {
            generation.batches.retain(|batch| batch.first_seq + batch.batch.rows() as u64 > seq + 1);
        }
        behind.segments.retain(|segment| {
            segment.footer.blocks.iter().any(|block| block.epoch == self.epoch && block.last_seq > seq)
        });
        behind
    }

    /// The epoch of the rows of a part.
    pub(crate) fn epoch_of(&self, place: Place) -> u32 {
        match place {
            Place::Hot(g, b) => {
                let batch = self.generations.get(g).and_then(|generation| generation.batches.get(b));
                batch.map_or(self.epoch, |batch| batch.epoch)
            }
            Place::Sealed(s, b) => {
                let block = self.segments.get(s).and_then(|segment| segment.footer.blocks.get(b));
                block.map_or(self.epoch, |block| block.epoch)
            }
        }
    }
}
