//! `histogram`: how many numbers fall into each of 18 ranges a power of ten, from 10⁻⁹ to 10¹⁸.
//!
//! Invariants
//! * A range has its upper bound and not its lower one. Negative numbers fall nowhere.
use crate::error::Result;
use crate::query::budget::Held;
use crate::query::value::number::{number, show_exponent};
use std::collections::BTreeMap;

const EXPONENT_MIN: f64 = -9.0;
const EXPONENT_MAX: f64 = 18.0;
const RANGES_PER_TEN: f64 = 18.0;
/// What the first range takes and what each takes, about.
const FIRST_BYTES: usize = 160;
const RANGE_BYTES: usize = 32;
const RANGES: f64 = (EXPONENT_MAX - EXPONENT_MIN) * RANGES_PER_TEN;

/// Counts by range; -1 is below the first one.
#[derive(Default)]
pub(crate) struct Histogram {
    counts: BTreeMap<i32, u64>,
}

impl Histogram {
    pub(super) fn add(&mut self, value: &str, held: &mut Held) -> Result<()> {
        let Some(number) = number(value).filter(|number| *number >= 0.0) else { return Ok(()) };
        let place = (number.log10() - EXPONENT_MIN) * RANGES_PER_TEN;
        let range = if place < 0.0 {
            -1
        } else if place >= RANGES {
            RANGES as i32
        } else if place.fract() == 0.0 && place > 0.0 {
            place as i32 - 1
        } else {
            place as i32
        };
        if let Some(hits) = self.counts.get_mut(&range) {
            *hits += 1;
            return Ok(());
        }
        let before = self.bytes();
        self.counts.insert(range, 1);
        held.add(self.bytes() - before)
    }

    /// What it holds.
    fn bytes(&self) -> usize {
        if self.counts.is_empty() { 0 } else { FIRST_BYTES + self.counts.len() * RANGE_BYTES }
    }

    pub(super) fn merge(&mut self, other: Self, held: &mut Held) {
        let before = self.bytes() + other.bytes();
        for (range, hits) in other.counts {
            *self.counts.entry(range).or_default() += hits;
        }
        held.give_back(before - self.bytes());
    }

    pub(super) fn result(&self) -> String {
        let shown = |(range, hits): (&i32, &u64)| format!("{{\"vmrange\":\"{}\",\"hits\":{hits}}}", show_range(*range));
        let ranges: Vec<String> = self.counts.iter().map(shown).collect();
        format!("[{}]", ranges.join(","))
    }
}

fn show_range(range: i32) -> String {
    let bound = |at: i32| show_exponent(10f64.powf(EXPONENT_MIN + f64::from(at) / RANGES_PER_TEN));
    match range {
        -1 => format!("0...{}", bound(0)),
        last if f64::from(last) >= RANGES => format!("{}...+Inf", bound(last)),
        _ => format!("{}...{}", bound(range), bound(range + 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::budget::Memory;

    #[test]
    fn numbers_fall_into_ranges_that_end_with_them() {
        let mut histogram = Histogram::default();
        let mut held = Memory::new(1 << 20).hold("test");
        for value in ["1", "10", "10", "0", "1e30", "-5", "x", "1KiB"] {
            histogram.add(value, &mut held).unwrap();
        }
        assert_eq!(
            histogram.result(),
            concat!(
                r#"[{"vmrange":"0...1.000e-09","hits":1},{"vmrange":"8.799e-01...1.000e+00","hits":1},"#,
                r#"{"vmrange":"8.799e+00...1.000e+01","hits":2},{"vmrange":"1.000e+03...1.136e+03","hits":1},"#,
                r#"{"vmrange":"1.000e+18...+Inf","hits":1}]"#
            )
        );
        assert_eq!(Histogram::default().result(), "[]");
    }
}
