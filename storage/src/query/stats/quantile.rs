//! `quantile` and `median`, estimated from a sample of the values.
//!
//! Invariants
//! * Up to [`SAMPLES_MAX`] values nothing is estimated.
//! * The sample is drawn by a generator with a fixed seed: the same rows give the same answer.
use crate::error::Result;
use crate::query::budget::Held;
use crate::query::value::order::{Ranked, merge_sort};

/// Values that are kept.
const SAMPLES_MAX: usize = 10_000;

/// A sample of the values, the least and the greatest.
pub(crate) struct Quantile {
    part: f64,
    samples: Vec<String>,
    min: Option<Ranked<String>>,
    max: Option<Ranked<String>>,
    count: u64,
    random: u64,
}

impl Quantile {
    pub(super) fn new(part: f64) -> Self {
        Self { part, samples: Vec::new(), min: None, max: None, count: 0, random: 0x9E37_79B9_7F4A_7C15 }
    }

    pub(super) fn add(&mut self, value: &str, held: &mut Held) -> Result<()> {
        let new = Ranked::new(value);
        if self.min.as_ref().is_none_or(|min| new.less(min)) {
            self.min = Some(Ranked::new(value.to_string()));
        }
        if self.max.as_ref().is_none_or(|max| max.less(&new)) {
            self.max = Some(Ranked::new(value.to_string()));
        }
        self.count += 1;
        if self.samples.len() < SAMPLES_MAX {
            held.add(value.len() + size_of::<String>())?;
            self.samples.push(value.into());
            return Ok(());
        }
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let place = usize::try_from(self.random % self.count).unwrap_or(usize::MAX);
        if let Some(sample) = self.samples.get_mut(place) {
            held.add(value.len())?;
            held.give_back(sample.len());
            *sample = value.into();
        }
        Ok(())
    }

    pub(super) fn result(&mut self) -> String {
        let text = |ranked: &mut Option<Ranked<String>>| ranked.take().map(|r| r.text).unwrap_or_default();
        if self.part <= 0.0 {
            return text(&mut self.min);
        }
        let place = (self.part * self.samples.len() as f64) as usize;
        if self.part >= 1.0 || place >= self.samples.len() {
            return text(&mut self.max);
        }
        let ranked: Vec<Ranked<&str>> = self.samples.iter().map(|sample| Ranked::new(sample.as_str())).collect();
        let mut order: Vec<usize> = (0..ranked.len()).collect();
        merge_sort(&mut order, &mut |a, b| ranked.get(a).zip(ranked.get(b)).is_some_and(|(a, b)| a.less(b)));
        order.get(place).and_then(|at| ranked.get(*at)).map(|r| r.text.to_string()).unwrap_or_default()
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
