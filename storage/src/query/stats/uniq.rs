//! `count_uniq`, `count_uniq_hash` and `uniq_values`: different values that are not empty.
//!
//! Invariants
//! * An integer counts once, whether it came as a number or as its text. Empty values do not count, nor rows in which all the
//!   fields are empty.
//! * With a limit, no more than one value beyond it is kept.
use super::{COPIES, Input};
use crate::batch::canonical_int;
use crate::error::Result;
use crate::query::budget::Held;
use crate::query::value::hash::xxh64;
use crate::query::value::json::show_array;
use crate::query::value::order::{Ranked, merge_sort};
use rustc_hash::FxHashSet;

/// What a set takes for each member, about.
const MEMBER_BYTES: usize = 2 * size_of::<String>();

/// The values of a row as one text, if any of them is not empty.
fn tuple(input: &Input<'_>, row: usize) -> Option<String> {
    match input.columns.as_slice() {
        [only] => Some(only.value(row).to_string()).filter(|value| !value.is_empty()),
        many => {
            let mut key = String::new();
            let mut any = false;
            for column in many {
                let value = column.value(row);
                any |= !value.is_empty();
                key.push_str(&format!("{}:", value.len()));
                key.push_str(value);
            }
            any.then_some(key)
        }
    }
}

fn is_full(len: usize, limit: u64) -> bool {
    limit > 0 && len as u64 > limit
}

/// Different values. Integers are kept as such, however they came.
#[derive(Default)]
pub(crate) struct Uniq {
    texts: FxHashSet<String>,
    integers: Integers,
}

/// Different integers: many small ones as a bit each.
#[derive(Default)]
struct Integers {
    few: FxHashSet<i64>,
    /// Used once there are many, and as long as the greatest of them needs.
    bits: Vec<u64>,
    in_bits: usize,
}

/// Integers up to which each takes a place in a set of its own.
const FEW: usize = 4_096;
/// Integers that are kept as a bit.
const BITS: i64 = 1 << 24;

impl Integers {
    fn len(&self) -> usize {
        self.few.len() + self.in_bits
    }

    /// The word and the bit of an integer, once there are bits for it.
    fn bit(&self, value: i64) -> Option<(usize, u64)> {
        (!self.bits.is_empty() && (0..BITS).contains(&value)).then(|| (value as usize / 64, 1 << (value % 64)))
    }

    fn has(&self, value: i64) -> bool {
        match self.bit(value) {
            Some((word, bit)) => self.bits.get(word).is_some_and(|word| word & bit != 0),
            None => self.few.contains(&value),
        }
    }

    fn add(&mut self, value: i64, held: &mut Held) -> Result<()> {
        if let Some((word, bit)) = self.bit(value) {
            self.lengthen(word, held)?;
            if let Some(word) = self.bits.get_mut(word) {
                self.in_bits += usize::from(*word & bit == 0);
                *word |= bit;
            }
            return Ok(());
        }
        if self.few.insert(value) {
            held.add(2 * size_of::<i64>())?;
        }
        if self.bits.is_empty() && self.few.len() > FEW {
            self.lengthen(0, held)?;
            let few = std::mem::take(&mut self.few);
            few.into_iter().try_for_each(|value| self.add(value, held))?;
        }
        Ok(())
    }

    /// Makes room for the bits of a word.
    fn lengthen(&mut self, word: usize, held: &mut Held) -> Result<()> {
        let len = (word + 1).next_power_of_two().max(FEW / 64);
        if self.bits.len() < len {
            held.add((len - self.bits.len()) * size_of::<u64>())?;
            self.bits.resize(len, 0);
        }
        Ok(())
    }

    fn add_all(&mut self, values: &[i64], held: &mut Held) -> Result<()> {
        for value in values {
            match usize::try_from(*value).ok().and_then(|value| self.bits.get_mut(value / 64)) {
                Some(word) => {
                    let bit = 1 << (*value % 64);
                    self.in_bits += usize::from(*word & bit == 0);
                    *word |= bit;
                }
                None => self.add(*value, held)?,
            }
        }
        Ok(())
    }

    /// Adds those that another set has as bits, where both have bits.
    fn unite(&mut self, other: &mut Self) {
        if self.bits.len() < other.bits.len() {
            std::mem::swap(&mut self.bits, &mut other.bits);
        }
        self.bits.iter_mut().zip(&other.bits).for_each(|(own, other)| *own |= other);
        self.in_bits = self.bits.iter().map(|word| word.count_ones() as usize).sum();
    }

    fn each(&self) -> impl Iterator<Item = i64> + '_ {
        let bits = self.bits.iter().enumerate().flat_map(|(at, word)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                let bit = (rest != 0).then(|| rest.trailing_zeros())?;
                rest &= rest - 1;
                Some((at * 64) as i64 + i64::from(bit))
            })
        });
        self.few.iter().copied().chain(bits)
    }
}

