//! A batch whose rows are to be regrouped, prepared so that each of its values can be reached.
//!
//! Invariants
//! * Shapes, lanes and streams are the segment's numbers from here on.
//! * A text whose shape the segment does not keep is put together again, and kept whole.
use super::arrivals::{Arrivals, Seqs};
use super::starts::Starts;
use super::tables::Tables;
use crate::batch::{Batch, LaneKind, LaneView};
use crate::codec::put_varint;
use crate::text::shape::{Shape, WHOLE};
use crate::text::table::ShapeTable;
use std::ops::Range;

/// In a shape selection: the segment does not keep this one.
pub(crate) const DROPPED: u32 = u32::MAX;

pub(super) const NO_VALUE: u16 = u16::MAX;
/// Where fewer rows than one in this many have a value, they are searched for.
const SPARSE_ONE_IN: usize = 8;
const NO_LANE: u32 = u32::MAX;

/// A batch whose rows are to be regrouped, with what is needed to reach any of its values.
pub(crate) struct Input<'a> {
    batch: &'a Batch,
    epoch: u32,
    seqs: &'a Seqs,
    arrivals: &'a Arrivals,
    times: Vec<i64>,
    /// Local shape to the segment's; those that it does not keep are the whole text.
    pub(super) shape_map: Vec<u32>,
    lanes: Vec<InputLane<'a>>,
    /// Which of `lanes` each lane of the segment is, or [`NO_LANE`].
    lane_places: Vec<u32>,
    /// Local stream to the segment's.
    streams: Vec<u32>,
}

pub(super) struct InputLane<'a> {
    pub(super) view: LaneView<'a>,
    /// Number of the lane among the segment's.
    lane: u32,
    pub(super) presence: Presence,
    /// Where the variables of each value begin, and where the last ones end; empty where no value has any.
    pub(super) starts: Starts,
    /// Values whose shape the segment does not keep, ascending, with the place of their text in `rebuilt`.
    dropped: Vec<(usize, Range<usize>, Range<usize>)>,
    /// Lengths and bytes of these texts.
    rebuilt: (Vec<u8>, Vec<u8>),
}

/// Which shapes of a table a segment keeps, and as what.
pub(crate) struct Selection<'a> {
    pub(crate) table: &'a ShapeTable,
    /// The segment's number of each shape of the table, or [`DROPPED`].
    pub(crate) numbers: Vec<u32>,
}

/// Which rows of a batch have a value.
pub(super) enum Presence {
    /// The first ones.
    First,
    /// Many: the value of each row, or [`NO_VALUE`].
    Dense(Vec<u16>),
    /// Few: these.
    Sparse(Vec<u16>),
}

impl<'a> Input<'a> {
    /// Prepares a batch. `shape_map` says which of the selection's shapes each local shape is, the whole text first.
    pub(crate) fn new(
        batch: &'a Batch,
        epoch: u32,
        seqs: &'a Seqs,
        arrivals: &'a Arrivals,
        shape_map: &[u32],
        selection: &Selection<'_>,
        tables: &mut Tables,
    ) -> Self {
        let fields: Vec<u32> = batch.fields().iter().map(|path| tables.field(path)).collect();
        let streams = batch.streams().iter().map(|s| tables.stream(&s.service, &s.tags)).collect();
        let lanes = batch
            .lanes()
            .map(|view| {
                let mut lane = InputLane {
                    view,
                    lane: tables.lane(fields.get(view.field).copied().unwrap_or(0), view.kind),
                    presence: Presence::of(view, batch.rows()),
                    starts: Starts::default(),
                    dropped: Vec::new(),
                    rebuilt: Default::default(),
                };
                if view.kind.is_text() {
                    lane.find_starts(shape_map, selection);
                }
                lane
            })
            .collect();
        let lanes: Vec<InputLane<'a>> = lanes;
        let mut lane_places = vec![NO_LANE; tables.lanes.len()];
        for (place, lane) in lanes.iter().enumerate() {
            if let Some(slot) = lane_places.get_mut(lane.lane as usize) {
                *slot = place as u32;
            }
        }
        let times = batch.times().enumerate();
        let times = times.map(|(row, time)| time.unwrap_or_else(|| arrivals.at(seqs.of(row)))).collect();
        let kept = |shape: &u32| match selection.numbers.get(*shape as usize) {
            Some(number) if *number != DROPPED => *number,
            _ => WHOLE,
        };
        let shape_map = shape_map.iter().map(kept).collect();
        Self { batch, epoch, seqs, arrivals, times, shape_map, lanes, lane_places, streams }
    }

    pub(crate) fn rows(&self) -> usize {
        self.batch.rows()
    }

    pub(crate) fn epoch(&self) -> u32 {
        self.epoch
    }

    /// How many hex values and UUIDs it has.
    pub(crate) fn hashed_values(&self) -> usize {
        let is_hashed = |lane: &&InputLane<'_>| matches!(lane.view.kind, LaneKind::Hex { .. } | LaneKind::Uuid { .. });
        self.lanes.iter().filter(is_hashed).map(|lane| lane.view.count).sum()
    }

