//! Retention: what is past its life goes, and what is over a service's budget.
//!
//! A segment goes as a whole when all its rows are past the lives of their services, which its footer can tell: the
//! catalog forgets it, then its file is removed, then the directory is synced. Where only some rows are past theirs,
//! they are hidden, and leave when the segment is rewritten: at the latest once they are more than a quarter of it.
//!
//! What is over a service's budget (`budgets.rs`) goes daily; after each seal only as far as little is written for it.
//!
//! Each pass that removed something leaves a summary, which `Engine::take_retention_summaries` gives.
//!
//! Invariants
//! * Deletion goes by believed time (`engine::clock`), hiding by the wall clock.
//! * What [`expired`] decides depends on nothing but what it is given.
use super::budgets::{Cuts, share_of};
use super::census::Counts;
use super::compact::Leaving;
use super::effects::is_bare;
use super::turn::{Throttle, Turn};
use crate::catalog::Change;
use crate::engine::{LiveSegment, Shared, locked};
use crate::error::{ErrorKind, Result};
use crate::retention::{DAY_NANOS, Lives, is_expired};
use crate::segment::Footer;
use std::collections::{BTreeMap, BTreeSet};

/// Summaries that are kept until somebody takes them.
const SUMMARIES_MAX: usize = 64;

/// What left, of one service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Rows.
    pub rows: u64,
    /// Bytes of segments, by its share of the rows.
    pub bytes: u64,
    /// Whole days since the event time of the oldest.
    pub oldest_days: i64,
}

/// What a retention pass did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetentionReport {
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// The time it went by.
    pub at: i64,
    /// By service.
    pub services: BTreeMap<String, Removed>,
    /// Segments that went as a whole.
    pub segments_removed: u64,
    /// Segments that were written anew without some rows.
    pub segments_rewritten: u64,
}

/// Whether every row of a segment is past its life. `services` are those that it has.
fn expired(footer: &Footer, services: &BTreeMap<String, u64>, lives: &Lives, now: i64) -> bool {
    let over = |service: &str, expire_from: i64| is_expired(expire_from, lives.days(service), now);
    footer.blocks.iter().all(|block| {
        let mut named = block.streams.iter().filter_map(|stream| footer.streams.get(*stream as usize));
        match block.streams.is_empty() {
            true => services.keys().all(|service| over(service, block.expire_from)),
            false => named.all(|(service, _)| over(service, block.expire_from)),
        }
    })
}

impl RetentionReport {
    /// What it says in words, a line for each service.
    pub fn lines(&self) -> Vec<String> {
        let verb = if self.dry_run { "would remove" } else { "removed" };
        let line = |(service, removed): (&String, &Removed)| {
            let Removed { rows, bytes, oldest_days } = removed;
            format!("retention {verb} {rows} records of {service}, {bytes} bytes, the oldest {oldest_days} days old")
        };
        self.services.iter().map(line).collect()
    }

    fn count(&mut self, plan: &Plan) {
        self.segments_removed = plan.drop.len() as u64;
        self.segments_rewritten = plan.rewrite.len() as u64;
    }

    pub(super) fn add(&mut self, live: &LiveSegment, service: &str, rows: u64, oldest: i64) {
        let removed = self.services.entry(service.to_string()).or_default();
        removed.rows += rows;
        removed.bytes += share_of(live.record.bytes, rows, live.record.rows);
        removed.oldest_days = removed.oldest_days.max(self.at.saturating_sub(oldest).max(0) / DAY_NANOS);
    }
}

/// Which cuts a segment is written anew for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Worth {
    /// Any: nothing is over its budget after it.
    Any,
    /// Those that take more than a quarter of it: what has to be written again is a few times what is removed at most.
    Thin,
}

/// What a pass is about to do.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) drop: Vec<LiveSegment>,
    rewrite: Vec<(LiveSegment, Leaving)>,
    /// Segments that leave this disk and stay in the archive.
    pub(super) leave: BTreeSet<u64>,
}

