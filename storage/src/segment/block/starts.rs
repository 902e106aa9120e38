//! Where the variables of each value of a lane begin.
//!
//! Invariants
//! * Places come back as they were pushed; they rise.

const STARTS_EACH: usize = 32;

/// Places in a lane's lengths and bytes, rising: a seal has one for nearly every text of its rows, so they are kept small.
#[derive(Default)]
pub(super) struct Starts {
    /// Every [`STARTS_EACH`]th place.
    bases: Vec<(u32, u32)>,
    /// Each place, counted from the base before it.
    near: Vec<(u16, u16)>,
    /// Each place, where some are too far from their base.
    far: Vec<(u32, u32)>,
}

impl Starts {
    /// Makes room for this many places.
    pub(super) fn reserve(&mut self, places: usize) {
        self.near.reserve_exact(places);
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.near.is_empty() && self.far.is_empty()
    }

    #[inline]
    pub(super) fn push(&mut self, place: (u32, u32)) {
        if !self.far.is_empty() {
            return self.far.push(place);
        }
        if self.near.len().is_multiple_of(STARTS_EACH) {
            self.bases.push(place);
        }
        let base = self.bases.last().copied().unwrap_or_default();
        match (u16::try_from(place.0 - base.0), u16::try_from(place.1 - base.1)) {
            (Ok(lengths), Ok(bytes)) => self.near.push((lengths, bytes)),
            _ => {
                let far = (0..self.near.len()).filter_map(|i| self.get(i)).chain([place]).collect();
                *self = Self { far, ..Self::default() };
            }
        }
    }

    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<(u32, u32)> {
        match self.near.get(index) {
            Some((lengths, bytes)) => {
                let base = self.bases.get(index / STARTS_EACH)?;
                Some((base.0 + u32::from(*lengths), base.1 + u32::from(*bytes)))
            }
            None => self.far.get(index).copied(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_back_near_and_far() {
        for step in [1u32, 2_000, 70_000] {
            let mut starts = Starts::default();
            assert!(starts.is_empty());
            (0..1_000).for_each(|i| starts.push((i * 3, i * step)));
            assert!(!starts.is_empty());
            assert!((0..1_000).all(|i| starts.get(i as usize) == Some((i * 3, i * step))), "{step}");
            assert_eq!(starts.get(1_000), None);
            assert_eq!(starts.far.is_empty(), step < 70_000);
        }
    }
}
