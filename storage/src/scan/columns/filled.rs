//! How many rows of a view have a text in a lane, by what the batch or block says of itself.
//!
//! Invariants
//! * No value is read.
use super::{Lane, PartLane, View};
use crate::batch::LaneKind;
use crate::error::Result;
use crate::scan::part::Part;
use crate::segment::Kind;
use crate::text::shape::WHOLE;

impl<'a> View<'a> {
    /// How many of the rows have a text in a lane that is not empty, where that is known.
    pub(crate) fn filled(&self, lane: Lane<'a>) -> Result<Option<usize>> {
        if lane.lane.kind() == LaneKind::Null {
            return Ok(Some(0));
        }
        let Some(empty) = self.empty(lane)? else { return Ok(None) };
        let count = match self.is_whole() {
            true => lane.lane.count(),
            false if empty > 0 => return Ok(None),
            false => self.rows_with(lane)?.map_or(self.len(), |rows| rows.len()),
        };
        Ok(Some(count.saturating_sub(empty)))
    }

    /// How many values of a lane are the empty text in the whole batch or block; nothing where texts that are kept whole
    /// may be.
    fn empty(&self, lane: Lane<'a>) -> Result<Option<usize>> {
        let of_shapes = |shapes: &mut dyn Iterator<Item = (u32, u32)>| {
            let empty = |(shape, count): (u32, u32)| match shape {
                WHOLE => None,
                _ if self.literal(shape) == Some("") => Some(count as usize),
                _ => Some(0),
            };
            shapes.map(empty).sum::<Option<usize>>()
        };
        match (self.part, lane.lane) {
            (Part::Hot(hot), PartLane::Hot { number, lane, .. }) if lane.kind.is_text() => {
                let shape = |local: u16| hot.batch.shape_map.get(usize::from(local)).copied().unwrap_or(WHOLE);
                let shapes = hot.batch.counted.tally.shapes(number).iter();
                Ok(of_shapes(&mut shapes.map(|(local, count)| (shape(*local), *count))))
            }
            (Part::Sealed(sealed), PartLane::Sealed { lane, .. }) if lane.is_listed() => {
                let listed = sealed.block.listed(lane, &sealed.source(Kind::Values))?;
                let empty = listed.texts.iter().zip(&listed.counts).filter(|(text, _)| text.is_empty());
                Ok(Some(empty.map(|(_, count)| *count as usize).sum()))
            }
            (Part::Sealed(sealed), PartLane::Sealed { lane, .. }) if lane.is_text() => {
                let list = sealed.list(lane)?;
                Ok(of_shapes(&mut list.listed.iter().copied().zip(list.counts.iter().copied())))
            }
            _ => Ok(Some(0)),
        }
    }
}