impl Shared {
    /// Removes what is past its life or over a budget.
    pub(crate) fn retain(&self, dry_run: bool) -> Result<RetentionReport> {
        self.retain_within(None, dry_run)
    }

    /// The same within a budget of the disk, if there is one.
    pub(super) fn retain_within(&self, throttle: Option<&Throttle>, dry_run: bool) -> Result<RetentionReport> {
        let turn = self.turn_within(throttle);
        let mut report = RetentionReport { dry_run, at: self.delete_by(), ..RetentionReport::default() };
        let plan = self.plan_retention(&turn, &mut report)?;
        report.count(&plan);
        if dry_run {
            return Ok(report);
        }
        self.drop_segments(&plan.drop)?;
        self.forget_effects(report.at)?;
        self.rewrite_all(&turn, plan.rewrite)?;
        self.summarise(&report);
        drop(turn);
        self.let_leave(&plan.leave)?;
        Ok(report)
    }

    /// Removes what is over a budget, as far as it is worth it: whole segments, and of others what is more than a
    /// quarter. The daily pass removes the rest.
    pub(super) fn retain_budgets(&self, throttle: &Throttle) -> Result<()> {
        if self.configs().values().all(|config| config.size_budget.is_none()) {
            return Ok(());
        }
        let turn = self.turn_within(Some(throttle));
        let mut report = RetentionReport { at: self.delete_by(), ..RetentionReport::default() };
        let (mut plan, mut kept) = (Plan::default(), Vec::new());
        for live in self.live_segments().into_iter().filter(|live| !is_bare(live)) {
            if let Some(counts) = self.known(&live, self.census.counts(&live))? {
                kept.push((live, counts));
            }
        }
        let cut = self.plan_budgets(&turn, &kept, &mut report, &mut plan)?;
        self.plan_rewrites(&turn, kept, cut, Worth::Thin, &mut report, &mut plan)?;
        report.count(&plan);
        self.drop_segments(&plan.drop)?;
        self.rewrite_all(&turn, plan.rewrite)?;
        self.summarise(&report);
        drop(turn);
        self.let_leave(&plan.leave)
    }

    fn rewrite_all(&self, turn: &Turn<'_>, segments: Vec<(LiveSegment, Leaving)>) -> Result<()> {
        segments.into_iter().try_for_each(|(live, leaving)| self.rewrite(turn, &[live], &leaving))
    }

    /// Keeps the summary of a pass that removed something, for whoever asks what became of rows.
    pub(super) fn summarise(&self, report: &RetentionReport) {
        if report.services.is_empty() {
            return;
        }
        self.activity.removed_rows.add(report.services.values().map(|removed| removed.rows).sum());
        self.activity.removed_bytes.add(report.services.values().map(|removed| removed.bytes).sum());
        let mut summaries = locked(&self.summaries);
        if summaries.len() >= SUMMARIES_MAX {
            summaries.pop_front();
        }
        summaries.push_back(report.clone());
    }

    fn plan_retention(&self, turn: &Turn<'_>, report: &mut RetentionReport) -> Result<Plan> {
        let lives = self.lives();
        let mut plan = Plan::default();
        let mut kept = Vec::new();
        for live in self.live_segments() {
            if is_bare(&live) {
                if self.needed_effects(std::slice::from_ref(&live)).is_empty() {
                    plan.drop.push(live);
                }
                continue;
            }
            let Some(counts) = self.known(&live, self.census.counts(&live))? else { continue };
            if live.record.expire_from < lives.alive_from(report.at)
                && expired(&live.segment.footer, &counts, &lives, report.at)
            {
                counts.iter().for_each(|(service, rows)| report.add(&live, service, *rows, live.record.time_min));
                plan.drop.push(live);
            } else {
                kept.push((live, counts));
            }
        }
        let cut = self.plan_budgets(turn, &kept, report, &mut plan)?;
        self.plan_rewrites(turn, kept, cut, Worth::Any, report, &mut plan)?;
        Ok(plan)
    }

