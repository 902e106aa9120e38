//! Steps from each value to the next: packed in chunks, or a varint each; with marks among them.
//!
//! Invariants
//! * A mark is every [`MARK_EACH`]th value, and where the steps from it on begin.
//! * Steps wrap: they lead from any `i64` to any other.
use super::super::bits::{BitWriter, Packed, bits_of, packed_bytes};
use super::codes::entropy_bytes;
use crate::codec::{Reader, put_varint, unzigzag, zigzag};
use crate::error::Result;

const STEPS_EACH: usize = 128;
/// Values from one mark to the next; whole chunks of steps.
pub(super) const MARK_EACH: usize = 1_024;
const _: () = assert!(MARK_EACH.is_multiple_of(STEPS_EACH));

pub(super) struct Steps {
    /// Packed in chunks.
    pub(super) bytes: Vec<u8>,
    /// Where the chunks of each marked value begin, and its varints.
    pub(super) marks: Vec<usize>,
    pub(super) varint_marks: Vec<usize>,
    /// One after another; zigzag where some go back.
    pub(super) varints: Vec<u8>,
    pub(super) signed: bool,
    /// About what a compressor makes of the varints.
    pub(super) varints_cost: usize,
}

impl Steps {
    pub(super) fn of(values: &[i64], scale: u64) -> Self {
        let steps: Vec<u64> = values
            .windows(2)
            .map(|pair| {
                let (a, b) = (pair.first().copied().unwrap_or(0), pair.last().copied().unwrap_or(0));
                let step = b.wrapping_sub(a);
                if scale == 1 { zigzag(step) } else { zigzag(step / scale as i64) }
            })
            .collect();
        let (mut bytes, mut marks) = (Vec::new(), Vec::new());
        for (number, chunk) in steps.chunks(STEPS_EACH).enumerate() {
            if number > 0 && number.is_multiple_of(MARK_EACH / STEPS_EACH) {
                marks.push(bytes.len());
            }
            let (low, high) = chunk.iter().fold((u64::MAX, 0), |(l, h), v| (l.min(*v), h.max(*v)));
            let width = bits_of(high - low);
            put_varint(&mut bytes, low);
            bytes.push(width as u8);
            let mut bits = BitWriter::default();
            for step in chunk {
                bits.push(step - low, width);
            }
            bytes.extend_from_slice(&bits.finish());
        }
        let signed = steps.iter().any(|step| step & 1 == 1);
        let mut varints = Vec::with_capacity(steps.len() * 2);
        let mut varint_marks = Vec::new();
        for (number, chunk) in steps.chunks(MARK_EACH).enumerate() {
            if number > 0 {
                varint_marks.push(varints.len());
            }
            chunk.iter().for_each(|step| put_varint(&mut varints, if signed { *step } else { step >> 1 }));
        }
        let mut counts = [0usize; 256];
        for byte in &varints {
            if let Some(count) = counts.get_mut(usize::from(*byte)) {
                *count += 1;
            }
        }
        let varints_cost = (entropy_bytes(&counts).max(varints.len() as f64 / 8.0) * 1.03) as usize + 64;
        Self { bytes, marks, varint_marks, varints, signed, varints_cost }
    }
}

/// Appends each marked value and where its steps begin, as gaps.
pub(super) fn put_marks(values: &[i64], places: &[usize], head: &mut Vec<u8>) {
    put_varint(head, places.len() as u64);
    let (mut value, mut place) = (0i64, 0);
    for (marked, at) in values.iter().step_by(MARK_EACH).skip(1).zip(places) {
        put_varint(head, zigzag(marked.wrapping_sub(value)));
        put_varint(head, (at - place) as u64);
        (value, place) = (*marked, *at);
    }
}

pub(super) fn read_marks(r: &mut Reader<'_>) -> Result<Vec<(i64, usize)>> {
    let n = r.count(2)?;
    let (mut value, mut place) = (0i64, 0u64);
    let mut marks = Vec::with_capacity(n);
    for _ in 0..n {
        value = value.wrapping_add(unzigzag(r.varint()?));
        place = place.saturating_add(r.varint()?);
        marks.push((value, usize::try_from(place).unwrap_or(usize::MAX)));
    }
    Ok(marks)
}

/// Values that are kept as packed steps, until `take` has enough.
pub(super) fn steps(
    bytes: &[u8],
    scale: u64,
    first: i64,
    count: usize,
    take: &mut impl FnMut(i64) -> bool,
) -> Result<()> {
    let r = &mut Reader::new(bytes);
    let (mut value, mut given) = (first, 1);
    if !take(value) {
        return Ok(());
    }
    while given < count {
        let low = r.varint()?;
        let width = u32::from(r.u8()?);
        let n = STEPS_EACH.min(count - given);
        let packed = Packed::new(r.take(packed_bytes(n, width))?, width);
        for step in packed.iter(n) {
            value = value.wrapping_add(unzigzag(low.wrapping_add(step)).wrapping_mul(scale as i64));
            if !take(value) {
                return Ok(());
            }
        }
        given += n;
    }
    Ok(())
}

/// Values that are kept as a varint a step, until `take` has enough; gives how many bytes are left.
pub(super) fn step_bytes(
    bytes: &[u8],
    scale: u64,
    first: i64,
    signed: bool,
    count: usize,
    take: &mut impl FnMut(i64) -> bool,
) -> Result<usize> {
    let (mut value, mut rest) = (first, bytes);
    if !take(value) {
        return Ok(0);
    }
    for _ in 1..count {
        let step = match rest.split_first() {
            Some((byte, tail)) if *byte < 0x80 => {
                rest = tail;
                u64::from(*byte)
            }
            _ => {
                let r = &mut Reader::new(rest);
                let step = r.varint()?;
                rest = r.rest();
                step
            }
        };
        let step = if signed { unzigzag(step) } else { step as i64 };
        value = value.wrapping_add(step.wrapping_mul(scale as i64));
        if !take(value) {
            return Ok(0);
        }
    }
    Ok(rest.len())
}
