//! `count_uniq`, `count_uniq_hash` and `uniq_values`: different values that are not empty.
//!
//! Invariants
//! * An integer counts once, whether it came as a number or as its text. Empty values do not count, nor rows in which all the
//!   fields are empty.
//! * With a limit, no more than one value beyond it is kept.
//! * What a result is made of and the result are counted before they are made: integers take far more as texts than as bits.
use super::integers::Integers;
use super::{Input, array_within};
use crate::batch::canonical_int;
use crate::error::Result;
use crate::query::budget::Held;
use crate::query::value::hash::xxh64;
use crate::query::value::order::{Ranked, merge_sort};
use rustc_hash::FxHashSet;

/// What a set takes for each member, about.
const MEMBER_BYTES: usize = 2 * size_of::<String>();

/// What a member takes while values are put in their order, about.
const RANKED_BYTES: usize = size_of::<Ranked<&str>>() + 2 * size_of::<usize>();
/// What an integer takes as a text by itself, about.
const INTEGER_BYTES: usize = size_of::<String>() + 32;

/// What a text takes that is kept.
fn text_bytes(text: &str) -> usize {
    text.len() + MEMBER_BYTES
}

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

impl Uniq {
    pub(super) fn add(&mut self, value: &str, limit: u64, held: &mut Held) -> Result<()> {
        if let Some(integer) = canonical_int(value.as_bytes()) {
            return self.add_int(integer, limit, held);
        }
        if value.is_empty() || is_full(self.len(), limit) || self.texts.contains(value) {
            return Ok(());
        }
        held.add(text_bytes(value))?;
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
        if self.len() == 0 {
            *self = other;
            return Ok(());
        }
        if limit == 0 && !self.integers.has_bits() {
            std::mem::swap(&mut self.integers, &mut other.integers);
        }
        if limit == 0 && self.integers.has_bits() && other.integers.has_bits() {
            self.integers.unite(&mut other.integers);
            other.integers.few().try_for_each(|value| self.integers.add(value, held))?;
        } else {
            other.integers.each().try_for_each(|value| self.add_int(value, limit, held))?;
        }
        held.give_back(other.integers.bytes());
        for value in other.texts {
            // It moves, and is counted anew where it stays.
            held.give_back(text_bytes(&value));
            if !is_full(self.len(), limit) && !self.texts.contains(&value) {
                held.add(text_bytes(&value))?;
                self.texts.insert(value);
            }
        }
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.texts.len() + self.integers.len()
    }

    /// The values in their order.
    pub(super) fn result(&self, limit: u64, held: &mut Held) -> Result<String> {
        let making = self.len() * RANKED_BYTES + self.integers.len() * INTEGER_BYTES;
        held.add(making)?;
        let integers: Vec<String> = self.integers.each().map(|value| value.to_string()).collect();
        let all = self.texts.iter().chain(&integers);
        let mut ranked: Vec<Ranked<&str>> = all.map(|value| Ranked::new(value.as_str())).collect();
        // Sets have no order; values that are equal as numbers would come in any.
        ranked.sort_unstable_by_key(|ranked| ranked.text);
        let mut order: Vec<usize> = (0..ranked.len()).collect();
        merge_sort(&mut order, &mut |a, b| ranked.get(a).zip(ranked.get(b)).is_some_and(|(a, b)| a.less(b)));
        let kept = if limit == 0 { usize::MAX } else { usize::try_from(limit).unwrap_or(usize::MAX) };
        let texts = order.iter().take(kept).filter_map(|at| ranked.get(*at)).map(|ranked| ranked.text);
        let result = array_within(texts, held)?;
        held.give_back(making);
        Ok(result)
    }
}

/// What a hash takes, about.
const HASH_BYTES: usize = 2 * size_of::<u64>();

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
            held.add(HASH_BYTES)?;
        }
        Ok(())
    }

    pub(super) fn merge(&mut self, mut other: Self, limit: u64, held: &mut Held) -> Result<()> {
        if self.hashes.len() < other.hashes.len() {
            std::mem::swap(self, &mut other);
        }
        let bytes = other.hashes.len() * HASH_BYTES;
        for hash in other.hashes {
            if !is_full(self.hashes.len(), limit) {
                self.add(hash, held)?;
            }
        }
        held.give_back(bytes);
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.hashes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::query::budget::Memory;
    use crate::query::testing::check;

    #[test]
    fn integers_are_counted_as_texts_before_they_are_made() {
        let of = |bytes: usize| {
            let memory = Memory::new(bytes);
            let mut held = memory.hold("test");
            let mut uniq = Uniq::default();
            (0..100_000).for_each(|value| uniq.add_int(value, 0, &mut held).unwrap());
            let before = memory.used();
            let result = uniq.result(0, &mut held);
            (before, result.map(|text| (memory.used() - before, text)))
        };
        let (before, result) = of(8 << 20);
        assert!(before < 64 << 10, "{before}");
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Budget);
        let (more, text) = of(32 << 20).1.unwrap();
        assert!(text.starts_with(r#"["0","1","2","#) && more >= text.len() && more < 2 * text.len(), "{more}");
    }

    #[test]
    fn what_is_put_together_is_counted_as_if_it_had_come_to_one() {
        let texts = |from: usize, to: usize| (from..to).map(|i| format!("t{i}")).collect::<Vec<_>>();
        let ints = |from: i64, to: i64, step: i64| (from..to).map(|i| (i * step).to_string()).collect::<Vec<_>>();
        for (first, second) in [
            (texts(0, 100), texts(0, 100)),
            (texts(0, 100), texts(50, 200)),
            (ints(0, 100, 1), ints(50, 150, 1)),
            (ints(0, 9_000, 1), ints(0, 10, 1)),
            (ints(0, 10, 1), ints(0, 9_000, 1)),
            (ints(0, 5_000, 1), ints(0, 9_000, 1)),
            (ints(0, 4_000, 1), ints(4_000, 8_000, 1)),
            (ints(0, 5_000, -1), ints(0, 6_000, 3)),
            (Vec::new(), ints(0, 9_000, 1)),
            (ints(0, 9_000, 1), Vec::new()),
        ] {
            let memory = Memory::new(1 << 24);
            let mut held = memory.hold("test");
            let (mut one, mut other, mut all) = (Uniq::default(), Uniq::default(), Uniq::default());
            first.iter().for_each(|value| one.add(value, 0, &mut held).unwrap());
            second.iter().for_each(|value| other.add(value, 0, &mut held).unwrap());
            one.merge(other, 0, &mut held).unwrap();
            let merged = memory.used();
            drop(held);
            let mut held = memory.hold("test");
            first.iter().chain(&second).for_each(|value| all.add(value, 0, &mut held).unwrap());
            assert_eq!((one.len(), merged), (all.len(), memory.used()), "{:?} {:?}", first.last(), second.last());
        }
    }

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
