//! Which segments are merged: small ones of one day and class. And which rows leave when segments are written anew.
//!
//! Segments that only keep effects go along with any others. The class of a segment is the one that its services have now: where a changed policy gave them different ones, the
//! segment is split.
//!
//! Invariants
//! * Segments are merged only where one segment can have all of their rows and shapes.
use super::budgets::take_out_cut;
use super::effects::is_bare;
use super::retain::is_thin;
use super::turn::Turn;
use super::with_paid_block;
use crate::engine::{LiveSegment, Shared};
use crate::error::Result;
use crate::limits::{SEGMENT_ROWS_MAX, SEGMENT_SHAPE_BYTES_MAX, SEGMENT_SHAPES_MAX};
use crate::retention::RetentionClass;
use crate::scan::{Hidden, Part, RowSet, Tally};
use crate::segment::BlockMeta;
use crate::text::table::ShapeInterner;
use std::collections::BTreeMap;
use std::sync::Arc;

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

/// The segments of which some may be written anew next as one: those whose services no longer belong together, each on
/// its own, or the small ones of each day and class.
fn groups(candidates: &[Candidate], effort: Effort) -> Vec<Vec<LiveSegment>> {
    if let Some(torn) = candidates.iter().find(|candidate| candidate.class.is_none()) {
        return vec![vec![torn.live.clone()]];
    }
    let mut groups: BTreeMap<_, Vec<LiveSegment>> = BTreeMap::new();
    for candidate in candidates.iter().filter(|candidate| candidate.live.record.rows < LARGE_ROWS) {
        let live = &candidate.live;
        groups.entry((candidate.class, live.record.day.clone())).or_default().push(live.clone());
    }
    let mut groups: Vec<Vec<LiveSegment>> = groups.into_values().collect();
    for group in &mut groups {
        if effort == Effort::Worthwhile {
            leave_out_large(group);
        }
        group.sort_by_key(|live| live.record.first_seq);
    }
    groups
}

/// What segments would be as one.
#[derive(Default)]
struct Union {
    rows: u64,
    shapes: ShapeInterner,
    /// Upper bounds, by which most unions need no look at the shapes.
    shape_count: usize,
    shape_bytes: u64,
    /// Segments whose shapes were not looked at.
    unread: Vec<LiveSegment>,
}

impl Union {
    /// Adds a segment and says whether all of them still fit into one.
    fn take(&mut self, live: &LiveSegment) -> Result<bool> {
        let footer = &live.segment.footer;
        self.rows += live.record.rows;
        self.shape_count += footer.shape_count as usize;
        self.shape_bytes += footer.shapes.raw;
        self.unread.push(live.clone());
        if self.rows > SEGMENT_ROWS_MAX as u64 {
            return Ok(false);
        }
        if self.shape_count <= SEGMENT_SHAPES_MAX && self.shape_bytes <= SEGMENT_SHAPE_BYTES_MAX as u64 {
            return Ok(true);
        }
        for live in self.unread.drain(..) {
            let table = live.segment.shapes()?;
            for shape in 1..table.len() as u32 {
                self.shapes.intern(table.key(shape))?;
            }
        }
        Ok(self.shapes.fits_segment())
    }
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
    /// Numbers of rows that leave, ascending.
    seqs: Vec<u64>,
}

impl Leaving {
    /// What is expired or deleted now.
    pub(super) fn now(shared: &Shared) -> Self {
        Self::at(shared, shared.delete_by(), BTreeMap::new())
    }

    /// What is expired at a time, or deleted, or cut.
    pub(super) fn at(shared: &Shared, now: i64, cuts: BTreeMap<String, i64>) -> Self {
        Self { hidden: Hidden { now, ..shared.hidden() }, cuts, seqs: Vec::new() }
    }

    /// Nothing but rows with these numbers, which ascend.
    pub(super) fn of(shared: &Shared, seqs: Vec<u64>) -> Self {
        Self { seqs, ..Self::at(shared, i64::MIN, BTreeMap::new()) }
    }

    /// Whether rows of a block may leave, by its entry alone.
    pub(super) fn may_take(&self, part: &Part<'_>, meta: &BlockMeta) -> bool {
        self.hidden.may_take(part, meta.first_seq, (meta.time_min, meta.time_max))
            || self.cuts.values().any(|before| meta.time_min < *before)
            || !self.seqs.is_empty()
    }

