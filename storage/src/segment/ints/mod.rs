//! A column of integers: constant, few values, near each other, or rising.
//!
//! | kind | head | data |
//! |---|---|---|
//! | constant | value | |
//! | packed | scale, lowest, bits | value minus lowest, over the scale |
//! | steps | scale, first, marks | per 128 steps: lowest step, bits, and the steps minus lowest |
//! | steps as bytes | scale, first, marks, signed u8 | a varint for each step, for the compressor: skewed steps, or few large ones |
//! | dictionary | values | a code for each value: packed, or bytes where they compress better |
//!
//! A mark is every 4,096th value and where the steps from it on begin, so that a value is reached without all before it.
//!
//! Invariants
//! * Every `i64` comes back, `MIN` and `MAX` beside each other included: all differences wrap.
mod codes;
mod dictionary;
mod read;
mod steps;
#[cfg(test)]
mod tests;

pub(crate) use codes::{CodeForm, few_codes, put_codes, read_codes};
pub(crate) use read::IntHead;

use super::bits::{BitWriter, bits_of, packed_bytes};
use super::pages::{PageWriter, Space};
use crate::codec::{put_varint, zigzag};
use crate::error::Error;
use dictionary::Dictionary;
use steps::{Steps, put_marks};

const CONSTANT: u8 = 0;
const PACKED: u8 = 1;
const STEPS: u8 = 2;
const CODES_PACKED: u8 = 3;
const CODES_BYTES: u8 = 4;
const STEPS_BYTES: u8 = 5;

/// Appends a column: its data into pages, how to read it into `head`.
pub(crate) fn put(values: &[i64], pages: &mut PageWriter, head: &mut Vec<u8>) {
    let Some(first) = values.first().copied() else {
        head.push(CONSTANT);
        put_varint(head, 0);
        return;
    };
    let (low, high) = values.iter().fold((first, first), |(l, h), v| (l.min(*v), h.max(*v)));
    if low == high {
        head.push(CONSTANT);
        put_varint(head, zigzag(first));
        return;
    }
    // Where the range is over 63 bits, steps wrap and are no multiples of anything.
    let scale = if high.wrapping_sub(low) < 0 { 1 } else { scale_of(values, low) };
    let width = bits_of(high.wrapping_sub(low) as u64 / scale);
    let packed_cost = packed_bytes(values.len(), width);
    if let Some(dictionary) = Dictionary::of(values, packed_cost) {
        return dictionary.put(pages, head);
    }
    let steps = Steps::of(values, scale);
    if steps.varints_cost < steps.bytes.len().min(packed_cost) {
        head.push(STEPS_BYTES);
        put_varint(head, scale);
        put_varint(head, zigzag(first));
        put_marks(values, &steps.varint_marks, head);
        head.push(u8::from(steps.signed));
        pages.put(Space::Codes, &steps.varints).put(head);
        return;
    }
    if steps.bytes.len() < packed_cost {
        head.push(STEPS);
        put_varint(head, scale);
        put_varint(head, zigzag(first));
        put_marks(values, &steps.marks, head);
        pages.put(Space::Dense, &steps.bytes).put(head);
        return;
    }
    head.push(PACKED);
    put_varint(head, scale);
    put_varint(head, zigzag(low));
    head.push(width as u8);
    let mut bits = BitWriter::default();
    for value in values {
        bits.push(value.wrapping_sub(low) as u64 / scale, width);
    }
    pages.put(Space::Dense, &bits.finish()).put(head);
}

/// The largest of a few scales that all distances from `low` are multiples of: nanoseconds are often milliseconds.
fn scale_of(values: &[i64], low: i64) -> u64 {
    [1_000_000_000u64, 1_000_000, 1_000]
        .into_iter()
        .find(|scale| values.iter().all(|v| (v.wrapping_sub(low) as u64).is_multiple_of(*scale)))
        .unwrap_or(1)
}

fn wrong_length() -> Error {
    Error::corrupt("a column of numbers has another length than it says")
}
