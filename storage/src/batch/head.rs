//! What stands before the values of a batch: times, streams, fields and the heads of lanes.
//!
//! Invariants
//! * Each count and length is held against the bytes that are left before anything is allocated for it.
//! * What is written here is read back equal.
use super::numbers::Numbers;
use super::{Lane, LaneKind, Stream, TIME_ABSENT, Times};
use crate::codec::Reader;
use crate::error::{Error, Result};
use crate::limits::{BATCH_LANES_MAX, FIELD_NAME_BYTES_MAX, RECORD_FIELDS_MAX};
use crate::record::FieldPath;
use std::ops::Range;

/// Nanoseconds are often whole milliseconds: the largest scale that all times are multiples of.
pub(super) fn time_scale(times: &[i64]) -> i64 {
    [1_000_000_000, 1_000_000, 1_000].into_iter().find(|scale| times.iter().all(|time| time % scale == 0)).unwrap_or(1)
}

pub(super) fn put_times(out: &mut Vec<u8>, times: &[i64], any: bool) {
    if !any {
        out.push(0);
    } else if times.contains(&TIME_ABSENT) {
        out.push(2);
        times.iter().for_each(|time| out.extend_from_slice(&time.to_le_bytes()));
    } else {
        out.push(1);
        let scale = time_scale(times);
        crate::codec::put_varint(out, scale as u64);
        let numbers = Numbers::of(times.iter().map(|time| time / scale));
        numbers.write(out);
        times.iter().for_each(|time| numbers.put(time / scale, out));
    }
}

pub(super) fn read_times(r: &mut Reader<'_>, rows: usize, len: usize) -> Result<Times> {
    let place = |r: &mut Reader<'_>, bytes: usize| -> Result<Range<usize>> {
        let start = len - r.remaining();
        r.take(bytes)?;
        Ok(start..start + bytes)
    };
    match r.u8()? {
        0 => Ok(Times::Absent),
        1 => {
            let scale = i64::try_from(r.varint()?).map_err(|_| Error::corrupt("times of a scale beyond 63 bits"))?;
            let numbers = Numbers::read(r)?;
            let bytes = place(r, rows * usize::from(numbers.width))?;
            Ok(Times::Scaled { scale, numbers, bytes })
        }
        _ => Ok(Times::Mixed(place(r, rows * 8)?)),
    }
}

pub(super) fn read_streams(r: &mut Reader<'_>) -> Result<Vec<Stream>> {
    let n = r.count(2)?;
    (0..n).map(|_| Ok(Stream { service: r.text()?.into(), tags: r.text()?.into() })).collect()
}

pub(super) fn read_fields(r: &mut Reader<'_>) -> Result<Vec<FieldPath>> {
    let n = r.count(3)?;
    (0..n).map(|_| read_field(r)).collect()
}

/// Appends a field's path.
pub(super) fn put_field(out: &mut Vec<u8>, field: &FieldPath) {
    crate::codec::put_bytes(out, field.name.as_bytes());
    crate::codec::put_varint(out, field.nesting.len() as u64);
    for at in &field.nesting {
        crate::codec::put_varint(out, u64::from(*at));
    }
    crate::codec::put_varint(out, u64::from(field.occurrence));
}

/// Reads a field's path.
fn read_field(r: &mut Reader<'_>) -> Result<FieldPath> {
    let bad = || Error::corrupt("a field's path is damaged");
    let name = r.text()?;
    if name.len() > FIELD_NAME_BYTES_MAX * 2 {
        return Err(bad());
    }
    let n = r.count(1)?;
    let nesting: Box<[u16]> = (0..n).map(|_| u16::try_from(r.varint()?).map_err(|_| bad())).collect::<Result<_>>()?;
    if nesting.iter().any(|at| name.as_bytes().get(usize::from(*at)) != Some(&b'.')) || !nesting.is_sorted() {
        return Err(bad());
    }
    let occurrence = u16::try_from(r.varint()?).map_err(|_| bad())?;
    Ok(FieldPath { name: name.into(), nesting, occurrence })
}

pub(super) fn read_lane_heads(r: &mut Reader<'_>, fields: usize, rows: usize) -> Result<Vec<Lane>> {
    let bad = || Error::corrupt("a lane's head is damaged");
    let n = r.count(5)?;
    if n > BATCH_LANES_MAX {
        return Err(bad());
    }
    let total = r.remaining();
    // Values may take no bytes: what is done with each has to be bounded by something else.
    let mut values_left = rows * RECORD_FIELDS_MAX;
    let mut lanes = Vec::with_capacity(n);
    for _ in 0..n {
        let field = u32::try_from(r.varint()?).map_err(|_| bad())?;
        let kind = LaneKind::from_code(r.array()?).ok_or_else(bad)?;
        let listed = r.u8()? == 1;
        let count = usize::try_from(r.varint()?).map_err(|_| bad())?;
        if field as usize >= fields || count > rows {
            return Err(bad());
        }
        values_left = values_left.checked_sub(count).ok_or_else(bad)?;
        let numbers = if kind == LaneKind::Int { Numbers::read(r)? } else { Numbers::default() };
        let width = if kind == LaneKind::Int { usize::from(numbers.width) } else { kind.width().unwrap_or(2) };
        let (lengths, variables) = if kind.is_text() { (r.varint()? as usize, r.varint()? as usize) } else { (0, 0) };
        if lengths > total || variables > total {
            return Err(bad());
        }
        lanes.push(Lane {
            field,
            kind,
            count,
            rows: listed.then_some(0..count * 2),
            numbers,
            values: 0..count * width,
            lengths: 0..lengths,
            variables: 0..variables,
        });
    }
    Ok(lanes)
}
