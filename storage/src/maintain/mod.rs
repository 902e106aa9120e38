//! What the engine does on its own: sealing what is hot, merging what is small, removing what is past its life or deleted,
//! reading again what lies there.
//!
//! One thread does it ([`worker`] says when), and whoever asks for it now does it under the same locks: [`turn`] says who
//! goes when, and how fast.
//!
//! Invariants
//! * A search sees a row either in its generation or in the segment that replaces it: both change hands in one step.
//! * Files are removed only after the catalog has forgotten them.
mod bucket;
mod budgets;
mod census;
mod compact;
mod delete;
mod disk;
mod effects;
mod leftovers;
mod retain;
mod rewrite;
mod salvage;
mod scrub;
mod seal;
mod sealing;
mod spares;
#[cfg(test)]
mod tests;
mod turn;
mod worker;

pub(crate) use census::Census;
pub use delete::DeletionReceipt;
pub(crate) use delete::recover as recover_deletions;
pub(crate) use disk::DiskWatch;
pub(crate) use effects::effects_of_footers;
pub(crate) use leftovers::Leftovers;
pub use retain::{Removed, RetentionReport};
pub(crate) use scrub::Scrub;
pub use scrub::ScrubReport;
pub(crate) use turn::{Turn, Turns};
pub(crate) use worker::Worker;

use crate::catalog::{Change, EffectRow, Meta, SegmentRecord, SegmentServices};
use crate::engine::{LiveSegment, Shared, locked};
use crate::env::Env;
use crate::error::Result;
use crate::hot::{Generation, GenerationView};
use crate::layout::Layout;
use crate::planted;
use crate::retention::RetentionClass;
use crate::scan::{Crew, HotPart, Part, RowSet};
use crate::segment::{Counters, Footer, ReadCache, SealedEffect, SealedEffects, Segment};
use seal::{Place, Sealed};
use std::cell::RefCell;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

impl Shared {
    fn generations(&self) -> Vec<Arc<Generation>> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).generations.clone()
    }

    /// The segments that count, by number.
    fn live_segments(&self) -> Vec<LiveSegment> {
        let mut segments = self.state.read().unwrap_or_else(PoisonError::into_inner).segments.clone();
        segments.sort_by_key(|live| live.record.id);
        segments
    }

    /// Ends the growing generation, if it holds anything.
    fn rotate(&self) {
        let _publishing = locked(&self.publish);
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let holds = state.generations.last().is_none_or(|g| g.size().rows > 0 || g.size().effects > 0);
        if holds {
            state.generations.push(Arc::default());
        }
    }

    /// Seals generations that are large or old enough.
    pub(crate) fn seal_what_is_due(&self) -> Result<()> {
        let _held = locked(&self.maintenance);
        let generations = self.generations();
        if let Some(growing) = generations.last() {
            let size = growing.size();
            let options = &self.options;
            let old = size.since.is_some_and(|since| self.env.monotonic() >= since + options.seal_age);
            if size.rows >= options.seal_rows || size.bytes >= options.seal_bytes || old {
                self.rotate();
            }
        }
        self.seal_ended()
    }

    /// Seals everything.
    pub(crate) fn seal_all(&self) -> Result<()> {
        self.seal_all_and(|| Ok(()))
    }

    /// Seals everything, and does something before anything else is sealed, merged or removed.
    pub(crate) fn seal_all_and<T>(&self, then: impl FnOnce() -> Result<T>) -> Result<T> {
        let _held = locked(&self.maintenance);
        self.rotate();
        self.seal_ended()?;
        then()
    }

    /// Seals all generations but the growing one, oldest first.
    fn seal_ended(&self) -> Result<()> {
        self.clear_leftovers();
        self.clear_log();
        let generations = self.generations();
        let ended = generations.len().saturating_sub(1);
        for generation in generations.iter().take(ended) {
            self.seal(generation)?;
        }
        Ok(())
    }

    fn seal(&self, generation: &Arc<Generation>) -> Result<()> {
        let began = self.env.monotonic();
        let size = generation.size();
        let view = generation.view();
        let lineage = seal::Lineage { sealed_seq: size.end_seq, replaces: Vec::new() };
        let kept = self.without_deleted(&view)?;
        let effects = self.effects_of(generation);
        let rows = seal::Generated { view: &view, kept: &kept, effects: &effects };
        let sealed = self.drafting(|place| {
            let class_of = |service: &str| self.class_of(service);
            let mut next_id = || self.next_segment.fetch_add(1, Ordering::SeqCst);
            let sealed = rows.write(place, &lineage, &class_of, &mut next_id)?;
            if planted::on("retire-before-commit") {
                self.files.retire(size.end_seq)?;
            }
            self.commit_seal(&effects, &sealed, size.end_seq)?;
            Ok(sealed)
        })?;
        let activity = &self.activity;
        activity.sealed_rows.add(sealed.iter().map(|sealed| sealed.record.rows).sum());
        activity.sealed_bytes.add(sealed.iter().map(|sealed| sealed.record.bytes).sum());
        activity.seals.note(self.env.monotonic().saturating_sub(began));
        self.replace(&[], sealed, Some(generation));
        self.release(size.bytes);
        self.files.retire(size.end_seq)?;
        Ok(())
    }

    /// Of each batch the rows that nobody deleted; nothing where all of them stay, and no batch where nothing is deleted.
    fn without_deleted(&self, view: &GenerationView) -> Result<Vec<Option<RowSet>>> {
        let (deletions, counters) = (self.deletions(), Counters::default());
        if deletions.is_empty() {
            return Ok(Vec::new());
        }
        let stays = |hot: &Arc<crate::hot::HotBatch>| {
            let part = Part::Hot(HotPart::of(hot, view, &counters));
            let times = part.times()?;
            let mut gone = RowSet::none(part.rows());
            for deletion in deletions.iter() {
                gone.or(&deletion.rows(&part, &times)?);
            }
            let touched = !gone.is_empty();
            gone.not();
            Ok(touched.then_some(gone))
        };
        view.batches.iter().map(stays).collect()
    }

    fn commit_seal(&self, effects: &SealedEffects, sealed: &[Sealed], end_seq: u64) -> Result<()> {
        let mut change = Change::new();
        for sealed in sealed {
            change.put_segment(&sealed.record)?;
        }
        for (key, effect) in effects.iter().filter(|_| !planted::on("effects-not-sealed")) {
            let SealedEffect { seq, expires, shadows, .. } = *effect;
            match &effect.value {
                Some(value) => change.put_effect(key, &EffectRow { value: value.clone(), seq, expires, shadows })?,
                None => change.remove_effect(key),
            };
        }
        let mut meta = locked(&self.meta);
        let end_seq = if planted::on("seal-not-noted") { 0 } else { end_seq };
        let next = Meta { sealed_seq: meta.sealed_seq.max(end_seq), clean_shutdown: false, ..*meta };
        change.put_meta(&next)?;
        self.put_clock(&mut change)?;
        let mut undo = Change::new();
        for sealed in sealed {
            undo.remove_segment(sealed.record.id);
        }
        undo.put_meta(&meta)?;
        self.commit_catalog(&change, &undo)?;
        *meta = next;
        self.archive.sealed(end_seq, effects);
        Ok(())
    }

    /// Lets searches see new segments in place of old ones, or of a generation, in one step.
    fn replace(&self, gone: &[u64], new: Vec<Sealed>, sealed: Option<&Arc<Generation>>) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(sealed) = sealed
            && !planted::on("generation-kept")
        {
            state.generations.retain(|generation| !Arc::ptr_eq(generation, sealed));
        }
        state.segments.retain(|live| !gone.contains(&live.record.id));
        state.segments.extend(new.into_iter().map(|new| LiveSegment { record: new.record, segment: new.segment }));
    }
}

