//! Budgets of services: which rows go so that what stays is within them.
//!
//! A budget counts a service's share of each segment on this disk by its rows. Over it, its oldest rows go: whole shares first,
//! and of the last one as much as it takes. What is in the archive only leaves this disk, with all of its segment; what is to go
//! there and has not come there yet stays until it has.
//!
//! Invariants
//! * What [`cuts`] decides depends on nothing but what it is given.
use super::census::Counts;
use super::retain::{Plan, RetentionReport};
use super::turn::Turn;
use super::with_paid_block;
use crate::engine::{LiveSegment, Shared};
use crate::error::Result;
use crate::hot::HotBatch;
use crate::scan::{Part, RowSet};
use std::collections::BTreeMap;

/// A service's part of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Share {
    segment: u64,
    bytes: u64,
    time_max: i64,
}

/// Event times before which rows of a service go, by segment.
pub(super) type Cuts = BTreeMap<u64, BTreeMap<String, i64>>;

impl Shared {
    /// What goes for budgets: event times before which rows of a service go, by segment.
    pub(super) fn plan_budgets(
        &self,
        turn: &Turn<'_>,
        segments: &[(LiveSegment, Counts)],
        report: &mut RetentionReport,
        plan: &mut Plan,
    ) -> Result<Cuts> {
        let mut found = Cuts::new();
        for (service, config) in self.configs().iter() {
            let Some(budget) = config.size_budget else { continue };
            let share = |(live, counts): &(LiveSegment, Counts)| {
                if self.archive.is_away(live.record.id) {
                    return None;
                }
                let bytes = share_of(live.record.bytes, *counts.get(service)?, live.record.rows);
                Some(Share { segment: live.record.id, bytes, time_max: live.record.time_max })
            };
            for (share, bytes) in cuts(segments.iter().filter_map(share).collect(), budget) {
                let of = segments.iter().find(|(live, _)| live.record.id == share.segment);
                let Some((live, counts)) = of else { continue };
                if self.archive.can_leave(live.record.id) {
                    plan.leave.insert(live.record.id);
                    continue;
                }
                if self.archive.is_to_come(live) {
                    continue;
                }
                if bytes == share.bytes && counts.len() == 1 {
                    counts.iter().for_each(|(name, rows)| report.add(live, name, *rows, live.record.time_min));
                    plan.drop.push(live.clone());
                    continue;
                }
                let before = match bytes == share.bytes {
                    true => Some(i64::MAX),
                    false => self.known(live, oldest_part(turn, live, service, bytes, share.bytes))?,
                };
                if let Some(before) = before {
                    found.entry(share.segment).or_default().insert(service.clone(), before);
                }
            }
        }
        Ok(found)
    }
}

impl Shared {
    /// What a service's records take: its share by rows of each segment, and of what is in memory.
    pub(crate) fn bytes_of_service(&self, service: &str) -> Result<u64> {
        let mut bytes = 0;
        for live in self.live_segments() {
            let Some(counts) = self.known(&live, self.census.counts(&live))? else { continue };
            bytes += share_of(live.record.bytes, counts.get(service).copied().unwrap_or(0), live.record.rows);
        }
        let generations = self.snapshot().generations;
        let batches = generations.iter().flat_map(|generation| &generation.batches);
        Ok(bytes + batches.map(|batch| share_of_batch(batch, service)).sum::<u64>())
    }
}

fn share_of_batch(hot: &HotBatch, service: &str) -> u64 {
    let (batch, streams) = (&hot.batch, hot.batch.streams());
    let is_own: Vec<bool> = streams.iter().map(|stream| &*stream.service == service).collect();
    let rows = batch.rows() as u64;
    let own = match is_own.iter().filter(|is_own| **is_own).count() {
        0 => 0,
        all if all == streams.len() => rows,
        _ => (0..batch.rows()).filter(|row| is_own.get(batch.stream_of(*row)) == Some(&true)).count() as u64,
    };
    share_of(hot.bytes() as u64, own, rows)
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
pub(super) fn share_of(bytes: u64, rows: u64, total: u64) -> u64 {
    u64::try_from(u128::from(bytes) * u128::from(rows) / u128::from(total.max(1))).unwrap_or(u64::MAX)
}

/// The event time before which a service's oldest rows are `bytes` of the `all` bytes that it has in a segment.
fn oldest_part(turn: &Turn<'_>, live: &LiveSegment, service: &str, bytes: u64, all: u64) -> Result<i64> {
    let segment = &live.segment;
    let mut times = Vec::new();
    for index in 0..segment.block_count() {
        with_paid_block(turn, segment, index, |part| {
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
