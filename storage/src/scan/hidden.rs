//! Rows that are still on disk and no longer shown: expired, deleted, or in a block that cannot be read.
//!
//! Invariants
//! * A row is hidden from the moment it expires, by its service's own time to live, whatever segment it lies in.
//! * A deletion hides rows that were there when it was asked for, and none that came later.
//! * Hiding changes nothing on disk.
use super::answer::Verdicts;
use super::evaluate::evaluate;
use super::part::Part;
use super::rows::RowSet;
use super::{Place, Search, Snapshot};
use crate::error::Result;
use crate::hot::HotBatch;
use crate::retention::{Lives, is_expired};
use crate::segment::{Arrivals, Counters, Segment};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

/// Stands for every epoch that a deletion does not name; no epoch has so many bits.
pub(crate) const ANY_EPOCH: u32 = u32::MAX;

/// Rows that somebody asked to delete, before that is carried out everywhere.
#[derive(Clone, Debug)]
pub(crate) struct Deletion {
    pub(crate) id: u64,
    /// Which rows; `limit` and `offset` mean nothing here.
    pub(crate) search: Search,
    /// Each epoch that had rows, with the number from which on its rows are not meant.
    pub(crate) ends: Vec<(u32, u64)>,
    /// When it was asked for.
    pub(crate) at: i64,
}

/// Blocks that cannot be read, by segment and place in it.
#[derive(Default)]
pub(crate) struct LostBlocks {
    found: Mutex<BTreeMap<u64, BTreeSet<usize>>>,
    unsaid: Mutex<Vec<String>>,
}

impl LostBlocks {
    /// Takes a block out of every search, and says so once.
    pub(crate) fn add(&self, segment: &Segment, block: usize, why: &str) {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if !found.entry(segment.footer.id).or_default().insert(block) {
            return;
        }
        drop(found);
        let what = segment.footer.blocks.get(block).map_or_else(
            || format!("{}: {why}", segment.path().display()),
            |meta| format!("records {} to {}, {} of them, are lost: {why}", meta.first_seq, meta.last_seq, meta.rows),
        );
        self.unsaid.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    /// What was found since this was last asked.
    pub(crate) fn take_unsaid(&self) -> Vec<String> {
        std::mem::take(&mut *self.unsaid.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn contains(&self, segment: u64, block: usize) -> bool {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.get(&segment).is_some_and(|blocks| blocks.contains(&block))
    }

    /// Whether anything of a segment is lost.
    pub(crate) fn touches(&self, segment: u64) -> bool {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&segment)
    }

    /// A block that could not be read can be read again.
    pub(crate) fn take_back(&self, segment: u64, block: usize) {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(blocks) = found.get_mut(&segment) {
            blocks.remove(&block);
            if blocks.is_empty() {
                found.remove(&segment);
            }
        }
    }

    /// Forgets a segment that is gone.
    pub(crate) fn forget(&self, segment: u64) {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).remove(&segment);
    }
}

/// What a look at the data does not show.
#[derive(Clone, Default)]
pub(crate) struct Hidden {
    /// The time by which rows expire.
    pub(crate) now: i64,
    pub(crate) lives: Arc<Lives>,
    pub(crate) deletions: Arc<Vec<Arc<Deletion>>>,
    pub(crate) lost: Arc<LostBlocks>,
}

impl Hidden {
    /// Whether rows of a part may not be shown, by its first number and its event times. Reads nothing.
    pub(crate) fn may_take(&self, part: &Part<'_>, first_seq: u64, times: (i64, i64)) -> bool {
        let alive_from = self.lives.alive_from(self.now);
        let ages = times.0 < alive_from && earliest(&part.arrivals()) < alive_from;
        ages || self.deletions.iter().any(|deletion| deletion.may_mean(part.epoch(), first_seq, times))
    }