impl Shared {
    /// Lets searches see a segment in another place in one step.
    pub(crate) fn exchange(&self, id: u64, new: LiveSegment) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(live) = state.segments.iter_mut().find(|live| live.record.id == id) {
            *live = new;
        }
    }
}

/// Looks at a block of a segment.
pub(crate) fn with_block<T>(segment: &Segment, index: usize, then: impl FnOnce(&Part<'_>) -> Result<T>) -> Result<T> {
    read_block(segment, index, then).map(|(found, _)| found)
}

/// The same, and pays for what it read.
fn with_paid_block<T>(
    turn: &Turn<'_>,
    segment: &Segment,
    index: usize,
    then: impl FnOnce(&Part<'_>) -> Result<T>,
) -> Result<T> {
    let (found, bytes) = read_block(segment, index, then)?;
    turn.pay(bytes)?;
    Ok(found)
}

fn read_block<T>(segment: &Segment, index: usize, then: impl FnOnce(&Part<'_>) -> Result<T>) -> Result<(T, u64)> {
    let (block, shapes, counters) = (segment.block(index)?, segment.shapes()?, Counters::default());
    let found = then(&Part::sealed(segment, index, &block, &shapes, &counters, &Crew::new(Some(1))))?;
    let head = segment.footer.blocks.get(index).map_or(0, |meta| u64::from(meta.head_len));
    let read = counters.stats();
    Ok((found, head + read.head_bytes + read.row_bytes + read.code_bytes + read.value_bytes))
}

/// Writes rows that belong to no engine as segments, numbered from `first_id` on.
pub(crate) fn seal_rows(
    env: &Arc<dyn Env>,
    layout: &Layout,
    cache: &Arc<ReadCache>,
    view: &GenerationView,
    first_id: u64,
) -> Result<Vec<Arc<Segment>>> {
    let rows = seal::Generated { view, kept: &[], effects: &SealedEffects::new() };
    let lineage = seal::Lineage { sealed_seq: 0, replaces: Vec::new() };
    let place = Place { env, layout, cache, created: 0, begun: RefCell::default() };
    let mut next_id = first_id;
    let sealed = rows.write(&place, &lineage, &|_| RetentionClass::default(), &mut || {
        next_id += 1;
        next_id
    })?;
    Ok(sealed.into_iter().map(|sealed| sealed.segment).collect())
}

/// What the catalog keeps of a segment that is known by its footer alone.
pub(crate) fn record_of(footer: &Footer, bytes: u64, crc: u32) -> SegmentRecord {
    seal::record(footer, bytes, crc, SegmentServices::Many)
}
