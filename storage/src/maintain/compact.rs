//! Merges small segments of one day and class into larger ones, and writes segments anew from which rows leave.
//!
//! What to merge is chosen by [`choose`], which only looks; the rest does it. The class of a segment is the one that its
//! services have now: where a changed policy gave them different ones, the segment is split.
//!
//! Invariants
//! * The rows of the new segments are those of the old ones but for [`Leaving`], with their numbers, arrivals and epochs.
//! * The catalog takes the new and forgets the old in one commit; files go after it.
use super::retain::{is_thin, take_out_cut};
use super::{seal, with_block};
use crate::batch::{Batch, BatchBuilder, Stream};
use crate::catalog::Change;
use crate::engine::{LiveSegment, Shared, locked};
use crate::error::Result;
use crate::limits::SEGMENT_ROWS_MAX;
use crate::planted;
use crate::retention::RetentionClass;
use crate::scan::{Hidden, Part, RowSet, Tally, materialise};
use crate::segment::{Arrivals, Input, Seqs, Tables};
use crate::text::table::ShapeInterner;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Rows from which a segment is left alone.
const LARGE_ROWS: u64 = 500_000;
/// Segments that are worth a merge while the engine has other things to do.
const WORTH: usize = 8;

/// How eager a merge is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effort {
    /// Anything small beside anything small.
    All,
    /// [`WORTH`] segments, none larger than the others together: so each row is written a few times only.
    Worthwhile,
}

/// A segment that may be merged.
struct Candidate {
    live: LiveSegment,
    /// The class that all its services have now.
    class: Option<RetentionClass>,
}

/// The segments to write anew next: one whose services no longer belong together, or the small ones of a day and class,
/// as far as they fit into one.
fn choose(candidates: &[Candidate], effort: Effort) -> Option<Vec<LiveSegment>> {
    if let Some(torn) = candidates.iter().find(|candidate| candidate.class.is_none()) {
        return Some(vec![torn.live.clone()]);
    }
    let mut groups: BTreeMap<_, Vec<LiveSegment>> = BTreeMap::new();
    for candidate in candidates.iter().filter(|candidate| candidate.live.record.rows < LARGE_ROWS) {
        let live = &candidate.live;
        groups.entry((candidate.class, live.record.day.clone())).or_default().push(live.clone());
    }
    groups.into_values().find_map(|mut group| {
        if effort == Effort::Worthwhile {
            leave_out_large(&mut group);
        }
        group.sort_by_key(|live| live.record.first_seq);
        let mut rows = 0;
        let fits = group.iter().take_while(|live| {
            rows += live.record.rows;
            rows <= SEGMENT_ROWS_MAX as u64
        });
        let fits = fits.count();
        group.truncate(fits);
        let least = if effort == Effort::All { 2 } else { WORTH };
        (group.len() >= least).then_some(group)
    })
}

/// Leaves out what is larger than all that is smaller.
fn leave_out_large(group: &mut Vec<LiveSegment>) {
    group.sort_by_key(|live| live.record.rows);
    let mut rows: u64 = group.iter().map(|live| live.record.rows).sum();
    while let Some(largest) = group.last().map(|live| live.record.rows)
        && largest > rows - largest
    {
        rows -= largest;
        group.pop();
    }
}

/// Rows that do not come along when their segment is written anew.
pub(super) struct Leaving {
    hidden: Hidden,
    /// Event time before which rows of a service leave.
    cuts: BTreeMap<String, i64>,
}

impl Leaving {
    /// What is expired or deleted now.
    pub(super) fn now(shared: &Shared) -> Self {
        Self::at(shared, shared.delete_by(), BTreeMap::new())
    }

    /// What is expired at a time, or deleted, or cut.
    pub(super) fn at(shared: &Shared, now: i64, cuts: BTreeMap<String, i64>) -> Self {
        Self { hidden: Hidden { now, ..shared.hidden() }, cuts }
    }

    /// The rows of a part that stay.
    fn stay(&self, part: &Part<'_>) -> Result<RowSet> {
        let mut set = RowSet::all(part.rows());
        let times = part.times()?;
        self.hidden.take_out(part, &times, &mut set)?;
        if !self.cuts.is_empty() {
            take_out_cut(part, &times, &self.cuts, &mut set)?;
        }
        Ok(set)
    }

    /// The rows of a segment that leave but for deletions.
    pub(super) fn count(&self, live: &LiveSegment) -> Result<Tally> {
        let mut tally = Tally::default();
        let alive_from = self.hidden.lives.alive_from(self.hidden.now);
        let aged =
            Self { hidden: Hidden { deletions: Arc::default(), ..self.hidden.clone() }, cuts: self.cuts.clone() };
        let segment = &live.segment;
        for (index, meta) in segment.footer.blocks.iter().enumerate() {
            if meta.time_min >= alive_from && self.cuts.is_empty() {
                continue;
            }
            with_block(segment, index, |part| {
                let mut gone = aged.stay(part)?;
                gone.not();
                if gone.is_empty() { Ok(()) } else { tally.add(part, &part.times()?, &gone) }
            })?;
        }
        Ok(tally)
    }
}

/// Rows out of a block, on their way into another.
struct Source {
    batch: Batch,
    epoch: u32,
    seqs: Seqs,
    arrivals: Arrivals,
    shape_map: Vec<u32>,
}