    /// Takes rows that are not shown out of `set`. `times` are the part's.
    pub(crate) fn take_out(&self, part: &Part<'_>, times: &[i64], set: &mut RowSet) -> Result<()> {
        self.take_out_expired(part, times, set)?;
        for deletion in self.deletions.iter() {
            if set.is_empty() {
                break;
            }
            let mut gone = deletion.rows(part, times)?;
            gone.not();
            set.and(&gone);
        }
        Ok(())
    }

    fn take_out_expired(&self, part: &Part<'_>, times: &[i64], set: &mut RowSet) -> Result<()> {
        let alive_from = self.lives.alive_from(self.now);
        let arrivals = part.arrivals();
        // Each row's later one of event time and arrival is at least the earliest of either.
        if earliest(&arrivals) >= alive_from || times.iter().all(|time| *time >= alive_from) {
            return Ok(());
        }
        let (seqs, streams) = (part.seqs()?, part.streams()?);
        let mut days_of: BTreeMap<u32, Option<u32>> = BTreeMap::new();
        for (row, ((time, seq), stream)) in times.iter().zip(&seqs).zip(&streams).enumerate() {
            let expire_from = (*time).max(arrivals.at(*seq));
            if expire_from >= alive_from {
                continue;
            }
            let days = *days_of.entry(*stream).or_insert_with(|| self.lives.days(part.service(*stream)));
            if is_expired(expire_from, days, self.now) {
                set.remove(row);
            }
        }
        Ok(())
    }
}

fn earliest(arrivals: &Arrivals) -> i64 {
    match arrivals {
        Arrivals::One(at) => *at,
        Arrivals::Runs(runs) => runs.iter().map(|(_, at)| *at).min().unwrap_or(i64::MIN),
    }
}

impl Deletion {
    /// The number from which on rows of an epoch are not meant.
    pub(crate) fn end_of(&self, epoch: u32) -> u64 {
        let of = |wanted: u32| self.ends.iter().find(|(of, _)| *of == wanted);
        of(epoch).or_else(|| of(ANY_EPOCH)).map_or(0, |(_, end)| *end)
    }

    /// Whether it may mean rows of an epoch that are no older than a number and no further apart than these times.
    fn may_mean(&self, epoch: u32, first_seq: u64, (time_min, time_max): (i64, i64)) -> bool {
        first_seq < self.end_of(epoch) && self.search.wants_times(time_min, time_max)
    }

    /// Whether it may mean rows of a segment of which only this is known.
    pub(crate) fn may_touch_unread(&self, first_seq: u64, (time_min, time_max): (i64, i64)) -> bool {
        self.ends.iter().any(|(_, end)| first_seq < *end) && self.search.wants_times(time_min, time_max)
    }

    /// Whether it may mean rows of a segment.
    pub(crate) fn may_touch(&self, segment: &Segment) -> bool {
        segment.footer.blocks.iter().any(|block| {
            self.may_mean(block.epoch, block.first_seq, (block.time_min, block.time_max))
                && wants_some_stream(&self.search, segment, &block.streams)
        })
    }