    /// The rows of a part that stay.
    pub(super) fn stay(&self, part: &Part<'_>) -> Result<RowSet> {
        let mut set = RowSet::all(part.rows());
        let times = part.times()?;
        self.hidden.take_out(part, &times, &mut set)?;
        if !self.cuts.is_empty() {
            take_out_cut(part, &times, &self.cuts, &mut set)?;
        }
        if !self.seqs.is_empty() {
            let seqs = part.seqs()?;
            let leaves = |seq: &u64| self.seqs.binary_search(seq).is_ok();
            seqs.iter().enumerate().filter(|(_, seq)| leaves(seq)).for_each(|(row, _)| set.remove(row));
        }
        Ok(set)
    }

    /// The rows of a segment that leave but for deletions.
    pub(super) fn count(&self, turn: &Turn<'_>, live: &LiveSegment) -> Result<Tally> {
        let mut tally = Tally::default();
        let alive_from = self.hidden.lives.alive_from(self.hidden.now);
        let hidden = Hidden { deletions: Arc::default(), ..self.hidden.clone() };
        let aged = Self { hidden, cuts: self.cuts.clone(), seqs: Vec::new() };
        let segment = &live.segment;
        for (index, meta) in segment.footer.blocks.iter().enumerate() {
            if meta.time_min >= alive_from && self.cuts.is_empty() {
                continue;
            }
            with_paid_block(turn, segment, index, |part| {
                let mut gone = aged.stay(part)?;
                gone.not();
                if gone.is_empty() { Ok(()) } else { tally.add(part, &part.times()?, &gone) }
            })?;
        }
        Ok(tally)
    }
}

impl Shared {
    /// Carries out deletions, merges until nothing small is left beside something small, and rewrites what is thin.
    pub(crate) fn compact(&self) -> Result<()> {
        let turn = self.turn();
        self.clear_leftovers();
        self.carry_out(&turn, usize::MAX)?;
        self.clear_log();
        while self.merge_some(&turn, Effort::All)? {}
        let leaving = Leaving::now(self);
        for live in self.live_segments() {
            if self.lost.touches(live.record.id) {
                continue;
            }
            let Some(gone) = self.known(&live, leaving.count(&turn, &live))? else { continue };
            if is_thin(gone.rows(), live.record.rows) {
                self.rewrite(&turn, &[live], &leaving)?;
            }
        }
        Ok(())
    }

    /// Does one merge, if there is one to do.
    pub(super) fn merge_some(&self, turn: &Turn<'_>, effort: Effort) -> Result<bool> {
        let (mut candidates, mut bare) = (Vec::new(), Vec::new());
        for live in self.live_segments() {
            // What cannot be read stays where it is, and so does what is in the archive alone, or back for a while.
            if self.lost.touches(live.record.id) || self.archive.is_settled(live.record.id) {
                continue;
            }
            let Some(counts) = self.known(&live, self.census.counts(&live))? else { continue };
            let mut classes = counts.keys().map(|service| self.class_of(service));
            let first = classes.next();
            let class = first.filter(|first| classes.all(|class| class == *first));
            if is_bare(&live) {
                bare.push(live);
                continue;
            }
            if counts.is_empty() {
                continue;
            }
            candidates.push(Candidate { live, class });
        }
        let torn = candidates.iter().any(|candidate| candidate.class.is_none());
        let least = match effort {
            _ if torn => 1,
            Effort::All => 2,
            Effort::Worthwhile => WORTH,
        };
        for group in groups(&candidates, effort) {
            if let Some(mut run) = self.run(group, least)? {
                run.append(&mut bare);
                self.rewrite(turn, &run, &Leaving::now(self))?;
                return Ok(true);
            }
        }
        let is_worth = bare.len() >= least.max(2);
        if is_worth {
            self.rewrite(turn, &bare, &Leaving::now(self))?;
        }
        Ok(is_worth)
    }

    /// The first neighbours of a group that are at least so many and fit into one segment.
    fn run(&self, group: Vec<LiveSegment>, least: usize) -> Result<Option<Vec<LiveSegment>>> {
        let (mut run, mut union) = (Vec::new(), Union::default());
        for live in group {
            let Some(fits) = self.known(&live, union.take(&live))? else { return Ok(None) };
            if !fits {
                if run.len() >= least {
                    break;
                }
                (run, union) = (Vec::new(), Union::default());
                union.take(&live)?;
            }
            run.push(live);
        }
        Ok((run.len() >= least).then_some(run))
    }
}
