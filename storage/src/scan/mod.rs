//! Scans: which rows pass, newest first, and their values.
//!
//! Invariants
//! * Rows come newest first by event time, ties by sequence number.
//! * A scan ends early only when no part that is left can hold a newer row than those it has.
mod evaluate;
pub mod filter;
mod part;
mod rows;

pub(crate) use evaluate::{Verdicts, evaluate};
pub(crate) use part::Part;
pub(crate) use rows::RowSet;

use crate::error::Result;
use crate::hot::GenerationView;
use crate::record::{Record, Value};
use crate::segment::Segment;
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
            let with_hex = hex.as_ref().map(|(field, value)| segment.rows_with(field, value)).transpose()?;
            for (b, block) in segment.footer.blocks.iter().enumerate() {
                if with_hex.as_ref().is_some_and(|rows| rows.binary_search_by_key(&b, |(block, _)| *block).is_err()) {
                    continue;
                }
                let wanted = block.streams.is_empty()
                    || block.streams.iter().any(|stream| {
                        segment
                            .footer
                            .streams
                            .get(*stream as usize)
                            .is_some_and(|(service, _)| search.wants_service(service))
                    });
                if wanted && search.wants_times(block.time_min, block.time_max) {
                    places.push((block.time_max, Place::Sealed(s, b)));
                }
            }
        }
        places.sort_by_key(|(time, place)| (Reverse(*time), *place));
        Ok(places)
    }

    fn with_part<T>(&self, place: Place, then: impl FnOnce(&Part<'_>) -> Result<T>) -> Result<Option<T>> {
        match place {
            Place::Hot(g, b) => {
                let Some(generation) = self.generations.get(g) else { return Ok(None) };
                let Some(batch) = generation.batches.get(b) else { return Ok(None) };
                then(&Part::Hot { batch, shapes: &generation.shapes, epoch: self.epoch }).map(Some)
            }
            Place::Sealed(s, b) => {
                let Some(segment) = self.segments.get(s) else { return Ok(None) };
                let (block, shapes) = (segment.block(b)?, segment.shapes()?);
                then(&Part::Sealed { segment, block, shapes }).map(Some)
            }
        }
    }

    /// The rows of a part that are wanted.
    fn select(&self, search: &Search, part: &Part<'_>, verdicts: &mut Verdicts) -> Result<(RowSet, Vec<i64>)> {
        let times = part.times()?;
        let mut set = RowSet::all(part.rows());
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
        if !set.is_empty() && !matches!(search.filter, Filter::All) {
            set.and(&evaluate(part, &search.filter, verdicts)?);
        }
        Ok((set, times))
    }

    /// The newest rows that pass.
    pub(crate) fn search(&self, search: &Search) -> Result<Vec<Record>> {
        let wanted = search.offset.saturating_add(search.limit);
        let mut tables = Tables::new(self, &search.filter);
        // The newest rows so far, by (time, sequence number), and where each is.
        let mut newest: BTreeMap<(i64, u64), (Place, usize)> = BTreeMap::new();
        for (time_max, place) in self.places(search)? {
            let full = newest.len() >= wanted;
            if wanted == 0 || full && newest.first_key_value().is_some_and(|((time, _), _)| *time > time_max) {
                break;
            }
            self.with_part(place, |part| {
                let (set, times) = self.select(search, part, tables.of(place))?;
                if set.is_empty() {
                    return Ok(());
                }
                let seqs = part.seqs()?;
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
        self.records(&picked)
    }

    /// How many rows pass.
    pub(crate) fn count(&self, search: &Search) -> Result<u64> {
        let mut tables = Tables::new(self, &search.filter);
        let mut total = 0;
        for (_, place) in self.places(search)? {
            total += self
                .with_part(place, |part| Ok(self.select(search, part, tables.of(place))?.0.len() as u64))?
                .unwrap_or(0);
        }
        Ok(total)
    }

    /// Calls `found` with every row there is, part by part.
    pub(crate) fn for_each(&self, found: &mut dyn FnMut(Record)) -> Result<()> {
        for (_, place) in self.places(&Search::default())? {
            self.with_part(place, |part| {
                let set = RowSet::all(part.rows());
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
        for place in places {
            let found = self.with_part(place, |part| {
                let Some(row) = part.seqs()?.iter().position(|s| *s == seq) else { return Ok(None) };
                let mut set = RowSet::none(part.rows());
                set.insert(row);
                Ok(materialise(part, &set)?.pop())
            })?;
            if let Some(Some(record)) = found {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    /// Records in the given order, each part read once.
    fn records(&self, picked: &[(Place, usize)]) -> Result<Vec<Record>> {
        let mut by_place: BTreeMap<Place, Vec<(usize, usize)>> = BTreeMap::new();
        for (at, (place, row)) in picked.iter().enumerate() {
            by_place.entry(*place).or_default().push((*row, at));
        }
        let mut records: Vec<Option<Record>> = vec![None; picked.len()];
        for (place, mut rows) in by_place {
            rows.sort_unstable();
            self.with_part(place, |part| {
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
    let mut slot_of = vec![u32::MAX; part.rows()];
    let mut records = Vec::with_capacity(set.len());
    for row in set.iter() {
        if let Some(slot) = slot_of.get_mut(row) {
            *slot = records.len() as u32;
        }
        let seq = seqs.get(row).copied().unwrap_or(0);
        let time = times.get(row).copied().unwrap_or(0);
        records.push(Record { seq, epoch: part.epoch(), time, arrival: arrivals.at(seq), fields: Vec::new() });
    }
    for lane in part.lanes() {
        let presence = part.presence(lane)?;
        let row_of = |value: usize| match &presence {
            Some(rows) => rows.get(value).map_or(usize::MAX, |row| *row as usize),
            None => value,
        };
        let slot = |value: usize| slot_of.get(row_of(value)).copied().filter(|slot| *slot != u32::MAX);
        let kind = lane.kind().value_kind();
        part.texts(lane, &|value| slot(value).is_some(), &mut |value, text| {
            if let Some(record) = slot(value).and_then(|slot| records.get_mut(slot as usize)) {
                let text = String::from_utf8_lossy(text).into_owned();
                record.fields.push((lane.field().clone(), Value { kind, text }));
            }
        })?;
    }
    Ok(records)
}
