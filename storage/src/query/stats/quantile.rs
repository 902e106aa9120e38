//! `quantile` and `median`: how often each value came, and once these are too many, a sample of them.
//!
//! Invariants
//! * Up to [`VALUES_MAX`] different values nothing is estimated.
//! * The sample is drawn by a generator with a fixed seed: the same rows in the same order give the same answer.
use crate::error::Result;
use crate::query::budget::Held;
use crate::query::value::order::{Ranked, merge_sort};
use rustc_hash::FxHashMap;

/// Different values that are counted.
const VALUES_MAX: usize = 65_536;
/// Values that are drawn once there are more.
const SAMPLES_MAX: usize = 10_000;
/// Integers that have places of their own once there are more than a few.
const SMALL: i64 = 1 << 16;
const FEW: usize = 64;
/// What an entry takes besides its text, about.
const ENTRY_BYTES: usize = 48;

/// The values, the least and the greatest.
pub(crate) struct Quantile {
    part: f64,
    texts: FxHashMap<String, u64>,
    integers: FxHashMap<i64, u64>,
    /// How often small integers came, each at its own place.
    small: Vec<u64>,
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
        self.bound(Ranked::new(value.to_string()));
        if !self.samples.is_empty() {
            return self.draw(value, held);
        }
        held.add(value.len() + ENTRY_BYTES)?;
        self.texts.insert(value.into(), 1);
        self.bound_memory(held)
    }

    pub(super) fn add_int(&mut self, value: i64, held: &mut Held) -> Result<()> {
        self.count += 1;
        if let Some(hits) = usize::try_from(value).ok().and_then(|at| self.small.get_mut(at)) {
            *hits += 1;
            return Ok(());
        }
        if let Some(hits) = self.integers.get_mut(&value) {
            *hits += 1;
            return Ok(());
        }
        if self.samples.is_empty() && (0..SMALL).contains(&value) && self.integers.len() >= FEW {
            return self.widen(value as usize, held);
        }
        self.bounds = Some(self.bounds.map_or((value, value), |(min, max)| (min.min(value), max.max(value))));
        if !self.samples.is_empty() {
            return self.draw(&value.to_string(), held);
        }
        held.add(ENTRY_BYTES)?;
        self.integers.insert(value, 1);
        self.bound_memory(held)
    }

    /// Makes places for small integers up to one that came.
    fn widen(&mut self, value: usize, held: &mut Held) -> Result<()> {
        let len = (value + 1).next_power_of_two();
        held.add((len - self.small.len()) * size_of::<u64>())?;
        self.small.resize(len, 0);
        let (small, integers) = (&mut self.small, &mut self.integers);
        integers.retain(|value, hits| match usize::try_from(*value).ok().and_then(|at| small.get_mut(at)) {
            Some(own) => {
                *own += *hits;
                false
            }
            None => true,
        });
        if let Some(hits) = self.small.get_mut(value) {
            *hits += 1;
        }
        Ok(())
    }

    /// Puts small integers to the others.
    fn narrow(&mut self) {
        for (value, hits) in (0i64..).zip(std::mem::take(&mut self.small)).filter(|(_, hits)| *hits > 0) {
            *self.integers.entry(value).or_default() += hits;
            self.bounds = Some(self.bounds.map_or((value, value), |(min, max)| (min.min(value), max.max(value))));
        }
    }

    fn bound(&mut self, value: Ranked<String>) {
        if self.min.as_ref().is_none_or(|min| value.less(min)) {
            self.min = Some(value.clone());
        }
        if self.max.as_ref().is_none_or(|max| max.less(&value)) {
            self.max = Some(value);
        }
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
        self.narrow();
        let counted = self.counted();
        let running = |end: &mut u64, (_, hits): &(String, u64)| {
            *end += hits;
            Some(*end)
        };
        let ends: Vec<u64> = counted.iter().scan(0, running).collect();
        let total = ends.last().copied().unwrap_or(0).max(1);
        for _ in 0..SAMPLES_MAX {
            let at = self.next_random() % total;
            if let Some((value, _)) = counted.get(ends.partition_point(|end| *end <= at)) {
                held.add(value.len() + size_of::<String>())?;
                self.samples.push(value.clone());
            }
        }
        let texts: usize = self.texts.keys().map(|text| text.len() + ENTRY_BYTES).sum();
        held.give_back(texts + self.integers.len() * ENTRY_BYTES);
        self.texts.clear();
        self.integers.clear();
        Ok(())
    }

    /// The counted values and how often each came, in no order that means anything, but always the same.
    fn counted(&self) -> Vec<(String, u64)> {
        let integers = self.integers.iter().map(|(value, hits)| (value.to_string(), *hits));
        let texts = self.texts.iter().map(|(text, hits)| (text.clone(), *hits));
        let mut counted: Vec<(String, u64)> = integers.chain(texts).collect();
        counted.sort_unstable();
        counted
    }

    pub(super) fn merge(&mut self, mut other: Self, held: &mut Held) -> Result<()> {
        self.narrow();
        other.narrow();
        if let Some((min, max)) = other.bounds {
            self.bounds = Some(self.bounds.map_or((min, max), |(a, b)| (a.min(min), b.max(max))));
        }
        [&other.min, &other.max].into_iter().flatten().for_each(|value| self.bound(value.clone()));
        if self.samples.is_empty() && other.samples.is_empty() {
            self.count += other.count;
            for (value, hits) in other.integers {
                *self.integers.entry(value).or_default() += hits;
            }
            for (value, hits) in other.texts {
                *self.texts.entry(value).or_default() += hits;
            }
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

    pub(super) fn result(&mut self) -> String {
        self.narrow();
        if let Some((min, max)) = self.bounds.take() {
            self.bound(Ranked::new(min.to_string()));
            self.bound(Ranked::new(max.to_string()));
        }
        let text = |ranked: &mut Option<Ranked<String>>| ranked.take().map(|r| r.text).unwrap_or_default();
        if self.part <= 0.0 {
            return text(&mut self.min);
        }
        let mut counted = self.counted();
        counted.extend(self.samples.drain(..).map(|sample| (sample, 1)));
        let total: u64 = counted.iter().map(|(_, hits)| hits).sum();
        let place = (self.part * total as f64) as u64;
        if self.part >= 1.0 || place >= total {
            return text(&mut self.max);
        }
        let ranked: Vec<Ranked<&str>> = counted.iter().map(|(value, _)| Ranked::new(value.as_str())).collect();
        let mut order: Vec<usize> = (0..ranked.len()).collect();
        merge_sort(&mut order, &mut |a, b| ranked.get(a).zip(ranked.get(b)).is_some_and(|(a, b)| a.less(b)));
        let mut seen = 0;
        for (value, hits) in order.iter().filter_map(|at| counted.get(*at)) {
            seen += hits;
            if seen > place {
                return value.clone();
            }
        }
        text(&mut self.max)
    }
}

#[cfg(test)]
mod tests {
    use crate::query::testing::check;

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
