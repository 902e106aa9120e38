//! What is kept of a block while it is looked at: which shape each value of a lane has, and decompressed pages. Rows are found
//! by some of it, and their texts put together by the same.
//!
//! Invariants
//! * What is kept counts as held for as long as the part is there, and no longer.
use crate::error::Result;
use crate::segment::{Held, KeptPages};
use std::cell::RefCell;
use std::rc::Rc;

/// Lanes whose codes are kept.
const LANES_MAX: usize = 4;

pub(super) struct Kept<'a> {
    /// The codes of some lanes, by the lanes' places in their block.
    codes: RefCell<Vec<(usize, Rc<Vec<u32>>)>>,
    held: Held<'a>,
    pub(super) pages: KeptPages<'a>,
}

impl<'a> Kept<'a> {
    /// Codes that are kept are held by this.
    pub(super) fn new(codes: Held<'a>, pages: KeptPages<'a>) -> Self {
        Self { codes: RefCell::default(), held: codes, pages }
    }

    /// What is kept of a lane.
    pub(super) fn find(&self, lane: usize) -> Option<Rc<Vec<u32>>> {
        self.codes.borrow().iter().find(|(of, _)| *of == lane).map(|(_, codes)| Rc::clone(codes))
    }

    /// What is kept of a lane, or what `load` gives.
    pub(super) fn codes(&self, lane: usize, load: impl FnOnce() -> Result<Vec<u32>>) -> Result<Rc<Vec<u32>>> {
        if let Some(codes) = self.find(lane) {
            return Ok(codes);
        }
        let codes = Rc::new(load()?);
        let mut kept = self.codes.borrow_mut();
        if kept.len() < LANES_MAX {
            self.held.add(codes.len() * size_of::<u32>())?;
            kept.push((lane, Rc::clone(&codes)));
        }
        Ok(codes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::Counters;
    use std::cell::Cell;

    #[test]
    fn codes_are_loaded_once_and_kept_of_few_lanes() {
        let counters = Counters::default();
        let kept = Kept::new(counters.held(), KeptPages::new(counters.held()));
        let loads = Cell::new(0);
        let load = || {
            loads.set(loads.get() + 1);
            Ok(vec![loads.get()])
        };
        for lane in 0..LANES_MAX {
            assert!(kept.find(lane).is_none());
            let codes = kept.codes(lane, load).unwrap();
            assert_eq!((*codes).clone(), [lane as u32 + 1]);
            assert_eq!(kept.codes(lane, load).unwrap(), codes);
        }
        let before = loads.get();
        for _ in 0..2 {
            kept.codes(LANES_MAX, load).unwrap();
        }
        assert_eq!((before as usize, loads.get()), (LANES_MAX, before + 2));
    }
}
