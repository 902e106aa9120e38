//! How often what a batch has occurs in it, so that counts need not look at its rows: as blocks say it of themselves.
//!
//! Invariants
//! * The counts of a lane add up to its values, those of the streams to the batch's rows.
use crate::batch::{Batch, LaneView};

/// A local shape, and how many values of a lane have it.
pub(crate) type OfShape = (u16, u32);

/// A batch, counted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// For each lane, in the batch's order, its shapes, ascending; nothing of lanes that have none.
    lanes: Box<[Box<[OfShape]>]>,
    /// The streams, ascending, and how many rows each has.
    streams: Box<[(u32, u32)]>,
}

impl Tally {
    pub(crate) fn of(batch: &Batch) -> Self {
        let mut counter = Counter { counts: vec![0; batch.shape_count() + 1], seen: Vec::new() };
        let lanes = batch.lanes().map(|lane| counter.count(lane)).collect();
        let mut streams = vec![0u32; batch.streams().len()];
        for row in 0..batch.rows() {
            if let Some(rows) = streams.get_mut(batch.stream_of(row)) {
                *rows += 1;
            }
        }
        let streams = (0u32..).zip(streams).filter(|(_, rows)| *rows > 0).collect();
        Self { lanes, streams }
    }

    /// The shapes of a lane of texts, by its place in the batch.
    pub(crate) fn shapes(&self, lane: usize) -> &[OfShape] {
        self.lanes.get(lane).map_or(&[], |shapes| shapes)
    }

    /// The streams, and how many rows each has.
    pub(crate) fn streams(&self) -> &[(u32, u32)] {
        &self.streams
    }

    /// Bytes that it takes in memory.
    pub(crate) fn bytes(&self) -> usize {
        let shapes: usize = self.lanes.iter().map(|shapes| size_of_val(&**shapes)).sum();
        size_of::<Self>() + shapes + size_of_val(&*self.lanes) + size_of_val(&*self.streams)
    }
}

/// Counts lane after lane; what it takes depends on values, not on how many shapes the batch has.
struct Counter {
    /// Zero between two lanes.
    counts: Vec<u32>,
    seen: Vec<u16>,
}

impl Counter {
    fn count(&mut self, lane: LaneView<'_>) -> Box<[OfShape]> {
        if !lane.kind.is_text() {
            return Box::default();
        }
        for shape in lane.shapes() {
            let Some(count) = self.counts.get_mut(usize::from(shape)) else { continue };
            if *count == 0 {
                self.seen.push(shape);
            }
            *count += 1;
        }
        self.seen.sort_unstable();
        let take = |shape: u16| (shape, self.counts.get_mut(usize::from(shape)).map_or(0, std::mem::take));
        self.seen.drain(..).map(take).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::BatchBuilder;

    #[test]
    fn shapes_and_streams_are_counted() {
        let mut builder = BatchBuilder::default();
        for row in 0..700 {
            builder.begin_row();
            builder.string("service_name", ["web", "db", "web"][row % 3]);
            builder.string("_msg", &["took 15 ms", "slow", "again 7"][row % 3].replace('5', &row.to_string()));
            if row % 7 == 0 {
                builder.string("extra", "only here");
            }
            builder.int("status", row as i64);
            builder.commit_row();
        }
        let batch = builder.finish().unwrap();
        let tally = Tally::of(&batch);
        assert!(tally.bytes() > 0);
        let mut texts = 0;
        for (number, lane) in batch.lanes().enumerate() {
            let mut counted = std::collections::BTreeMap::new();
            if lane.kind.is_text() {
                lane.shapes().for_each(|shape| *counted.entry(shape).or_insert(0u32) += 1);
                texts += 1;
            }
            assert_eq!(tally.shapes(number), counted.into_iter().collect::<Vec<_>>());
        }
        assert!(texts >= 3 && tally.shapes(99).is_empty());
        let rows: u32 = tally.streams().iter().map(|(_, rows)| rows).sum();
        assert_eq!((rows, tally.streams().len()), (700, batch.streams().len()));
    }
}
