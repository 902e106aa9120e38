//! Scans: which rows pass, newest first, and their values.
//!
//! Invariants
//! * Rows come newest first by event time, ties by sequence number.
//! * A scan ends early only when no part that is left can hold a newer row than those it has.
mod evaluate;
pub mod filter;
mod hidden;
mod look;
mod needle;
mod part;
mod rows;
#[cfg(test)]
mod tests;

use evaluate::{Verdicts, count, evaluate};
pub(crate) use hidden::{Deletion, Hidden, LostBlocks, Tally};
pub(crate) use part::HotPart;
pub(crate) use part::Part;
pub(crate) use rows::RowSet;

use crate::error::{ErrorKind, Result};
use crate::hot::GenerationView;
use crate::record::{Record, Value};
pub use crate::segment::ScanStats;
use crate::segment::{Counters, Kind, Segment, add};
use filter::Filter;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Search {
    /// Services to look at; all where none is named.
    pub services: Vec<String>,
    /// Services to leave out.
    pub exclude_services: Vec<String>,
    /// Earliest event time, nanoseconds since 1970, itself included.
    pub from: Option<i64>,
    /// Latest event time, itself included.
    pub until: Option<i64>,
    /// What rows have to pass.
    pub filter: Filter,
    /// How many rows to give.
    pub limit: usize,
    /// How many of the newest to pass over first.
    pub offset: usize,
}

impl Default for Search {
    fn default() -> Self {
        Self {
            services: Vec::new(),
            exclude_services: Vec::new(),
            from: None,
            until: None,
            filter: Filter::All,
            limit: 100,
            offset: 0,
        }
    }
}

impl Search {
    fn wants_service(&self, service: &str) -> bool {
        (self.services.is_empty() || self.services.iter().any(|s| s == service))
            && !self.exclude_services.iter().any(|s| s == service)
    }

    fn names_services(&self) -> bool {
        !self.services.is_empty() || !self.exclude_services.is_empty()
    }

    fn wants_times(&self, time_min: i64, time_max: i64) -> bool {
        self.from.is_none_or(|from| time_max >= from) && self.until.is_none_or(|until| time_min <= until)
    }
}

/// Everything there is to search at one moment.
pub(crate) struct Snapshot {
    pub(crate) generations: Vec<GenerationView>,
    pub(crate) segments: Vec<Arc<Segment>>,
    pub(crate) epoch: u32,
    /// What is there and not shown.
    pub(crate) hidden: Hidden,
}

/// Where a part is: a batch of a generation, or a block of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Hot(usize, usize),
    Sealed(usize, usize),
}

impl Snapshot {
    /// The parts whose rows may be wanted, newest first, with the newest time of each.
    fn places(&self, search: &Search) -> Result<Vec<(i64, Place)>> {
        let hex = search.filter.needed_hex();
        let mut places = Vec::new();
        for (g, generation) in self.generations.iter().enumerate() {
            for (b, batch) in generation.batches.iter().enumerate() {
                if search.wants_times(batch.time_min, batch.time_max) {
                    places.push((batch.time_max, Place::Hot(g, b)));
                }
            }
        }
        for (s, segment) in self.segments.iter().enumerate() {
            let with_hex = hex.as_ref().map(|(field, value)| segment.rows_with(field, value)).transpose()?.flatten();
            for (b, block) in segment.footer.blocks.iter().enumerate() {
                if with_hex.as_ref().is_some_and(|rows| rows.binary_search_by_key(&b, |(block, _)| *block).is_err()) {
                    continue;
                }
                let wanted = hidden::wants_some_stream(search, segment, &block.streams);
                if wanted && search.wants_times(block.time_min, block.time_max) {
                    places.push((block.time_max, Place::Sealed(s, b)));
                }
            }
        }
        places.sort_by_key(|(time, place)| (Reverse(*time), *place));
        Ok(places)
    }

