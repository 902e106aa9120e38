//! Searches: the newest rows that pass, how many do, and single rows by their number.
//!
//! Invariants
//! * Rows come newest first by event time, ties by sequence number, or in the opposite order.
//! * A search ends early only when no part that is left can hold a row that comes before those it has.
use super::columns::{Sieve, View};
use super::crew::Flow;
use super::evaluate::count;
use super::filter::Filter;
use super::ids::{batch_may_have, block_may_have};
use super::records::{materialise, put_together};
use super::rows::RowSet;
use super::streams::count_streams;
use super::{Order, Place, Search, Snapshot, Spot, Tables, served};
use crate::error::Result;
use crate::record::{Record, RecordId};
use crate::segment::{Counters, add};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Parts that a search for the newest rows looks at before others help.
const ALONE: usize = 2;
/// Records that are put together at once where all are gone through.
const PIECE_ROWS: usize = 4_096;
/// About the bytes that a record takes beside its texts, and each of its fields.
const RECORD_BYTES: usize = 96;
const FIELD_BYTES: usize = 96;

/// A row and where it is: first by what rows are ordered by.
pub(crate) type Found = (i64, u64, Place, usize);

/// The rows so far that come first, in no order.
struct First {
    order: Order,
    wanted: usize,
    rows: Vec<Found>,
    /// Once there are enough, how early the last of them comes: none that comes later is wanted.
    last: Option<(i64, u64)>,
}

impl First {
    /// Whether a row could still be among them that comes so early at most, as far as times say it.
    fn may_take(&self, best: i64) -> bool {
        self.last.is_none_or(|(last, _)| best >= last)
    }

    fn rank(&self, row: &Found) -> (i64, u64) {
        self.order.rank(row.0, row.1)
    }

    fn put(&mut self, row: Found, counters: &Counters) -> Result<()> {
        if self.last.is_some_and(|last| self.rank(&row) <= last) {
            return Ok(());
        }
        counters.budget.hold(size_of::<Found>())?;
        self.rows.push(row);
        if self.rows.len() >= self.wanted.saturating_mul(2) {
            self.cut(counters);
        }
        Ok(())
    }