    #[inline]
    pub(crate) fn seq(&self, row: usize) -> u64 {
        self.seqs.of(row)
    }

    #[inline]
    pub(crate) fn arrival(&self, row: usize) -> i64 {
        self.arrivals.at(self.seq(row))
    }

    #[inline]
    pub(crate) fn time(&self, row: usize) -> i64 {
        self.times.get(row).copied().unwrap_or(0)
    }

    /// The lane that the segment has this number for.
    pub(super) fn lane(&self, number: usize) -> Option<&InputLane<'a>> {
        self.lanes.get(*self.lane_places.get(number)? as usize)
    }

    /// The row's stream by the segment's number.
    #[inline]
    pub(crate) fn stream(&self, row: usize) -> u32 {
        self.streams.get(self.batch.stream_of(row)).copied().unwrap_or(0)
    }
}

impl<'a> InputLane<'a> {
    /// Lengths and bytes of a value's variables.
    #[inline]
    pub(super) fn variables<'s>(&'s self, value: usize) -> (&'s [u8], &'s [u8])
    where
        'a: 's,
    {
        if !self.dropped.is_empty()
            && let Ok(at) = self.dropped.binary_search_by_key(&value, |(value, _, _)| *value)
            && let Some((_, lengths, text)) = self.dropped.get(at)
        {
            let (all_lengths, all_text) = &self.rebuilt;
            let lengths = all_lengths.get(lengths.clone()).unwrap_or_default();
            return (lengths, all_text.get(text.clone()).unwrap_or_default());
        }
        match (self.starts.get(value), self.starts.get(value + 1)) {
            (Some(from), Some(to)) => (
                self.view.lengths.get(from.0 as usize..to.0 as usize).unwrap_or_default(),
                self.view.variables.get(from.1 as usize..to.1 as usize).unwrap_or_default(),
            ),
            _ => Default::default(),
        }
    }

    /// Finds where each value's variables begin, and rebuilds the texts whose shape is not kept.
    fn find_starts(&mut self, shape_map: &[u32], selection: &Selection<'_>) {
        let view = self.view;
        let is_dropped = |shape: u32| selection.numbers.get(shape as usize).is_none_or(|number| *number == DROPPED);
        let all_kept = !shape_map.iter().any(|shape| is_dropped(*shape));
        if view.lengths.is_empty() && all_kept {
            return;
        }
        let slots: Vec<u8> =
            shape_map.iter().map(|shape| selection.table.slots().get(*shape as usize).copied().unwrap_or(1)).collect();
        self.starts.reserve(view.count + 1);
        let (mut length_at, mut variable_at) = (0usize, 0usize);
        for (value, local) in view.shapes().enumerate() {
            let start = (length_at, variable_at);
            self.starts.push((length_at as u32, variable_at as u32));
            for _ in 0..slots.get(usize::from(local)).copied().unwrap_or(0) {
                variable_at += varint_at(view.lengths, &mut length_at);
            }
            let shape = shape_map.get(usize::from(local)).copied().unwrap_or(WHOLE);
            if !all_kept && is_dropped(shape) {
                let words = (view.lengths.get(start.0..length_at), view.variables.get(start.1..variable_at));
                let (lengths, text) = self.rebuild(
                    selection.table.shape(shape),
                    words.0.unwrap_or_default(),
                    words.1.unwrap_or_default(),
                );
                self.dropped.push((value, lengths, text));
            }
        }
        self.starts.push((length_at as u32, variable_at as u32));
    }

    fn rebuild(&mut self, shape: Shape<'_>, lengths: &[u8], variables: &[u8]) -> (Range<usize>, Range<usize>) {
        let (to_lengths, to_text) = &mut self.rebuilt;
        let (lengths_start, start) = (to_lengths.len(), to_text.len());
        let (mut length_at, mut at) = (0, 0);
        let words = std::iter::from_fn(|| {
            (length_at < lengths.len()).then(|| {
                let len = varint_at(lengths, &mut length_at);
                let word = variables.get(at..at + len).unwrap_or_default();
                at += len;
                word
            })
        });
        shape.rebuild(words, to_text);
        put_varint(to_lengths, (to_text.len() - start) as u64);
        (lengths_start..to_lengths.len(), start..to_text.len())
    }
}

/// Reads a length and moves on.
fn varint_at(lengths: &[u8], at: &mut usize) -> usize {
    let (mut len, mut shift) = (0usize, 0);
    while let Some(byte) = lengths.get(*at) {
        *at += 1;
        len |= usize::from(byte & 0x7F) << shift;
        shift += 7;
        if *byte < 0x80 || shift > 56 {
            break;
        }
    }
    len
}

impl Presence {
    fn of(view: LaneView<'_>, rows: usize) -> Self {
        if view.is_prefix() {
            return Self::First;
        }
        if view.count < rows / SPARSE_ONE_IN {
            return Self::Sparse(view.rows().map(|row| row as u16).collect());
        }
        let mut positions = vec![NO_VALUE; rows];
        for (value, row) in view.rows().enumerate() {
            if let Some(place) = positions.get_mut(row) {
                *place = value as u16;
            }
        }
        Self::Dense(positions)
    }
}