    /// The rows of a part that it means.
    pub(crate) fn rows(&self, part: &Part<'_>, times: &[i64]) -> Result<RowSet> {
        let none = RowSet::none(part.rows());
        if !times.iter().any(|time| self.search.wants_times(*time, *time)) {
            return Ok(none);
        }
        let (end, seqs) = (self.end_of(part.epoch()), part.seqs()?);
        if seqs.first().is_none_or(|first| *first >= end) {
            return Ok(none);
        }
        let mut set = RowSet::all(part.rows());
        for (row, _) in seqs.iter().enumerate().filter(|(_, seq)| **seq >= end) {
            set.remove(row);
        }
        narrow(&self.search, part, times, &mut set)?;
        Ok(set)
    }
}

/// Whether rows of these streams may be of a wanted service; streams that are not listed may be.
pub(super) fn wants_some_stream(search: &Search, segment: &Segment, streams: &[u32]) -> bool {
    let service = |stream: &u32| segment.footer.streams.get(*stream as usize);
    streams.is_empty() || streams.iter().filter_map(service).any(|(service, _)| search.wants_service(service))
}

/// Whether rows of a batch may be of a wanted service. Looks at no row.
pub(super) fn wants_some_batch(search: &Search, batch: &HotBatch) -> bool {
    let service = |stream: u32| batch.batch.streams().get(stream as usize).map_or("", |stream| &stream.service);
    let streams = batch.counted.tally.streams();
    !search.names_services() || streams.iter().any(|(stream, _)| search.wants_service(service(*stream)))
}

/// Takes the rows that a search does not want out of `set`.
fn narrow(search: &Search, part: &Part<'_>, times: &[i64], set: &mut RowSet) -> Result<()> {
    if search.from.is_some() || search.until.is_some() {
        for (row, time) in times.iter().enumerate() {
            if !search.wants_times(*time, *time) {
                set.remove(row);
            }
        }
    }
    if search.names_services() && !set.is_empty() {
        for (row, stream) in part.streams()?.iter().enumerate() {
            if !search.wants_service(part.service(*stream)) {
                set.remove(row);
            }
        }
    }
    if !set.is_empty() && !matches!(search.filter, super::Filter::All) {
        set.and(&evaluate(part, &search.filter, &Verdicts::new(&search.filter, part.counters()), None)?);
    }
    Ok(())
}

/// Rows that pass, added up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) by_service: BTreeMap<String, u64>,
    /// Earliest and latest event time.
    pub(crate) times: Option<(i64, i64)>,
}

impl Snapshot {
    /// Whether rows of a part may be there and not shown. Reads nothing.
    pub(super) fn may_hide(&self, place: Place, part: &Part<'_>) -> bool {
        let known = match place {
            Place::Hot(g, b) => {
                let batch = self.generations.get(g).and_then(|generation| generation.batches.get(b));
                batch.map(|batch| (batch.first_seq, batch.time_min, batch.time_max))
            }
            Place::Sealed(s, b) => {
                let block = self.segments.get(s).and_then(|segment| segment.footer.blocks.get(b));
                block.map(|block| (block.first_seq, block.time_min, block.time_max))
            }
        };
        known.is_none_or(|(first_seq, time_min, time_max)| self.hidden.may_take(part, first_seq, (time_min, time_max)))
    }

    /// Takes rows that are not shown out of `set`.
    pub(super) fn take_out_hidden(&self, place: Place, part: &Part<'_>, set: &mut RowSet) -> Result<()> {
        if set.is_empty() || !self.may_hide(place, part) {
            return Ok(());
        }
        self.hidden.take_out(part, &part.times()?, set)
    }

    /// Adds up the rows that are shown and that a deletion means.
    pub(crate) fn tally(&self, deletion: &Deletion) -> Result<Tally> {
        let mut tally = Tally::default();
        let counters = Counters::default();
        for spot in self.spots(&deletion.search, &counters)? {
            self.with_part(spot.place, &counters, |part| {
                let times = part.times()?;
                let mut set = deletion.rows(part, &times)?;
                if !set.is_empty() {
                    self.hidden.take_out(part, &times, &mut set)?;
                }
                if !set.is_empty() {
                    tally.add(part, &times, &set)?;
                }
                Ok(())
            })?;
        }
        Ok(tally)
    }
}

impl Tally {
    /// Adds rows of a part.
    pub(crate) fn add(&mut self, part: &Part<'_>, times: &[i64], set: &RowSet) -> Result<()> {
        let streams = part.streams()?;
        for row in set.iter() {
            let (Some(stream), Some(time)) = (streams.get(row), times.get(row)) else { continue };
            let service = part.service(*stream);
            match self.by_service.get_mut(service) {
                Some(rows) => *rows += 1,
                None => {
                    self.by_service.insert(service.to_string(), 1);
                }
            }
            let (first, last) = self.times.unwrap_or((*time, *time));
            self.times = Some((first.min(*time), last.max(*time)));
        }
        Ok(())
    }

    pub(crate) fn rows(&self) -> u64 {
        self.by_service.values().sum()
    }
}
