//! Scans: what there is to search at one moment, in parts, and which rows of each part pass.
//!
//! Invariants
//! * A part whose times or services rule it out is not read.
//! * A block that cannot be read is left out and told, and keeps no other from being shown.
mod align;
mod answer;
mod arrived;
pub mod columns;
mod crew;
mod evaluate;
pub mod filter;
mod fold;
mod hidden;
mod hot_look;
mod ids;
mod kept;
mod look;
mod needle;
mod numbers;
mod order;
mod part;
mod records;
mod rows;
mod search;
mod streams;
#[cfg(test)]
mod tests;
mod texts;
mod word;

use answer::Verdicts;
pub(crate) use crew::Crew;
use evaluate::evaluate;
pub(crate) use hidden::{ANY_EPOCH, Deletion, Hidden, LostBlocks, Tally};
pub(crate) use numbers::spread;
pub use numbers::{Numbers, Spread};
pub use order::{Order, Position};
pub(crate) use part::HotPart;
pub(crate) use part::Part;
#[cfg(test)]
pub(crate) use records::materialise;
pub(crate) use rows::RowSet;
pub(crate) use search::Found;

use crate::error::{ErrorKind, Result};
use crate::hot::{GenerationView, HotBatch};
use crate::record::RecordId;
use crate::segment::{BlockMeta, Counters, Kind, Segment};
pub use crate::segment::{Cancel, Control, Partial, ScanStats};
use filter::Filter;
use ids::{batch_may_have, block_may_have};
use rustc_hash::FxHashSet;
use std::cmp::Reverse;
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
    /// How many of the first to pass over.
    pub offset: usize,
    /// In which order rows are given.
    pub order: Order,
    /// The place behind which rows are given; [`Search::behind`] sets it.
    pub behind: Option<Position>,
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
            order: Order::Newest,
            behind: None,
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
    /// Segments that there are and that are not looked at, since they cannot be fetched.
    pub(crate) left_out: Vec<Arc<Segment>>,
    /// The epoch of rows that come now.
    pub(crate) epoch: u32,
    /// What is there and not shown.
    pub(crate) hidden: Hidden,
    /// Threads that help.
    pub(crate) crew: Arc<Crew>,
}

/// What there is, and what times and services leave of it to be looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is how many of what its name says are left, or there are")]
pub struct Outline {
    pub segments: u64,
    pub blocks: u64,
    pub batches: u64,
    /// Of blocks that are left, whatever little is read of them.
    pub bytes: u64,
    pub of_segments: u64,
    pub of_blocks: u64,
    pub of_batches: u64,
    pub of_bytes: u64,
    /// Of segments that are left, those whose files are in object storage alone.
    pub far_segments: u64,
    /// Requests that reading all that is left of these would take at most, and the bytes that would come.
    pub gets: u64,
    pub far_bytes: u64,
}

/// A part that may have rows that are wanted.
struct Spot {
    /// How early its first row comes, as far as its times say it: the greatest first.
    best: i64,
    place: Place,
    /// The only rows that can pass, where that is known.
    among: Option<Vec<usize>>,
}

/// Where a part is: a batch of a generation, or a block of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    Hot(usize, usize),
    Sealed(usize, usize),
}

