//! What form the values of a lane of strings, numbers or JSON take in a block, by what they are: shaped text, a list of
//! few texts, or integers with a spelling.
//!
//! The form's byte comes first: 0 shaped (`text_lane.rs`), 3 listed ([`listed`]), else that of a spelling ([`spelling`])
//! and then an integer column.
//!
//! Invariants
//! * Another form than shaped text is chosen only where it is no larger, by what the first values take.
//! * All forms give the same bytes back.
mod listed;
mod spelling;
#[cfg(test)]
mod tests;

pub(crate) use listed::Listed;
pub(super) use listed::ListedHead;
pub(crate) use spelling::Spelling;

use super::ints::{self, IntHead};
use super::pages::PageWriter;
use super::text_lane::{self, Scratch, TextHead, Values, next};
use crate::codec::Reader;
use crate::error::{Error, Result};
use crate::text::table::ShapeTable;
use listed::Listing;
use spelling::{Fit, SPELLED_BYTES_MAX};

const SHAPED: u8 = 0;
const LISTED: u8 = 3;

/// Values by which forms are compared.
const SAMPLED: usize = 4_096;

/// Appends a lane; shaped text says which shapes of the segment it has.
pub(super) fn put(
    values: &Values<'_>,
    shapes: &ShapeTable,
    scratch: &mut Scratch,
    pages: &mut PageWriter,
    head: &mut Vec<u8>,
) -> Option<Vec<u32>> {
    match choose(values, shapes, scratch) {
        Choice::Listed(listing) => {
            head.push(LISTED);
            listing.put(pages, head);
            None
        }
        Choice::Spelled(spelling, ints) => {
            spelling.put(head);
            ints::put(&ints, pages, head);
            None
        }
        Choice::Shaped => {
            head.push(SHAPED);
            Some(text_lane::put(values, shapes.slots(), scratch, pages, head))
        }
    }
}

/// A form, with what it takes to write it.
enum Choice {
    Shaped,
    Listed(Listing),
    Spelled(Spelling, Vec<i64>),
}

/// The form that takes least, by the first values; then all have to fit.
fn choose(values: &Values<'_>, shapes: &ShapeTable, scratch: &mut Scratch) -> Choice {
    let count = values.shapes.len();
    let sampled = count.min(SAMPLED);
    let (listing, fit) = (Listing::of(values, sampled, shapes), spelled(values, sampled, shapes));
    if listing.is_none() && fit.is_none() {
        return Choice::Shaped;
    }
    let of_all = |cost: usize| cost * count / sampled.max(1);
    let shaped_cost = of_all(cost(|pages, head| {
        let mut part = Values::default();
        part.shapes.extend(values.shapes.iter().take(sampled));
        part.variables.extend(values.variables.iter().take(sampled));
        text_lane::put(&part, shapes.slots(), scratch, pages, head);
    }));
    let spelled_cost = fit.map(|(_, ints)| of_all(cost(|pages, head| ints::put(&ints, pages, head))));
    let spelled_cost = spelled_cost.filter(|cost| *cost <= shaped_cost);
    // The list is about complete, the codes go on.
    let listed_cost = listing.map(|listing| listing.list_cost + of_all(listing.codes_cost));
    if listed_cost.is_some_and(|cost| cost < spelled_cost.unwrap_or(shaped_cost / 10 * 9))
        && let Some(listing) = Listing::of(values, count, shapes)
    {
        return Choice::Listed(listing);
    }
    match spelled_cost.and_then(|_| spelled(values, count, shapes)) {
        Some((spelling, ints)) => Choice::Spelled(spelling, ints),
        None => Choice::Shaped,
    }
}

/// What something takes on its own.
fn cost(put: impl FnOnce(&mut PageWriter, &mut Vec<u8>)) -> usize {
    let (mut pages, mut head) = (PageWriter::default(), Vec::new());
    put(&mut pages, &mut head);
    pages.finish(&mut head).len() + head.len()
}

/// The integers that stand for the first `count` values, and how they are spelled.
fn spelled(values: &Values<'_>, count: usize, shapes: &ShapeTable) -> Option<(Spelling, Vec<i64>)> {
    let (mut fit, mut text) = (None, Vec::new());
    for value in 0..count {
        text.clear();
        if !is_short(values, value, shapes) {
            return None;
        }
        push_text(values, value, shapes, &mut text);
        match &mut fit {
            None => fit = Some(Fit::of(&text)?),
            Some(fit) => fit.add(&text).then_some(())?,
        }
    }
    fit?.finish()
}

/// Whether a value can have a spelling, by its length.
fn is_short(values: &Values<'_>, value: usize, shapes: &ShapeTable) -> bool {
    let (shape, cursor) = (values.shapes.get(value).copied(), values.variables.get(value).copied());
    let shape = shape.unwrap_or_default();
    let slots = shapes.slots().get(shape as usize).copied().unwrap_or(0);
    let literal = shapes.key(shape).len().saturating_sub(usize::from(slots) * 2);
    literal + cursor.unwrap_or_default().1.len() <= SPELLED_BYTES_MAX
}

/// Appends the text of a value.
pub(super) fn push_text(values: &Values<'_>, value: usize, shapes: &ShapeTable, out: &mut Vec<u8>) {
    let shape = values.shapes.get(value).copied().unwrap_or_default();
    let mut cursor = values.variables.get(value).copied().unwrap_or_default();
    shapes.shape(shape).rebuild(std::iter::repeat_with(|| next(&mut cursor)), out);
}

/// How a lane of strings, numbers or JSON is read.
pub(super) enum Form {
    Shaped(Box<TextHead>),
    Listed(ListedHead),
    Spelled(Spelling, IntHead),
}

impl Form {
    /// Reads the head of a lane of `count` values; shaped text has the next of the lists of shapes.
    pub(super) fn read(r: &mut Reader<'_>, lists: &mut impl Iterator<Item = Vec<u32>>, count: usize) -> Result<Self> {
        Ok(match r.u8()? {
            SHAPED => {
                let list = lists.next().ok_or_else(|| Error::corrupt("a text lane without shapes"))?;
                Self::Shaped(Box::new(TextHead::read(r, list, count)?))
            }
            LISTED => Self::Listed(ListedHead::read(r)?),
            form => Self::Spelled(Spelling::read(form, r)?, IntHead::read(r)?),
        })
    }
}