impl Uniq {
    pub(super) fn add(&mut self, value: &str, limit: u64, held: &mut Held) -> Result<()> {
        if let Some(integer) = canonical_int(value.as_bytes()) {
            return self.add_int(integer, limit, held);
        }
        if value.is_empty() || is_full(self.len(), limit) || self.texts.contains(value) {
            return Ok(());
        }
        held.add(COPIES * value.len() + MEMBER_BYTES)?;
        self.texts.insert(value.into());
        Ok(())
    }

    pub(super) fn add_int(&mut self, value: i64, limit: u64, held: &mut Held) -> Result<()> {
        if limit > 0 && (is_full(self.len(), limit) || self.integers.has(value)) {
            return Ok(());
        }
        self.integers.add(value, held)
    }

    pub(super) fn add_ints(&mut self, values: &[i64], limit: u64, held: &mut Held) -> Result<()> {
        if limit > 0 {
            return values.iter().try_for_each(|value| self.add_int(*value, limit, held));
        }
        self.integers.add_all(values, held)
    }

    pub(super) fn add_tuple(&mut self, input: &Input<'_>, row: usize, limit: u64, held: &mut Held) -> Result<()> {
        match tuple(input, row) {
            Some(key) => self.add(&key, limit, held),
            None => Ok(()),
        }
    }

    pub(super) fn merge(&mut self, mut other: Self, limit: u64, held: &mut Held) -> Result<()> {
        if limit == 0 && self.integers.bits.is_empty() {
            std::mem::swap(&mut self.integers, &mut other.integers);
        }
        if limit == 0 && !self.integers.bits.is_empty() && !other.integers.bits.is_empty() {
            self.integers.unite(&mut other.integers);
            other.integers.few.iter().try_for_each(|value| self.integers.add(*value, held))?;
        } else {
            other.integers.each().try_for_each(|value| self.add_int(value, limit, held))?;
        }
        other.texts.iter().try_for_each(|value| self.add(value, limit, held))
    }

    pub(super) fn len(&self) -> usize {
        self.texts.len() + self.integers.len()
    }

    /// The values in their order.
    pub(super) fn result(&self, limit: u64) -> String {
        let integers: Vec<String> = self.integers.each().map(|value| value.to_string()).collect();
        let all = self.texts.iter().chain(&integers);
        let mut ranked: Vec<Ranked<&str>> = all.map(|value| Ranked::new(value.as_str())).collect();
        // Sets have no order; values that are equal as numbers would come in any.
        ranked.sort_unstable_by_key(|ranked| ranked.text);
        let mut order: Vec<usize> = (0..ranked.len()).collect();
        merge_sort(&mut order, &mut |a, b| ranked.get(a).zip(ranked.get(b)).is_some_and(|(a, b)| a.less(b)));
        let kept = if limit == 0 { usize::MAX } else { usize::try_from(limit).unwrap_or(usize::MAX) };
        show_array(order.iter().take(kept).filter_map(|at| ranked.get(*at)).map(|ranked| ranked.text))
    }
}

/// Different hashes of values.
#[derive(Default)]
pub(crate) struct Hashes {
    hashes: FxHashSet<u64>,
}

impl Hashes {
    pub(super) fn add_tuple(&mut self, input: &Input<'_>, row: usize, limit: u64, held: &mut Held) -> Result<()> {
        let Some(key) = tuple(input, row).filter(|_| !is_full(self.hashes.len(), limit)) else { return Ok(()) };
        self.add(xxh64(key.as_bytes()), held)
    }

    fn add(&mut self, hash: u64, held: &mut Held) -> Result<()> {
        if self.hashes.insert(hash) {
            held.add(2 * size_of::<u64>())?;
        }
        Ok(())
    }

    pub(super) fn merge(&mut self, other: Self, limit: u64, held: &mut Held) -> Result<()> {
        for hash in other.hashes {
            if !is_full(self.hashes.len(), limit) {
                self.add(hash, held)?;
            }
        }
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.hashes.len()
    }
}

#[cfg(test)]
mod tests {
    use crate::query::testing::check;

    #[test]
    fn empty_values_do_not_count() {
        check(
            "count_uniq(a) x, count_uniq(a, b) y, count_uniq(a) limit 1 z, count_uniq_hash(a, b) h, uniq_values(a, b) v, uniq_values(a) limit 1 w",
            r#"{"a":"10","b":"q"}
{"a":"9"}
{"a":"9","b":"q"}
{"b":"q"}
{"z":"1"}"#,
            r#"{"x":"2","y":"4","z":"1","h":"4","v":"[\"9\",\"10\",\"q\"]","w":"[\"9\"]"}"#,
        );
    }
}