impl Snapshot {
    /// The parts whose rows may be wanted, in their order.
    fn spots(&self, search: &Search, counters: &Counters) -> Result<Vec<Spot>> {
        let (hex, ids) = (search.filter.needed_hex(), search.filter.needed_ids());
        let mut spots = Vec::new();
        for (g, generation) in self.generations.iter().enumerate() {
            for (b, batch) in generation.batches.iter().enumerate() {
                if Self::may_want(search, ids, batch) {
                    let best = search.order.best(batch.time_min, batch.time_max);
                    spots.push(Spot { best, place: Place::Hot(g, b), among: None });
                }
            }
        }
        for (s, segment) in self.segments.iter().enumerate() {
            let is_wanted = |block: &BlockMeta| Self::may_want_block(search, ids, segment, block);
            if !segment.footer.blocks.iter().any(is_wanted) {
                continue;
            }
            let held = counters.held();
            let source = counters.meter(segment.source(), Kind::Heads, &held);
            let with_hex = hex.as_ref().map(|(field, value)| segment.rows_with(field, value, &source));
            let with_hex = with_hex.transpose()?.flatten();
            for (b, block) in segment.footer.blocks.iter().enumerate().filter(|(_, block)| is_wanted(block)) {
                let among = with_hex.as_ref().map(|rows| {
                    let from = rows.partition_point(|(block, _)| *block < b);
                    let own = rows.iter().skip(from).take_while(|(block, _)| *block == b);
                    own.map(|(_, row)| *row).collect::<Vec<_>>()
                });
                if among.as_ref().is_some_and(Vec::is_empty) {
                    continue;
                }
                let best = search.order.best(block.time_min, block.time_max);
                spots.push(Spot { best, place: Place::Sealed(s, b), among });
            }
        }
        for segment in &self.left_out {
            if segment.footer.blocks.iter().any(|block| Self::may_want_block(search, ids, segment, block)) {
                counters.partial.leave_out(segment.footer.id);
            }
        }
        spots.sort_by_key(|spot| (Reverse(spot.best), spot.place));
        Ok(spots)
    }

    /// What a search would look at. Reads nothing.
    pub(crate) fn outline(&self, search: &Search) -> Outline {
        let mut outline = Outline { of_segments: self.segments.len() as u64, ..Outline::default() };
        let ids = search.filter.needed_ids();
        for segment in &self.segments {
            let before = outline.blocks;
            for block in &segment.footer.blocks {
                let bytes = u64::from(block.head_len) + block.pages_len;
                (outline.of_blocks, outline.of_bytes) = (outline.of_blocks + 1, outline.of_bytes + bytes);
                if Self::may_want_block(search, ids, segment, block) {
                    (outline.blocks, outline.bytes) = (outline.blocks + 1, outline.bytes + bytes);
                    if let Some(far) = segment.far() {
                        let (gets, bytes) = far.block_at_most(bytes);
                        (outline.gets, outline.far_bytes) = (outline.gets + gets, outline.far_bytes + bytes);
                    }
                }
            }
            if outline.blocks > before {
                outline.segments += 1;
                if let Some(far) = segment.far() {
                    let (gets, bytes) = far.index_at_most();
                    outline.far_segments += 1;
                    (outline.gets, outline.far_bytes) = (outline.gets + gets, outline.far_bytes + bytes);
                }
            }
        }
        for batch in self.generations.iter().flat_map(|generation| &generation.batches) {
            outline.of_batches += 1;
            outline.batches += u64::from(Self::may_want(search, ids, batch));
        }
        outline
    }

    /// Whether a block may have rows that are wanted, as far as its times, streams and numbers say it.
    fn may_want_block(search: &Search, ids: Option<&[RecordId]>, segment: &Segment, block: &BlockMeta) -> bool {
        search.wants_times(block.time_min, block.time_max)
            && hidden::wants_some_stream(search, segment, &block.streams)
            && ids.is_none_or(|ids| ids.iter().any(|id| block_may_have(block, *id)))
            && search.filter.needed_numbers().is_none_or(|numbers| numbers.may_be_in_block(block))
    }

    /// Whether a batch may have rows that are wanted, as far as its times, services and numbers say it.
    fn may_want(search: &Search, ids: Option<&[RecordId]>, batch: &HotBatch) -> bool {
        let may_have = |id: &RecordId| batch_may_have(batch, *id);
        search.wants_times(batch.time_min, batch.time_max)
            && ids.is_none_or(|ids| ids.iter().any(may_have))
            && search.filter.needed_numbers().is_none_or(|numbers| numbers.may_be_in_batch(batch))
            && hidden::wants_some_batch(search, batch)
    }

