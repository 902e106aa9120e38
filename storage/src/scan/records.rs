//! Rows put together from their columns.
//!
//! Invariants
//! * Of a few rows, only the pages that their values lie in are read.
use super::part::Part;
use super::rows::RowSet;
use crate::error::Result;
use crate::record::{Record, Value};

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
    for lane in part.lanes() {
        let presence = part.presence(lane)?;
        // The wanted values, and the record of each.
        let (values, places) = values_of(rows, presence.as_deref(), lane.count());
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
