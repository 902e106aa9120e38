//! What a block says in numbers of its segment: fields, streams and shapes. All else in it holds in any segment.
//!
//! Head: `| fields n | number of each lane's | streams n | number of each | lists n | per text lane: shapes n, numbers |`
//! in front of the rest of the block's head. A list is in the order of the lane's own codes, each number as its distance
//! from the one before.
//!
//! Invariants
//! * Every number is below what the segment has of its kind.
//! * The whole text, where a lane has it, is the first of its list, in every segment.
use crate::codec::{Reader, put_varint, unzigzag, zigzag};
use crate::error::{Error, Result};
use crate::text::shape::WHOLE;

/// How many fields, streams and shapes a segment has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Totals {
    pub(crate) fields: usize,
    pub(crate) streams: usize,
    pub(crate) shapes: usize,
}

/// A block's numbers, by their places in the block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Numbers {
    /// The field of each lane.
    pub(crate) fields: Vec<u32>,
    /// The streams of its rows.
    pub(crate) streams: Vec<u32>,
    /// The shapes of each text lane.
    pub(crate) shapes: Vec<Vec<u32>>,
}

impl Numbers {
    pub(crate) fn put(&self, head: &mut Vec<u8>) {
        put_varint(head, self.fields.len() as u64);
        self.fields.iter().for_each(|field| put_varint(head, u64::from(*field)));
        put_varint(head, self.streams.len() as u64);
        self.streams.iter().for_each(|stream| put_varint(head, u64::from(*stream)));
        put_varint(head, self.shapes.len() as u64);
        for list in &self.shapes {
            put_varint(head, list.len() as u64);
            let mut last = 0;
            for shape in list {
                put_varint(head, zigzag(i64::from(*shape) - last));
                last = i64::from(*shape);
            }
        }
    }

    pub(crate) fn read(r: &mut Reader<'_>, totals: Totals) -> Result<Self> {
        let below = |number: u64, total: usize| match u32::try_from(number) {
            Ok(number) if (number as usize) < total => Ok(number),
            _ => Err(damaged()),
        };
        let n = r.count(1)?;
        let fields = (0..n).map(|_| below(r.varint()?, totals.fields)).collect::<Result<_>>()?;
        let n = r.count(1)?;
        let streams = (0..n).map(|_| below(r.varint()?, totals.streams)).collect::<Result<_>>()?;
        let lists = r.count(1)?;
        let mut shapes = Vec::with_capacity(lists);
        for _ in 0..lists {
            let n = r.count(1)?;
            let (mut list, mut last) = (Vec::with_capacity(n), 0i64);
            for place in 0..n {
                last = last.saturating_add(unzigzag(r.varint()?));
                let shape = below(u64::try_from(last).map_err(|_| damaged())?, totals.shapes)?;
                if shape == WHOLE && place > 0 {
                    return Err(damaged());
                }
                list.push(shape);
            }
            shapes.push(list);
        }
        Ok(Self { fields, streams, shapes })
    }
}

fn damaged() -> Error {
    Error::corrupt("a block's numbers are damaged")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TOTALS: Totals = Totals { fields: 9, streams: 300, shapes: 5_000 };

    proptest! {
        #[test]
        fn numbers_come_back(
            fields in prop::collection::vec(0u32..9, 0..9),
            streams in prop::collection::vec(0u32..300, 0..20),
            shapes in prop::collection::vec(prop::collection::vec(1u32..5_000, 0..40), 0..5),
            whole in any::<bool>(),
        ) {
            let mut shapes = shapes;
            if whole {
                shapes.iter_mut().for_each(|list| list.insert(0, WHOLE));
            }
            let numbers = Numbers { fields, streams, shapes };
            let mut head = Vec::new();
            numbers.put(&mut head);
            let r = &mut Reader::new(&head);
            prop_assert_eq!(&Numbers::read(r, TOTALS).unwrap(), &numbers);
            prop_assert_eq!(r.remaining(), 0);
        }
    }

    #[test]
    fn what_a_segment_does_not_have_is_refused() {
        for (numbers, right) in [
            (Numbers { fields: vec![8], ..Numbers::default() }, true),
            (Numbers { fields: vec![9], ..Numbers::default() }, false),
            (Numbers { streams: vec![300], ..Numbers::default() }, false),
            (Numbers { shapes: vec![vec![0, 4_999, 1]], ..Numbers::default() }, true),
            (Numbers { shapes: vec![vec![5_000]], ..Numbers::default() }, false),
            (Numbers { shapes: vec![vec![1, 0]], ..Numbers::default() }, false),
        ] {
            let mut head = Vec::new();
            numbers.put(&mut head);
            assert_eq!(Numbers::read(&mut Reader::new(&head), TOTALS).is_ok(), right, "{numbers:?}");
        }
        assert!(Numbers::read(&mut Reader::new(&[0, 0, 1, 1, 1]), TOTALS).is_err(), "a negative number");
        assert!(Numbers::read(&mut Reader::new(&[0, 0, 255, 255, 3]), TOTALS).is_err(), "more lists than bytes");
    }
}