    fn with_part<T>(
        &self,
        place: Place,
        counters: &Counters,
        then: impl FnOnce(&Part<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        counters.budget.go_on()?;
        match place {
            Place::Hot(g, b) => {
                let Some(generation) = self.generations.get(g) else { return Ok(None) };
                let Some(batch) = generation.batches.get(b) else { return Ok(None) };
                then(&Part::Hot(HotPart::of(batch, generation, counters))).map(Some)
            }
            Place::Sealed(s, b) => {
                let Some(segment) = self.segments.get(s) else { return Ok(None) };
                let lost = &self.hidden.lost;
                if lost.contains(segment.footer.id, b) {
                    return Ok(None);
                }
                let read = || {
                    let held = counters.held();
                    let source = counters.meter(segment.source(), Kind::Heads, &held);
                    let (block, shapes) = (segment.block_by(b, &source)?, segment.shapes_by(&source)?);
                    then(&Part::sealed(segment, b, &block, &shapes, counters, &self.crew)).map(Some)
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

    /// The rows of a part whose time and service are wanted; nothing where all are. Of `among` alone where that is given.
    fn in_range(
        &self,
        search: &Search,
        place: Place,
        part: &Part<'_>,
        among: Option<&[usize]>,
    ) -> Result<Option<RowSet>> {
        let mut chosen = among.map(|rows| RowSet::of(part.rows(), rows));
        if !self.is_within(search, place) {
            let wanted = |time: i64| search.wants_times(time, time);
            match (among, &mut chosen) {
                (Some(rows), Some(set)) => {
                    let times = part.few_times(rows)?;
                    rows.iter().zip(times).filter(|(_, time)| !wanted(*time)).for_each(|(row, _)| set.remove(*row));
                }
                _ => {
                    let times = part.times()?;
                    let in_time = |row: usize| times.get(row).is_some_and(|time| wanted(*time));
                    chosen = Some(RowSet::where_true(part.rows(), in_time));
                }
            }
        }
        let served = served(search, part);
        if served == 0 {
            return Ok(Some(RowSet::none(part.rows())));
        }
        if served != part.rows() as u64 {
            let streams = part.streams()?;
            let wanted = |(stream, _): &(u32, u32)| search.wants_service(part.service(*stream)).then_some(*stream);
            let wanted: FxHashSet<u32> = part.stream_rows().iter().filter_map(wanted).collect();
            let is_wanted = |row: usize| streams.get(row).is_some_and(|stream| wanted.contains(stream));
            let served = RowSet::where_true(part.rows(), is_wanted);
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
    fn select(&self, search: &Search, spot: &Spot, part: &Part<'_>, verdicts: &Verdicts<'_>) -> Result<RowSet> {
        let chosen = self.in_range(search, spot.place, part, spot.among.as_deref())?;
        if chosen.as_ref().is_some_and(RowSet::is_empty) {
            return Ok(RowSet::none(part.rows()));
        }
        let mut set = evaluate(part, &search.filter, verdicts, spot.among.as_deref())?;
        if let Some(chosen) = &chosen {
            set.and(chosen);
        }
        self.take_out_hidden(spot.place, part, &mut set)?;
        Ok(set)
    }
}

/// How many rows of a part are of wanted services. Reads no column.
fn served(search: &Search, part: &Part<'_>) -> u64 {
    if !search.names_services() {
        return part.rows() as u64;
    }
    let wanted = part.stream_rows().iter().filter(|(stream, _)| search.wants_service(part.service(*stream)));
    wanted.map(|(_, rows)| u64::from(*rows)).sum()
}

/// Verdicts by shape table: one for each generation and each segment.
struct Tables<'c> {
    hot: Vec<Verdicts<'c>>,
    sealed: Vec<Verdicts<'c>>,
}

impl<'c> Tables<'c> {
    fn new(snapshot: &Snapshot, filter: &Filter, counters: &'c Counters) -> Self {
        let fresh = |n: usize| (0..n).map(|_| Verdicts::new(filter, counters)).collect();
        Self { hot: fresh(snapshot.generations.len()), sealed: fresh(snapshot.segments.len()) }
    }

    #[expect(clippy::indexing_slicing, reason = "places come from the same snapshot")]
    fn of(&self, place: Place) -> &Verdicts<'c> {
        match place {
            Place::Hot(g, _) => &self.hot[g],
            Place::Sealed(s, _) => &self.sealed[s],
        }
    }
}
