//! Retention: what is past its life goes, and what is over a service's budget.
//!
//! A segment goes as a whole when all its rows are past the lives of their services, which its footer can tell: the
//! catalog forgets it, then its file is removed, then the directory is synced. Where only some rows are past theirs,
//! they are hidden, and leave when the segment is rewritten: at the latest once they are more than a quarter of it.
//!
//! A budget counts a service's share of each segment by its rows. Over it, its oldest rows go: whole shares first, and
//! of the last one as much as it takes. That is done daily; after each seal only as far as little is written for it.
//!
//! Each pass that removed something leaves a summary, which `Engine::take_retention_summaries` gives.
//!
//! Invariants
//! * Deletion goes by believed time (`engine::clock`), hiding by the wall clock.
//! * What [`expired`] and [`cuts`] decide depends on nothing but what they are given.
use super::compact::Leaving;
use super::effects::is_bare;
use super::with_block;
use crate::catalog::{Change, SegmentServices};
use crate::engine::{LiveSegment, Shared, locked};
use crate::error::{ErrorKind, Result};
use crate::retention::{DAY_NANOS, Lives, is_expired};
use crate::scan::{Part, RowSet};
use crate::segment::Footer;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

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

/// Rows of each service in a segment.
pub(crate) type Counts = Arc<BTreeMap<String, u64>>;

/// What was found out about segments, which never change.
#[derive(Default)]
pub(crate) struct Census {
    counts: Mutex<BTreeMap<u64, Counts>>,
    /// Deletions and segments that have none of their rows.
    clear: Mutex<BTreeSet<(u64, u64)>>,
}

impl Census {
    pub(super) fn is_clear(&self, deletion: u64, segment: u64) -> bool {
        locked(&self.clear).contains(&(deletion, segment))
    }

    pub(super) fn set_clear(&self, deletion: u64, segment: u64) {
        locked(&self.clear).insert((deletion, segment));
    }

    pub(super) fn forget_deletion(&self, deletion: u64) {
        locked(&self.clear).retain(|(of, _)| *of != deletion);
    }

    fn forget_segment(&self, segment: u64) {
        locked(&self.clear).retain(|(_, of)| *of != segment);
        locked(&self.counts).remove(&segment);
    }

    /// Rows of each service in a segment: from the catalog, or counted once where it does not say.
    pub(super) fn counts(&self, live: &LiveSegment) -> Result<Counts> {
        if let SegmentServices::Counted(counts) = &live.record.services {
            return Ok(Arc::new(counts.iter().map(|count| (count.name.clone(), count.rows)).collect()));
        }
        if let Some(counts) = locked(&self.counts).get(&live.record.id) {
            return Ok(Arc::clone(counts));
        }
        let counts = Arc::new(count(live)?);
        locked(&self.counts).insert(live.record.id, Arc::clone(&counts));
        Ok(counts)
    }
}

fn count(live: &LiveSegment) -> Result<BTreeMap<String, u64>> {
    let segment = &live.segment;
    let mut counts = BTreeMap::new();
    for index in 0..segment.block_count() {
        with_block(segment, index, |part| {
            for (stream, rows) in part.stream_rows().unwrap_or_default() {
                *counts.entry(part.service(*stream).to_string()).or_default() += u64::from(*rows);
            }
            Ok(())
        })?;
    }
    Ok(counts)
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

/// A service's part of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Share {
    segment: u64,
    bytes: u64,
    time_max: i64,
}

/// How many bytes of which shares go so that the others are within a budget, the oldest first.
fn cuts(mut shares: Vec<Share>, budget: u64) -> Vec<(Share, u64)> {
    shares.sort_by_key(|share| (share.time_max, share.segment));
    let total: u64 = shares.iter().map(|share| share.bytes).sum();
    let mut over = total.saturating_sub(budget);
    let mut cuts = Vec::new();
    for share in shares {
        let bytes = over.min(share.bytes);
        if bytes == 0 {
            break;
        }
        over -= bytes;
        cuts.push((share, bytes));
    }
    cuts
}

