//! `quantile` and `median`: how often each value came, and once these are too many, a sample of them.
//!
//! Integers wait in a list until there are some: rows of many groups come in turns, and what each counts with would have to
//! be fetched anew at each row.
//!
//! Invariants
//! * Up to [`VALUES_MAX`] different values nothing is estimated. Their texts are there once, also while the result is found.
//! * The sample is drawn by a generator with a fixed seed: the same rows in the same order give the same answer.
use crate::error::Result;
use crate::query::budget::Held;
use crate::query::value::order::{Ranked, merge_sort};
use rustc_hash::FxHashMap;
use std::borrow::Cow;
use std::collections::hash_map::Entry;
use std::hash::Hash;

/// Different values that are counted.
const VALUES_MAX: usize = 65_536;
/// Values that are drawn once there are more.
const SAMPLES_MAX: usize = 10_000;
/// Integers that have places of their own once there are more than a few.
const SMALL: i64 = 1 << 16;
const FEW: usize = 64;
/// Integers that wait at least, and at most.
const WAITING_MIN: usize = 4;
const WAITING_MAX: usize = 1_024;
/// What an entry takes besides its text, about.
const ENTRY_BYTES: usize = 48;
/// What each takes while the result is found among them, about: its text if it is an integer, as what it ranks, and its place.
const MAKING_BYTES: usize = size_of::<(Cow<'_, str>, u64)>() + size_of::<Ranked<&str>>() + 2 * size_of::<usize>() + 32;

/// The values, the least and the greatest.
pub(crate) struct Quantile {
    part: f64,
    texts: FxHashMap<String, u64>,
    integers: FxHashMap<i64, u64>,
    /// How often small integers came, each at its own place.
    small: Vec<u64>,
    /// Integers that are not counted yet.
    waiting: Vec<i64>,
    /// Drawn values; used once the others are too many.
    samples: Vec<String>,
    min: Option<Ranked<String>>,
    max: Option<Ranked<String>>,
    /// The least and the greatest of the integers.
    bounds: Option<(i64, i64)>,
    count: u64,
    random: u64,
}

impl Quantile {
    pub(super) fn new(part: f64) -> Self {
        Self {
            part,
            texts: FxHashMap::default(),
            integers: FxHashMap::default(),
            small: Vec::new(),
            waiting: Vec::new(),
            samples: Vec::new(),
            min: None,
            max: None,
            bounds: None,
            count: 0,
            random: 0x9E37_79B9_7F4A_7C15,
        }
    }

    pub(super) fn add(&mut self, value: &str, held: &mut Held) -> Result<()> {
        self.count += 1;
        if let Some(hits) = self.texts.get_mut(value) {
            *hits += 1;
            return Ok(());
        }
        let bytes = self.bounds_bytes();
        self.bound(Ranked::new(value.to_string()));
        held.add(self.bounds_bytes())?;
        held.give_back(bytes);
        if !self.samples.is_empty() {
            return self.draw(value, held);
        }
        held.add(value.len() + ENTRY_BYTES)?;
        self.texts.insert(value.into(), 1);
        self.bound_memory(held)
    }

    #[inline]
    pub(super) fn add_int(&mut self, value: i64, held: &mut Held) -> Result<()> {
        if self.waiting.len() < self.waiting.capacity() {
            self.waiting.push(value);
            return Ok(());
        }
        self.make_room(value, held)
    }

    /// Makes room for integers that wait, or counts those that do.
    fn make_room(&mut self, value: i64, held: &mut Held) -> Result<()> {
        let capacity = self.waiting.capacity();
        if !self.samples.is_empty() {
            return self.count_int(value, held);
        }
        if capacity < WAITING_MAX {
            self.waiting.reserve_exact(capacity.max(WAITING_MIN));
            held.add((self.waiting.capacity() - capacity) * size_of::<i64>())?;
        } else {
            self.count_waiting(held)?;
        }
        self.add_or_wait(value, held)
    }

    fn add_or_wait(&mut self, value: i64, held: &mut Held) -> Result<()> {
        if self.samples.is_empty() {
            self.waiting.push(value);
            return Ok(());
        }
        self.count_int(value, held)
    }

    /// Counts the integers that wait. Once there is a sample, none does.
    fn count_waiting(&mut self, held: &mut Held) -> Result<()> {
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.drain(..).try_for_each(|value| self.count_int(value, held))?;
        if self.samples.is_empty() {
            self.waiting = waiting;
        } else {
            held.give_back(waiting.capacity() * size_of::<i64>());
        }
        Ok(())
    }

    fn count_int(&mut self, value: i64, held: &mut Held) -> Result<()> {
        self.count += 1;
        if let Some(hits) = self.hits_of(value) {
            *hits += 1;
            return Ok(());
        }
        if self.samples.is_empty() && (0..SMALL).contains(&value) && self.integers.len() >= FEW {
            return self.widen(value as usize, held);
        }
        self.bounds = wider(self.bounds, Some((value, value)));
        if !self.samples.is_empty() {
            return self.draw(&value.to_string(), held);
        }
        held.add(ENTRY_BYTES)?;
        self.integers.insert(value, 1);
        self.bound_memory(held)
    }

    /// How often an integer came, if it did or has a place.
    fn hits_of(&mut self, value: i64) -> Option<&mut u64> {
        match usize::try_from(value).ok().and_then(|at| self.small.get_mut(at)) {
            Some(hits) => Some(hits),
            None => self.integers.get_mut(&value),
        }
    }

    /// Makes places for small integers up to one that came.
    fn widen(&mut self, value: usize, held: &mut Held) -> Result<()> {
        let len = (value + 1).next_power_of_two();
        held.add((len - self.small.len()) * size_of::<u64>())?;
        self.small.resize(len, 0);
        if let Some(hits) = self.small.get_mut(value) {
            *hits += 1;
        }
        self.place_small();
        Ok(())
    }

    /// Puts integers that have places of their own there.
    fn place_small(&mut self) {
        let (small, integers) = (&mut self.small, &mut self.integers);
        integers.retain(|value, hits| match usize::try_from(*value).ok().and_then(|at| small.get_mut(at)) {
            Some(own) => {
                *own += *hits;
                false
            }
            None => true,
        });
    }

    /// Puts small integers, and those that wait, to the others.
    fn narrow(&mut self) {
        for (value, hits) in self.counted_integers() {
            self.bounds = wider(self.bounds, Some((value, value)));
            self.integers.insert(value, hits);
        }
        self.small = Vec::new();
        self.waiting = Vec::new();
    }

    /// All integers, ascending, and how often each came.
    fn counted_integers(&mut self) -> Vec<(i64, u64)> {
        for value in std::mem::take(&mut self.waiting) {
            self.count += 1;
            match self.hits_of(value) {
                Some(hits) => *hits += 1,
                None => {
                    self.integers.insert(value, 1);
                }
            }
        }
        let small = (0i64..).zip(self.small.iter().copied()).filter(|(_, hits)| *hits > 0);
        let mut counted: Vec<(i64, u64)> =
            self.integers.iter().map(|(value, hits)| (*value, *hits)).chain(small).collect();
        counted.sort_unstable();
        counted
    }

    fn bound(&mut self, value: Ranked<String>) {
        if self.min.as_ref().is_none_or(|min| value.less(min)) {
            self.min = Some(value.clone());
        }
        if self.max.as_ref().is_none_or(|max| max.less(&value)) {
            self.max = Some(value);
        }
    }

    fn bounds_bytes(&self) -> usize {
        [&self.min, &self.max].into_iter().flatten().map(|bound| bound.text.len()).sum()
    }

    fn next_random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    /// Puts a value in the place of a drawn one, by chance.
    fn draw(&mut self, value: &str, held: &mut Held) -> Result<()> {
        let place = usize::try_from(self.next_random() % self.count.max(1)).unwrap_or(usize::MAX);
        if let Some(sample) = self.samples.get_mut(place) {
            held.add(value.len())?;
            held.give_back(sample.len());
            *sample = value.into();
        }
        Ok(())
    }

    /// Draws a sample where there are too many different values to count them.
    fn bound_memory(&mut self, held: &mut Held) -> Result<()> {
        if self.texts.len() + self.integers.len() > VALUES_MAX { self.sample(held) } else { Ok(()) }
    }

    fn sample(&mut self, held: &mut Held) -> Result<()> {
        held.give_back(self.waiting.capacity() * size_of::<i64>());
        self.narrow();
        let (texts, integers) = (std::mem::take(&mut self.texts), std::mem::take(&mut self.integers));
        let counted = counted(&texts, &integers);
        let running = |end: &mut u64, (_, hits): &(Cow<'_, str>, u64)| {
            *end += hits;
            Some(*end)
        };
        let ends: Vec<u64> = counted.iter().scan(0, running).collect();
        let total = ends.last().copied().unwrap_or(0).max(1);
        for _ in 0..SAMPLES_MAX {
            let at = self.next_random() % total;
            if let Some((value, _)) = counted.get(ends.partition_point(|end| *end <= at)) {
                held.add(value.len() + size_of::<String>())?;
                self.samples.push(value.to_string());
            }
        }
        let texts: usize = texts.keys().map(|text| text_bytes(text)).sum();
        held.give_back(texts + integers.len() * ENTRY_BYTES);
        Ok(())
    }

    pub(super) fn merge(&mut self, mut other: Self, held: &mut Held) -> Result<()> {
        self.count_waiting(held)?;
        other.count_waiting(held)?;
        self.bounds = wider(self.bounds, other.bounds);
        [&other.min, &other.max].into_iter().flatten().for_each(|value| self.bound(value.clone()));
        if self.samples.is_empty() && other.samples.is_empty() {
            self.count += other.count;
            if self.small.len() < other.small.len() {
                std::mem::swap(&mut self.small, &mut other.small);
            }
            self.small.iter_mut().zip(&other.small).for_each(|(own, hits)| *own += hits);
            held.give_back((other.small.len() + other.waiting.capacity()) * size_of::<u64>());
            let twice = count_all(&mut self.integers, other.integers, |_| ENTRY_BYTES);
            held.give_back(twice + count_all(&mut self.texts, other.texts, |text| text_bytes(text)));
            self.place_small();
            return self.bound_memory(held);
        }
        let own = self.count;
        for sampled in [&mut *self, &mut other] {
            if sampled.samples.is_empty() {
                sampled.sample(held)?;
            }
        }
        // Each gives as much of the new sample as it has seen of the values.
        self.count += other.count;
        let kept = (SAMPLES_MAX as f64 * own as f64 / self.count.max(1) as f64) as usize;
        for (at, value) in other.samples.into_iter().enumerate().skip(kept) {
            if let Some(sample) = self.samples.get_mut(at) {
                *sample = value;
            }
        }
        Ok(())
    }

    /// The result where there is nothing but integers, all of them counted.
    fn of_integers(&mut self) -> String {
        let counted = self.counted_integers();
        let total: u64 = counted.iter().map(|(_, hits)| hits).sum();
        let place = (self.part.max(0.0) * total as f64) as u64;
        let mut seen = 0;
        let reached = |(_, hits): &&(i64, u64)| {
            seen += hits;
            seen > place
        };
        let found = counted.iter().find(reached).or(counted.last());
        found.map(|(value, _)| value.to_string()).unwrap_or_default()
    }

    pub(super) fn result(&mut self, held: &mut Held) -> Result<String> {
        if self.texts.is_empty() && self.samples.is_empty() {
            return Ok(self.of_integers());
        }
        self.narrow();
        let making = (self.texts.len() + self.integers.len() + self.samples.len()) * MAKING_BYTES;
        held.add(making)?;
        let result = self.of_all();
        held.give_back(making);
        Ok(result)
    }

    /// The result of texts and integers that have no places of their own.
    fn of_all(&mut self) -> String {
        if let Some((min, max)) = self.bounds.take() {
            self.bound(Ranked::new(min.to_string()));
            self.bound(Ranked::new(max.to_string()));
        }
        let text = |ranked: &mut Option<Ranked<String>>| ranked.take().map(|r| r.text).unwrap_or_default();
        if self.part <= 0.0 {
            return text(&mut self.min);
        }
        let mut counted = counted(&self.texts, &self.integers);
        counted.extend(self.samples.drain(..).map(|sample| (sample.into(), 1)));
        let total: u64 = counted.iter().map(|(_, hits)| hits).sum();
        let place = (self.part * total as f64) as u64;
        if self.part >= 1.0 || place >= total {
            return text(&mut self.max);
        }
        let ranked: Vec<Ranked<&str>> = counted.iter().map(|(value, _)| Ranked::new(value.as_ref())).collect();
        let mut order: Vec<usize> = (0..ranked.len()).collect();
        merge_sort(&mut order, &mut |a, b| ranked.get(a).zip(ranked.get(b)).is_some_and(|(a, b)| a.less(b)));
        let mut seen = 0;
        for (value, hits) in order.iter().filter_map(|at| counted.get(*at)) {
            seen += hits;
            if seen > place {
                return value.to_string();
            }
        }
        text(&mut self.max)
    }
}

/// What a text takes that is counted.
fn text_bytes(text: &str) -> usize {
    text.len() + ENTRY_BYTES
}

/// Values and how often each came, in no order that means anything, but always the same.
fn counted<'t>(texts: &'t FxHashMap<String, u64>, integers: &FxHashMap<i64, u64>) -> Vec<(Cow<'t, str>, u64)> {
    let integers = integers.iter().map(|(value, hits)| (value.to_string().into(), *hits));
    let texts = texts.iter().map(|(text, hits)| (text.as_str().into(), *hits));
    let mut counted: Vec<(Cow<'_, str>, u64)> = integers.chain(texts).collect();
    counted.sort_unstable();
    counted
}

/// Adds hits to those of the same values, and gives what values take that were there already.
fn count_all<V: Eq + Hash>(own: &mut FxHashMap<V, u64>, other: FxHashMap<V, u64>, bytes: fn(&V) -> usize) -> usize {
    let mut twice = 0;
    for (value, hits) in other {
        match own.entry(value) {
            Entry::Occupied(mut entry) => {
                twice += bytes(entry.key());
                *entry.get_mut() += hits;
            }
            Entry::Vacant(entry) => {
                entry.insert(hits);
            }
        }
    }
    twice
}

/// The lesser and the greater of two bounds.
fn wider(a: Option<(i64, i64)>, b: Option<(i64, i64)>) -> Option<(i64, i64)> {
    match (a, b) {
        (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::budget::Memory;
    use crate::query::testing::check;

    #[test]
    fn integers_that_wait_and_those_of_others_count() {
        let value = |i: i64| i * 7_919 % 9_000 - 50 + if i % 1_000 == 0 { 1 << 40 } else { 0 };
        let values: Vec<i64> = (0..9_000).map(value).collect();
        let mut sorted = values.clone();
        sorted.sort_unstable();
        let mut sorted: Vec<String> = sorted.iter().map(i64::to_string).collect();
        for text in [None, Some("12.5")] {
            if let Some(text) = text {
                sorted.insert(sorted.iter().position(|value| value == "13").unwrap(), text.into());
            }
            for (split, part) in [(0, 0.0), (30, 0.3), (70, 0.5), (5_000, 0.95), (9_000, 1.0), (8_990, 0.007)] {
                let mut held = Memory::new(1 << 24).hold("test");
                let (mut one, mut other) = (Quantile::new(part), Quantile::new(part));
                let (first, rest) = values.split_at(split);
                first.iter().for_each(|value| one.add_int(*value, &mut held).unwrap());
                rest.iter().for_each(|value| other.add_int(*value, &mut held).unwrap());
                text.into_iter().for_each(|text| other.add(text, &mut held).unwrap());
                one.merge(other, &mut held).unwrap();
                let place = ((part * sorted.len() as f64) as usize).min(sorted.len() - 1);
                assert_eq!(one.result(&mut held).unwrap(), sorted[place], "{part} of {split}");
            }
        }
    }

    #[test]
    fn too_many_integers_are_drawn_from() {
        let mut held = Memory::new(1 << 26).hold("test");
        let mut quantile = Quantile::new(0.5);
        (0..200_000).for_each(|value| quantile.add_int(value * 1_000, &mut held).unwrap());
        let median: i64 = quantile.result(&mut held).unwrap().parse().unwrap();
        assert!((90_000_000..110_000_000).contains(&median), "{median}");
    }

    #[test]
    fn parts_of_the_values_are_below() {
        check(
            "quantile(0, a) x, quantile(0.5, a) y, quantile(1, a) z, median(a) m",
            r#"{"a":"10"}
{"a":"9"}
{"a":"11"}
{"a":"2"}"#,
            r#"{"x":"2","y":"10","z":"11","m":"10"}"#,
        );
    }
}