    /// Which segments are written anew without what is past its life or cut.
    fn plan_rewrites(
        &self,
        turn: &Turn<'_>,
        kept: Vec<(LiveSegment, Counts)>,
        mut cut: Cuts,
        worth: Worth,
        report: &mut RetentionReport,
        plan: &mut Plan,
    ) -> Result<()> {
        for (live, _) in kept {
            let cuts = cut.remove(&live.record.id);
            let is_dropped = plan.drop.iter().any(|dropped| dropped.record.id == live.record.id);
            // What is away expires as a whole: its rows are of one class.
            let stays_away = cuts.is_none() && self.archive.is_away(live.record.id);
            if is_dropped || stays_away || plan.leave.contains(&live.record.id) || self.lost.touches(live.record.id) {
                continue;
            }
            let leaving = Leaving::at(self, report.at, cuts.clone().unwrap_or_default());
            let Some(gone) = self.known(&live, leaving.count(turn, &live))? else { continue };
            if worth == Worth::Any && cuts.is_some() || is_thin(gone.rows(), live.record.rows) {
                let oldest = gone.times.map_or(live.record.time_min, |(oldest, _)| oldest);
                gone.by_service.iter().for_each(|(service, rows)| report.add(&live, service, *rows, oldest));
                plan.rewrite.push((live, leaving));
            }
        }
        Ok(())
    }

    /// What was read of a segment; nothing where it is damaged, which is said and keeps nothing else from being done.
    pub(super) fn known<T>(&self, live: &LiveSegment, read: Result<T>) -> Result<Option<T>> {
        match read {
            Ok(read) => Ok(Some(read)),
            Err(e) if e.kind() == ErrorKind::Corrupt => {
                self.find_losses(live);
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }

    /// Makes the catalog forget segments, then searches, then removes their files. What is needed of their effects stays
    /// in a segment without rows.
    pub(super) fn drop_segments(&self, segments: &[LiveSegment]) -> Result<()> {
        if segments.is_empty() {
            return Ok(());
        }
        let carried = self.carry_effects(segments);
        let (mut change, mut undo) = (Change::new(), Change::new());
        for sealed in &carried {
            change.put_segment(&sealed.record)?;
            undo.remove_segment(sealed.record.id);
        }
        for live in segments {
            change.remove_segment(live.record.id);
            undo.put_segment(&live.record)?;
        }
        let gone: Vec<u64> = segments.iter().map(|live| live.record.id).collect();
        self.condemn_copies(&gone, &mut change, &mut undo)?;
        if let Err(e) = self.commit_catalog(&change, &undo) {
            self.abandon(carried.iter().map(|sealed| sealed.segment.path().to_path_buf()).collect());
            return Err(e);
        }
        self.replace(&gone, carried, None);
        self.unlink(segments);
        Ok(())
    }

    /// Forgets what was found out about a segment that is gone.
    pub(super) fn forget(&self, live: &LiveSegment) {
        self.census.forget_segment(live.record.id);
        self.archive.forget(live.record.id);
        self.lost.forget(live.record.id);
    }

    /// Removes the files of segments that the catalog has forgotten. One that stays is tried again.
    pub(super) fn unlink(&self, gone: &[LiveSegment]) {
        gone.iter().for_each(|live| self.forget(live));
        let files = gone.iter().map(|live| live.segment.path().to_path_buf()).collect();
        let stay = self.remove_files(files);
        for (path, e) in &stay {
            self.trouble(format!("{} could not be removed: {e}", path.display()));
        }
        self.leave(stay.into_iter().map(|(path, _)| path));
    }
}

/// Whether so many rows have left that a segment is worth writing anew.
pub(super) fn is_thin(gone: u64, rows: u64) -> bool {
    gone > rows / 4
}
