//! Rows put together from their columns.
//!
//! Invariants
//! * Of a few rows, only the pages that their values lie in are read.
//! * Fields come in the order of the lanes, whoever has read them.
use super::crew::Flow;
use super::part::{Part, PartLane, SealedPart};
use super::rows::RowSet;
use crate::error::Result;
use crate::record::{FieldPath, Record, Value};

/// The rows of a set as records, ascending by row.
pub(crate) fn materialise(part: &Part<'_>, set: &RowSet) -> Result<Vec<Record>> {
    let rows: Vec<usize> = set.iter().collect();
    let (times, seqs) = (part.few_times(&rows)?, part.few_seqs(&rows)?);
    put_together(part, &rows, &times, &seqs)
}

/// These rows, which ascend and of which time and sequence number are known, as records.
pub(super) fn put_together(part: &Part<'_>, rows: &[usize], times: &[i64], seqs: &[u64]) -> Result<Vec<Record>> {
    let arrivals = part.arrivals();
    let record = |(seq, time): (u64, i64)| {
        let arrival = arrivals.at(seq);
        Record { seq, epoch: part.epoch(), time, arrival, fields: Vec::new() }
    };
    let mut records: Vec<Record> = seqs.iter().copied().zip(times.iter().copied()).map(record).collect();
    let lanes = part.lanes();
    match part {
        Part::Sealed(sealed) if lanes.len() >= LANES_SHARED_MIN && rows.len() <= ROWS_SHARED_MAX => {
            let SealedPart { segment, index, block, shapes, counters, crew, .. } = *sealed;
            let read = |read: &mut Vec<(usize, Values)>, number: usize| {
                let Some(lane) = lanes.get(number) else { return Ok(Flow::Break(())) };
                // What a part keeps is kept for one thread.
                let part = Part::sealed(segment, index, block, shapes, counters, crew);
                read.push((number, read_lane(&part, *lane, rows)?));
                Ok(Flow::Continue(()))
            };
            let mut read: Vec<_> = crew.work(lanes.len(), 0, &Vec::new, &read)?.into_iter().flatten().collect();
            read.sort_unstable_by_key(|(number, _)| *number);
            read.into_iter().for_each(|(_, values)| hand_out(values, &mut records));
        }
        _ => {
            for lane in lanes {
                hand_out(read_lane(part, lane, rows)?, &mut records);
            }
        }
    }
    Ok(records)
}

/// Lanes from which threads share the reading of a few rows: each has pages of its own, of which a row needs one or two.
const LANES_SHARED_MIN: usize = 24;
/// Rows up to which they do, so that the values of all lanes are few.
const ROWS_SHARED_MAX: usize = 1_024;

/// Values of a lane, each with the place of its record.
type Values = Vec<(usize, (FieldPath, Value))>;

fn read_lane(part: &Part<'_>, lane: PartLane<'_>, rows: &[usize]) -> Result<Values> {
    let presence = part.presence(lane)?;
    // The wanted values, and the record of each.
    let (values, places) = values_of(rows, presence.as_deref(), lane.count());
    let kind = lane.kind().value_kind();
    let (mut read, mut places) = (Vec::with_capacity(values.len()), places.into_iter());
    let wanted = (values.len() < lane.count()).then_some(values.as_slice());
    part.texts(lane, wanted, &mut |_, text| {
        if let Some(place) = places.next() {
            let text = String::from_utf8_lossy(text).into_owned();
            read.push((place, (lane.field().clone(), Value { kind, text })));
        }
    })?;
    Ok(read)
}

fn hand_out(values: Values, records: &mut [Record]) {
    for (place, field) in values {
        if let Some(record) = records.get_mut(place) {
            record.fields.push(field);
        }
    }
}

/// Which values of a lane the given rows have, and which of the rows has each. Rows ascend, and so do both lists.
pub(super) fn values_of(rows: &[usize], presence: Option<&[u32]>, count: usize) -> (Vec<usize>, Vec<usize>) {
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