    /// Leaves as many as are wanted, those that come first.
    fn cut(&mut self, counters: &Counters) {
        let Some(surplus) = self.rows.len().checked_sub(self.wanted).filter(|_| self.wanted > 0) else { return };
        if surplus > 0 {
            let order = self.order;
            self.rows.select_nth_unstable_by_key(self.wanted - 1, |row| Reverse(order.rank(row.0, row.1)));
            self.rows.truncate(self.wanted);
            counters.budget.release(surplus * size_of::<Found>());
        }
        self.last = self.rows.iter().map(|row| self.rank(row)).min();
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Snapshot {
    /// The rows that pass and come first.
    pub(crate) fn search(&self, search: &Search, counters: &Counters) -> Result<Vec<Record>> {
        let found = self.newest(search, None, counters)?;
        self.records(&found, counters)
    }

    /// The same, each with the segment that it is in.
    pub(crate) fn search_placed(&self, search: &Search, counters: &Counters) -> Result<Vec<(Record, Option<u64>)>> {
        let found = self.newest(search, None, counters)?;
        self.placed_records(&found, counters)
    }

    fn segment_of(&self, place: Place) -> Option<u64> {
        match place {
            Place::Hot(..) => None,
            Place::Sealed(s, _) => self.segments.get(s).map(|segment| segment.footer.id),
        }
    }

    /// Where the rows are that pass, that a sieve keeps, and that come first: the newest, where the search says nothing else.
    pub(crate) fn newest(&self, search: &Search, sieve: Option<&Sieve<'_>>, counters: &Counters) -> Result<Vec<Found>> {
        let wanted = search.offset.saturating_add(search.limit);
        if wanted == 0 {
            return Ok(Vec::new());
        }
        let (tables, spots) = (Tables::new(self, &search.filter, counters), self.spots(search, counters)?);
        add(&counters.blocks_considered, spots.len() as u64);
        let newest = Mutex::new(First { order: search.order, wanted, rows: Vec::new(), last: None });
        let look = |(): &mut (), number: usize| {
            let Some(spot) = spots.get(number) else { return Ok(Flow::Break(())) };
            let enough = {
                let mut newest = locked(&newest);
                if newest.last.is_none() && newest.rows.len() >= wanted {
                    newest.cut(counters);
                }
                !newest.may_take(spot.best)
            };
            // Those after it come no earlier.
            if enough {
                return Ok(Flow::Break(()));
            }
            self.look(search, sieve, spot, &tables, &newest, counters).map(Flow::Continue)
        };
        self.crew.work(spots.len(), ALONE, &|| (), &look)?;
        let mut newest = newest.into_inner().unwrap_or_else(PoisonError::into_inner);
        newest.cut(counters);
        newest.rows.sort_unstable_by_key(|row| Reverse((search.order.rank(row.0, row.1), row.2, row.3)));
        newest.rows.drain(..search.offset.min(newest.rows.len()));
        Ok(newest.rows)
    }

    /// Adds the rows of a part that pass.
    fn look(
        &self,
        search: &Search,
        sieve: Option<&Sieve<'_>>,
        spot: &Spot,
        tables: &Tables<'_>,
        newest: &Mutex<First>,
        counters: &Counters,
    ) -> Result<()> {
        let looked = self.with_part(spot.place, counters, |part| {
            let set = self.select(search, spot, part, tables.of(spot.place))?;
            if set.is_empty() {
                return Ok(());
            }
            add(&counters.blocks_read, 1);
            let mut rows = set.listed();
            if let Some(sieve) = sieve {
                rows = View::new(part, rows, spot.place).sifted(sieve)?;
            }
            let (times, seqs) = (part.few_times(&rows)?, part.few_seqs(&rows)?);
            let mut newest = locked(newest);
            for ((row, time), seq) in rows.into_iter().zip(times).zip(seqs).rev() {
                if search.is_left(search.order.rank(time, seq)) {
                    newest.put((time, seq, spot.place, row), counters)?;
                }
            }
            Ok(())
        });
        looked.map(drop)
    }

    /// How many rows pass.
    pub(crate) fn count(&self, search: &Search, counters: &Counters) -> Result<u64> {
        Ok(self.counts(search, counters)?.into_iter().sum())
    }

    /// How many rows of each part pass, in no order, without parts of which none does.
    pub(crate) fn counts(&self, search: &Search, counters: &Counters) -> Result<Vec<u64>> {
        let (tables, spots) = (Tables::new(self, &search.filter, counters), self.spots(search, counters)?);
        add(&counters.blocks_considered, spots.len() as u64);
        let look = |counts: &mut Vec<u64>, number: usize| {
            let Some(spot) = spots.get(number) else { return Ok(Flow::Break(())) };
            counts.extend(Some(self.count_in(search, spot, &tables, counters)?).filter(|rows| *rows > 0));
            Ok(Flow::Continue(()))
        };
        Ok(self.crew.work(spots.len(), 1, &Vec::new, &look)?.into_iter().flatten().collect())
    }

    fn count_in(&self, search: &Search, spot: &Spot, tables: &Tables<'_>, counters: &Counters) -> Result<u64> {
        let (place, verdicts) = (spot.place, tables.of(spot.place));
        let counted = self.with_part(place, counters, |part| {
            if spot.among.is_none() && self.is_within(search, place) && !self.may_hide(place, part) {
                let served = served(search, part);
                if served == 0 || matches!(search.filter, Filter::All) {
                    return Ok(served);
                }
                let is_wanted = |stream| search.wants_service(part.service(stream));
                if let Filter::Streams(asked) = &search.filter
                    && let Some(counted) = count_streams(part, asked, &is_wanted)
                {
                    return Ok(counted);
                }
                if served == part.rows() as u64
                    && let Some(counted) = count(part, &search.filter, verdicts)?
                {
                    return Ok(counted);
                }
            }
            add(&counters.blocks_read, 1);
            Ok(self.select(search, spot, part, verdicts)?.len() as u64)
        });
        Ok(counted?.unwrap_or(0))
    }

    /// Calls `found` with every row there is, part by part.
    pub(crate) fn for_each(&self, counters: &Counters, found: &mut dyn FnMut(Record)) -> Result<()> {
        for spot in self.spots(&Search::default(), counters)? {
            // Not all of a block at once: its rows can take a hundred times what its pages do.
            let (mut from, mut rows) = (0, usize::MAX);
            while from < rows {
                let piece = self.with_part(spot.place, counters, |part| {
                    let listed: Vec<usize> = (from..part.rows().min(from + PIECE_ROWS)).collect();
                    let mut set = RowSet::of(part.rows(), &listed);
                    self.take_out_hidden(spot.place, part, &mut set)?;
                    materialise(part, &set)?.into_iter().for_each(&mut *found);
                    Ok(part.rows())
                })?;
                rows = piece.unwrap_or(0);
                from += PIECE_ROWS;
            }
        }
        Ok(())
    }

    /// The row with this id, if it is there, and the segment that it is in.
    pub(crate) fn by_id(&self, id: RecordId, counters: &Counters) -> Result<Option<(Record, Option<u64>)>> {
        let mut places = Vec::new();
        for (g, generation) in self.generations.iter().enumerate() {
            for (b, batch) in generation.batches.iter().enumerate() {
                if batch_may_have(batch, id) {
                    places.push(Place::Hot(g, b));
                }
            }
        }
        for (s, segment) in self.segments.iter().enumerate() {
            for (b, block) in segment.footer.blocks.iter().enumerate() {
                if block_may_have(block, id) {
                    places.push(Place::Sealed(s, b));
                }
            }
        }
        for place in places {
            let found = self.with_part(place, counters, |part| {
                let Some(row) = part.row_of(id.seq())? else { return Ok(None) };
                let mut set = RowSet::of(part.rows(), &[row]);
                self.take_out_hidden(place, part, &mut set)?;
                Ok(materialise(part, &set)?.pop())
            })?;
            if let Some(Some(record)) = found {
                return Ok(Some((record, self.segment_of(place))).filter(|(record, _)| record.id() == id));
            }
        }
        Ok(None)
    }

    /// The fields of the stream of each row, as LogsQL shows them.
    pub(crate) fn streams_of(&self, found: &[Found], counters: &Counters) -> Result<Vec<String>> {
        let mut by_place: BTreeMap<Place, Vec<(usize, usize)>> = BTreeMap::new();
        for (at, (.., place, row)) in found.iter().enumerate() {
            by_place.entry(*place).or_default().push((*row, at));
        }
        let mut shown = vec![String::new(); found.len()];
        for (place, rows) in by_place {
            self.with_part(place, counters, |part| {
                let streams = part.streams()?;
                for (row, at) in rows {
                    let tags = streams.get(row).map_or("", |stream| part.tags(*stream));
                    counters.budget.hold(tags.len())?;
                    shown.get_mut(at).into_iter().for_each(|shown| tags.clone_into(shown));
                }
                Ok(())
            })?;
        }
        Ok(shown)
    }

    /// Records in the given order, each part read once.
    pub(crate) fn records(&self, found: &[Found], counters: &Counters) -> Result<Vec<Record>> {
        Ok(self.placed_records(found, counters)?.into_iter().map(|(record, _)| record).collect())
    }

    /// The same, each with the segment that it is in.
    fn placed_records(&self, found: &[Found], counters: &Counters) -> Result<Vec<(Record, Option<u64>)>> {
        let mut by_place: BTreeMap<Place, Vec<(usize, usize)>> = BTreeMap::new();
        for (at, (.., place, row)) in found.iter().enumerate() {
            by_place.entry(*place).or_default().push((*row, at));
        }
        let mut by_place: Vec<(Place, Vec<(usize, usize)>)> = by_place.into_iter().collect();
        by_place.iter_mut().for_each(|(_, rows)| rows.sort_unstable());
        let make = |made: &mut Vec<(usize, Record)>, number: usize| {
            let Some((place, rows)) = by_place.get(number) else { return Ok(Flow::Break(())) };
            // In pieces, so that what is kept is counted before there is more.
            for piece in rows.chunks(PIECE_ROWS) {
                self.with_part(*place, counters, |part| {
                    let listed: Vec<usize> = piece.iter().map(|(row, _)| *row).collect();
                    let known = || piece.iter().filter_map(|(_, at)| found.get(*at));
                    let (times, seqs): (Vec<i64>, Vec<u64>) = known().map(|(time, seq, ..)| (*time, *seq)).unzip();
                    let records = put_together(part, &listed, &times, &seqs)?;
                    counters.budget.hold(records.iter().map(memory).sum())?;
                    made.extend(piece.iter().map(|(_, at)| *at).zip(records));
                    Ok(())
                })?;
            }
            Ok(Flow::Continue(()))
        };
        let made = self.crew.work(by_place.len(), ALONE, &Vec::new, &make)?;
        let mut made: Vec<(usize, Record)> = made.into_iter().flatten().collect();
        made.sort_unstable_by_key(|(at, _)| *at);
        let segment = |at: usize| found.get(at).and_then(|(.., place, _)| self.segment_of(*place));
        Ok(made.into_iter().map(|(at, record)| (record, segment(at))).collect())
    }
}

/// About the bytes that a record takes.
fn memory(record: &Record) -> usize {
    RECORD_BYTES + record.fields.iter().map(|(_, value)| FIELD_BYTES + value.text.len()).sum::<usize>()
}
