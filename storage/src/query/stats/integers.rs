//! Different integers, of which many small ones are a bit each.
//!
//! Invariants
//! * Places and bits are counted before they are there.
use crate::error::Result;
use crate::query::budget::Held;
use rustc_hash::FxHashSet;

/// Different integers: many small ones as a bit each.
#[derive(Default)]
pub(super) struct Integers {
    few: FxHashSet<i64>,
    /// Used once there are many, and as long as the greatest of them needs.
    bits: Vec<u64>,
    in_bits: usize,
}

/// Integers up to which each takes a place in a set of its own.
const FEW: usize = 4_096;
/// What each of these takes, about.
const FEW_BYTES: usize = 2 * size_of::<i64>();
/// Integers that are kept as a bit.
const BITS: i64 = 1 << 24;

impl Integers {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.few.len() + self.in_bits
    }

    /// The word and the bit of an integer, once there are bits for it.
    fn bit(&self, value: i64) -> Option<(usize, u64)> {
        (!self.bits.is_empty() && (0..BITS).contains(&value)).then(|| (value as usize / 64, 1 << (value % 64)))
    }

    /// What they hold.
    pub(super) fn bytes(&self) -> usize {
        self.few.len() * FEW_BYTES + self.bits.len() * size_of::<u64>()
    }

    /// Whether one is there.
    pub(super) fn has(&self, value: i64) -> bool {
        match self.bit(value) {
            Some((word, bit)) => self.bits.get(word).is_some_and(|word| word & bit != 0),
            None => self.few.contains(&value),
        }
    }

    /// Adds one.
    pub(super) fn add(&mut self, value: i64, held: &mut Held) -> Result<()> {
        if let Some((word, bit)) = self.bit(value) {
            self.lengthen(word, held)?;
            if let Some(word) = self.bits.get_mut(word) {
                self.in_bits += usize::from(*word & bit == 0);
                *word |= bit;
            }
            return Ok(());
        }
        if self.few.insert(value) {
            held.add(FEW_BYTES)?;
        }
        if self.bits.is_empty() && self.few.len() > FEW {
            self.lengthen(0, held)?;
            let few = std::mem::take(&mut self.few);
            held.give_back(few.len() * FEW_BYTES);
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

    /// Adds some.
    pub(super) fn add_all(&mut self, values: &[i64], held: &mut Held) -> Result<()> {
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

    /// Whether there are bits.
    pub(super) fn has_bits(&self) -> bool {
        !self.bits.is_empty()
    }

    /// Adds those that another set has as bits, where both have bits.
    pub(super) fn unite(&mut self, other: &mut Self) {
        if self.bits.len() < other.bits.len() {
            std::mem::swap(&mut self.bits, &mut other.bits);
        }
        self.bits.iter_mut().zip(&other.bits).for_each(|(own, other)| *own |= other);
        self.in_bits = self.bits.iter().map(|word| word.count_ones() as usize).sum();
    }

    /// Those that are no bits.
    pub(super) fn few(&self) -> impl Iterator<Item = i64> + '_ {
        self.few.iter().copied()
    }

    /// All of them.
    pub(super) fn each(&self) -> impl Iterator<Item = i64> + '_ {
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
