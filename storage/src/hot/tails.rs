//! The ends of wide values, side by side: an id is looked for among these, which are a small part of all bytes.
//!
//! Invariants
//! * A lane has as many ends as values, or none at all.
use crate::batch::{Batch, LaneView};

/// Values that are no wider are looked at themselves.
const NARROW: usize = 8;
/// Ends that are compared at once: of most of them none is the wanted one.
const CHUNK: usize = 64;

/// The last two bytes of each value, of each lane of hex digits or UUIDs. Ends differ also where ids begin with their time.
pub(crate) struct Tails(Box<[Box<[u16]>]>);

impl Tails {
    pub(crate) fn of(batch: &Batch) -> Self {
        Self(batch.lanes().map(of_lane).collect())
    }

    /// Tells the numbers of values of a lane, by its place in the batch, that end as `wanted` does; none where that is not known.
    pub(crate) fn find(&self, lane: usize, wanted: &[u8], found: &mut dyn FnMut(usize)) -> Option<()> {
        let tails = self.0.get(lane).filter(|tails| !tails.is_empty())?;
        let wanted = tail(wanted)?;
        for (chunk, tails) in tails.chunks(CHUNK).enumerate() {
            if tails.iter().fold(false, |any, tail| any | (*tail == wanted)) {
                let equal = tails.iter().enumerate().filter(|(_, tail)| **tail == wanted);
                equal.for_each(|(at, _)| found(chunk * CHUNK + at));
            }
        }
        Some(())
    }

    /// Bytes that it takes in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.0.iter().map(|tails| size_of_val(tails) + size_of_val(&**tails)).sum()
    }
}

fn of_lane(lane: LaneView<'_>) -> Box<[u16]> {
    let is_wide = !lane.kind.is_text() && lane.kind.width().is_some_and(|width| width > NARROW);
    if !is_wide {
        return Box::default();
    }
    (0..lane.count).map(|value| tail(lane.fixed(value)).unwrap_or_default()).collect()
}

fn tail(value: &[u8]) -> Option<u16> {
    value.last_chunk().map(|end| u16::from_le_bytes(*end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::BatchBuilder;

    #[test]
    fn values_are_found_by_their_ends() {
        let mut builder = BatchBuilder::default();
        for row in 0..300u64 {
            builder.begin_row();
            builder.string("trace", &format!("ab{:030x}", u128::from(row % 100) + (u128::from(row) << 64)));
            builder.int("n", row as i64);
            builder.commit_row();
        }
        let batch = builder.finish().unwrap();
        let tails = Tails::of(&batch);
        let find = |lane: usize, wanted: &[u8]| {
            let mut found = Vec::new();
            tails.find(lane, wanted, &mut |value| found.push(value)).map(|()| found)
        };
        let lane = batch.lanes().position(|lane| lane.kind.width() == Some(16)).unwrap();
        assert_eq!(find(lane, &[0, 42]), Some(vec![42, 142, 242]));
        assert_eq!(find(lane, &[1, 42]), Some(Vec::new()));
        assert_eq!((find(lane, &[1]), find(99, &[0, 42])), (None, None));
        let other = batch.lanes().position(|lane| lane.kind.width() == Some(8)).unwrap();
        assert_eq!(find(other, &[0, 42]), None);
        assert!(tails.bytes() >= 600);
    }
}