/// `bytes` of a segment, as the share that `rows` of `total` rows have.
fn share_of(bytes: u64, rows: u64, total: u64) -> u64 {
    u64::try_from(u128::from(bytes) * u128::from(rows) / u128::from(total.max(1))).unwrap_or(u64::MAX)
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

/// Event times before which rows of a service go, by segment.
type Cuts = BTreeMap<u64, BTreeMap<String, i64>>;

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
struct Plan {
    drop: Vec<LiveSegment>,
    rewrite: Vec<(LiveSegment, Leaving)>,
}

impl Shared {
    /// Removes what is past its life or over a budget.
    pub(crate) fn retain(&self, dry_run: bool) -> Result<RetentionReport> {
        let _held = locked(&self.maintenance);
        let mut report = RetentionReport { dry_run, at: self.delete_by(), ..RetentionReport::default() };
        let plan = self.plan_retention(&mut report)?;
        report.count(&plan);
        if dry_run {
            return Ok(report);
        }
        self.drop_segments(&plan.drop)?;
        self.forget_effects(report.at)?;
        self.rewrite_all(plan.rewrite)?;
        self.summarise(&report);
        Ok(report)
    }

    /// Removes what is over a budget, as far as it is worth it: whole segments, and of others what is more than a
    /// quarter. The daily pass removes the rest.
    pub(super) fn retain_budgets(&self) -> Result<()> {
        if self.configs().values().all(|config| config.size_budget.is_none()) {
            return Ok(());
        }
        let _held = locked(&self.maintenance);
        let mut report = RetentionReport { at: self.delete_by(), ..RetentionReport::default() };
        let (mut plan, mut kept) = (Plan::default(), Vec::new());
        for live in self.live_segments().into_iter().filter(|live| !is_bare(live)) {
            if let Some(counts) = self.known(&live, self.census.counts(&live))? {
                kept.push((live, counts));
            }
        }
        let cut = self.plan_budgets(&kept, &mut report, &mut plan)?;
        self.plan_rewrites(kept, cut, Worth::Thin, &mut report, &mut plan)?;
        report.count(&plan);
        self.drop_segments(&plan.drop)?;
        self.rewrite_all(plan.rewrite)?;
        self.summarise(&report);
        Ok(())
    }

    fn rewrite_all(&self, segments: Vec<(LiveSegment, Leaving)>) -> Result<()> {
        segments.into_iter().try_for_each(|(live, leaving)| self.rewrite(&[live], &leaving))
    }

    /// Keeps the summary of a pass that removed something, for whoever asks what became of rows.
    pub(super) fn summarise(&self, report: &RetentionReport) {
        if report.services.is_empty() {
            return;
        }
        let mut summaries = locked(&self.summaries);
        if summaries.len() >= SUMMARIES_MAX {
            summaries.pop_front();
        }
        summaries.push_back(report.clone());
    }

    fn plan_retention(&self, report: &mut RetentionReport) -> Result<Plan> {
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
        let cut = self.plan_budgets(&kept, report, &mut plan)?;
        self.plan_rewrites(kept, cut, Worth::Any, report, &mut plan)?;
        Ok(plan)
    }

    /// Which segments are written anew without what is past its life or cut.
    fn plan_rewrites(
        &self,
        kept: Vec<(LiveSegment, Counts)>,
        mut cut: Cuts,
        worth: Worth,
        report: &mut RetentionReport,
        plan: &mut Plan,
    ) -> Result<()> {
        for (live, _) in kept {
            let cuts = cut.remove(&live.record.id);
            let is_dropped = plan.drop.iter().any(|dropped| dropped.record.id == live.record.id);
            if is_dropped || self.lost.touches(live.record.id) {
                continue;
            }
            let leaving = Leaving::at(self, report.at, cuts.clone().unwrap_or_default());
            let Some(gone) = self.known(&live, leaving.count(&live))? else { continue };
            if worth == Worth::Any && cuts.is_some() || is_thin(gone.rows(), live.record.rows) {
                let oldest = gone.times.map_or(live.record.time_min, |(oldest, _)| oldest);
                gone.by_service.iter().for_each(|(service, rows)| report.add(&live, service, *rows, oldest));
                plan.rewrite.push((live, leaving));
            }
        }
        Ok(())
    }

    /// What goes for budgets: event times before which rows of a service go, by segment.
    fn plan_budgets(
        &self,
        segments: &[(LiveSegment, Counts)],
        report: &mut RetentionReport,
        plan: &mut Plan,
    ) -> Result<Cuts> {
        let mut found = Cuts::new();
        for (service, config) in self.configs().iter() {
            let Some(budget) = config.size_budget else { continue };
            let share = |(live, counts): &(LiveSegment, Counts)| {
                let bytes = share_of(live.record.bytes, *counts.get(service)?, live.record.rows);
                Some(Share { segment: live.record.id, bytes, time_max: live.record.time_max })
            };
            for (share, bytes) in cuts(segments.iter().filter_map(share).collect(), budget) {
                let of = segments.iter().find(|(live, _)| live.record.id == share.segment);
                let Some((live, counts)) = of else { continue };
                if bytes == share.bytes && counts.len() == 1 {
                    counts.iter().for_each(|(name, rows)| report.add(live, name, *rows, live.record.time_min));
                    plan.drop.push(live.clone());
                    continue;
                }
                let before = match bytes == share.bytes {
                    true => Some(i64::MAX),
                    false => self.known(live, oldest_part(live, service, bytes, share.bytes))?,
                };
                if let Some(before) = before {
                    found.entry(share.segment).or_default().insert(service.clone(), before);
                }
            }
        }
        Ok(found)
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
        if let Err(e) = self.commit_catalog(&change, &undo) {
            self.abandon(carried.iter().map(|sealed| sealed.segment.path().to_path_buf()).collect());
            return Err(e);
        }
        let gone: Vec<u64> = segments.iter().map(|live| live.record.id).collect();
        self.replace(&gone, carried, None);
        self.unlink(segments);
        Ok(())
    }

    /// Forgets what was found out about a segment that is gone.
    pub(super) fn forget(&self, live: &LiveSegment) {
        self.census.forget_segment(live.record.id);
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

/// The event time before which a service's oldest rows are `bytes` of the `all` bytes that it has in a segment.
fn oldest_part(live: &LiveSegment, service: &str, bytes: u64, all: u64) -> Result<i64> {
    let segment = &live.segment;
    let mut times = Vec::new();
    for index in 0..segment.block_count() {
        with_block(segment, index, |part| {
            let of_service = part.times()?.into_iter().zip(part.streams()?);
            times.extend(of_service.filter(|(_, stream)| part.service(*stream) == service).map(|(time, _)| time));
            Ok(())
        })?;
    }
    let rows = times.len() as u64;
    // Rounded up, so that what stays is within the budget.
    let gone = (u128::from(rows) * u128::from(bytes)).div_ceil(u128::from(all.max(1))) as usize;
    let Some(last) = gone.min(times.len()).checked_sub(1) else { return Ok(i64::MIN) };
    let (_, last, _) = times.select_nth_unstable(last);
    Ok(last.saturating_add(1))
}

/// The rows of a service that are older than its cut.
pub(super) fn take_out_cut(
    part: &Part<'_>,
    times: &[i64],
    cuts: &BTreeMap<String, i64>,
    set: &mut RowSet,
) -> Result<()> {
    for (row, (time, stream)) in times.iter().zip(part.streams()?).enumerate() {
        if cuts.get(part.service(stream)).is_some_and(|before| time < before) {
            set.remove(row);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_shares_go_and_of_the_last_no_more_than_needed() {
        let share = |segment, bytes, time_max| Share { segment, bytes, time_max };
        let shares = vec![share(1, 100, 30), share(2, 50, 10), share(3, 70, 20)];
        assert_eq!(cuts(shares.clone(), 220), []);
        assert_eq!(cuts(shares.clone(), 219), [(share(2, 50, 10), 1)]);
        assert_eq!(cuts(shares.clone(), 120), [(share(2, 50, 10), 50), (share(3, 70, 20), 50)]);
        assert_eq!(cuts(shares, 0).iter().map(|(_, bytes)| bytes).sum::<u64>(), 220);
    }

    #[test]
    fn shares_do_not_overflow() {
        assert_eq!(share_of(u64::MAX, 3, 3), u64::MAX);
        assert_eq!(share_of(100, 1, 0), 100);
    }
}