    fn with_part<T>(
        &self,
        place: Place,
        counters: &Counters,
        then: impl FnOnce(&Part<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        match place {
            Place::Hot(g, b) => {
                let Some(generation) = self.generations.get(g) else { return Ok(None) };
                let Some(batch) = generation.batches.get(b) else { return Ok(None) };
                let shapes = &generation.shapes;
                then(&Part::Hot(HotPart { batch, shapes, epoch: self.epoch, counters })).map(Some)
            }
            Place::Sealed(s, b) => {
                let Some(segment) = self.segments.get(s) else { return Ok(None) };
                let lost = &self.hidden.lost;
                if lost.contains(segment.footer.id, b) {
                    return Ok(None);
                }
                let read = || {
                    let source = counters.meter(segment.source(), Kind::Heads);
                    let (block, shapes) = (segment.block_by(b, &source)?, segment.shapes_by(&source)?);
                    then(&Part::sealed(segment, b, &block, &shapes, counters)).map(Some)
                };
                match read() {
                    // One block that cannot be read does not keep the others from being shown.
                    Err(e) if e.kind() == ErrorKind::Corrupt => {
                        lost.add(segment, b, &e.to_string());
                        Ok(None)
                    }
                    read => read,
                }
            }
        }
    }

    /// The rows of a part whose time and service are wanted; nothing where all are.
    fn in_range(&self, search: &Search, place: Place, part: &Part<'_>) -> Result<Option<RowSet>> {
        let mut chosen: Option<RowSet> = None;
        if !self.is_within(search, place) {
            let times = part.times()?;
            let wanted = |row: usize| times.get(row).is_some_and(|time| search.wants_times(*time, *time));
            chosen = Some(RowSet::where_true(part.rows(), wanted));
        }
        let served = served(search, part);
        if served == Some(0) {
            return Ok(Some(RowSet::none(part.rows())));
        }
        if served != Some(part.rows() as u64) {
            let streams = part.streams()?;
            let wanted =
                |row: usize| streams.get(row).is_some_and(|stream| search.wants_service(part.service(*stream)));
            let served = RowSet::where_true(part.rows(), wanted);
            match &mut chosen {
                Some(set) => set.and(&served),
                None => chosen = Some(served),
            }
        }
        Ok(chosen)
    }

    /// Whether all times of a part are wanted.
    fn is_within(&self, search: &Search, place: Place) -> bool {
        let times = match place {
            Place::Hot(g, b) => {
                let batch = self.generations.get(g).and_then(|generation| generation.batches.get(b));
                batch.map(|batch| (batch.time_min, batch.time_max))
            }
            Place::Sealed(s, b) => {
                let block = self.segments.get(s).and_then(|segment| segment.footer.blocks.get(b));
                block.map(|block| (block.time_min, block.time_max))
            }
        };
        times.is_some_and(|(min, max)| search.wants_times(min, min) && search.wants_times(max, max))
    }

    /// The rows of a part that are wanted.
    fn select(&self, search: &Search, place: Place, part: &Part<'_>, verdicts: &mut Verdicts) -> Result<RowSet> {
        let chosen = self.in_range(search, place, part)?;
        if chosen.as_ref().is_some_and(RowSet::is_empty) {
            return Ok(RowSet::none(part.rows()));
        }
        let mut set = evaluate(part, &search.filter, verdicts)?;
        if let Some(chosen) = &chosen {
            set.and(chosen);
        }
        self.take_out_hidden(place, part, &mut set)?;
        Ok(set)
    }

    /// The newest rows that pass.
    pub(crate) fn search(&self, search: &Search, counters: &Counters) -> Result<Vec<Record>> {
        let wanted = search.offset.saturating_add(search.limit);
        let mut tables = Tables::new(self, &search.filter);
        // The newest rows so far, by (time, sequence number), and where each is.
        let mut newest: BTreeMap<(i64, u64), (Place, usize)> = BTreeMap::new();
        let places = self.places(search)?;
        add(&counters.blocks_considered, places.len() as u64);
        for (time_max, place) in places {
            let full = newest.len() >= wanted;
            if wanted == 0 || full && newest.first_key_value().is_some_and(|((time, _), _)| *time > time_max) {
                break;
            }
            self.with_part(place, counters, |part| {
                let set = self.select(search, place, part, tables.of(place))?;
                if set.is_empty() {
                    return Ok(());
                }
                add(&counters.blocks_read, 1);
                let (times, seqs) = (part.times()?, part.seqs()?);
                for row in set.iter().rev() {
                    let key = (times.get(row).copied().unwrap_or(0), seqs.get(row).copied().unwrap_or(0));
                    if newest.len() < wanted {
                        newest.insert(key, (place, row));
                    } else if newest.first_key_value().is_some_and(|(oldest, _)| *oldest < key) {
                        newest.insert(key, (place, row));
                        newest.pop_first();
                    }
                }
                Ok(())
            })?;
        }
        let picked: Vec<(Place, usize)> = newest.into_values().rev().skip(search.offset).collect();
        self.records(&picked, counters)
    }

    /// How many rows pass.
    pub(crate) fn count(&self, search: &Search, counters: &Counters) -> Result<u64> {
        let mut tables = Tables::new(self, &search.filter);
        let mut total = 0;
        let places = self.places(search)?;
        add(&counters.blocks_considered, places.len() as u64);
        for (_, place) in places {
            let counted = self.with_part(place, counters, |part| {
                if self.is_within(search, place) && !self.may_hide(place, part) {
                    let served = served(search, part);
                    if let Some(served) = served.filter(|n| *n == 0 || matches!(search.filter, Filter::All)) {
                        return Ok(served);
                    }
                    if served == Some(part.rows() as u64)
                        && let Some(counted) = count(part, &search.filter, tables.of(place))?
                    {
                        return Ok(counted);
                    }
                }
                add(&counters.blocks_read, 1);
                Ok(self.select(search, place, part, tables.of(place))?.len() as u64)
            });
            total += counted?.unwrap_or(0);
        }
        Ok(total)
    }

    /// Calls `found` with every row there is, part by part.
    pub(crate) fn for_each(&self, found: &mut dyn FnMut(Record)) -> Result<()> {
        let counters = Counters::default();
        for (_, place) in self.places(&Search::default())? {
            self.with_part(place, &counters, |part| {
                let mut set = RowSet::all(part.rows());
                self.take_out_hidden(place, part, &mut set)?;
                materialise(part, &set)?.into_iter().for_each(&mut *found);
                Ok(())
            })?;
        }
        Ok(())
    }

    /// The row with this number, if it is there.
    pub(crate) fn by_seq(&self, epoch: u32, seq: u64) -> Result<Option<Record>> {
        let mut places = Vec::new();
        for (g, generation) in self.generations.iter().enumerate() {
            for (b, batch) in generation.batches.iter().enumerate() {
                if epoch == self.epoch && (batch.first_seq..batch.first_seq + batch.batch.rows() as u64).contains(&seq)
                {
                    places.push(Place::Hot(g, b));
                }
            }
        }
        for (s, segment) in self.segments.iter().enumerate() {
            for (b, block) in segment.footer.blocks.iter().enumerate() {
                if block.epoch == epoch && (block.first_seq..=block.last_seq).contains(&seq) {
                    places.push(Place::Sealed(s, b));
                }
            }
        }
        let counters = Counters::default();
        for place in places {
            let found = self.with_part(place, &counters, |part| {
                let Some(row) = part.seqs()?.iter().position(|s| *s == seq) else { return Ok(None) };
                let mut set = RowSet::none(part.rows());
                set.insert(row);
                self.take_out_hidden(place, part, &mut set)?;
                Ok(materialise(part, &set)?.pop())
            })?;
            if let Some(Some(record)) = found {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    /// Records in the given order, each part read once.
    fn records(&self, picked: &[(Place, usize)], counters: &Counters) -> Result<Vec<Record>> {
        let mut by_place: BTreeMap<Place, Vec<(usize, usize)>> = BTreeMap::new();
        for (at, (place, row)) in picked.iter().enumerate() {
            by_place.entry(*place).or_default().push((*row, at));
        }
        let mut records: Vec<Option<Record>> = vec![None; picked.len()];
        for (place, mut rows) in by_place {
            rows.sort_unstable();
            self.with_part(place, counters, |part| {
                let mut set = RowSet::none(part.rows());
                rows.iter().for_each(|(row, _)| set.insert(*row));
                for ((_, at), record) in rows.iter().zip(materialise(part, &set)?) {
                    if let Some(slot) = records.get_mut(*at) {
                        *slot = Some(record);
                    }
                }
                Ok(())
            })?;
        }
        Ok(records.into_iter().flatten().collect())
    }
}

/// How many rows of a part are of wanted services, where that is known without reading a column.
fn served(search: &Search, part: &Part<'_>) -> Option<u64> {
    if !search.names_services() {
        return Some(part.rows() as u64);
    }
    let wanted = part.stream_rows()?.iter().filter(|(stream, _)| search.wants_service(part.service(*stream)));
    Some(wanted.map(|(_, rows)| u64::from(*rows)).sum())
}

/// Verdicts by shape table: one for each generation and each segment.
struct Tables {
    hot: Vec<Verdicts>,
    sealed: Vec<Verdicts>,
}

impl Tables {
    fn new(snapshot: &Snapshot, filter: &Filter) -> Self {
        let fresh = |n: usize| (0..n).map(|_| Verdicts::new(filter)).collect();
        Self { hot: fresh(snapshot.generations.len()), sealed: fresh(snapshot.segments.len()) }
    }

    #[expect(clippy::indexing_slicing, reason = "places come from the same snapshot")]
    fn of(&mut self, place: Place) -> &mut Verdicts {
        match place {
            Place::Hot(g, _) => &mut self.hot[g],
            Place::Sealed(s, _) => &mut self.sealed[s],
        }
    }
}

/// The rows of a set as records, ascending by row.
pub(crate) fn materialise(part: &Part<'_>, set: &RowSet) -> Result<Vec<Record>> {
    let (times, seqs, arrivals) = (part.times()?, part.seqs()?, part.arrivals());
    let rows: Vec<usize> = set.iter().collect();
    let mut records: Vec<Record> = rows
        .iter()
        .map(|row| {
            let seq = seqs.get(*row).copied().unwrap_or(0);
            let time = times.get(*row).copied().unwrap_or(0);
            Record { seq, epoch: part.epoch(), time, arrival: arrivals.at(seq), fields: Vec::new() }
        })
        .collect();
    for lane in part.lanes() {
        let presence = part.presence(lane)?;
        // The wanted values, and the record of each.
        let (values, places) = values_of(&rows, presence.as_deref(), lane.count());
        let kind = lane.kind().value_kind();
        let mut places = places.into_iter();
        let wanted = (values.len() < lane.count()).then_some(values.as_slice());
        part.texts(lane, wanted, &mut |_, text| {
            if let Some(record) = places.next().and_then(|place| records.get_mut(place)) {
                let text = String::from_utf8_lossy(text).into_owned();
                record.fields.push((lane.field().clone(), Value { kind, text }));
            }
        })?;
    }
    Ok(records)
}

/// Which values of a lane the given rows have, and which of the rows has each. Rows ascend, and so do both lists.
fn values_of(rows: &[usize], presence: Option<&[u32]>, count: usize) -> (Vec<usize>, Vec<usize>) {
    let (mut values, mut places, mut at) = (Vec::new(), Vec::new(), 0);
    for (place, row) in rows.iter().enumerate() {
        let value = match presence {
            None => (*row < count).then_some(*row),
            Some(listed) => {
                let left = listed.get(at..).unwrap_or_default();
                // Neighbours are near; only a few rows are far apart.
                let step = match left.first() {
                    Some(first) if (*first as usize) < *row => left.partition_point(|r| (*r as usize) < *row),
                    _ => 0,
                };
                at += step;
                listed.get(at).filter(|found| **found as usize == *row).map(|_| at)
            }
        };
        if let Some(value) = value {
            values.push(value);
            places.push(place);
        }
    }
    (values, places)
}
