//! Values of a lane as a column has them, of sealed blocks and of batches alike.
//!
//! Invariants
//! * Few values are read by themselves, and many as all are, of which some are kept.
use super::Values;
use crate::batch::LaneKind;
use crate::error::Result;
use crate::scan::part::{FEW, Part, PartLane};
use crate::segment::Kind;
use crate::text::shape::WHOLE;

/// What is made of each wanted value, or of all of so many.
fn each<T>(wanted: Option<&[usize]>, count: usize, make: impl Fn(usize) -> T) -> Vec<T> {
    match wanted {
        Some(wanted) => wanted.iter().map(|value| make(*value)).collect(),
        None => (0..count).map(make).collect(),
    }
}

impl<'a> Part<'a> {
    /// Some values of a lane of integers or booleans; all where none is named.
    pub(super) fn ints_of(&self, lane: PartLane<'a>, wanted: Option<&[usize]>) -> Result<Vec<i64>> {
        match (self, lane) {
            (Self::Sealed(sealed), PartLane::Sealed { lane, .. }) => {
                let source = sealed.source(Kind::Values);
                match wanted {
                    None => sealed.block.ints(lane, &source),
                    Some(wanted) => sealed.block.few_ints(lane, wanted, &source),
                }
            }
            (_, PartLane::Hot { lane: view, .. }) => {
                let value = |value: usize| match view.kind {
                    LaneKind::Bool => i64::from(view.fixed(value) == [1]),
                    _ => view.int(value),
                };
                Ok(each(wanted, view.count, value))
            }
            _ => Ok(Vec::new()),
        }
    }

    /// Some values of a lane of bytes, one after another.
    pub(super) fn bytes_of(&self, lane: PartLane<'a>, width: usize, wanted: Option<&[usize]>) -> Result<Vec<u8>> {
        match (self, lane) {
            (Self::Sealed(sealed), PartLane::Sealed { lane, .. }) => {
                let source = sealed.source(Kind::Values);
                let Some(wanted) = wanted else { return sealed.block.fixed(lane, &source) };
                if wanted.len() < FEW {
                    return sealed.block.few_fixed(lane, wanted, &source);
                }
                let all = sealed.block.fixed(lane, &source)?;
                let value = |value: &usize| all.get(value * width..(value + 1) * width).unwrap_or_default();
                Ok(wanted.iter().flat_map(value).copied().collect())
            }
            (_, PartLane::Hot { lane: view, .. }) => {
                Ok(each(wanted, view.count, |value| view.fixed(value)).into_iter().flatten().copied().collect())
            }
            _ => Ok(Vec::new()),
        }
    }

    /// Some values of a lane of texts, in the form that it has them in.
    pub(super) fn texts_of(&self, lane: PartLane<'a>, wanted: Option<&[usize]>) -> Result<Values> {
        let (Self::Sealed(sealed), PartLane::Sealed { lane: listed, .. }) = (self, lane) else {
            return Ok(Values::Shapes(self.shapes_of(lane, wanted)?));
        };
        if listed.is_listed() {
            let places = self.codes_of(lane, wanted)?;
            let texts = sealed.block.listed(listed, &sealed.source(Kind::Values))?.texts;
            let texts = texts.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect();
            return Ok(Values::Listed { texts, places });
        }
        if lane.is_text() {
            Ok(Values::Shapes(self.shapes_of(lane, wanted)?))
        } else {
            Ok(Values::Spelled(self.ints_of(lane, wanted)?))
        }
    }

    /// The codes of some values of a sealed lane, by the lane's own numbers.
    pub(super) fn codes_of(&self, lane: PartLane<'a>, wanted: Option<&[usize]>) -> Result<Vec<u32>> {
        let (Self::Sealed(sealed), PartLane::Sealed { number, lane: own, .. }) = (self, lane) else {
            return Ok(Vec::new());
        };
        let Some(wanted) = wanted else { return sealed.codes_once(number, own) };
        if wanted.len() < FEW {
            return sealed.few_codes(number, own, wanted);
        }
        let codes = self.codes(lane)?;
        Ok(wanted.iter().map(|value| codes.get(*value).copied().unwrap_or(0)).collect())
    }

    /// The shapes of some values of a text lane, by the table's numbers.
    fn shapes_of(&self, lane: PartLane<'a>, wanted: Option<&[usize]>) -> Result<Vec<u32>> {
        match (self, lane) {
            (Self::Sealed(sealed), PartLane::Sealed { lane: own, .. }) => {
                let list = sealed.list(own)?;
                let shape = |code: &u32| list.listed.get(*code as usize).copied().unwrap_or(WHOLE);
                if let [only] = *list.listed {
                    return Ok(vec![only; wanted.map_or(own.count, <[usize]>::len)]);
                }
                Ok(self.codes_of(lane, wanted)?.iter().map(shape).collect())
            }
            (Self::Hot(hot), PartLane::Hot { lane: view, .. }) => {
                let shape = |value: usize| hot.batch.shape_map.get(usize::from(view.shape(value))).copied();
                Ok(each(wanted, view.count, |value| shape(value).unwrap_or(WHOLE)))
            }
            _ => Ok(Vec::new()),
        }
    }
}
