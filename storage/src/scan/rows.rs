//! Sets of rows of one block, a bit each.
//!
//! Invariants
//! * No bit beyond the last row is set.
/// A set of rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RowSet {
    bits: Vec<u64>,
    rows: usize,
}

impl RowSet {
    pub(crate) fn none(rows: usize) -> Self {
        Self { bits: vec![0; rows.div_ceil(64)], rows }
    }

    pub(crate) fn all(rows: usize) -> Self {
        let mut set = Self { bits: vec![u64::MAX; rows.div_ceil(64)], rows };
        set.trim();
        set
    }

    /// These rows.
    pub(crate) fn of(rows: usize, listed: &[usize]) -> Self {
        let mut set = Self::none(rows);
        listed.iter().for_each(|row| set.insert(*row));
        set
    }

    /// The rows that `test`, which is asked about each in turn, lets pass.
    pub(crate) fn where_true(rows: usize, mut test: impl FnMut(usize) -> bool) -> Self {
        let mut bits = Vec::with_capacity(rows.div_ceil(64));
        for start in (0..rows).step_by(64) {
            let end = rows.min(start + 64);
            bits.push((start..end).fold(0, |word, row| word | u64::from(test(row)) << (row - start)));
        }
        Self { bits, rows }
    }

    /// Clears the bits beyond the last row.
    fn trim(&mut self) {
        let used = self.rows % 64;
        if used > 0
            && let Some(last) = self.bits.last_mut()
        {
            *last &= (1 << used) - 1;
        }
    }

    pub(crate) fn insert(&mut self, row: usize) {
        if row < self.rows
            && let Some(word) = self.bits.get_mut(row / 64)
        {
            *word |= 1 << (row % 64);
        }
    }

    pub(crate) fn remove(&mut self, row: usize) {
        if let Some(word) = self.bits.get_mut(row / 64) {
            *word &= !(1 << (row % 64));
        }
    }

    pub(crate) fn contains(&self, row: usize) -> bool {
        self.bits.get(row / 64).is_some_and(|word| word >> (row % 64) & 1 == 1)
    }

    pub(crate) fn and(&mut self, other: &Self) {
        self.bits.iter_mut().zip(&other.bits).for_each(|(a, b)| *a &= b);
    }

    pub(crate) fn or(&mut self, other: &Self) {
        self.bits.iter_mut().zip(&other.bits).for_each(|(a, b)| *a |= b);
    }

    pub(crate) fn not(&mut self) {
        self.bits.iter_mut().for_each(|word| *word = !*word);
        self.trim();
    }

    pub(crate) fn len(&self) -> usize {
        self.bits.iter().map(|word| word.count_ones() as usize).sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bits.iter().all(|word| *word == 0)
    }

    /// The rows of the set, ascending, in a list.
    pub(crate) fn listed(&self) -> Vec<usize> {
        let mut listed = Vec::with_capacity(self.len());
        for (i, word) in self.bits.iter().enumerate() {
            if *word == u64::MAX {
                listed.extend(i * 64..i * 64 + 64);
                continue;
            }
            let mut left = *word;
            while left != 0 {
                listed.push(i * 64 + left.trailing_zeros() as usize);
                left &= left - 1;
            }
        }
        listed
    }

    /// The rows of the set, ascending.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = usize> + '_ {
        self.bits
            .iter()
            .enumerate()
            .flat_map(|(i, word)| (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| i * 64 + bit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_sets() {
        let mut set = RowSet::none(130);
        for row in [0, 64, 129, 130, 500] {
            set.insert(row);
        }
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 64, 129]);
        assert_eq!(set.listed(), [0, 64, 129]);
        set.not();
        assert_eq!(set.len(), 127);
        assert_eq!(set.listed(), set.iter().collect::<Vec<_>>());
        assert!(!set.contains(64) && set.contains(1));
        set.remove(1);
        let mut all = RowSet::all(130);
        assert_eq!(all.len(), 130);
        all.and(&set);
        assert_eq!(all, set);
        let mut none = RowSet::none(130);
        none.or(&set);
        assert_eq!(none, set);
        let some = RowSet::where_true(130, |row| row % 64 == 1);
        assert_eq!(some.iter().collect::<Vec<_>>(), [1, 65, 129]);
        assert!(RowSet::none(0).is_empty() && RowSet::all(0).is_empty());
    }
}
