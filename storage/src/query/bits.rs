//! Which rows of a block are kept.
//!
//! Invariants
//! * No bit beyond the last row is set. Rows are dropped and never put back.

/// One bit for each row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bits {
    words: Vec<u64>,
    len: usize,
}

impl Bits {
    /// Every row, or none.
    pub(crate) fn new(len: usize, set: bool) -> Self {
        let mut words = vec![if set { u64::MAX } else { 0 }; len.div_ceil(64)];
        if set
            && !len.is_multiple_of(64)
            && let Some(last) = words.last_mut()
        {
            *last = (1 << (len % 64)) - 1;
        }
        Self { words, len }
    }

    /// Whether a row is kept.
    pub(crate) fn has(&self, row: usize) -> bool {
        self.words.get(row / 64).is_some_and(|word| word >> (row % 64) & 1 == 1)
    }

    /// How many rows are kept.
    pub(crate) fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.count() == self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// Drops every row.
    pub(crate) fn clear(&mut self) {
        self.words.fill(0);
    }

    /// Drops the kept rows that do not pass.
    pub(crate) fn retain(&mut self, mut passes: impl FnMut(usize) -> bool) {
        for (i, word) in self.words.iter_mut().enumerate() {
            let mut left = *word;
            while left != 0 {
                let bit = left.trailing_zeros();
                left &= left - 1;
                if !passes(i * 64 + bit as usize) {
                    *word &= !(1 << bit);
                }
            }
        }
    }

    /// Drops the rows that the other keeps.
    pub(crate) fn subtract(&mut self, other: &Self) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word &= !other;
        }
    }

    /// The kept rows.
    pub(crate) fn rows(&self) -> impl Iterator<Item = usize> + '_ {
        self.words.iter().enumerate().flat_map(|(i, word)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros())?;
                left &= left - 1;
                Some(i * 64 + bit as usize)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_kept_and_dropped() {
        let mut bits = Bits::new(70, true);
        assert!(bits.is_full() && bits.has(69) && !bits.has(70));
        bits.retain(|row| row % 2 == 0);
        assert_eq!(bits.count(), 35);
        let evens = bits.clone();
        bits.retain(|row| row > 60);
        assert_eq!(bits.rows().collect::<Vec<_>>(), [62, 64, 66, 68]);
        let mut rest = evens;
        rest.subtract(&bits);
        assert_eq!(rest.count(), 31);
        bits.clear();
        assert!(bits.is_empty() && Bits::new(0, true).is_full());
    }
}