impl Shared {
    /// Carries out deletions, merges until nothing small is left beside something small, and rewrites what is thin.
    pub(crate) fn compact(&self) -> Result<()> {
        let _held = locked(&self.maintenance);
        self.carry_out(usize::MAX)?;
        while self.merge_some(Effort::All)? {}
        let leaving = Leaving::now(self);
        for live in self.live_segments() {
            if self.lost.touches(live.record.id) {
                continue;
            }
            let Some(gone) = self.known(&live, leaving.count(&live))? else { continue };
            if is_thin(gone.rows(), live.record.rows) {
                self.rewrite(&[live], &leaving)?;
            }
        }
        Ok(())
    }

    /// Does one merge, if there is one to do. For whoever holds the maintenance lock.
    pub(super) fn merge_some(&self, effort: Effort) -> Result<bool> {
        let mut candidates = Vec::new();
        for live in self.live_segments() {
            // What cannot be read stays where it is.
            if self.lost.touches(live.record.id) {
                continue;
            }
            let Some(counts) = self.known(&live, self.census.counts(&live))? else { continue };
            let mut classes = counts.keys().map(|service| self.class_of(service));
            let first = classes.next();
            let class = first.filter(|first| classes.all(|class| class == *first));
            if counts.is_empty() {
                continue;
            }
            candidates.push(Candidate { live, class });
        }
        let Some(group) = choose(&candidates, effort) else { return Ok(false) };
        self.rewrite(&group, &Leaving::now(self))?;
        Ok(true)
    }

    /// Writes segments anew, as one where they fit together, without the rows that leave.
    pub(super) fn rewrite(&self, group: &[LiveSegment], leaving: &Leaving) -> Result<()> {
        let mut table = ShapeInterner::default();
        let mut sources = Vec::new();
        for live in group {
            for block in 0..live.segment.block_count() {
                let source = read_block(live, block, leaving, &mut table).inspect_err(|e| {
                    if e.kind() == crate::error::ErrorKind::Corrupt {
                        self.find_losses(live);
                    }
                })?;
                sources.extend(source);
            }
        }
        if planted::on("merge-drops-a-block") {
            sources.pop();
        }
        sources.sort_by_key(|source| (source.epoch, first_seq(&source.seqs)));
        let table = table.snapshot();
        let used = seal::count_shapes(sources.iter().map(|s| (&s.batch, s.shape_map.as_slice())), table.len());
        let (selection, shapes) = seal::select_shapes(&table, &used)?;
        let mut tables = Tables::default();
        let inputs: Vec<Input<'_>> = sources
            .iter()
            .map(|s| Input::new(&s.batch, s.epoch, &s.seqs, &s.arrivals, &s.shape_map, &selection, &mut tables))
            .collect();
        let lineage = seal::Lineage {
            sealed_seq: group.iter().map(|live| live.segment.footer.sealed_seq).max().unwrap_or(0),
            replaces: group.iter().map(|live| live.record.id).collect(),
        };
        let material = seal::Material { inputs: &inputs, kept: &[], tables: &tables, shapes: &shapes };
        let sealed =
            seal::write_segments(&self.place(), &material, &lineage, &|service| self.class_of(service), &mut || {
                self.next_segment.fetch_add(1, Ordering::SeqCst)
            })?;
        let (mut change, mut undo) = (Change::new(), Change::new());
        for sealed in &sealed {
            change.put_segment(&sealed.record)?;
            undo.remove_segment(sealed.record.id);
        }
        for live in group {
            undo.put_segment(&live.record)?;
        }
        for live in group.iter().filter(|_| !planted::on("merge-keeps-inputs")) {
            change.remove_segment(live.record.id);
        }
        if planted::on("inputs-removed-before-commit") {
            self.unlink(group);
        }
        self.commit_catalog(&change, &undo)?;
        self.replace(&lineage.replaces, sealed, None);
        if !planted::on("inputs-removed-before-commit") {
            self.unlink(group);
        }
        Ok(())
    }
}

fn first_seq(seqs: &Seqs) -> u64 {
    match seqs {
        Seqs::From(first) => *first,
        Seqs::Listed(seqs) => seqs.first().copied().unwrap_or(0),
    }
}

/// What stays of a block, as a batch whose shapes are in `table`; nothing where no row does.
fn read_block(
    live: &LiveSegment,
    index: usize,
    leaving: &Leaving,
    table: &mut ShapeInterner,
) -> Result<Option<Source>> {
    with_block(&live.segment, index, |part| {
        let stay = leaving.stay(part)?;
        if stay.is_empty() {
            return Ok(None);
        }
        let streams = part.streams()?;
        let mut seqs = Vec::with_capacity(stay.len());
        let mut builder = BatchBuilder::new();
        for (record, row) in materialise(part, &stay)?.iter().zip(stay.iter()) {
            builder.begin_row();
            builder.time(record.time);
            for (field, value) in &record.fields {
                builder.push_value(field, value.kind, &value.text);
            }
            let stream = streams.get(row).copied().unwrap_or(0);
            let (service, tags) = live.segment.footer.streams.get(stream as usize).cloned().unwrap_or_default();
            builder.commit_row_in(&Stream { service: service.into(), tags: tags.into() });
            seqs.push(record.seq);
        }
        let batch = builder.finish()?;
        let mut shape_map = vec![0];
        for key in batch.shape_keys() {
            shape_map.push(table.intern(key?)?);
        }
        let (epoch, arrivals) = (part.epoch(), part.arrivals());
        Ok(Some(Source { batch, epoch, seqs: Seqs::Listed(seqs), arrivals, shape_map }))
    })
}
